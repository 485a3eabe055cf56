"""The list of orders is read backwards: it is what reading forwards, to the end, gives."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tickwork.core.event import Event
from tickwork.engines.embedded import Engine
from tickwork.service.accounts.events import OrderCleared, OrderDisowned, OrderInDoubt
from tickwork.service.orders import OrderLine, orders, told, trading_events
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled, OrderRefused

NOW = datetime(2026, 1, 1, tzinfo=UTC)
D = Decimal


def event(what: str, number: int) -> Event:
    key, common = f"{number:032x}", {"account": f"a{number % 2}", "workflow": "w", "symbol": "BTC/USDT"}
    more: dict[str, Any] = {**common, "client_order_id": key}
    match what:
        case "accepted":
            return OrderAccepted(
                **more, run="r", venue="v", venue_order_id="1", side="buy", type="market", quantity=D(3),
                reduce_only=False, reason="", quote_time=NOW, recording="",
            )  # fmt: skip
        case "filled":
            return OrderFilled(
                **more, venue="v", fill_id="1", venue_order_id="1", side="buy", price=D(5), quantity=D(1), fee=D(0),
                fee_currency="USDT", time=NOW, known_at=NOW,
            )  # fmt: skip
        case "ended":
            return OrderEnded(**more, status="cancelled", reason="", known_at=NOW)
        case "doubt":
            return OrderInDoubt(**more, venue="v", side="buy", quantity=D(3), why="lost", stuck=False)
        case "stuck":
            return OrderInDoubt(**more, venue="v", side="buy", quantity=D(3), why="lost", stuck=True)
        case "found":
            return OrderCleared(account=common["account"], client_order_id=key, found=True, state="filled")
        case "gone":
            return OrderCleared(account=common["account"], client_order_id=key, found=False, state="")
        case "disowned":
            return OrderDisowned(account=common["account"], client_order_id=key, by="me", reason="looked")
        case _:
            return OrderRefused(**common, run="r", side="buy", rule="halt", limit="", actual="")


LIVES = [
    ["accepted", "filled", "filled", "ended"],
    ["accepted", "ended"],
    ["accepted"],
    ["doubt", "found", "filled", "accepted", "ended"],
    ["doubt", "stuck", "found", "accepted", "filled"],
    ["doubt", "gone"],
    ["doubt", "stuck", "disowned"],
    ["doubt"],
    ["filled", "ended"],
    ["refused"],
]


@st.composite
def tapes(draw: st.DrawFn) -> list[tuple[str, int]]:
    """The events of some orders, each in its order, all mixed."""
    lives = [list(one) for one in draw(st.lists(st.sampled_from(LIVES), max_size=6))]
    mixed: list[tuple[str, int]] = []
    while any(lives):
        number = draw(st.sampled_from([number for number, one in enumerate(lives) if one]))
        mixed.append((lives[number].pop(0), number))
    return mixed


def forwards(events: list[tuple[int, int, Event]]) -> list[OrderLine]:
    lines: dict[str, OrderLine] = {}
    for one in events:
        told(lines, *one)
    return sorted(lines.values(), key=lambda line: line.seq, reverse=True)


@settings(deadline=None, max_examples=60)
@given(tapes(), st.integers(1, 4))
def test_backwards_is_forwards(tape: list[tuple[str, int]], limit: int) -> None:
    @live
    async def told_of() -> None:
        async with Engine("memory:") as engine:
            for what, number in tape:
                engine.post(event(what, number))
            await engine.durable()
            expected = forwards(list(trading_events(engine.queries)))
            assert orders(engine.queries, limit=100) == expected
            mine = orders(engine.queries, limit=100, accounts=frozenset({"a1"}))
            assert mine == [line for line in expected if line.account == "a1"]
            paged: list[OrderLine] = []
            while page := orders(engine.queries, limit=limit, before=paged[-1].seq if paged else None):
                paged += page
            assert paged == expected

    told_of()
