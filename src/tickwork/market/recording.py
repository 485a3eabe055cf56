"""Recordings: bars of one symbol at one venue, in order, each with an integer offset.

The offset of a bar is its position, from 0, and never changes: the tape names a bar by the recording's name and its
offset. Recordings come packed with the product (``recordings()`` lists them), from a packed file, from a CSV of the
user, or from bars in memory; all behave alike. A recording holds integers and makes ``Bar`` objects only as they are
asked for, so opening one costs little and an offset is reached at once.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Context, Decimal
from difflib import SequenceMatcher
from importlib.resources import files
from itertools import pairwise, repeat
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.csvfile import CsvOptions, read_bars
from tickwork.market.packed import Columns, Header, Source, pack, unpack
from tickwork.values import from_ns

Column = Literal["open", "high", "low", "close", "volume"]

_SUFFIX: Final = ".twr"
_CHUNK: Final = 1024
# Scaling moves the point and must not round; 128-bit numbers have 39 digits.
_WIDE: Final = Context(prec=60)


class Tick(msgspec.Struct, frozen=True, gc=False):
    """A bar and where it stands: the recording's name and the offset in it."""

    recording: str
    offset: int
    bar: Bar


def recordings() -> list[str]:
    """Names of the recordings that come with the product, sorted."""
    shipped = files("tickwork").joinpath("data").iterdir()
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in shipped if entry.name.endswith(_SUFFIX))


class Recording:
    """Bars in ascending order of start. Behaves as a read-only sequence of ``Bar``."""

    def __init__(self, header: Header, columns: Columns) -> None:
        self.header = header
        self._columns = columns
        self._check()

    @property
    def name(self) -> str:
        """What the tape calls it."""
        return self.header.name

    @classmethod
    def open(cls, name_or_path: str | Path, options: CsvOptions | None = None) -> Self:
        """Open a shipped recording by name, or a ``.twr`` or ``.csv`` file by path.

        Raises:
            InvalidInput: no such recording or file, a damaged file, or a CSV whose rows are no bars (names the line
                and the column).
        """
        text = str(name_or_path)
        path = Path(name_or_path)
        if path.suffix.lower() == ".csv":
            return cls._from_csv(path, options or CsvOptions())
        if path.suffix.lower() == _SUFFIX:
            return cls(*unpack(_content(path), path.name))
        if text in recordings():
            return cls(*unpack(files("tickwork").joinpath("data", text + _SUFFIX).read_bytes(), text))
        known = sorted(recordings(), key=lambda name: SequenceMatcher(None, text, name).ratio(), reverse=True)
        raise InvalidInput("recording", text, f"a .csv or .twr file, or one of {', '.join(known)}")

    @classmethod
    def _from_csv(cls, path: Path, options: CsvOptions) -> Self:
        bars = read_bars(path, options)
        return cls.from_bars(bars, name=path.stem, source=Source(file=path.name))

    @classmethod
    def from_bars(
        cls,
        bars: Sequence[Bar],
        *,
        name: str,
        source: Source | None = None,
        dropped: Mapping[str, int] | None = None,
        volume_unit: str = "",
        notes: str = "",
    ) -> Self:
        """A recording of bars that share symbol, venue and interval and ascend without overlap.

        The scales are the fewest digits that hold every price and volume exactly.

        Raises:
            InvalidInput: no bars, mixed bars, or bars out of order.
        """
        if not bars:
            raise InvalidInput(name, "no bars", "at least one bar")
        first = bars[0]
        for offset, bar in enumerate(bars):
            if (bar.symbol, bar.venue, bar.interval_ns) != (first.symbol, first.venue, first.interval_ns):
                raise InvalidInput(f"{name}[{offset}]", bar.symbol, "bars of one symbol, venue and interval")
        price_scale = max(_digits(price) for bar in bars for price in (bar.open, bar.high, bar.low, bar.close))
        volume_scale = max(_digits(bar.volume) for bar in bars)
        columns = Columns(
            start_ns=[bar.start_ns for bar in bars],
            open=[_whole(bar.open, price_scale) for bar in bars],
            high=[_whole(bar.high, price_scale) for bar in bars],
            low=[_whole(bar.low, price_scale) for bar in bars],
            close=[_whole(bar.close, price_scale) for bar in bars],
            volume=[_whole(bar.volume, volume_scale) for bar in bars],
        )
        starts = columns.start_ns
        header = Header(
            name=name,
            symbol=first.symbol,
            venue=first.venue,
            interval_ns=first.interval_ns,
            price_scale=price_scale,
            volume_scale=volume_scale,
            volume_unit=volume_unit or first.symbol.partition("/")[0],
            count=len(bars),
            first=from_ns(starts[0]).isoformat(),
            last=from_ns(starts[-1]).isoformat(),
            gaps=sum(b - a != first.interval_ns for a, b in pairwise(starts)),
            dropped=dict(dropped or {}),
            notes=notes,
            source=source or Source(),
        )
        return cls(header, columns)

    def to_bytes(self) -> bytes:
        """The packed file of this recording."""
        return pack(self.header, self._columns)

    def __len__(self) -> int:
        return self.header.count

    def __iter__(self) -> Iterator[Bar]:
        return self.bars()

    def __getitem__(self, offset: int) -> Bar:
        """The bar at ``offset``; negative offsets count from the end.

        Raises:
            IndexError: there is no such bar.
        """
        position = range(len(self))[offset]
        return next(self.bars(position, position + 1))

    def bars(self, start: int = 0, stop: int | None = None) -> Iterator[Bar]:
        """The bars with offsets from ``start`` up to, not including, ``stop`` (default: all)."""
        head, columns = self.header, self._columns
        end = len(self) if stop is None else min(stop, len(self))
        for low in range(max(start, 0), end, _CHUNK):
            part = slice(low, min(low + _CHUNK, end))
            yield from map(
                Bar,
                repeat(head.symbol),
                repeat(head.venue),
                columns.start_ns[part],
                repeat(head.interval_ns),
                _decimals(columns.open[part], head.price_scale),
                _decimals(columns.high[part], head.price_scale),
                _decimals(columns.low[part], head.price_scale),
                _decimals(columns.close[part], head.price_scale),
                _decimals(columns.volume[part], head.volume_scale),
            )

    def ticks(self, start: int = 0, stop: int | None = None) -> Iterator[Tick]:
        """Like ``bars``, each with its name and offset."""
        name = self.name
        for offset, bar in enumerate(self.bars(start, stop), max(start, 0)):
            yield Tick(name, offset, bar)

    def offset_at(self, time_ns: int) -> int:
        """The offset of the first bar that starts at ``time_ns`` or later; the length if there is none."""
        return bisect_left(self._columns.start_ns, time_ns)

    def floats(self, column: Column) -> list[float]:
        """One column as floats (each the nearest to the exact value), for indicators over the whole recording."""
        scale = self.header.volume_scale if column == "volume" else self.header.price_scale
        unit = 10**scale
        numbers: list[int] = getattr(self._columns, column)
        return [number / unit for number in numbers]

    def _check(self) -> None:
        """Order and positivity, once per recording; the rest holds by construction of the columns."""
        head, columns = self.header, self._columns
        starts, step = columns.start_ns, head.interval_ns
        late = next((i for i, (a, b) in enumerate(pairwise(starts), 1) if b - a < step), None)
        if late is not None:
            found = from_ns(starts[late]).isoformat()
            raise InvalidInput(f"{head.name}[{late}].start", found, "a bar that starts when the one before has ended")
        if columns.low and min(columns.low) <= 0:
            raise InvalidInput(f"{head.name}.low", min(columns.low), "prices above zero")


