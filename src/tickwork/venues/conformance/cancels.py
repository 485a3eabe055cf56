"""Cases of orders that rest: they wait for the market, and end when they are cancelled."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from tickwork.errors import Rejected
from tickwork.trading.order_life import FINAL
from tickwork.values import rounded_down
from tickwork.venues.conformance.stage import (
    Stage,
    all_fills,
    approve,
    away,
    bought,
    case,
    client_id,
    expect,
    rested,
    small,
    the_order,
    through,
)


@case("V07")
async def limit_rests_until_traded_through(stage: Stage) -> None:
    """A passive limit order rests, and fills at its price or better when the market trades through it."""
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(1))
    await stage.trade_at(stage.price)
    expect(
        [order.client_order_id for order in await stage.venue.open_orders()] == [client_id(1)], "expected it to rest"
    )
    await stage.trade_at(rounded_down(limit * Decimal("0.99"), stage.rules.price_tick))
    fills = await all_fills(stage)
    expect(len(fills) == 1 and fills[0].price <= limit, f"expected one fill at {limit} or below, are {fills}")
    expect(await stage.venue.open_orders() == [], "expected no open order")


@case("V08")
async def cancel_is_harmless_to_repeat(stage: Stage) -> None:
    """Cancelling ends an order; again changes nothing; a cancelled order never fills."""
    limit = away(stage, "buy")
    await stage.venue.submit(approve(stage, "buy", small(stage), limit=limit), client_id(1))
    first = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    second = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    expect(first.status == second.status == "cancelled", f"expected cancelled twice, are {first}, {second}")
    await stage.trade_at(rounded_down(limit * Decimal("0.9"), stage.rules.price_tick))
    expect(await all_fills(stage) == [], "a cancelled order was filled")


@case("V09")
async def cancel_of_a_filled_order_says_so(stage: Stage) -> None:
    """Cancelling too late gives the filled order back."""
    await bought(stage)
    order = await stage.venue.cancel(client_id(1), stage.rules.symbol)
    expect(order.status == "filled", f"expected the filled order, is {order}")


@case("V10")
async def cancel_of_nothing_is_rejected(stage: Stage) -> None:
    """Cancelling a client id nobody used is ``Rejected``."""
    try:
        order = await stage.venue.cancel(client_id(99), stage.rules.symbol)
    except Rejected:
        return
    raise AssertionError(f"expected Rejected, is {order}")


@case("V28")
async def a_cancel_that_races_a_fill_has_one_end(stage: Stage) -> None:
    """An order that trades while it is being cancelled has ended, and its fills are what it says."""
    order = await rested(stage)
    limit = order.limit_price or stage.price
    await asyncio.gather(stage.venue.cancel(client_id(1), stage.rules.symbol), stage.trade_at(through(stage, limit)))
    order = await the_order(stage, client_id(1))
    expect(order.status in FINAL, f"expected it to have ended, is {order}")
    filled = sum((fill.quantity for fill in await all_fills(stage)), Decimal(0))
    expect(order.filled == filled, f"the order says {order.filled}, its fills {filled}")
    whole = order.filled == order.quantity
    expect((order.status == "filled") == whole, f"{order.status} with {order.filled} of {order.quantity}")
    expect(await stage.venue.open_orders() == [], "expected no open order")
