"""What a bar or a quote does to a paper book, and what an account can carry; nothing here touches the disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.trading.matching import (
    ONE,
    Costs,
    FillModel,
    Level,
    Offer,
    TradingRules,
    affordable,
    execution,
    is_immediate,
    takings,
)
from tickwork.trading.order_life import WORKING
from tickwork.trading.orders import ZERO, Fill, Order, Side
from tickwork.values import EXACT, base_of, quote_of
from tickwork.venues.paper_book import BookState, Change, Held

NOTHING: Final = Held("", ZERO)
_TWO: Final = Decimal(2)


def is_contract(symbol: str) -> bool:
    """May be sold short; ``BTC/USDT:USDT``."""
    return ":" in symbol


def asset_of(symbol: str) -> str:
    """Under what name the book keeps a holding in ``symbol``."""
    return symbol if is_contract(symbol) else base_of(symbol)


def closable(state: BookState, order: Order) -> Decimal:
    """How much of the position ``order`` can close, in base units."""
    position = state.balances.get(asset_of(order.symbol), ZERO)
    return max(position if order.side == "sell" else EXACT.minus(position), ZERO)


def free_of(state: BookState, asset: str, without: str = "") -> Decimal:
    """What of ``asset`` is not locked by orders other than ``without``, nor by short contracts settled in it."""
    free = state.balances.get(asset, ZERO)
    for key, held in state.held.items():
        if held.asset == asset and key != without:
            free = EXACT.subtract(free, held.amount)
    for symbol, quantity in state.balances.items():
        if quantity < 0 and is_contract(symbol) and quote_of(symbol) == asset:
            notional = EXACT.multiply(EXACT.minus(quantity), state.last_prices[symbol])
            free = EXACT.subtract(free, EXACT.multiply(_TWO, notional))
    return free


@dataclass(frozen=True, slots=True)
class Terms:
    """On what a venue trades."""

    rules: Mapping[str, TradingRules]
    costs: Costs
    fills: FillModel

    def worst(self, order: Order, seen: Decimal) -> Decimal:
        """What an order may pay: its limit, or where the market was seen made worse by slippage and impact."""
        if order.limit_price is not None:
            return order.limit_price
        worse = EXACT.add(ONE, self.costs.slippage)
        if self.fills.impact and EXACT.multiply(seen, order.quantity) > self.fills.impact_above:
            worse = EXACT.add(worse, self.fills.impact)
        return EXACT.multiply(seen, worse)

    def need(self, state: BookState, order: Order, at: Decimal) -> Held:
        """What the rest of ``order`` locks at price ``at``: the asset it sells, or what it pays for and the fee."""
        if order.reduce_only:
            return NOTHING
        if order.side == "sell" and not is_contract(order.symbol):
            return Held(asset_of(order.symbol), order.remaining)
        opened = max(EXACT.subtract(order.remaining, closable(state, order)), ZERO)
        fee = self.costs.fee(EXACT.multiply(at, order.remaining), self.rules[order.symbol])
        return Held(quote_of(order.symbol), EXACT.add(EXACT.multiply(at, opened), fee))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One bar or quote, as it meets the orders of its symbol."""

    symbol: str
    price: Decimal
    """By which short contracts are collateralised meanwhile."""
    time: int
    """Of fills, ns."""
    offset: int | None
    """Of the bar in its recording."""
    is_due: Callable[[Order], bool]
    """May it meet this order, by when that was accepted?"""
    offers: Callable[[Order], Sequence[Offer]]
    sides: bool
    """Are buys and sells given from different amounts?"""


