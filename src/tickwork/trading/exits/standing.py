"""A plan as it stands in a book: its state, and where it waits."""

from __future__ import annotations

from bisect import bisect_left, insort
from decimal import Decimal
from typing import Final

from tickwork.trading.exits.plan import Reason
from tickwork.trading.exits.state import PlanState

Entry = tuple[Decimal, int, "Standing"]
"""Key, number of the plan in its book, plan: sorted by the first two."""
Hour = tuple[int, int, "Standing"]
"""The same by time (ns)."""
Member = tuple[Decimal, int, "Standing"]
"""The same by the distance at which it trails."""


class Standing:
    """One plan. Every field but ``state`` is kept by whoever lets it wait there; ``None`` where it does not."""

    __slots__ = ("asleep", "begin", "even", "hour", "member", "n", "peak", "state", "stop", "target", "why")

    def __init__(self, state: PlanState, n: int) -> None:
        self.state = state
        self.n: Final = n
        self.asleep = False
        """It waits for the first price of when it was opened, or later."""
        self.stop: Entry | None = None
        """Its nearest stop that does not trail, and ``why`` that is there."""
        self.why: Reason = "stop_loss"
        self.target: Entry | None = None
        """Its nearest leg."""
        self.begin: Entry | None = None
        """Where trailing begins."""
        self.even: Entry | None = None
        """Where the stop at the entry is set."""
        self.hour: Hour | None = None
        """When its time is over, or when it is tried again."""
        self.member: Member | None = None
        """In the heap of those that trail together."""
        self.peak: object = None
        """Those: a ``trail.Peak``, perhaps one that has become part of another."""


class Levels:
    """Keys that wait for a price to come down to them (or up: give negated keys), the nearest last."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entry: Entry, *, settle: bool) -> None:
        """Let it wait; with ``settle`` in order at once, else by the next ``settled``."""
        if settle:
            insort(self.entries, entry)
        else:
            self.entries.append(entry)

    def settled(self) -> None:
        """Put in order what was added without."""
        self.entries.sort()

    def drop(self, entry: Entry) -> None:
        """It waits no more."""
        place = bisect_left(self.entries, entry)
        assert self.entries[place] is entry
        del self.entries[place]

    @property
    def nearest(self) -> Decimal | None:
        """The key that is reached first."""
        return self.entries[-1][0] if self.entries else None

    def reached(self, key: Decimal) -> list[Standing]:
        """Whose key is at ``key`` or above; they go on waiting."""
        found: list[Standing] = []
        for entry in reversed(self.entries):
            if entry[0] < key:
                break
            found.append(entry[2])
        return found
