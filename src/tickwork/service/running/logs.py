"""The log of a process: lines of JSON in ``<home>/logs/tickwork.log``, rotated by size, readable by its owner alone.

    {"time":"2026-01-02T03:04:05.678901Z","level":"warning","logger":"tickwork.engine","message":"...","run":"r12",
     "step":"place","pid":4711}

``run`` and ``step`` are there where what is logged is about one: given as ``extra={"run": ..., "step": ...}``, by the
convention of the engine and of ``run.log``, whose messages begin with ``[run]``, or because the code that logs is
called for one (``engines.embedded.working``).

Paper and live trading may run in one home at the same time, and write the same file. Each line is one ``write`` at its
end; whoever finds it too long moves it away under a lock, and the other notices that the file is another one.

A line that cannot be written is counted and told of later: a full disk ends trading elsewhere, not here.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tickwork.engines.embedded.working import WORKING, Work
from tickwork.service.running.home import make_home

FILE: Final = "tickwork.log"
FOLDER: Final = "logs"
"""In the home folder."""
LARGEST: Final = 10_000_000
"""Bytes of one file."""
KEPT: Final = 5
"""Files besides the one that is written."""
_MESSAGE_MAX: Final = 20_000
"""Characters of a message, and of a traceback."""
_RUN: Final = re.compile(r"\[([^\[\]\s]{1,200})\] ")
_BY_CONVENTION: Final = ("tickwork.engine", "tickwork.run")
_NOTHING: Final = Work("", "")
TOLD: Final = "told"
"""Of a record: a person has been told the same on stderr."""


def log_file(home: Path) -> Path:
    """Where the log of a home is."""
    return home / FOLDER / FILE


class JsonLines(logging.Formatter):
    """A record as a line of JSON, without secrets."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """See ``logging.Formatter``."""
        message = _said(record)
        line: dict[str, Any] = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._clean(message),
        }
        found = _RUN.match(message) if record.name in _BY_CONVENTION else None
        work = WORKING.get() or _NOTHING
        run = getattr(record, "run", None) or (found[1] if found else work.run)
        step = getattr(record, "step", None) or (work.step if run == work.run else "")
        for name, value in (("run", run), ("step", step)):
            if isinstance(value, str) and value:
                line[name] = self._clean(value)
        line["pid"] = record.process
        if record.exc_info:
            line["error"] = self._clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))

    def _clean(self, text: str) -> str:
        text = self._redact(text[:_MESSAGE_MAX])
        return text.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair is no UTF-8


def _said(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError) as error:  # a log line that is written wrongly ends nothing
        return f"{record.msg!r} (its arguments do not fit: {error})"


class LogFile(logging.Handler):
    """Writes to the log of a home.

    Args:
        home: the folder; ``logs`` in it is made.
        redact: takes secrets out of a text.
        largest, kept: see ``LARGEST`` and ``KEPT``.

    Raises:
        OSError: the folder or the file cannot be written.
    """

    def __init__(self, home: Path, redact: Callable[[str], str], *, largest: int = LARGEST, kept: int = KEPT) -> None:
        super().__init__(logging.INFO)
        self.path = log_file(home)
        self.lost = 0
        """Lines that could not be written since the last one that could."""
        self._largest, self._kept = largest, kept
        self.setFormatter(JsonLines(redact))
        make_home(home)
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self._file = self._opened()

    def filter(self, record: logging.LogRecord) -> bool:
        """Ours, and what others warn of: their lower levels may hold addresses and bodies."""
        ours = record.name == "tickwork" or record.name.startswith("tickwork.")
        return (ours or record.levelno >= logging.WARNING) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """See ``logging.Handler``; never raises."""
        try:
            data = self.format(record).encode() + b"\n"
            if self.lost:
                data = self._loss().encode() + b"\n" + data
            self._make_room(len(data))
            os.write(self._file, data)
            self.lost = 0
        except OSError:
            self.lost += 1

    def _loss(self) -> str:
        text = f"{self.lost} lines before this one could not be written"
        return self.format(logging.LogRecord("tickwork.logs", logging.WARNING, "", 0, text, (), None))

    def _opened(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def _make_room(self, more: int) -> None:
        """Write to the file that is there now, and not beyond its size."""
        if self._is_another():
            self._again()
        if os.fstat(self._file).st_size + more <= self._largest:
            return
        lock = os.open(self.path.with_name(".rotating"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._is_another():  # else the other process has done it
                self._rotate()
        finally:
            os.close(lock)
        self._again()

    def _is_another(self) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return True
        here = os.fstat(self._file)
        return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev)

    def _again(self) -> None:
        new = self._opened()
        os.close(self._file)
        self._file = new

    def _rotate(self) -> None:
        for number in range(self._kept, 0, -1):
            older = self.path if number == 1 else self.path.with_name(f"{FILE}.{number - 1}")
            if older.exists():
                older.replace(self.path.with_name(f"{FILE}.{number}"))
        if not self._kept:
            self.path.unlink()

    def close(self) -> None:
        """See ``logging.Handler``."""
        self.acquire()
        try:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1
        finally:
            self.release()
        super().close()


class _Others(logging.Handler):
    """What others than we warn of, on stderr, as it would be if nobody kept a log."""

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("tickwork") and logging.lastResort is not None:
            logging.lastResort.emit(record)


def begin(home: Path, redact: Callable[[str], str], *, on_stderr: bool = True) -> Callable[[], None]:
    """Log to the file of a home, from level ``info`` on; returns what ends that.

    Args:
        on_stderr: what other libraries warn of goes to stderr as well.

    Raises:
        OSError: it cannot be written.
    """
    root, ours = logging.getLogger(), logging.getLogger("tickwork")
    level = ours.level
    handlers: list[logging.Handler] = [LogFile(home, redact)]
    if on_stderr:
        handlers.append(_Others(logging.WARNING))
    for handler in handlers:
        root.addHandler(handler)
    ours.setLevel(min(ours.getEffectiveLevel(), logging.INFO))

    def end() -> None:
        ours.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()

    return end
