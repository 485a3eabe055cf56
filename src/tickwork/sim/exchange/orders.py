"""Orders and trades as the exchange books them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from tickwork.sim.exchange.markets import ZERO, Account, Market, OrderType, Side
from tickwork.values import EXACT

OrderStatus = Literal["NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"]
"""``EXPIRED`` is what the exchange itself ended, the rest of an order that may not rest. Not every venue says so."""
OPEN: Final = ("NEW", "PARTIALLY_FILLED")

View = Literal["order", "open", "history", "trades"]
VIEWS: Final[tuple[View, ...]] = ("order", "open", "history", "trades")
"""The queries that may each learn of an order at another time."""

Reason = Literal[
    "bad_price",
    "bad_quantity",
    "below_minimum",
    "above_maximum",
    "notional_below_minimum",
    "notional_above_maximum",
    "price_out_of_band",
    "insufficient_quote",
    "insufficient_base",
    "not_open_yet",
    "not_api_tradable",
    "suspended",
    "side_not_allowed",
    "type_not_allowed",
    "market_orders_disabled",
    "no_liquidity",
    "would_take",
    "duplicate",
    "not_found",
    "not_open",
]


class Rejection(Exception):
    """The exchange says no. Each venue has its own code and words for a ``reason``.

    Args:
        reason: why.
        limit: the number that was not kept, where there is one.
    """

    def __init__(self, reason: Reason, limit: str = "") -> None:
        super().__init__(reason, limit)
        self.reason = reason
        self.limit = limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What an account asks for. A market buy names a quantity or what to spend; everything else names a quantity."""

    market: Market
    side: Side
    type: OrderType
    quantity: Decimal | None = None
    """Base units."""
    spend: Decimal | None = None
    """Quote currency."""
    price: Decimal | None = None
    """The limit; a market order has none."""
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trade:
    """One side of an execution."""

    number: int
    order: Order
    price: Decimal
    quantity: Decimal
    quote: Decimal
    """Price times quantity, exact."""
    fee: Decimal
    fee_asset: str
    maker: bool
    at: int
    """ns since 1970 UTC, as the server's clock has it."""


@dataclass(frozen=True, slots=True)
class State:
    """What an order had come to at some time."""

    at: int
    status: OrderStatus
    executed: Decimal
    quoted: Decimal


class Order:
    """An order that was accepted, and all that became of it."""

    __slots__ = (
        "account",
        "client_id",
        "created",
        "executed",
        "hidden",
        "locked",
        "market",
        "number",
        "past",
        "price",
        "quantity",
        "quoted",
        "side",
        "spend",
        "status",
        "trades",
        "type",
        "updated",
    )

    def __init__(self, number: int, account: Account, ticket: Ticket, at: int) -> None:
        self.number = number
        self.account = account
        self.market = ticket.market
        self.client_id = ticket.client_id
        self.side = ticket.side
        self.type = ticket.type
        self.price = ZERO if ticket.price is None else ticket.price
        self.quantity = ZERO if ticket.quantity is None else ticket.quantity
        """What was asked for; of an order that names what to spend, what that came to."""
        self.spend = ticket.spend
        self.executed = ZERO
        self.quoted = ZERO
        self.status: OrderStatus = "NEW"
        self.created = self.updated = at
        self.locked = ZERO
        self.trades: list[Trade] = []
        self.hidden: dict[View, int] | None = None
        """Until when (ns) a query does not know of it yet."""
        self.past: list[State] = [State(at, "NEW", ZERO, ZERO)]

    @property
    def is_open(self) -> bool:
        """Whether it may still trade."""
        return self.status in OPEN

    @property
    def remaining(self) -> Decimal:
        """What was not executed."""
        return EXACT.subtract(self.quantity, self.executed)

    def seen_in(self, view: View, now: int) -> bool:
        """Whether a query knows of it already."""
        return self.hidden is None or now >= self.hidden.get(view, 0)

    def state(self, at: int) -> State:
        """What it had come to at a time; at the earliest what it came to first."""
        found = self.past[0]
        for state in self.past:
            if state.at > at:
                break
            found = state
        return found

    def note(self, status: OrderStatus, at: int) -> None:
        """It has come to something new."""
        self.status, self.updated = status, at
        self.past.append(State(at, status, self.executed, self.quoted))
