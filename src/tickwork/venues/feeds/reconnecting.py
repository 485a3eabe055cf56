"""The loop that every live feed shares: connect, hand items over, and when that fails pause and begin anew.

A feed says how one session with its source goes (``Reconnecting._session``) or one question (``Polling._poll``); this
file says what becomes of its failures:

* ``FeedLimited``: the source asked for fewer requests; it is given the pause it asked for.
* ``FeedFailed``, an answer of the wrong shape (``InvalidInput``), a time-out: a pause that doubles with each failure
  in a row, up to a cap, with chance in it so that many clients do not come back at one instant.
* ``FeedRefused``: trying again would not help; the feed ends with it.

The clock, sleep, chance and the environment are arguments, so a simulation decides about them.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import msgspec

from tickwork.errors import InvalidInput, Retryable, TimedOut
from tickwork.market.feed import Sleep
from tickwork.market.live import FeedLimited, FeedRefused, Health, Item, Kind, What
from tickwork.values import NS_PER_SECOND, DurationLike, duration, symbol
from tickwork.venues.feeds.secrets import redacted

_log = logging.getLogger("tickwork.feeds")

LONGEST_LIMIT_S: Final = 3_600.0
"""However long a source asks to be left alone, it is asked again after an hour."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed takes from its surroundings."""

    now: Callable[[], int]
    """ns since 1970 UTC."""
    sleep: Sleep
    random: Callable[[], float]
    """From 0 up to, not including, 1."""
    environ: Mapping[str, str] = {}
    """Where secrets are: configuration only names them."""


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How long to pause after so many failures in a row."""

    first_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 60.0
    jitter: float = 0.5
    """The share of the pause that is left to chance."""

    def wait_s(self, failures: int, random: Callable[[], float]) -> float:
        """Seconds to pause after that many failures in a row, from 1."""
        full = min(self.cap_s, self.first_s * self.factor ** min(failures - 1, 64))
        return full * (1 - self.jitter * random())


class Reconnecting(ABC):
    """A ``LiveFeed`` that reconnects."""

    kinds: tuple[Kind, ...]
    """What sorts of items it gives; each feed says it."""

    def __init__(self, name: str, symbols: Iterable[str], setting: Setting, *, backoff: Backoff | None = None) -> None:
        if not name:
            raise InvalidInput("feed.name", name, "a name, which is also its recording's")
        self._name = name
        self._symbols = tuple(symbol(one, f"{name}.symbols") for one in symbols)
        self.setting = setting
        """The clock, sleep, chance and environment it was given."""
        self._backoff = backoff or Backoff()
        self.health = Health()
        self.secrets: frozenset[str] = frozenset()
        """What no log line and no error may repeat."""
        self._complained = self._said_so = False

    @property
    def name(self) -> str:
        """Its name, which is also its recording's."""
        return self._name

    @property
    def symbols(self) -> tuple[str, ...]:
        """What it gives quotes or bars of; empty for a feed of texts."""
        return self._symbols

    @abstractmethod
    def _session(self) -> AsyncGenerator[What, None]:
        """One session with the source; ends with an exception, or when the source has ended for good.

        It calls ``self._heard()`` whenever the source answered as it should.
        """

    def _resume(self, known: Sequence[Item]) -> None:  # noqa: B027 - most sources have no memory
        """Take note of what was recorded earlier."""

    async def _close(self) -> None:  # noqa: B027 - some hold no connection
        """Let every connection go."""

    def _heard(self) -> None:
        self.health.heard(self.setting.now())
        if not self._complained:
            self._said_so = False
        self._complained = False

    def _complain(self, error: object) -> None:
        """A piece of an answer was no use, or all of it. The first of a run of errors is logged, too."""
        words = redacted(str(error), self.secrets)
        self.health.complain(words, self.setting.now())
        self._complained = True
        if not self._said_so:
            self._said_so = True
            _log.warning("feed %s: %s", self._name, self.health.last_error)

    async def items(self, known: Sequence[Item] = ()) -> AsyncGenerator[Item, None]:
        """See ``LiveFeed``."""
        self._resume(known)
        failures = 0
        try:
            while True:
                contact_ns = self.health.contact_ns
                self.health.state = "connecting"
                try:
                    async with aclosing(self._session()) as session:
                        async for what in session:
                            now_ns = self.setting.now()
                            self.health.delivered(now_ns)
                            yield Item(self._name, now_ns, what)
                    self.health.state = "ended"
                    return
                except FeedRefused as error:
                    self.health.state = "failed"
                    self._complain(error)
                    raise
                except (Retryable, TimedOut, InvalidInput) as error:
                    failures = 1 if self.health.contact_ns != contact_ns else failures + 1
                    self._complain(error)
                    await self._pause(error, failures)
        finally:
            await self._close()

    async def _pause(self, error: Exception, failures: int) -> None:
        asked_s = min(error.wait_s, LONGEST_LIMIT_S) if isinstance(error, FeedLimited) else 0.0
        wait_s = max(asked_s, self._backoff.wait_s(failures, self.setting.random))
        self.health.state = "waiting"
        self.health.retry_ns = self.setting.now() + int(wait_s * NS_PER_SECOND)
        self.health.reconnects += 1
        await self.setting.sleep(wait_s)


class Polling(Reconnecting):
    """A feed that asks again and again. ``every``: the pause between two questions."""

    def __init__(
        self,
        name: str,
        symbols: Iterable[str],
        setting: Setting,
        *,
        every: DurationLike,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(name, symbols, setting, backoff=backoff)
        self._every_s = duration(every, f"{name}.every") / NS_PER_SECOND
        if self._every_s <= 0:
            raise InvalidInput(f"{name}.every", every, "a duration above zero")

    @abstractmethod
    async def _poll(self) -> Sequence[What]:
        """Ask once; what is new."""

    def _pause_s(self) -> float:
        """Seconds until the next question."""
        return self._every_s

    async def _session(self) -> AsyncGenerator[What, None]:
        while True:
            found = await self._poll()
            self._heard()
            for what in found:
                yield what
            await self.setting.sleep(self._pause_s())
