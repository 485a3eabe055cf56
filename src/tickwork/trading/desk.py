"""The desk: the only door to a venue, one per account.

Theory of operation. ``place`` is two verbs of the run:

    step "gate"      gate and reservation in one synchronous function that runs on the loop: between looking at the
                     limits and taking the room no other order of the account can get in. The decision, a refusal as
                     much as an approval, is on the tape.
    effect "submit"  the intent with its client id is on disk, then the wire. Just before the wire, again without a
                     pause in between: the room must be there, the approval not expired, the halt not pulled.

**Crash between the two.** The recorded decision stands and is not made again, but its room died with the process. When
the effect runs after the restart, the room is taken anew under the client id; if others took it meanwhile, the order
is ``Refused`` at the wire, which is certain. So the limits hold under any interleaving, restarts included.

**Unknown.** From the moment before the wire an order counts as sent. ``Refused``, ``Rejected``, ``NotSent``,
``InvalidInput`` and ``Fatal`` are certain and give the room back. Anything else, a time-out and a cancelled task too,
leaves it unknown: it keeps its worst case, blocks new exposure in its symbol and is resolved by looking. "Not found"
is only an answer where the venue makes it one: it deduplicates client ids for good, or it declares a bound after which
an accepted order is visible. Else the look-up raises ``Unknown``, nothing is resent, and a person has to look.

**Reductions** pass the halt, the expiry, unknown orders and the limits; see ``gate``.

**Restart.** ``restore`` folds the tape's orders, fills and open intents (sent without an outcome). Until each of these
has been looked up, the gate refuses all new exposure.

The desk keeps no truth of its own: ledger and reservations are readings of the tape. It holds no lock, because what
must not be interrupted contains no ``await``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Literal, Protocol

import msgspec

from tickwork.errors import Fatal, InvalidInput, NotSent, Refused, Rejected, Unknown
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.gate import Decision, Refusal, RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import FINAL, Ack, Approval, ApprovedOrder, Fill, Order, OrderIntent, require_approved
from tickwork.trading.reservations import Reservation, Reservations

KEY: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""A client order id: 32 hex digits, the longest that every venue takes."""

