"""The clock port. Time is an argument: nothing in the core or in trading reads it by itself."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Tells the time in integer nanoseconds since 1970-01-01 UTC.

    Contract: never goes back, not within a process and not below ``floor``, whatever the machine's clock does; two
    readings differ by the time that passed between them, give or take a forward correction.
    """

    @property
    def virtual(self) -> bool:
        """True when time only moves by ``jump``: then the engine jumps to the next timer when all is idle."""
        ...

    def now(self) -> int:
        """The time, in ns."""
        ...

    def floor(self, at: int) -> None:
        """From now on never answer less than ``at`` (the last time on the tape)."""
        ...

    def jump(self, to: int) -> None:
        """Move a virtual clock forward to ``to``. A real clock refuses."""
        ...


class VirtualClock:
    """A clock that stands still until told to jump."""

    virtual = True

    def __init__(self, start: int = 1_577_836_800_000_000_000) -> None:
        """``start``: ns; by default 2020-01-01T00:00:00Z."""
        self._now = start

    def now(self) -> int:
        """The time, in ns."""
        return self._now

    def floor(self, at: int) -> None:
        """Never answer less than ``at``."""
        self._now = max(self._now, at)

    def jump(self, to: int) -> None:
        """Move forward to ``to``; a time in the past changes nothing."""
        self._now = max(self._now, to)
