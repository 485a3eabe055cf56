"""Named points at which a process kills itself with SIGKILL. Only the chaos child arms them; production code has none.

A point is armed as ``name:count``: the ``count``-th time this process reaches it is its last moment.
"""

from __future__ import annotations

import functools
import os
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
    "queue.rejected",
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
    "queue.rejected": 3,
    "queue.lapsed": 3,
    "queue.died": 2,
    "queue.revived": 2,
    "letter.died": 1,
    "letter.redriven": 1,
    "schedule.due": 1,
    "schedule.fired": 1,
    "schedule.kept": 1,
    "flow.queued": 3,
    "flow.admitted": 3,
    "flow.gathering": 4,
    "flow.gathered": 2,
    "breaker.changed": 6,
}
"""Up to which count it is useful to arm a point; 12 for the others."""

VFS = "chaos"

_armed = ("", 0)
_reached: Counter[str] = Counter()
_serial = threading.Lock()


def arm(spec: str) -> None:
    """Arm one point, ``name:count``; an empty text arms none."""
    global _armed  # noqa: PLW0603 - a process dies once
    name, _, count = spec.partition(":")
    if name and name not in POINTS:
        raise ValueError(f"no such point: {name}; there are {', '.join(POINTS)}")
    _armed = (name, int(count or 1))


def last_moment(name: str) -> bool:
    """Count a visit; is this the one to die at?"""
    if name != _armed[0]:
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


def install() -> None:
    """Wrap production code so that the armed point is reached."""
    from tickwork.core import line
    from tickwork.engines.embedded import batch, breakers, consumers, control, effects, engine, flow, leases, letters
    from tickwork.engines.embedded import lines, lock, runs, schedules, writer

    _around(lock.OwnerLock, "__init__", after="lock.taken")
    _around(engine.Engine, "_recover", before="recover.begun", after="recover.done")
    _around(effects.Effects, "_launch", before="intent.durable")
    _around(effects.Effects, "_resolve", before="outcome.before", after="outcome.recorded")
    _around(effects.Effects, "_look", before="look.before")
    _around(effects.Effects, "_looked", before="look.after")
    _around(batch, "_write_rows", before="commit.begun", after="commit.rows")
    _around(writer, "write", after="commit.done")
    _around(runs.Runs, "_turn", after="turn.after")
    _around(runs.Runs, "park", after="park")
    _around(runs.Runs, "wake", before="wake")
    _around(lines.Lines, "sent", after="queue.sent")
    _around(line.Line, "lease", after="queue.leased")
    _around(line.Line, "extend", after="queue.extended")
    _around(leases.Leases, "_complete", after="queue.acked")
    _around(line.Line, "fail", after="queue.rejected")
    _around(line.Line, "_lapse", after="queue.lapsed")
    _around(lines.Lines, "returned", after="queue.returned")
    _around(consumers.Consumers, "_deliver", after="queue.delivered")
    _around(lines.Lines, "completed", after="queue.completed")
    _around(lines.Lines, "_died", after="queue.died")
    _around(lines.Lines, "revive", after="queue.revived")
    _around(letters.Letters, "died", after="letter.died")
    _around(letters.Letters, "_redrive_run", after="letter.redriven")
    _around(schedules.Schedules, "_come_due", before="schedule.due", after="schedule.kept")
    _around(schedules.Schedules, "_start", after="schedule.fired")
    _around(flow.Flows, "_wait", after="flow.queued")
    _around(runs.Runs, "admitted", after="flow.admitted")
    _around(flow.Flows, "_gather", after="flow.gathering")
    _around(flow.Flows, "_gathered", after="flow.gathered")
    _around(breakers.Breakers, "_announce", after="breaker.changed")
    answer = control.Control._answer

    async def answered(self: Any, line: bytes) -> Any:
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
