"""Matching: what becomes of an order when the next bar or quote arrives.

Theory of operation. One set of pure functions serves the paper venue, simulations and backtests, so that they cannot
differ. What a market gives an order is worked out in two steps: ``bar_offers`` or ``quote_offers`` say at what prices
how much of it is to be had, ``takings`` what of that the order takes. An order sees only what the market does after it
was accepted; whoever calls sees to that.

* **On a bar** a market order trades at the open. A limit order trades when the bar trades *through* its price: at the
  open where the open is at the limit or better, else at the limit. A bar that merely touches the limit does not fill
  it: one cannot know that the queue in front of us was served. What is immediate (``ioc``, ``fok``) has the open alone.
* **On a quote** a buy has the ask and a sell the bid, or level after level where the depth is known; a limit order has
  those at its limit or better.
* **Slippage** (``Costs``, default 0.05 %: a fraction, 1 is 100 %) makes a market order's price worse. A limit order has
  none: its limit is the worst price by definition.
* **Impact** (``FillModel``) does so too, for orders above a notional and where no depth is known, which would show it.
  It is judged by the whole order, so that filling it piece by piece does not dodge it, and moves no price beyond a
  limit.
* **Partial fills** (``FillModel``): of a bar's volume, and of what is visible of a depth, all of our orders together
  get at most a share. The rest of a limit order rests; that of a market order goes on with the next bar or quote.
* **The fee** is a fraction of the notional (default 0.1 %), in quote currency.

Rounding, all declared by the instrument's rules and always to the trader's disadvantage: a price that slippage or
impact moved goes to the tick away from the trader (a buy up, a sell down, never below one tick), quantities are cut
down to the step, fees are rounded up to the fee step. Everything else is exact.

Not modelled: the order of high and low within a bar, the queue at a price, how our own orders change later prices.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from hashlib import blake2b
from operator import gt, lt
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.trading.orders import ZERO, Order, Side
from tickwork.values import EXACT, duration, money, price, quantity, quote_of, ratio, rounded_down, rounded_up, symbol

ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingRules:
    """What a venue asks of orders in one symbol.

    Raises:
        InvalidInput: a step that is not above zero, or an amount below zero.
    """

    symbol: str
    price_tick: Decimal
    """Prices are multiples of this; quote currency per base unit."""
    quantity_step: Decimal
    """Quantities are multiples of this; base units."""
    min_notional: Decimal = ZERO
    """The least price times quantity that is accepted; quote currency."""
    min_quantity: Decimal = ZERO
    """The least quantity that is accepted; base units."""
    max_quantity: Decimal | None = None
    """The largest quantity of one order that is accepted; base units."""
    fee_step: Decimal = Decimal("1e-8")
    """Fees are multiples of this, rounded up; quote currency."""

    def __post_init__(self) -> None:
        symbol(self.symbol, "rules.symbol")
        price(self.price_tick, "rules.priceTick")
        price(self.quantity_step, "rules.quantityStep")
        price(self.fee_step, "rules.feeStep")
        if money(self.min_notional, "rules.minNotional") < 0:
            raise InvalidInput("rules.minNotional", self.min_notional, "zero or more")
        quantity(self.min_quantity, "rules.minQuantity")
        if self.max_quantity is not None:
            price(self.max_quantity, "rules.maxQuantity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What trading costs. Fractions: 1 means 100 %.

    Raises:
        InvalidInput: a fraction below zero, or of one and more.
    """

    fee_rate: Decimal = Decimal("0.001")
    """Of the notional; 0.1 %."""
    slippage: Decimal = Decimal("0.0005")
    """Of the price, on market orders; 0.05 %."""

    def __post_init__(self) -> None:
        for name, value in (("feeRate", self.fee_rate), ("slippage", self.slippage)):
            if not 0 <= money(value, f"costs.{name}") < 1:
                raise InvalidInput(f"costs.{name}", value, "a fraction from 0 to below 1; 1 means 100 %")

    def fee(self, notional: Decimal, rules: TradingRules) -> Decimal:
        """The fee of ``notional``, in quote currency, rounded up to the fee step."""
        return rounded_up(EXACT.multiply(notional, self.fee_rate), rules.fee_step)


