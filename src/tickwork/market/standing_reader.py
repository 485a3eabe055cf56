"""One standing trigger, its memory, and the one stream of quotes or bars that it is read from.

Streams are never mixed. The first feed that brings what the trigger reads is the one it hears; the next one takes over,
with no memory of the other's prices, when that feed has been silent for too long, is not watched any more, or comes
back after a restart with other bars. Who is heard follows from the recorded items and their times alone, so reading
them again after a crash decides the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from tickwork.core.event import Event
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import Kind, Placed
from tickwork.market.recording import Tick
from tickwork.market.triggers.base import BarTrigger
from tickwork.values import duration_text

_MISSED = 3
"""A stream of bars is silent when so many in a row have not come, if that is longer than its feed may be silent."""


class Stream(NamedTuple):
    """What a trigger is read from."""

    feed: str
    kind: str
    venue: str
    interval_ns: int

    def __str__(self) -> str:
        length = f" of {duration_text(self.interval_ns)}" if self.kind == "bar" else ""
        return f"{self.kind}s{length} of feed {self.feed} (venue {self.venue})"


class StandingReader:
    """Reads one trigger.

    Args:
        trigger: a fresh one.
        kind: bars or quotes.
        feeds: those that bring them, the one to hear first; never empty.
        silence_ns: how long each may be silent.
        complain: is told in words, with the trigger's name, what keeps it from hearing.
    """

    def __init__(
        self,
        trigger: BarTrigger[Any],
        kind: Kind,
        feeds: Sequence[str],
        silence_ns: Mapping[str, int],
        complain: Callable[[str, str], None],
    ) -> None:
        self.trigger = trigger
        self.name = str(trigger)
        self.kind = kind
        self.feeds = tuple(feeds)
        self.set_aside = False
        """It failed in a way it should not, and is read no more."""
        self._silence_ns = silence_ns
        self._complain = complain
        self._stream: Stream | None = None
        self._heard_ns: int | None = None
        """When its stream was last heard; before there is one, since when it has been waited for."""
        self._returned = False
        """Nothing of the stream has come since the last start: its feed may bring other bars now."""
        self._mixed = False
        self._gone: set[str] = set()
        """Feeds that have ended since the last start."""

    def read(self, placed: Placed) -> Event | None:
        """Take the next item; the event to publish."""
        what = placed.item.what
        if self.set_aside or not isinstance(what, Bar | Quote):
            return None
        try:
            if not self._hears(what, placed):
                return None
            if isinstance(what, Bar):
                return self.trigger.on_tick(Tick(placed.recording, placed.offset, what))
            return self.trigger.on_quote(what, placed.recording, placed.offset)
        except InvalidInput as error:
            self._complain(self.name, str(error))
        except Exception as error:  # noqa: BLE001 - one trigger's mistake must not end the others, nor the feed
            self._put_aside(error)
        return None

    def _put_aside(self, error: Exception) -> None:
        self.set_aside = True
        self._complain(self.name, f"set aside until the next start, because it failed: {error!r}")

    # -- whom it hears --------------------------------------------------------------------------------------------

    def _hears(self, what: Bar | Quote, placed: Placed) -> bool:
        trigger, known_ns = self.trigger, placed.item.known_ns
        interval_ns = what.interval_ns if isinstance(what, Bar) else 1
        if trigger.venue not in (None, what.venue) or trigger.interval_ns not in (None, interval_ns):
            return False
        stream = Stream(placed.recording, self.kind, what.venue, interval_ns)
        if stream != self._stream:
            if not self._may_change(stream, known_ns):
                return False
            self._change(stream)
        self._heard_ns, self._returned = known_ns, False
        return True

    def _may_change(self, stream: Stream, known_ns: int) -> bool:
        old = self._stream
        if self._heard_ns is None:
            self._heard_ns = known_ns
        if old is None:
            named = self.trigger.venue is not None or self.trigger.interval_ns is not None
            return named or stream.feed == self.feeds[0] or self._silent(self.feeds[0], 1, known_ns)
        if old.feed not in self.feeds or old.kind != stream.kind:
            return True
        if (self._returned and old.feed == stream.feed) or self._silent(old.feed, old.interval_ns, known_ns):
            return True
        if old.feed == stream.feed and not self._mixed:
            self._mixed = True
            self._complain(self.name, f"is read from {old}, and not from {stream}: give it venue= and interval=")
        return False

    def _silent(self, feed: str, interval_ns: int, known_ns: int) -> bool:
        assert self._heard_ns is not None
        return feed in self._gone or known_ns - self._heard_ns > max(
            self._silence_ns.get(feed, 0), _MISSED * interval_ns
        )

    def _change(self, stream: Stream) -> None:
        old, self._stream, self._mixed = self._stream, stream, False
        if old is not None:
            self._complain(self.name, f"is now read from {stream}; before from {old}")
        elif stream.feed != self.feeds[0] and self.trigger.venue is None and self.trigger.interval_ns is None:
            self._complain(self.name, f"is read from {stream}; nothing has come from feed {self.feeds[0]}")
        if self.trigger.stream not in (None, (stream.venue, stream.interval_ns)):
            self.trigger = self.trigger.fresh()

    # -- state ----------------------------------------------------------------------------------------------------

    def gone(self, feed: str) -> None:
        """A feed has ended: another may take over at once."""
        if feed in self.feeds:
            self._gone.add(feed)

    def started(self) -> None:
        """Everything recorded has been read; what comes from now on is new."""
        self._gone.clear()
        self._returned = self._stream is not None

    def state(self) -> dict[str, Any] | None:
        """Everything needed to go on, as plain JSON; ``None``: it cannot say, and begins anew."""
        if self.set_aside:
            return None
        try:
            stream = None if self._stream is None else list(self._stream)
            place = {
                "stream": stream,
                "heardNs": self._heard_ns,
                "returned": self._returned,
                "gone": sorted(self._gone),
            }
            return {**self.trigger.state(), "standing": place}
        except Exception as error:  # noqa: BLE001 - as in ``read``
            self._put_aside(error)
            return None

    def resume(self, state: Mapping[str, Any]) -> bool:
        """Go on from a state; false: that was none of this trigger's, and it begins anew."""
        try:
            again = type(self.trigger).from_state(state)
            place = state.get("standing") or {"stream": None, "heardNs": None, "returned": False, "gone": []}
            stream = None if place["stream"] is None else Stream(*place["stream"])
            heard_ns, returned, gone = place["heardNs"], bool(place["returned"]), set(place["gone"])
        except InvalidInput:
            return False
        except Exception as error:  # noqa: BLE001 - as in ``read``
            self._complain(self.name, f"begins anew, because what it remembered cannot be read: {error!r}")
            return False
        self.trigger, self._stream, self._heard_ns, self._returned, self._gone = again, stream, heard_ns, returned, gone
        return True
