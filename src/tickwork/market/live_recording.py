"""Live recordings, for reading: everything one feed has said, in order, each item with an integer offset.

The tape names an item by the recording's name and its offset. Whoever writes the recording is another (a recorder, in
another room); it may be writing while this reads: what is there whole is read.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.live import Placed
from tickwork.market.live_codec import Line, SegmentHead, first_offset, item_of, known_ns_of, lines, read_head
from tickwork.market.packed import Source
from tickwork.market.recording import Recording
from tickwork.values import DurationLike, duration


class LiveRecording:
    """The recording in a folder.

    Raises:
        InvalidInput: there is no recording there, or the first line of its first segment is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        first, path = self._segments()[0]
        self.name = _open(path, first, None)[0].recording
        """What the tape calls it."""

    @property
    def first(self) -> int:
        """The lowest offset that is kept; above 0 where old segments were removed."""
        return self._segments()[0][0]

    @property
    def end(self) -> int:
        """The offset that the next item will have."""
        first, path = self._segments()[-1]
        return first + sum(1 for _ in self._lines(first, path))

    def items(self, start: int | None = None, stop: int | None = None) -> Iterator[Placed]:
        """The items with offsets from ``start`` (default: the first kept) up to, not including, ``stop``.

        Raises:
            InvalidInput: ``start`` is no longer kept; a segment is missing; a line before the last segment's end is
                damaged.
        """
        parts = self._segments()
        begin = parts[0][0] if start is None else start
        if begin < parts[0][0]:
            raise InvalidInput(
                f"{self.name}.start", begin, f"an offset from {parts[0][0]}: what was before it is removed"
            )
        offset: int | None = None
        for number, (first, path) in enumerate(parts):
            if number + 1 < len(parts) and parts[number + 1][0] <= begin:
                continue
            head, content, at = _open(path, first, self.name)
            if offset not in (None, head.after):
                found = f"nothing readable before {path.name}"
                raise InvalidInput(f"{self.name}[{offset}]", found, f"every item before offset {head.after}")
            offset = first
            for line in lines(content, at, first):
                if stop is not None and offset >= stop:
                    return
                if offset >= begin:
                    yield Placed(self.name, offset, item_of(line.json, f"{self.name}[{offset}]"))
                offset += 1

    def tail(self, count: int) -> list[Placed]:
        """The last ``count`` items, oldest first."""
        return list(self.items(max(self.first, self.end - count)))

    def offset_at(self, known_ns: int) -> int:
        """The offset of the first item that became known at that time or later; the end if there is none."""
        parts = self._segments()
        begun = [next(self._known(first, path), known_ns) < known_ns for first, path in parts]
        for first, path in parts[max(0, sum(begun) - 1) :]:
            for offset, known in enumerate(self._known(first, path), first):
                if known >= known_ns:
                    return offset
        return self.end

    def _segments(self) -> list[tuple[int, Path]]:
        found = segments(self.folder)
        if not found:
            raise InvalidInput(str(self.folder), "no segment", "the folder of a live recording")
        return found

    def _lines(self, first: int, path: Path) -> Iterator[Line]:
        _, content, begin = _open(path, first, self.name)
        return lines(content, begin, first)

    def _known(self, first: int, path: Path) -> Iterator[int]:
        return (known_ns_of(line.json, str(path)) for line in self._lines(first, path))

    def bars(self, symbol: str, venue: str, interval: DurationLike) -> Recording:
        """The bars of one stream as a recording of its own, for a backtest. Its offsets count only these bars.

        Raises:
            InvalidInput: there are none.
        """
        interval_ns = duration(interval, "interval")
        found: list[Bar] = []
        for placed in self.items():
            what = placed.item.what
            if (
                isinstance(what, Bar)
                and (what.symbol, what.venue, what.interval_ns) == (symbol, venue, interval_ns)
                and (not found or what.start_ns > found[-1].start_ns)
            ):
                found.append(what)
        return Recording.from_bars(found, name=self.name, source=Source(file=str(self.folder)))


def segments(folder: Path) -> list[tuple[int, Path]]:
    """The segments in a folder with their first offsets, in order; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((first, path) for path in folder.iterdir() if (first := first_offset(path.name)) is not None)


def merge_items(recordings: Iterable[LiveRecording], begin: Mapping[str, int] | None = None) -> Iterator[Placed]:
    """The items of several recordings in the order in which they became known, then by recording and offset.

    ``begin`` maps a recording's name to the offset to begin at (default: the first kept).

    Raises:
        InvalidInput: two recordings of one name, or ``begin`` names one that is not there.
    """
    by_name: dict[str, LiveRecording] = {}
    for recording in recordings:
        if by_name.setdefault(recording.name, recording) is not recording:
            raise InvalidInput("recordings", recording.name, "recordings of different names")
    for name in begin or {}:
        if name not in by_name:
            raise InvalidInput("begin", name, f"one of {', '.join(sorted(by_name)) or 'no recordings'}")
    streams = [by_name[name].items((begin or {}).get(name)) for name in sorted(by_name)]
    return heapq.merge(*streams, key=_order)


def _order(placed: Placed) -> tuple[int, str, int]:
    return placed.item.known_ns, placed.recording, placed.offset


def _open(path: Path, first: int, name: str | None) -> tuple[SegmentHead, bytes, int]:
    """A segment's head, its content and where its items begin."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(str(path), error.strerror or str(error), "a file that can be read") from None
    head, begin = read_head(content, path.name)
    if head.first != first or name not in (None, head.recording):
        found = f"recording {head.recording!r} from offset {head.first}"
        raise InvalidInput(str(path), found, f"recording {name or head.recording!r} from offset {first}")
    return head, content, begin
