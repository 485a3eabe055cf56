"""Arrivals: events that come from outside under an id of their own, each published once however often it is sent.

What was published, and where, is kept until its window is over, in a row that commits with the event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tickwork.core.event import Event
from tickwork.engines.embedded.crank import Crank
from tickwork.engines.embedded.runs import Runs
from tickwork.errors import InvalidInput
from tickwork.values import DurationLike, duration

SWEEP = 60_000_000_000
"""ns between two looks for what is over, at least."""

SWEEP_MAX = 1_000
"""Rows taken away in one look."""


class Arrival(NamedTuple):
    """Where an event is on the tape, and whether it had been there."""

    seq: int
    repeated: bool


class Arrivals:
    """Remembers what has arrived, by source and id."""

    def __init__(self, runs: Runs, post: Callable[..., int], crank: Crank) -> None:
        self._runs = runs
        self._post = post
        self._crank = crank
        self._log = runs.log
        self._now = runs.clock.now
        self._fresh: dict[tuple[str, str], tuple[int, int]] = {}
        """Position and end of the window of those that are not yet known to be on disk."""
        self._swept_at = 0

    async def publish(
        self,
        event: Event,
        *,
        source: str,
        id: str,
        window: DurationLike = "24 hours",
        delay: DurationLike | None = None,
    ) -> Arrival:
        """Publish an event unless it has arrived within its window; on return it is on disk, with the runs it started.

        Args:
            delay: how long after its arrival it is published.

        Raises:
            InvalidInput: not an event, an empty source or id, or not a duration.
        """
        arrival = self.post(event, source=source, id=id, window=window, delay=delay)
        await self._log.durable()
        return arrival

    def post(
        self,
        event: Event,
        *,
        source: str,
        id: str,
        window: DurationLike = "24 hours",
        delay: DurationLike | None = None,
    ) -> Arrival:
        """Like ``publish``, without waiting for the disk: the event, and that it has arrived, may be lost together."""
        if not (isinstance(event, Event) and event.event_name):
            raise InvalidInput("event", event, "an instance of a named subclass of Event")
        later = 0 if delay is None else duration(delay, "delay")
        return self.once(lambda: self._post(event, self._now() + later, key=id), source=source, id=id, window=window)

    def once(self, act: Callable[[], int], *, source: str, id: str, window: DurationLike = "24 hours") -> Arrival:
        """Do something that is recorded, unless it was done under this id within its window; no disk is waited for.

        Args:
            act: does it, and gives the position of its record; on the loop, at once.

        Raises:
            InvalidInput: an empty source or id, or not a duration. And what ``act`` raises: then it was not done.
        """
        for path, text in (("source", source), ("id", id)):
            if not isinstance(text, str) or not text:
                raise InvalidInput(path, text, "a text that is not empty")
        return self._arrive(act, (source, id), duration(window, "window"))

    def find(self, source: str, id: str) -> int | None:
        """Where what has arrived under an id is on the tape; ``None``: it has not, or its window is over."""
        known = self._fresh.get((source, id)) or self._kept((source, id))
        return known[0] if known is not None and self._now() <= known[1] else None

    def _arrive(self, act: Callable[[], int], key: tuple[str, str], window: int) -> Arrival:
        """Look and act in one go: nothing else happens in between."""
        now = self._now()
        known = self._fresh.get(key) or self._kept(key)
        if known is not None and now <= known[1]:
            return Arrival(known[0], repeated=True)
        self._sweep(now)
        with self._crank:
            seq = act()
            self._log.batch.put("arrivals", key, (seq, now + window))
            self._fresh[key] = found = seq, now + window
            self._log.after(lambda: self._on_disk(key, found))
        return Arrival(seq, repeated=False)

    def _kept(self, key: tuple[str, str]) -> tuple[int, int] | None:
        rows = self._runs.reader.rows("SELECT seq, until FROM arrivals WHERE source=? AND id=?", key)
        return rows[0] if rows else None

    def _on_disk(self, key: tuple[str, str], found: tuple[int, int]) -> None:
        if self._fresh.get(key) == found:
            del self._fresh[key]

    def _sweep(self, now: int) -> None:
        """Take away what is over; when something arrives, so that no timer is needed."""
        if now - self._swept_at < SWEEP:
            return
        over = "SELECT source, id FROM arrivals WHERE until<? ORDER BY until LIMIT ?"
        rows = self._runs.reader.rows(over, (now, SWEEP_MAX))
        for source, id in rows:
            if (source, id) not in self._fresh:
                self._log.batch.put("arrivals", (source, id), None)
        if len(rows) < SWEEP_MAX:
            self._swept_at = now
