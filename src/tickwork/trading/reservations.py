"""Reservations: room in the risk limits that is spoken for by orders not yet filled.

Theory of operation. The gate counts what the ledger holds *plus* the worst case of everything on its way. A piece of
room lives like this:

    approved ──take──> submitting ──> working ──fills──> gone      (the venue acknowledged)
        │                  │  └─────> unknown ──> working | gone   (nobody knows; found, or certain not to exist)
        └─abandon          └────────> gone                         (certain: refused, rejected, not sent)

The states are those of ``order_life``.

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

from tickwork.trading.order_life import DOUBTFUL, FINAL, LIFE, Move, OrderState, moved
from tickwork.trading.orders import ZERO, Approval, Order, Side
from tickwork.trading.tally import NOTHING, Pending, Tally
from tickwork.values import EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Room for one order."""

    symbol: str
    side: Side
    total: Decimal
    """Base units the order can come to at most."""
    reduce_only: bool
    state: OrderState
    workflow: str = ""
    """Whose order it is; ``""`` for one that only the venue told of."""
    since: int = 0
    """When it was approved, ns; fills are asked for from then on."""
    price: Decimal = ZERO
    """What the limits count a base unit with, in quote currency; zero where only the venue told of it."""

    @staticmethod
    def of(approval: Approval, state: OrderState) -> Reservation:
        """The room an approval needs."""
        intent = approval.intent
        return Reservation(
            symbol=intent.symbol,
            side=intent.side,
            total=approval.quantity,
            reduce_only=intent.reduce_only,
            state=state,
            workflow=intent.workflow,
            since=approval.approved_at,
            price=approval.valuation_price,
        )