CERTAIN: Final = (Fatal, NotSent)
"""Errors after which nothing is at the venue. (``Refused``, ``Rejected`` and ``InvalidInput`` are ``Fatal``.)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a venue promises about client ids; the promises that exactly-once rests on."""

    deduplicates: bool
    """The same client id gives the same order, however late: a resend is harmless."""
    request_validity: timedelta = timedelta(0)
    """After this a request still under way is no longer accepted (a signed request's ``recvWindow``)."""
    visibility_bound: timedelta | None = timedelta(0)
    """An accepted order can be found after this; ``None``: the venue declares no bound."""

    @property
    def grace(self) -> timedelta:
        """How long "not found" must hold before it means "never will be"."""
        return timedelta(0) if self.deduplicates else self.request_validity + (self.visibility_bound or timedelta(0))

    @property
    def absence_is_proof(self) -> bool:
        """May "not found" ever be taken as an answer?"""
        return self.deduplicates or self.visibility_bound is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What an account holds of one asset; ``total`` includes ``held``, which open orders have locked."""

    total: Decimal
    held: Decimal


class VenuePort(Protocol):
    """A venue, seen as one authenticated account. ``venues.conformance`` is its numbered contract.

    Every method may also raise ``Retryable`` or anything else for a fault of the wire. Nothing here retries by itself:
    a client that resends a submission behind the desk's back would undo everything the desk does.
    """

    @property
    def name(self) -> str:
        """The venue's name; in orders, fills and errors."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it promises."""
        ...

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """Send ``order`` with client id ``key``.

        Raises:
            Rejected: the venue said no; there is no such order.
            NotSent: certain that nothing left this process.
            Any other error: unknown.
        """
        ...

    async def find(self, key: str) -> Found[Order] | NotFound:
        """The order with client id ``key``: open, ended or filled. Must ask every list the venue has."""
        ...

    async def cancel(self, key: str) -> Order:
        """Cancel; an order that has ended is returned as it is, so that cancelling twice is harmless.

        Raises:
            Rejected: no order has this client id.
        """
        ...

    async def fills(self, since: int) -> list[Fill]:
        """Fills numbered above ``since``, ascending; ``since=0`` for all."""
        ...

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade."""
        ...

    async def balances(self) -> dict[str, Balance]:
        """What the account holds, by asset; contracts by their symbol."""
        ...


class RunVerbs(Protocol):
    """What the desk needs of a run. The workflow engine's ``Run`` satisfies it; so does a test's stand-in."""

    @property
    def id(self) -> str:
        """The run's id."""
        ...

    @property
    def owner(self) -> str:
        """Whose run it is."""
        ...

    def step(self, name: str, fn: Callable[..., Any], *args: Any, blocking: bool | None = ...) -> Awaitable[Any]:
        """Remember what ``fn(*args)`` gives."""
        ...

    def effect(
        self,
        name: str,
        fn: Callable[..., Any],
        *args: Any,
        lookup: Callable[..., Any] | None = ...,
        grace: timedelta | str | None = ...,
    ) -> Awaitable[Any]:
        """Run ``fn(*args, key=key)`` once, its intent on disk first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How an intent ended. Refusals and rejections are values here; ``require`` turns them into errors."""

    outcome: Literal["accepted", "refused", "rejected"]
    ack: Ack | None = None
    approval: Approval | None = None
    """What the gate let through, once the venue has it: the quantity after rounding and capping."""
    refusal: Refusal | None = None
    rejection: str = ""
    """Why the venue said no."""

    def require(self) -> Ack:
        """The acknowledgement.

        Raises:
            Refused: our gate said no. Rejected: the venue said no.
        """
        if self.ack is not None:
            return self.ack
        if self.refusal is not None:
            raise Refused(self.refusal.rule, self.refusal.limit, self.refusal.actual)
        raise Rejected("venue", self.rejection)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIntent:
    """An order that the tape says was about to be sent, without an outcome. ``key`` is its client id."""

    key: str
    approval: Approval

    @classmethod
    def read(cls, key: str, arguments: bytes) -> OpenIntent:
        """From the intent's record: ``arguments`` is the JSON array of what the effect "submit" was called with.

        Raises:
            InvalidInput: it is no submission's.
        """
        try:
            sealed, _ = msgspec.json.decode(arguments, type=tuple[_Sealed, str])
        except msgspec.MsgspecError as error:
            raise InvalidInput("intent.arguments", arguments[:200], f"those of a submission ({error})") from None
        return cls(key=key, approval=sealed.approval)


@dataclass(frozen=True, slots=True)
class _Sealed:
    """What an ``ApprovedOrder`` looks like in JSON; readable, and good for nothing but reading."""

    approval: Approval


