"""What an account tells the tape besides its orders and fills (``service.trading``)."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from tickwork.core.event import Event
from tickwork.values import Money, Quantity, Symbol


class OrderInDoubt(Event, name="trading/order.in_doubt", version=1):
    """Nobody knows whether the venue has an order: it keeps its worst case and is looked for."""

    account: str
    workflow: str
    venue: str
    client_order_id: str
    symbol: Symbol
    side: str
    quantity: Quantity
    why: str
    stuck: bool
    """It has been so for long: a person should look."""


class OrderCleared(Event, name="trading/order.cleared", version=1):
    """An order is not in doubt any more."""

    account: str
    client_order_id: str
    found: bool
    """The venue has it, or had it; else it certainly never had."""
    state: str
    """As the venue shows it; empty where it does not."""


class OrderDisowned(Event, name="trading/order.disowned", version=1):
    """A person says that an order in doubt does not exist, and answers for it."""

    account: str
    client_order_id: str
    by: str
    reason: str


class OrderMissing(Event, name="trading/order.missing", version=1):
    """The venue had acknowledged an order, and does not show it at all."""

    account: str
    client_order_id: str
    symbol: Symbol


class AccountOwned(Event, name="trading/account.owned", version=1):
    """Whose an account is, from here on; before that, or without one, it is nobody's in particular."""

    account: str
    owner: str


class EquityMarked(Event, name="trading/equity.marked", version=1):
    """What an account is worth, at fresh prices of everything it holds."""

    account: str
    currency: str
    equity: Money
    profits: dict[str, Money] = Field(default_factory=dict)
    """What each workflow has made, its positions at those prices."""
    prices: dict[str, Money] = Field(default_factory=dict)
    """Those prices, by symbol: the middle of bid and ask."""
    at: datetime