@dataclass(frozen=True, slots=True, kw_only=True)
class FillModel:
    """How a market fills orders, besides what it costs. The default is the plainest: whole, at once, at any size.

    Raises:
        InvalidInput: a fraction out of range, an amount below zero, or delays in the wrong order.
    """

    impact: Decimal = ZERO
    """Of the price, on an order whose notional is above ``impact_above``."""
    impact_above: Decimal = Decimal(1_000)
    """Quote currency."""
    volume_share: Decimal | None = None
    """Of a bar's volume, what all our orders together get at most; ``None``: a bar fills any size."""
    depth_share: Decimal = ONE
    """The same of the visible depth of a quote."""
    delay: tuple[timedelta, timedelta] = (timedelta(0), timedelta(0))
    """The shortest and the longest time from acceptance until an order can trade on a quote. A bar is too coarse for
    it: its open is the first price after the acceptance that a recording knows."""

    def __post_init__(self) -> None:
        if not 0 <= money(self.impact, "fills.impact") < 1:
            raise InvalidInput("fills.impact", self.impact, "a fraction from 0 to below 1; 1 means 100 %")
        quantity(self.impact_above, "fills.impactAbove")
        for name, share in (("volumeShare", self.volume_share), ("depthShare", self.depth_share)):
            if share is not None and not 0 < money(share, f"fills.{name}") <= 1:
                raise InvalidInput(f"fills.{name}", share, "a fraction above 0, at most 1; 1 means 100 %")
        shortest, longest = (duration(one, "fills.delay") for one in self.delay)
        if shortest > longest:
            raise InvalidInput("fills.delay", str(self.delay[0]), f"at most the longest, {self.delay[1]}")

    def delay_ns(self, client_order_id: str) -> int:
        """How long an order waits, in ns: drawn from its client id, so that it is the same whenever one asks."""
        shortest, longest = (duration(one) for one in self.delay)
        drawn = int.from_bytes(blake2b(client_order_id.encode(), digest_size=8).digest())
        return shortest + drawn % (longest - shortest + 1)


PLAIN: Final = FillModel()
"""Of backtests and recorded sessions, whose figures are compared."""

LIVE_LIKE: Final = FillModel(
    impact=Decimal("0.001"),
    volume_share=Decimal("0.1"),
    delay=(timedelta(milliseconds=500), timedelta(milliseconds=1_500)),
)
"""Of paper trading on live prices: 0.1 % of impact above 1,000, a tenth of a bar's volume, half to one and a half
seconds until an order can trade."""


