"""A disk that loses what was not synced: a VFS for SQLite, and the image it would leave after a power cut.

Reads and writes go to real files, so that SQLite works as ever. Beside them the *disk* keeps what a platter would hold:
the bytes as of the last ``xSync`` of each file, and every write and truncation since. At the moment of death the image
is taken (``image``): the synced bytes plus none, all, or a random part of the rest, the last one torn. From then on
every call fails, so that nothing after the death can be acknowledged.

The shared-memory index is not part of it: it does not survive a power cut.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import apsw

Loss = Literal["all", "none", "some", "torn"]
"""What becomes of the writes that were not synced: all lost, none lost, each at random, a prefix with a torn end."""

LOSSES: tuple[Loss, ...] = ("all", "all", "some", "some", "torn", "none")

SECTOR = 512


class PowerCut(apsw.IOError):
    """The disk is gone."""


@dataclass
class Medium:
    """One file: what is safe, and what is not yet."""

    safe: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and bytes of a write; for a truncation its size and ``None``."""


class Disk:
    """All files under one VFS."""

    def __init__(self, die_at: int = 0) -> None:
        self.media: dict[str, Medium] = {}
        self.dead = False
        self.calls = 0
        """Writes and syncs so far."""
        self.syncs = 0
        self.lost = 0
        """Bytes not safe when it died."""
        self.on_death: Callable[[], None] = lambda: None
        self.fault: Callable[[str, str], None] = lambda what, name: None
        """Called before a write, a sync or a truncation; may raise what the disk would."""
        self._die_at = die_at
        self._serial = threading.RLock()

    def opened(self, name: str) -> None:
        """A file is opened; what it holds is safe if nobody has written to it yet."""
        with self._serial:
            if name not in self.media:
                path = Path(name)
                self.media[name] = Medium(bytearray(path.read_bytes() if path.exists() else b""))

    def deleted(self, name: str) -> None:
        """SQLite syncs the folder after it."""
        with self._serial:
            if not self.dead:
                self.media.pop(name, None)

    def change(self, what: str, name: str, offset: int, data: bytes | None) -> None:
        """A write or a truncation; the death may come in the middle of it."""
        with self._serial:
            self._alive()
            self.fault(what, name)
            self.media[name].pending.append((offset, data))
            self._count()

    def sync(self, name: str) -> None:
        """What was written to the file is safe from now on."""
        with self._serial:
            self._alive()
            self.fault("sync", name)
            self._count()
            medium = self.media[name]
            for offset, data in medium.pending:
                _apply(medium.safe, offset, data)
            medium.pending.clear()
            self.syncs += 1

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self._die_at:
            self.die()
            raise PowerCut("the power is gone")

    def _alive(self) -> None:
        if self.dead:
            raise PowerCut("the power is gone")

    def die(self) -> None:
        """The power is cut now."""
        with self._serial:
            if not self.dead:
                self.dead = True
                self.lost = sum(len(data or b"") for medium in self.media.values() for _, data in medium.pending)
                self.on_death()

    def image(self, loss: Loss, rng: random.Random) -> dict[str, bytes]:
        """What a machine finds after the power is back."""
        with self._serial:
            return {name: _survives(medium, loss, rng) for name, medium in self.media.items()}


def _survives(medium: Medium, loss: Loss, rng: random.Random) -> bytes:
    held = bytearray(medium.safe)
    pending = medium.pending
    if loss == "none":
        kept = pending
    elif loss == "some":
        kept = [piece for change in pending for piece in _sectors(change) if rng.random() < 0.5]
    elif loss == "torn" and pending:
        kept = pending[: rng.randrange(len(pending))]
        offset, data = pending[len(kept)]
        if data is not None:
            kept = [*kept, (offset, data[: rng.randrange(len(data) + 1)])]
    else:
        kept = []
    for offset, data in kept:
        _apply(held, offset, data)
    return bytes(held)


def _sectors(change: tuple[int, bytes | None]) -> list[tuple[int, bytes | None]]:
    """A disk persists sectors, not writes."""
    offset, data = change
    if data is None:
        return [change]
    return [(offset + at, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)]


def _apply(held: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del held[offset:]
        return
    if len(held) < offset + len(data):
        held.extend(bytes(offset + len(data) - len(held)))
    held[offset : offset + len(data)] = data


class LossyFile(apsw.VFSFile):
    """A real file whose changes the disk hears of first."""

    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._name = str(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        super().__init__("", name, flags)
        if self._name:
            disk.opened(self._name)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._name:
            self._disk.change("write", self._name, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self._name:
            self._disk.change("truncate", self._name, size, None)
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 - and the platter is ours: the real one need not turn
        if self._name:
            self._disk.sync(self._name)

    def excepthook(self, *_: Any) -> bool:
        """What SQLite ignores, such as a checkpoint that fails while it closes, is not worth a trace."""
        return True


class LossyVFS(apsw.VFS):
    """Registered under ``name`` for as long as it lives."""

    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        self.name = name
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return LossyFile(self._disk, name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        self._disk.deleted(name)
        super().xDelete(name, sync)

    def excepthook(self, *_: Any) -> bool:
        """See ``LossyFile.excepthook``."""
        return True
