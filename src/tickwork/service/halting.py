"""Halting: the halt on the tape, and what a halt does.

Theory of operation. The halts of an engine are events; what the desks look at is a reading of them held in memory
(``trading.halt.Halts``). *Raising takes effect first and is recorded then*: no order gets through while the disk is
waited for. *Clearing is recorded first and takes effect then*: what is lost with the process is a clearing nobody was
told of. Between the two of a clearing somebody may raise again; that stands, in memory as on the tape.

Whatever raises (a person, a rule, a face) may only raise; clearing takes a person and a reason.

``restore`` is given what the tape says before the engine is opened, because runs go on when it is.

A halt (from level ``halt`` on) starts the workflow ``halt``: it sweeps each account that the halt is for. The run's id
derives from the event's position, so however often the process dies there is one run for one halt.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from tickwork.core.event import Alert, Event
from tickwork.core.run import Run
from tickwork.core.trigger import When
from tickwork.core.view import view
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, NotFound
from tickwork.service.guarded import GuardedAccount, account_named
from tickwork.service.sweeping import Sweeper, SweepPlan, Swept
from tickwork.service.trading import AccountOpened
from tickwork.trading.halt import LEVELS, BreachLike, HaltLevel, Halts, Verdict, check_level, judge, worse
from tickwork.values import from_ns, timestamp_ns

ALL: Final = "*"
"""Under which key the view keeps the halt of all accounts."""
STOPPING: Final[frozenset[HaltLevel]] = frozenset({"halt", "shutdown"})

Raiser = Literal["person", "rule", "face"]


class HaltRaised(Event, name="trading/halt.raised", version=1):
    """Trading stops, or people should look."""

    account: str = ""
    """``""``: all of them."""
    owner: str = ""
    level: HaltLevel
    reason: str
    by: str
    """Who: a person's name, a rule's, a face's."""
    made_by: Raiser
    at: datetime


class HaltCleared(Event, name="trading/halt.cleared", version=1):
    """Trading may go on."""

    account: str = ""
    """``""``: the halt of all; an account's own stands."""
    owner: str = ""
    level: HaltLevel
    """What it was until then."""
    reason: str
    by: str
    at: datetime


class HaltLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A halt that stands."""

    account: str
    level: HaltLevel
    reason: str
    by: str
    made_by: Raiser
    since: datetime


class HaltAnswer(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What came of raising or clearing."""

    account: str
    level: HaltLevel
    """What stands now, of this account or of all."""
    reason: str
    changed: bool
    """False: it stood at that level, or above, already; nothing stood that could be cleared."""
    still: tuple[HaltLine, ...] = ()
    """After clearing: other halts that stand all the same, of accounts that this one was for or of all."""


def scope(event: HaltRaised | HaltCleared) -> str:
    """Under which key the view keeps the halt of an event."""
    return event.account or ALL


@view("trading/halts", on=(HaltRaised, HaltCleared), key=scope)
def halt_lines(state: HaltLine | None, event: Event) -> HaltLine | None:
    """Halts that stand, by account; that of all under ``ALL``."""
    if not isinstance(event, HaltRaised):
        return None
    if state is not None and not worse(event.level, state.level):
        return state
    return HaltLine(
        account=event.account, level=event.level, reason=event.reason, by=event.by, made_by=event.made_by,
        since=event.at,
    )  # fmt: skip


