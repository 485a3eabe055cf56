"""Bars from a CSV file that a user brings. Every complaint names the file, the line and the column.

Columns: ``timestamp, open, high, low, close, volume``, found by their names in the first line, in any order and case;
others are ignored. A timestamp is the *start* of its bar: ISO 8601 with a zone (``2024-01-01T00:00Z``), or whole
seconds, milliseconds, microseconds or nanoseconds since 1970 UTC, told apart by their size. A time without a zone is
refused unless the options say which zone it is in: guessing one moves every bar by hours without a sound.
"""

from __future__ import annotations

import csv
from datetime import datetime, tzinfo
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.values import price, quantity, symbol, timestamp_ns

COLUMNS: Final = ("timestamp", "open", "high", "low", "close", "volume")

# Digits of a number of seconds in the years 2001 to 2286, and the factor to nanoseconds, for each unit.
_EPOCH_UNITS: Final = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}


class CsvOptions(msgspec.Struct, frozen=True):
    """What a CSV file does not say about itself."""

    symbol: str = ""
    """Default: told by the file's name: ``btc-usdt.csv`` is ``BTC/USDT``, ``AAPL.csv`` is ``AAPL``."""
    venue: str = "csv"
    zone: tzinfo | None = None
    """The zone of timestamps that name none."""
    interval_ns: int = 0
    """Length of a bar; default: the smallest distance between two rows."""


def read_bars(path: Path, options: CsvOptions) -> list[Bar]:
    """All bars of the file, in its order, which must ascend.

    Raises:
        InvalidInput: the file cannot be read, a column is missing, or a row is no bar.
    """
    rows = _read_rows(path, options)
    interval_ns = options.interval_ns or _interval(path, [row[1] for row in rows])
    name = symbol(options.symbol or _symbol_of(path), f"{path.name}.symbol")
    bars: list[Bar] = []
    for line, start_ns, (open_, high, low, close, volume) in rows:
        try:
            bars.append(Bar(name, options.venue, start_ns, interval_ns, open_, high, low, close, volume))
        except InvalidInput as error:
            column = error.path.removeprefix("bar.")
            raise InvalidInput(f"{path.name}:{line}.{column}", error.found, error.expected) from None
    return bars


def _symbol_of(path: Path) -> str:
    return path.stem.upper().replace("_", "-").replace("-", "/", 1)


_Row = tuple[int, int, tuple[Decimal, Decimal, Decimal, Decimal, Decimal]]
"""Line number, start in nanoseconds, open-high-low-close-volume."""


def _read_rows(path: Path, options: CsvOptions) -> list[_Row]:
    rows: list[_Row] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            places = _places(path, next(reader, []))
            for cells in reader:
                if cells:  # a blank line, such as the last one, is no row
                    rows.append(_row(f"{path.name}:{reader.line_num}", reader.line_num, cells, places, options.zone))
                    if len(rows) > 1 and rows[-1][1] <= rows[-2][1]:
                        where = f"{path.name}:{reader.line_num}.timestamp"
                        raise InvalidInput(where, cells[places[0]], "a time after that of the row before")
    except FileNotFoundError:
        raise InvalidInput(str(path), f"there is no file {path}", "a CSV file in UTF-8") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), str(error), "a CSV file in UTF-8 that can be read") from None
    return rows


def _places(path: Path, head: list[str]) -> list[int]:
    names = [cell.strip().lower() for cell in head]
    for column in COLUMNS:
        if names.count(column) != 1:
            expected = f"one column {column!r}; the first line must name {', '.join(COLUMNS)}"
            raise InvalidInput(f"{path.name}:1.{column}", ",".join(head)[:200], expected)
    return [names.index(column) for column in COLUMNS]


def _row(where: str, line: int, cells: list[str], places: list[int], zone: tzinfo | None) -> _Row:
    if len(cells) <= max(places):
        raise InvalidInput(where, f"{len(cells)} cells", f"at least {max(places) + 1} cells")
    stamp, *numbers = (cells[place].strip() for place in places)
    start_ns = _start(f"{where}.timestamp", stamp, zone)
    open_, high, low, close = (
        price(number, f"{where}.{name}") for name, number in zip(COLUMNS[1:5], numbers[:4], strict=True)
    )
    return line, start_ns, (open_, high, low, close, quantity(numbers[4], f"{where}.volume"))


def _start(where: str, text: str, zone: tzinfo | None) -> int:
    expected = "ISO 8601 with a zone, e.g. 2024-01-01T00:00Z, or whole seconds (or ms, us, ns) since 1970"
    if text.isascii() and text.isdigit():
        factor = _EPOCH_UNITS.get(len(text))
        if factor is None:
            raise InvalidInput(where, text, expected)
        return int(text) * factor
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(where, text, expected) from None
    if time.tzinfo is None:
        if zone is None:
            raise InvalidInput(where, text, f"{expected}; this time names no zone")
        time = time.replace(tzinfo=zone)
    return timestamp_ns(time, where)


def _interval(path: Path, starts: list[int]) -> int:
    if len(starts) < 2:
        raise InvalidInput(
            path.name,
            f"{len(starts)} row{'' if len(starts) == 1 else 's'}",
            "at least two rows, which tell how long a bar is",
        )
    return min(later - earlier for earlier, later in pairwise(starts))
