"""A venue, as trading sees it: one port of ten methods, with what it promises declared as data.

``venues.conformance`` is this page as numbered cases; every adapter passes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Ack, ApprovedOrder, Fill, Order, OrderType, TimeInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a venue promises; exactly-once rests on the first three."""

    deduplicates: bool
    """The same client id gives the same order, however late: a resend is harmless."""
    request_validity: timedelta = timedelta(0)
    """After this a request still under way is no longer accepted (a signed request's ``recvWindow``)."""
    visibility_bound: timedelta | None = timedelta(0)
    """An accepted order can be found after this; ``None``: the venue declares no bound."""
    order_types: frozenset[OrderType] = frozenset({"market", "limit"})
    times_in_force: frozenset[TimeInForce] = frozenset({"gtc"})
    """Of limit orders."""
    streams: bool = False
    """``updates`` tells of orders and fills as they happen; polling is still right, only slower."""
    shorts: bool = False
    """An account can owe what it sells; without it a sell can only reduce."""

    @property
    def grace(self) -> timedelta:
        """How long "not found" must hold before it means "never will be"."""
        if self.deduplicates:
            # a resend is harmless, but its "no" says nothing while the first request may still arrive
            return self.request_validity
        return self.request_validity + (self.visibility_bound or timedelta(0))

    @property
    def absence_is_proof(self) -> bool:
        """May "not found" ever be taken as an answer?"""
        return self.deduplicates or self.visibility_bound is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account holds of one asset; ``total`` includes ``held``, which open orders have locked."""

    total: Decimal
    held: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueReport:
    """What a venue says of our account and of itself, without anything being traded.

    ``None`` where it does not say.
    """

    clock_skew: timedelta | None = None
    """The venue's clock less ours."""
    may_read: bool | None = None
    may_trade: bool | None = None
    may_withdraw: bool | None = None
    """A key that may is refused for live trading unless the configuration says why."""
    notes: tuple[str, ...] = ()
    """Sentences for a person: limits, maintenance, what could not be looked at."""


class VenuePort(Protocol):
    """A venue, seen as one authenticated account.

    Every method may also raise ``Retryable`` or anything else for a fault of the wire, and none gives an empty answer
    for a failed question. Nothing here retries a write by itself: a client that resends a submission behind the desk's
    back would undo everything the desk does. What the venue answers is checked at this edge: figures that are missing,
    NaN or of the wrong type raise.

    ``symbol`` may be ``""`` where the caller does not know it: then every symbol the account trades is asked about.
    """

    @property
    def name(self) -> str:
        """The venue's name; in orders, fills and errors."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it promises."""
        ...

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        """What it asks of orders, by symbol; of all it lists when none is named. What it does not list is absent."""
        ...

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Send ``order`` with client id ``key``, 32 hex digits (in whatever spelling the venue wants).

        Raises:
            Rejected: the venue said no; there is no such order.
            NotYet: the same, but later it may say yes.
            NotSent: certain that it did nothing: nothing left this process, or the venue turned the request away.
            InvalidInput: it is not what the gate made.
            Any other error: unknown.
        """
        ...

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        """The order with client id ``key``: working or ended. Asks every list the venue has before ``NotFound``."""
        ...

    async def cancel(self, key: str, symbol: str) -> Order:
        """Cancel; an order that has ended is returned as it is, so that cancelling twice is harmless.

        Raises:
            Rejected: no order has this client id.
        """
        ...

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade; those of other programs too, with their client ids as they are (or ``""``)."""
        ...

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        """Fills in ``symbol`` at ``since`` (ns, by the venue's clock) or later, in order of time, of whatever order.

        Older ones may come with them. Each bears the client id of its order, ``""`` where that has none.
        """
        ...

    async def balances(self) -> dict[str, Balance]:
        """What the account holds, by asset; contracts by their symbol, below zero for a short."""
        ...

    async def examine(self) -> VenueReport:
        """Keys, clock and permissions, looked at without trading."""
        ...

    def updates(self) -> AsyncIterator[Order | Fill]:
        """News of orders and fills as they happen, until it is closed; ends at once where nothing streams.

        A hint: whoever listens still polls, and books nothing twice.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and files. Nothing is lost by not calling it."""
        ...
