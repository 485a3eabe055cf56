"""Reconciling: our books compared with the venue's at start, on a schedule and on demand, and what is done about it.

Theory of operation. A reconciliation is a run. One step looks: it asks for news first, takes our picture, then the
venue's (fills and orders *before and after* the balances: a picture during which something traded is taken again), and
compares. If anything differs it waits for longer than the venue's lists lag, and looks once more; only what both looks
agree on is a finding. Then each finding is seen to as the policy says, and what is left for a person raises the
account's halt: to ``alert`` where it is major, to ``halt`` where it is critical.

What a reconciliation does can be done twice: fills are known by their numbers, a cancelled order is cancelled, an
adoption is known by its id and is on the tape before it is in the books.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Literal, TypeVar

import msgspec

from tickwork.core.run import Run
from tickwork.core.schedule import Schedule
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, TickworkError
from tickwork.outcome import Found
from tickwork.service.guarded import GuardedAccount, account_named
from tickwork.service.halting import Halting
from tickwork.service.reconcile_events import AccountAdjusted, FindingLine, ReconcileAsked, ReconciliationDone
from tickwork.trading.adoptions import Adoption, Terms, adoption_of, without_trace
from tickwork.trading.halt import HaltLevel
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import Fill, Order
from tickwork.trading.reconciliation import (
    WITHOUT_TAPE,
    Books,
    Finding,
    Report,
    Tolerances,
    VenueSnapshot,
    agreed,
    breach,
    expected_balances,
    reconcile,
    shortages,
)
from tickwork.trading.reservations import Reservation
from tickwork.values import DurationLike, duration, duration_text, plain

T = TypeVar("T")

RECONCILE: Final = "reconcile"
"""Name of the workflow and of its schedule."""
MOST: Final = 200
"""Findings that one reconciliation sees to."""
MARGIN_NS: Final = 600_000_000_000
"""So much before the last clean look fills are asked for: the venue's clock is not ours, and its lists lag."""
TRIES: Final = 3
"""So often a picture is taken anew because something traded meanwhile."""


