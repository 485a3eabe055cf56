"""The one adapter that reads the system clock."""

from __future__ import annotations

import time

from tickwork.errors import InvalidInput

COMPARE_EVERY = 1_000_000
"""ns between two looks at the wall clock; reading both each time would double the cost of a record's time."""


class SystemClock:
    """Wall time that never goes back.

    It runs on the monotonic clock and follows the wall clock forward (a correction, a laptop that woke up). When the
    wall clock is set back, it goes on at its own pace until the wall clock has caught up: timers keep their lengths.
    """

    virtual = False

    def __init__(self) -> None:
        self._ahead = time.time_ns() - time.monotonic_ns()
        self._compare_at = 0

    def now(self) -> int:
        """ns since 1970 UTC."""
        monotonic = time.monotonic_ns()
        if monotonic >= self._compare_at:
            self._compare_at = monotonic + COMPARE_EVERY
            self._ahead = max(self._ahead, time.time_ns() - monotonic)
        return monotonic + self._ahead

    def floor(self, at: int) -> None:
        """Never answer less than ``at``."""
        behind = at - self.now()
        if behind > 0:
            self._ahead += behind

    def jump(self, to: int) -> None:
        """A real clock does not jump."""
        raise InvalidInput("clock.jump", to, "a VirtualClock; the system clock cannot be moved")
