"""Named points at which a process kills itself with SIGKILL. Only the chaos child arms them; production code has none.

A point is armed as ``name:count``: the ``count``-th time this process reaches it is its last moment.
"""

from __future__ import annotations

import functools
import os
import pkgutil
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import apsw

POINTS = (
    "lock.taken",
    "recover.begun",
    "recover.done",
    "intent.durable",
    "effect.called",
    "effect.written",
    "outcome.before",
    "outcome.recorded",
    "look.before",
    "look.after",
    "commit.begun",
    "commit.rows",
    "commit.done",
    "wal.write",
    "wal.torn",
    "wal.sync.before",
    "wal.sync.after",
    "file.write",
    "file.sync.before",
    "file.sync.after",
    "venue.accepted",
    "answer.before",
    "turn.after",
    "park",
    "wake",
    "queue.sent",
    "queue.leased",
    "queue.extended",
    "queue.acked",
    "queue.failed",
    "queue.lapsed",
    "queue.returned",
    "queue.delivered",
    "queue.completed",
    "queue.died",
    "queue.revived",
    "letter.died",
    "letter.redriven",
    "schedule.due",
    "schedule.fired",
    "schedule.kept",
    "flow.queued",
    "flow.admitted",
    "flow.gathering",
    "flow.gathered",
    "breaker.changed",
)
"""``effect.*`` and ``venue.accepted`` are reached by the workload itself."""

FREQUENT = {
    "commit.begun": 60,
    "commit.rows": 60,
    "commit.done": 60,
    "wal.write": 250,
    "wal.torn": 250,
    "wal.sync.before": 80,
    "wal.sync.after": 80,
    "turn.after": 80,
    "file.write": 40,
    "file.sync.before": 4,
    "file.sync.after": 4,
    "lock.taken": 1,
    "recover.begun": 1,
    "recover.done": 1,
    "park": 6,
    "venue.accepted": 8,
    "queue.extended": 6,
    "queue.returned": 8,
    "queue.failed": 3,
    "queue.lapsed": 1,
    "queue.died": 2,
    "queue.revived": 2,
    "letter.died": 1,
    "letter.redriven": 1,
    "schedule.due": 1,
    "schedule.fired": 1,
    "schedule.kept": 1,
    "flow.queued": 3,
    "flow.admitted": 2,
    "flow.gathering": 4,
    "flow.gathered": 1,
    "breaker.changed": 6,
}
"""Up to which count it is useful to arm a point; 12 for the others."""

VFS = "chaos"

_armed = ("", 0)
_reached: Counter[str] = Counter()
_serial = threading.Lock()


def arm(spec: str, known: tuple[str, ...] = POINTS) -> None:
    """Arm one of the points that there are, ``name:count``; an empty text arms none."""
    global _armed  # noqa: PLW0603 - a process dies once
    name, _, count = spec.partition(":")
    if name and name not in known:
        raise ValueError(f"no such point: {name}; there are {', '.join(known)}")
    _armed = (name, int(count or 1))


def last_moment(name: str) -> bool:
    """Count a visit; is this the one to die at?"""
    if not name or name != _armed[0]:
        return False
    with _serial:
        _reached[name] += 1
        return _reached[name] == _armed[1]


def die() -> None:
    """No clean-up, no flush: what the kernel has, it has."""
    os.kill(os.getpid(), signal.SIGKILL)


def reach(name: str) -> None:
    """Die here if this is the point."""
    if last_moment(name):
        die()


PLACES = (
    ("engines.embedded.lock:OwnerLock.__init__", "", "lock.taken"),
    ("engines.embedded.engine:Engine._recover", "recover.begun", "recover.done"),
    ("engines.embedded.effects:Effects._launch", "intent.durable", ""),
    ("engines.embedded.effects:Effects._resolve", "outcome.before", "outcome.recorded"),
    ("engines.embedded.effects:Effects._look", "look.before", ""),
    ("engines.embedded.effects:Effects._looked", "look.after", ""),
    ("engines.embedded.batch:_write_rows", "commit.begun", "commit.rows"),
    ("engines.embedded.writer:write", "", "commit.done"),
    ("engines.embedded.runs:Runs._turn", "", "turn.after"),
    ("engines.embedded.runs:Runs.park", "", "park"),
    ("engines.embedded.runs:Runs.wake", "wake", ""),
    ("engines.embedded.lines:Lines.sent", "", "queue.sent"),
    ("core.line:Line.lease", "", "queue.leased"),
    ("core.line:Line.extend", "", "queue.extended"),
    ("engines.embedded.leases:Leases._complete", "", "queue.acked"),
    ("core.line:Line.fail", "", "queue.failed"),
    ("core.line:Line._lapse", "", "queue.lapsed"),
    ("engines.embedded.lines:Lines.returned", "", "queue.returned"),
    ("engines.embedded.consumers:Consumers._deliver", "", "queue.delivered"),
    ("engines.embedded.lines:Lines.completed", "", "queue.completed"),
    ("engines.embedded.lines:Lines._died", "", "queue.died"),
    ("engines.embedded.lines:Lines.revive", "", "queue.revived"),
    ("engines.embedded.letters:Letters.died", "", "letter.died"),
    ("engines.embedded.letters:Letters._redrive_run", "", "letter.redriven"),
    ("engines.embedded.schedules:Schedules._start", "", "schedule.fired"),
    ("engines.embedded.schedules:Schedules._come_due", "schedule.due", "schedule.kept"),
    ("engines.embedded.flow:Flows._wait", "", "flow.queued"),
    ("engines.embedded.runs:Runs.admitted", "", "flow.admitted"),
    ("engines.embedded.flow:Flows._gather", "", "flow.gathering"),
    ("engines.embedded.flow:Flows._gathered", "", "flow.gathered"),
    ("engines.embedded.breakers:Breakers._announce", "", "breaker.changed"),
)
"""Functions, with the point before and the point after each."""


def install() -> None:
    """Wrap production code so that the armed point is reached."""
    for path, before, after in PLACES:
        module, _, function = path.partition(":")
        owner, _, name = function.rpartition(".")
        _around(pkgutil.resolve_name(f"tickwork.{module}:{owner}"), name, before=before, after=after)
    from tickwork.engines.embedded import control

    answer = control.Control._answer

    async def answered(self: Any, line: bytes | None) -> bytes:
        found = await answer(self, line)
        reach("answer.before")
        return found

    control.Control._answer = answered  # type: ignore[method-assign]


def _around(owner: Any, name: str, *, before: str = "", after: str = "") -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(inner)
    def outer(*args: Any, **keywords: Any) -> Any:
        if before:
            reach(before)
        found = inner(*args, **keywords)
        if after:
            reach(after)
        return found

    setattr(owner, name, outer)


class MortalFile(apsw.VFSFile):
    """Real files, with points between the writes of one commit."""

    def __init__(self, name: Any, flags: list[int]) -> None:
        super().__init__("", name, flags)
        kind = flags[0]
        self._what = "wal" if kind & apsw.SQLITE_OPEN_WAL else "file" if kind & apsw.SQLITE_OPEN_MAIN_DB else "other"

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._what == "wal" and last_moment("wal.torn"):
            super().xWrite(bytes(data)[: len(data) // 2], offset)
            die()
        reach(f"{self._what}.write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        reach(f"{self._what}.sync.before")
        super().xSync(flags)
        reach(f"{self._what}.sync.after")


class MortalVFS(apsw.VFS):
    """Registered under ``VFS`` for as long as it lives."""

    def __init__(self) -> None:
        super().__init__(VFS, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return MortalFile(name, flags)
