"""What a queue has got done: today, and in the last minute."""

from __future__ import annotations

from collections import deque

DAY = 86_400_000_000_000
SECOND = 1_000_000_000
MINUTE = 60
"""Seconds over which the pace is measured."""


class Day:
    """What one UTC day has seen of a queue."""

    __slots__ = ("busy", "completed", "dead", "failed", "number", "sent")

    def __init__(
        self, number: int, sent: int = 0, completed: int = 0, failed: int = 0, dead: int = 0, busy: int = 0
    ) -> None:
        self.number = number
        """Days since 1970."""
        self.sent = sent
        self.completed = completed
        self.failed = failed
        """Failed deliveries."""
        self.dead = dead
        self.busy = busy
        """ns from delivery to completion, of those completed."""


class Tally:
    """The counters of the day, and the pace."""

    def __init__(self) -> None:
        self.day = Day(0)
        self._pace: deque[list[int]] = deque()
        """Seconds of the last minute, each with how many were completed in it."""

    def today(self, now: int) -> Day:
        """The counters of the day."""
        if self.day.number != now // DAY:
            self.day = Day(now // DAY)
        return self.day

    def completed(self, now: int, count: int, busy: int) -> None:
        """So many were completed; ``busy``: ns they took together."""
        day = self.today(now)
        day.completed += count
        day.busy += busy
        self.pace(now // SECOND, count)

    def pace(self, second: int, count: int) -> None:
        """So many were completed in this second."""
        pace = self._pace
        if pace and pace[-1][0] == second:
            pace[-1][1] += count
        else:
            pace.append([second, count])
            while pace[0][0] <= second - MINUTE:
                pace.popleft()

    def rate(self, now: int) -> int:
        """Completed in the last minute, to the second."""
        return sum(count for second, count in self._pace if second > now // SECOND - MINUTE)
