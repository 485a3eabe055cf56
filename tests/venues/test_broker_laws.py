"""Laws of both brokers' adapters: whatever happens on the wire, an order that is followed up as the desk does is one.

The follow-up: certain is believed, not sent is sent again, unknown is looked for, and sent again only once it is not
found after the grace the adapter declares. Both servers take what comes: Hyperliquid's even takes a client id twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from tests.venues.alpaca import staging as alpaca
from tests.venues.approved import KEY1, approved
from tests.venues.hyperliquid import staging as hyperliquid
from tests.venues.loopback import Line
from tickwork.errors import Fatal, NotSent, Retryable
from tickwork.outcome import Found
from tickwork.trading.orders import ApprovedOrder
from tickwork.trading.venue import VenuePort

SUBMIT = ("POST", "client_order_id"), ("POST", '"order"')
LOOK = ("GET", "/v2/orders"), ("POST", "orderStatus"), ("POST", "clearinghouseState")

faults = strategies.lists(
    strategies.tuples(
        strategies.sampled_from([*SUBMIT, *SUBMIT, *LOOK]),
        strategies.one_of(
            strategies.builds(lambda late: {"late": late}, strategies.integers(1, 6)),
            strategies.builds(
                lambda before, how: {"before": before, **how},
                strategies.booleans(),
                strategies.sampled_from(
                    [
                        {"drop": True},
                        {"status": 500, "body": "null"},
                        {"status": 200, "body": "<html>"},
                        {"status": 200, "body": '{"status":"ok"}'},
                    ]
                ),
            ),
            strategies.just({"before": True, "status": 429, "body": '{"message":"too many requests."}'}),
        ),
    ),
    max_size=6,
)


async def followed(
    venue: VenuePort, order: ApprovedOrder, pause: Callable[[timedelta], None], *, impatient: bool = False
) -> bool:
    """Is there an order in the end?"""
    for _ in range(20):
        try:
            await venue.submit(order, KEY1)
        except NotSent:
            continue
        except Fatal:
            return False
        except Retryable:
            if impatient or not await _looked(venue, order, pause):
                continue
        return True
    raise AssertionError("it takes too long")


async def _looked(venue: VenuePort, order: ApprovedOrder, pause: Callable[[timedelta], None]) -> bool:
    missing = False
    for _ in range(20):
        try:
            found = await venue.find(KEY1, order.symbol)
        except (Retryable, Fatal):  # the look failed: look again
            missing = False
            continue
        if isinstance(found, Found) or missing:
            return isinstance(found, Found)
        missing = True
        pause(venue.capabilities.grace)
    raise AssertionError("it takes too long")


def _queue(line: Line, wrong: list[tuple[tuple[str, str], dict[str, Any]]]) -> None:
    for (method, part), fault in wrong:
        line.fail(method, part, **fault)


async def alpacas(wrong: Any, reduces: bool) -> tuple[bool, int]:
    async with alpaca.staged() as stage:
        if reduces:
            await stage.venue.submit(approved("AAPL", "buy", "10"), f"{2:032x}")
            await stage.trade_at(stage.price)
        side: Any = "sell" if reduces else "buy"
        _queue(stage.broker.line, wrong)
        there = await followed(stage.venue, approved("AAPL", side, "10", reduce_only=reduces), lambda grace: None)
        await stage.broker.line.deliver(everything=True)
        return there, len([order for order in stage.broker.orders if order["client_order_id"] == KEY1])


async def hyperliquids(wrong: Any, reduces: bool, impatient: bool = False) -> tuple[bool, int]:
    async with hyperliquid.staged() as stage:
        symbol = hyperliquid.SYMBOL
        if reduces:
            await stage.venue.submit(approved(symbol, "buy", "1"), f"{2:032x}")

        def pause(grace: timedelta) -> None:
            stage.exchange.now_ms += grace // timedelta(milliseconds=1) + 1

        side: Any = "sell" if reduces else "buy"
        order = approved(symbol, side, "0.01", reduce_only=reduces)
        _queue(stage.exchange.line, wrong)
        there = await followed(stage.venue, order, pause, impatient=impatient)
        await stage.exchange.line.deliver(everything=True)
        return there, len([row for row in stage.exchange.orders if row["order"]["cloid"] == f"0x{KEY1}"])


@settings(max_examples=40, deadline=None)
@given(faults, strategies.booleans())
def test_law_an_order_at_alpaca_is_one(wrong: Any, reduces: bool) -> None:
    there, count = asyncio.run(alpacas(wrong, reduces))
    assert there
    assert count == 1


@settings(max_examples=40, deadline=None)
@given(faults, strategies.booleans())
def test_law_an_order_at_hyperliquid_is_one(wrong: Any, reduces: bool) -> None:
    there, count = asyncio.run(hyperliquids(wrong, reduces))
    assert there
    assert count == 1


def test_the_law_is_able_to_fail() -> None:
    """Whoever sends again without a look has two orders."""
    wrong = [(("POST", '"order"'), {"drop": True})]
    assert asyncio.run(hyperliquids(wrong, reduces=False, impatient=True)) == (True, 2)


@pytest.mark.parametrize("broker", ["alpaca", "hyperliquid"])
def test_a_submission_that_is_cancelled_may_be_there(broker: str) -> None:
    """A cancelled await closes the connection: nothing goes on behind our back, and what arrived is found."""

    async def play(stage: Any, line: Line, order: ApprovedOrder) -> None:
        line.fail("POST", "client_order_id" if broker == "alpaca" else '"order"', stall=True)
        task = asyncio.create_task(stage.venue.submit(order, KEY1))
        await line.stalled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await stage.venue.find(KEY1, order.symbol), Found)
        assert [one async for one in stage.venue.updates()] == []

    async def at_alpaca() -> None:
        async with alpaca.staged() as stage:
            await play(stage, stage.broker.line, approved("AAPL", "buy", "10", limit="180"))

    async def at_hyperliquid() -> None:
        async with hyperliquid.staged() as stage:
            order = approved(hyperliquid.SYMBOL, "buy", "0.01", limit="45000")
            await play(stage, stage.exchange.line, order)

    asyncio.run(at_alpaca() if broker == "alpaca" else at_hyperliquid())
