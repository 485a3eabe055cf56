"""The packed form of a recording: columns of integers, differenced, shuffled, compressed.

Layout of a ``.twr`` file, integers little-endian::

    4 bytes   magic "TWR1"
    4 bytes   n, length of the header
    n bytes   header: JSON in UTF-8, see ``Header``
    the rest  an xz stream of six columns, one after the other, each of ``count`` 64-bit integers

A price ``p`` is stored as the integer ``p * 10**price_scale``, a volume likewise: exact, never a float. The columns
hold

    start    minus (the start before + the interval): zero but after a gap
    open     minus the close before (the first: the open itself)
    close    minus the open of the same bar
    high     minus the greater of open and close: never negative
    low      the lesser of open and close, minus the low: never negative
    volume   itself

so that "low <= open, close <= high" holds by construction. A signed number ``n`` is folded to ``2n`` or ``-2n - 1``
(zigzag), and the bytes of a column are sorted by their place (all lowest bytes first), which xz likes. xz carries a
checksum of the content; a damaged file does not read.
"""

from __future__ import annotations

import lzma
import struct
import sys
from array import array
from collections.abc import Iterable
from itertools import accumulate, chain
from typing import Final

import msgspec

from tickwork.errors import InvalidInput

MAGIC: Final = b"TWR1"
_COLUMNS: Final = 6
_WIDTH: Final = 8
_LARGEST_HEADER: Final = 1 << 20
_LARGEST_BODY: Final = 1 << 30


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """Where the numbers come from: a file of a published package, under its licence."""

    package: str = ""
    version: str = ""
    file: str = ""
    sha256: str = ""
    """Of the original file, in hexadecimal."""
    license: str = ""
    credit: str = ""


class Header(msgspec.Struct, frozen=True, rename="camel"):
    """What a recording says about itself."""

    name: str
    symbol: str
    venue: str
    interval_ns: int
    price_scale: int
    """Digits after the point of a price."""
    volume_scale: int
    volume_unit: str
    count: int
    first: str
    """Start of the first bar, ISO 8601 in UTC; empty when there is none."""
    last: str
    """Start of the last bar."""
    gaps: int
    """How often a bar does not start where the one before ends: nights and weekends of an equity, outages else."""
    dropped: dict[str, int] = {}
    """Rows of the original that were left out, by reason."""
    notes: str = ""
    source: Source = Source()


class Columns(msgspec.Struct, frozen=True):
    """The bars themselves, one list per column; prices and volumes are integers at the header's scales."""

    start_ns: list[int]
    open: list[int]
    high: list[int]
    low: list[int]
    close: list[int]
    volume: list[int]


def pack(header: Header, columns: Columns) -> bytes:
    """The file of a recording. ``unpack`` gives the same header and columns back."""
    starts, opens, closes = columns.start_ns, columns.open, columns.close
    expected_starts = chain([0], (start + header.interval_ns for start in starts))
    previous_closes = chain([0], closes)
    body = b"".join(
        (
            _column(map(_fold, (s - e for s, e in zip(starts, expected_starts, strict=False)))),
            _column(map(_fold, (o - c for o, c in zip(opens, previous_closes, strict=False)))),
            _column(map(_fold, (c - o for o, c in zip(opens, closes, strict=True)))),
            _column(h - max(o, c) for h, o, c in zip(columns.high, opens, closes, strict=True)),
            _column(min(o, c) - low for low, o, c in zip(columns.low, opens, closes, strict=True)),
            _column(columns.volume),
        )
    )
    head = msgspec.json.encode(header)
    packed = lzma.compress(body, preset=6 | lzma.PRESET_EXTREME)
    return MAGIC + struct.pack("<I", len(head)) + head + packed


def unpack(content: bytes, path: str = "recording") -> tuple[Header, Columns]:
    """Read a packed recording.

    Raises:
        InvalidInput: not a packed recording, damaged, or of another length than its header says.
    """
    header, offset = _header(content, path)
    stream = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
    try:
        body = stream.decompress(content[offset:], max_length=_LARGEST_BODY)
    except lzma.LZMAError as error:
        raise InvalidInput(path, str(error), "an intact recording") from None
    # a stream cut short gives what it has without a word, and its checksum was never looked at
    if not stream.eof or stream.unused_data:
        raise InvalidInput(path, f"{len(content)} bytes", "an intact recording; this one is cut short or goes on")
    size = header.count * _WIDTH
    if header.count < 0 or header.interval_ns <= 0 or len(body) != size * _COLUMNS:
        raise InvalidInput(path, f"{len(body)} bytes", f"{_COLUMNS} columns of {header.count} numbers")
    parts = [_numbers(body[at : at + size]) for at in range(0, size * _COLUMNS, size)] if size else [array("Q")] * 6
    return header, _restore(header, parts)


def _header(content: bytes, path: str) -> tuple[Header, int]:
    if len(content) < 8 or content[:4] != MAGIC:
        raise InvalidInput(path, repr(content[:4]), "a packed recording, which begins with TWR1")
    (length,) = struct.unpack_from("<I", content, 4)
    if length > _LARGEST_HEADER:
        raise InvalidInput(path, length, "a header of at most a megabyte")
    try:
        return msgspec.json.decode(content[8 : 8 + length], type=Header), 8 + length
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path}.header", str(error), "the header of a packed recording") from None


def _restore(header: Header, parts: list[array[int]]) -> Columns:
    start_steps, open_steps, bodies, above, below, volume = parts
    step = header.interval_ns
    unfolded = map(_unfold, start_steps)
    starts = list(accumulate(unfolded, lambda before, skipped: before + step + skipped))
    body_list = list(map(_unfold, bodies))
    opens: list[int] = []
    closes: list[int] = []
    close = 0
    for moved, body in zip(map(_unfold, open_steps), body_list, strict=True):
        opened = close + moved
        close = opened + body
        opens.append(opened)
        closes.append(close)
    highs = [max(o, c) + up for o, c, up in zip(opens, closes, above, strict=True)]
    lows = [min(o, c) - down for o, c, down in zip(opens, closes, below, strict=True)]
    return Columns(starts, opens, highs, lows, closes, volume.tolist())


def _fold(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def _unfold(folded: int) -> int:
    return -((folded + 1) >> 1) if folded & 1 else folded >> 1


def _column(numbers: Iterable[int]) -> bytes:
    values = array("Q", numbers)
    if sys.byteorder == "big":
        values.byteswap()
    raw = values.tobytes()
    return b"".join(raw[place::_WIDTH] for place in range(_WIDTH))


def _numbers(shuffled: bytes) -> array[int]:
    count = len(shuffled) // _WIDTH
    raw = bytearray(len(shuffled))
    for place in range(_WIDTH):
        raw[place::_WIDTH] = shuffled[place * count : (place + 1) * count]
    values = array("Q")
    values.frombytes(bytes(raw))
    if sys.byteorder == "big":
        values.byteswap()
    return values
