"""Cases of everything else a port says: rules, fills, balances, other programs, news, and coming back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal

from tickwork.trading.ledger import fold
from tickwork.trading.orders import Fill, Order
from tickwork.trading.venue import VenueReport
from tickwork.values import EXACT, quote_of
from tickwork.venues.conformance.stage import (
    FOREIGN,
    STREAM,
    SharesAccount,
    Stage,
    all_fills,
    approve,
    away,
    bought,
    case,
    client_id,
    expect,
    rested,
    sellable,
    small,
    the_order,
    through,
)

_PATIENCE = 10.0
"""Seconds to wait for news that a venue says it streams."""


@case("V11")
async def fills_are_numbered(stage: Stage) -> None:
    """Each fill has a number of its own, ``since`` leaves out what is older, and a reconnect changes neither."""
    for number in (1, 2, 3):
        await bought(stage, client_id(number))
    fills = await all_fills(stage)
    ids = [fill.fill_id for fill in fills]
    expect(len(ids) >= 3 and len(set(ids)) == len(ids) and all(ids), f"the fill ids are {ids}")
    expect(fills == sorted(fills, key=lambda fill: fill.rank), f"the fills are not in order: {fills}")
    for fill in fills:
        later = [one for one in fills if one.time >= fill.time]
        told = await stage.venue.fills(fill.symbol, fill.time)
        expect(told[-len(later) :] == later, "since= does not give what it should")
    await stage.reopen()
    expect(await all_fills(stage) == fills, "a reconnect changed the fills")


@case("V12")
async def order_and_fills_agree(stage: Stage) -> None:
    """An order's filled quantity and notional are the sums of its fills, and so is its fee where it tells one."""
    order = await bought(stage)
    fills = [fill for fill in await all_fills(stage) if fill.client_order_id == order.client_order_id]
    quantity, notional = sum(fill.quantity for fill in fills), sum(fill.notional for fill in fills)
    expect((order.filled, order.filled_notional) == (quantity, notional), f"the order says {order}, its fills {fills}")
    fee = sum(fill.fee for fill in fills)
    expect(not order.fee_currency or order.fee == fee, f"the order says a fee of {order.fee}, its fills {fee}")


@case("V13")
async def balances_follow_fills(stage: Stage) -> None:
    """Balances change by exactly what the fills say."""
    before = await stage.venue.balances()
    await bought(stage)
    held = await sellable(stage, small(stage))
    await stage.venue.submit(approve(stage, "sell", held), client_id(2))
    await stage.trade_at(stage.price)
    after, ledger = await stage.venue.balances(), fold(await all_fills(stage))
    for asset, balance in after.items():
        was = before[asset].total if asset in before else Decimal(0)
        expect(
            balance.total == EXACT.add(was, ledger.holding(asset)),
            f"{asset} went from {was} to {balance.total}, the fills make {ledger.holding(asset)}",
        )


@case("V14")
async def open_orders_lock_money(stage: Stage) -> None:
    """A resting buy locks at least its cost, and a cancel frees it."""
    quantity, limit = small(stage), away(stage, "buy")
    currency = quote_of(stage.rules.symbol)
    await stage.venue.submit(approve(stage, "buy", quantity, limit=limit), client_id(1))
    held = (await stage.venue.balances())[currency].held
    expect(
        held >= EXACT.multiply(quantity, limit), f"{held} {currency} are locked for an order of {quantity} at {limit}"
    )
    await stage.venue.cancel(client_id(1), stage.rules.symbol)
    held = (await stage.venue.balances())[currency].held
    expect(held == 0, f"{held} {currency} stay locked after the cancel")


@case("V21")
async def rules_are_told(stage: Stage) -> None:
    """It says what it asks of orders: of the symbol that is named, of all where none is, of none that it has not."""
    symbol = stage.rules.symbol
    told = await stage.venue.rules([symbol])
    expect(set(told) == {symbol}, f"asked of {symbol}, it tells of {sorted(told)}")
    figures = (told[symbol].symbol, told[symbol].price_tick, told[symbol].quantity_step)
    expected = (symbol, stage.rules.price_tick, stage.rules.quantity_step)
    expect(figures == expected, f"it says {figures}, the market has {expected}")
    expect((await stage.venue.rules()).get(symbol) == told[symbol], f"asked of all, it does not tell of {symbol} so")
    absent = f"NOSUCHCOIN/{quote_of(symbol)}"
    expect(absent not in await stage.venue.rules([absent]), f"it tells of {absent}")


@case("V29")
async def fills_say_whose_they_are(stage: Stage) -> None:
    """Each fill bears its order's client id, account, symbol and side, and a price, a quantity, a time and its fee."""
    order = await bought(stage)
    fills = await all_fills(stage)
    expect(bool(fills), "expected a fill")
    for fill in fills:
        whose = (fill.venue, fill.account, fill.symbol, fill.side, fill.client_order_id, fill.venue_order_id)
        expected = (order.venue, order.account, order.symbol, "buy", client_id(1), order.venue_order_id)
        expect(whose == expected, f"the fill is of {whose}, the order of {expected}")
        expect(fill.price > 0 and fill.quantity > 0 and fill.time > 0, f"it cannot be: {fill}")
        expect(bool(fill.fee_currency) or not fill.fee, f"a fee of {fill.fee} of what? {fill}")


