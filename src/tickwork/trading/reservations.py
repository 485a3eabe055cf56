"""Reservations: room in the risk limits that is spoken for by orders not yet filled.

Theory of operation. The gate counts what the ledger holds *plus* the worst case of everything on its way. A piece of
room lives like this:

    decided ──take──> sending ──> open ──fills──> gone          (the venue acknowledged)
       │                 │  └───> unknown ──> open | gone       (nobody knows; found, or certain not to exist)
       └─abandon         └──────> gone                          (certain: refused, rejected, not sent)

Until it is sent, room is known by a *ticket*, a digest of run and intent: the client id does not exist yet when the
gate decides. Two equal intents of one run share a ticket, so a ticket holds a queue, and taking one of equals takes any
of them. From sending on it is known by the client id, and everything by that id is idempotent: sending twice, filling
before the acknowledgement, finding what was open all along.

Nothing here is durable, on purpose: the tape is. After a restart the desk rebuilds it from the order and fill records,
and a decision whose effect runs only after the restart takes its room anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from tickwork.trading.orders import FINAL, ZERO, Approval, Order, Side
from tickwork.values import EXACT

State = Literal["decided", "sending", "open", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Room for one order."""

    symbol: str
    side: Side
    total: Decimal
    """Base units the order can come to at most."""
    reduce_only: bool
    state: State

    @staticmethod
    def of(approval: Approval, state: State) -> Reservation:
        """The room an approval needs."""
        intent = approval.intent
        return Reservation(
            symbol=intent.symbol,
            side=intent.side,
            total=approval.quantity,
            reduce_only=intent.reduce_only,
            state=state,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What is on its way in one symbol."""

    buys: Decimal
    """Base units still to be bought at most; orders that only reduce do not count, a venue caps them."""
    sells: Decimal
    """Likewise sold."""
    unknown: int
    """Orders whose fate nobody knows."""


class Reservations:
    """All room of one account that is spoken for."""

    def __init__(self) -> None:
        self._decided: dict[str, list[Reservation]] = {}
        self._sent: dict[str, Reservation] = {}
        self._filled: dict[
            str, Decimal
        ] = {}  # base units by client id, of every order ever seen: a look-up may come late
        self._unresolved: set[str] = set()

    # -- reading --------------------------------------------------------------------------------------------------

    def pending(self, symbol: str) -> Pending:
        """What is on its way in ``symbol``."""
        sums = {"buy": ZERO, "sell": ZERO}
        unknown = 0
        for held, left in self._all():
            if held.symbol != symbol:
                continue
            unknown += held.state == "unknown"
            if not held.reduce_only:
                sums[held.side] = EXACT.add(sums[held.side], left)
        return Pending(buys=sums["buy"], sells=sums["sell"], unknown=unknown)

    @property
    def unresolved(self) -> int:
        """Orders a restart found in the middle of being sent and nobody has looked up yet."""
        return len(self._unresolved)

    def state_of(self, key: str) -> State | None:
        """How the order with client id ``key`` stands; ``None`` when it holds no room."""
        held = self._sent.get(key)
        return held.state if held else None

    def sent(self) -> list[str]:
        """Client ids of orders that hold room and may be at the venue."""
        return sorted(self._sent)

    def unknown(self) -> list[str]:
        """Client ids of orders whose fate nobody knows."""
        return sorted(key for key, held in self._sent.items() if held.state == "unknown")

    def __len__(self) -> int:
        return len(self._sent) + sum(map(len, self._decided.values()))

    def _all(self) -> Iterator[tuple[Reservation, Decimal]]:
        for queue in self._decided.values():
            for held in queue:
                yield held, held.total
        for key, held in self._sent.items():
            yield held, EXACT.subtract(held.total, self._filled.get(key, ZERO))

    # -- before it is sent ----------------------------------------------------------------------------------------

    def decide(self, ticket: str, approval: Approval) -> None:
        """Hold room for a decision just made."""
        self._decided.setdefault(ticket, []).append(Reservation.of(approval, "decided"))

    def abandon(self, ticket: str) -> None:
        """Give up one decision that will not be sent; one that holds no room is no error."""
        queue = self._decided.get(ticket)
        if queue:
            queue.pop()
            if not queue:
                del self._decided[ticket]

    def take(self, ticket: str, key: str, approval: Approval) -> bool:
        """Before the wire: the decision's room goes over to client id ``key``. False when it holds none.

        A resend finds its room under ``key`` already.
        """
        if key in self._sent:
            self._sent[key] = replace(self._sent[key], state="sending")
            return True
        if ticket not in self._decided:
            return False
        self.abandon(ticket)
        self.hold(key, Reservation.of(approval, "sending"))
        return True

    # -- from the wire on -----------------------------------------------------------------------------------------

    def hold(self, key: str, held: Reservation) -> None:
        """Hold room under client id ``key``, whatever it held before; room that fills have used up is not held."""
        if held.total > self._filled.get(key, ZERO):
            self._sent[key] = held
        else:
            self._sent.pop(key, None)

    def mark(self, key: str, state: State) -> None:
        """Note how a sent order stands; one that holds no room any more (it filled first) stays gone."""
        if key in self._sent:
            self._sent[key] = replace(self._sent[key], state=state)
        if state == "open":
            self._unresolved.discard(key)

    def release(self, key: str) -> None:
        """Certain: no such order exists at the venue."""
        self._sent.pop(key, None)
        self._unresolved.discard(key)

    def unresolve(self, key: str, approval: Approval) -> None:
        """A restart found an intent to send without an outcome: assume the worst until it is looked up."""
        self._unresolved.add(key)
        self.hold(key, Reservation.of(approval, "unknown"))

    def fill(self, key: str, quantity: Decimal) -> None:
        """Base units of order ``key`` were executed, and the ledger has them."""
        self._filled[key] = EXACT.add(self._filled.get(key, ZERO), quantity)
        held = self._sent.get(key)
        if held and self._filled[key] >= held.total:
            del self._sent[key]

    def follow(self, order: Order) -> None:
        """The venue says how an order stands. Once it has ended it can come to no more than what was filled."""
        total = order.filled if order.status in FINAL else order.quantity
        self._unresolved.discard(order.client_order_id)
        self.hold(
            order.client_order_id,
            Reservation(symbol=order.symbol, side=order.side, total=total, reduce_only=order.reduce_only, state="open"),
        )
