"""How often somebody may ask: token buckets by name, of which a bounded number is remembered."""

from __future__ import annotations

from typing import Final

KEPT: Final = 10_000
"""Names. Whoever has not asked for longest is forgotten, and so has a full bucket again."""


class Buckets:
    """One bucket a name.

    Args:
        rate: calls a second, over time.
        burst: calls at once of somebody who was quiet.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._left: dict[str, tuple[float, float]] = {}
        """Of each name how many calls are left, and when that was."""

    def take(self, name: str, now: float) -> float:
        """Take a call out; seconds until there is one, if there is none. ``now``: seconds of any clock that only grows.

        Whoever is told to wait loses nothing by having asked.
        """
        left, then = self._left.pop(name, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._left[name] = (left if wait else left - 1, now)
        if len(self._left) > KEPT:
            del self._left[next(iter(self._left))]
        return wait
