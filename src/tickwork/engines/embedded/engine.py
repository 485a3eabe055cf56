"""The embedded engine: one process, one loop, one SQLite file, one writer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import apsw
from msgspec import Raw

from tickwork.core.asks import Again, Approval, Call, Claim, Effect, Emit, Mishap, Read, Sleep, Start, Step, WaitFor
from tickwork.core.clock import Clock, VirtualClock
from tickwork.core.event import Event
from tickwork.core.tape import Record
from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.calls import Calls
from tickwork.engines.embedded.control import Control
from tickwork.engines.embedded.crank import Crank
from tickwork.engines.embedded.effects import Effects
from tickwork.engines.embedded.events import Events
from tickwork.engines.embedded.family import Family, check_id, same_input
from tickwork.engines.embedded.fork import copied_before
from tickwork.engines.embedded.handle import Handle
from tickwork.engines.embedded.live import Ending, LiveRun, Pend
from tickwork.engines.embedded.lock import OwnerLock
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.owner import Owner
from tickwork.engines.embedded.queries import ApprovalInfo, DeadLetter, Queries, RunDetail, RunInfo
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.schema import connect, parse_url
from tickwork.engines.embedded.status import Status
from tickwork.engines.embedded.steps import Steps
from tickwork.engines.embedded.timers import Timers
from tickwork.engines.embedded.views import Views
from tickwork.engines.embedded.writer import InlineWriter, ThreadWriter
from tickwork.engines.system_clock import SystemClock
from tickwork.errors import InvalidInput, TapeError
from tickwork.values import duration, timestamp_ns

HOT_MAX = 10_000
"""Waiting runs kept in memory; beyond it the one that has waited longest is parked."""

PARK_AFTER = "60 seconds"


class Memory:
    """A tape without a file, which outlives the engine that opens it: for tests of crashes and recovery."""

    def __init__(self) -> None:
        self.connection = connect(":memory:")


class Engine:
    """Runs workflows. Use it as ``async with Engine("sqlite:///trading.db", workflows=[...]) as engine``.

    Opening it takes the tape's lock, recovers every unfinished run, and goes on.

    Args:
        url: ``sqlite:///path``, or ``memory:`` (no file, virtual time), or a ``Memory`` to open again.
        workflows: unique by name and version.
        views: unique by name.
        clock: the system's; for ``memory:`` a ``VirtualClock``, which jumps to the next timer when all is idle and
            somebody waits (``handle.result()``, ``engine.settled()``).
        seed: makes ids and randomness of a ``memory:`` engine repeatable; drawn by the system when not given.
        hot_max: waiting runs kept in memory.
        park_after: how long a run may merely wait in memory.
        vfs: name of a registered SQLite VFS, for tests of faults.
    """

    def __init__(
        self,
        url: str | Memory,
        *,
        workflows: Sequence[Workflow] = (),
        views: Sequence[View] = (),
        clock: Clock | None = None,
        seed: int | str | None = None,
        hot_max: int = HOT_MAX,
        park_after: str = PARK_AFTER,
        vfs: str | None = None,
    ) -> None:
        self._memory = url if isinstance(url, Memory) else Memory() if parse_url(url) == ":memory:" else None
        self.path = ":memory:" if self._memory is not None else parse_url(str(url))
        self.clock: Clock = clock or (VirtualClock() if self._memory is not None else SystemClock())
        self._workflows = _registry(workflows)
        self._view_list = list(views)
        self._seed = seed
        self._hot_max = hot_max
        self._park_after = duration(park_after)
        self._vfs = vfs
        self._lock: OwnerLock | None = None
        self._control: Control | None = None
        self._opened = False
        self._connections: list[apsw.Connection] = []

    # -- opening and closing --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Take the lock, open the tape, recover.

        Raises:
            TapeLocked, TapeTooNew, TapeCorrupt, TapeError: the tape cannot be used.
        """
        if self._opened:
            raise InvalidInput("Engine.open", "an open engine", "one that is closed")
        if self._memory is None:
            self._lock = OwnerLock(self.path)
        try:
            self._connect()
            self._opened = True
            self._recover()
            await self._log.durable()
            if self._memory is None:
                self._control = Control(self.path, Owner(self).verbs())
                await self._control.start()
        except BaseException:
            # nobody will close what did not open: let everything go, so that it can be tried again
            if self._opened:
                self.kill()
            else:
                self._let_go()
            raise
        self._crank.start()

    def _connect(self) -> None:
        if self._memory is not None:
            self._write_connection = self._read_connection = self._memory.connection
        else:
            self._write_connection = connect(self.path, vfs=self._vfs)
            self._connections.append(self._write_connection)
            self._read_connection = connect(self.path, vfs=self._vfs, read_only=self._vfs is None)
            self._connections.append(self._read_connection)
        self._reader = Reader(self._read_connection)
        self.queries = Queries(self._reader)
        next_seq, last_at = self._reader.end()
        self.clock.floor(last_at)
        self._log = log = Log(self.clock, next_seq)
        self._reader.on_fault = log.fail
        self._runs = runs = Runs(self.clock, log, self._reader, self._workflows, self._hot_max)
        self._views = Views(log, self.clock, self._reader, self._view_list)
        self._events = Events(runs, self._reader, self._views, list(self._workflows.values()))
        runs.timers = self._timers = Timers(self.clock, log, self._reader, self._wake, self._events.publish_delayed)
        self._calls = Calls(self.clock.virtual)
        self._crank = Crank(self.clock, log, runs, self._timers, self._calls, self._park_after)
        self._family = Family(runs, self._events.publish)
        self._wire()
        if self._memory is not None:
            log.writer = InlineWriter(self._write_connection, log.written)
        else:
            log.writer = ThreadWriter(
                self._write_connection, log.written, asyncio.get_running_loop().call_soon_threadsafe
            )

    def _wire(self) -> None:
        """Who answers what."""
        runs, events, family, views = self._runs, self._events, self._family, self._views
        runs.stop_work = self._stop_work
        runs.answerers = {
            Step: Steps(runs, self._calls).answer,
            Effect: Effects(runs, self._calls).answer,
            Sleep: events.sleep,
            WaitFor: events.wait,
            Emit: events.emit,
            Start: family.start,
            Call: family.call,
            Approval: family.approval,
            Again: family.again,
            Mishap: family.mishap,
            Claim: views.answer_claim,
            Read: views.answer_read,
        }

    def _recover(self) -> None:
        """Record the opening, and queue every run that has something to do."""
        runs, log = self._runs, self._log
        runs.openings = [
            (seq, nonce) for seq, nonce in self._reader.rows("SELECT seq, nonce FROM openings ORDER BY seq")
        ]
        nonce = self._nonce(len(runs.openings))
        seq = log.outside(Record("opened", self.clock.now(), key=nonce))
        runs.openings.append((seq, nonce))
        log.batch.openings.append((seq, nonce))
        stuck = self._reader.rows(
            "SELECT seq FROM runs WHERE status IN (?,?) ORDER BY seq", (int(Status.STRANDED), int(Status.DIVERGED))
        )
        for position in [*self._timers.start(), *(position for (position,) in stuck)]:
            runs.ready.append((position, None))

    def _nonce(self, opening: int) -> str:
        """What makes this opening's ids differ from every other's."""
        if self._seed is None:
            return secrets.token_hex(8)
        return hashlib.blake2b(f"{self._seed}/{opening}".encode(), digest_size=8).hexdigest()

    async def close(self) -> None:
        """Write what is not yet on disk and let the tape go. Unfinished runs go on when it is opened again."""
        if not self._opened:
            return
        self._opened = False
        if self._control is not None:
            await self._control.stop()
        self._crank.stop()
        if self._log.fault is None:
            self._log.flush_now()
            while self._log.batch or (self._log.writer is not None and self._log.writer.busy):
                if self._log.fault is not None:
                    break
                await asyncio.sleep(0.0002)
                self._log.flush_now()
        self._shut()

    def kill(self) -> None:
        """Stop as if the process had died: nothing more is written. For tests."""
        self._opened = False
        if self._control is not None:
            self._control.drop()
        self._crank.stop()
        self._log.fault = self._log.fault or TapeError("killed")
        self._shut()

    def _shut(self) -> None:
        for run in list(self._runs.hot.values()):
            if run.drive is not None:
                run.drive.close()
            for pend in run.pends.values():
                self._stop_work(pend)
        if self._log.writer is not None:
            self._log.writer.close()
        self._calls.close()
        self._let_go()
        self._crank.give_up(
            self._log.fault or TapeError("the engine was closed; the run goes on when it is opened again")
        )

    def _let_go(self) -> None:
        """Of the file and of its lock."""
        while self._connections:
            # the reader first: the last one to close folds the WAL into the file, which a dead disk refuses; what it
            # could not fold is still in the WAL
            with contextlib.suppress(apsw.Error):
                self._connections.pop().close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # -- starting and emitting ------------------------------------------------------------------------------------

    async def start(self, workflow: Workflow, input: Any = None, *, id: str | None = None, owner: str = "") -> Handle:
        """Start a run; on return it is on disk. Idempotent by ``id``: the same input gives the same run.

        Raises:
            InvalidInput: an unknown workflow, a wrong input, or an id whose run has another input.
        """
        handle = self.start_soon(workflow, input, id=id, owner=owner)
        await self.durable()
        return handle

    def start_soon(self, workflow: Workflow, input: Any = None, *, id: str | None = None, owner: str = "") -> Handle:
        """Like ``start``, without waiting for the disk: the run may be lost with the process."""
        self._check_open()
        if not isinstance(workflow, Workflow) or self._workflows.get((workflow.name, workflow.version)) is not workflow:
            known = ", ".join(sorted(name for name, _ in self._workflows)) or "none"
            name = workflow.name if isinstance(workflow, Workflow) else workflow
            raise InvalidInput("workflow", name, f"one that the engine was given (Engine(workflows=[...])): {known}")
        encoded = workflow.encode_input(input)
        if id is not None:
            check_id(id)
            found = self._runs.find(id)
            if found is not None:
                same_input(self._runs, found, id, workflow, encoded)
                return Handle(self, id, found, workflow)
        with self._crank:
            run = self._runs.start(workflow, encoded, given_id=id, owner=owner)
        return Handle(self, run.id, run.seq, workflow, run)

    async def emit(self, event: Event, *, delay: str | None = None, at: datetime | None = None) -> int:
        """Publish an event; on return it is on disk, with the runs it started. Returns its position.

        Raises:
            InvalidInput: not an event, or a wrong delay.
        """
        seq = self.post(event, delay=delay, at=at)
        await self.durable()
        return seq

    def post(self, event: Event, *, delay: str | None = None, at: datetime | None = None) -> int:
        """Like ``emit``, without waiting for the disk: the event may be lost with the process."""
        self._check_open()
        if not isinstance(event, Event) or not event.event_name:
            raise InvalidInput("event", event, "an instance of a named subclass of Event")
        now = self.clock.now()
        due = timestamp_ns(at) if at is not None else now + duration(delay) if delay is not None else 0
        if due > now:
            record = Record(
                "event", now, event.event_name, value=Raw(event.to_wire()), version=event.event_version, due=due
            )
            seq = self._log.outside(record)
            self._events.classes.setdefault((event.event_name, event.event_version), type(event))
            self._log.batch.delayed[seq] = due
            self._timers.delayed(seq, due)
            self._crank.pump()
        else:
            with self._crank:
                seq = self._events.publish(event)
        return seq

    async def durable(self) -> None:
        """Return once everything that has happened so far is on disk.

        Raises:
            TapeError: it could not be written.
        """
        await self._log.durable()

    # -- runs -----------------------------------------------------------------------------------------------------

    def handle(self, id: str) -> Handle:
        """A handle on a run that exists.

        Raises:
            InvalidInput: no run has this id.
        """
        self._check_open()
        seq = self._runs.find(id)
        if seq is None:
            raise InvalidInput("run", id, "the id of a run on this tape")
        run = self._runs.hot.get(seq)
        name, version = (run.workflow.name, run.workflow.version) if run is not None else self._named(seq)
        return Handle(self, id, seq, self._workflows.get((name, version)))

    def _named(self, seq: int) -> tuple[str, int]:
        row = self._reader.run(seq)
        assert row is not None
        return row.workflow, row.version

    async def cancel(self, id: str, reason: str = "") -> None:
        """Cancel a run: ``Cancelled`` is thrown where it waits, after an effect in flight is resolved.

        Raises:
            InvalidInput: no unfinished run has this id, or its workflow is not registered.
        """
        run = self._unfinished(id, "cancelled")
        reason = reason or "cancelled by request"
        if run.paused and run.drive is None:
            # it takes no turn before it hears of this: the first thing it finds on the tape when it is resumed
            if run.cancelled is None:
                run.cancelled = reason
                self._log.record(run, Record("cancel", self.clock.now(), name=reason))
            self._resume(run)
        else:
            if run.paused:
                self._resume(run)
            self._family.cancel(run.seq, reason)
        await self._done()

    async def pause(self, id: str) -> None:
        """Take no more turns of a run until it is resumed. Effects in flight are followed to their outcome."""
        run = self._unfinished(id, "paused")
        if not run.paused:
            self._log.record(run, Record("paused", self.clock.now()))
            run.paused = True
            self._runs.settle(run)
        await self._done()

    async def resume(self, id: str) -> None:
        """Let a paused run go on."""
        run = self._unfinished(id, "resumed")
        if run.paused:
            self._resume(run)
        await self._done()

    def _resume(self, run: LiveRun) -> None:
        self._log.record(run, Record("resumed", self.clock.now()))
        run.resuming = True
        self._runs.settle(run)

    async def redrive(self, id: str) -> None:
        """A new attempt of a dead run. Completed steps and keys are kept.

        Raises:
            InvalidInput: the run is not dead.
        """
        await self.durable()
        row = self.queries.row(id)
        if row.status != Status.DEAD:
            raise InvalidInput(
                "run", f"{id}, which is {Status(row.status).name.lower()}", "a dead run (see dead_letters)"
            )
        run = self._runs.load(row.seq)
        if run is None:
            raise InvalidInput(
                "run", id, f"a run whose workflow is registered ({row.workflow!r} version {row.version})"
            )
        self._runs.redrive(run)
        await self._done()

    async def approve(self, id: str, yes: bool, by: str = "") -> None:
        """Answer a question of ``run.approval``.

        Raises:
            InvalidInput: no open question has this id.
        """
        await self.durable()
        if not self._reader.rows("SELECT 1 FROM approvals WHERE id=?", (id,)):
            known = ", ".join(approval.id for approval in self.queries.approvals()) or "there is none"
            raise InvalidInput("approval", id, f"the id of an open question: {known}")
        self._family.approve(id, yes, by)
        await self._done()

    async def fork(
        self,
        id: str,
        from_step: str,
        changed_input: Any = None,
        *,
        into: Engine | None = None,
        live: bool = False,
        new_id: str | None = None,
    ) -> Handle:
        """Copy a run up to a step and run on from there, with another input if one is given.

        What was done before the step is taken over where its arguments are still the same; the rest is done anew,
        under new keys. The fork runs in another engine (a world with a simulated venue), or here if ``live`` is said.

        Raises:
            InvalidInput: no such run or step, or neither ``into`` nor ``live``.
        """
        if into is None and not live:
            raise InvalidInput(
                "fork", "neither into nor live", "into=<an engine of a world>, or live=True to act for real"
            )
        await self.durable()
        row = self.queries.row(id)
        target = into or self
        workflow = target._workflows.get((row.workflow, row.version))
        if workflow is None:
            raise InvalidInput(
                "fork", f"{row.workflow!r} version {row.version}", "a workflow the target engine was given"
            )
        input, copied = copied_before(self._reader.history(row.tail, row.seq), from_step, id)
        if changed_input is not None:
            input = workflow.encode_input(changed_input)
        if new_id is not None:
            check_id(new_id)
            if target._runs.find(new_id) is not None:
                raise InvalidInput("fork(new_id=)", new_id, "an id that no run has")
        record = Record("copied", target.clock.now(), name=id, value=copied)
        run = target._runs.start(workflow, input, given_id=new_id, owner=row.owner, copied=record)
        target._crank.pump()
        await target.durable()
        return Handle(target, run.id, run.seq, workflow)

    def _unfinished(self, id: str, what: str) -> LiveRun:
        self._check_open()
        seq = self._runs.find(id)
        if seq is None:
            raise InvalidInput("run", id, "the id of a run on this tape")
        self._runs.wake_any(seq)
        run = self._runs.hot.get(seq)
        if run is None or run.ending is not None:
            raise InvalidInput("run", id, f"an unfinished run whose workflow is registered: only those can be {what}")
        return run

    async def _done(self) -> None:
        self._crank.pump()
        await self.durable()

    # -- questions ------------------------------------------------------------------------------------------------

    async def runs(self, **filters: Any) -> list[RunInfo]:
        """Runs, newest first; see ``Queries.runs``."""
        await self.durable()
        return self.queries.runs(**filters)

    async def show(self, id: str) -> RunDetail:
        """A run with its records; see ``Queries.show``."""
        await self.durable()
        return self.queries.show(id)

    async def approvals(self) -> list[ApprovalInfo]:
        """Questions that wait for a person."""
        await self.durable()
        return self.queries.approvals()

    async def dead_letters(self) -> list[DeadLetter]:
        """What gave up."""
        await self.durable()
        return self.queries.dead_letters()

    async def stranded(self) -> list[RunInfo]:
        """Runs whose workflow or version is not registered."""
        await self.durable()
        return self.queries.stranded()

    def read(self, view: View, key: str) -> Any:
        """The state of a view under a key, or ``None``."""
        self._check_open()
        return self._views.get(view, key)

    def items(self, view: View) -> Mapping[str, Any]:
        """All keys of a view with their states."""
        self._check_open()
        return self._views.items(view)

    async def claim(self, view: View, key: str, expected: Any, new: Any) -> bool:
        """Set a view's state under a key to ``new`` if it is ``expected``; True if it was. On return it is on disk."""
        self._check_open()
        done = self._views.claim_outside(view, key, expected, new)
        await self.durable()
        return done

    def status(self) -> dict[str, Any]:
        """Counts of runs by status, the last position on disk, and how many runs are in memory."""
        return {"runs": self.queries.counts(), "seq": self._log.durable_seq, "inMemory": len(self._runs.hot)}

    @property
    def workflows(self) -> list[Workflow]:
        """What the engine was given."""
        return list(self._workflows.values())

    @property
    def event_classes(self) -> Mapping[tuple[str, int], type[Event]]:
        """Events the engine knows, by name and version."""
        return self._events.classes

    # -- time -----------------------------------------------------------------------------------------------------

    async def settled(self) -> None:
        """Return when nothing is left to do and no timer is set. In virtual time this lets all of it pass."""
        while True:
            await self.idle()
            if self._timers.next_due() is None:
                return
            if self.clock.virtual:
                await self._crank.push()
            else:
                await asyncio.sleep(0.001)

    async def idle(self) -> None:
        """Return when nothing is under way; timers may still be set. No virtual time passes."""
        while True:
            self._check_open()
            self._crank.pump()
            await self.durable()
            if self._crank.idle():
                return
            await asyncio.sleep(0)

    async def failed(self) -> None:
        """Return when the engine has stopped because of its disk."""
        await self._crank.failed.wait()

    @property
    def fault(self) -> TapeError | None:
        """Why the engine has stopped, if it has."""
        return self._log.fault

    def at(self, time: int, future: asyncio.Future[None]) -> None:
        """Resolve a future at a time (ns of the engine's clock)."""
        self._timers.call(time, lambda: None if future.done() else future.set_result(None))

    def watch(self, seq: int) -> asyncio.Future[Ending]:
        """A future for how a run ends, once that is on disk."""
        self._check_open()
        return self._crank.watch(seq)

    def _check_open(self) -> None:
        if self._opened and self._log.fault is None:
            return
        raise (self._log.fault if self._opened else None) or TapeError("the engine is not open")

    def _wake(self, seq: int) -> None:
        """A run's row says that it is due."""
        run = self._runs.hot.get(seq)
        if run is None:
            self._runs.enqueue_parked(seq)
        else:
            self._timers.fire_run(run, self.clock.now())

    def _stop_work(self, pend: Pend) -> None:
        if pend.task is not None:
            pend.task.cancel()
            pend.task = None
        self._events.parked(pend)


def _registry(workflows: Sequence[Workflow]) -> dict[tuple[str, int], Workflow]:
    found: dict[tuple[str, int], Workflow] = {}
    for index, workflow in enumerate(workflows):
        if not isinstance(workflow, Workflow):
            raise InvalidInput(f"Engine(workflows=)[{index}]", workflow, "a function decorated with @workflow")
        key = (workflow.name, workflow.version)
        if key in found:
            raise InvalidInput(
                f"Engine(workflows=)[{index}]",
                f"{workflow.name!r} version {workflow.version} once more",
                "names that are unique by version: rename one, or give it another version",
            )
        found[key] = workflow
    return found
