"""What Alpaca answers, made into our values; the only file that knows its words.

Payloads as in https://docs.alpaca.markets/reference (``Order``, ``Position``, ``Assets``, ``TradeActivity``), its
statuses as in https://docs.alpaca.markets/docs/orders-at-alpaca#order-lifecycle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.trading.matching import TradingRules
from tickwork.trading.order_life import OrderState
from tickwork.trading.orders import ZERO, Fill, Order, OrderType, Side, TimeInForce
from tickwork.values import EXACT, base_of
from tickwork.venues.wire import Row

CURRENCY: Final = "USD"

STATES: Final[dict[str, OrderState]] = {
    "new": "acknowledged",
    "accepted": "acknowledged",
    "accepted_for_bidding": "acknowledged",
    "pending_new": "acknowledged",
    "pending_review": "acknowledged",
    "pending_replace": "acknowledged",
    "held": "acknowledged",
    "stopped": "acknowledged",  # a trade is guaranteed and has not happened yet
    "suspended": "acknowledged",
    "calculated": "acknowledged",  # done for the day, its figures are still being made up
    "done_for_day": "acknowledged",  # it goes on tomorrow, or expires
    "partially_filled": "partially_filled",
    "filled": "filled",
    "pending_cancel": "cancelling",
    "canceled": "cancelled",
    "replaced": "cancelled",  # another order stands in its place; nothing here replaces
    "expired": "expired",
    "rejected": "rejected",
}
"""Alpaca's statuses, and ours of an order of which nothing was filled."""

_OF_TYPE: Final[dict[str, OrderType]] = {
    "market": "market",
    "limit": "limit",
    "stop": "market",
    "stop_limit": "limit",
    "trailing_stop": "market",
}
"""Those of other programs too; here only the first two are sent."""

_TIMES: Final[dict[str, TimeInForce]] = {
    "day": "gtc",
    "gtc": "gtc",
    "gtd": "gtc",
    "opg": "gtc",
    "cls": "gtc",
    "ioc": "ioc",
    "fok": "fok",
}
_SIDES: Final[dict[str, Side]] = {"buy": "buy", "sell": "sell", "sell_short": "sell"}

_OPTION: Final = re.compile(r"[A-Z.]{1,6}\d{6}[CP]\d{8}", re.ASCII)
"""An option's symbol, e.g. ``AAPL240119C00195000``."""
_QUOTES: Final = ("USDT", "USDC", "USD", "BTC")

SHARE_TICK: Final = Decimal("0.01")
"""Alpaca takes a hundredth of a dollar at any price of a dollar or more; below one, finer ones too."""
FRACTION: Final = Decimal("1e-9")
"""The step of quantities that may be fractions: https://docs.alpaca.markets/docs/fractional-trading."""

FRACTION_LEAST: Final = Decimal(1)
PAIR_LEAST: Final = Decimal(10)
"""The least notional of an order: "cost basis must be >= minimal amount of order 1" (10 for pairs)."""


def is_crypto(symbol: str) -> bool:
    """Shares are plain tickers; pairs have a slash, at Alpaca as here."""
    return "/" in symbol


def our_symbol(theirs: str, crypto: bool) -> str:
    """A symbol in our spelling: positions in crypto come without the slash."""
    if crypto and "/" not in theirs:
        for quote in _QUOTES:
            if theirs.endswith(quote) and theirs != quote:
                return f"{theirs.removesuffix(quote)}/{quote}"
    return theirs


@dataclass(frozen=True, slots=True)
class Listed:
    """An order as Alpaca lists it. Its fills are in another list."""

    id: str
    order: Order
    average: Decimal | None
    """The average price of what was filled, rounded by Alpaca."""

    def with_fills(self, fills: Iterable[Fill]) -> Order:
        """The order with the exact sums of its fills; Alpaca's rounded average while these are not all listed."""
        order, filled, notional = self.order, ZERO, ZERO
        for fill in fills:
            if fill.venue_order_id == self.id:
                filled, notional = EXACT.add(filled, fill.quantity), EXACT.add(notional, fill.notional)
        if filled != order.filled:
            notional = EXACT.multiply(order.filled, self.average) if self.average is not None else ZERO
        return replace(order, filled_notional=notional)


