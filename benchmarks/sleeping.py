"""A million sleeping runs: what they weigh, and how late the next one that is due wakes up."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, at_most
from benchmarks.setting import Setting, child, folder, percentile, report, rss_mb
from benchmarks.workflows import Asleep, marks, sleeper
from tickwork import Engine

WOKEN = 200
"""Runs that are due while we look."""


def measure(setting: Setting) -> None:
    """Made in a process of its own, which is then weighed."""
    runs = setting.pick(1_000_000, 50_000)
    with folder() as path:
        found = child("benchmarks.sleeping", path, runs)
        again = child("benchmarks.sleeping", path, 0)
    notes = {"runs": runs, "startedPerSecond": found["rate"], "fileMB": found["file_mb"]}
    setting.add(Figure("sleeping-1m-rss", found["rss"], "MB", goal=at_most(400), notes=notes))
    setting.add(Figure("sleeping-1m-rss-reopened", again["rss"], "MB", goal=at_most(400), notes={"runs": runs}))
    setting.add(Figure("sleeping-1m-open", again["open"], "s", notes={"runs": runs}))
    setting.add(Figure("sleeping-1m-lateness-p50", found["late_p50"], "ms", notes={"runs": runs}))
    setting.add(Figure("sleeping-1m-lateness-max", found["late_max"], "ms", goal=at_most(50), notes={"runs": runs}))


async def start_many(engine: Engine, inputs: list[Asleep]) -> None:
    """Start runs, a few thousand to a breath."""
    for first in range(0, len(inputs), 2_000):
        for asleep in inputs[first : first + 2_000]:
            engine.start_soon(sleeper, asleep)
        await engine.durable()


async def make(path: Path, runs: int) -> None:
    """Make them, let some of them fall due, and weigh what is left."""
    later = [Asleep(until=datetime(2090, 1, 1, tzinfo=UTC) + timedelta(minutes=n)) for n in range(10_000)]
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[sleeper]) as engine:
        await start_many(engine, later[:100])
        await asyncio.sleep(1)
        began = time.perf_counter()
        for _ in range((runs - 20_000) // 10_000):
            await start_many(engine, later)
        rate = (runs - 20_000) / (time.perf_counter() - began)
        now = datetime.now(UTC)
        chance = random.Random(1)
        due = [now + timedelta(seconds=4 + 3 * chance.random()) for _ in range(WOKEN)]
        marks.clear()
        await start_many(engine, [Asleep(until=at) for at in due])
        # as many again as are kept in memory, so that those that will be due are only rows
        await start_many(engine, later + later)
        weight = rss_mb()
        shift = time.time() - time.perf_counter()
        await asyncio.sleep((max(due) - datetime.now(UTC)).total_seconds() + 1)
        late = [at + shift - wanted.timestamp() for at, wanted in zip(sorted(marks), sorted(due), strict=True)]
    size = (path / "tape.db").stat().st_size / 1e6
    report(
        {
            "rss": weight,
            "rate": round(rate),
            "file_mb": round(size),
            "late_p50": percentile(late, 0.5) * 1e3,
            "late_max": max(late) * 1e3,
        }
    )


async def reopen(path: Path) -> None:
    """Open the tape anew and weigh that."""
    began = time.perf_counter()
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[sleeper]) as engine:
        opened = time.perf_counter() - began
        await asyncio.sleep(1)
        await engine.durable()
        report({"rss": rss_mb(), "open": opened})


if __name__ == "__main__":
    where, count = Path(sys.argv[1]), int(sys.argv[2])
    uvloop.run(make(where, count) if count else reopen(where))
