"""The parts of an engine: how they are put together when a tape is opened, and taken apart when it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Sequence
from typing import Protocol

import apsw

from tickwork.core.asks import (
    Again,
    Approval,
    Call,
    Claim,
    Effect,
    Emit,
    GuardedEffect,
    GuardedStep,
    Mishap,
    Read,
    Send,
    Sleep,
    Start,
    Step,
    WaitFor,
)
from tickwork.core.clock import Clock, VirtualClock
from tickwork.core.queue import Queue
from tickwork.core.tape import Record
from tickwork.core.view import View
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.arrivals import Arrivals
from tickwork.engines.embedded.breakers import Breakers
from tickwork.engines.embedded.calls import Calls
from tickwork.engines.embedded.control import Verb
from tickwork.engines.embedded.crank import Crank
from tickwork.engines.embedded.effects import Effects
from tickwork.engines.embedded.events import Events
from tickwork.engines.embedded.family import Family
from tickwork.engines.embedded.flow import Flows
from tickwork.engines.embedded.guarded import GuardedEffects, GuardedSteps
from tickwork.engines.embedded.letters import Letters
from tickwork.engines.embedded.lineage import Lineage
from tickwork.engines.embedded.live import Pend
from tickwork.engines.embedded.lock import OwnerLock
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.making import unregistered
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.queues import Queues
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.registry import Registry, Starter
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.schedules import Schedules
from tickwork.engines.embedded.schema import connect, parse_url
from tickwork.engines.embedded.status import Status
from tickwork.engines.embedded.steps import Steps
from tickwork.engines.embedded.timers import Timers
from tickwork.engines.embedded.tuning import TUNING
from tickwork.engines.embedded.views import Views
from tickwork.engines.embedded.writer import InlineWriter, ThreadWriter
from tickwork.engines.system_clock import SystemClock
from tickwork.errors import InvalidInput, TapeCorrupt, TapeError

_log = logging.getLogger("tickwork.engine")

HOT_MAX = 10_000
"""Waiting runs kept in memory; beyond it the one that has waited longest is parked."""

MARK_EVERY = 1_000_000_000
"""ns between two notes of how far the tape certainly reaches."""

PARK_AFTER = "60 seconds"


class Memory:
    """A tape without a file, which outlives the engine that opens it: for tests of crashes and recovery."""

    def __init__(self) -> None:
        self.connection = connect(":memory:")


class Part(Protocol):
    """What has state of its own on the tape, besides runs: flow control, queues, schedules, breakers."""

    def recover(self) -> None:
        """The tape is open and the clock runs: set timers, go on with what was under way."""
        ...

    def verbs(self) -> dict[str, Verb]:
        """What it does for other processes, by verb of the control socket."""
        ...


class Assembly:
    """What an engine consists of. ``Engine`` adds what one can ask of it."""

    def __init__(
        self,
        url: str | Memory,
        workflows: Sequence[Workflow],
        views: Sequence[View],
        queues: Sequence[Queue],
        clock: Clock | None,
        seed: int | str | None,
        hot_max: int,
        park_after: int,
        vfs: str | None,
    ) -> None:
        self._memory = url if isinstance(url, Memory) else Memory() if parse_url(url) == ":memory:" else None
        self.path = ":memory:" if self._memory is not None else parse_url(str(url))
        self.clock: Clock = clock or (VirtualClock() if self._memory is not None else SystemClock())
        self._workflows = _registry(workflows)
        self._view_list = list(views)
        self._queue_list = list(queues)
        self._seed = seed
        self._hot_max = hot_max
        self._park_after = park_after
        self._vfs = vfs
        self._lock: OwnerLock | None = None
        self._connections: list[apsw.Connection] = []
        self._parts: list[Part] = []
        self._marked_at = 0
        self._tuned = False

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
        self._check_end(next_seq - 1)
        self.clock.floor(last_at)
        self._log = log = Log(self.clock, next_seq)
        self._reader.on_fault = log.fail
        log.on_durable = self._mark
        self._runs = runs = Runs(self.clock, log, self._reader, self._workflows, self._hot_max)
        self._views = Views(log, self.clock, self._reader, self._view_list)
        self._events = Events(runs, self._reader, self._views, list(self._workflows.values()))
        runs.timers = self._timers = Timers(self.clock, log, self._reader, self._wake, self._events.publish_delayed)
        self._calls = Calls(self.clock.virtual)
        self._crank = Crank(self.clock, log, runs, self._timers, self._calls, self._park_after)
        self._family = Family(runs)
        self.lineage = Lineage(runs)
        self.flow = Flows(runs)
        self.letters = Letters(runs, self._events.post, self._crank.pump)
        self.breakers = Breakers(runs, self._events.publish, self._crank.pump)
        self.arrivals = Arrivals(runs, self._events.post, self._crank)
        self.schedules = Schedules(runs, self._events.publish)
        self.letters.queues = self.queues = Queues(runs, self._events.post, self._crank.pump, self._queue_list)
        starters: list[Starter] = [self.schedules, self.queues.consumers]
        self.registry = Registry(runs, self._crank, self._events, self.flow, starters)
        self._parts = [self.flow, self.letters, self.breakers, self.schedules, self.queues]
        self._wire()
        TUNING.engine_opened()
        self._tuned = True
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
            GuardedStep: GuardedSteps(runs, self._calls, self.breakers).answer,
            GuardedEffect: GuardedEffects(runs, self._calls, self.breakers).answer,
            Sleep: events.sleep,
            WaitFor: events.wait,
            Emit: events.emit,
            Send: self.queues.answer,
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
        runs.names.openings = [
            (seq, nonce) for seq, nonce in self._reader.rows("SELECT seq, nonce FROM openings ORDER BY seq")
        ]
        nonce = self._nonce(len(runs.names.openings))
        seq = log.outside(Record("opened", self.clock.now(), key=nonce))
        runs.names.openings.append((seq, nonce))
        log.batch.openings.append((seq, nonce))
        stuck = self._reader.rows(
            "SELECT seq FROM runs WHERE status IN (?,?) ORDER BY seq", (int(Status.STRANDED), int(Status.DIVERGED))
        )
        self._warn_of_stranded()
        for position in [*self._timers.start(), *(position for (position,) in stuck)]:
            runs.ready.append((position, None))
        for part in self._parts:
            part.recover()

    def _check_end(self, end: int) -> None:
        """
        Raises:
            TapeCorrupt: the tape is known to have been longer.
        """
        if self._lock is not None and end < self._lock.marked:
            raise TapeCorrupt(
                f"{self.path} ends at record {end}, but it had reached {self._lock.marked}: its -wal file was deleted, "
                f"or the file is an old copy. Put the missing file back; if you restored a backup on purpose, delete "
                f"{self.path}.lock and start again"
            )

    def _mark(self, seq: int) -> None:
        """Now and then, note how far the tape certainly reaches."""
        now = self.clock.now() if not self.clock.virtual else self._marked_at + MARK_EVERY
        if self._lock is not None and now - self._marked_at >= MARK_EVERY:
            self._marked_at = now
            self._lock.mark(seq)

    def _warn_of_stranded(self) -> None:
        """Say at once which runs cannot go on, not when the event they wait for comes."""
        rows = self._reader.rows(
            "SELECT workflow, version, count(*) FROM runs WHERE status<? GROUP BY 1, 2", (int(Status.DONE),)
        )
        for workflow, version, count in rows:
            if (workflow, version) not in self._workflows:
                _log.warning("%d unfinished run(s): %s", count, unregistered(workflow, version))

    def _nonce(self, opening: int) -> str:
        """What makes this opening's ids differ from every other's."""
        if self._seed is None:
            return secrets.token_hex(8)
        return hashlib.blake2b(f"{self._seed}/{opening}".encode(), digest_size=8).hexdigest()

    def _shut(self) -> None:
        for run in list(self._runs.hot.values()):
            if run.drive is not None:
                run.drive.close()
            for pend in run.pends.values():
                self._stop_work(pend)
        self._log.closed = True
        if self._log.writer is not None:
            self._log.writer.close()
        self._calls.close()
        self._let_go()
        self._crank.give_up(
            self._log.fault or TapeError("the engine was closed; the run goes on when it is opened again")
        )

    def _let_go(self) -> None:
        """Of the file and of its lock."""
        if self._tuned:
            self._tuned = False
            TUNING.engine_closed()
        while self._connections:
            # the reader first: the last one to close folds the WAL into the file, which a dead disk refuses; what it
            # could not fold is still in the WAL
            with contextlib.suppress(apsw.Error):
                self._connections.pop().close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

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
        if isinstance(pend.waiting.ask, GuardedStep | GuardedEffect):
            self.breakers.dropped(pend)
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
