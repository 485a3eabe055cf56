"""The log of a home, read: its last lines, and those that come, of a level and of a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tickwork.errors import TickworkError
from tickwork.service.running.logs import KEPT, log_file

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_LOOK_S: Final = 0.2
_BLOCK: Final = 1 << 16


class LogLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the log."""

    time: str
    level: str
    logger: str
    message: str
    run: str = ""
    step: str = ""
    pid: int = 0
    error: str = ""
    """A traceback."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines."""

    level: str = "debug"
    """This and worse."""
    run: str = ""

    def fits(self, line: LogLine) -> bool:
        """Is it one of them?"""
        at = LEVELS.index(line.level) if line.level in LEVELS else len(LEVELS)
        return at >= LEVELS.index(self.level) and self.run in ("", line.run)


def last(home: Path, count: int, wanted: Wanted) -> list[LogLine]:
    """The last lines of the log that fit, oldest first, from as many of its files as it takes.

    Raises:
        TickworkError: nobody has ever logged there, or a file cannot be read.
    """
    path = log_file(home)
    files = [path, *(path.with_name(f"{path.name}.{number}") for number in range(1, KEPT + 1))]
    if not any(file.exists() for file in files):
        raise TickworkError(f"there is no log at {path}: `tickwork up` writes one, or give another --home")
    found: list[LogLine] = []
    for file in files:
        for text in _backwards(file) if count else ():
            line = _line(text)
            if line is not None and wanted.fits(line):
                found.append(line)
                if len(found) == count:
                    return found[::-1]
    return found[::-1]


def follow(
    home: Path,
    wanted: Wanted,
    *,
    going_on: Callable[[], bool] = lambda: True,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[LogLine]:
    """The lines that come from now on, also when the file is moved away and another begins.

    Args:
        going_on: asked whenever there is nothing to read; False ends it.
    """
    path = log_file(home)
    opened: BinaryIO | None = path.open("rb") if path.exists() else None
    if opened is not None:
        opened.seek(0, 2)
    rest = b""
    try:
        while True:
            # asked before reading: what was written before the file was moved away is read to its end
            moved = opened is None or _is_another(path, opened)
            for text in opened or ():
                rest += text
                if rest.endswith(b"\n"):
                    line, rest = _line(rest), b""
                    if line is not None and wanted.fits(line):
                        yield line
            if moved and path.exists():
                if opened is not None:
                    opened.close()
                opened, rest = path.open("rb"), b""
            elif going_on():
                sleep(_LOOK_S)
            else:
                return
    finally:
        if opened is not None:
            opened.close()


def _is_another(path: Path, opened: BinaryIO) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False  # it is just being moved: until there is another, nothing else can be read
    here = Path(f"/proc/self/fd/{opened.fileno()}").stat()
    return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev)


def _line(text: bytes) -> LogLine | None:
    """A line as it was written; ``None``: it is none, such as one that a full disk cut off."""
    try:
        return msgspec.json.decode(text, type=LogLine)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _backwards(file: Path) -> Iterator[bytes]:
    """The lines of a file, the last first."""
    try:
        opened = file.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise TickworkError(f"the log {file} cannot be read: {error.strerror}") from None
    with opened:
        place, rest = opened.seek(0, 2), b""
        while place:
            size = min(_BLOCK, place)
            place -= size
            opened.seek(place)
            first, *lines = (opened.read(size) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest = first
        if rest:
            yield rest