class Draft:
    """What a bar or quote does to the book, worked out on a copy that becomes the state once it is on disk."""

    def __init__(self, state: BookState, terms: Terms, seen: Seen) -> None:
        self._terms = terms
        self._rules = terms.rules[seen.symbol]
        self._seen = seen
        self._used: dict[Side | None, Decimal] = {}
        self.change = Change()
        self.state = copy(state)
        self.state.balances = dict(state.balances)
        self.state.held = dict(state.held)
        self.state.open = {**state.open, seen.symbol: dict(state.open[seen.symbol])}
        # for this moment's collateral only; the cursor dictionaries are shared and change after the commit
        self.state.last_prices = {**state.last_prices, seen.symbol: seen.price}

    def trade(self, order: Order) -> None:
        """Fill or end ``order``, if this bar or quote does."""
        if not self._seen.is_due(order):
            return
        side = order.side if self._seen.sides else None
        taken = takings(order, self._seen.offers(order), self._used.get(side, ZERO))
        if order.time_in_force == "fok" and not self._carries_all(order, taken):
            taken = []
        after, is_short = order, False
        for level in taken:
            quantity = min(level.quantity, self._capacity(after, level.price))
            if quantity > 0:
                fill = self._fill(order, level.price, quantity)
                self._book(fill)
                after = after.with_fill(fill)
                self._used[side] = EXACT.add(self._used.get(side, ZERO), quantity)
            if quantity < level.quantity:
                is_short = True
                break
        self._put(order, self._ended(after, is_short))

    def _ended(self, order: Order, is_short: bool) -> Order:
        if order.status not in WORKING:
            return order
        if is_short:
            return order.ended("cancel", "nothing left to reduce" if order.reduce_only else "insufficient funds")
        if is_immediate(order):
            return order.ended("expire", "it could not be filled at once")
        return order

    def _put(self, before: Order, after: Order) -> None:
        if after is before:
            return
        key = after.client_order_id
        held = self.state.held.pop(key)
        if after.status in WORKING:
            # the dictionary was copied: what stays keeps its place in order of acceptance
            self.state.open[after.symbol][key] = after
            held = self._still_held(after, held)
            self.state.held[key] = held
        else:
            del self.state.open[after.symbol][key]
        self.change.orders.append((after, held))

    def _still_held(self, order: Order, held: Held) -> Held:
        need = self._terms.need(self.state, order, self._terms.worst(order, self._seen.price))
        return need if need.amount < held.amount else held

    def _capacity(self, order: Order, at: Decimal, spare: Decimal = ZERO) -> Decimal:
        closing = closable(self.state, order)
        if order.reduce_only or (order.side == "sell" and not is_contract(order.symbol)):
            return closing
        free = free_of(self.state, quote_of(order.symbol), without=order.client_order_id)
        return EXACT.add(closing, affordable(EXACT.subtract(free, spare), at, self._rules, self._terms.costs))

    def _carries_all(self, order: Order, taken: Sequence[Level]) -> bool:
        """Can the account carry the whole order at the worst price it takes?"""
        if not taken:
            return False
        # each execution rounds its fee up by itself
        spare = EXACT.multiply(self._rules.fee_step, Decimal(len(taken) - 1))
        return self._capacity(order, taken[-1].price, spare) >= order.remaining

    def _fill(self, order: Order, at: Decimal, quantity: Decimal) -> Fill:
        done = execution(at, quantity, self._rules, self._terms.costs)
        number = self.state.next_fill
        self.state.next_fill += 1
        return Fill(
            venue=order.venue,
            fill_id=str(number),
            client_order_id=order.client_order_id,
            venue_order_id=order.venue_order_id,
            account=order.account,
            symbol=order.symbol,
            side=order.side,
            price=done.price,
            quantity=done.quantity,
            fee=done.fee,
            fee_currency=done.fee_currency,
            time=self._seen.time,
            offset=self._seen.offset,
        )

    def _book(self, fill: Fill) -> None:
        self.change.fills.append(fill)
        paid = fill.notional if fill.side == "buy" else EXACT.minus(fill.notional)
        self._move(asset_of(fill.symbol), fill.signed_quantity)
        self._move(quote_of(fill.symbol), EXACT.minus(paid))
        self._move(fill.fee_currency, EXACT.minus(fill.fee))

    def _move(self, asset: str, amount: Decimal) -> None:
        total = EXACT.add(self.state.balances.get(asset, ZERO), amount)
        self.state.balances[asset] = self.change.balances[asset] = total
