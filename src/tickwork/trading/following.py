"""Following: what a venue has done to our working orders, and the books do not hold yet.

Theory of operation. ``news`` asks the venue for its open orders, for each working order that is not among them by its
client id, and for the fills of each symbol in which an order has traded. Nothing is booked here: what is news goes on
the tape first, and whoever puts it there books it then.

A venue's lists lag behind each other. So an order counts as ended once all its fills are there; one whose end is known
and not told stays in mind until it is; and one that ended unfilled is looked at once more a while later, because a fill
may have been on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tickwork.outcome import NotFound
from tickwork.trading.ledger import Ledger
from tickwork.trading.order_life import FINAL, WORKING
from tickwork.trading.orders import Fill, Order
from tickwork.trading.reservations import Reservation, Reservations
from tickwork.trading.venue import VenuePort
from tickwork.values import EXACT

_US: Final = timedelta(microseconds=1)
_KEPT_NS: Final = 600_000_000_000
"""So long an ended order is kept where nobody asks for news."""

LINGER: Final = timedelta(seconds=30)
"""So long after an order ended unfilled it is looked at once more: a fill may have been on its way."""

MARGIN: Final = timedelta(minutes=1)
"""How much earlier than an order's approval its fills are asked for: the venue's clock is not ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueNews:
    """What a venue has done to our orders and the books do not hold."""

    fills: list[Fill]
    """Ascending by ``Fill.rank``."""
    ended: list[Order]
    """Orders that have ended, all of whose fills are booked or in ``fills``."""
    missing: list[str]
    """Client ids of orders it had acknowledged and does not show at all."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """An order that has ended."""

    held: Reservation
    """As it was."""
    at: int
    told: bool
    """The tape knows."""


class Follower:
    """Follows the orders of one account. ``clock``: ns since 1970 UTC."""

    def __init__(self, venue: VenuePort, ledger: Ledger, reservations: Reservations, clock: Callable[[], int]) -> None:
        self._venue = venue
        self._ledger = ledger
        self._reservations = reservations
        self._clock = clock
        self._after: dict[str, _Ended] = {}
        """Orders that have ended, oldest first: to be told of, and looked at once more."""

    def holder_of(self, key: str) -> str:
        """The workflow whose order this is, where it is remembered; else ``""``."""
        held = self._reservations.get(key)
        if held is None and key in self._after:
            held = self._after[key].held
        return "" if held is None else held.workflow

    async def news(self) -> VenueNews:
        """What became of our working orders at the venue. Put each on the tape, then ``apply`` or ``follow`` it.

        Costs one question, one more for each order that is not working any more, and one for each symbol that traded.

        Raises:
            Whatever the venue raises: then nothing is known, and nothing changed.
        """
        asked = {**self._reservations.working(), **self._ended()}
        working = {order.client_order_id: order for order in await self._venue.open_orders()} if asked else {}
        seen: list[Order] = []
        missing: list[str] = []
        for key, held in asked.items():
            order = working.get(key)
            if order is None:
                found = await self._venue.find(key, held.symbol)
                if isinstance(found, NotFound):
                    missing.append(key)
                    continue
                order = found.value
            seen.append(order)
            if order.status in WORKING and key not in self._after:
                self._reservations.follow(order)  # it may have traded, or a cancel may not have taken hold
        fills = await self._unbooked(seen, asked)
        late = {fill.client_order_id for fill in fills}
        ended = [order for order in seen if self._is_news(order, late) and self._complete(order, fills)]
        for key in [key for key in asked if key in self._after and self._after[key].told]:
            del self._after[key]  # looked at once more
        return VenueNews(fills=fills, ended=ended, missing=missing)

    def _ended(self) -> dict[str, Reservation]:
        """Orders that ended and were not told of, and those that ended a while ago."""
        now = self._clock()
        return {
            key: one.held for key, one in self._after.items() if not one.told or now - one.at > LINGER // _US * 1_000
        }

    def _is_news(self, order: Order, late: Container[str]) -> bool:
        known = self._after.get(order.client_order_id)
        return order.status in FINAL and (known is None or not known.told or order.client_order_id in late)

    async def _unbooked(self, orders: Sequence[Order], asked: Mapping[str, Reservation]) -> list[Fill]:
        """Fills of ours that the ledger does not hold, in the symbols in which orders have traded."""
        since: dict[str, int] = {}
        for order in orders:
            if order.filled > self._reservations.filled(order.client_order_id):
                begin = asked[order.client_order_id].since - MARGIN // _US * 1_000
                since[order.symbol] = min(begin, since.get(order.symbol, begin))
        found: list[Fill] = []
        for symbol, begin in since.items():
            ours = [fill for fill in await self._venue.fills(symbol, max(begin, 0)) if self._is_ours(fill)]
            found += [fill for fill in ours if not self._ledger.knows(fill)]
        return sorted(found, key=lambda fill: fill.rank)

    def _is_ours(self, fill: Fill) -> bool:
        key = fill.client_order_id
        return self._reservations.state_of(key) is not None or self._reservations.filled(key) > 0 or key in self._after

    def _complete(self, order: Order, fills: Iterable[Fill]) -> bool:
        """Are all fills of an order booked, or among ``fills``?"""
        booked = self._reservations.filled(order.client_order_id)
        for fill in fills:
            if fill.client_order_id == order.client_order_id:
                booked = EXACT.add(booked, fill.quantity)
        return booked >= order.filled

    def saw(self, order: Order, *, told: bool) -> None:
        """Note how an order stands. ``told``: the tape knows, or will before anything else happens."""
        key, now = order.client_order_id, self._clock()
        before = self._after.pop(key, None)
        held = self._reservations.get(key) or (before.held if before else None)
        told = told or (before is not None and before.told)  # a cancel that comes late finds what was told
        self._reservations.follow(order)
        if held is not None and order.status in FINAL and (not told or order.filled < order.quantity):
            self._after[key] = _Ended(held, now, told)
        while self._after and (oldest := next(iter(self._after.values()))).told and now - oldest.at > _KEPT_NS:
            del self._after[next(iter(self._after))]

    def expect_end(self, key: str, held: Reservation) -> None:
        """An order holds no room any more, and nobody has told how it ended: ``news`` will. ``held``: as it was.

        Its last fill may be told before the venue's lists show that it has ended.
        """
        if self._reservations.get(key) is None and key not in self._after:
            self._after[key] = _Ended(held, self._clock(), told=False)
