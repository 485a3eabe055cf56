"""Feeds: where ticks come from. A port of one method, and the feed that replays recordings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar, runtime_checkable

from tickwork.errors import InvalidInput
from tickwork.market.recording import Recording, Tick, merge

T = TypeVar("T")

Sleep = Callable[[float], Awaitable[object]]
"""Waits for that many seconds. A live process passes the event loop's, a simulation its virtual clock's."""

_NS_PER_SECOND: Final = 1_000_000_000
# How many ticks an unpaced replay hands over before it lets others run: a millisecond's worth.
_BREATH: Final = 256


@runtime_checkable
class Feed(Protocol):
    """The port of market data.

    What an implementation promises:

    * Ticks come in the order in which they became known: by the end of the bar, then by recording, then by offset.
    * Within one recording offsets ascend by one; a tick is never handed over twice by one call.
    * ``begin`` maps a recording's name to the offset to begin at, so that a reader which remembers the offset of the
      last tick it handled continues with the next one, with none lost.
    * The iterator ends when the source does (a replay) or when the reader closes it.
    """

    def ticks(self, begin: Mapping[str, int] | None = None) -> AsyncIterator[Tick]:
        """The ticks from the given offsets on; from the beginning where none is given.

        Raises:
            InvalidInput: ``begin`` names a recording that this feed does not have, or a negative offset.
        """
        ...


class Pace:
    """How time passes in a replay.

    ``speed`` says how many seconds of the recording pass in one second (``60``: a minute bar each second); ``None``
    does not wait. Waits are made by ``sleep`` alone, one for each step of time, so the time that the reader takes comes
    on top. ``longest_wait_s`` cuts the wait over nights, weekends and outages.

    Raises:
        InvalidInput: a speed that is not above zero, or a longest wait below zero.
    """

    def __init__(self, sleep: Sleep, *, speed: float | None = None, longest_wait_s: float | None = None) -> None:
        self._sleep = sleep
        # written so that NaN fails too
        if speed is not None and not 0 < speed < float("inf"):
            raise InvalidInput("speed", speed, "a finite number above zero, or None for no pacing")
        if longest_wait_s is not None and not longest_wait_s >= 0:
            raise InvalidInput("longestWaitS", longest_wait_s, "seconds of zero or more")
        self._speed = speed
        self._longest_wait_s = longest_wait_s

    async def paced(self, things: Iterable[T], known_ns: Callable[[T], int]) -> AsyncIterator[T]:
        """The things, each when it may be handed over; ``known_ns`` says when each became known. The first comes at
        once."""
        if self._speed is None:
            for count, thing in enumerate(things):
                if count % _BREATH == _BREATH - 1:
                    await self._sleep(0)
                yield thing
            return
        before_ns: int | None = None
        for thing in things:
            now_ns = known_ns(thing)
            if before_ns is not None and now_ns > before_ns:
                await self._sleep(self._wait_s(now_ns - before_ns, self._speed))
            before_ns = now_ns
            yield thing

    def _wait_s(self, elapsed_ns: int, speed: float) -> float:
        wait_s = elapsed_ns / _NS_PER_SECOND / speed
        return wait_s if self._longest_wait_s is None else min(wait_s, self._longest_wait_s)


class ReplayFeed:
    """Hands recordings over as a live feed would: merged by time, at a ``Pace`` (see there for the arguments)."""

    def __init__(
        self,
        recordings: Iterable[Recording],
        *,
        sleep: Sleep,
        speed: float | None = None,
        longest_wait_s: float | None = None,
    ) -> None:
        self._recordings = list(recordings)
        self._pace = Pace(sleep, speed=speed, longest_wait_s=longest_wait_s)

    async def ticks(self, begin: Mapping[str, int] | None = None) -> AsyncIterator[Tick]:
        """See ``Feed``. The first tick comes at once."""
        async for tick in self._pace.paced(merge(self._recordings, begin), _known_ns):
            yield tick


def _known_ns(tick: Tick) -> int:
    return tick.bar.end_ns