class Reservations:
    """All room of one account that is spoken for."""

    def __init__(self) -> None:
        self._decided: dict[str, list[Reservation]] = {}
        self._sent: dict[str, Reservation] = {}
        self._keys: dict[str, dict[str, None]] = {}
        """Client ids of ``_sent`` by symbol, in order: a decision looks at one symbol's orders."""
        self._tickets: dict[str, dict[str, None]] = {}
        """Tickets of ``_decided`` by symbol."""
        self._filled: dict[
            str, Decimal
        ] = {}  # base units by client id, of every order ever seen: a look-up may come late
        self._unresolved: set[str] = set()
        self._tallies: dict[tuple[str, str], Tally] = {}
        """Sums by symbol and workflow, ``""`` for all."""
        self.version = 0
        """Goes up with every change."""
        self._touched: dict[str, int] = {}
        """At which version each symbol changed last, in that order."""

    # -- reading --------------------------------------------------------------------------------------------------

    def pending(self, symbol: str, workflow: str = "") -> Pending:
        """What is on its way in ``symbol``, of all or of one workflow."""
        tally = self._tallies.get((symbol, workflow))
        return NOTHING if tally is None else tally.pending()

    def _count(self, held: Reservation, left: Decimal) -> None:
        """Count a piece of room in, for its symbol and for its workflow there."""
        for name in {"", held.workflow}:
            tally = self._tallies.get((held.symbol, name))
            if tally is None:
                tally = self._tallies[held.symbol, name] = Tally()
            unknown = held.state == "unknown"
            tally.add(held.side, left, held.price, reduces=held.reduce_only, unknown=unknown)
        self._changed(held.symbol)

    def _discount(self, held: Reservation, left: Decimal) -> None:
        for name in {"", held.workflow}:
            tally = self._tallies[held.symbol, name]
            unknown = held.state == "unknown"
            tally.remove(held.side, left, held.price, reduces=held.reduce_only, unknown=unknown)
            if not tally.orders:
                del self._tallies[held.symbol, name]
        self._changed(held.symbol)

    def _left(self, key: str, held: Reservation) -> Decimal:
        return EXACT.subtract(held.total, self._filled.get(key, ZERO))

    @property
    def unresolved(self) -> int:
        """Orders a restart found in the middle of being sent and nobody has looked up yet."""
        return len(self._unresolved)

    def state_of(self, key: str) -> OrderState | None:
        """How the order with client id ``key`` stands; ``None`` when it holds no room."""
        held = self._sent.get(key)
        return held.state if held else None

    def working(self) -> dict[str, Reservation]:
        """By client id: orders that the venue has acknowledged and that hold room."""
        return {key: held for key, held in self._sent.items() if held.state not in DOUBTFUL}

    def unknown(self) -> list[str]:
        """Client ids of orders whose fate nobody knows."""
        return sorted(key for key, held in self._sent.items() if held.state == "unknown")

    def doubtful(self) -> list[str]:
        """Client ids of orders that may or may not be at the venue: being sent, and unknown."""
        return sorted(key for key, held in self._sent.items() if held.state in DOUBTFUL)

    def __len__(self) -> int:
        return len(self._sent) + sum(map(len, self._decided.values()))

    def symbols(self) -> list[str]:
        """Symbols in which something is on its way, sorted."""
        return sorted({*self._keys, *self._tickets})

    def changed(self, version: int) -> Iterator[str]:
        """Symbols in which something has changed since ``version``; since -1: all."""
        for symbol, at in reversed(self._touched.items()):
            if at <= version:
                break
            yield symbol

    def of(self, symbol: str) -> Iterator[tuple[Reservation, Decimal]]:
        """What is on its way in ``symbol``: each piece of room with what may still execute of it, in base units."""
        for ticket in self._tickets.get(symbol, ()):
            for held in self._decided[ticket]:
                yield held, held.total
        for key in self._keys.get(symbol, ()):
            held = self._sent[key]
            yield held, EXACT.subtract(held.total, self._filled.get(key, ZERO))

    def get(self, key: str) -> Reservation | None:
        """What the order with client id ``key`` holds."""
        return self._sent.get(key)

    def symbol_of(self, key: str) -> str:
        """The symbol of an order that holds room; ``""`` for one that does not."""
        held = self._sent.get(key)
        return held.symbol if held else ""

    def filled(self, key: str) -> Decimal:
        """Base units of an order that the ledger has."""
        return self._filled.get(key, ZERO)

    # -- before it is sent ----------------------------------------------------------------------------------------

    def decide(self, ticket: str, approval: Approval) -> None:
        """Hold room for a decision just made."""
        held = Reservation.of(approval, "approved")
        self._decided.setdefault(ticket, []).append(held)
        self._tickets.setdefault(held.symbol, {})[ticket] = None
        self._count(held, held.total)

    def abandon(self, ticket: str) -> None:
        """Give up one decision that will not be sent; one that holds no room is no error."""
        queue = self._decided.get(ticket)
        if queue:
            held = queue.pop()
            self._discount(held, held.total)
            if not queue:
                del self._decided[ticket]
                _drop(self._tickets, held.symbol, ticket)

    def take(self, ticket: str, key: str, approval: Approval) -> bool:
        """Before the wire: the decision's room goes over to client id ``key``. False when it holds none.

        A resend finds its room under ``key`` already.
        """
        if key in self._sent:
            self._put(key, replace(self._sent[key], state="submitting"))
            return True
        if ticket not in self._decided:
            return False
        self.abandon(ticket)
        self.hold(key, Reservation.of(approval, "submitting"))
        return True

    # -- from the wire on -----------------------------------------------------------------------------------------

    def hold(self, key: str, held: Reservation) -> None:
        """Hold room under client id ``key``, whatever it held before; room that fills have used up is not held."""
        if held.total > self._filled.get(key, ZERO):
            self._put(key, held)
            self._keys.setdefault(held.symbol, {})[key] = None
        else:
            self._gone(key)

    def _put(self, key: str, held: Reservation) -> None:
        before = self._sent.get(key)
        if before is not None:
            self._discount(before, self._left(key, before))
        self._sent[key] = held
        self._count(held, self._left(key, held))

    def _changed(self, symbol: str) -> None:
        self.version += 1
        self._touched.pop(symbol, None)
        self._touched[symbol] = self.version

    def _gone(self, key: str) -> None:
        held = self._sent.pop(key, None)
        if held is not None:
            _drop(self._keys, held.symbol, key)
            self._discount(held, self._left(key, held))

    def move(self, key: str, move: Move) -> None:
        """Note what became of a submission.

        One that holds no room any more (it was filled first) stays gone, and what the venue itself said of it meanwhile
        stands.
        """
        held = self._sent.get(key)
        if held is not None and held.state in DOUBTFUL:
            self._put(key, replace(held, state=moved(held.state, move)))
        if move != "lose":
            self._unresolved.discard(key)

    def asked(self, key: str) -> None:
        """We are about to ask for an order to be cancelled."""
        held = self._sent.get(key)
        if held is not None and (held.state, "ask_cancel") in LIFE:
            self._put(key, replace(held, state=moved(held.state, "ask_cancel")))

    def release(self, key: str) -> None:
        """Certain: no such order exists at the venue."""
        self._gone(key)
        self._unresolved.discard(key)

    def unresolve(self, key: str, approval: Approval) -> None:
        """A restart found an intent to send without an outcome: assume the worst until it is looked up."""
        self._unresolved.add(key)
        self.hold(key, Reservation.of(approval, "unknown"))

    def fill(self, key: str, quantity: Decimal) -> None:
        """Base units of order ``key`` were executed, and the ledger has them."""
        held = self._sent.get(key)
        if held is not None:
            self._discount(held, self._left(key, held))
        self._filled[key] = EXACT.add(self._filled.get(key, ZERO), quantity)
        if held is not None:
            self._count(held, self._left(key, held))
            if self._filled[key] >= held.total:
                self._gone(key)

    def follow(self, order: Order, approval: Approval | None = None) -> None:
        """The venue says how an order stands. Once it has ended it can come to no more than what was filled.

        ``approval``: what the gate said of it, where that is known and no room is held for it yet.
        """
        key, known = order.client_order_id, self._sent.get(order.client_order_id)
        if known is None and approval is not None:
            known = Reservation.of(approval, "acknowledged")
        held = Reservation(
            symbol=order.symbol,
            side=order.side,
            total=order.filled if order.status in FINAL else order.quantity,
            reduce_only=order.reduce_only if known is None else known.reduce_only,
            state=order.status,
            workflow=known.workflow if known else "",
            since=known.since if known else order.time,
            price=known.price if known else order.limit_price or ZERO,
        )
        self._unresolved.discard(key)
        self.hold(key, held)


def _drop(index: dict[str, dict[str, None]], symbol: str, name: str) -> None:
    names = index[symbol]
    del names[name]
    if not names:
        del index[symbol]
