"""One process owns a tape. The lock dies with the process; there is no pid file to clean up.

An ``flock`` on a file beside the tape: the kernel drops it when the last descriptor closes, however the process ends,
and it does not care about process ids (which repeat in containers, where everybody is 1).
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from tickwork.errors import TapeError, TapeLocked

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "fuse.s3fs", "afs", "ceph", "glusterfs", "lustre"}
)
"""File systems on which SQLite's WAL does not work: its index is shared memory, which they do not share."""


class OwnerLock:
    """Held from construction until ``release``."""

    def __init__(self, tape: str) -> None:
        """
        Raises:
            TapeLocked: another process owns the tape, or its file system cannot lock.
        """
        path = Path(tape + ".lock")
        kind = file_system(path.parent)
        if kind in _NETWORK:
            raise TapeLocked(
                f"{tape} is on a network file system ({kind}), which cannot lock a tape or share its index: put the "
                "tape on a local disk"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise TapeError(
                f"{path} cannot be written ({error.strerror}): give the tape a path in a writable folder"
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                owner = _owner(path)
                raise TapeLocked(
                    f"{tape} is owned by another process{owner}: stop it, or ask it to act for you (tickwork's other "
                    "commands do so by themselves)"
                ) from None
            raise TapeLocked(
                f"the file system of {tape} cannot lock ({error.strerror}): put the tape on a local disk"
            ) from None
        self.marked = _marked(path)
        """A position that the tape had certainly reached, as its last owner noted it."""
        self.mark(self.marked)

    def mark(self, seq: int) -> None:
        """Note a position that is on disk: a tape that ends before it has lost its end."""
        self.marked = seq
        # the pid is for people; the lock itself is the kernel's
        os.pwrite(self._file, f"{os.getpid():<10} {seq:<20}\n".encode(), 0)

    def release(self) -> None:
        """Let the tape go."""
        os.close(self._file)


def _owner(path: Path) -> str:
    try:
        words = path.read_text().split()
    except OSError:
        return ""
    return f" (pid {words[0]})" if words else ""


def _marked(path: Path) -> int:
    words = path.read_text(errors="replace").split()
    return int(words[1]) if len(words) == 2 and words[1].isdigit() else 0


def file_system(folder: Path) -> str:
    """The type of the file system a folder is on, from /proc/self/mountinfo; empty where that does not exist."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        real = folder.resolve()
    except OSError:
        return ""
    best, found = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        mount = before.split(" ")[4].replace("\\040", " ")
        if len(mount) > best and (real == Path(mount) or Path(mount) in real.parents):
            best, found = len(mount), after.split(" ")[0]
    return found
