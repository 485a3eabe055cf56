"""Timers: a heap for the near future, refilled from the tape's tables.

Runs and events that are due within the *horizon* are in the heap; the others are only rows. Each step of the horizon
is read from the tables once. What a run in memory waits for is always in the heap.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from typing import Any

from tickwork.core.clock import Clock
from tickwork.engines.embedded.live import Pend
from tickwork.engines.embedded.log import Log
from tickwork.engines.embedded.reader import Reader

STEP = 1_000_000_000
"""ns by which the horizon moves."""


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
        self._fresh: list[tuple[int, int, int]] = []
        """Delayed events not yet on disk: due, position, number of their batch."""
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
        """Call ``pend.fire`` when it is due."""
        self._push(pend.due, pend)
        self._arm(pend.due)

    def call(self, due: int, call: Callable[[], None]) -> None:
        """Call ``call`` at a time; it must itself know whether it is still wanted."""
        self._push(due, call)
        self._arm(due)

    def parked(self, seq: int, wake_at: int | None) -> None:
        """A run has left memory: from now on only its row knows when it is due, unless that is near."""
        if wake_at is not None and wake_at <= self._horizon:
            self._push(wake_at, ("run", seq))
            self._arm(wake_at)

    def delayed(self, seq: int, due: int) -> None:
        """An event is to be published later."""
        if due <= self._horizon:
            self._push(due, ("event", seq))
        else:
            self._fresh.append((due, seq, self._log.batch.number))
        self._arm(due)

    def _push(self, due: int, what: Any) -> None:
        heapq.heappush(self._heap, (due, next(self._count), what))

    # -- time passes ----------------------------------------------------------------------------------------------

    def fire_due(self) -> None:
        """Do everything that is due."""
        now = self._clock.now()
        if now >= self._horizon:
            self._advance(now if self._clock.virtual else now + STEP)
        heap = self._heap
        while heap and heap[0][0] <= now:
            due, _, what = heapq.heappop(heap)
            if isinstance(what, Pend):
                if what.due == due and what.run.pends.get(what.place) is what:
                    what.due = 0
                    what.fire(what)
            elif isinstance(what, tuple):
                (self._wake if what[0] == "run" else self._publish)(what[1])
            else:
                what()

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
            known.add(seq)
            self._push(at, ("event", seq))
        later = []
        for due, seq, batch in self._fresh:
            if due <= horizon:
                if seq not in known:
                    self._push(due, ("event", seq))
            elif batch > self._log.committed:
                later.append((due, seq, batch))
        self._fresh = later

    def next_due(self) -> int | None:
        """When the next thing is due, as far as anybody knows; everything must be on disk (virtual time only)."""
        while self._heap:
            due, _, what = self._heap[0]
            if isinstance(what, Pend) and not (what.due == due and what.run.pends.get(what.place) is what):
                heapq.heappop(self._heap)  # no longer wanted
                continue
            break
        times = [self._heap[0][0]] if self._heap else []
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
        """Wake up for the first thing in the heap, or after a step of the horizon."""
        self._arm(self._heap[0][0] if self._heap else self._clock.now() + STEP)

    def _ring(self) -> None:
        self._alarm = None
        if self._log.fault is None:
            self.fire_due()
            self.on_fired()
            self.rearm()

    def on_fired(self) -> None:
        """Replaced by the engine: take the turns that became ready."""

    def stop(self) -> None:
        """No more alarms."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