class Every:
    """Times at whole multiples of a duration.

    Raises:
        InvalidInput: not a duration above zero.
    """

    def __init__(self, span: DurationLike) -> None:
        self._span = duration(span, "every")
        if not self._span:
            raise InvalidInput("every", span, "a duration above zero")

    def next(self, after_ns: int) -> int:
        """The first of them after a time."""
        return (after_ns // self._span + 1) * self._span

    def __str__(self) -> str:
        return f"every {duration_text(self._span)}"


class Looked(msgspec.Struct, frozen=True, rename="camel"):
    """What two looks agree on."""

    venue: str
    findings: tuple[Finding, ...]
    more: int
    unseen: dict[str, str]
    absence_is_proof: bool


class Reconciler:
    """Compares accounts with their venues and does something about it.

    Args:
        accounts: those that are open, by name; it may change.
        halting: a function that gives it, because it is made once the engine is open.
        sleep: waits for so many seconds between two looks.
        pause: how long it waits at least; longer where a venue's lists lag longer.
    """

    def __init__(
        self,
        accounts: Mapping[str, GuardedAccount],
        halting: Callable[[], Halting],
        *,
        tolerances: Tolerances | None = None,
        sleep: Callable[[float], Awaitable[None]],
        pause: timedelta = timedelta(seconds=2),
    ) -> None:
        self._accounts = accounts
        self._halting = halting
        self._tolerances = tolerances or Tolerances()
        self._sleep = sleep
        self._pause = pause
        self._clean_at: dict[str, int] = {}
        """When each account was last found clean, ns."""

    # -- looking --------------------------------------------------------------------------------------------------

    async def look(self, name: str, again: bool = False) -> Looked:
        """Two looks at an account; what they agree on. ``again``: orders that were left alone count too."""
        account = account_named(self._accounts, name)
        begin = account.clock()
        report = await self._once(account, again)
        if report.findings:
            bound = account.venue.capabilities.visibility_bound or timedelta(0)
            await self._sleep(max(self._pause, bound).total_seconds())
            report = agreed(report, await self._once(account, again))
        if report.clean:
            self._clean_at[name] = begin
        return Looked(
            account.venue.name,
            report.findings[:MOST],
            max(len(report.findings) - MOST, 0),
            report.unseen,
            account.venue.capabilities.absence_is_proof,
        )

    async def _once(self, account: GuardedAccount, again: bool) -> Report:
        unseen: dict[str, str] = {}
        await _asked("news", account.pull(), unseen)
        since = max(account.opened_at, self._clean_at.get(account.name, 0) - MARGIN_NS)
        ours = _books(account, since, again=again)
        theirs = await _snapshot(account, ours, since, unseen)
        return reconcile(ours, theirs, self._tolerances, account.mark)

    # -- doing ----------------------------------------------------------------------------------------------------

    async def reconcile(self, run: Run, name: str, asked: ReconcileAsked) -> ReconciliationDone:
        """Look at an account and do as the policy says; verbs of a body."""
        policy = account_named(self._accounts, name).policy
        if asked.orphan_orders:
            policy = replace(policy, orphan_orders=asked.orphan_orders)
        if asked.balances:
            policy = replace(policy, balances=asked.balances)
        again = asked.orphan_orders in ("cancel", "adopt")  # a person's word counts more than what a policy has left
        looked: Looked = await run.step("look", self.look, name, again)
        lines: list[FindingLine] = []
        for found in looked.findings:
            action = policy.action(found, absence_is_proof=looked.absence_is_proof)
            outcome = ""
            if action in ("book", "end"):
                outcome = await run.step("book", self.book, name, found)
            elif action == "cancel":
                outcome = await self._cancel(run, name, found)
            elif action in ("adopt", "leave"):
                outcome = await self._adjust(run, name, found, action, asked.by)
            elif found.order is not None and not found.order.client_order_id:
                outcome = "it bears no client id: cancel it at the venue, or leave it"
            lines.append(FindingLine.of(found, action, outcome))
        unsettled = {line.id for line in lines if not line.settled}
        decided = {line.id for line in lines if line.action == "leave" or line.kind == "shortage"}
        serious = [found for found in looked.findings if found.id in unsettled - decided]
        level: HaltLevel = await run.step("judge", self.judge, name, serious) if serious else "normal"
        done = ReconciliationDone(
            run=run.id,
            account=name,
            venue=looked.venue,
            by=asked.by,
            clean=not unsettled and not looked.unseen and not looked.more,
            findings=tuple(lines),
            more=looked.more,
            unseen=looked.unseen,
            level=level,
        )
        await run.emit(done)
        return done

    async def book(self, name: str, found: Finding) -> str:
        """Book a fill of ours that we lack, or the end of an order the venue has no trace of, as news are."""
        account = account_named(self._accounts, name)
        if found.fill is not None:
            if found.fill.client_order_id.startswith(WITHOUT_TAPE):
                _hand_over(account, found.fill)
            await account.book([found.fill], [])
            return ""
        held = account.desk.reservations.get(found.key)
        if held is None:
            return ""  # it has ended meanwhile
        booked = account.desk.reservations.filled(found.key)
        order = without_trace(found.key, held, account=name, venue=account.venue.name, booked=booked)
        await account.book([], [order])
        return ""

    async def _cancel(self, run: Run, name: str, found: Finding) -> str:
        try:
            await account_named(self._accounts, name).desk.cancel(run, found.key, found.symbol)
        except TickworkError as error:
            return f"it could not be cancelled: {type(error).__name__}: {error}"
        return ""

    async def _adjust(self, run: Run, name: str, found: Finding, action: Literal["adopt", "leave"], by: str) -> str:
        adoption: Adoption | None = await run.step(
            "adoption", self.adoption, name, found, action, f"{run.id} {found.id}"
        )
        if adoption is None:
            return "nobody can say at what price it is to be taken over"
        venue = account_named(self._accounts, name).venue.name
        await run.emit(AccountAdjusted.of(adoption, found, action, account=name, venue=venue, by=by))
        await run.step("adjust", self.adjust, name, adoption)
        if action == "adopt":
            return ""
        lacking: list[str] = await run.step("lacking", self.lacking, name, adoption.left)
        return f"left, but the books hold more than {venue} has: {', '.join(lacking)}" if lacking else ""

    async def lacking(self, name: str, left: dict[str, Decimal]) -> list[str]:
        """Of what was just left alone: what the books hold of it that the venue lacks."""
        account = account_named(self._accounts, name)
        booked = expected_balances(account.desk.ledger, margined=account.margined)
        short = shortages(booked, account.adoptions.left)
        return [
            f"{plain(abs(short[asset]))} {asset}"
            for asset in left
            if asset in short and abs(short[asset]) > self._tolerances.of(asset)
        ]

    async def adoption(self, name: str, found: Finding, action: Literal["adopt", "leave"], id: str) -> Adoption | None:
        """What it means to adopt a finding or to leave it, at the prices of now."""
        account = account_named(self._accounts, name)
        terms = Terms(currency=account.currency, mark=account.mark, traded=_symbols(account), margined=account.margined)
        return adoption_of(found, action, terms, id=id, time=account.clock())

    async def adjust(self, name: str, adoption: Adoption) -> bool:
        """Take an adoption, which is on the tape, into the books. Once, however often."""
        account = account_named(self._accounts, name)
        fresh = account.adoptions.apply(adoption)
        if adoption.order is not None:
            account.desk.follow(adoption.order)
        return fresh

    async def judge(self, name: str, serious: list[Finding]) -> HaltLevel:
        """Raise the account's halt to what findings come to."""
        cause = breach(serious, self._tolerances)
        if cause is None:
            return "normal"
        return self._halting().judged([cause], account=name).level


# ------------------------------------------------------------------------------------------------------------ pictures


def _books(account: GuardedAccount, since: int, *, again: bool) -> Books:
    """Our picture. Orders too young for the venue's lists to show are left out.

    ``again``: as though no order of somebody else had been left alone.
    """
    settled = account.adoptions.settled
    if again:
        settled = {id for id in settled if not id.startswith("orphan_order ")}
    held = account.desk.reservations
    bound = duration(account.venue.capabilities.visibility_bound or timedelta(0))
    young = account.clock() - bound
    working = {key: one for key, one in held.working().items() if one.since <= young}
    doubtful = {key: one for key in held.unknown() if (one := held.get(key)) is not None}
    return Books(
        account=account.name,
        venue=account.venue.name,
        currency=account.currency,
        ledger=Ledger.of(account.desk.ledger.state()),
        working=working,
        booked={key: held.filled(key) for key in working},
        in_doubt=doubtful,
        is_ours=account.is_ours,
        fills={(fill.symbol, fill.fill_id): fill for fill in account.fills_since(since)},
        left=dict(account.adoptions.left),
        settled=frozenset(settled),
        margined=account.margined,
    )


def _hand_over(account: GuardedAccount, fill: Fill) -> None:
    """Make the order of a fill that was sent without a tape the largest holder's, whose position it has closed."""
    activity, symbol = account.desk.activity, fill.symbol
    if account.workflow_of(fill.client_order_id) is not None:
        return
    held = {name: book.quantity(symbol) for name in activity.workflows() if (book := activity.held(name)) is not None}
    opposite = {name: quantity for name, quantity in held.items() if quantity * fill.signed_quantity < 0}
    order = Reservation(
        symbol=symbol,
        side=fill.side,
        total=fill.quantity,
        reduce_only=True,
        state="filled",
        workflow=max(opposite, key=lambda name: (abs(opposite[name]), name), default=""),
        since=fill.time,
    )
    account.desk.expect_end(fill.client_order_id, order)


def _symbols(account: GuardedAccount, orders: Iterable[Order] = ()) -> list[str]:
    return sorted(account.known_symbols() | {order.symbol for order in orders})


async def _snapshot(account: GuardedAccount, ours: Books, since: int, unseen: dict[str, str]) -> VenueSnapshot:
    """The venue's picture: balances between two equal pictures of orders and fills."""
    venue = account.venue
    before = await _trading(account, since, unseen)
    for _ in range(TRIES):
        balances = await _asked("balances", venue.balances(), unseen)
        after = await _trading(account, since, unseen)
        still = _state(before) == _state(after)
        before = after
        if still or balances is None:
            break
    else:
        balances = None
        unseen["balances"] = "something traded whenever they were asked for"
    orders, fills = before
    traces: dict[str, Order | None] = {}
    listed = {order.client_order_id for order in orders or ()}
    for key, held in ours.working.items() if orders is not None else ():
        if key not in listed:
            found = await _asked(f"order {key}", venue.find(key, held.symbol), unseen)
            if found is not None:
                traces[key] = found.value if isinstance(found, Found) else None
    return VenueSnapshot(balances=balances, orders=orders, fills=fills, traces=traces, unseen=unseen)


async def _trading(
    account: GuardedAccount, since: int, unseen: dict[str, str]
) -> tuple[Collection[Order] | None, Collection[Fill] | None]:
    """Orders and fills; without the fills of one symbol there are none at all: balances need them all."""
    orders = await _asked("orders", account.venue.open_orders(), unseen)
    fills: list[Fill] = []
    for symbol in _symbols(account, orders or ()):
        found = await _asked(f"fills of {symbol}", account.venue.fills(symbol, since), unseen)
        if found is None:
            return orders, None
        fills += [fill for fill in found if fill.time >= since]
    return orders, fills


def _state(picture: tuple[Collection[Order] | None, Collection[Fill] | None]) -> object:
    orders, fills = picture
    return (
        orders is None or sorted((order.client_order_id, order.venue_order_id, order.filled) for order in orders),
        fills is None or sorted((fill.symbol, fill.fill_id) for fill in fills),
    )


async def _asked(part: str, question: Awaitable[T], unseen: dict[str, str]) -> T | None:
    """The answer to a question; ``None``, and why, where there is none."""
    try:
        return await question
    except Exception as error:  # noqa: BLE001 - whatever the wire raises: it could not be looked at
        unseen[part] = f"{type(error).__name__}: {error}"[:300]
        return None


# ------------------------------------------------------------------------------------------------------------ workflow


def reconcile_workflow(
    reconciler: Reconciler, accounts: Mapping[str, GuardedAccount], every: DurationLike | None = "5 minutes"
) -> Workflow:
    """The workflow ``reconcile``. ``every``: how often its schedule starts it; ``None``: only on demand."""

    def named(account: str) -> list[str]:
        return [account] if account else sorted(accounts)

    schedule = None
    if every is not None:
        schedule = Schedule(Every(every), name=RECONCILE, input=ReconcileAsked(), missed="once", overlap="skip")

    @workflow(RECONCILE, on=schedule)
    async def flow(run: Run, asked: ReconcileAsked) -> list[ReconciliationDone]:
        done = []
        for name in await run.step("accounts", named, asked.account):
            done.append(await reconciler.reconcile(run, name, asked))
        return done

    return flow


class Reconciling:
    """Starts reconciliations on an open engine that was given ``flow``."""

    def __init__(self, engine: Engine, flow: Workflow, accounts: Mapping[str, GuardedAccount]) -> None:
        self._engine = engine
        self._flow = flow
        self._accounts = accounts

    async def start(self, asked: ReconcileAsked) -> str:
        """Reconcile an account, or all; gives the run's id. On return it is on disk.

        Raises:
            InvalidInput: no such account.
        """
        if asked.account:
            account_named(self._accounts, asked.account)
        return (await self._engine.start(self._flow, asked)).id

    def verbs(self) -> dict[str, Callable[..., Any]]:
        """What other processes may ask for, to be given to ``Engine.offer``."""

        async def asked(account: str = "", by: str = "cli", orphan_orders: str = "", balances: str = "") -> str:
            fields = {"account": account, "by": by, "orphan_orders": orphan_orders, "balances": balances}
            return await self.start(ReconcileAsked(**fields))  # type: ignore[arg-type]

        return {"reconcile": asked}
