"""Trading both sides of a price difference."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

import msgspec

from tickwork.errors import Fatal, InvalidInput, NotSent
from tickwork.graph.nodes.opportunity import Leg
from tickwork.graph.nodes.placing import Dealing, OnRefusal, Placed, Size, Wish, goes_short, money_of
from tickwork.trading.orders import OrderType, Side
from tickwork.values import price, quantity, ratio, rounded_down

_CERTAIN: Final = (Fatal, NotSent)
"""Errors after which nothing is at the venue."""


class Legs(msgspec.Struct, frozen=True):
    """Both sides, as the opportunity has them."""

    buy: Leg | None = None
    sell: Leg | None = None


class ArbitrageBroken(Fatal):
    """The second leg of an arbitrage failed, and the first was taken back.

    Args:
        failed: what was to be done.
        why: what it failed for.
        unwound: what became of the first leg.
    """

    def __init__(self, failed: str, why: str, unwound: str) -> None:
        super().__init__(failed, why, unwound)

    def __str__(self) -> str:
        failed, why, unwound = self.args
        return f"{failed} failed ({why}); {unwound}"


async def trade_legs(
    dealing: Dealing, opportunity: Any, size: Size, type: OrderType, on_refusal: OnRefusal, reduces: bool | None = None
) -> list[Placed]:
    """Buy where it is cheap, sell where it is dear, in this order; where only one venue can be traded, that leg alone.

    ``size`` caps what the opportunity is for. A limit order's limit is the leg's price. ``reduces``: may the sell only
    reduce a position? By default a spot sell may; false where coins are sold that nobody bought through this account.

    Raises:
        ArbitrageBroken: the sell failed for certain; the buy was taken back.
        InvalidInput: an opportunity without legs, or the account can trade at neither venue.
    """
    path = f"{dealing.context.node}.opportunity"
    try:
        legs = msgspec.convert(opportunity, Legs, strict=False, from_attributes=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(path, type_name(opportunity), f"a buy and a sell leg ({error})") from None
    if legs.buy is None or legs.sell is None:
        raise InvalidInput(
            path, "nothing to buy and sell", "a buy and a sell leg; see to it that there is one, by `when`"
        )
    known = set(dealing.trader.venues)
    both: list[tuple[Side, Leg]] = [("buy", legs.buy), ("sell", legs.sell)]
    sides = [(side, leg) for side, leg in both if leg.venue in known]
    if not sides:
        raise InvalidInput(path, f"{legs.buy.venue} and {legs.sell.venue}", f"a venue of {', '.join(sorted(known))}")
    most = await _most(dealing, legs.buy, legs.sell, size, path)
    # the same quantity on both sides: what the coarser of the two steps allows
    most = rounded_down(most, max([await dealing.quantity_step(leg.symbol) for _, leg in sides]))
    wishes = [_wish(side, leg, most, type, path, reduces) for side, leg in sides]
    first = await dealing.place(replace(wishes[0], on_refusal=on_refusal))
    if len(wishes) == 1 or not first.client_order_id:
        return [first]
    return [first, await _second(dealing, wishes[1], first)]


async def _second(dealing: Dealing, wish: Wish, first: Placed) -> Placed:
    try:
        return await dealing.place(wish)
    except _CERTAIN as error:
        # not after an unknown outcome: then the second leg may stand, and the first is what covers it
        back = await dealing.take_back(first)
        unwound = f"the {first.side} of {first.quantity} {first.symbol} at {first.venue} was cancelled"
        if back is not None:
            unwound += f", and {back.quantity} of it that had filled was closed again"
        raise ArbitrageBroken(f"the {wish.side} of {wish.symbol} at {wish.venue}", str(error), unwound) from error


async def _most(dealing: Dealing, buy: Leg, sell: Leg, size: Size, path: str) -> Decimal:
    most = min(quantity(buy.quantity, f"{path}.buy.quantity"), quantity(sell.quantity, f"{path}.sell.quantity"))
    if size.quantity is not None:
        most = min(most, size.quantity)
    notional = size.notional
    if size.fraction is not None:
        notional = money_of(await dealing.equity(), size.fraction)
    if notional is not None:
        most = min(most, ratio(notional, price(buy.price, f"{path}.buy.price")))
    return most


def _wish(side: Side, leg: Leg, most: Decimal, type: OrderType, path: str, reduces: bool | None) -> Wish:
    limit = price(leg.price, f"{path}.{side}.price") if type == "limit" else None
    return Wish(
        symbol=leg.symbol, side=side, size=Size(most), type=type, limit_price=limit, venue=leg.venue,
        reduce_only=side == "sell" and (not goes_short(leg.symbol) if reduces is None else reduces),
        reason=f"arbitrage: {side} at {leg.venue}",
    )  # fmt: skip


def type_name(value: Any) -> str:
    """What something is, for complaints."""
    return type(value).__name__
