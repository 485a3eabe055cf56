"""Recorded sessions through the port of live feeds: what came in comes in again, in the order of its becoming known."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Sequence

from tickwork.market.feed import Pace
from tickwork.market.live import Health, Item, Kind, Placed
from tickwork.market.live_recording import LiveRecording, merge_items


class RecordedFeed:
    """A ``LiveFeed`` of live recordings.

    Args:
        name: of this feed; its items keep the names of the feeds that first gave them.
        recordings: any number; merged by the time they became known.
        pace: how time passes between two items; ``Pace(sleep)`` does not wait.
    """

    def __init__(self, name: str, recordings: Iterable[LiveRecording], pace: Pace) -> None:
        self._name = name
        self._recordings = list(recordings)
        self._pace = pace
        items = [placed.item for recording in self._recordings for placed in recording.items()]
        self._symbols = frozenset(item.symbol for item in items if item.symbol)
        self._kinds = frozenset(item.kind for item in items)
        self.pairs = frozenset((item.kind, item.symbol) for item in items)
        """What it gives of which symbol: one recording may hold bars of one, another quotes of another."""
        self.health = Health()

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def symbols(self) -> Collection[str]:
        """Every symbol that the recordings hold a quote or bar of."""
        return self._symbols

    @property
    def kinds(self) -> Collection[Kind]:
        """The sorts of items that the recordings hold."""
        return self._kinds

    async def items(self, known: Sequence[Item] = ()) -> AsyncGenerator[Item, None]:
        """What was recorded, after the last of the ``known`` items."""
        after_ns = known[-1].known_ns if known else None
        self.health.state = "live"
        async for placed in self._pace.paced(merge_items(self._recordings), _known_ns):
            item = placed.item
            if after_ns is None or item.known_ns > after_ns:
                self.health.delivered(item.known_ns)
                yield item
        self.health.state = "ended"


def _known_ns(placed: Placed) -> int:
    return placed.item.known_ns