@case("V30")
async def a_symbol_need_not_be_known(stage: Stage) -> None:
    """Order, cancel and fills are found without a symbol as they are with one."""
    filled = await bought(stage)
    await rested(stage, 2)
    expect(await the_order(stage, client_id(1), "") == filled, "without its symbol the order is another")
    expect(await stage.venue.fills("", 0) == await all_fills(stage), "without a symbol the fills are others")
    cancelled = await stage.venue.cancel(client_id(2), "")
    expect(cancelled.status == "cancelled", f"expected cancelled, is {cancelled}")


@case("V31", FOREIGN)
async def other_programs_orders_are_shown(stage: Stage) -> None:
    """What another program of the account has open is shown, and so is its fill, under no client id of ours."""
    assert isinstance(stage, SharesAccount)
    limit = away(stage, "buy")
    theirs = await stage.foreign("buy", small(stage), limit)
    ours = await rested(stage)
    working = {order.venue_order_id: order for order in await stage.venue.open_orders()}
    expect(set(working) == {theirs, ours.venue_order_id}, f"open are {working}, expected theirs, {theirs}, and ours")
    expect(working[theirs].client_order_id != client_id(1), "their order bears our client id")
    await stage.trade_at(through(stage, limit))
    fills = {fill.venue_order_id: fill.client_order_id for fill in await all_fills(stage)}
    expected = {theirs: working[theirs].client_order_id, ours.venue_order_id: client_id(1)}
    expect(fills == expected, f"the fills are of {fills}, expected {expected}")


@case("V32")
async def examining_trades_nothing(stage: Stage) -> None:
    """It can be examined without anything being traded, and the stage's keys may read and trade."""
    before = await stage.venue.balances()
    report = await stage.venue.examine()
    expect(isinstance(report, VenueReport), f"the report is {report}")
    expect(report.clock_skew is None or isinstance(report.clock_skew, timedelta), f"the clock is {report.clock_skew}")
    expect(report.may_read is not False and report.may_trade is not False, f"these keys work, it says {report}")
    expect(all(isinstance(note, str) and note for note in report.notes), f"the notes are {report.notes}")
    expect(await stage.venue.balances() == before, "the balances have changed")
    expect(await stage.venue.open_orders() == [] and await all_fills(stage) == [], "something was traded")


@case("V33")
async def without_a_stream_news_end_at_once(stage: Stage) -> None:
    """A venue that does not stream ends its news at once; one that does can be closed while nothing happens."""
    async with aclosing(stage.venue.updates()) as news:  # type: ignore[type-var] # every one is a generator
        if not stage.venue.capabilities.streams:
            expect([one async for one in news] == [], "expected no news")


@case("V34")
async def closing_loses_nothing(stage: Stage) -> None:
    """After it was closed, twice even, orders and fills are there as before."""
    await bought(stage)
    await rested(stage, 2)
    before = [await the_order(stage, client_id(1)), await the_order(stage, client_id(2)), *await all_fills(stage)]
    await stage.venue.close()
    await stage.venue.close()
    await stage.reopen()
    after = [await the_order(stage, client_id(1)), await the_order(stage, client_id(2)), *await all_fills(stage)]
    expect(before == after, f"{before} has become {after}")


@case("V54", STREAM)
async def a_stream_tells_of_order_and_fill(stage: Stage) -> None:
    """A venue that streams tells of an order and of its fill, in the words of the queries, without being asked."""
    heard: list[Order | Fill] = []
    told = asyncio.Event()

    async def listen() -> None:
        async with aclosing(stage.venue.updates()) as news:  # type: ignore[type-var] # every one is a generator
            async for one in news:
                heard.append(one)
                told.set()

    listener = asyncio.ensure_future(listen())
    try:
        for number in range(1, 6):  # the first may have been sent before the venue listened
            told.clear()
            await bought(stage, client_id(number))
            try:
                async with asyncio.timeout(_PATIENCE / 5):
                    while not _are_told(heard, client_id(number)):
                        await told.wait()
                        told.clear()
            except TimeoutError:
                continue
            fills = [fill for fill in await all_fills(stage) if fill.client_order_id == client_id(number)]
            new = [one for one in heard if isinstance(one, Fill) and one.client_order_id == client_id(number)]
            expect({fill.fill_id for fill in new} <= {fill.fill_id for fill in fills}, f"{new} are not {fills}")
            return
        raise AssertionError(f"no news of an order and its fill, heard was {heard}")
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)


def _are_told(heard: list[Order | Fill], key: str) -> bool:
    ours = [one for one in heard if one.client_order_id == key]
    return any(isinstance(one, Fill) for one in ours) and any(isinstance(one, Order) for one in ours)
