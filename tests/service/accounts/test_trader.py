"""On which account an intent is placed, and what a person is told of what became of orders."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.engine.support import live
from tests.trading.support import RULES, SPOT, D, intent
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Alert
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput
from tickwork.service.accounts.events import OrderInDoubt
from tickwork.service.accounts.telling import lines_after
from tickwork.service.accounts.trader import LiveTrader
from tickwork.service.trading import OrderEnded, OrderRefused
from tickwork.values import from_ns


def trader() -> LiveTrader:
    def account(name: str, venue: str) -> Any:
        return SimpleNamespace(name=name, venue=SimpleNamespace(name=venue), currency="USDT")

    accounts = {
        "main": account("main", "mexc"),
        "second": account("second", "mexc"),
        "other": account("other", "binance"),
    }
    return LiveTrader(
        accounts, rules={"mexc": RULES, "binance": RULES}, fees={"mexc": D(0), "binance": D(0)}, quotes=lambda *_: None
    )


def test_an_intent_is_placed_on_the_account_it_names() -> None:
    assert trader().account_of(intent(account="second")).name == "second"
    assert trader().account_of(intent(account="main"), "mexc").name == "main"
    assert trader().account_of(intent(account="main"), "binance").name == "other", "another venue: its account"


def test_an_account_or_a_venue_that_is_not_there_is_no_other_one() -> None:
    with pytest.raises(InvalidInput, match=r"intent\.account"):
        trader().account_of(intent(account="zzz"))
    with pytest.raises(InvalidInput, match="venue"):
        trader().account_of(intent(account="main"), "kraken")


@live
async def test_what_a_person_is_told() -> None:
    async with Engine("memory:", clock=VirtualClock()) as engine:
        common: dict[str, Any] = {"account": "main", "workflow": "w", "symbol": SPOT}
        engine.post(OrderRefused(run="r1", side="buy", rule="halt", limit="x", actual="y", **common))
        at = from_ns(engine.clock.now())
        engine.post(OrderEnded(client_order_id="a" * 32, status="filled", reason="", known_at=at, **common))
        engine.post(
            OrderInDoubt(
                venue="mexc",
                client_order_id="b" * 32,
                side="buy",
                quantity=D(1),
                why="no answer",
                stuck=False,
                **common,
            )
        )
        engine.post(Alert(run="", what="something", detail="of note"))
        await engine.durable()
        told = list(lines_after(engine.queries, 0))
        assert [line.partition(" ")[2] for _, line in told] == [
            f"w: buy {SPOT} refused by halt: limit x, actual y",
            f"order {'b' * 32} in {SPOT} is in doubt: no answer",
            "ALERT something: of note",
        ]
        assert list(lines_after(engine.queries, told[-1][0])) == []
