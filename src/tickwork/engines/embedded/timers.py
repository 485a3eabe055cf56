"""Timers: a heap for the near future, refilled from the tape's tables.

Runs and events that are due within the *horizon* are in the heap; the others are only rows, in memory or not, so a
million sleepers cost no memory here. Each step of the horizon is read from the tables once; what is not yet on disk at
that moment is kept in ``_fresh``. Only what an effect under way waits for is in the heap whenever it is due.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from operator import itemgetter
from typing import Any

from tickwork.core.clock import Clock
from tickwork.engines.embedded.live import LiveRun, Pend
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.reader import Reader
from tickwork.errors import TapeError

_log = logging.getLogger("tickwork.engine")

STEP = 1_000_000_000
"""ns by which the horizon moves."""

LEAD = 100_000_000
"""ns before the horizon is reached at which the next stretch is read, so that what is due right after is not late."""

FRESH_MAX = 10_000
"""Entries of ``_fresh`` beyond which those that are on disk by now are dropped."""


class Recurring:
    """A call that sets the next one itself."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self.call = call

    def __call__(self) -> None:
        self.call()


class Timers:
    """Calls what is due, in order of time."""

    def __init__(
        self, clock: Clock, log: Log, reader: Reader, wake: Callable[[int], None], publish: Callable[[int], None]
    ) -> None:
        self._clock = clock
        self._log = log
        self._reader = reader
        self._wake = wake
        self._publish = publish
        self._heap: list[tuple[int, int, Any]] = []
        self._count = itertools.count()
        self._horizon = 0
        self._fresh: list[tuple[int, Any, int]] = []
        """Due beyond the horizon and perhaps not yet on disk: due, what, number of the batch."""
        self._fresh_max = FRESH_MAX
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0

    def start(self) -> list[int]:
        """Set the horizon to now; returns the runs that are due already, in order."""
        now = self._clock.now()
        self._horizon = now
        due = self._reader.rows("SELECT seq FROM runs WHERE wake_at<=? ORDER BY wake_at, seq", (now,))
        for seq, at in self._reader.rows("SELECT seq, due FROM delayed WHERE due<=? ORDER BY due, seq", (now,)):
            self._push(at, ("event", seq))
        return [seq for (seq,) in due]

    def pend(self, pend: Pend) -> None:
        """Call ``pend.fire`` when it is due; for what is under way. What a run waits for comes by ``run``."""
        self._push(pend.due, pend)
        self._arm(pend.due)

    def run(self, run: LiveRun, due: int) -> None:
        """The first thing that a run in memory waits for is due then."""
        self._later(due, run)

    def call(self, due: int, call: Callable[[], None]) -> None:
        """Call ``call`` at a time; it must itself know whether it is still wanted."""
        self._push(due, call)
        self._arm(due)

    def recurring(self, due: int, call: Callable[[], None]) -> None:
        """Like ``call``, for what comes again and again (a schedule): whoever lets time pass need not wait for it."""
        self._push(due, Recurring(call))
        self._arm(due)

    def parked(self, seq: int, wake_at: int | None) -> None:
        """A run has left memory: from now on only its row knows when it is due, unless that is near."""
        if wake_at is not None and wake_at <= self._horizon:
            self._push(wake_at, ("run", seq))
            self._arm(wake_at)

    def delayed(self, seq: int, due: int) -> None:
        """An event is to be published later."""
        self._later(due, ("event", seq))

    def _later(self, due: int, what: Any) -> None:
        if due <= self._horizon:
            self._push(due, what)
            self._arm(due)
            return
        self._fresh.append((due, what, self._log.batch.number))
        if len(self._fresh) > self._fresh_max:
            self._drop_stale()

    def _drop_stale(self) -> None:
        """The tables know what is on disk; what is not stays, however much it is."""
        committed = self._log.committed
        self._fresh = [fresh for fresh in self._fresh if fresh[2] > committed]
        self._fresh_max = max(FRESH_MAX, 2 * len(self._fresh))

    def _push(self, due: int, what: Any) -> None:
        heapq.heappush(self._heap, (due, next(self._count), what))

    # -- time passes ----------------------------------------------------------------------------------------------

    def fire_due(self) -> None:
        """Do everything that is due."""
        now = self._clock.now()
        if self._clock.virtual:
            self._advance(now)
        elif now + LEAD >= self._horizon:
            self._advance(now + LEAD + STEP)
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, what = heapq.heappop(heap)
            try:
                self._do(what, due, now)
            except TapeError as fault:
                self._log.fail(fault)
                return
            except Exception:  # noqa: BLE001 - one that fails must not keep all the others from being called
                _log.exception("what was due at %d failed; the other timers go on", due)

    def _do(self, what: Any, due: int, now: int) -> None:
        if isinstance(what, Pend):
            self._fire(what, due)
        elif isinstance(what, LiveRun):
            self.fire_run(what, now)
        elif isinstance(what, tuple):
            (self._wake if what[0] == "run" else self._publish)(what[1])
        else:
            what()

    @staticmethod
    def _fire(pend: Pend, due: int) -> None:
        if pend.due == due and pend.run.pends.get(pend.place) is pend:
            pend.due = 0
            pend.fire(pend)

    def fire_run(self, run: LiveRun, now: int) -> None:
        """Fire what is due of a run in memory; what is due soon comes back by itself, or by the run's next turn."""
        # of what is due at one instant, first what was asked first: the order in which a recovered run asks again
        waiting = [(pend.due, pend.place) for pend in run.pends.values() if pend.due and not pend.busy]
        due = sorted(waiting, key=itemgetter(0))
        for at, place in due:
            pend = run.pends.get(place)
            if pend is not None and at <= now:
                self._fire(pend, at)
            elif at > now:
                self._later(at, run)
                break

    def _advance(self, horizon: int) -> None:
        """Read the next stretch of the future from the tables."""
        since = self._horizon
        if horizon <= since:
            return
        self._horizon = horizon
        for seq, at in self._reader.rows(
            "SELECT seq, wake_at FROM runs WHERE wake_at>? AND wake_at<=?", (since, horizon)
        ):
            self._push(at, ("run", seq))
        known = set()
        for seq, at in self._reader.rows("SELECT seq, due FROM delayed WHERE due>? AND due<=?", (since, horizon)):
            known.add(("event", seq))
            self._push(at, ("event", seq))
        later = []
        for due, what, batch in self._fresh:
            if due <= horizon:
                if isinstance(what, LiveRun) or what not in known:
                    self._push(due, what)
            elif batch > self._log.committed:
                later.append((due, what, batch))
        self._fresh = later

    def next_due(self, *, recurring: bool = True) -> int | None:
        """When the next thing is due, as far as anybody knows; everything must be on disk (virtual time only).

        Without ``recurring``: ``None`` also when nothing else is left.
        """
        while self._heap:
            due, _, what = self._heap[0]
            if isinstance(what, Pend) and not (what.due == due and what.run.pends.get(what.place) is what):
                heapq.heappop(self._heap)  # no longer wanted
                continue
            break
        wanted = recurring or any(type(what) is not Recurring for _, _, what in self._heap)
        times = [self._heap[0][0]] if self._heap and wanted else []
        for sql in ("SELECT min(wake_at) FROM runs WHERE wake_at>?", "SELECT min(due) FROM delayed WHERE due>?"):
            found = self._reader.one(sql, (self._horizon,))
            if found is not None:
                times.append(found)
        times += [due for due, _, batch in self._fresh if batch > self._log.committed]
        return min(times, default=None)

    def _arm(self, due: int) -> None:
        """Make sure that the loop wakes up in time (real clocks only)."""
        if self._clock.virtual:
            return
        if self._alarm is not None:
            if self._alarm_at <= due:
                return
            self._alarm.cancel()
        # at least once a second, because the wall clock may jump forward and the horizon moves
        delay = min(max(due - self._clock.now(), 0), STEP)
        self._alarm_at = self._clock.now() + delay
        self._alarm = asyncio.get_running_loop().call_later(delay / 1e9, self._ring)

    def rearm(self) -> None:
        """Wake up for the first thing in the heap, or to read the next stretch of the future."""
        reading = self._horizon - LEAD
        self._arm(min(self._heap[0][0], reading) if self._heap else reading)

    def _ring(self) -> None:
        self._alarm = None
        if self._log.fault is not None:
            return
        try:
            self.fire_due()
            self.on_fired()
        finally:
            self.rearm()

    def on_fired(self) -> None:
        """Replaced by the engine: take the turns that became ready."""

    def stop(self) -> None:
        """No more alarms."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
