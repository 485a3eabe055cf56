"""An event loop in virtual time: whenever nothing is left to do, the clock jumps to what is due next.

Everything that asyncio times (``sleep``, ``call_later``, ``timeout``) and everything that an engine times stands in one
order, and no thread, socket or real clock has a say in it: the same program runs the same way.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from tickwork.core.clock import VirtualClock
from tickwork.values import NS_PER_SECOND

T = TypeVar("T")

TURNS = 400_000
"""Turns of the loop after which a world is taken to run in circles."""


class Timed(Protocol):
    """Something with timers of its own: an engine."""

    def next_due(self) -> int | None:
        """When its next timer is due, in ns."""
        ...

    def fire(self) -> None:
        """Do what is due."""
        ...


class Stuck(Exception):
    """Nothing is due any more, and the world has not ended; or it does not end."""


class _Selector:
    """Where the loop would wait for sockets, time passes."""

    def __init__(self, loop: TimeLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.pass_time(timeout)
        return []


class TimeLoop(asyncio.BaseEventLoop):
    """A loop whose time is a ``VirtualClock``'s.

    Args:
        clock: what it moves.
        timeout_s: real seconds after which a world is given up.
    """

    def __init__(self, clock: VirtualClock, timeout_s: float = 60.0) -> None:
        super().__init__()
        self._clock = clock
        self._start = clock.now()
        self._selector = _Selector(self)
        self._clock_resolution = 1e-9
        self._until = time.monotonic() + timeout_s
        self.turns = 0
        self.timed: Timed | None = None
        """What else has timers."""
        self.before_turn: Callable[[], None] | None = None
        """Called before each turn."""

    def time(self) -> float:
        """Seconds since the world began."""
        return (self._clock.now() - self._start) / NS_PER_SECOND

    def pass_time(self, timeout: float | None) -> None:
        """Let time pass until something is due; ``timeout``: until then by asyncio's own timers, 0: none may pass."""
        self.turns += 1
        if self.turns > TURNS or (self.turns & 1023 == 0 and time.monotonic() > self._until):
            raise Stuck(f"it does not end: {self.turns} turns, {self.time():.3f} s")
        if self.before_turn is not None:
            self.before_turn()
            if self._ready:  # type: ignore[attr-defined] # what has just been put there comes first
                return
        if timeout == 0:
            return
        now = self._clock.now()
        due = self.timed.next_due() if self.timed is not None else None
        if self._ready:  # type: ignore[attr-defined] # asking it has written what was to be written
            return
        own = None if timeout is None else now + math.ceil(timeout * NS_PER_SECOND)
        if due is None and own is None:
            raise Stuck("nothing is due any more")
        if due is not None and (own is None or due <= own):
            self._clock.jump(due)
            assert self.timed is not None
            self.timed.fire()
        else:
            assert own is not None
            self._clock.jump(own)

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is no thread that could call."""

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a world to its end; what it leaves behind is cancelled."""
        try:
            return self.run_until_complete(main)
        finally:
            self._until = time.monotonic() + 10
            left = asyncio.all_tasks(self)
            for task in left:
                task.cancel()
            if left:
                self.timed = self.before_turn = None
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.close()
