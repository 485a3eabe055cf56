"""Every rule of the gate, of account, workflow and symbol: what refuses, who is named, what warns, what is unknown."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.trading.support import RULES, SPOT, START, SWAP, D, fill, intent, quote
from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.market.sessions import Sessions
from tickwork.trading.activity import Activity
from tickwork.trading.gate import Decision, RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.limits import Limits, RiskLimits, RiskRules
from tickwork.trading.matching import TradingRules
from tickwork.trading.measures import RULES as COUNTED
from tickwork.trading.orders import OrderIntent
from tickwork.trading.reservations import Reservations

SECOND = 1_000_000_000
ETH = "ETH/USDT"
BTC_PAID = "ETH/BTC"
EUR = "BTC/EUR"
SYMBOLS = (SPOT, SWAP, ETH, BTC_PAID, EUR)
VENUE = {name: replace(RULES[SPOT], symbol=name) for name in SYMBOLS}
USDT_ONLY = {name: VENUE[name] for name in (SPOT, SWAP, ETH)}


class Shown:
    """What the gate is shown; every part can be changed."""

    def __init__(self) -> None:
        self.ledger = Ledger({"USDT": D(10_000)})
        self.reservations = Reservations()
        self.activity: Activity | None = Activity("USDT")
        self.activity.marked(D(1_000), START)
        self.quotes: dict[str, Any] = {name: quote(symbol=name) for name in SYMBOLS}
        self.now = START
        self.number = 0

    def hold(self, symbol: str, quantity: str, workflow: str = "test") -> None:
        self.number += 1
        one = fill(self.number, "buy" if D(quantity) > 0 else "sell", abs(D(quantity)), 100, symbol=symbol)
        self.ledger.apply(one)
        assert self.activity is not None
        self.activity.filled(one, workflow)

    def judge(self, rules: RiskRules, wanted: OrderIntent, **changes: Any) -> Decision:
        gate = RiskGate(rules, changes.pop("venue", USDT_ONLY), markets=Sessions, **changes)
        decision = gate.check(
            wanted,
            ledger=self.ledger,
            reservations=self.reservations,
            quote=self.quotes.get(wanted.symbol),
            now=self.now,
            halt=Halt(),
            activity=self.activity,
            marks=self.quotes.get,
        )
        if decision.approval is not None:
            self.number += 1
            self.reservations.decide(f"t{self.number}", decision.approval)
            if self.activity is not None:
                self.activity.decided(decision.approval)
        return decision


def rules(scope: str = "account", **limits: Any) -> RiskRules:
    account: dict[str, Any] = {"max_order_notional": D(10**6), "max_position_notional": D(10**6)}
    if scope == "account":
        return RiskRules(account=RiskLimits(**{**account, **limits}))
    one = Limits(**limits)
    wide = RiskLimits(**account)
    name = scope.partition(" ")[2]
    if scope.startswith("workflow"):
        return RiskRules(account=wide, workflows={name: one, "another": Limits(max_open_orders=0)})
    return RiskRules(account=wide, symbols={name: one, ETH: Limits(max_open_orders=0)})


def verdict(decision: Decision) -> tuple[str, str]:
    assert (decision.approval is None) != (decision.refusal is None)
    return (decision.refusal.rule, decision.refusal.scope) if decision.refusal else ("approved", "")


ALL = ("account", "workflow test", f"symbol {SPOT}")
NOT_SYMBOL = ALL[:2]


@pytest.mark.parametrize("scope", ALL)
@pytest.mark.parametrize(
    ("limits", "fits", "too_much", "rule"),
    [
        ({"max_order_notional": D(500)}, "5", "5.0001", ""),
        ({"max_position_notional": D(500)}, "3", "3.0001", ""),  # 2 are held
        ({"max_concentration": D("0.5")}, "3", "3.0001", ""),
        ({"min_notional": D(50)}, "0.5", "0.4999", ""),
    ],
)
def test_amounts(scope: str, limits: dict[str, Any], fits: str, too_much: str, rule: str) -> None:
    for quantity, expected in ((fits, ("approved", "")), (too_much, (next(iter(limits)), scope))):
        shown = Shown()
        shown.hold(SPOT, "2")
        assert verdict(shown.judge(rules(scope, **limits), intent(quantity=quantity))) == expected


@pytest.mark.parametrize("scope", NOT_SYMBOL)
@pytest.mark.parametrize("limits", [{"max_exposure": D(700)}, {"max_leverage": D("0.7")}])
def test_exposure_is_summed_over_symbols(scope: str, limits: dict[str, Any]) -> None:
    for quantity, expected in (("2", ("approved", "")), ("2.0001", (next(iter(limits)), scope))):
        shown = Shown()
        shown.hold(SPOT, "2")
        shown.hold(ETH, "3")
        assert verdict(shown.judge(rules(scope, **limits), intent(quantity=quantity))) == expected
    shown = Shown()
    shown.hold(SPOT, "60")
    assert verdict(shown.judge(rules(scope, **limits), intent("sell", "9"))) == ("approved", "")  # adds nothing


def test_another_workflows_orders_do_not_count_for_this_one() -> None:
    shown = Shown()
    shown.hold(SPOT, "9", workflow="other")
    assert verdict(shown.judge(rules("workflow test", max_exposure=D(100)), intent())) == ("approved", "")
    assert verdict(shown.judge(rules("account", max_exposure=D(1_000)), intent())) == ("max_exposure", "account")


def test_a_workflows_limit_never_loosens_the_accounts() -> None:
    both = RiskRules(
        account=RiskLimits(max_order_notional=D(100), max_position_notional=D(100)),
        workflows={"test": Limits(max_order_notional=D(900))},
        symbols={SPOT: Limits(max_order_notional=D(900))},
    )
    assert verdict(Shown().judge(both, intent(quantity="2"))) == ("max_order_notional", "account")


@pytest.mark.parametrize("scope", NOT_SYMBOL)
def test_positions_are_counted_with_what_is_on_its_way(scope: str) -> None:
    shown, limited = Shown(), rules(scope, max_positions=2)
    shown.hold(SPOT, "1")
    assert verdict(shown.judge(limited, intent(symbol=ETH))) == ("approved", "")
    assert verdict(shown.judge(limited, intent(symbol=SWAP))) == ("max_positions", scope)
    assert verdict(shown.judge(limited, intent(symbol=ETH))) == ("approved", "")


@pytest.mark.parametrize("scope", ALL)
@pytest.mark.parametrize("rule", ["max_open_orders", "max_orders_per_minute"])
def test_orders_are_counted(scope: str, rule: str) -> None:
    shown, limited = Shown(), rules(scope, **{rule: 2})
    for _ in range(2):
        assert verdict(shown.judge(limited, intent())) == ("approved", "")
    refusal = shown.judge(limited, intent()).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.scope, refusal.limit, refusal.actual) == (rule, scope, "2", "3")
    shown.now += 60 * SECOND
    shown.quotes[SPOT] = quote(time_ns=shown.now)
    assert (verdict(shown.judge(limited, intent()))[0] == "approved") == (rule == "max_orders_per_minute")


@pytest.mark.parametrize(
    ("limits", "equity", "expected"),
    [
        ({"max_daily_loss": D(100)}, 901, "approved"),
        ({"max_daily_loss": D(100)}, 900, "max_daily_loss"),
        ({"max_daily_loss_fraction": D("0.1")}, 901, "approved"),
        ({"max_daily_loss_fraction": D("0.1")}, 900, "max_daily_loss_fraction"),
        ({"max_drawdown": D("0.1")}, 901, "approved"),
        ({"max_drawdown": D("0.1")}, 900, "max_drawdown"),
        ({"max_drawdown": D("0.1")}, 2_000, "approved"),
    ],
)
def test_losses(limits: dict[str, Any], equity: int, expected: str) -> None:
    shown = Shown()
    assert shown.activity is not None
    shown.activity.marked(D(equity), START + 1)
    assert verdict(shown.judge(rules(**limits), intent()))[0] == expected
    stop = intent("sell", "1", reduce_only=True)
    shown.hold(SPOT, "1")
    assert verdict(shown.judge(rules(**limits), stop))[0] == "approved"


def test_a_workflows_loss_is_its_own() -> None:
    shown, limited = Shown(), rules("workflow test", max_daily_loss=D(20))
    assert shown.activity is not None
    shown.activity.filled(fill(1, "buy", 1, 100, 25), "other")
    assert verdict(shown.judge(limited, intent())) == ("approved", "")
    shown.activity.filled(fill(2, "buy", 1, 100, 25), "test")
    assert verdict(shown.judge(limited, intent())) == ("max_daily_loss", "workflow test")


EQUITY_RULES = [
    {"max_concentration": D(9)},
    {"max_leverage": D(9)},
    {"max_daily_loss": D(900)},
    {"max_daily_loss_fraction": D("0.9")},
    {"max_drawdown": D("0.9")},
]


@pytest.mark.parametrize("limits", EQUITY_RULES)
@pytest.mark.parametrize("why", ["no activity", "never measured", "old", "zero", "negative"])
def test_without_a_fresh_equity_nothing_that_needs_it_passes(limits: dict[str, Any], why: str) -> None:
    shown = Shown()
    assert shown.activity is not None
    if why == "no activity":
        shown.activity = None
    elif why == "never measured":
        shown.activity = Activity("USDT")
    elif why == "old":
        shown.now += 301 * SECOND
        shown.quotes[SPOT] = quote(time_ns=shown.now)
    else:
        shown.activity.marked(D(0) if why == "zero" else D(-5), START + 1)
    refusal = shown.judge(rules(**limits), intent()).refusal
    assert refusal is not None
    assert refusal.rule == next(iter(limits))
    assert refusal.actual.startswith("none") or why in ("zero", "negative")


@pytest.mark.parametrize("limits", [{"max_exposure": D(10**5)}, {"max_leverage": D(100)}])
@pytest.mark.parametrize("wrong", [None, "old", "NaN", "0", "Infinity", "-1"])
def test_without_a_fresh_price_of_what_is_held_exposure_is_not_known(limits: dict[str, Any], wrong: str | None) -> None:
    shown = Shown()
    shown.hold(ETH, "1")
    assert verdict(shown.judge(rules(**limits), intent()))[0] == "approved"
    if wrong is None:
        del shown.quotes[ETH]
    elif wrong == "old":
        shown.quotes[ETH] = quote(symbol=ETH, time_ns=START - 31 * SECOND)
    else:
        shown.quotes[ETH] = SimpleNamespace(symbol=ETH, bid=D(wrong), ask=D(wrong), time_ns=START)
    refusal = shown.judge(rules(**limits), intent()).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.actual[:4]) == (next(iter(limits)), "none")
    assert ETH in refusal.actual


def test_a_price_that_grew_old_since_it_was_used_is_not_used_again() -> None:
    shown, limited = Shown(), rules(max_exposure=D(10**5))
    gate = RiskGate(limited, USDT_ONLY)
    shown.hold(ETH, "1")
    said = []
    for now in (START, START + 31 * SECOND):
        decision = gate.check(
            intent(),
            ledger=shown.ledger,
            reservations=shown.reservations,
            quote=quote(time_ns=now),
            now=now,
            halt=Halt(),
            marks=shown.quotes.get,
        )
        said.append(verdict(decision)[0])
    assert said == ["approved", "max_exposure"]


def test_money_of_another_currency_is_converted_at_a_fresh_price() -> None:
    limited = replace(rules(max_order_notional=D(500), max_exposure=D(600)), currency="USDT")
    shown = Shown()
    shown.quotes[EUR] = quote("50", symbol=EUR)
    wanted = intent(symbol=EUR, quantity="5", reference_price=D(50))  # 250 EUR
    refusal = shown.judge(limited, wanted, venue=VENUE).refusal
    assert refusal is not None
    assert refusal.actual == "none: no price of EUR/USDT"
    shown.quotes["EUR/USDT"] = Quote("EUR/USDT", "test", START, D(2), D(2))
    assert verdict(shown.judge(limited, wanted, venue=VENUE))[0] == "approved"
    assert verdict(shown.judge(limited, intent(quantity="1"), venue=VENUE))[0] == "approved"  # 500 + 100
    refusal = shown.judge(limited, intent(quantity="0.01"), venue=VENUE).refusal
    assert refusal is not None
    assert (refusal.rule, refusal.actual) == ("max_exposure", "601.0000")
    shown.quotes["EUR/USDT"] = Quote("EUR/USDT", "test", START, D(1), D(1))
    assert verdict(shown.judge(limited, intent(quantity="0.01"), venue=VENUE))[0] == "approved"


def test_amounts_of_several_currencies_are_not_added_up() -> None:
    shown = Shown()
    refusal = shown.judge(rules(max_exposure=D(10**6)), intent(), venue=VENUE).refusal
    assert refusal is not None
    assert "state no currency" in refusal.actual
    assert verdict(shown.judge(rules(), intent(), venue=VENUE))[0] == "approved"


@pytest.mark.parametrize("scope", NOT_SYMBOL)
@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"allowed_symbols": (SPOT,)}, "approved"),
        ({"allowed_symbols": (ETH,)}, "allowed_symbols"),
        ({"allowed_symbols": ()}, "allowed_symbols"),
        ({"forbidden_symbols": (SPOT,)}, "forbidden_symbols"),
        ({"forbidden_symbols": (ETH,)}, "approved"),
    ],
)
def test_symbols(scope: str, limits: dict[str, Any], expected: str) -> None:
    decision = Shown().judge(rules(scope, **limits), intent())
    assert verdict(decision) == (expected, scope if expected != "approved" else "")


@pytest.mark.parametrize("scope", ALL)
@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ("24/7", "approved"),
        ("22:00-23:00 UTC", "approved"),  # it is 22:13:20 on Tuesday, 14 November 2023
        ("wed 22:00-23:00 UTC", "session"),
        ("NYSE", "session"),
    ],
)
def test_sessions(scope: str, session: str, expected: str) -> None:
    assert verdict(Shown().judge(rules(scope, session=session), intent()))[0] == expected


def test_a_day_that_no_table_covers_refuses() -> None:
    shown = Shown()
    shown.now = START + 10**18  # the year 2055
    shown.quotes[SPOT] = quote(time_ns=shown.now)
    refusal = shown.judge(rules(session="NYSE"), intent()).refusal
    assert refusal is not None
    assert refusal.actual.startswith("none")


def test_a_market_that_nobody_knows_is_an_error_at_once() -> None:
    with pytest.raises(InvalidInput, match="session"):
        RiskGate(rules(session="NYSE"), USDT_ONLY)


@pytest.mark.parametrize("scope", ALL)
def test_the_narrowest_band_and_the_shortest_age_hold(scope: str) -> None:
    narrow = rules(scope, price_band=D("0.01"), max_quote_age="1 second", approval_ttl="2 seconds")
    shown = Shown()
    assert verdict(shown.judge(narrow, intent(reference_price=D("98.9")))) == ("price_band", scope)
    assert verdict(shown.judge(narrow, intent(limit_price=D("101.1")))) == ("limit_band", scope)
    approval = shown.judge(narrow, intent()).approval
    assert approval is not None
    assert approval.expires_at == START + 2 * SECOND
    shown.now += 2 * SECOND
    assert verdict(shown.judge(narrow, intent())) == ("quote_age", scope)


@pytest.mark.parametrize("off", [D(100), 1 / D(100)])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_price_off_by_a_hundred_is_refused(off: Any, side: Any) -> None:
    assert verdict(Shown().judge(rules(), intent(side, "0.01", reference_price=100 * off)))[0] == "price_band"
    if (side == "buy") == (off > 1):
        wanted = intent(side, "0.01", limit_price=100 * off)
        assert verdict(Shown().judge(rules(), wanted))[0] == "limit_band"


@pytest.mark.parametrize("quantity", ["NaN", "-1", "0", "Infinity"])
@pytest.mark.parametrize("reduce_only", [False, True])
def test_a_quantity_that_is_none_is_no_intent(quantity: str, reduce_only: bool) -> None:
    with pytest.raises(InvalidInput, match="quantity"):
        intent(quantity=quantity, reduce_only=reduce_only)


def test_an_orders_own_leverage() -> None:
    limited = rules(max_leverage=D(3))
    wanted = intent(symbol=SWAP, leverage=D(3), quantity="0.1")
    assert verdict(Shown().judge(limited, wanted))[0] == "approved"
    assert verdict(Shown().judge(limited, replace(wanted, leverage=D("3.1"))))[0] == "order_leverage"


def test_the_venues_smallest_and_largest_quantity() -> None:
    bounds: dict[str, TradingRules] = {SPOT: replace(VENUE[SPOT], min_quantity=D("0.5"), max_quantity=D(2))}
    for quantity, expected in (
        ("0.49", "min_quantity"),
        ("0.5", "approved"),
        ("2", "approved"),
        ("2.1", "max_quantity"),
    ):
        assert verdict(Shown().judge(rules(), intent(quantity=quantity), venue=bounds))[0] == expected


def test_a_warning_names_the_limit_that_is_near() -> None:
    decision = Shown().judge(rules(max_order_notional=D(1_000)), intent(quantity="8"))
    assert decision.approval is not None
    (warning,) = decision.approval.warnings
    assert (warning.rule, warning.scope, warning.limit, warning.actual, warning.used) == (
        "max_order_notional",
        "account",
        "1000",
        "800.0000",
        D("0.8000"),
    )
    later = rules(max_order_notional=D(1_000), warn_at=D("0.9"))
    decision = Shown().judge(later, intent(quantity="8"))
    assert decision.approval is not None
    assert decision.approval.warnings == ()


def test_how_the_limits_stand() -> None:
    shown = Shown()
    shown.hold(SPOT, "2")
    limited = RiskRules(
        account=RiskLimits(
            max_order_notional=D(500),
            max_position_notional=D(1_000),
            max_exposure=D(800),
            max_daily_loss=D(50),
            max_open_orders=4,
        ),
        workflows={"test": Limits(max_positions=2)},
    )
    gate = RiskGate(limited, USDT_ONLY)
    lines = gate.explain(
        ledger=shown.ledger,
        reservations=shown.reservations,
        now=START,
        activity=shown.activity,
        marks=shown.quotes.get,
    )
    assert [(one.rule, one.scope, one.limit, one.actual, one.used) for one in lines] == [
        ("max_open_orders", "account", "4", "0", D(0)),
        ("max_positions", "workflow test", "2", "1", D("0.5")),
        ("max_position_notional", f"account, {SPOT}", "1000", "200", D("0.2")),
        ("max_exposure", "account", "800", "200", D("0.25")),
        ("max_daily_loss", "account", "50", "0", D(0)),
    ]
    del shown.quotes[SPOT]
    blind = gate.explain(ledger=shown.ledger, reservations=shown.reservations, now=START, marks=shown.quotes.get)
    assert [one.actual[:4] for one in blind if one.used is None] == ["none"] * 3


def test_every_limit_is_counted_or_looked_at() -> None:
    """No field of ``Limits`` is only decoration."""
    looked_at = {
        "price_band", "min_notional", "allowed_symbols", "forbidden_symbols", "session", "max_quote_age",
        "max_equity_age", "approval_ttl", "warn_at", "max_failures", "failure_window",
    }  # fmt: skip
    assert {rule.limit for rule in COUNTED} | looked_at == set(Limits.__dataclass_fields__)


def test_a_position_that_can_be_sold_short_counts_unknown_reductions_too() -> None:
    for shorts, expected in ((False, "approved"), (True, "reduce_only")):
        shown = Shown()
        shown.hold(SPOT, "2")
        stop = intent("sell", "2", reduce_only=True)
        approval = shown.judge(rules(), stop, shorts=shorts).approval
        assert approval is not None
        shown.reservations = Reservations()
        shown.reservations.unresolve("a" * 32, approval)
        assert verdict(shown.judge(rules(), stop, shorts=shorts))[0] == expected


def test_reductions_are_cut_to_the_step() -> None:
    ledger = fold([fill(1, "buy", "1.00005", 100)])
    shown = Shown()
    shown.ledger = ledger
    approval = shown.judge(rules(), intent("sell", "9", reduce_only=True)).approval
    assert approval is not None
    assert approval.quantity == D("1.0000")
