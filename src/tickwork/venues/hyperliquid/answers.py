"""What Hyperliquid answers, made into our values; the only file that knows its words.

Payloads as in https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/info-endpoint and exchange-endpoint,
refusals as in error-responses of the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput, NotSent, NotYet, Rejected, TickworkError
from tickwork.trading.order_life import FINAL, OrderState
from tickwork.trading.orders import ZERO, Fill, Order, Side, TimeInForce
from tickwork.values import EXACT
from tickwork.venues.hyperliquid.markets import Market
from tickwork.venues.wire import Row

_SIDES: Final[dict[str, Side]] = {"B": "buy", "A": "sell"}
_TIMES: Final[dict[str, TimeInForce]] = {
    "Gtc": "gtc",
    "Alo": "gtc",
    "Ioc": "ioc",
    "FrontendMarket": "ioc",
    "LiquidationMarket": "ioc",
}
_STATES: Final[dict[str, OrderState]] = {
    "open": "acknowledged",
    "triggered": "acknowledged",
    "filled": "filled",
    "canceled": "cancelled",
    "scheduledCancel": "cancelled",
    "rejected": "rejected",
}
_ENDINGS: Final[dict[str, OrderState]] = {"Canceled": "cancelled", "Rejected": "rejected"}
"""``marginCanceled``, ``reduceOnlyCanceled``, ... and ``tickRejected``, ``perpMarginRejected``, ..."""


def client_id(cloid: str) -> str:
    """Our spelling of a ``cloid``."""
    return cloid.removeprefix("0x").lower()


@dataclass(frozen=True, slots=True)
class Listed:
    """An order as Hyperliquid lists it. Its fills are in another list."""

    oid: int
    order: Order
    since: int
    """When it came into its state, in ns."""

    def with_fills(self, fills: Iterable[Fill], settled: bool) -> Order:
        """The order with the sums of its fills.

        How much was filled is what the order says of itself. Once it has been over for long (``settled``) its fills say
        so, if there are any: what the remainder of an order that was cut off means is not documented.
        """
        ours = [fill for fill in fills if fill.venue_order_id == self.order.venue_order_id]
        traded = sum((fill.quantity for fill in ours), ZERO)
        order = replace(
            self.order,
            filled_notional=sum((fill.notional for fill in ours), ZERO),
            fee=sum((fill.fee for fill in ours), ZERO),
            fee_currency=ours[0].fee_currency if ours else "",
        )
        if settled and traded and order.status in FINAL and traded <= order.quantity:
            order = replace(order, filled=traded, status=_state(order.status, traded, order.quantity))
        return order


def state_of(row: Row, name: str) -> OrderState:
    """A status of an order of which nothing was filled.

    Raises:
        InvalidInput: a status that is not known.
    """
    status = row.text(name)
    for ending, state in _ENDINGS.items():
        if status.endswith(ending):
            return state
    return _STATES[row.one_of(name, _STATES)]


def _state(state: OrderState, filled: Decimal, quantity: Decimal) -> OrderState:
    if not filled:
        return state
    if state == "acknowledged":
        return "partially_filled"
    return "filled" if filled == quantity else "partially_cancelled"


def read_order(row: Row, status: Row | None, market: Market, venue: str, account: str) -> Listed:
    """An order. ``status``: the object that holds its status; ``None``: it is open.

    Raises:
        InvalidInput: a field is missing or cannot be.
    """
    quantity, left = row.quantity("origSz"), row.quantity("sz")
    if left > quantity:
        raise InvalidInput(row.at("sz"), left, f"no more than its size, {quantity}")
    at_market = row.has("orderType") and "Market" in row.text("orderType")
    state: OrderState = "acknowledged" if status is None else state_of(status, "status")
    filled = ZERO if state == "rejected" else EXACT.subtract(quantity, left)
    order = Order(
        venue=venue,
        client_order_id=client_id(row.text("cloid")) if row.has("cloid") else "",
        venue_order_id=str(row.whole("oid")),
        account=account,
        symbol=market.symbol,
        side=_SIDES[row.one_of("side", _SIDES)],
        type="market" if at_market else "limit",
        quantity=quantity,
        limit_price=None if at_market else row.price("limitPx"),
        reduce_only=row.has("reduceOnly") and row.flag("reduceOnly"),
        time_in_force=_TIMES[row.one_of("tif", _TIMES)] if row.has("tif") else "gtc",
        status=_state(state, filled, quantity),
        filled=filled,
        reason=status.text("status") if status is not None and state in FINAL and state != "filled" else "",
        time=row.millis("timestamp"),
    )
    return Listed(row.whole("oid"), order, order.time if status is None else status.millis("statusTimestamp"))


def read_fill(row: Row, market: Market, client_ids: dict[int, str], venue: str, account: str) -> Fill:
    """A fill. Its number is time and ``tid``: a ``tid`` alone is a digest of the two orders, and may come again.

    https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/websocket/subscriptions, ``WsTrade``: "For a
    globally unique trade id, use (block_time, coin, tid)".

    Raises:
        InvalidInput: a field is missing or cannot be.
    """
    oid = row.whole("oid")
    return Fill(
        venue=venue,
        fill_id=f"{row.whole('time')}-{row.whole('tid')}",
        client_order_id=client_id(row.text("cloid")) if row.has("cloid") else client_ids.get(oid, ""),
        venue_order_id=str(oid),
        account=account,
        symbol=market.symbol,
        side=_SIDES[row.one_of("side", _SIDES)],
        price=row.price("px"),
        quantity=row.price("sz"),
        fee=row.amount("fee"),
        fee_currency=row.text("feeToken"),
        time=row.millis("time"),
    )


def refusal(text: str, venue: str) -> TickworkError | None:
    """What Hyperliquid's no means; ``None``: it may be about an order that is there."""
    words = text.lower()

    def says(*phrases: str) -> bool:
        return any(phrase in words for phrase in phrases)

    if says("cloid", "duplicate nonce"):
        return None
    if says("api wallet", "signature"):
        return InvalidInput(f"{venue}.key", text, "the key of an agent that the account has approved")
    if says("nonce", "expired", "too many", "rate limit"):
        return NotSent(f"{venue}: {text}")
    if says("post-only orders allowed", "trading is halted"):  # after an upgrade of the network; a halt
        return NotYet(venue, text)
    return Rejected(venue, text)


def usdc_of(state: Row) -> Decimal:
    """Cash with contracts booked at their full notional, as the ledger books them.

    ``totalRawUsd``: with the values of the positions it is ``accountValue``. In the documents' own example that is
    13009.454678 + 100.02765 = 13109.482328.
    """
    return state.row("marginSummary").amount("totalRawUsd")


def locked_by(orders: Collection[Order]) -> Decimal:
    """The notional that open orders would take; Hyperliquid does not say what margin it holds for them."""
    opening = [order for order in orders if not order.reduce_only and order.limit_price is not None]
    return sum((EXACT.multiply(order.remaining, order.limit_price or ZERO) for order in opening), ZERO)