class Desk:
    """One account's door to its venue.

    Args:
        account: every intent must name it.
        venue: where orders go.
        gate: judges intents.
        ledger: the account's books; ``apply`` keeps them.
        quotes: the freshest quote of a symbol, or ``None``; read inside the gate's step, so it must be quick.
        clock: ns since 1970 UTC; what quotes and approvals are aged by.
        halt: looked at in the gate and again just before the wire.
    """

    def __init__(
        self,
        account: str,
        *,
        venue: VenuePort,
        gate: RiskGate,
        ledger: Ledger,
        quotes: Callable[[str], Quote | None],
        clock: Callable[[], int],
        halt: Halt,
    ) -> None:
        self.account = account
        self.ledger = ledger
        self.reservations = Reservations()
        self._venue = venue
        self._gate = gate
        self._quotes = quotes
        self._clock = clock
        self._halt = halt
        self._last_fill = 0

    # -- what a workflow calls ------------------------------------------------------------------------------------

    async def place(self, run: RunVerbs, intent: OrderIntent) -> Placement:
        """Intent to acknowledgement, exactly once. See the module's text.

        Raises:
            InvalidInput: another account's or another owner's intent.
            NotSent: certain that nothing was sent; the room is free again.
            TimedOut: the engine gave up looking for it. It still counts as unknown: see ``unknown`` and ``resolve``.
        """
        if intent.account != self.account:
            raise InvalidInput("intent.account", intent.account, f"this desk's account {self.account!r}")
        if intent.owner != run.owner:
            raise InvalidInput("intent.owner", intent.owner, f"the run's owner {run.owner!r}")
        try:
            # blocking=False: on the loop, where nothing can come between the check and the reservation
            decision: Decision = await run.step("gate", self._decide, run.id, intent, blocking=False)
            if decision.approval is None:
                return Placement(outcome="refused", refusal=decision.refusal)
            order = self._gate.seal(decision.approval)
            ack: Ack = await run.effect(
                "submit", self._submit, order, run.id, lookup=self._lookup, grace=self._venue.capabilities.grace
            )
        except Refused as refused:
            rule, limit, actual = map(str, refused.args)
            return Placement(outcome="refused", refusal=Refusal(rule=rule, limit=limit, actual=actual))
        except Rejected as rejected:
            return Placement(outcome="rejected", rejection=str(rejected.args[1]))
        except GeneratorExit:
            raise  # the run is only put aside: it goes on later with the decision it has
        except BaseException:
            # cancelled or given up between gate and wire: what was never taken to the wire must not hold room for ever.
            # An equal order of the same run may lose its room to this; it takes it again, or is refused, at the wire.
            self.reservations.abandon(ticket(run.id, intent))
            raise
        return Placement(outcome="accepted", ack=ack, approval=decision.approval)

    async def cancel(self, run: RunVerbs, client_order_id: str) -> Order:
        """Cancel an order: always allowed, harmless when repeated.

        Raises:
            Rejected: the venue knows no such order.
        """
        order: Order = await run.effect("cancel", self._cancel, client_order_id)
        return order

    # -- what the engine calls back -------------------------------------------------------------------------------

    def _decide(self, run_id: str, intent: OrderIntent) -> Decision:
        """Gate and reservation; synchronous, because it is the account's one serial section."""
        decision = self._gate.check(
            intent,
            ledger=self.ledger,
            reservations=self.reservations,
            quote=self._quotes(intent.symbol),
            now=self._clock(),
            halt=self._halt,
        )
        if decision.approval is not None:
            self.reservations.decide(ticket(run_id, intent), decision.approval)
        return decision

    async def _submit(self, order: ApprovedOrder, run_id: str, *, key: str) -> Ack:
        """The wire. Everything before the ``await`` is one synchronous section."""
        require_approved(order)
        if not KEY.fullmatch(key):
            raise InvalidInput("key", key, "a client id of 32 hex digits")
        self._last_look(order, run_id, key)
        try:
            ack = await self._venue.submit(order, key)
        except CERTAIN:
            self.reservations.release(key)
            raise
        except BaseException:
            self.reservations.mark(key, "unknown")
            raise
        self.reservations.mark(key, "open")
        return ack

    def _last_look(self, order: ApprovedOrder, run_id: str, key: str) -> None:
        """The last moment before the wire: room, expiry, halt.

        Raises:
            Refused: the order is not sent and its room is free.
        """
        approval = order.approval
        held = self.reservations.take(ticket(run_id, approval.intent), key, approval)
        refusal = None if order.reduce_only else self._late_refusal(approval, held)
        if refusal is not None:
            self.reservations.release(key)
            raise Refused(refusal.rule, refusal.limit, refusal.actual)
        if not held:
            self.reservations.hold(key, Reservation.of(approval, "sending"))

    def _late_refusal(self, approval: Approval, held: bool) -> Refusal | None:
        if self._halt.stops_new_exposure:
            return Refusal(rule="halt", limit="reductions only", actual=f"{self._halt.level}: {self._halt.reason}")
        now = self._clock()
        if now > approval.expires_at:
            return Refusal(rule="approval_expired", limit=str(approval.expires_at), actual=str(now))
        if held:
            return None
        return self._gate.still_fits(approval, ledger=self.ledger, reservations=self.reservations)

    async def _lookup(self, key: str, order: ApprovedOrder, run_id: str) -> Found[Ack] | NotFound:
        """What became of a submission nobody heard back from."""
        found = await self._venue.find(key)
        if isinstance(found, Found):
            self.reservations.follow(found.value)
            return Found(found.value.ack())
        if not self._venue.capabilities.absence_is_proof:
            raise self._no_proof(key)
        if self.reservations.state_of(key) is None:  # a restart without `restore`: hold the worst case until resolved
            self.reservations.unresolve(key, order.approval)
        return found

    async def _cancel(self, client_order_id: str, *, key: str) -> Order:
        order = await self._venue.cancel(client_order_id)
        self.reservations.follow(order)
        return order

    # -- what the composition calls -------------------------------------------------------------------------------

    @property
    def unknown(self) -> list[str]:
        """Client ids of orders whose fate nobody knows; each blocks new exposure in its symbol."""
        return self.reservations.unknown()

    async def new_fills(self) -> list[Fill]:
        """Fills the desk has not applied, ascending. Put each on the tape, then ``apply`` it: tape first."""
        return await self._venue.fills(self._last_fill)

    def apply(self, fill: Fill) -> bool:
        """Book a fill and free the room it used. False when it was booked before; then nothing changes.

        Raises:
            InvalidInput: another account's fill, or figures that cannot be.
        """
        if fill.account != self.account:
            raise InvalidInput("fill.account", fill.account, f"this desk's account {self.account!r}")
        if not self.ledger.apply(fill):
            return False
        # ledger first: for no moment is the quantity in neither of the two
        self.reservations.fill(fill.client_order_id, fill.quantity)
        self._last_fill = max(self._last_fill, fill.fill_id)
        return True

    def follow(self, order: Order) -> None:
        """Note how an order stands, e.g. that the venue ended it; frees room that can no longer be used."""
        self.reservations.follow(order)

    async def reconcile(self, keys: Iterable[str] | None = None) -> list[Order]:
        """Look up orders at the venue, by default all that hold room; follow what is found, return what has ended.

        Finds what no message told: an order the venue cancelled, or one that ended while this process was down.
        """
        ended: list[Order] = []
        for key in self.reservations.sent() if keys is None else keys:
            found = await self._venue.find(key)
            if isinstance(found, Found):
                self.reservations.follow(found.value)
                if found.value.status in FINAL:
                    ended.append(found.value)
        return ended

    async def resolve(self, key: str) -> Found[Order] | NotFound:
        """Look at one unknown order on a person's word, e.g. after the engine gave up on it.

        Found: it is followed like any other. Not found, where the venue makes that an answer: its room is freed; the
        person says by calling this that the grace has passed.

        Raises:
            Unknown: not found, and the venue declares no time after which that is proof.
        """
        found = await self._venue.find(key)
        if isinstance(found, Found):
            self.reservations.follow(found.value)
        elif not self._venue.capabilities.absence_is_proof:
            raise self._no_proof(key)
        else:
            self.reservations.release(key)
        return found

    def _no_proof(self, key: str) -> Unknown:
        return Unknown(f"{self._venue.name} shows no order {key}, and declares no time after which that is proof")

    def restore(self, orders: Iterable[Order], fills: Iterable[Fill], open_intents: Iterable[OpenIntent] = ()) -> None:
        """Rebuild from the tape, on a fresh desk: fills first, then how orders last stood, then what was in flight.

        Orders of which the tape has no more than approval and acknowledgement are ``Order.acknowledged(...)``. An
        order record may be older than the fills; what is reserved is always its quantity less its booked fills, and
        ``reconcile`` finds out what has ended since.
        """
        for fill in sorted(fills, key=lambda fill: (fill.time, fill.venue, fill.fill_id)):
            self.apply(fill)
        for order in orders:
            self.reservations.follow(order)
        for intent in open_intents:
            self.reservations.unresolve(intent.key, intent.approval)


def ticket(run_id: str, intent: OrderIntent) -> str:
    """By what a decision's room is known before the order has a client id: a digest of run and intent."""
    return hashlib.blake2b(run_id.encode() + b"\0" + msgspec.json.encode(intent), digest_size=16).hexdigest()