def merge(sources: Iterable[Recording], begin: Mapping[str, int] | None = None) -> Iterator[Tick]:
    """The ticks of several recordings in the order in which they became known.

    Sorted by the end of the bar, then by the recording's name, then by offset: the same recordings always give the same
    order, in whatever order they are passed. ``begin`` maps a recording's name to the offset to begin at (default 0).

    Raises:
        InvalidInput: two recordings of one name, or ``begin`` names one that is not there.
    """
    by_name: dict[str, Recording] = {}
    for recording in sources:
        if by_name.setdefault(recording.name, recording) is not recording:
            raise InvalidInput("recordings", recording.name, "recordings of different names")
    offsets = dict(begin or {})
    for name, offset in offsets.items():
        if name not in by_name or offset < 0:
            raise InvalidInput(f"begin.{name}", offset, f"an offset from 0 into one of {', '.join(sorted(by_name))}")
    streams = [by_name[name].ticks(offsets.get(name, 0)) for name in sorted(by_name)]
    if len(streams) == 1:
        return streams[0]
    return heapq.merge(*streams, key=_known_at)


def _known_at(tick: Tick) -> tuple[int, str, int]:
    return (tick.bar.start_ns + tick.bar.interval_ns, tick.recording, tick.offset)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidInput(str(path), f"there is no file {path}", "the path of a recording") from None
    except OSError as error:
        raise InvalidInput(str(path), error.strerror or str(error), "a file that can be read") from None


def _decimals(numbers: list[int], scale: int) -> Iterator[Decimal]:
    shift: Callable[[Decimal, Decimal], Decimal] = _WIDE.scaleb
    return map(shift, map(Decimal, numbers), repeat(Decimal(-scale)))


def _digits(value: Decimal) -> int:
    """Digits after the point that the value needs; trailing zeros do not count."""
    exponent = value.normalize(_WIDE).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _whole(value: Decimal, scale: int) -> int:
    return int(_WIDE.scaleb(value, scale))
