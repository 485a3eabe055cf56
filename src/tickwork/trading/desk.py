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
an accepted order is visible. Else the look-up raises ``Unknown``, nothing is resent, and a person has to look; what the
person says is given to ``disown``. Whoever listens (``tell``) hears of an order in doubt at once, and again when it
stays so.

**Following.** ``news`` asks the venue what became of working orders and gives what is not booked: fills, and orders
that have ended. An order counts as ended once all its fills are there: a venue's lists lag behind each other.

**Reductions** pass the halt, the expiry, unknown orders and the limits; see ``gate``.

**Restart.** ``restore`` folds the tape's orders, fills and open intents (sent without an outcome). Until each of these
has been looked up, the gate refuses all new exposure.

The desk keeps no truth of its own: ledger and reservations are readings of the tape. It holds no lock, because what
must not be interrupted contains no ``await``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, Protocol

import msgspec

from tickwork.errors import Fatal, InvalidInput, NeverArrived, NotSent, NotYet, Refused, Rejected, Retryable, Unknown
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.activity import Activity
from tickwork.trading.exposure import Exposure
from tickwork.trading.following import Follower, VenueNews
from tickwork.trading.gate import Decision, Refusal, RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.limits import Reading
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import Ack, Approval, ApprovedOrder, Fill, Order, OrderIntent, require_approved
from tickwork.trading.reservations import Reservation, Reservations
from tickwork.trading.venue import VenuePort
from tickwork.values import age_text, duration_text

