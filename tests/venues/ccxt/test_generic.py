"""An exchange that nobody wrote a profile for: ccxt's ``binanceus`` against the simulated Binance."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.ccxt.support import KEY, SECRET, SPOT, World, approved, client_id, in_loop, world
from tickwork.errors import InvalidInput, NotSent, Rejected, Retryable, Unknown
from tickwork.outcome import Found, NotFound
from tickwork.sim.exchange.http import json_reply
from tickwork.trading.desk import CERTAIN
from tickwork.trading.orders import Fill, Order
from tickwork.venues.ccxt.profiles import PROFILES
from tickwork.venues.ccxt.venue import CcxtVenue
from tickwork.venues.ccxt.wire import Call, Lane, calling

ID = client_id(7)
AWAY = "54000"


class Unprofiled(World):
    """The simulated Binance, asked by a client without a profile."""

    def venue(self, **given: Any) -> CcxtVenue:
        self.kind = "binanceus"
        return super().venue(**given)


async def opened(**given: Any) -> tuple[World, CcxtVenue]:
    made = Unprofiled("binance")
    venue = made.venue(**given)
    await venue.rules([SPOT])
    return made, venue


@in_loop
async def test_what_is_lost_is_found_in_lists_and_absence_is_no_proof() -> None:
    made, venue = await opened()
    assert not venue.capabilities.absence_is_proof
    made.fault("drop_after", on="order.create", times=1)
    with pytest.raises(Unknown):
        await venue.submit(approved(limit=AWAY), ID)
    found = await venue.find(ID, SPOT)
    assert isinstance(found, Found)
    assert found.value.status == "acknowledged"
    assert (await venue.cancel(ID, SPOT)).status == "cancelled"
    assert (await venue.cancel(ID, SPOT)).status == "cancelled"
    assert isinstance(await venue.find(client_id(8), SPOT), NotFound)
    with pytest.raises(Rejected):
        await venue.cancel(client_id(8), SPOT)
    made.fault("drop_before", on="orders.history")
    with pytest.raises(Retryable):
        await venue.find(client_id(8), SPOT)
    await venue.close()


@in_loop
async def test_ccxts_classes_decide() -> None:
    made, venue = await opened()
    for status, code, words, end in (
        (400, -2010, "Account has insufficient balance for requested action.", Rejected),
        (400, -1121, "Invalid symbol.", Rejected),
        (401, -2015, "Invalid API-key, IP, or permissions for action.", Rejected),
        (400, -2010, "Duplicate order sent.", Unknown),
        (400, -31415, "new words", Unknown),
        (400, -1007, "Timeout waiting for response from backend server.", Unknown),
        (500, -2010, "Account has insufficient balance for requested action.", Unknown),
        (429, -1003, "Too much request weight used", NotSent),
    ):
        made.wire.on("POST", "/api/v3/order", json_reply({"code": code, "msg": words}, status))
        with pytest.raises(Exception) as raised:
            await venue.submit(approved(), ID)
        assert type(raised.value) is end or (end is Unknown and not isinstance(raised.value, CERTAIN)), code
    await venue.close()


@in_loop
async def test_fills_and_examine() -> None:
    made, venue = await opened()
    await venue.submit(approved(), ID)
    await venue.submit(approved("sell", "0.0005"), client_id(8))
    fills = await venue.fills(SPOT, 0)
    assert [(fill.client_order_id, fill.side) for fill in fills] == [(ID, "buy"), (client_id(8), "sell")]
    assert await venue.fills("", made.now_ns + 10**9) == []
    report = await venue.examine()
    assert (report.may_read, report.may_trade, report.may_withdraw) == (True, None, None)
    assert "cannot withdraw" in " ".join(report.notes)
    await venue.close()


@given(key=st.binary(min_size=16, max_size=16).map(bytes.hex))
def test_law_a_spelled_client_id_reads_back(key: str) -> None:
    for name, profile in PROFILES.items():
        spelled = profile.spelled(key)
        assert profile.read(spelled) == key, name
        assert len(spelled) <= {"mexc": 32, "binance": 36, "gate": 30}.get(name, 36)


@given(told=st.text(max_size=40))
def test_others_client_ids_are_read_as_they_are_or_not_at_all(told: str) -> None:
    for profile in PROFILES.values():
        assert isinstance(profile.read(told), str)


# ---------------------------------------------------------------------------------------------------------- the lane


@in_loop
async def test_orders_do_not_queue_behind_reads() -> None:
    """The reads are held for ever; the order gets through, and what it costs is charged to them."""
    made = World("mexc")
    asked: list[float | None] = []

    def prepare(client: Any) -> None:
        made._prepare(client)
        client.enableRateLimit = True

        async def held(cost: float | None = None) -> None:
            asked.append(cost)

        client.throttle = held

    venue = made.venue(prepare=prepare)
    await venue.rules([SPOT])
    reads, before = len(asked), made.client.throttler.config["tokens"]
    await venue.submit(approved(limit=AWAY), ID)
    assert len(asked) == reads
    assert made.client.throttler.config["tokens"] < before + 1
    await venue.balances()
    assert len(asked) == reads + 1
    await venue.close()


@in_loop
async def test_the_lane_lets_a_burst_out_and_then_keeps_the_pace() -> None:
    now, slept = 100.0, []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))

    lane = Lane(0.125, lambda: now, sleep)
    for _ in range(7):
        await lane(1)
    assert slept == [0.125, 0.25, 0.375]  # each from now
    now, slept[:] = 200.0, []
    await lane(1)
    assert slept == []


# ------------------------------------------------------------------------------------------------------- calls, streams


@in_loop
async def test_calls_side_by_side_do_not_mix() -> None:
    async with world("mexc") as (made, _):
        first, second = Call(), Call()

        async def asked(call: Call, route: str) -> None:
            with calling(call):
                await asyncio.sleep(0)
                await getattr(made.client, route)()

        await asyncio.gather(asked(first, "fetch_time"), asked(second, "fetch_balance"))
        assert "serverTime" in first.answer
        assert "balances" in second.answer


@in_loop
async def test_nothing_streams_unless_asked_for() -> None:
    async with world("mexc") as (_, venue):
        assert [one async for one in venue.updates()] == []
        assert not venue.capabilities.streams


@pytest.mark.parametrize("kind", ["mexc", "binance"])
@in_loop
async def test_the_stream_is_a_hint(kind: str) -> None:
    """What it tells is asked for: here it tells nonsense of an order that was filled meanwhile."""
    made = World(kind)
    orders: asyncio.Queue[Any] = asyncio.Queue()
    trades: asyncio.Queue[Any] = asyncio.Queue()

    def prepare(client: Any) -> None:
        made._prepare(client)
        client.watch_orders = lambda _: orders.get()
        client.watch_my_trades = lambda _: trades.get()

    venue = made.venue(prepare=prepare, streams=True)
    await venue.submit(approved(), ID)
    (fill,) = await venue.fills(SPOT, 0)
    news = venue.updates()
    orders.put_nowait([{"clientOrderId": None}, {"clientOrderId": "who", "status": "open"}])
    orders.put_nowait([{"clientOrderId": ID, "status": "open", "filled": "NaN"}])
    told = await anext(news)
    assert isinstance(told, Order)
    assert (told.client_order_id, told.status, told.filled) == (ID, "filled", Decimal("0.001"))
    trades.put_nowait([{"id": fill.fill_id, "timestamp": fill.time // 10**6, "price": "-5"}])
    assert await anext(news) == fill
    assert isinstance(fill, Fill)
    trades.put_nowait(7)
    with pytest.raises(Retryable, match="broke"):
        await anext(news)
    await venue.close()


def test_a_name_that_ccxt_cannot_stream_is_said() -> None:
    async def play() -> None:
        venue = CcxtVenue("coinmate", "main", ["BTC/EUR"], key=KEY, secret=SECRET, clock=lambda: 0, streams=True)
        await venue.rules()

    with pytest.raises(InvalidInput, match="ccxt streams from"):
        asyncio.run(play())
