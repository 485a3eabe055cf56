"""Where a process of ``tickwork up`` leaves word of itself: ``<home>/up-paper.json`` or ``up-live.json``.

Who runs is what the kernel says: the process that holds the lock ``up-paper.lock``, which dies with it. The file beside
it only says what the kernel cannot: since when, how far it has come, how it ended. A file that says "up" where nobody
holds the lock is of a process that was killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, Self

import msgspec

from tickwork.engines.embedded.draining import UnderWay
from tickwork.errors import TickworkError
from tickwork.service.ownership import holder_of

Mode = Literal["live", "paper"]
Stage = Literal["opening", "up", "stopping", "stopped", "failed"]
MODES: Final[tuple[Mode, ...]] = ("live", "paper")


class Word(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a process last said of itself."""

    pid: int
    mode: Mode
    stage: Stage
    since: datetime
    """When it began."""
    at: datetime
    """When it said this."""
    version: str = ""
    detail: str = ""
    """What it waits for; why it ended."""
    left: list[UnderWay] = []
    """What was under way when it ended."""

    @property
    def over(self) -> bool:
        """Did it end in good order?"""
        return self.stage in ("stopped", "failed")


@dataclass(frozen=True, slots=True)
class Place:
    """The process of a home and a mode."""

    home: Path
    mode: Mode

    @property
    def lock(self) -> Path:
        """What its process owns, without the ``.lock``."""
        return self.home / f"up-{self.mode}"

    @property
    def file(self) -> Path:
        """Where it leaves word."""
        return self.home / f"up-{self.mode}.json"

    @property
    def tape(self) -> Path:
        """Its tape."""
        return self.home / f"{self.mode}.db"

    def holder(self) -> int:
        """The process that runs there; 0: none."""
        told = holder_of(str(self.lock))
        return int(told) if told.isdecimal() else 0

    def read(self) -> Word | None:
        """What was last said; ``None``: nothing, or nothing that can be read."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=Word)
        except (OSError, msgspec.MsgspecError):
            return None

    def touch(self) -> None:
        """Say nothing new, but that it is alive: needs no room on a disk that is full."""
        with contextlib.suppress(OSError):
            os.utime(self.file)

    def seen(self, word: Word) -> datetime:
        """The last sign of life of the process that left this word here."""
        try:
            touched = datetime.fromtimestamp(self.file.stat().st_mtime, UTC)
        except OSError:
            return word.at
        return word.at if word.over else max(word.at, touched)

    def write(self, word: Word) -> None:
        """Leave word; a reader finds this or what was said before, whole.

        Raises:
            OSError: it cannot be written.
        """
        with tempfile.NamedTemporaryFile(dir=self.home, prefix=".up-", delete=False) as file:
            file.write(msgspec.json.encode(word))
        try:
            Path(file.name).replace(self.file)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


class Process:
    """Another process, held by a descriptor: no signal can reach one that has its number later.

    Raises:
        ProcessLookupError: there is none.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens where it has ended.

        Raises:
            TickworkError: it is somebody else's.
        """
        with contextlib.suppress(ProcessLookupError):
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except PermissionError:
                raise TickworkError(f"process {self.pid} belongs to another user: stop it as that user") from None

    def ended(self, within: float) -> bool:
        """Wait for its end, at most so many seconds."""
        readable, _, _ = select.select([self._descriptor], [], [], within)
        return bool(readable)
