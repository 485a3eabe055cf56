"""Bars of recordings, as a list for people and programs: those that feeds have written, and those that come along."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from tickwork.errors import InvalidInput, NotFound
from tickwork.market.bars import Bar
from tickwork.market.live_recording import LiveRecording, segments
from tickwork.market.recording import Recording, recordings
from tickwork.values import duration, duration_text, from_ns, plain

_FIRST_LOOK: Final = 2_000
"""Items at a recording's end that are read first; where they do not hold enough bars, ever more are."""

Kind = tuple[str, str, int]
"""Recording, venue, length of its bars in ns."""


class BarLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A bar. Prices are quote currency, the volume base units, as text."""

    start: datetime
    open: str
    high: str
    low: str
    close: str
    volume: str


class Bars(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Bars of one market, the oldest first."""

    symbol: str
    venue: str
    interval: str
    recording: str
    """Of which they are."""
    bars: list[BarLine]
    more: bool
    """There are older ones among those that were asked for: ask again, until the first of these."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which bars."""

    symbol: str = ""
    """``""``: whichever there is."""
    venue: str = ""
    interval: str = ""
    """Such as ``1m``; ``""`` where only one length is recorded."""
    since: datetime | None = None
    """Only bars that start then or later."""
    until: datetime | None = None
    """Only bars that start before."""
    limit: int = 200
    """At most so many: the latest of them."""

    def fits(self, bar: Bar) -> bool:
        """Is it one of these?"""
        return (
            self.symbol in ("", bar.symbol)
            and self.venue in ("", bar.venue)
            and (not self.interval or bar.interval_ns == duration(self.interval, "interval"))
            and (self.since is None or bar.start >= self.since)
            and (self.until is None or bar.start < self.until)
        )


def shipped_bars(name: str, asked: Asked) -> Bars:
    """Bars of a recording that comes with the product.

    Raises:
        NotFound: there is none of this name, or it is of another market.
    """
    if name not in recordings():
        raise NotFound("recording", name, f"one of {', '.join(recordings())}, or the name of a feed that gives bars")
    recording = Recording.open(name)
    header = recording.header
    if asked.symbol not in ("", header.symbol) or asked.venue not in ("", header.venue):
        raise NotFound("symbol", asked.symbol or asked.venue, f"{header.symbol} of {header.venue}: {name} has no other")
    found = [bar for bar in recording.bars() if asked.fits(bar)]
    return _told(found, (name, header.venue, header.interval_ns), header.symbol, asked.limit)


def recorded_bars(folder: Path, names: Iterable[str], asked: Asked) -> Bars:
    """The latest bars of a market that feeds have recorded, in a folder of recordings.

    Raises:
        NotFound: no bars of it are recorded. InvalidInput: several kinds are, and it is not said which.
    """
    found: dict[Kind, list[Bar]] = {}
    for name in names:
        # a name, and no way to another folder
        if "/" not in name and name not in (".", "..") and segments(folder / name):
            for bar in _latest(LiveRecording(folder / name), asked):
                found.setdefault((name, bar.venue, bar.interval_ns), []).append(bar)
    if not found:
        expected = "a market whose bars are recorded then: see accounts.<name>.bars in tickwork.toml"
        raise NotFound("bars", " ".join(filter(None, (asked.symbol, asked.interval, asked.venue))), expected)
    if len(found) > 1:
        kinds = ", ".join(f"{duration_text(each)} of {venue} (recording {name})" for name, venue, each in sorted(found))
        raise InvalidInput("interval", asked.interval or "none", f"which of these is meant: {kinds}")
    ((kind, bars),) = found.items()
    return _told(bars, kind, asked.symbol, asked.limit)


def _latest(recording: LiveRecording, asked: Asked) -> list[Bar]:
    """The last bars of a recording that are asked for, one more than the limit where there are that many."""
    first, end, looked = recording.first, recording.end, _FIRST_LOOK
    while True:
        begin = max(first, end - looked)
        items = (placed.item.what for placed in recording.items(begin, end))
        found = [what for what in items if isinstance(what, Bar) and asked.fits(what)]
        if len(found) > asked.limit or begin == first:
            return _in_order(found)
        looked *= 8


def _in_order(bars: Sequence[Bar]) -> list[Bar]:
    """Each bar once, by when it starts: what a feed caught up after an outage may have come twice."""
    return sorted(
        {(bar.start_ns, bar.venue, bar.interval_ns): bar for bar in bars}.values(), key=lambda bar: bar.start_ns
    )


def _told(bars: Sequence[Bar], kind: Kind, symbol: str, limit: int) -> Bars:
    name, venue, interval_ns = kind
    kept = bars[-limit:]
    return Bars(
        symbol=symbol,
        venue=venue,
        interval=duration_text(interval_ns),
        recording=name,
        bars=[
            BarLine(
                start=from_ns(bar.start_ns),
                open=plain(bar.open),
                high=plain(bar.high),
                low=plain(bar.low),
                close=plain(bar.close),
                volume=plain(bar.volume),
            )
            for bar in kept
        ],
        more=len(bars) > len(kept),
    )
