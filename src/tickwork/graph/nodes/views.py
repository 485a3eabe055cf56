"""What nodes publish, and what they keep between runs.

``VIEWS`` belongs to the engine: ``Engine(views=[*VIEWS, ...])``. Three of the four views are written by claims alone:
compare-and-set on the tape, so that two runs at once cannot both take what only one can have.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec
from pydantic import Field

from tickwork.core.event import Event
from tickwork.core.view import View, view
from tickwork.trading.orders import Side
from tickwork.values import Symbol, timestamp_ns

LATEST: Final = 200
"""Orders of a document that it can still cancel without being told which."""

DEPTH_MAX: Final = 8
"""Emitted events in a row, each by a run that the one before it started."""

CHANGES: Final = 1_000
"""Changes of a portfolio that can still be taken back."""

_HOUR_NS: Final = 3_600_000_000_000
_KEPT_HOURS: Final = 8 * 24


def owned(owner: str, name: str) -> str:
    """Under which key views keep what an owner calls by this name."""
    return msgspec.json.encode([owner, name]).decode()


class OrderPlaced(Event, name="graph/order.placed", version=1):
    """A node of a document has placed an order, and the venue has it."""

    owner: str
    document: str
    node: str
    run: str
    symbol: Symbol
    side: Side
    client_order_id: str
    at: datetime


class Emitted(Event, name="graph/event.emitted", version=1):
    """What the node ``emit_event`` publishes: an event that only documents know, by a name of their own."""

    name: str
    document: str
    node: str
    run: str
    symbol: str = ""
    data: dict[str, Any] = Field(default_factory=dict)
    owner: str = ""
    """Whose document it was; nothing: the installation's."""
    depth: int = Field(default=1, ge=1)
    """1, or one more than that of the event which started the run, or the run that called it."""


class Orders(msgspec.Struct, frozen=True):
    """The orders of one document."""

    latest: list[str] = []
    """Client ids of the last ``LATEST``, oldest first."""
    hours: dict[int, int] = {}
    """How many were placed in each hour (of those since 1970 UTC); those of the last eight days."""


@view("document-orders", on=OrderPlaced, key=lambda placed: owned(placed.owner, placed.document))
def document_orders(state: Orders | None, event: OrderPlaced) -> Orders:
    """What each document has placed, by owner and document (``owned``)."""
    known = state or Orders()
    hour = timestamp_ns(event.at) // _HOUR_NS
    hours = {at: count for at, count in known.hours.items() if at > hour - _KEPT_HOURS}
    hours[hour] = hours.get(hour, 0) + 1
    return Orders([*known.latest, event.client_order_id][-LATEST:], hours)


Period = Literal["hour", "day", "week"]
_HOURS: Final[dict[Period, int]] = {"hour": 1, "day": 24, "week": 168}
_MONDAY: Final = 96
"""1970 began on a Thursday: the first week began four days later."""


def placed_in(orders: Orders | None, period: Period, now: int) -> int:
    """How many orders were placed since the hour, day or week (from Monday) began, in UTC. ``now``: ns."""
    if orders is None:
        return 0
    length, hour = _HOURS[period], now // _HOUR_NS
    from_ = _MONDAY if period == "week" else 0
    begun = hour - (hour - from_) % length
    return sum(count for at, count in orders.hours.items() if at >= begun)


class Reservation(msgspec.Struct, frozen=True):
    """Money set aside."""

    amount: Decimal
    document: str
    until: int
    """ns since 1970 UTC: from then on it does not count."""


class Reserved(msgspec.Struct, frozen=True):
    """Money of one account that is set aside, by reservation."""

    by_id: dict[str, Reservation] = {}

    def total(self, now: int) -> Decimal:
        """What counts now (ns)."""
        return sum((one.amount for one in self.by_id.values() if one.until > now), Decimal(0))


@view("reserved-funds", on=(), key=str)
def reserved_funds(state: Reserved | None, event: Event) -> Reserved | None:  # noqa: ARG001 - claims alone write it
    """Money set aside, by account."""
    return state


class Portfolio(msgspec.Struct, frozen=True):
    """Holdings as documents have noted them, in base units."""

    holdings: dict[str, Decimal] = {}
    changes: dict[str, dict[str, Decimal]] = {}
    """The last ``CHANGES``, by id: what each added to which symbol."""


@view("portfolios", on=(), key=str)
def portfolios(state: Portfolio | None, event: Event) -> Portfolio | None:  # noqa: ARG001 - claims alone write it
    """Noted holdings, by owner and name (``owned``)."""
    return state


class TakenBack(msgspec.Struct, frozen=True):
    """The fills of one order, as they are closed again."""

    by: str
    """Which node of which run is at it, or was."""
    left: Decimal
    """Base units that are still to be closed."""


@view("orders-taken-back", on=(), key=str)
def taken_back(state: TakenBack | None, event: Event) -> TakenBack | None:  # noqa: ARG001 - claims alone write it
    """Orders whose fills are closed again, by client id."""
    return state


VIEWS: Final[tuple[View, ...]] = (document_orders, reserved_funds, portfolios, taken_back)
"""What nodes need of an engine."""
