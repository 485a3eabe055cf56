"""What workflows may know of the market at this instant: the latest recorded quote of each venue, and indicators.

The feed's side calls ``take`` with every bar; steps call the rest. A recorded bar has a close and no spread, so its
quote is a locked one (bid = ask = close) that the venue said at the bar's end; what crossing a spread costs is the
paper venue's slippage. Ages are measured against the clock that is handed in, which in a replay is the market's own:
no decision depends on the time on the wall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.market.indicators import MACD, RSI
from tickwork.market.recording import Recording, Tick, merge
from tickwork.values import duration, duration_text, from_ns, quote_of

MAX_QUOTE_AGE: Final = "30 minutes"
"""Half the shortest bar that two venues share: an hour-old price is no price to trade against."""

RSI_PERIOD: Final = 14
MACD_PERIODS: Final = (12, 26, 9)


class VenueQuote(msgspec.Struct, frozen=True, rename="camel"):
    """What one venue last said, as a decision saw it."""

    venue: str
    price: Decimal
    time: datetime
    """When the venue said it: the end of its bar."""
    age: str
    """How old that was when it was read."""
    stale: bool
    recording: str
    """Where it stands recorded, and at which offset."""
    offset: int


class Book(msgspec.Struct, frozen=True, rename="camel"):
    """The latest quotes of a symbol: where it is traded, and where it is only watched."""

    symbol: str
    time: datetime
    traded: VenueQuote | None
    watched: VenueQuote | None


class Technicals(msgspec.Struct, frozen=True, rename="camel"):
    """Indicators of a symbol after its latest bar; ``None`` while they have seen too little."""

    symbol: str
    time: datetime
    price: Decimal
    rsi: float | None
    macd: float | None
    macd_signal: float | None
    histogram: float | None


class _Indicators:
    """What is kept of one traded symbol, incrementally."""

    def __init__(self) -> None:
        self.rsi = RSI(RSI_PERIOD)
        self.macd = MACD(*MACD_PERIODS)

    def update(self, close: float) -> None:
        self.rsi.update(close)
        self.macd.update(close)


class Streams:
    """Recordings, and what each is for: of every symbol the one with the shortest bars is traded, others are watched.

    Raises:
        InvalidInput: no recording, two of one name, or symbols paid in different currencies.
    """

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.recordings = sorted(recordings, key=lambda recording: recording.name)
        if not self.recordings:
            raise InvalidInput("data", "nothing", "the name of a recording or the path of a CSV file")
        for one, next_ in pairwise(self.recordings):
            if one.name == next_.name:
                raise InvalidInput("data", one.name, "recordings of different names")
        by_length = sorted(self.recordings, key=lambda recording: (recording.header.interval_ns, recording.name))
        self.traded: dict[str, Recording] = {}
        self.watched: dict[str, Recording] = {}
        for recording in by_length:
            place = self.watched if recording.header.symbol in self.traded else self.traded
            place.setdefault(recording.header.symbol, recording)
        currencies = sorted({quote_of(symbol) for symbol in self.traded})
        if len(currencies) > 1:
            raise InvalidInput("data", ", ".join(currencies), "recordings paid in one currency")
        self.currency = currencies[0]
        self.traded_names = {recording.name for recording in self.traded.values()}
        self._parts = {recording.name: self._part(recording) for recording in self.recordings}

    def _part(self, recording: Recording) -> range:
        """The offsets that count. What is only watched counts only while there is something to trade."""
        traded = self.traded[recording.header.symbol]
        if recording is traded:
            return range(len(recording))
        return range(recording.offset_at(traded[0].start_ns), recording.offset_at(traded[-1].end_ns))

    @property
    def first_ns(self) -> int:
        """When the first bar of all starts."""
        return min(recording[0].start_ns for recording in self.traded.values())

    @property
    def bars(self) -> int:
        """How many there are in all."""
        return sum(map(len, self._parts.values()))

    def ticks(self) -> Iterator[Tick]:
        """All bars, in the order in which they became known."""
        begin = {name: part.start for name, part in self._parts.items()}
        return (tick for tick in merge(self.recordings, begin) if tick.offset < self._parts[tick.recording].stop)


class Market:
    """The state of the market. ``clock``: ns since 1970 UTC."""

    def __init__(self, streams: Streams, clock: Callable[[], int]) -> None:
        self._streams = streams
        self._clock = clock
        self._latest: dict[str, Tick] = {}
        self._indicators = {symbol: _Indicators() for symbol in streams.traded}
        self._max_age = duration(MAX_QUOTE_AGE)
        self.marks: dict[str, Decimal] = {}
        """The latest close of each traded symbol."""

    def take(self, tick: Tick) -> None:
        """Take the next bar of any recording."""
        self._latest[tick.recording] = tick
        if tick.recording in self._streams.traded_names:
            bar = tick.bar
            self.marks[bar.symbol] = bar.close
            self._indicators[bar.symbol].update(bar.close_float)

    def latest(self, symbol: str) -> Tick | None:
        """The last bar of a symbol where it is traded."""
        recording = self._streams.traded.get(symbol)
        return None if recording is None else self._latest.get(recording.name)

    def quote(self, symbol: str) -> Quote | None:
        """The quote an order in ``symbol`` would meet; for the risk gate."""
        tick = self.latest(symbol)
        if tick is None:
            return None
        close = tick.bar.close
        return Quote(symbol=symbol, venue=tick.bar.venue, time_ns=tick.bar.end_ns, bid=close, ask=close)

    # -- steps ----------------------------------------------------------------------------------------------------

    def book(self, symbol: str) -> Book:
        """The quotes of a symbol at both venues, with their times."""
        streams = self._streams
        return Book(
            symbol,
            from_ns(self._clock()),
            self._venue_quote(streams.traded.get(symbol)),
            self._venue_quote(streams.watched.get(symbol)),
        )

    def technicals(self, symbol: str) -> Technicals:
        """The indicators of a symbol.

        Raises:
            InvalidInput: nothing is known of it yet.
        """
        tick = self.latest(symbol)
        if tick is None:
            raise InvalidInput("symbol", symbol, f"one of {', '.join(self._streams.traded)}, after its first bar")
        kept = self._indicators[symbol]
        lines = kept.macd.value
        return Technicals(
            symbol,
            tick.bar.end,
            tick.bar.close,
            kept.rsi.value,
            lines.macd if lines else None,
            lines.signal if lines else None,
            lines.histogram if lines else None,
        )

    def _venue_quote(self, recording: Recording | None) -> VenueQuote | None:
        tick = None if recording is None else self._latest.get(recording.name)
        if tick is None:
            return None
        bar = tick.bar
        age = max(0, self._clock() - bar.end_ns)
        return VenueQuote(
            bar.venue, bar.close, bar.end, duration_text(age), age > self._max_age, tick.recording, tick.offset
        )
