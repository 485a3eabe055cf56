"""What prices are worth together: arbitrage, spreads, profits, thresholds.

Spreads and profits are fractions (``0.01`` is one percent); what ends in ``_pct`` is the same in percent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from tickwork.errors import InvalidInput, Stale
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.comparing import Operator, compared
from tickwork.graph.nodes.opportunity import DEFAULT_FEE, Judged, Leg, best, judged, opportunity_of
from tickwork.graph.nodes.prices import finite, mid, positive, sound
from tickwork.graph.sources import OrderBook, Providers
from tickwork.graph.texts import DurationOrNothing
from tickwork.market.triggers.options import quotient
from tickwork.values import EXACT, duration, duration_text

FeeRate = Annotated[Decimal, param("what a fill costs, of each side", unit="fraction", ge=0, lt=1)]
MinSpread = Annotated[Decimal, param("least spread that counts as profitable", unit="fraction")]
BuyPrice = Annotated[Decimal, port("what a unit is bought for, quote currency")]
SellPrice = Annotated[Decimal, port("what a unit is sold for, quote currency")]

_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_HUNDRED: Final = Decimal(100)
_CROSS_VENUE: Final = Decimal("0.003")


@node("detect_arbitrage", category="analysis")
async def detect_arbitrage(
    orderbook: Annotated[list[OrderBook], port("order books of the same thing", many=True)],
    *,
    min_spread: MinSpread = _CROSS_VENUE,
    fee_rate: Annotated[
        Decimal | None,
        param("what a fill costs, of each side; else what the markets say, else 0.001", unit="fraction", ge=0, lt=1),
    ] = None,
    size: Annotated[
        Decimal | None,
        param("how much to trade; prices are then means over the levels it takes", unit="base units", gt=0),
    ] = None,
    across_symbols: Annotated[bool, param("are books of different symbols about the same thing, at a rate of 1?")] = (
        False
    ),
    max_age: Annotated[
        DurationOrNothing, param("of a book, such as '5s'; as old as its provider lets it be where none is said")
    ] = "",
    providers: Providers | None = None,
    context: Context,
) -> Judged:
    """The cheapest ask and the dearest bid among order books, and what the pair leaves after the fees of both.

    profit = (bid * (1 - fee) - ask * (1 + fee)) / (ask * (1 + fee)). There is always an opportunity, mostly a loss:
    whether it is worth taking is for a condition to say. One book alone is held against itself.
    """
    for book in orderbook:
        _young(sound(book), max_age, context)
    fees = {id(book): fee_rate if fee_rate is not None else await _fee_of(book, providers) for book in orderbook}
    return judged(best(orderbook, size, lambda book: fees[id(book)], across=across_symbols), min_spread)


def _young(book: OrderBook, max_age: str, context: Context) -> None:
    age = abs(context.now - book.time)
    if max_age and age > duration(max_age, f"{context.node}.max_age"):
        raise Stale(f"the book of {book.symbol} at {book.venue}", duration_text(age), max_age)


async def _fee_of(book: OrderBook, providers: Providers | None) -> Decimal:
    if providers is None or book.venue not in providers.names:
        return DEFAULT_FEE
    markets = await providers.get(book.venue).markets()
    return next((market.fee_rate for market in markets if market.symbol == book.symbol), DEFAULT_FEE)


class SpreadOutputs(msgspec.Struct, frozen=True):
    """What ``calculate_spread`` gives."""

    spread: Annotated[Decimal, port("the difference over what it is measured by, a fraction to sixteen places")]
    spread_pct: Annotated[Decimal, port("the same in percent")]
    difference: Annotated[Decimal, port("the difference itself, quote currency per unit")]
    profitable: Annotated[bool, port("does it leave something after both fees, and is it at least `min_spread`?")]


@node("calculate_spread", category="analysis")
def calculate_spread(
    orderbook: Annotated[list[OrderBook], port("one order book, or several", many=True)] = [],  # noqa: B006 - read only
    buy_price: Annotated[Decimal | None, port("what a unit is bought for, quote currency")] = None,
    sell_price: Annotated[Decimal | None, port("what a unit is sold for, quote currency")] = None,
    *,
    min_spread: MinSpread = _ZERO,
    fee_rate: FeeRate = _ZERO,
) -> SpreadOutputs:
    """The spread of two prices, of an order book, or between several.

    Two prices: (sell - buy) / buy. One book: (ask - bid) / mid, what making the market earns. Several: (dearest bid -
    cheapest ask) / cheapest ask.
    """
    by = None
    if buy_price is None and sell_price is None and orderbook:
        books = [sound(book) for book in orderbook]
        if len(books) == 1:
            buy_price, sell_price, by = books[0].bids[0].price, books[0].asks[0].price, mid(books[0])
        else:
            found = best(books, None, lambda book: fee_rate, across=False)
            buy_price, sell_price = found.buy.price, found.sell.price
    if buy_price is None or sell_price is None:
        raise InvalidInput("calculate_spread", "less than two prices", "buy_price and sell_price, or an orderbook")
    difference = EXACT.subtract(positive(sell_price, "sell_price"), positive(buy_price, "buy_price"))
    spread = quotient(difference, buy_price if by is None else by)
    left = EXACT.multiply(sell_price, EXACT.subtract(_ONE, fee_rate)) > EXACT.multiply(
        buy_price, EXACT.add(_ONE, fee_rate)
    )
    return SpreadOutputs(spread, EXACT.multiply(spread, _HUNDRED), difference, left and spread >= min_spread)


class ProfitOutputs(msgspec.Struct, frozen=True):
    """What ``calculate_profit`` gives."""

    profit: Annotated[Decimal, port("what is left after both fees, quote currency")]
    profit_pct: Annotated[Decimal, port("profit over cost, in percent")]
    roi: Annotated[Decimal, port("profit over cost, a fraction to sixteen places")]
    cost: Annotated[Decimal, port("what buying takes, with its fee; quote currency")]


@node("calculate_profit", category="analysis")
def calculate_profit(
    buy_price: BuyPrice,
    sell_price: SellPrice,
    amount: Annotated[Decimal, port("how much, base units")] = Decimal(1),
    *,
    fee_rate: FeeRate = _ZERO,
) -> ProfitOutputs:
    """What buying and selling again leaves after both fees."""
    legs = [Leg("", "", price, amount) for price in (buy_price, sell_price)]
    found = opportunity_of(legs[0], legs[1], fee_rate, fee_rate)
    cost = EXACT.multiply(EXACT.multiply(buy_price, amount), EXACT.add(_ONE, fee_rate))
    return ProfitOutputs(found.gain, EXACT.multiply(found.profit, _HUNDRED), found.profit, cost)


@node("create_opportunity", category="analysis")
def create_opportunity(
    buy_price: BuyPrice,
    sell_price: SellPrice,
    size: Annotated[Decimal, port("how much, base units")] = Decimal(1),
    *,
    symbol: Annotated[str, param("of both sides", aliases=("pair",), min_length=1)],
    buy_venue: Annotated[str, param("where to buy; the symbol's own venue where none is named")] = "",
    sell_venue: Annotated[str, param("where to sell; the symbol's own venue where none is named")] = "",
    min_spread: MinSpread = _ZERO,
    fee_rate: FeeRate = DEFAULT_FEE,
) -> Judged:
    """An opportunity out of two prices."""
    buy, sell = Leg(buy_venue, symbol, buy_price, size), Leg(sell_venue, symbol, sell_price, size)
    return judged(opportunity_of(buy, sell, fee_rate, fee_rate), min_spread)


class ThresholdOutputs(msgspec.Struct, frozen=True, rename={"passed": "pass"}):
    """What ``check_threshold`` gives."""

    passed: Annotated[bool, port("does the comparison hold?")]
    exceeded: Annotated[bool, port("is the value above the threshold?")]


@node("check_threshold", category="analysis", aliases=("threshold_check",))
def check_threshold(
    value: Annotated[Decimal, port("what is held against the threshold")],
    *,
    threshold: Annotated[Decimal, param("the other side of the comparison")],
    operator: Annotated[Operator, param("how the value must stand to the threshold")] = ">=",
) -> ThresholdOutputs:
    """Whether a value has come to a threshold."""
    finite(value, "value")
    return ThresholdOutputs(compared(value, operator, threshold), value > threshold)
