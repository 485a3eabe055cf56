"""Staleness: silence is noticed and shown, and stale data decides nothing.

``Staleness`` is told what came in and asked, with the time as an argument, what has been silent for too long. Each
silence is told once, however often it is asked, and so is its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from tickwork.core.event import Event
from tickwork.core.view import view
from tickwork.errors import InvalidInput
from tickwork.values import Duration, DurationLike, duration, from_ns, to_timedelta


class FeedSilent(Event, name="market/feed.silent", version=1):
    """A source has said nothing about these symbols for longer than its limit."""

    source: str
    symbols: tuple[str, ...]
    """Those that fell silent; ``("",)`` for a source of texts."""
    last_at: datetime | None
    """When the source was last heard about any of them; ``None``: never."""
    limit: Duration
    known_at: datetime

    @property
    def happened_at(self) -> datetime:
        """When the silence was noticed."""
        return self.known_at


class FeedResumed(Event, name="market/feed.resumed", version=1):
    """A source speaks again about these symbols."""

    source: str
    symbols: tuple[str, ...]
    known_at: datetime

    @property
    def happened_at(self) -> datetime:
        """When it was heard again."""
        return self.known_at


class FeedDropped(Event, name="market/feed.dropped", version=1):
    """A source is not watched any more for these symbols; it was silent about them to the end."""

    source: str
    symbols: tuple[str, ...]
    known_at: datetime

    @property
    def happened_at(self) -> datetime:
        """When that was noticed."""
        return self.known_at


@view("market/silences", on=(FeedSilent, FeedResumed, FeedDropped), key=lambda event: event.source)
def silences(state: list[str] | None, event: FeedSilent | FeedResumed | FeedDropped) -> list[str] | None:
    """The symbols that a source is silent about. It tells a new process which silences have been told of already."""
    now_silent = set(state or ())
    if isinstance(event, FeedSilent):
        now_silent.update(event.symbols)
    else:
        now_silent.difference_update(event.symbols)
    return sorted(now_silent) or None


class Silence(NamedTuple):
    """Something that is expected and does not come."""

    source: str
    symbol: str
    last_ns: int | None
    """When it last came; ``None``: never."""


class _Expected:
    """One symbol of one source."""

    __slots__ = ("last_ns", "limit_ns", "since_ns", "told")

    def __init__(self, since_ns: int, limit_ns: int) -> None:
        self.since_ns = since_ns
        self.limit_ns = limit_ns
        self.last_ns: int | None = None
        self.told = False

    def silent(self, now_ns: int) -> bool:
        return now_ns - (self.since_ns if self.last_ns is None else self.last_ns) > self.limit_ns


class Staleness:
    """Knows when each symbol of each source was last heard of.

    ``limit``: how long silence is normal, where ``expect`` says nothing else. A source that comes every second needs
    seconds; one that is asked every five minutes needs more than five minutes.
    """

    def __init__(self, limit: DurationLike) -> None:
        self._limit_ns = _limit(limit)
        self._expected: dict[tuple[str, str], _Expected] = {}

    def expect(self, source: str, symbol: str, since_ns: int, limit: DurationLike | None = None) -> None:
        """From ``since_ns`` on this should come: so what never comes is noticed too."""
        limit_ns = self._limit_ns if limit is None else _limit(limit)
        self._expected.setdefault((source, symbol), _Expected(since_ns, limit_ns))

    def told(self, silences: Mapping[str, Iterable[str]]) -> None:
        """These silences, by source, were told before; of what is expected, they are not told again."""
        for source, symbols in silences.items():
            for symbol in symbols:
                expected = self._expected.get((source, symbol))
                if expected is not None:
                    expected.told = True

    def dropped(self, silences: Mapping[str, Iterable[str]], now_ns: int) -> list[FeedDropped]:
        """What of these silences, by source, is not expected any more: nothing would ever end them."""
        found, known_at = [], from_ns(now_ns)
        for source, symbols in sorted(silences.items()):
            gone = tuple(symbol for symbol in symbols if (source, symbol) not in self._expected)
            if gone:
                found.append(FeedDropped(source=source, symbols=gone, known_at=known_at))
        return found

    def saw(self, source: str, symbol: str, known_ns: int) -> None:
        """This came in. What was not expected is, from now on."""
        expected = self._expected.get((source, symbol))
        if expected is None:
            self.expect(source, symbol, known_ns)
            expected = self._expected[source, symbol]
        if expected.last_ns is None or known_ns > expected.last_ns:
            expected.last_ns = known_ns

    def age_ns(self, source: str, symbol: str, now_ns: int) -> int | None:
        """Nanoseconds since it last came; ``None``: it never did."""
        expected = self._expected.get((source, symbol))
        return None if expected is None or expected.last_ns is None else max(0, now_ns - expected.last_ns)

    def is_stale(self, source: str, symbol: str, now_ns: int) -> bool:
        """Has it not come for longer than its limit, or never? Then it decides nothing."""
        expected = self._expected.get((source, symbol))
        return expected is None or expected.last_ns is None or expected.silent(now_ns)

    def silent(self, now_ns: int) -> list[Silence]:
        """Everything that is expected and overdue, in order of source and symbol."""
        return [
            Silence(source, symbol, expected.last_ns)
            for (source, symbol), expected in sorted(self._expected.items())
            if expected.silent(now_ns)
        ]

    def changes(self, now_ns: int) -> list[FeedSilent | FeedResumed]:
        """What has changed since it was asked last: one event per source and direction, in order of source."""
        fell: dict[tuple[str, int], list[tuple[str, int | None]]] = {}
        rose: dict[str, list[str]] = {}
        for (source, symbol), expected in sorted(self._expected.items()):
            silent = expected.silent(now_ns)
            if silent and not expected.told:
                fell.setdefault((source, expected.limit_ns), []).append((symbol, expected.last_ns))
            elif expected.told and not silent and expected.last_ns is not None:
                rose.setdefault(source, []).append(symbol)
            else:
                continue
            expected.told = silent
        known_at = from_ns(now_ns)
        events: list[FeedSilent | FeedResumed] = [
            FeedSilent(
                source=source,
                symbols=tuple(symbol for symbol, _ in symbols),
                last_at=max((from_ns(last_ns) for _, last_ns in symbols if last_ns is not None), default=None),
                limit=to_timedelta(f"{limit_ns}ns"),
                known_at=known_at,
            )
            for (source, limit_ns), symbols in fell.items()
        ]
        events += [
            FeedResumed(source=source, symbols=tuple(symbols), known_at=known_at) for source, symbols in rose.items()
        ]
        return events


def _limit(value: DurationLike) -> int:
    ns = duration(value, "limit")
    if ns == 0 or ns % 1_000:
        raise InvalidInput("limit", str(value), "a duration above zero, of whole microseconds")
    return ns
