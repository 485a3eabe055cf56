"""A million timers that are events: what they weigh, and how late those that are due are published."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, at_most
from benchmarks.setting import Setting, child, folder, percentile, report, rss_mb
from benchmarks.workflows import Go, first_step, marks
from tickwork import Engine

DUE = 200
"""Events that fall due while we look."""


def measure(setting: Setting) -> None:
    """Made in a process of its own, which is then weighed."""
    timers = setting.pick(1_000_000, 50_000)
    with folder() as path:
        found = child("benchmarks.delayed", path, timers)
    notes = {"timers": timers, "postedPerSecond": found["rate"]}
    setting.add(Figure("delayed-1m-rss", found["rss"], "MB", goal=at_most(400), notes=notes))
    setting.add(Figure("delayed-1m-lateness-p50", found["late_p50"], "ms", notes={"timers": timers}))
    setting.add(Figure("delayed-1m-lateness-max", found["late_max"], "ms", goal=at_most(50), notes={"timers": timers}))


async def make(path: Path, timers: int) -> None:
    """Set them, let some fall due, and see when the runs they start come to their first step."""
    far = datetime(2090, 1, 1, tzinfo=UTC)
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[first_step]) as engine:
        began = time.perf_counter()
        for first in range(0, timers, 2_000):
            for n in range(first, first + 2_000):
                engine.post(Go(n=n), at=far + timedelta(seconds=n))
            await engine.durable()
        rate = timers / (time.perf_counter() - began)
        marks.clear()
        now = datetime.now(UTC)
        due = [now + timedelta(seconds=3 + 3 * n / DUE) for n in range(DUE)]
        for n, at in enumerate(due):
            engine.post(Go(n=n), at=at)
        await engine.durable()
        weight = rss_mb()
        shift = time.time() - time.perf_counter()
        await asyncio.sleep((due[-1] - datetime.now(UTC)).total_seconds() + 1)
        late = [at + shift - wanted.timestamp() for at, wanted in zip(sorted(marks), due, strict=True)]
    report(
        {
            "rss": weight,
            "rate": round(rate),
            "late_p50": percentile(late, 0.5) * 1e3,
            "late_max": max(late) * 1e3,
        }
    )


if __name__ == "__main__":
    uvloop.run(make(Path(sys.argv[1]), int(sys.argv[2])))