def read_order(row: Row, venue: str, account: str) -> Listed | None:
    """An order; ``None`` for one in an option, or of several legs, which are not traded here.

    Raises:
        InvalidInput: a field is missing or cannot be, a status that is not known.
    """
    theirs = row.text("symbol") if row.has("symbol") else ""
    if not theirs or _OPTION.fullmatch(theirs):
        return None
    status = row.one_of("status", STATES)
    filled = row.quantity("filled_qty")
    quantity = row.quantity("qty") if row.has("qty") else filled  # one given by its notional has none
    if filled > quantity:
        raise InvalidInput(row.at("filled_qty"), filled, f"no more than its quantity, {quantity}")
    order = Order(
        venue=venue,
        client_order_id=row.text("client_order_id"),
        venue_order_id=row.text("id"),
        account=account,
        symbol=our_symbol(theirs, row.has("asset_class") and row.text("asset_class") == "crypto"),
        side=_SIDES[row.one_of("side", _SIDES)],
        type=_OF_TYPE[row.one_of("type", _OF_TYPE)],
        quantity=quantity,
        limit_price=row.price("limit_price") if row.has("limit_price") else None,
        reduce_only=row.has("position_intent") and row.text("position_intent").endswith("_to_close"),
        time_in_force=_TIMES[row.one_of("time_in_force", _TIMES)],
        status=_state(status, filled, quantity),
        filled=filled,
        fee_currency=CURRENCY if filled else "",
        reason=_reason(row, status),
        time=row.instant("created_at"),
    )
    return Listed(order.venue_order_id, order, row.price("filled_avg_price") if filled else None)


def _state(status: str, filled: Decimal, quantity: Decimal) -> OrderState:
    state = STATES[status]
    if not filled:
        return state
    if state == "acknowledged":
        return "partially_filled"
    if state in ("cancelled", "rejected"):  # it can be rejected by the exchange after a first fill
        return "filled" if filled == quantity else "partially_cancelled"
    return state


def _reason(row: Row, status: str) -> str:
    if status == "replaced":
        return f"replaced by {row.text('replaced_by')}" if row.has("replaced_by") else "replaced"
    return {"canceled": "cancelled", "expired": "expired", "rejected": "rejected by the exchange"}.get(status, "")


@dataclass(frozen=True, slots=True)
class Named:
    """What fills do not say of their order."""

    client_id: str
    symbol: str
    """Ours. A fill may name a pair without its slash."""


NOBODYS: Final = Named("", "")


def read_name(row: Row) -> Named:
    """From an order.

    Raises:
        InvalidInput: a field is missing or cannot be.
    """
    crypto = row.has("asset_class") and row.text("asset_class") == "crypto"
    return Named(row.text("client_order_id"), our_symbol(row.text("symbol"), crypto) if row.has("symbol") else "")


def read_fill(row: Row, orders: Mapping[str, Named], venue: str, account: str) -> Fill:
    """A fill from an activity. ``orders``: by Alpaca's id. Alpaca charges no commission.

    Raises:
        InvalidInput: a field is missing or cannot be.
    """
    order = row.text("order_id")
    named = orders.get(order, NOBODYS)
    return Fill(
        venue=venue,
        fill_id=row.text("id"),
        client_order_id=named.client_id,
        venue_order_id=order,
        account=account,
        symbol=named.symbol or row.text("symbol"),
        side=_SIDES[row.one_of("side", _SIDES)],
        price=row.price("price"),
        quantity=row.price("qty"),
        fee=ZERO,
        fee_currency=CURRENCY,
        time=row.instant("transaction_time"),
    )


def is_option_fill(row: Row) -> bool:
    """Options are not traded here."""
    return _OPTION.fullmatch(row.text("symbol")) is not None


@dataclass(frozen=True, slots=True)
class Position:
    """A holding; below zero for a short."""

    symbol: str
    quantity: Decimal
    free: Decimal
    """How much of it no open order holds; of the same sign."""

    @property
    def asset(self) -> str:
        """Under what name balances list it."""
        return base_of(self.symbol)


def read_position(row: Row) -> Position | None:
    """A position; ``None`` for one in an option.

    Raises:
        InvalidInput: a field is missing or cannot be.
    """
    theirs = row.text("symbol")
    if _OPTION.fullmatch(theirs):
        return None
    quantity = row.amount("qty")
    if (row.one_of("side", ("long", "short")) == "long") != (quantity > 0):
        raise InvalidInput(row.at("qty"), quantity, f"above zero for a long position, below for a short: {theirs}")
    free = row.amount("qty_available")
    if free * quantity < 0 or abs(free) > abs(quantity):
        raise InvalidInput(row.at("qty_available"), free, f"a part of the position, {quantity}")
    return Position(our_symbol(theirs, row.text("asset_class") == "crypto"), quantity, free)


def read_rules(row: Row, fractional: bool) -> TradingRules | None:
    """What is asked of orders in an asset; ``None`` for one that cannot be traded.

    Raises:
        InvalidInput: a field is missing or cannot be.
    """
    if row.text("status") != "active" or not row.flag("tradable"):
        return None
    symbol = row.text("symbol")
    fractions = row.has("fractionable") and row.flag("fractionable") and fractional
    step, least = (FRACTION, FRACTION_LEAST) if fractions else (Decimal(1), ZERO)
    if is_crypto(symbol):
        step, least = row.price("min_trade_increment") if row.has("min_trade_increment") else FRACTION, PAIR_LEAST
    return TradingRules(
        symbol=symbol,
        price_tick=row.price("price_increment") if row.has("price_increment") else SHARE_TICK,
        quantity_step=step,
        min_notional=least,
        min_quantity=row.quantity("min_order_size") if is_crypto(symbol) and row.has("min_order_size") else ZERO,
    )