def halts_on(queries: Queries | None) -> dict[str, HaltLine]:
    """The halts that stand on a tape, by account; ``None``: there is no tape yet."""
    standing: dict[str, HaltLine] = {}
    by_name: dict[str, type[HaltRaised | HaltCleared]] = {
        HaltRaised.event_name: HaltRaised,
        HaltCleared.event_name: HaltCleared,
    }
    for entry in [] if queries is None else queries.events(*by_name):
        event = by_name[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        line = halt_lines.fold(standing.get(scope(event)), event)
        if line is None:
            standing.pop(scope(event), None)
        else:
            standing[scope(event)] = line
    return standing


def restore(halts: Halts, standing: Mapping[str, HaltLine]) -> None:
    """Make the halts what the tape says; before the engine is opened."""
    for line in standing.values():
        halts.of(line.account).raise_to(line.level, line.reason)


class Halting:
    """Raises and clears halts of an open engine that was given ``halt_lines`` and the workflow of ``halt_workflow``.

    Args:
        accounts: those that are open, by name; it may change. ``None``: none is, ``known`` are those on the tape.
        now: ns since 1970 UTC.
        known: names of accounts, where none is open.
    """

    def __init__(
        self,
        engine: Engine,
        halts: Halts,
        accounts: Mapping[str, GuardedAccount] | None,
        now: Callable[[], int],
        *,
        known: Collection[str] = (),
    ) -> None:
        self._engine = engine
        self._halts = halts
        self._accounts = accounts
        self._now = now
        self._known = known

    def raise_soon(
        self, level: HaltLevel, reason: str, *, by: str, made_by: Raiser = "rule", account: str = ""
    ) -> HaltAnswer:
        """Raise at once; the tape has it soon. A level that stands already, or a worse one, is left as it is.

        Raises:
            InvalidInput: no level to raise to, no reason, nobody, or no such account.
            TapeError: it cannot be recorded. It has taken effect all the same.
        """
        if check_level(level) == "normal":
            raise InvalidInput("level", level, f"one of {', '.join(LEVELS[1:])}; a halt is cleared, with a reason")
        owner = self._checked(reason, by, account)
        self._halts.of(account).raise_to(level, reason)
        before: HaltLine | None = self._engine.read(halt_lines, account or ALL)
        if before is not None and not worse(level, before.level):
            return self._answer(account, changed=False)
        at = from_ns(self._now())
        raised = HaltRaised(
            account=account, owner=owner, level=level, reason=reason, by=by, made_by=made_by, at=at
        )  # fmt: skip
        self._engine.post(raised)
        if made_by != "person":  # who raised it by hand knows
            what = f"{account or 'every account'} is at level {level}"
            self._engine.post(Alert(run="", what=what, detail=f"{by}: {reason}"[:500]))
        return self._answer(account, changed=True)

    async def raise_to(
        self, level: HaltLevel, reason: str, *, by: str, made_by: Raiser = "person", account: str = ""
    ) -> HaltAnswer:
        """Raise; on return it is on disk. It takes effect before that.

        Raises:
            InvalidInput, TapeError: as ``raise_soon``.
        """
        answer = self.raise_soon(level, reason, by=by, made_by=made_by, account=account)
        await self._engine.durable()
        return answer

    async def clear(self, reason: str, *, by: str, made_by: Raiser = "person", account: str = "") -> HaltAnswer:
        """Back to normal; on return it is on disk. It takes effect after that.

        Raises:
            InvalidInput: no reason, nobody, a rule, or no such account.
            TapeError: it cannot be recorded, and has not taken effect.
        """
        if made_by == "rule":
            raise InvalidInput("by", by, "a person: a rule may raise a halt and never clear one")
        owner = self._checked(reason, by, account)
        before: HaltLine | None = self._engine.read(halt_lines, account or ALL)
        if before is None:
            return self._answer(account, changed=False, still=self._still(account))
        at = from_ns(self._now())
        self._engine.post(
            HaltCleared(account=account, owner=owner, level=before.level, reason=reason, by=by, at=at)
        )  # fmt: skip
        await self._engine.durable()
        after: HaltLine | None = self._engine.read(halt_lines, account or ALL)
        halt = self._halts.of(account)
        halt.clear()
        if after is not None:  # it was raised again meanwhile
            halt.raise_to(after.level, after.reason)
        return self._answer(account, changed=True, still=self._still(account))

    def judged(self, breaches: Iterable[BreachLike], *, account: str = "") -> Verdict:
        """Raise to what breaches come to; to be called where they are found, as often as they are."""
        verdict = judge(breaches)
        if verdict.level != "normal":
            self.raise_soon(verdict.level, verdict.reason, by=verdict.rule, account=account)
        return verdict

    async def sweep_standing(self, flow: Workflow) -> None:
        """Start the sweep of every halt that stands; to be called once the accounts are open.

        A halt that was raised while nobody had the tape open has started none. Once for each halt, however often.
        """
        for line in self.standing():
            if line.level in STOPPING:
                raised = HaltRaised(
                    account=line.account,
                    level=line.level,
                    reason=line.reason,
                    by=line.by,
                    made_by=line.made_by,
                    at=line.since,
                )
                await self._engine.start(flow, raised, id=later_run(line.account, line.since))

    def standing(self) -> list[HaltLine]:
        """The halts that stand."""
        return sorted(self._engine.items(halt_lines).values(), key=lambda line: line.account)

    def verbs(self) -> dict[str, Any]:
        """What other processes may ask for, to be given to ``Engine.offer``."""

        async def raised(level: HaltLevel = "halt", reason: str = "", by: str = "cli", account: str = "") -> HaltAnswer:
            return await self.raise_to(level, reason, by=by, account=account)

        async def cleared(reason: str = "", by: str = "cli", account: str = "") -> HaltAnswer:
            return await self.clear(reason, by=by, account=account)

        async def listed() -> list[HaltLine]:
            await self._engine.durable()
            return self.standing()

        return {"halt": raised, "unhalt": cleared, "halts": listed}

    def _checked(self, reason: str, by: str, account: str) -> str:
        """The account's owner."""
        check_words(reason, by)
        if not account:
            return ""
        if self._accounts is not None:
            return account_named(self._accounts, account).owner
        known = {*self._known, *(line.account for line in self.standing() if line.account)}
        if account not in known:
            raise NotFound("account", account, f"an account on this tape: {', '.join(sorted(known)) or 'none is'}")
        return ""

    def _answer(self, account: str, *, changed: bool, still: Sequence[HaltLine] = ()) -> HaltAnswer:
        halt = self._halts.of(account)
        return HaltAnswer(
            account=account, level=halt.level, reason=halt.reason, changed=changed, still=tuple(still)
        )  # fmt: skip

    def _still(self, account: str) -> list[HaltLine]:
        """The halts that stand besides that of this account, or of all, and hold it, or some of all."""
        return [line for line in self.standing() if line.account != account and "" in (line.account, account)]


def later_run(account: str, since: datetime) -> str:
    """The id of the run that sweeps for a halt which was raised while nobody had the tape open."""
    return f"halt.{account or 'all'}.{timestamp_ns(since)}"


def check_words(reason: str, by: str) -> None:
    """
    Raises:
        InvalidInput: no reason, or nobody.
    """
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidInput("reason", reason, "why, in words: it goes on the tape")
    if not isinstance(by, str) or not by.strip():
        raise InvalidInput("by", by, "who wants it: it goes on the tape")


# ------------------------------------------------------------------------------------------------------ what it does


def halt_workflow(accounts: Mapping[str, GuardedAccount], plan: SweepPlan | None = None) -> Workflow:
    """The workflow that a halt starts: it cancels what rests in the account, or in all, and says what became of it.

    By default orders that can only reduce a position stay, and so do orders that were not placed here.
    """
    sweeper, swept_as = Sweeper(accounts), plan or SweepPlan()

    def named(account: str) -> list[str]:
        return [account] if account else sorted(accounts)

    @workflow("halt", on=When(HaltRaised, "level == 'halt' or level == 'shutdown'"))
    async def halt(run: Run, raised: HaltRaised) -> dict[str, Swept]:
        names: list[str] = await run.step("accounts", named, raised.account)
        if not names:
            return {}
        swept: Sequence[Swept] = await run.all(
            *(sweeper.sweep(run, name, swept_as, _stands(name)) for name in names)
        )  # fmt: skip
        return dict(zip(names, swept, strict=True))

    return halt


def _stands(account: str) -> Callable[[], Awaitable[bool]]:
    """Whether a halt of an account stands, its own or that of all; verbs of a body."""

    async def stands() -> bool:
        for key in (account, ALL):
            line: HaltLine | None = await halt_lines.get(key)
            if line is not None and line.level in STOPPING:
                return True
        return False

    return stands


# -------------------------------------------------------------------------------------------------- without an owner


_WITHOUT_WORKFLOWS: Final = ("that no workflow declares", "is not registered", ", which is not declared")
"""Of what an engine warns that was given no workflows."""


async def change_unowned(tape: str, change: Callable[[Halting], Awaitable[HaltAnswer]]) -> HaltAnswer:
    """Raise or clear on the tape at a path that no process has open; whoever opens it next starts so.

    Raises:
        InvalidInput: the tape is of a demo or a session, which live in another time; or no such account is on it.
        TapeError: there is no tape, or it cannot be used. TapeLocked: a process has it open after all.
    """
    queries = Queries.open(tape)
    if queries.events("demo/started", "paper/started"):
        raise InvalidInput("tape", tape, "one that accounts trade on; a demo is stopped by stopping it")
    halts = Halts()
    restore(halts, halts_on(queries))
    known = {
        AccountOpened.read(entry.record.version, bytes(entry.record.value)).account
        for entry in queries.events(AccountOpened.event_name)
    }
    with _knowing_no_workflows():
        async with Engine(f"sqlite:///{tape}", views=[halt_lines]) as engine:
            return await change(Halting(engine, halts, None, engine.clock.now, known=known))


@contextlib.contextmanager
def _knowing_no_workflows() -> Iterator[None]:
    """Do not warn of runs and schedules without their workflows: this engine runs none, the next one will."""
    log = logging.getLogger("tickwork.engine")

    def is_news(record: logging.LogRecord) -> bool:
        return not any(words in record.getMessage() for words in _WITHOUT_WORKFLOWS)

    log.addFilter(is_news)
    try:
        yield
    finally:
        log.removeFilter(is_news)
