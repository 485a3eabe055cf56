"""Cases of orders that are filled in part, and of those that have one chance only."""

from __future__ import annotations

from decimal import Decimal

from tickwork.errors import Rejected
from tickwork.trading.ledger import fold
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import ZERO, ApprovedOrder, Order, TimeInForce
from tickwork.values import EXACT, quote_of
from tickwork.venues.conformance.stage import (
    FOK,
    IOC,
    PARTS,
    THIN,
    RunsThin,
    Stage,
    TradesParts,
    across,
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


async def _part(stage: Stage) -> tuple[Order, Decimal]:
    """A resting order, and half its quantity, of which it was filled."""
    assert isinstance(stage, TradesParts)
    half = small(stage)
    order = await rested(stage, times=2)
    await stage.trade_part(through(stage, order.limit_price or stage.price), half)
    return await the_order(stage, client_id(1)), half


@case("V35", PARTS)
async def a_part_is_filled_and_the_rest_rests(stage: Stage) -> None:
    """An order met in part is partially filled and stays open; once the rest is met it is filled, by two fills."""
    order, half = await _part(stage)
    expect((order.status, order.filled) == ("partially_filled", half), f"expected half of it, is {order}")
    working = [(one.client_order_id, one.filled) for one in await stage.venue.open_orders()]
    expect(working == [(client_id(1), half)], f"open are {working}")
    await stage.trade_at(through(stage, order.limit_price or stage.price))
    order = await the_order(stage, client_id(1))
    fills = await all_fills(stage)
    expect((order.status, order.filled) == ("filled", half * 2), f"expected it filled, is {order}")
    quantity, notional = sum(fill.quantity for fill in fills), sum(fill.notional for fill in fills)
    expect(len(fills) >= 2 and len({fill.fill_id for fill in fills}) == len(fills), f"the fills are {fills}")
    expect((order.filled, order.filled_notional) == (quantity, notional), f"the order says {order}, its fills {fills}")


@case("V36", PARTS)
async def money_follows_parts(stage: Stage) -> None:
    """After a part the balances have moved by its fill, and what the rest may cost stays locked, no more."""
    before = await stage.venue.balances()
    currency = quote_of(stage.rules.symbol)
    order, _ = await _part(stage)
    after, ledger = await stage.venue.balances(), fold(await all_fills(stage))
    for asset, balance in after.items():
        was = before[asset].total if asset in before else ZERO
        made = ledger.holding(asset)
        expect(balance.total == EXACT.add(was, made), f"{asset}: {was} became {balance.total}, fills make {made}")
    rest = EXACT.multiply(order.remaining, order.limit_price or stage.price)
    held = after[currency].held
    expect(rest <= held < EXACT.multiply(rest, Decimal("1.5")), f"{held} {currency} are locked for {rest}")


@case("V37", PARTS)
async def a_part_survives_the_cancel(stage: Stage) -> None:
    """Cancelling what is left of an order keeps what was filled, frees the rest, and says that it was a part."""
    _, half = await _part(stage)
    order = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    expect((order.status, order.filled) == ("partially_cancelled", half), f"expected a part of it, is {order}")
    expect(await the_order(stage, client_id(1)) == order, "it is found otherwise than its cancel told")
    expect(len(await all_fills(stage)) == 1, "expected one fill")
    held = (await stage.venue.balances())[quote_of(stage.rules.symbol)].held
    expect(held == 0, f"{held} stay locked after the cancel")


@case("V38", PARTS)
async def reductions_in_parts_never_turn_a_position(stage: Stage) -> None:
    """Two reductions of the whole position that are met in parts sell it once."""
    assert isinstance(stage, TradesParts)
    symbol, limit = stage.rules.symbol, away(stage, "sell")
    whole = await sellable(stage, (await bought(stage, times=4)).filled)
    ledger = fold(await all_fills(stage))
    for number in (2, 3):
        order = approve(stage, "sell", whole, limit=limit, reduce_only=True, ledger=ledger)
        try:
            await stage.venue.submit(order, client_id(number))
        except Rejected:  # a venue may see at once that nothing is left to reduce
            expect(number == 3, "the first reduction was rejected")
    above = EXACT.multiply(limit, Decimal("1.02")).quantize(stage.rules.price_tick)
    for _ in range(3):
        await stage.trade_part(above, small(stage, 3))
    await stage.trade_at(above)
    sold = EXACT.subtract(ledger.quantity(symbol), fold(await all_fills(stage)).quantity(symbol))
    expect(sold == whole, f"two reductions of {whole} sold {sold}")
    expect(await stage.venue.open_orders() == [], "a reduction of nothing is still open")


@case("V39", IOC)
async def immediate_or_cancel_never_rests(stage: Stage) -> None:
    """An ``ioc`` order trades where the market is; where it is not it ends at once with nothing, or is rejected."""
    await _has_one_chance(stage, "ioc")


@case("V40", FOK)
async def fill_or_kill_never_rests(stage: Stage) -> None:
    """A ``fok`` order trades where the market is; where it is not it ends at once with nothing, or is rejected."""
    await _has_one_chance(stage, "fok")


async def _has_one_chance(stage: Stage, force: TimeInForce) -> None:
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=across(stage, "buy"), force=force), client_id(1))
    await stage.trade_at(stage.price)
    order = await the_order(stage, client_id(1))
    expect((order.status, order.filled) == ("filled", small(stage)), f"expected it filled, is {order}")
    order_away = approve(stage, "buy", small(stage), limit=limit, force=force)
    if await _taken(stage, order_away, client_id(2)):
        await stage.trade_at(stage.price)
        await _ended(stage, client_id(2), ZERO)
    await stage.trade_at(through(stage, limit))
    fills = [fill for fill in await all_fills(stage) if fill.client_order_id == client_id(2)]
    expect(fills == [], f"it had ended, and traded: {fills}")


async def _taken(stage: Stage, order: ApprovedOrder, key: str) -> bool:
    try:
        await stage.venue.submit(order, key)
    except Rejected:  # a venue may call it a rejection that nothing was there to meet
        return False
    return True


async def _ended(stage: Stage, key: str, filled: Decimal) -> None:
    order = await the_order(stage, key)
    expect(order.status in FINAL and order.status != "filled", f"expected it to have ended unfilled, is {order}")
    expect(order.filled == filled, f"expected {filled} of it filled, is {order}")
    expect(await stage.venue.open_orders() == [], "what has one chance only is still open")


@case("V41", IOC, THIN)
async def immediate_or_cancel_takes_what_there_is(stage: Stage) -> None:
    """An ``ioc`` order larger than what the market has takes that, and the rest ends."""
    await _meets_half(stage, "ioc", small(stage))


@case("V42", FOK, THIN)
async def fill_or_kill_takes_all_or_nothing(stage: Stage) -> None:
    """A ``fok`` order larger than what the market has takes nothing."""
    await _meets_half(stage, "fok", ZERO)


async def _meets_half(stage: Stage, force: TimeInForce, filled: Decimal) -> None:
    assert isinstance(stage, RunsThin)
    await stage.thin(small(stage))
    order = approve(stage, "buy", small(stage, 2), limit=stage.price, force=force)
    if await _taken(stage, order, client_id(1)):
        await stage.trade_at(stage.price)
        await _ended(stage, client_id(1), filled)
    else:
        expect(not filled, "it was rejected, and there was something to take")
    held = (await stage.venue.balances())[quote_of(stage.rules.symbol)].held
    expect(held == 0, f"{held} stay locked after its end")
