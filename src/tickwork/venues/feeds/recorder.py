"""The recorder: writes what a feed says to its live recording, as it comes in.

Theory of operation. Every item is one write of one line, straight to the operating system: what ``append`` returned
survives the death of the process. The disk is another matter, and it is not asked for every quote: market data is not
the tape. It is asked by ``sync``, which whoever puts an offset on the tape awaits first. So what the tape refers to is
on disk, and a power failure can only take items that nothing durable names; their offsets are then given anew.

Opening a recording looks for what a crash left behind: a last line that is not whole is cut off (and kept beside the
segment as ``.cut``). Where good lines follow one that is damaged, nothing is cut, and the recording is refused. A new
segment begins with each UTC day, or at 64 MiB; the old one is synced first, and the new one gets its name only when its
first line is on disk, so only the last segment can end in half a line.

A full disk raises ``RecordingFailed`` and leaves the recording as it was: the next ``append`` may succeed. A failed
sync is final, because nobody knows what is on disk after it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from tickwork.errors import Fatal, InvalidInput
from tickwork.market.live import Item, Placed
from tickwork.market.live_codec import (
    day_of,
    head_line,
    item_line,
    item_of,
    lines,
    read_head,
    read_line,
    segment_name,
)
from tickwork.market.live_recording import LiveRecording, segments

SEGMENT_BYTES: Final = 64 << 20

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", re.ASCII)


class RecordingFailed(Fatal):
    """A recording cannot be written: a full disk, no permission, another process that writes it."""

    def __init__(self, recording: str, what: str) -> None:
        super().__init__(recording, what)

    def __str__(self) -> str:
        return f"recording {self.args[0]!r} cannot be written: {self.args[1]}"


class Recorder:
    """Writes one recording. One process owns it, by a lock that dies with the process.

    Args:
        home: the folder of all recordings; this one becomes a folder in it.
        name: of the recording.
        segment_bytes: how large a segment may grow before the next begins.
        begin: the least offset that the next item may have: what the tape already refers to must stay what it was,
            even where the recording has been lost or removed.

    Raises:
        RecordingFailed: it cannot be written, or another process writes it.
        InvalidInput: what is there is no recording, that of another name, or damaged before its end.
    """

    def __init__(self, home: Path, name: str, *, segment_bytes: int = SEGMENT_BYTES, begin: int = 0) -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput("recording", name, "a name of letters, digits, dots and dashes, which is a folder's too")
        self.name = name
        self.folder = home / name
        self.cut_bytes = 0
        """What a crash had left of a last line; cut off when this was opened."""
        self.cut_kept = True
        """Was it kept beside the segment? Not on a full disk."""
        self.lost = 0
        """How many offsets had been given whose items are not there."""
        self._segment_bytes = segment_bytes
        self._file = -1
        self._size = self._end = self._written = self._synced = self._last_ns = 0
        self._day = day_of(0)
        self._fault: RecordingFailed | None = None
        self._lock = self._owned()
        try:
            self._recover()
            self.lost = max(0, begin - self._end)
            self._end += self.lost
            self._synced = self._end
        except OSError as error:
            self.close()
            raise self._failed(error) from None
        except BaseException:
            self.close()
            raise

    @property
    def end(self) -> int:
        """The offset of the next item."""
        return self._end

    @property
    def last_ns(self) -> int:
        """When the last item became known; 0 before the first."""
        return self._last_ns

    def reader(self) -> LiveRecording | None:
        """The recording, for reading; ``None``: nothing is recorded yet."""
        return LiveRecording(self.folder) if segments(self.folder) else None

    def tail(self, count: int) -> list[Placed]:
        """The last ``count`` items, oldest first."""
        reader = self.reader()
        return [] if reader is None else reader.tail(count)

    def append(self, item: Item) -> Placed:
        """Write an item; on return it survives the death of the process, though not yet that of the machine.

        An item that claims to have been known before the last one is taken as known with it: the order in which items
        became known is the order in which they stand.

        Raises:
            RecordingFailed: it could not be written; the recording is as it was before.
            InvalidInput: the item is longer than a megabyte.
        """
        self._check()
        if item.known_ns < self._last_ns:
            item = msgspec.structs.replace(item, known_ns=self._last_ns)
        line = item_line(item, self._end)
        try:
            if self._must_begin(item.known_ns):
                self._begin_segment(item.known_ns)
            self._write(line)
        except OSError as error:
            raise self._failed(error) from None
        self._size += len(line)
        self._end += 1
        self._written = self._end
        self._last_ns = item.known_ns
        return Placed(self.name, self._end - 1, item)

    async def sync(self) -> None:
        """Return when everything appended so far is on disk. Await it before anything durable names an offset.

        Raises:
            RecordingFailed: the disk failed; from then on nothing can be appended.
        """
        self._check()
        if self._synced == self._end:
            return
        end, file = self._end, os.dup(self._file)
        try:
            await asyncio.to_thread(os.fsync, file)
        except OSError as error:
            self._fault = self._failed(error)
            raise self._fault from None
        finally:
            os.close(file)
        # what was written meanwhile may be on disk or not; a new segment was synced by itself up to its first line
        self._synced = max(self._synced, end)

    def close(self) -> None:
        """Let the recording go. Nothing is lost by not calling it, nor put on disk by calling it."""
        for file in (self._file, self._lock):
            if file >= 0:
                os.close(file)
        self._file = self._lock = -1

    # -- opening --------------------------------------------------------------------------------------------------

    def _owned(self) -> int:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise self._failed(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise RecordingFailed(self.name, f"another process writes {self.folder}") from None
        return lock

    def _recover(self) -> None:
        """Find the end of what is there; cut off what is not whole."""
        parts = segments(self.folder)
        if not parts:
            return
        first, path = parts[-1]
        content = path.read_bytes()
        head, at = read_head(content, path.name)
        if head.recording != self.name or head.first != first:
            raise InvalidInput(str(path), head.recording, f"a segment of recording {self.name!r}")
        self._end, last = first, b""
        for line in lines(content, at, first):
            last, at = line.json, line.end
            self._end += 1
        self._written = self._end
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if at < len(content):
            if _goes_on(content, at, self._end):
                found = f"a damaged line at byte {at} (offset {self._end}) with good lines after it"
                raise InvalidInput(
                    str(path), found, "an undamaged file: bring it back from a copy, or cut it off there"
                )
            self.cut_bytes = len(content) - at
            self.cut_kept = _kept(path.with_suffix(f".{at}.cut"), content[at:])
            os.ftruncate(self._file, at)
        os.fsync(self._file)
        self._size = at
        self._last_ns = item_of(last, str(path)).known_ns if last else self._before(parts)
        self._day = date.fromisoformat(head.day)

    def _before(self, parts: list[tuple[int, Path]]) -> int:
        """When the last item before the last segment became known, whose own items a crash has taken."""
        first = parts[-1][0]
        earlier = list(LiveRecording(self.folder).items(parts[-2][0], first)) if len(parts) > 1 else []
        return earlier[-1].item.known_ns if earlier else 0

    # -- writing --------------------------------------------------------------------------------------------------

    def _must_begin(self, known_ns: int) -> bool:
        """Does a new segment begin with this item? Also after a gap, which only a segment's head can tell of."""
        full = self._file < 0 or self._size >= self._segment_bytes
        return full or day_of(known_ns) != self._day or self._written != self._end

    def _begin_segment(self, known_ns: int) -> None:
        if self._file >= 0:
            os.fsync(self._file)
        path = self.folder / segment_name(self._end, known_ns)
        begun = path.with_suffix(".new")
        head = head_line(self.name, self._end, known_ns, self._written)
        file = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            _write_all(file, head)
            os.fsync(file)
            begun.rename(path)
            _sync_folder(self.folder)
        except OSError:
            os.close(file)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._size, self._day = file, len(head), day_of(known_ns)

    def _write(self, line: bytes) -> None:
        try:
            _write_all(self._file, line)
        except OSError:
            # half a line on a full disk: taken back, so that the next one begins where it should
            os.ftruncate(self._file, self._size)
            raise

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self._lock < 0:
            raise RecordingFailed(self.name, "it is closed")

    def _failed(self, error: OSError) -> RecordingFailed:
        return RecordingFailed(self.name, f"{self.folder}: {error.strerror or error}")


def _goes_on(content: bytes, at: int, offset: int) -> bool:
    """Is there a good line after the one that is not? Then it is no torn tail, but damage in the middle."""
    count = 0
    while (at := content.find(b"\n", at) + 1) > 0:
        count += 1
        # the damage may have made an end of line, or taken one
        if any(read_line(content, at, offset + passed) for passed in (count - 1, count, count + 1)):
            return True
    return False


def _kept(path: Path, content: bytes) -> bool:
    """Keep what is cut off, if there is room: a full disk must not keep the recording from being opened."""
    try:
        path.write_bytes(content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path.unlink(missing_ok=True)
        return False
    return True


def _write_all(file: int, content: bytes) -> None:
    """A write may take less than it is given, as on a disk that is about to be full."""
    while content:
        content = content[os.write(file, content) :]


def _sync_folder(folder: Path) -> None:
    """A file's name is on disk when its folder is."""
    file = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
