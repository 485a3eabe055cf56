"""What all sessions over recordings share: how fast they go, how far they are, what the equity did."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.trading.performance import max_drawdown, performance

BREATH: Final = 64
"""Instants between two looks at the loop: timers, signals, a screen that is drawn."""

_DAY_NS: Final = 86_400_000_000_000
_LEAST_WAIT_S: Final = 0.005
"""Shorter waits are gathered: a timer of the loop is a millisecond too long or too short."""
_SLIP_S: Final = 1.0
"""Behind its schedule by more than this (the machine slept), a session goes on from where it is."""


def check_speed(speed: float | None) -> None:
    """Refuse a speed that is none.

    Raises:
        InvalidInput: not finite, or not above zero.
    """
    # written so that NaN fails too
    if speed is not None and not 0 < speed < float("inf"):
        raise InvalidInput("speed", speed, "seconds of the recording per second, above zero")


class Pace:
    """Waits until an instant is due, by a schedule that begins with the first one.

    ``speed``: seconds of the recording in one second. A night, or a gap between recordings, counts as a day at most.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._time = asyncio.get_running_loop().time
        self._due_s = self._time()
        self._before = 0

    async def reach(self, at: int) -> None:
        """Return when the instant (ns) is due, give or take a few milliseconds, which do not add up."""
        if self._before:
            self._due_s += min(at - self._before, _DAY_NS) / 1e9 / self._speed
        self._before = at
        early_s = self._due_s - self._time()
        if early_s >= _LEAST_WAIT_S:
            await asyncio.sleep(early_s)
        elif early_s < -_SLIP_S:
            self._due_s -= early_s


class Curve:
    """The equity at every instant, as the figures of a summary need it. ``capital``: what it begins with."""

    def __init__(self, capital: Decimal) -> None:
        self.capital = capital
        self.equity = capital
        self._all: list[float] = [float(capital)]
        self._days: dict[int, float] = {}

    def mark(self, at: int, equity: Decimal) -> None:
        """The equity at an instant (ns)."""
        self.equity = equity
        figure = float(equity)
        self._all.append(figure)
        # an instant at midnight closes the day before it
        self._days[(at - 1) // _DAY_NS] = figure

    def drawdown(self) -> float:
        """The largest fall from a peak, as a fraction of it, over all instants."""
        return max_drawdown(self._all)

    def sharpe(self, days_per_year: int) -> float | None:
        """Of the returns from day to day (days with a bar), at a risk-free rate of zero."""
        return performance([float(self.capital), *self._days.values()], periods_per_year=days_per_year).sharpe


@dataclass(slots=True)
class Progress:
    """Where a session stands, for whoever watches."""

    bars: int = 0
    total: int = 0
    time: int = 0
    """The instant, in ns."""
    events: int = 0
    fills: int = 0
    rebuilding: bool = False
    """Reading up to where the tape stands."""
