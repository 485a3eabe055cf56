"""What may be asked for, and how other systems say it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.trading.exits.model import plan
from tickwork.errors import InvalidInput
from tickwork.trading.exits import (
    LADDERS,
    BreakEven,
    ExitBook,
    ExitRules,
    Target,
    Trailing,
    held_for,
    ladder,
    read_rules,
)

D = Decimal


def levels(*pairs: tuple[str, str]) -> tuple[Target, ...]:
    return tuple(Target(D(profit), D(share)) for profit, share in pairs)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: ExitRules(), "exits"),
        (lambda: ExitRules(stop_loss=D(5)), "exits.stopLoss"),
        (lambda: ExitRules(stop_loss=D(0)), "exits.stopLoss"),
        (lambda: ExitRules(stop_loss=D("NaN")), "exits.stopLoss"),
        (lambda: ExitRules(stop_loss=0.05), "exits.stopLoss"),  # type: ignore[arg-type]
        (lambda: ExitRules(stop_loss=D("0.05"), stop_price=D(90)), "exits.stopPrice"),
        (lambda: ExitRules(stop_price=D(-1)), "exits.stopPrice"),
        (lambda: ExitRules(hard_stop=D(1)), "exits.hardStop"),
        (lambda: ExitRules(max_hold="6"), "exits.maxHold"),
        (lambda: ExitRules(max_hold="0s"), "exits.maxHold"),
        (lambda: ExitRules(stop_loss=D("0.1"), ratchet=D(1)), "exits.ratchet"),
        (lambda: Target(D("0.1"), D("1.1")), "target.share"),
        (lambda: Target(D("-0.1")), "target.profit"),
        (lambda: Trailing(D(1)), "trailing.distance"),
        (lambda: Trailing(D("0.1"), D("-0.1")), "trailing.activation"),
        (lambda: BreakEven(D("0.02"), D("0.02")), "breakEven.offset"),
        (lambda: BreakEven(D(0)), "breakEven.after"),
        (lambda: ExitRules(take_profit=levels(("0.2", "0.5"), ("0.1", "0.5"))), "exits.takeProfit[1].profit"),
        (lambda: ExitRules(take_profit=levels(("0.1", "0.5"), ("0.1", "0.5"))), "exits.takeProfit[1].profit"),
        (lambda: ExitRules(take_profit=levels(("0.1", "0.6"), ("0.2", "0.5"))), "exits.takeProfit[1].share"),
        (lambda: ExitRules(take_profit=levels(("0.0009", "1"))), "exits.takeProfit[0].profit"),
        (lambda: ExitRules(take_profit=levels(("10.1", "1"))), "exits.takeProfit[0].profit"),
        (lambda: ExitRules(take_profit=levels(*((f"0.{n}", "0.1") for n in range(1, 8)))), "exits.takeProfit"),
        (lambda: plan(rules=ExitRules(stop_price=D(100))), "plan.rules.stopPrice"),
        (lambda: plan(rules=ExitRules(stop_price=D(99)), side="short"), "plan.rules.stopPrice"),
        (lambda: plan(rules=ExitRules(take_profit=ladder("normal")), side="short"), "plan.rules.takeProfit[1].profit"),
        (lambda: plan(rules=ExitRules(trailing=Trailing(D("0.1"), D(1))), side="short"), "plan.rules.trailing"),
        (lambda: plan(side="up"), "plan.side"),
        (lambda: plan(quantity="0"), "plan.quantity"),
        (lambda: plan(entry="-1"), "plan.entryPrice"),
        (lambda: plan(""), "plan.id"),
        (lambda: plan(symbol="btc_usdt"), "plan.symbol"),
        (lambda: plan(opened_ns=-1), "plan.openedNs"),
        (lambda: ExitBook("0s"), "exits.maxAge"),
        (lambda: ExitBook().resize("p", D(1)), "plan"),
    ],
)
def test_wrong_input_names_its_field(make: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        make()
    assert raised.value.path.startswith(path)


def test_a_plan_of_the_same_id_is_refused() -> None:
    book = ExitBook()
    book.open(plan("p"))
    with pytest.raises(InvalidInput, match=r"plan\.id"):
        book.open(plan("p"))
    with pytest.raises(InvalidInput, match="an empty book"):
        book.restore([], [], 0)


@pytest.mark.parametrize("name", LADDERS)
def test_every_ladder_may_be_asked_for_by_name(name: str) -> None:
    assert ExitRules(take_profit=ladder(name)).take_profit == LADDERS[name]
    assert sum(level.share for level in LADDERS[name]) <= 1


def test_ladders_are_those_of_the_tables() -> None:
    assert LADDERS["balanced"] == levels(("0.05", "0.25"), ("0.12", "0.35"), ("0.2", "0.25"), ("0.35", "0.15"))
    assert LADDERS["diamond"][-1] == Target(D(20), D("0.2"))
    assert ladder("highPriceIncrease") is LADDERS["high_price_increase"]


MODEL = {
    "stopLoss": {"type": "percentage", "value": 5},
    "takeProfit": {"type": "percentage", "value": 15},
    "trailing": {"enabled": True, "activationPct": 10, "trailingPct": 3},
}


class TestReading:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            (
                MODEL,
                ExitRules(
                    stop_loss=D("0.05"), take_profit=levels(("0.15", "1")), trailing=Trailing(D("0.03"), D("0.1"))
                ),
            ),
            ({"stopLoss": {"type": "percentage", "value": 0.04}}, ExitRules(stop_loss=D("0.04"))),
            (
                {"stopLoss": 0.05, "takeProfit": 0.15},
                ExitRules(stop_loss=D("0.05"), take_profit=levels(("0.15", "1"))),
            ),
            ({"stop_loss_pct": "0.5"}, ExitRules(stop_loss=D("0.005"))),
            (
                {"stopLossPct": 3, "takeProfitPct": 15},
                ExitRules(stop_loss=D("0.03"), take_profit=levels(("0.15", "1"))),
            ),
            ({"takeProfit": "diamond", "maxHold": "300s"}, ExitRules(take_profit=ladder("diamond"), max_hold="5m")),
            (
                {"take_profit": [{"profitPct": 5, "sharePct": 40}, {"profit": "0.1", "share": 0.6}]},
                ExitRules(take_profit=levels(("0.05", "0.4"), ("0.1", "0.6"))),
            ),
            ({"trailing": {"enabled": True, "trailingPercent": 1}}, ExitRules(trailing=Trailing(D("0.01")))),
            ({"stopPrice": "90", "trailing": {"enabled": False, "distance": 5}}, ExitRules(stop_price=D(90))),
            (
                {"breakEven": {"afterPct": 3, "offset": "0.002"}, "hardStopPct": 10, "ratchetPct": "0.2"},
                ExitRules(break_even=BreakEven(D("0.03"), D("0.002")), hard_stop=D("0.1"), ratchet=D("0.002")),
            ),
        ],
    )
    def test_forms(self, document: dict[str, Any], expected: ExitRules) -> None:
        assert read_rules(document) == expected

    @pytest.mark.parametrize(
        ("document", "path"),
        [
            ({"stopLos": 1}, "exits.stopLos"),
            ({"stopLoss": 5}, "exits.stopLoss"),
            ({"stopLoss": "0.05", "stopLossPct": 5}, "exits.stopLossPct"),
            ({"stopLoss": {"type": "absolute", "value": 5}}, "exits.stopLoss"),
            ({"stopLoss": float("nan")}, "exits.stopLoss"),
            ({"stopPricePct": 5}, "exits.stopPricePct"),
            ({"takeProfit": "moon"}, "exits.takeProfit"),
            ({"takeProfit": [5]}, "exits.takeProfit[0]"),
            ({"takeProfit": [{"share": 1}]}, "exits.takeProfit[0].profit"),
            ({"takeProfit": [{"profit": 1, "profitPct": 1}]}, "exits.takeProfit[0].profitPct"),
            ({"trailing": {"enabled": "yes", "distance": "0.1"}}, "exits.trailing.enabled"),
            ({"trailing": {"distnce": "0.1"}}, "exits.trailing.distnce"),
            ({"trailing": 5}, "exits.trailing"),
            ({}, "exits"),
        ],
    )
    def test_wrong_documents(self, document: dict[str, Any], path: str) -> None:
        with pytest.raises(InvalidInput) as raised:
            read_rules(document)
        assert raised.value.path == path

    def test_durations(self) -> None:
        assert held_for("300 seconds") == "5m"
