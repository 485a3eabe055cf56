"""Opportunities: what buying in one order book and selling into another leaves after both fees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import permutations
from typing import Annotated, Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.graph.declare import port
from tickwork.graph.nodes.prices import filled, positive
from tickwork.graph.sources import Level, OrderBook
from tickwork.market.triggers.options import quotient
from tickwork.values import EXACT, base_of, quote_of

DEFAULT_FEE: Final = Decimal("0.001")
"""A fraction of what is traded; where nobody says what a venue charges."""
_ONE: Final = Decimal(1)


class Leg(msgspec.Struct, frozen=True):
    """One side of an opportunity."""

    venue: str
    symbol: str
    price: Decimal
    """The mean over the levels that ``quantity`` takes, to sixteen places; quote currency per unit."""
    quantity: Decimal
    """Base units."""


class Opportunity(msgspec.Struct, frozen=True):
    """Buy here, sell there. It may well be a loss."""

    profit: Decimal
    """What is left after both fees, as a fraction of what the bought side costs with its fee."""
    spread: Decimal
    """``sell.price / buy.price - 1``: before fees, a fraction."""
    gain: Decimal
    """What is left after both fees, in quote currency."""
    size: Decimal
    """Base units: of both legs."""
    buy: Leg
    sell: Leg


class Judged(msgspec.Struct, frozen=True):
    """What nodes that find an opportunity give."""

    opportunity: Annotated[Opportunity, port("the best pair of sides, also where it is a loss: profit, spread, gain, "
                                             "size, buy and sell with venue, symbol, price, quantity")]  # fmt: skip
    profit: Annotated[Decimal, port("what is left after both fees, a fraction of what is paid; below zero for a loss")]
    spread: Annotated[Decimal, port("dearest bid over cheapest ask before fees, minus 1: a fraction")]
    profitable: Annotated[bool, port("is there a profit, and the spread at least `min_spread`?")]


def judged(opportunity: Opportunity, min_spread: Decimal) -> Judged:
    """An opportunity with what it is most often asked for."""
    worth = opportunity.profit > 0 and opportunity.spread >= min_spread
    return Judged(opportunity, opportunity.profit, opportunity.spread, worth)


def opportunity_of(buy: Leg, sell: Leg, buy_fee: Decimal, sell_fee: Decimal) -> Opportunity:
    """The opportunity of two legs of one quantity.

    Raises:
        InvalidInput: a price or a quantity that is none.
    """
    for side, leg in (("buy", buy), ("sell", sell)):
        positive(leg.price, f"{side}.price")
        positive(leg.quantity, f"{side}.quantity")
    paid = EXACT.multiply(EXACT.multiply(buy.price, buy.quantity), EXACT.add(_ONE, buy_fee))
    got = EXACT.multiply(EXACT.multiply(sell.price, sell.quantity), EXACT.subtract(_ONE, sell_fee))
    gain = EXACT.subtract(got, paid)
    spread = quotient(EXACT.subtract(sell.price, buy.price), buy.price)
    return Opportunity(quotient(gain, paid), spread, gain, buy.quantity, buy, sell)


def best(
    books: Sequence[OrderBook], size: Decimal | None, fee_of: Callable[[OrderBook], Decimal], *, across: bool
) -> Opportunity:
    """Of all ways to buy in one book and sell into another, the one that leaves most for what is paid.

    A book is held against itself only where it is the only one: then there is a profit only if it is crossed.

    Args:
        books: sound ones, see ``prices.sound``.
        size: base units wanted; less where the books do not hold as much. ``None``: what the best two levels share.
        across: may the symbols differ?

    Raises:
        InvalidInput: no books, one twice, or books of different things.
    """
    _comparable(books, across)
    pairs = list(permutations(books, 2)) or [(books[0], books[0])]
    found = [_between(buy, sell, size, fee_of(buy), fee_of(sell)) for buy, sell in pairs]
    return max(found, key=lambda one: one.profit)


def _comparable(books: Sequence[OrderBook], across: bool) -> None:
    if not books:
        raise InvalidInput("orderbook", "none", "at least one order book")
    seen: set[tuple[str, str]] = set()
    for book in books:
        place = (book.venue, book.symbol)
        if place in seen:
            expected = "each book once: one book of two times is no arbitrage"
            raise InvalidInput("orderbook", f"{book.symbol} at {book.venue} twice", expected)
        seen.add(place)
    things = {(base_of(book.symbol), quote_of(book.symbol)) for book in books}
    if len(things) > 1 and not across:
        symbols = ", ".join(sorted({book.symbol for book in books}))
        raise InvalidInput(
            "orderbook", symbols, "books of one asset in one currency, or the param across_symbols: true"
        )


def _between(buy: OrderBook, sell: OrderBook, size: Decimal | None, buy_fee: Decimal, sell_fee: Decimal) -> Opportunity:
    if size is None:
        size = min(buy.asks[0].quantity, sell.bids[0].quantity)
    # what the thinner side holds is all that can be done on both
    size = min(filled(buy.asks, size)[0], filled(sell.bids, size)[0])
    bought, sold = _mean_price(buy.asks, size), _mean_price(sell.bids, size)
    return opportunity_of(
        Leg(buy.venue, buy.symbol, bought, size), Leg(sell.venue, sell.symbol, sold, size), buy_fee, sell_fee
    )


def _mean_price(levels: Sequence[Level], size: Decimal) -> Decimal:
    return levels[0].price if size <= levels[0].quantity else quotient(filled(levels, size)[1], size)
