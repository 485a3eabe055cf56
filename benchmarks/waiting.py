"""A million runs that wait for an event: what they weigh, and how long an event takes to its run."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, at_most
from benchmarks.setting import Setting, child, folder, percentile, report, rss_mb
from benchmarks.workflows import Answer, marks, waiter
from tickwork import Engine

ASKED = 2_000
"""Events that are sent."""


def measure(setting: Setting) -> None:
    """Made in a process of its own, which is then weighed."""
    runs = setting.pick(1_000_000, 50_000)
    with folder() as path:
        found = child("benchmarks.waiting", path, runs)
    notes = {"runs": runs, "startedPerSecond": found["rate"], "fileMB": found["file_mb"]}
    setting.add(Figure("waiting-1m-rss", found["rss"], "MB", goal=at_most(400), notes=notes))
    setting.add(Figure("waiting-1m-found-p50", found["found"], "us", goal=at_most(50), notes={"runs": runs}))
    setting.add(Figure("waiting-1m-woken-p50", found["woken_p50"], "us", notes={"runs": runs}))
    setting.add(Figure("waiting-1m-woken-p99", found["woken_p99"], "us", notes={"runs": runs}))


async def make(path: Path, runs: int) -> None:
    """Make them, weigh them, and wake some in random order."""
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[waiter]) as engine:
        began = time.perf_counter()
        for first in range(0, runs, 2_000):
            for n in range(first, first + 2_000):
                engine.start_soon(waiter, Answer(key=f"key-{n}"))
            await engine.durable()
        rate = runs / (time.perf_counter() - began)
        weight = rss_mb()
        found, woken = await ask(engine, runs)
    size = (path / "tape.db").stat().st_size / 1e6
    report(
        {
            "rss": weight,
            "rate": round(rate),
            "file_mb": round(size),
            "found": percentile(found, 0.5) * 1e6,
            "woken_p50": percentile(woken, 0.5) * 1e6,
            "woken_p99": percentile(woken, 0.99) * 1e6,
        }
    )


async def ask(engine: Engine, runs: int) -> tuple[list[float], list[float]]:
    """Seconds from an event to its run found, and to that run's next step running; only runs that are rows."""
    found, woken = [], []
    queue = engine._runs.enqueue_parked
    moments: list[float] = []

    def enqueue(seq: int) -> None:
        moments.append(time.perf_counter())
        queue(seq)

    engine._runs.enqueue_parked = enqueue  # type: ignore[method-assign]
    for n in random.Random(1).sample(range(runs - 20_000), ASKED):
        marks.clear()
        moments.clear()
        event = Answer(key=f"key-{n}")
        began = time.perf_counter()
        engine.post(event)
        await engine.idle()
        found.append(moments[0] - began)
        woken.append(marks[0] - began)
    return found[100:], woken[100:]


if __name__ == "__main__":
    uvloop.run(make(Path(sys.argv[1]), int(sys.argv[2])))
