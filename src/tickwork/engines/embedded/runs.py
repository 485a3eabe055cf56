"""Runs: started, driven turn by turn, parked, woken, ended.

A *turn* is everything a run asks until it waits. It is taken synchronously, so its records stand together on the tape
and commit atomically with the rows derived from them. What a turn causes in other runs (an event, a child) is written
down before the turn's callback ends and driven later from the ready queue.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from tickwork.core.asks import Approval, Call, Effect, WaitFor
from tickwork.core.clock import Clock
from tickwork.core.codec import encode_error
from tickwork.core.drive import Drive, Failure, Waiting
from tickwork.core.replay import Course
from tickwork.core.tape import Entry, Record, Started
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.about import about_input, age_of
from tickwork.engines.embedded.endings import Endings
from tickwork.engines.embedded.live import Ending, LiveRun, Pend
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.making import approval_id, body_of, revived, unregistered
from tickwork.engines.embedded.names import Names
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.status import Status
from tickwork.engines.embedded.timers import Timers
from tickwork.errors import Cancelled, ForeignAwait, InvalidInput, NonDeterministic, TapeCorrupt, TapeError

if TYPE_CHECKING:
    from tickwork.engines.embedded.flow import Flows
    from tickwork.engines.embedded.letters import Letters

_log = logging.getLogger("tickwork.engine")

SLICE = 0.002
"""Seconds of turns before the loop gets a chance to do something else."""

TURNS = 1_000
"""The same in virtual time, where nothing may depend on how long anything takes."""

_encode_started = msgspec.json.Encoder().encode


class Runs:
    """All runs of one engine."""

    def __init__(
        self, clock: Clock, log: Log, reader: Reader, workflows: dict[tuple[str, int], Workflow], hot_max: int
    ) -> None:
        self.clock = clock
        self.log = log
        self.reader = reader
        self.workflows = workflows
        self.timers: Timers
        self.flows: Flows
        self.letters: Letters
        self.answerers: dict[type, Callable[[LiveRun, Waiting, Any, bool], Any]] = {}
        self.hot: dict[int, LiveRun] = {}
        """Runs in memory, ended ones until they are on disk."""
        self.ids: dict[str, int] = {}
        """Given ids of runs in memory."""
        self.stuck: dict[int, Ending] = {}
        """Runs whose code and tape were found to disagree by this process."""
        self.stranded: dict[tuple[str, int], set[int]] = {}
        """Runs that were found to lack their workflow, by its name and version."""
        self.names = Names()
        self.ready: deque[tuple[LiveRun | int, Callable[[], Any] | None]] = deque()
        self.outbox: deque[Callable[[], object]] = deque()
        self.turning = False
        self.draining = False
        """No turn is taken any more: what is under way ends, and is heard of when the tape is opened again."""
        self.hot_max = hot_max
        self.parkable: OrderedDict[int, tuple[LiveRun, int]] = OrderedDict()
        """Runs that merely wait, longest first, with the time since when (ns)."""
        self.endings = Endings(self)
        self.on_ended: list[Callable[[LiveRun], None]] = []
        """Told of every run that is over, in the turn that ends it; what they change commits with the end."""
        self.delivered: Callable[[int], bool] = lambda seq: False
        """Does this run work on messages of a queue? Then the queue decides what its failure means."""
        self.on_ready: Callable[[], None] = lambda: None
        self.stop_work: Callable[[Pend], None] = lambda pend: None
        self._forget_wait: Callable[[LiveRun, Pend], None] = lambda run, pend: None
        self._doomed_call: Callable[[Pend], None] = lambda pend: None
        self._doomed_effect: Callable[[Pend], None] = lambda pend: None

    # -- starting -------------------------------------------------------------------------------------------------

    def start(
        self,
        workflow: Workflow,
        input: Raw,
        *,
        given_id: str | None = None,
        owner: str = "",
        parent: int | None = None,
        parent_ask: str = "",
        ref: int = 0,
        since: int = 0,
        event: str = "",
        copied: Record | None = None,
        heir_of: int = 0,
        about: tuple[str, int] | None = None,
    ) -> LiveRun:
        """Record a new run and put it in the ready queue, or where flow control lets it wait.

        ``heir_of``: the run it continues, whose turn it takes over. ``about``: its key and priority, where known.
        """
        if about is None:
            about = ("", 0) if workflow.flow is None else about_input(workflow, input, event)
        key, priority = about
        now = self.clock.now()
        run = LiveRun(
            self,
            workflow,
            input=input,
            given_id=given_id,
            owner=owner,
            key=key,
            parent=parent,
            parent_ask=parent_ask,
            since=since,
            started_at=now,
            event=event,
        )
        who = Started(given_id or "", input, owner, parent or 0, parent_ask, key, since, event)
        record = Record(
            "started", now, workflow.name, value=Raw(_encode_started(who)), ref=ref, version=workflow.version
        )
        run.seq = self.log.record(run, record)
        run.id = given_id or f"r{run.seq}"
        if copied is not None:
            fork = Entry(self.log.record(run, copied), copied)
            run.course = Course([Entry(run.seq, record), fork], since)
        self.hot[run.seq] = run
        if given_id is not None:
            self.ids[given_id] = run.seq
        if workflow.flow is None or self.flows.join(run, priority, heir_of):
            self.log.row(run)
            self.enqueue(run, None)
        else:
            self._queue(run)
        return run

    def _queue(self, run: LiveRun) -> None:
        """It may not begin yet: it waits as a row."""
        run.status, run.wake_at = Status.QUEUED, None
        self.log.row(run)
        self.drop(run)

    def admitted(self, seq: int, now: int) -> None:
        """Flow control lets a run begin that waited; ``now`` is the time by which it decided."""
        run = self.hot.get(seq) or self.load(seq)  # what is not in memory is on disk
        if run is not None and run.ending is None:
            self.log.record(run, Record("admitted", now))
            run.began_at = now
            if run.course is not None:
                run.course.admitted(now)
            run.status, run.wake_at = Status.RUNNING, 0
            self.log.row(run)
            self.enqueue(run, None)

    def find(self, id: str) -> int | None:
        """The position of the run with this id, in memory or on disk."""
        seq = self.ids.get(id)
        if seq is None and id[:1] == "r" and id[1:].isdecimal() and int(id[1:]) in self.hot:
            run = self.hot[int(id[1:])]
            return run.seq if run.given_id is None else None
        if seq is None:
            row = self.reader.run_named(id)
            return None if row is None else row.seq
        return seq

    def id_of(self, seq: int) -> str:
        """The id of a run that exists."""
        run = self.hot.get(seq)
        row = None if run is not None else self.reader.run(seq)
        return run.id if run is not None else (row and row.id) or f"r{seq}"

    # -- the ready queue ------------------------------------------------------------------------------------------

    def enqueue(self, run: LiveRun, call: Callable[[], Any] | None) -> None:
        """Take a turn of this run soon: its first, or the one that ``call`` begins."""
        run.queued += 1
        self.ready.append((run, call))
        self.on_ready()

    def enqueue_parked(self, seq: int) -> None:
        """Look at a parked run soon."""
        self.ready.append((seq, None))
        self.on_ready()

    def pump(self) -> bool:
        """Take turns for a slice of time. True if some are left."""
        if self.turning:
            return True
        self._post()
        if self.draining:
            return False
        ready = self.ready
        virtual = self.clock.virtual
        stop, left = time.perf_counter() + SLICE, TURNS
        while ready and not self.log.full:
            run, call = ready.popleft()
            if type(run) is int:
                self.wake(run)
            elif isinstance(run, LiveRun):
                run.queued -= 1
                if call is None:
                    self._begin(run)
                else:
                    call()
            left -= 1
            if left <= 0 if virtual else time.perf_counter() > stop:
                break
        return bool(ready)

    def _begin(self, run: LiveRun) -> None:
        if run.ending is None and run.drive is None and not run.paused:
            self._enter(run)

    def _enter(self, run: LiveRun) -> None:
        """Begin a run, or go on with it from the tape; unless flow control keeps it waiting, or it is too old."""
        workflow = run.workflow
        if workflow.flow is not None and not self.flows.enter(run):
            self._queue(run)
        elif workflow.valid_for and (run.course is None or not run.course.begun) and self._stale(run):
            return
        else:
            self._turn(run, None)

    def _stale(self, run: LiveRun) -> bool:
        """A run is about to begin: is it too late? If not it is recorded as begun, for it may sleep long at once."""
        age = age_of(run, self.clock.now())
        if age > run.workflow.valid_for:
            self.endings.stale(run, age)
            return True
        self.log.record(run, Record("begun", self.clock.now()))
        return False

    # -- turns ----------------------------------------------------------------------------------------------------

    def deliver(self, run: LiveRun, pend: Pend, record: Record, answer: Any) -> None:
        """Record a late answer and take the turn it begins. An answer nobody waits for any more is discarded."""
        drive = run.drive
        if run.pends.get(pend.place) is not pend:
            return
        del run.pends[pend.place]
        seq = self.log.record(run, record)
        if self.draining:
            self._heard_later(run)
            return
        if run.paused or drive is None:
            # on the tape, and heard when the run is resumed
            self._settle_paused(run)
            return
        drive.note(seq, record.at)
        if record.kind == "wait" and record.ref:
            drive.since = record.ref
        self._turn(run, lambda drive: drive.deliver(pend.place, answer))

    def _heard_later(self, run: LiveRun) -> None:
        """The answer is on the tape; its run hears of it when the tape is opened again."""
        if not run.paused:
            run.status, run.wake_at = Status.RUNNING, 0
        self.log.row(run)

    def put_off(self, run: LiveRun, waiting: Waiting) -> None:
        """The turn is long enough: answer this ask in another, so that everybody else has a turn."""
        pend = self.pend(run, waiting)
        pend.busy = True
        self.enqueue(run, lambda: self._go_on(pend))

    def _go_on(self, pend: Pend) -> None:
        run = pend.run
        if run.pends.get(pend.place) is not pend:
            return
        del run.pends[pend.place]
        if run.paused:
            self._settle_paused(run)
        elif run.drive is not None:
            self._turn(run, lambda drive: drive.go_on(pend.place))

    def _turn(self, run: LiveRun, act: Callable[[Drive], object] | None) -> None:
        """Begin a run, or do something to its drive; and see to what the body asked and caused."""
        self.turning = True
        run.asked = 0
        # asyncio would close a body's async generators in a task of their own when they are dropped
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            drive = run.drive
            if drive is None or act is None:
                self._drive(run).start()
            else:
                act(drive)
        except (NonDeterministic, InvalidInput) as error:
            # InvalidInput: a record that the code can no longer read
            self.endings.diverged(run, error)
        except ForeignAwait as error:
            self.endings.failed(run, error)
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001
            # neither the body nor a step: something between them that no case above foresees. The run stands still,
            # visibly, with its tape as it is; the others go on
            _log.exception("[%s] cannot be driven", run.id)
            self.endings.diverged(run, error)
        else:
            self._settle(run)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            self.turning = False
        self._post()

    def interrupt(self, run: LiveRun, record: Record, error: BaseException) -> None:
        """Record an interruption and throw it into the body."""
        drive = run.drive
        if drive is None:
            return
        drive.note(self.log.record(run, record), record.at)
        self._turn(run, lambda drive: drive.interrupt(error))

    def _post(self) -> None:
        """Send what the turn left for others."""
        while self.outbox:
            self.outbox.popleft()()

    def _drive(self, run: LiveRun) -> Drive:
        course: Course | None = run.course
        if course is None:
            course = Course.fresh(run.seq, run.began_at or run.started_at, run.since or run.seq)
        run.attempt = course.attempt
        run.active = sum(entry.record.took for entry in course.history) if course.history else 0
        run.active_since = 0
        body = body_of(run.workflow, run.input, run.event, course)
        run.drive = Drive(body, run.id, run.owner, self.names.seed(run.seq, run.id), run, course)
        return run.drive

    # -- after a turn ---------------------------------------------------------------------------------------------

    def _settle(self, run: LiveRun) -> None:
        drive = run.drive
        assert drive is not None
        if run.again is not None:
            self.endings.continued(run)
            return
        if drive.outcome is not None:
            self.endings.body_ended(run)
            return
        self.settle(run)

    def settle(self, run: LiveRun) -> None:
        """Write down what the run waits for."""
        if run.paused:
            self._settle_paused(run)
            return
        busy = run.queued > 0
        wake_at: int | None = None
        for pend in run.pends.values():
            if pend.busy:
                busy = True
            elif pend.due and (wake_at is None or pend.due < wake_at):
                wake_at = pend.due
        if wake_at is not None:
            self.timers.run(run, wake_at)
        if run.workflow.timeout:
            self.endings.watch_time(run, any(pend.task is not None for pend in run.pends.values()))
        run.status = Status.RUNNING if busy else Status.WAITING
        run.wake_at = 0 if busy else wake_at
        self.log.row(run)
        if busy:
            self.parkable.pop(run.seq, None)
        else:
            self.parkable[run.seq] = (run, self.clock.now())
            self.parkable.move_to_end(run.seq)
            if len(self.parkable) > self.hot_max:
                self.park_oldest()

    def _settle_paused(self, run: LiveRun) -> None:
        """A paused run stays in memory only as long as something is under way for it."""
        busy = any(pend.busy for pend in run.pends.values())
        resumed = run.paused and run.resuming and not busy
        if resumed:
            run.paused = run.resuming = False
        run.status, run.wake_at = (Status.RUNNING, 0) if resumed else (Status.PAUSED, None)
        self.log.row(run)
        if not busy:
            self.drop(run)

    def restart(self, run: LiveRun, due: int) -> None:
        """A new attempt at ``due``: from the tape, as after a crash."""
        if run.drive is not None:
            run.drive.close()
        self.abandon_all(run)
        run.status, run.wake_at = Status.WAITING, due
        self.log.row(run)
        self.drop(run)

    def drop(self, run: LiveRun) -> None:
        """Take a run out of memory once its row is on disk; it is woken from there when it is due."""
        if run.drive is not None:
            run.drive.close()
            run.drive = None
        for pend in list(run.pends.values()):
            self.stop_work(pend)
        run.pends.clear()
        self.parkable.pop(run.seq, None)
        self.log.after(lambda: self._dropped(run))

    def _dropped(self, run: LiveRun) -> None:
        if run.batch > self.log.committed:
            self.log.after(lambda: self._dropped(run))  # its row has changed since
        elif self.hot.get(run.seq) is run and run.drive is None and run.ending is None and not run.queued:
            del self.hot[run.seq]
            self.ids.pop(run.id, None)
            if run.wake_at is not None:
                self.timers.parked(run.seq, run.wake_at)
                if run.wake_at <= self.clock.now():
                    self.enqueue_parked(run.seq)

    # -- parking and waking ---------------------------------------------------------------------------------------

    def park_oldest(self) -> None:
        """Make room: drop the run that has waited longest, if it is on disk."""
        run, _ = next(iter(self.parkable.values()))
        if run.batch > self.log.committed:
            return
        self.park(run)

    def park_idle(self, before: int) -> None:
        """Drop every run that has merely waited since before a time."""
        for run, since in list(self.parkable.values()):
            if since > before:
                break
            if run.batch <= self.log.committed:
                self.park(run)

    def park(self, run: LiveRun) -> None:
        """Drop a waiting run's coroutine; its rows are on disk. None of its ``finally`` verbs and undos run."""
        self.parkable.pop(run.seq, None)
        if run.drive is not None:
            run.drive.close()
            run.drive = None
        for pend in run.pends.values():
            self.stop_work(pend)
        run.pends.clear()
        del self.hot[run.seq]
        self.ids.pop(run.id, None)
        self.timers.parked(run.seq, run.wake_at)

    def wake(self, seq: int) -> None:
        """Bring a parked run back, if it is due or somebody asked to look at it."""
        if seq in self.hot:
            return
        row = self.reader.run(seq)
        if row is None or Status(row.status).finished or row.status in (Status.PAUSED, Status.QUEUED):
            return
        run = self.load(seq)
        if run is None:
            return
        course = run.course
        if course.at > self.clock.now() and not course.history and not course.open:
            # between two attempts, and somebody looked too early
            run.status, run.wake_at = Status.WAITING, course.at
            self.log.row(run)
            self.drop(run)
        else:
            self._enter(run)

    def wake_any(self, seq: int) -> None:
        """Bring an unfinished run into memory, paused or not."""
        if seq in self.hot:
            return
        row = self.reader.run(seq)
        if row is None or Status(row.status).finished:
            return
        if row.status in (Status.PAUSED, Status.QUEUED):
            self.load(seq)
        else:
            self.wake(seq)

    def redrive(self, run: LiveRun, due: int, by: str) -> None:
        """A new attempt of a dead run, at ``due``; completed steps and open keys are kept."""
        self.log.record(run, Record("redriven", self.clock.now(), key=by, due=due))
        run.ending = None
        run.attempt += 1
        self.restart(run, due)

    def load(self, seq: int) -> LiveRun | None:
        """A run from its records; ``None`` when its workflow is not registered (it is stranded)."""
        row = self.reader.run(seq)
        if row is None:
            raise TapeCorrupt(f"run {seq} is missing from the tape: restore it from a backup")
        entries = self.reader.history(row.tail, seq)
        workflow = self.workflows.get((row.workflow, row.version))
        if workflow is None:
            self._strand(seq, row)
            return None
        run = revived(self, workflow, row, entries)
        self.hot[seq] = run
        if row.id is not None:
            self.ids[row.id] = seq
        return run

    def _strand(self, seq: int, row: Any) -> None:
        self.stranded.setdefault((row.workflow, row.version), set()).add(seq)
        if row.status != Status.STRANDED:
            problem = unregistered(row.workflow, row.version)
            _log.error("[%s] %s", row.id or f"r{seq}", problem)
            stranded = row._replace(
                status=int(Status.STRANDED), wake_at=None, changed_at=self.clock.now(), problem=problem
            )
            self.log.batch.rows[seq] = stranded

    # -- pending asks ---------------------------------------------------------------------------------------------

    def pend(self, run: LiveRun, waiting: Waiting) -> Pend:
        """Note that an ask has no answer yet."""
        pend = Pend(run, waiting)
        run.pends[pend.place] = pend
        return pend

    def forget(self, run: LiveRun, waiting: Waiting) -> None:
        """A pending ask was dropped."""
        pend = run.pends.pop((waiting.branch.path, waiting.no), None)
        if pend is None:  # in a replay: nothing is under way, but its rows may be there
            pend, ask = Pend(run, waiting), waiting.ask
            pend.key = ask.where.key if isinstance(ask, WaitFor) else approval_id(run, waiting)
        self._abandon(run, pend)

    def _abandon(self, run: LiveRun, pend: Pend) -> None:
        """Nobody waits for this any more: stop its work and take its rows away."""
        self.stop_work(pend)
        self._forget_wait(run, pend)
        if isinstance(pend.waiting.ask, Approval):
            self.log.batch.put("approvals", (pend.key,), None)

    def abandon_all(self, run: LiveRun) -> None:
        """The attempt is over: nothing it still waited for is wanted."""
        for pend in list(run.pends.values()):
            self._abandon(run, pend)
        run.pends.clear()

    def doomed(self, run: LiveRun, waiting: Waiting) -> None:
        """An effect or a call will be cancelled when it ends; a call's child is told."""
        pend = run.pends.get((waiting.branch.path, waiting.no))
        if pend is not None and isinstance(waiting.ask, Call):
            self._doomed_call(pend)
        elif pend is not None:
            self._doomed_effect(pend)

    def cancel(self, run: LiveRun, reason: str) -> None:
        """Cancel a run: its body gets ``Cancelled`` where it waits, after effects in flight."""
        if run.cancelled is not None or run.ending is not None:
            return
        run.cancelled = reason
        now = self.clock.now()
        told = Record("cancel", now, name=reason)
        if run.paused:
            # it takes no turn before it hears of this: it finds it on the tape when it goes on
            self.log.record(run, told)
            self.log.record(run, Record("resumed", now))
            run.resuming = True
            self._settle_paused(run)
        elif run.drive is not None:
            self.interrupt(run, told, Cancelled(reason))
        elif run.status in (Status.WAITING, Status.QUEUED):  # before or between attempts: there is no body to tell
            self.endings.cancelled(run, reason)
        else:  # just resumed, and not yet back
            self.log.record(run, told)
            run.status, run.wake_at = Status.RUNNING, 0
            self.log.row(run)
            self.drop(run)

    def cancel_seq(self, seq: int, reason: str) -> None:
        """Cancel a run that may be in memory or not."""
        self.wake_any(seq)
        run = self.hot.get(seq)
        if run is None or run.ending is not None:
            self.log.after(lambda: self.endings.cancel_stuck(seq, reason))
        elif self.turning or (run.drive is None and run.status is not Status.QUEUED):
            self.enqueue(run, lambda: self.cancel(run, reason))
        else:
            self.cancel(run, reason)

    def following(self, run: LiveRun) -> bool:
        """Does the run follow an effect or a call to its end?"""
        return any(isinstance(pend.waiting.ask, Effect | Call) for pend in run.pends.values())

    @staticmethod
    def failure(error: BaseException) -> tuple[Raw, Failure]:
        """An exception as it is recorded, and as the body will see it."""
        raw, normal = encode_error(error)
        return raw, Failure(normal)
