"""What happens outside, in order: the bars and the news of a session, and what the triggers of workflows make of them.

Bars become known at their end, news at their ``known_at``. All that becomes known at one time is one instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import merge as merge_sorted
from itertools import groupby
from typing import Any

from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.core.workflow import Workflow
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording, Tick, merge
from tickwork.market.triggers.base import BarTrigger
from tickwork.values import timestamp_ns
from tickwork.venues.recorded import Recorded


@dataclass(frozen=True, slots=True)
class Instant:
    """What becomes known at one time."""

    at: int
    """ns since 1970 UTC."""
    ticks: tuple[Tick, ...]
    news: tuple[NewsItem, ...]


def instants(recordings: Sequence[Recording], news: Iterable[NewsItem], first: int, until: int) -> Iterator[Instant]:
    """Everything that becomes known after ``first`` and by ``until`` (ns), in order."""
    bars = ((tick.bar.end_ns, tick) for tick in merge(recordings))
    items = ((timestamp_ns(item.known_at), item) for item in news)
    both: Iterable[tuple[int, Tick | NewsItem]] = merge_sorted(bars, items, key=lambda one: one[0])
    for at, group in groupby(both, key=lambda one: one[0]):
        if at > until:
            return
        known = [what for _, what in group]
        if at > first:
            ticks = tuple(what for what in known if isinstance(what, Tick))
            yield Instant(at, ticks, tuple(what for what in known if isinstance(what, NewsItem)))


class Feeding:
    """The triggers that workflows declare on bars, each declared once, each fed from one recording.

    A trigger that names no venue reads the symbol where an order in it would go, or at another venue where only that
    one has bars of the length it names; one that names no length reads the shortest bars there. One that no recording
    can feed is named in ``unfed``.
    """

    def __init__(self, workflows: Iterable[Workflow], recordings: Sequence[Recording], recorded: Recorded) -> None:
        self._triggers: dict[str, list[BarTrigger[Any]]] = {recording.name: [] for recording in recordings}
        self._recordings = recordings
        self._recorded = recorded
        self.unfed: list[str] = []
        """Triggers that wait for bars which no recording has."""
        self.events: list[type[Event]] = []
        """Classes of what they make."""
        declared: dict[str, Trigger] = {
            str(trigger): trigger for workflow in workflows for trigger in workflow.triggers
        }
        for name, trigger in declared.items():
            if not isinstance(trigger, BarTrigger):
                continue
            if trigger.event not in self.events:
                self.events.append(trigger.event)
            recording = self._recording(trigger)
            if recording is None:
                self.unfed.append(name)
            else:
                self._triggers[recording].append(trigger.fresh())

    def _recording(self, trigger: BarTrigger[Any]) -> str | None:
        venue = trigger.venue or self._recorded.venue_of(trigger.symbol)
        lengths = [
            (head.interval_ns, recording.name)
            for recording in self._recordings
            if (head := recording.header).venue == venue
            and head.symbol == trigger.symbol
            and trigger.interval_ns in (None, head.interval_ns)
        ]
        if not lengths and trigger.venue is None:
            # bars of the length it names may be at another venue than the one that trades
            lengths = [
                (self._recorded.venues.index(head.venue), recording.name)
                for recording in self._recordings
                if (head := recording.header).symbol == trigger.symbol and trigger.interval_ns == head.interval_ns
            ]
        return min(lengths)[1] if lengths else None

    def feed(self, tick: Tick) -> list[Event]:
        """Take the next bar; what it makes triggers fire."""
        found = (trigger.on_tick(tick) for trigger in self._triggers[tick.recording])
        return [event for event in found if event is not None]
