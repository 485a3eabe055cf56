"""The outside world of the workload: a file to which effects append one line each, ``key label``.

It stands for a venue without memory: it takes whatever it is sent, twice if it is sent twice. Only a look tells what
it has. Beside it ``looks`` counts what the look-ups answered.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

from tests.chaos.points import reach
from tickwork import Found, NotFound, NotSent


class Outside:
    """One outside file. ``sync``: each line waits for the disk."""

    def __init__(self, folder: Path, *, sync: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "outside.txt"
        self._looks = folder / "looks.txt"
        self._sync = sync
        self.calls: Counter[str] = Counter()
        """How often this process was asked to write under each key."""
        self.busy = 0
        self._serial = threading.Lock()

    def append(self, key: str, label: str) -> None:
        """Take a line, whatever was there before."""
        add_line(self.path, f"{key} {label}\n", sync=self._sync)

    def has(self, key: str) -> bool:
        """Is there a line of this key?"""
        found = any(line.startswith(key) for line in lines(self.path))
        add_line(self._looks, "found\n" if found else "not found\n", sync=False)
        return found

    def called(self, key: str) -> int:
        """Count a call; which one of this key in this process it is, from 1."""
        with self._serial:
            self.calls[key] += 1
            return self.calls[key]

    def looks(self) -> Counter[str]:
        """What look-ups answered."""
        return Counter(lines(self._looks))


def lines(path: Path) -> list[str]:
    """The lines of a file; none if there is no file."""
    return path.read_text().splitlines() if path.exists() else []


def add_line(path: Path, line: str, *, sync: bool) -> None:
    """Append to a file that others may append to; ``sync``: and wait for the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


_world: list[Outside] = []


def use(outside: Outside) -> None:
    """The file that this process's effects write to."""
    _world[:] = [outside]


def world() -> Outside:
    """The file in use."""
    return _world[0]


# -- what effects call: functions that can be named and imported ----------------------------------------------------


def append(label: str, *, key: str) -> str:
    """The plain effect."""
    reach("effect.called")
    world().append(key, label)
    reach("effect.written")
    return label


async def append_async(label: str, *, key: str) -> str:
    """The same on the loop."""
    return append(label, key=key)


def append_flaky(label: str, *, key: str) -> str:
    """First fails before it writes, then after: nobody can tell which without looking."""
    call = world().called(key)
    if call == 1:
        raise ConnectionError("lost on the way out")
    append(label, key=key)
    if call == 2:
        raise ConnectionError("lost on the way back")
    return label


def append_lost(label: str, *, key: str) -> str:
    """Writes, and then the answer is lost."""
    append(label, key=key)
    if world().called(key) == 1:
        raise ConnectionError("lost on the way back")
    return label


def append_unsent(label: str, *, key: str) -> str:
    """The first call is certain not to have left."""
    if world().called(key) == 1:
        raise NotSent("no connection")
    return append(label, key=key)


def find(key: str, label: str) -> Found[str] | NotFound:
    """The look-up of all of these."""
    return Found(label) if world().has(key) else NotFound()


def take_back(result: str, label: str, *, key: str) -> str:
    """An undo. It has no look-up, so it is made again under the same key after a crash: it looks by itself."""
    if not world().has(key):
        append(f"undo-{label}", key=key)
    return result
