"""Matching: what becomes of a resting order when the next bar arrives.

Theory of operation. One pure function serves the paper venue, the simulated exchange and the backtest, so that the
three cannot differ. An order sees only bars that begin after it was accepted; whoever calls sees to that.

* A market order fills whole at the bar's open, made worse by the slippage (default 0.05 %: ``fraction``, 1 is 100 %).
* A limit order fills whole when the bar trades *through* its price: at the open where the open is at the limit or
  better, else at the limit. A bar that merely touches the limit does not fill it: one cannot know that the queue in
  front of us was served. A limit fill has no slippage; the limit is the worst price by definition.
* The fee is a fraction of the notional (default 0.1 %), in quote currency.

Rounding, all declared by the instrument's rules and always to the trader's disadvantage: a market price goes to the
tick away from the trader (a buy up, a sell down, never below one tick), quantities are cut down to the step, fees are
rounded up to the fee step. Everything else is exact.

Not modelled: volume (an order larger than the bar's volume fills whole), impact, latency, the order of high and low.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.trading.orders import ZERO, Order
from tickwork.values import EXACT, money, price, quote_of, ratio, rounded_down, rounded_up, symbol

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
    fee_step: Decimal = Decimal("1e-8")
    """Fees are multiples of this, rounded up; quote currency."""

    def __post_init__(self) -> None:
        symbol(self.symbol, "rules.symbol")
        price(self.price_tick, "rules.priceTick")
        price(self.quantity_step, "rules.quantityStep")
        price(self.fee_step, "rules.feeStep")
        if money(self.min_notional, "rules.minNotional") < 0:
            raise InvalidInput("rules.minNotional", self.min_notional, "zero or more")


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


@dataclass(frozen=True, slots=True)
class Match:
    """An execution that the venue has yet to number and book."""

    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str


def match_price(order: Order, bar: Bar, rules: TradingRules, costs: Costs) -> Decimal | None:
    """At what price ``order`` trades on ``bar``; ``None`` when it does not.

    Raises:
        InvalidInput: the bar is of another symbol.
    """
    if bar.symbol != order.symbol:
        raise InvalidInput("bar.symbol", bar.symbol, f"a bar of {order.symbol}")
    buys, limit = order.side == "buy", order.limit_price
    if limit is None:
        if buys:
            return rounded_up(EXACT.multiply(bar.open, EXACT.add(ONE, costs.slippage)), rules.price_tick)
        worse = rounded_down(EXACT.multiply(bar.open, EXACT.subtract(ONE, costs.slippage)), rules.price_tick)
        return max(worse, rules.price_tick)
    if buys:
        return bar.open if bar.open <= limit else limit if bar.low < limit else None
    return bar.open if bar.open >= limit else limit if bar.high > limit else None


def execution(at: Decimal, quantity: Decimal, rules: TradingRules, costs: Costs) -> Match:
    """The execution of ``quantity`` at price ``at``, with its fee."""
    fee = costs.fee(EXACT.multiply(at, quantity), rules)
    return Match(price=at, quantity=quantity, fee=fee, fee_currency=quote_of(rules.symbol))


def match(order: Order, bar: Bar, rules: TradingRules, costs: Costs) -> Match | None:
    """What ``order``'s whole remainder does on ``bar``; ``None`` when it does not trade or has ended.

    Raises:
        InvalidInput: the bar is of another symbol.
    """
    at = match_price(order, bar, rules, costs)
    return execution(at, order.remaining, rules, costs) if at is not None and order.remaining > 0 else None


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