_US: Final = timedelta(microseconds=1)
KEY: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""A client order id: 32 hex digits, the longest that every venue takes."""

CERTAIN: Final = (Fatal, NotSent)
"""Errors after which nothing is at the venue. (``Refused``, ``Rejected`` and ``InvalidInput`` are ``Fatal``.)"""


SUBMIT: Final = "submit"
"""The name of the effect that sends an order."""

ENOUGH: Final = timedelta(minutes=1)
"""So long may an order be in doubt before a person is told; longer where the venue's grace is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """Nobody knows what became of a submission."""

    key: str
    approval: Approval
    why: str
    stuck: bool = False
    """It has been so for long: a person should look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """A submission in doubt is not any more."""

    key: str
    order: Order | None
    """As the venue shows it; ``None``: it certainly does not exist."""


DeskNews = InDoubt | Cleared


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
    not_yet: bool = False
    """It was a "not yet": the same may be accepted later."""

    def require(self) -> Ack:
        """The acknowledgement.

        Raises:
            Refused: our gate said no. Rejected: the venue said no.
        """
        if self.ack is not None:
            return self.ack
        if self.refusal is not None:
            raise self.refusal.error()
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
        activity: what of the past its limits count, folded from the tape; ``restore`` adds orders and fills to it.
        tell: hears of orders in doubt; called on the loop, so it must be quick.
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
        activity: Activity | None = None,
        tell: Callable[[DeskNews], None] = lambda news: None,
    ) -> None:
        self.account = account
        self.ledger = ledger
        self.reservations = Reservations()
        self.activity = activity or Activity(gate.currency, gate.limits.zone)
        self._follower = Follower(venue, ledger, self.reservations, clock)
        self._venue = venue
        self._gate = gate
        self._quotes = quotes
        self._clock = clock
        self._halt = halt
        self._tell = tell
        self._doubts: dict[str, int] = {}
        """Orders in doubt: client id -> since when (ns)."""
        self._stuck: set[str] = set()
        self._disowned: set[str] = set()

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
                SUBMIT, self._submit, order, run.id, lookup=self._lookup, grace=self._venue.capabilities.grace
            )
        except Refused as refused:
            rule, limit, actual, *_ = map(str, refused.args)
            refusal = Refusal(rule=rule, limit=limit, actual=actual, scope=refused.scope)
            return Placement(outcome="refused", refusal=refusal)
        except Rejected as rejected:
            return Placement(outcome="rejected", rejection=str(rejected.args[1]))
        except NotYet as later:
            return Placement(outcome="rejected", rejection=later.reason, not_yet=True)
        except NeverArrived as error:
            self.reservations.release(error.key)
            self._clear(error.key, None)
            raise
        except GeneratorExit:
            raise  # the run is only put aside: it goes on later with the decision it has
        except BaseException:
            # cancelled or given up between gate and wire: what was never taken to the wire must not hold room for ever.
            # An equal order of the same run may lose its room to this; it takes it again, or is refused, at the wire.
            self.reservations.abandon(ticket(run.id, intent))
            raise
        return Placement(outcome="accepted", ack=ack, approval=decision.approval)

    async def cancel(self, run: RunVerbs, client_order_id: str, symbol: str = "") -> Order:
        """Cancel an order: always allowed, harmless when repeated. ``symbol``: where it is not known, ``""``.

        Raises:
            Rejected: the venue knows no such order.
        """
        # the arguments must be the same when the run is replayed: what the desk holds by then may not be
        order: Order = await run.effect("cancel", self._cancel, client_order_id, symbol, lookup=self._cancelled)
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
            activity=self.activity,
            marks=self._quotes,
        )
        if decision.approval is not None:
            self.activity.decided(decision.approval)
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
        except CERTAIN as error:
            self.reservations.release(key)
            self._clear(key, None)
            if isinstance(error, Rejected):
                self.activity.failed(self._clock())
            raise
        except BaseException as error:
            self.reservations.move(key, "lose")
            if isinstance(error, Exception):  # a process that goes down has told enough
                self.activity.failed(self._clock())
                self._doubt(key, order.approval, f"{type(error).__name__}: {error}")
            raise
        self.reservations.move(key, "acknowledge")
        self._clear(key, Order.acknowledged(order.approval, ack))
        return ack

    def _last_look(self, order: ApprovedOrder, run_id: str, key: str) -> None:
        """The last moment before the wire: room, expiry, halt.

        Raises:
            Refused: the order is not sent and its room is free.
        """
        approval = order.approval
        if key in self._disowned:
            self.reservations.release(key)
            raise Refused("disowned", "an order in doubt", "a person said that it does not exist")
        held = self.reservations.take(ticket(run_id, approval.intent), key, approval)
        refusal = self._late_refusal(approval, held)
        if refusal is not None:
            self.reservations.release(key)
            self._clear(key, None)  # it may have been in doubt, and certainly not be there
            raise refusal.error()
        if not held:
            self.reservations.hold(key, Reservation.of(approval, "submitting"))

    def _late_refusal(self, approval: Approval, held: bool) -> Refusal | None:
        now = self._clock()
        if not approval.intent.reduce_only:
            if self._halt.stops_new_exposure:
                return Refusal(rule="halt", limit="reductions only", actual=f"{self._halt.level}: {self._halt.reason}")
            if now > approval.expires_at:
                return Refusal(
                    rule="approval_expired",
                    limit=duration_text(approval.expires_at - approval.approved_at),
                    actual=age_text(now - approval.approved_at),
                )
        if held:
            return None
        return self._gate.still_fits(
            approval,
            ledger=self.ledger,
            reservations=self.reservations,
            now=now,
            activity=self.activity,
            marks=self._quotes,
        )

    async def _lookup(self, key: str, order: ApprovedOrder, run_id: str) -> Found[Ack] | NotFound:
        """What became of a submission nobody heard back from."""
        approval = order.approval
        if key in self._disowned:
            return NotFound()
        try:
            found = await self._venue.find(key, order.symbol)
        except Exception as error:
            self._doubt(key, approval, f"it cannot be looked for: {type(error).__name__}: {error}")
            raise
        if isinstance(found, Found):
            if self.reservations.state_of(key) is None:  # a restart without `restore`
                self.reservations.hold(key, Reservation.of(approval, "unknown"))
            self._sighted(found.value)
            return Found(found.value.ack())
        self._doubt(key, approval, f"{self._venue.name} does not show it")
        if not self._venue.capabilities.absence_is_proof:
            raise self._no_proof(key)
        if self.reservations.state_of(key) is None:  # a restart without `restore`: hold the worst case until resolved
            self.reservations.unresolve(key, approval)
        return found

    def _doubt(self, key: str, approval: Approval, why: str) -> None:
        """Tell of an order in doubt: once when it begins, once when it has lasted."""
        if key not in self._doubts:
            self._doubts[key] = self._clock()
            self._tell(InDoubt(key=key, approval=approval, why=why))
        enough = max(ENOUGH, 2 * self._venue.capabilities.grace)
        if key not in self._stuck and self._clock() - self._doubts[key] > enough // _US * 1_000:
            self._stuck.add(key)
            self._tell(InDoubt(key=key, approval=approval, why=why, stuck=True))

    def _sighted(self, order: Order) -> None:
        """It is at the venue, or was: whatever became of it, ``news`` tells, so that it comes on the tape."""
        self._follower.saw(order, told=False)
        self._clear(order.client_order_id, order)

    def _clear(self, key: str, order: Order | None) -> None:
        if self._doubts.pop(key, None) is not None:
            self._stuck.discard(key)
            self._tell(Cleared(key=key, order=order))

    async def _cancel(self, client_order_id: str, symbol: str, *, key: str) -> Order:
        symbol = symbol or self.reservations.symbol_of(client_order_id)
        self.reservations.asked(client_order_id)
        try:
            order = await self._venue.cancel(client_order_id, symbol)
        except Rejected as error:
            if self.reservations.state_of(client_order_id) is None:
                raise
            # it was acknowledged, or may be there: that a venue does not show it yet is no proof that it is not
            raise Retryable(f"{self._venue.name} does not show {client_order_id}, which we follow: {error}") from None
        self._follower.saw(order, told=False)
        return order

    async def _cancelled(self, key: str, client_order_id: str, symbol: str) -> Found[Order] | NotFound:
        """What became of a cancel nobody heard back from: done, or to be asked once more."""
        found = await self._venue.find(client_order_id, symbol or self.reservations.symbol_of(client_order_id))
        return found if isinstance(found, Found) and found.value.status in FINAL else NotFound()

    # -- what the composition calls -------------------------------------------------------------------------------

    @property
    def unknown(self) -> list[str]:
        """Client ids of orders whose fate nobody knows; each blocks new exposure in its symbol."""
        return self.reservations.unknown()

    @property
    def halt(self) -> Halt:
        """Whether trading is halted; for reading."""
        return self._halt

    def limits(self) -> list[tuple[Reading, bool]]:
        """How every limit stands that can be measured without an order; true: near its end. For people."""
        return self._gate.standing(
            ledger=self.ledger,
            reservations=self.reservations,
            now=self._clock(),
            activity=self.activity,
            marks=self._quotes,
        )

    def exposure(self) -> Exposure:
        """What the account is exposed to, as its limits count it. For people."""
        return self._gate.exposure(
            ledger=self.ledger,
            reservations=self.reservations,
            now=self._clock(),
            activity=self.activity,
            marks=self._quotes,
        )

    def holder_of(self, key: str) -> str:
        """The workflow whose order this is, where the desk still remembers it; else ``""``."""
        return self._follower.holder_of(key)

    async def news(self) -> VenueNews:
        """What became of our working orders at the venue. Put each on the tape, then ``apply`` or ``follow`` it.

        Raises:
            Whatever the venue raises: then nothing is known, and nothing changed.
        """
        return await self._follower.news()

    def expect_end(self, key: str, held: Reservation) -> None:
        """An order holds no room any more, and nobody has told how it ended: ``news`` will. ``held``: as it was."""
        self._follower.expect_end(key, held)

    def apply(self, fill: Fill, workflow: str = "") -> bool:
        """Book a fill and free the room it used. False when it was booked before; then nothing changes.

        ``workflow``: whose it is, where the desk does not remember the order.

        Raises:
            InvalidInput: another account's fill, or figures that cannot be.
        """
        if fill.account != self.account:
            raise InvalidInput("fill.account", fill.account, f"this desk's account {self.account!r}")
        if not self.ledger.apply(fill):
            return False
        self.activity.filled(fill, self.holder_of(fill.client_order_id) or workflow)
        # ledger first: for no moment is the quantity in neither of the two
        self.reservations.fill(fill.client_order_id, fill.quantity)
        return True

    def follow(self, order: Order) -> None:
        """Note how an order stands, e.g. that the venue ended it; frees room that can no longer be used.

        What it was filled and is not booked keeps its room until it is.
        """
        self._follower.saw(order, told=True)
        self._clear(order.client_order_id, order)

    async def resolve(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        """Look at one order in doubt, e.g. after the engine gave up on it, and follow what is found.

        Nothing is concluded from "not found": what is certain after the grace is the submission's own to say, and what
        a person knows is said to ``disown``.
        """
        found = await self._venue.find(key, symbol or self.reservations.symbol_of(key))
        if isinstance(found, Found):
            self._sighted(found.value)
        return found

    def disown(self, key: str) -> None:
        """A person says that an order in doubt does not exist, and takes responsibility: it is not looked for any more.

        Its submission ends as refused, its room is free. Put it on the tape first.

        Raises:
            InvalidInput: no order of this client id is in doubt.
        """
        if key not in self.reservations.doubtful():
            known = ", ".join(self.reservations.doubtful()) or "none is"
            raise InvalidInput("order", key, f"the client id of an order in doubt ({known})")
        self._disowned.add(key)
        self.reservations.release(key)
        self._clear(key, None)

    def _no_proof(self, key: str) -> Unknown:
        return Unknown(f"{self._venue.name} shows no order {key}, and declares no time after which that is proof")

    def restore(
        self,
        orders: Iterable[Order],
        fills: Iterable[Fill],
        open_intents: Iterable[OpenIntent] = (),
        disowned: Iterable[str] = (),
        approvals: Mapping[str, Approval] = {},
        holders: Mapping[str, str] = {},
    ) -> None:
        """Rebuild from the tape, on a fresh desk: fills first, then how orders last stood, then what was in flight.

        Orders of which the tape has no more than approval and acknowledgement are ``Order.acknowledged(...)``. An
        order record may be older than the fills; what is reserved is always its quantity less its booked fills, and
        ``news`` finds out what has ended since. ``approvals``: what the gate said of submissions, by client id; without
        them limits of a workflow do not know its orders, and those on orders a minute begin anew. ``holders``: whose
        the fills are, by client id, where there is no approval.
        """
        self._disowned.update(disowned)
        for approval in approvals.values():
            self.activity.decided(approval)
        for fill in sorted(fills, key=lambda fill: fill.rank):
            known = approvals.get(fill.client_order_id)
            self.apply(fill, known.intent.workflow if known else holders.get(fill.client_order_id, ""))
        for order in orders:
            self.reservations.follow(order, approvals.get(order.client_order_id))
        for intent in open_intents:
            if intent.key not in self._disowned:
                self.reservations.unresolve(intent.key, intent.approval)
                self._doubts[intent.key] = self._clock()


def ticket(run_id: str, intent: OrderIntent) -> str:
    """By what a decision's room is known before the order has a client id: a digest of run and intent."""
    return hashlib.blake2b(run_id.encode() + b"\0" + msgspec.json.encode(intent), digest_size=16).hexdigest()
