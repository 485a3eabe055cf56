"""The embedded engine: one process, one loop, one SQLite file, one writer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

import msgspec

from tickwork.core.clock import Clock
from tickwork.core.event import Event
from tickwork.core.queue import Queue
from tickwork.core.tape import Record
from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.assembly import HOT_MAX, PARK_AFTER, Assembly, Memory
from tickwork.engines.embedded.check import problems
from tickwork.engines.embedded.control import Control, Verb
from tickwork.engines.embedded.family import check_id, same_input
from tickwork.engines.embedded.fork import copied_before
from tickwork.engines.embedded.handle import Handle
from tickwork.engines.embedded.live import Ending, LiveRun
from tickwork.engines.embedded.lock import OwnerLock
from tickwork.engines.embedded.owner import Owner
from tickwork.engines.embedded.queries import ApprovalInfo, DeadLetter, RunDetail, RunInfo
from tickwork.engines.embedded.status import Status
from tickwork.errors import Conflict, InvalidInput, NotFound, TapeError
from tickwork.values import duration, timestamp_ns


class Engine(Assembly):
    """Runs workflows. Use it as ``async with Engine("sqlite:///trading.db", workflows=[...]) as engine``.

    Opening it takes the tape's lock, recovers every unfinished run, and goes on.

    Args:
        url: ``sqlite:///path``, or ``memory:`` (no file, virtual time), or a ``Memory`` to open again.
        workflows: unique by name and version.
        views: unique by name.
        queues: besides those that workflows name in ``on=``; unique by name.
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
        queues: Sequence[Queue] = (),
        clock: Clock | None = None,
        seed: int | str | None = None,
        hot_max: int = HOT_MAX,
        park_after: str = PARK_AFTER,
        vfs: str | None = None,
    ) -> None:
        super().__init__(url, workflows, views, queues, clock, seed, hot_max, duration(park_after), vfs)
        self._control: Control | None = None
        self._verbs: dict[str, Verb] = {}
        self._opened = False

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
            self._verbs = Owner(self).verbs()
            if self._memory is None:
                self._control = Control(self.path, self._verbs)
                await self._control.start()
        except BaseException:
            # nobody will close what did not open: let everything go, so that it can be tried again
            if self._opened:
                self.kill()
            else:
                self._let_go()
            raise
        self._crank.start()

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

    # -- starting and emitting ------------------------------------------------------------------------------------

    async def start(self, workflow: Workflow, input: Any = None, *, id: str | None = None, owner: str = "") -> Handle:
        """Start a run; on return it is on disk. Idempotent by ``id``: the same input gives the same run.

        Where the workflow's flow control says so (``singleton``, ``idempotency``) the handle is of another run, which
        there is already.

        Raises:
            Refused: the workflow's rate limit.
            InvalidInput: an unknown workflow, a wrong input, or an id whose run has another input.
        """
        handle = self.start_soon(workflow, input, id=id, owner=owner)
        await self.durable()
        return handle

    def start_soon(self, workflow: Workflow, input: Any = None, *, id: str | None = None, owner: str = "") -> Handle:
        """Like ``start``, without waiting for the disk: the run may be lost with the process."""
        self._check_open()
        if not isinstance(workflow, Workflow):
            raise InvalidInput("workflow", workflow, "the function decorated with @workflow, not its name")
        if self._workflows.get((workflow.name, workflow.version)) is not workflow:
            known = ", ".join(sorted(name for name, _ in self._workflows)) or "none"
            raise InvalidInput(
                "workflow", workflow.name, f"one that the engine was given (Engine(workflows=[...])): {known}"
            )
        encoded = workflow.encode_input(input)
        if id is not None:
            check_id(id)
            found = self._runs.find(id)
            if found is not None:
                same_input(self._runs, found, id, workflow, encoded)
                return Handle(self, id, found, workflow)
        choosy = workflow.flow is not None and workflow.flow.declines
        given = workflow.decode_input(encoded) if choosy else None
        instead = self.flow.before(workflow, given) if choosy else None
        if instead is not None:
            return Handle(self, self._runs.id_of(instead), instead, workflow)
        with self._crank:
            run = self._runs.start(workflow, encoded, given_id=id, owner=owner)
            if choosy:
                self.flow.remember(workflow, given, run.seq)
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
        with self._crank:
            return self._events.post(event, due)

    # -- workflows ------------------------------------------------------------------------------------------------

    async def add(self, workflow: Workflow) -> None:
        """Register a workflow while the engine is open, as if it were opened again with this one at the end of
        ``workflows=``; on return what that changed is on disk. The very same object once more changes nothing.

        A version above all that are known of its name takes over what starts runs, also where the name has retired.
        Runs keep their version; those that lacked this one go on. It is for this opening: the tape keeps no code.

        Raises:
            InvalidInput: another workflow has its name and version, or it cannot stand beside the others (names of
                schedules, workers and settings of queues, classes of events). Nothing has changed then.
        """
        self._check_open()
        await self.registry.add(workflow)

    async def retire(self, name: str) -> None:
        """Let nothing start runs of this name by itself any more, until a newer version, or the newest, is added.

        Events pass by; its schedules are stranded (once it is back, ``missed`` decides about what was due meanwhile);
        messages wait in its queues, which stay open; what ``debounce`` and ``batch`` have gathered starts its run now.
        Runs that there are go on, and ``start`` by hand or by other runs still works. It is for this opening.

        Raises:
            InvalidInput: no workflow has this name.
        """
        self._check_open()
        await self.registry.retire(name)

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
        seq = self._position(id)
        run = self._runs.hot.get(seq)
        name, version = (run.workflow.name, run.workflow.version) if run is not None else self._named(seq)
        return Handle(self, id, seq, self._workflows.get((name, version)))

    def _position(self, id: str) -> int:
        self._check_open()
        seq = self._runs.find(id)
        if seq is None:
            raise NotFound("run", id, "the id of a run on this tape")
        return seq

    def _named(self, seq: int) -> tuple[str, int]:
        row = self._reader.run(seq)
        assert row is not None
        return row.workflow, row.version

    async def cancel(self, id: str, reason: str = "") -> None:
        """Cancel a run: ``Cancelled`` is thrown where it waits, after an effect in flight is resolved.

        A run that cannot go on, because its workflow is not registered or its code and records disagree, is recorded as
        cancelled without running its body: its undos are not made, and an ``Alert`` says so.

        Raises:
            InvalidInput: no unfinished run has this id.
        """
        seq, reason = self._position(id), reason or "cancelled by request"
        self._runs.wake_any(seq)
        run = self._runs.hot.get(seq)
        if run is not None and run.ending is None:
            self._runs.cancel_seq(seq, reason)
        else:
            await self.durable()
            if not self._runs.endings.cancel_stuck(seq, reason):
                raise Conflict("run", id, "an unfinished run: only those can be cancelled")
        await self._done()

    async def pause(self, id: str) -> None:
        """Take no more turns of a run until it is resumed. Effects in flight are followed to their outcome."""
        run = self._unfinished(id, "paused")
        if run.status is Status.QUEUED:
            self._runs.drop(run)
            raise Conflict("run", f"{id}, which is queued", "a run that has begun; cancel this one, or let it begin")
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
            raise Conflict("run", f"{id}, which is {Status(row.status).name.lower()}", "a dead run (see dead_letters)")
        if (row.workflow, row.version) not in self._workflows:
            raise Conflict("run", id, f"a run whose workflow is registered ({row.workflow!r} version {row.version})")
        await self.letters.redrive([id])

    async def approve(self, id: str, yes: bool, by: str = "") -> None:
        """Answer a question of ``run.approval``.

        Raises:
            InvalidInput: no open question has this id.
        """
        await self.durable()
        changes, row = self._log.coming("approvals", (id,))
        if row is None and (changes or not self._reader.rows("SELECT 1 FROM approvals WHERE id=?", (id,))):
            known = ", ".join(approval.id for approval in self.queries.approvals() if approval.id != id)
            known = known or "there is none"
            raise NotFound("approval", id, f"the id of an open question: {known}")
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
        seq = self._position(id)
        self._runs.wake_any(seq)
        run = self._runs.hot.get(seq)
        if run is None or run.ending is not None:
            raise Conflict("run", id, f"an unfinished run whose workflow is registered: only those can be {what}")
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

    async def check(self) -> dict[str, str]:
        """Unfinished runs that the workflows given to this engine cannot go on with: id -> why.

        Replays each of them and changes nothing. Worth doing after every change of code, before an event needs them.
        """
        await self.durable()
        return problems(self._runs)

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
        """Return when nothing is left to do and no timer is set. In virtual time this lets all of it pass.

        A schedule never ends: its next time is not waited for, though it fires if it comes meanwhile. See ``until``.
        """
        while True:
            await self.idle()
            if self._timers.next_due(recurring=False) is None:
                return
            if self.clock.virtual:
                await self._crank.push()
            else:
                await asyncio.sleep(0.001)

    async def until(self, time: datetime) -> None:
        """Return at a time, when everything that was due until then is done that can be. Virtual time jumps there."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.at(timestamp_ns(time), reached)
        while not reached.done():
            await self.idle()
            if self.clock.virtual:
                await self._crank.push()
            else:
                await asyncio.wait([reached], timeout=1)  # then see whether the disk is still there
        await self.idle()

    def next_due(self) -> int | None:
        """When the first timer, delayed event or schedule is due (ns); ``None``: nothing is. For virtual time.

        To be asked when all is on disk, as it is after ``idle``, ``until`` and ``settled``.
        """
        self._check_open()
        return self._timers.next_due()

    async def idle(self) -> None:
        """Return when nothing is under way; timers may still be set. No virtual time passes."""
        while True:
            self._check_open()
            self._crank.pump()
            await self.durable()
            if self._crank.idle():
                return
            await asyncio.sleep(0)

    async def serve(self) -> None:
        """Run until the process is told to stop (SIGINT, SIGTERM).

        Raises:
            TapeError: the disk failed.
        """
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        signals = (signal.SIGINT, signal.SIGTERM)
        for number in signals:
            loop.add_signal_handler(number, told.set)
        waiting = [asyncio.ensure_future(told.wait()), asyncio.ensure_future(self.failed())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()
            for number in signals:
                loop.remove_signal_handler(number)
        self._check_open()

    async def failed(self) -> None:
        """Return when the engine has stopped because of its disk."""
        await self._crank.failed.wait()

    def offer(self, verbs: Mapping[str, Verb]) -> None:
        """Answer more than the engine itself does: verbs of ``ask``, and of the control socket for other processes.

        They are answered like the engine's own, and may take any JSON values. For this opening.

        Raises:
            InvalidInput: one of them is answered already.
        """
        self._check_open()
        twice = next((verb for verb in verbs if verb in self._verbs), None)
        if twice is not None:
            raise InvalidInput("verb", twice, "a name that no other verb has")
        self._verbs.update(verbs)

    async def ask(self, verb: str, /, **arguments: Any) -> Any:
        """Do what another process may ask for over the control socket, and answer as it is answered: in JSON values.

        Raises:
            NotFound: nobody here answers this verb. TickworkError, TypeError, ValueError: what it raises.
        """
        self._check_open()
        found = self._verbs.get(verb)
        if found is None:
            raise NotFound("verb", verb, "one of " + ", ".join(sorted(self._verbs)))
        return msgspec.to_builtins(await found(**arguments))

    @property
    def durable_seq(self) -> int:
        """The last position on disk."""
        return self._log.durable_seq

    @property
    def in_memory(self) -> int:
        """How many runs are in memory."""
        return len(self._runs.hot)

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
