"""The crank: when turns are taken, when the disk is called, and how virtual time passes.

Virtual time moves only while somebody waits for it: for a run's result, for ``settled()``, for a jump. So what a test
or a simulation does between two awaits happens at one time.
"""

from __future__ import annotations

import asyncio

from tickwork.core.clock import Clock
from tickwork.engines.embedded.batch import Batch
from tickwork.engines.embedded.calls import Calls
from tickwork.engines.embedded.family import ending_of
from tickwork.engines.embedded.live import Ending, LiveRun
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.making import unregistered
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.status import Status
from tickwork.engines.embedded.timers import Timers
from tickwork.errors import InvalidInput, TapeError

GATHER = 256
"""Chunks that virtual time gathers in one transaction while nobody waits for them: a number, so that it repeats."""

HOPS = 3
"""Rounds of the loop before time jumps: whoever just got an answer may have something to do at this time."""

PARK_CHECK_MIN = 50_000_000
"""ns between two looks for idle runs, at least."""


class Crank:
    """Turns one engine."""

    def __init__(self, clock: Clock, log: Log, runs: Runs, timers: Timers, calls: Calls, park_after: int) -> None:
        self._clock = clock
        self._log = log
        self._runs = runs
        self._timers = timers
        self._calls = calls
        self._park_after = park_after
        self.turning = False
        """True from opening to closing."""
        self.failed = asyncio.Event()
        self._held = False
        self._scheduled = False
        self._hopping = False
        self._watchers: dict[int, list[asyncio.Future[Ending]]] = {}
        self._pushing: set[asyncio.Future[None]] = set()
        runs.on_ready = self.kick
        timers.on_fired = self.kick  # type: ignore[method-assign]
        log.on_commit, log.on_fault = self._committed, self._fault

    def start(self) -> None:
        """Begin to turn."""
        self.turning = True
        self._timers.rearm()
        self.kick()
        if not self._clock.virtual:
            self._park_idle()

    def stop(self) -> None:
        """Turn no more."""
        self.turning = False
        self._timers.stop()

    def _park_idle(self) -> None:
        now = self._clock.now()
        self._runs.park_idle(now - self._park_after)
        self._timers.recurring(now + max(self._park_after // 4, PARK_CHECK_MIN), self._park_idle)

    # -- turns ----------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Take turns soon."""
        if not self._scheduled and self.turning and not self._held and not self._runs.turning:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._soon)

    def _soon(self) -> None:
        self._scheduled = False
        if self.turning:
            self.pump()

    def __enter__(self) -> None:
        """Something is put into the queue whose turn is taken on leaving: none need be scheduled."""
        self._held = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._held = False
        if kind is None:
            self.pump()
        else:
            self.kick()

    def pump(self) -> None:
        """Take turns now, for a slice; then see to the disk and, when all is idle, to virtual time."""
        log, runs = self._log, self._runs
        if log.fault is not None or runs.turning:
            return
        try:
            more = runs.pump()
        except TapeError as fault:
            log.fail(fault)
            return
        if more and not log.full:
            self.kick()
        if not self._clock.virtual:
            log.flush()
        elif not more or log.full:
            self._flush_virtual()

    def _flush_virtual(self) -> None:
        """All is idle at this time: write, if somebody waits for it or enough has gathered."""
        log, waited = self._log, self._anybody_waits()
        if waited or log.batch.urgent or len(log.batch.chunks) >= GATHER:
            log.flush_now()
        if waited and not self._hopping:
            self._hopping = True
            self._hop(HOPS)

    def idle(self) -> bool:
        """Is nothing left to do at this time?"""
        log = self._log
        writing = log.writer is not None and log.writer.busy
        return not self._runs.ready and not self._calls.running and not log.batch and not writing

    # -- virtual time ---------------------------------------------------------------------------------------------

    def _anybody_waits(self) -> bool:
        if self._pushing or not self._watchers:
            return bool(self._pushing)
        return any(not future.done() for futures in self._watchers.values() for future in futures)

    def _hop(self, left: int) -> None:
        if not self.turning or self._scheduled or self._runs.ready:
            self._hopping = False
        elif left:
            asyncio.get_running_loop().call_soon(self._hop, left - 1)
        else:
            self._hopping = False
            if self.idle() and self._anybody_waits():
                self._jump()

    def _jump(self) -> None:
        """Nothing is left to do at this time: go to the next timer."""
        due = self._timers.next_due() if self._clock.virtual else None
        if due is not None:
            self._clock.jump(due)
            self._timers.fire_due()
        pushing, self._pushing = self._pushing, set()
        for future in pushing:
            if not future.done():
                future.set_result(None)
        if due is not None:
            self.kick()

    def push(self) -> asyncio.Future[None]:
        """A future done after the next jump of virtual time; waiting for it is what lets the time pass."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pushing.add(future)
        self.kick()
        return future

    # -- endings --------------------------------------------------------------------------------------------------

    def watch(self, seq: int) -> asyncio.Future[Ending]:
        """A future for how a run ends, once that is on disk."""
        future: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        run = self._runs.hot.get(seq)
        if run is not None and run.ending is not None and run.batch <= self._log.committed:
            future.set_result(run.ending)
        elif run is None and seq in self._runs.stuck:
            future.set_result(self._runs.stuck[seq])
        elif run is None and (row := self._runs.reader.run(seq)) is not None and Status(row.status).finished:
            future.set_result(ending_of(self._runs, seq))
        elif run is None and row is not None and (row.workflow, row.version) not in self._runs.workflows:
            future.set_exception(InvalidInput("run", row.id or f"r{seq}", unregistered(row.workflow, row.version)))
        else:
            self._watchers.setdefault(seq, []).append(future)
            self._log.flush_now()
            self.kick()
        return future

    def _committed(self, batch: Batch) -> None:
        run: LiveRun
        for run in batch.ended:
            if run.ending is None or run.batch > batch.number:
                continue  # it has gone on since: redriven
            if self._runs.hot.get(run.seq) is run:
                del self._runs.hot[run.seq]
                self._runs.ids.pop(run.id, None)
                # drive and run refer to each other: without this, only the garbage collector frees them
                run.drive = run.chunk = None
                if run.status.finished and run.status is not Status.DEAD:
                    run.final = run.ending
            for future in self._watchers.pop(run.seq, ()):
                if not future.done():
                    future.set_result(run.ending)
        if self._runs.ready:
            self.kick()

    def _fault(self, fault: TapeError) -> None:
        self._timers.stop()
        self.give_up(fault)
        self.failed.set()

    def give_up(self, error: TapeError) -> None:
        """Whoever waits for a run or for time will wait in vain: tell them why."""
        waiting: list[asyncio.Future[Ending] | asyncio.Future[None]] = [*self._pushing]
        waiting += [future for futures in self._watchers.values() for future in futures]
        self._watchers.clear()
        self._pushing.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited may be gone already
