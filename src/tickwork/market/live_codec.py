"""How a live recording stands on disk: lines that can be read by eye, each with its length and a checksum.

A recording is a folder of segments, one or more a day (UTC)::

    binance/000000000000-20261120.twl     the offset of its first item, and the day
    binance/000000182034-20261121.twl

A segment is a text file. Its first line says what it is, every further line is one item::

    000000b4 6f1d2c7e {"kind":"quote","source":"binance","knownNs":1790000000000000000,"what":{...}}

The first number is the length of the JSON in bytes, the second its CRC-32, both in hexadecimal. The checksum starts
from the item's offset, so that a line which got into another place does not pass. An item's offset is not written: it
is the offset of the segment's first item plus the number of lines before it. A segment also says where the one before
it ends, so that one which is missing is noticed.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from datetime import date
from typing import Final, NamedTuple

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import Item, Kind, kind_of
from tickwork.market.news import NewsItem, SocialPost
from tickwork.values import from_ns

SUFFIX: Final = ".twl"
LONGEST_LINE: Final = 1 << 20
"""The longest item, in bytes of JSON."""

_HEAD: Final = 18
_VERSION: Final = 1
_NAME: Final = re.compile(r"(\d{12,})-(\d{8})" + re.escape(SUFFIX), re.ASCII)
_LINE: Final = re.compile(rb"([0-9a-f]{8}) ([0-9a-f]{8}) ", re.ASCII)


class SegmentHead(msgspec.Struct, frozen=True, rename="camel"):
    """What a segment says about itself in its first line."""

    format: int
    recording: str
    first: int
    """The offset of its first item."""
    after: int
    """Where the segment before it ends: the same, except where the offsets between were lost for good."""
    day: str
    """The UTC day on which it was begun, ISO 8601."""


class Line(NamedTuple):
    """A whole line of a segment."""

    json: bytes
    end: int
    """Where the next line begins."""


class _Written(msgspec.Struct, frozen=True, rename="camel"):
    kind: Kind
    source: str
    known_ns: int
    what: msgspec.Raw


class _Times(msgspec.Struct, frozen=True, rename="camel"):
    known_ns: int


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Written).decode
_decode_times: Final = msgspec.json.Decoder(_Times).decode
_decode_head: Final = msgspec.json.Decoder(SegmentHead).decode
_decode_quote: Final = msgspec.json.Decoder(Quote).decode
_decode_bar: Final = msgspec.json.Decoder(Bar).decode


def segment_name(first: int, known_ns: int) -> str:
    """The file name of a segment that begins with offset ``first`` at that time."""
    return f"{first:012}-{from_ns(known_ns):%Y%m%d}{SUFFIX}"


def first_offset(file_name: str) -> int | None:
    """The offset of a segment's first item, by the name of its file; ``None``: that is no segment."""
    match = _NAME.fullmatch(file_name)
    return int(match.group(1)) if match else None


def day_of(known_ns: int) -> date:
    """The UTC day of a time."""
    return from_ns(known_ns).date()


def head_line(recording: str, first: int, known_ns: int, after: int) -> bytes:
    """The first line of a segment that begins at that time."""
    head = SegmentHead(_VERSION, recording, first, after, day_of(known_ns).isoformat())
    return _line(_encode(head), first)


def item_line(item: Item, offset: int) -> bytes:
    """An item's line.

    Raises:
        InvalidInput: its JSON is longer than a megabyte.
    """
    what = item.what
    body = what.to_wire() if isinstance(what, NewsItem | SocialPost) else _encode(what)
    json = _encode(_Written(kind_of(what), item.source, item.known_ns, msgspec.Raw(body)))
    if len(json) > LONGEST_LINE:
        raise InvalidInput(f"{item.source}.item", f"{len(json)} bytes", f"an item of at most {LONGEST_LINE} bytes")
    return _line(json, offset)


def _line(json: bytes, offset: int) -> bytes:
    return b"%08x %08x %b\n" % (len(json), _checksum(json, offset), json)


def _checksum(json: bytes, offset: int) -> int:
    return zlib.crc32(json, zlib.crc32(offset.to_bytes(8, "little")))


def read_line(content: bytes, at: int, offset: int) -> Line | None:
    """The line at a position; ``None``: there is no whole and undamaged line for that offset."""
    match = _LINE.match(content, at)
    if match is None:
        return None
    begin = at + _HEAD
    end = begin + int(match.group(1), 16)
    if content[end : end + 1] != b"\n":
        return None
    json = content[begin:end]
    return Line(json, end + 1) if _checksum(json, offset) == int(match.group(2), 16) else None


def read_head(content: bytes, file_name: str) -> tuple[SegmentHead, int]:
    """A segment's head, and where its items begin.

    Raises:
        InvalidInput: that is not a segment, or the segment of another place.
    """
    first = first_offset(file_name)
    line = None if first is None else read_line(content, 0, first)
    if line is None:
        raise InvalidInput(file_name, repr(content[:40]), "a segment of a live recording with an undamaged first line")
    try:
        head = _decode_head(line.json)
    except msgspec.DecodeError as error:
        raise InvalidInput(file_name, str(error), "the first line of a segment") from None
    if head.format != _VERSION:
        raise InvalidInput(f"{file_name}.format", head.format, f"format {_VERSION}, the only one this version reads")
    return head, line.end


def lines(content: bytes, at: int, offset: int) -> Iterator[Line]:
    """The lines from a position on, up to the first that is not whole."""
    while (line := read_line(content, at, offset)) is not None:
        yield line
        at, offset = line.end, offset + 1


def item_of(json: bytes, where: str) -> Item:
    """The item of a line.

    Raises:
        InvalidInput: it is no item, though its checksum is right: something else wrote it.
    """
    try:
        written = _decode(json)
        raw = bytes(written.what)
        match written.kind:
            case "quote":
                return Item(written.source, written.known_ns, _decode_quote(raw))
            case "bar":
                return Item(written.source, written.known_ns, _decode_bar(raw))
            case "news":
                return Item(written.source, written.known_ns, NewsItem.from_wire(raw))
            case "post":
                return Item(written.source, written.known_ns, SocialPost.from_wire(raw))
    except msgspec.DecodeError as error:
        raise InvalidInput(where, str(error), "an item of a live recording") from None


def known_ns_of(json: bytes, where: str) -> int:
    """When the item of a line became known.

    Raises:
        InvalidInput: it is no item.
    """
    try:
        return _decode_times(json).known_ns
    except msgspec.DecodeError as error:
        raise InvalidInput(where, str(error), "an item of a live recording") from None
