"""Recovery: a process dies with 100,000 unfinished runs, a fifth of them in the middle of an order; another opens."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, at_least, at_most
from benchmarks.setting import Setting, child, folder, report, rss_mb
from benchmarks.workflows import Answer, Go, lost, marks, order, waiter
from tickwork import Engine


def measure(setting: Setting) -> None:
    """Time to the first order and to the last, none lost, parked runs still parked."""
    runs = setting.pick(100_000, 10_000)
    active = runs // 5
    with folder() as path:
        child("benchmarks.recovery", "die", path, runs - active, active)
        found = child("benchmarks.recovery", "recover", path, runs - active, active)
    notes = {"runs": runs, "inAnOrder": active, "rssMB": round(found["rss"])}
    setting.add(Figure("recovery-first-order", found["first"], "s", goal=at_most(10), notes=notes))
    setting.add(Figure("recovery-all-orders", found["all"], "s", notes=notes))
    setting.add(Figure("recovery-kept", found["done"] / active, "share", goal=at_least(1), notes=notes))
    setting.add(Figure("recovery-unparked", found["unparked"], "runs", goal=at_most(0), notes=notes))


async def die(path: Path, parked: int, active: int) -> None:
    """Start them all, see them on disk, and end as a killed process does."""
    lost.append(True)
    engine = Engine(f"sqlite:///{path}/tape.db", workflows=[order, waiter])
    await engine.open()
    for first in range(0, parked, 2_000):
        for n in range(first, first + 2_000):
            engine.start_soon(waiter, Answer(key=f"key-{n}"))
        await engine.durable()
    for n in range(active):
        engine.start_soon(order, Go(n=n))
    while len(marks) < active:
        await engine.durable()
        await asyncio.sleep(0.01)
    report({"called": len(marks)})
    os._exit(0)


async def recover(path: Path, parked: int, _active: int) -> None:
    """Open, and wait until every order has gone out."""
    began = time.perf_counter()
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[order, waiter]) as engine:
        await engine.idle()
        counts = engine.queries.counts()
        in_memory = len(engine._runs.hot)
    report(
        {
            "first": marks[0] - began,
            "all": marks[-1] - began,
            "done": counts.get("done", 0),
            "unparked": in_memory + parked - counts.get("waiting", 0),
            "rss": rss_mb(),
        }
    )


if __name__ == "__main__":
    act = die if sys.argv[1] == "die" else recover
    uvloop.run(act(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
