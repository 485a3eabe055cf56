"""What worlds have found, each as the small case that it comes down to."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.trading.support import intent
from tests.trading.world import Play
from tests.venues.ccxt.support import PRICE, SPOT, approved, client_id, in_loop, world
from tickwork import Run, workflow
from tickwork.core.clock import VirtualClock
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import Rejected, Retryable
from tickwork.outcome import NotFound
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import Order
from tickwork.trading.reservations import Reservations


@in_loop
async def test_both_sides_of_a_trade_with_ourselves_are_booked() -> None:
    # two workflows on one account: the sale of one takes the resting purchase of the other, in one trade of one number
    async with world("mexc", {"levels": 0}) as (here, venue):
        here.exchange.deposit("main", "BTC", "1")
        await venue.submit(approved("buy", "0.01", limit=PRICE), client_id(1))
        await venue.submit(approved("sell", "0.01", limit=PRICE), client_id(2))
        fills = await venue.fills(SPOT, 0)
        assert sorted(fill.side for fill in fills) == ["buy", "sell"]
        assert len({fill.fill_id for fill in fills}) == 2
        ledger = Ledger({"USDT": Decimal(100_000)})
        assert all(ledger.apply(fill) for fill in fills)
        assert ledger.quantity(SPOT) == 0
        assert ledger.cash("USDT") == here.exchange.account("main").of("USDT").total


@in_loop
async def test_a_position_whose_fee_was_taken_in_the_coin_can_be_closed() -> None:
    async with world("binance", {"taker_fee": Decimal("0.001")}) as (here, venue):
        await venue.submit(approved("buy", "0.01"), client_id(1))
        ledger = Ledger({"USDT": Decimal(100_000)})
        fills = await venue.fills(SPOT, 0)
        assert all(ledger.apply(fill) for fill in fills)
        rules = await venue.rules([SPOT])
        gate = RiskGate(RiskLimits(max_order_notional=Decimal(1), max_position_notional=Decimal(1)), rules)
        stop = intent("sell", "0.01", reduce_only=True)
        decision = gate.check(
            stop, ledger=ledger, reservations=Reservations(), quote=None, now=here.clock(), halt=Halt("halt", "a test")
        )
        assert decision.approval is not None
        assert decision.approval.quantity == Decimal("0.00999")
        ack = await venue.submit(gate.seal(decision.approval), client_id(2))  # it was "insufficient balance"
        assert ack.status == "filled"


def test_a_cancel_of_an_order_that_the_venue_does_not_show_yet_is_not_told_as_no_such_order() -> None:
    play = Play(":memory:")
    play.start(intent(limit_price=Decimal(90)))
    play.finish()
    ((approval, ack),) = play.accepted()

    async def nothing(key: str) -> Order:
        raise Rejected("test", "no order has this client id")

    play.paper.cancel = nothing  # type: ignore[method-assign,assignment] # a list that lags behind
    with pytest.raises(Retryable):
        _driven(play.desk._cancel(ack.client_order_id, approval.intent.symbol, key="0" * 32))
    with pytest.raises(Rejected):
        _driven(play.desk._cancel("f" * 32, approval.intent.symbol, key="1" * 32))


def _driven(coroutine: object) -> None:
    while True:
        try:
            coroutine.send(None)  # type: ignore[attr-defined] # a coroutine
        except StopIteration:
            return


def test_what_is_not_found_is_looked_for_less_and_less_often() -> None:
    looked, made, clock = list[int](), list[int](), VirtualClock()

    async def lost(*, key: str) -> None:
        made.append(clock.now())
        if len(made) == 1:
            raise ConnectionError("no answer")

    async def look(key: str) -> NotFound:
        looked.append(clock.now())
        return NotFound()

    @workflow("loses")
    async def loses(run: Run) -> None:
        await run.effect("lost", lost, lookup=look, grace=timedelta(seconds=36))

    async def play() -> None:
        async with Engine("memory:", workflows=[loses], clock=clock, seed=1) as engine:
            await (await engine.start(loses)).result()

    asyncio.run(play())
    assert len(looked) <= 12  # each asks a venue for up to four lists
    assert len(made) == 2
    assert made[1] - looked[0] == 36_000_000_000
    assert looked[-1] == made[1]