@dataclass(frozen=True, slots=True)
class Level:
    """An amount at a price."""

    price: Decimal
    quantity: Decimal
    """Base units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What is visible of an order book, the best level of each side first.

    Raises:
        InvalidInput: figures that are none, levels out of order, or a bid above an ask.
    """

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        for name, levels, is_worse in (("bids", self.bids, lt), ("asks", self.asks, gt)):
            for number, level in enumerate(levels):
                price(level.price, f"depth.{name}.{number}.price")
                quantity(level.quantity, f"depth.{name}.{number}.quantity")
                if number and not is_worse(level.price, levels[number - 1].price):
                    expected = f"a price worse than that before it, {levels[number - 1].price}"
                    raise InvalidInput(f"depth.{name}.{number}.price", level.price, expected)
        if self.bids and self.asks and self.bids[0].price > self.asks[0].price:
            raise InvalidInput("depth.bids.0.price", self.bids[0].price, f"at most the ask {self.asks[0].price}")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the market gives an order at one price."""

    price: Decimal
    """What the order pays or gets: slippage and impact are in it."""
    quantity: Decimal | None = None
    """Base units; ``None``: as much as is wanted."""


@dataclass(frozen=True, slots=True)
class Match:
    """An execution that the venue has yet to number and book."""

    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str


def is_immediate(order: Order) -> bool:
    """Has the order one chance only?"""
    return order.time_in_force != "gtc"


def bar_offers(
    order: Order, bar: Bar, rules: TradingRules, costs: Costs, model: FillModel = PLAIN
) -> tuple[Offer, ...]:
    """What ``bar`` gives ``order``; nothing when it does not trade.

    Raises:
        InvalidInput: the bar is of another symbol.
    """
    if bar.symbol != order.symbol:
        raise InvalidInput("bar.symbol", bar.symbol, f"a bar of {order.symbol}")
    at = _bar_price(order, bar, rules, costs, model)
    if at is None:
        return ()
    if model.volume_share is None:
        return (Offer(at),)
    return (Offer(at, rounded_down(EXACT.multiply(bar.volume, model.volume_share), rules.quantity_step)),)


def _bar_price(order: Order, bar: Bar, rules: TradingRules, costs: Costs, model: FillModel) -> Decimal | None:
    limit = order.limit_price
    if limit is None or (bar.open <= limit if order.side == "buy" else bar.open >= limit):
        return taken_at(order, bar.open, rules, costs, model)
    through = bar.low < limit if order.side == "buy" else bar.high > limit
    return limit if through and not is_immediate(order) else None


def quote_offers(
    order: Order, quote: Quote, rules: TradingRules, costs: Costs, model: FillModel = PLAIN, depth: Depth | None = None
) -> tuple[Offer, ...]:
    """What ``quote`` gives ``order``, the best price first; nothing when it does not trade.

    ``depth``: the order book at that moment. Without one the best price is good for any size.

    Raises:
        InvalidInput: the quote is of another symbol.
    """
    if quote.symbol != order.symbol:
        raise InvalidInput("quote.symbol", quote.symbol, f"a quote of {order.symbol}")
    buys, limit = order.side == "buy", order.limit_price

    def beyond(at: Decimal) -> bool:
        return limit is not None and (at > limit if buys else at < limit)

    if depth is None:
        best = quote.ask if buys else quote.bid
        return () if beyond(best) else (Offer(taken_at(order, best, rules, costs, model)),)
    found: list[Offer] = []
    for level in depth.asks if buys else depth.bids:
        if beyond(level.price):
            break
        most = rounded_down(EXACT.multiply(level.quantity, model.depth_share), rules.quantity_step)
        found.append(Offer(taken_at(order, level.price, rules, costs), most))
    return tuple(found)


def taken_at(order: Order, best: Decimal, rules: TradingRules, costs: Costs, model: FillModel = PLAIN) -> Decimal:
    """What ``order`` pays or gets where it takes what the market offers at ``best``, with slippage and impact."""
    limit = order.limit_price
    worse = costs.slippage if limit is None else ZERO
    if model.impact and EXACT.multiply(best, order.quantity) > model.impact_above:
        worse = EXACT.add(worse, model.impact)
    if not worse and limit is not None:
        return best
    moved = _moved(order.side, best, worse, rules)
    if limit is None:
        return moved
    return min(moved, limit) if order.side == "buy" else max(moved, limit)


def _moved(side: Side, best: Decimal, by: Decimal, rules: TradingRules) -> Decimal:
    if side == "buy":
        return rounded_up(EXACT.multiply(best, EXACT.add(ONE, by)), rules.price_tick)
    worse = rounded_down(EXACT.multiply(best, EXACT.subtract(ONE, by)), rules.price_tick)
    return max(worse, rules.price_tick)


def takings(order: Order, offers: Iterable[Offer], used: Decimal = ZERO) -> list[Level]:
    """What of ``offers`` the order takes: at most its remainder, and all of it or nothing where it says so.

    ``used``: what others of our orders have taken of these offers before, best price first; base units.
    """
    wanted, found = order.remaining, list[Level]()
    for offer in offers:
        most = wanted
        if offer.quantity is not None:
            gone = min(used, offer.quantity)
            used = EXACT.subtract(used, gone)
            most = min(wanted, EXACT.subtract(offer.quantity, gone))
        if most > 0:
            found.append(Level(offer.price, most))
            wanted = EXACT.subtract(wanted, most)
    return [] if order.time_in_force == "fok" and wanted else found


def execution(at: Decimal, amount: Decimal, rules: TradingRules, costs: Costs) -> Match:
    """The execution of ``amount`` (base units) at price ``at``, with its fee."""
    fee = costs.fee(EXACT.multiply(at, amount), rules)
    return Match(price=at, quantity=amount, fee=fee, fee_currency=quote_of(rules.symbol))


def match(
    order: Order, offers: Iterable[Offer], rules: TradingRules, costs: Costs, used: Decimal = ZERO
) -> list[Match]:
    """The executions of ``order`` on ``offers``, were there no end to what its account can carry; see ``takings``."""
    return [execution(one.price, one.quantity, rules, costs) for one in takings(order, offers, used)]


def affordable(cash: Decimal, at: Decimal, rules: TradingRules, costs: Costs) -> Decimal:
    """The largest quantity, on the step, whose notional and fee at price ``at`` do not exceed ``cash``."""
    unit = EXACT.multiply(at, EXACT.add(ONE, costs.fee_rate))
    # the fee is rounded up by less than one step, so keeping one step back is always enough and seldom needed
    for spare in (ZERO, rules.fee_step):
        if cash <= spare:
            return ZERO
        quantity = rounded_down(ratio(EXACT.subtract(cash, spare), unit), rules.quantity_step)
        notional = EXACT.multiply(at, quantity)
        if EXACT.add(notional, costs.fee(notional, rules)) <= cash:
            return quantity
    return ZERO
