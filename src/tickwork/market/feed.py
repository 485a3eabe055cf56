"""Feeds: where ticks come from. A port of one method, and the feed that replays recordings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Final, Protocol, runtime_checkable

from tickwork.errors import InvalidInput
from tickwork.market.recording import Recording, Tick, merge

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


class ReplayFeed:
    """Hands recordings over as a live feed would: merged by time, paced or as fast as they are read.

    ``speed`` says how many seconds of the recording pass in one second (``60``: a minute bar each second); ``None``
    does not wait. Waits are made by ``sleep`` alone, one for each step of time, so the time that the reader takes comes
    on top. ``longest_wait_s`` cuts the wait over nights, weekends and outages.
    """

    def __init__(
        self,
        recordings: Iterable[Recording],
        *,
        sleep: Sleep,
        speed: float | None = None,
        longest_wait_s: float | None = None,
    ) -> None:
        self._recordings = list(recordings)
        self._sleep = sleep
        # written so that NaN fails too
        if speed is not None and not 0 < speed < float("inf"):
            raise InvalidInput("speed", speed, "a finite number above zero, or None for no pacing")
        if longest_wait_s is not None and not longest_wait_s >= 0:
            raise InvalidInput("longestWaitS", longest_wait_s, "seconds of zero or more")
        self._speed = speed
        self._longest_wait_s = longest_wait_s

    async def ticks(self, begin: Mapping[str, int] | None = None) -> AsyncIterator[Tick]:
        """See ``Feed``. The first tick comes at once."""
        merged = merge(self._recordings, begin)
        if self._speed is None:
            for count, tick in enumerate(merged):
                if count % _BREATH == _BREATH - 1:
                    await self._sleep(0)
                yield tick
            return
        known_ns: int | None = None
        for tick in merged:
            end_ns = tick.bar.end_ns
            if known_ns is not None and end_ns > known_ns:
                await self._sleep(self._wait_s(end_ns - known_ns, self._speed))
            known_ns = end_ns
            yield tick

    def _wait_s(self, elapsed_ns: int, speed: float) -> float:
        wait_s = elapsed_ns / _NS_PER_SECOND / speed
        return wait_s if self._longest_wait_s is None else min(wait_s, self._longest_wait_s)
