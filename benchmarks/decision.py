"""From an event to a decision of four steps, in memory: before anything has waited for the disk."""

from __future__ import annotations

import time

import uvloop

from benchmarks.figures import Figure, at_most
from benchmarks.setting import Setting, folder, percentile
from benchmarks.workflows import Signal, decision, marks
from tickwork import Engine


def measure(setting: Setting) -> None:
    """Microseconds, in a stream of events and for an event that comes after a pause."""
    count = setting.pick(10_000, 2_000)
    stream = uvloop.run(decisions(count, pause_after=20))
    setting.add(Figure("decision-p50", percentile(stream, 0.5) * 1e6, "us", goal=at_most(20)))
    setting.add(Figure("decision-p99", percentile(stream, 0.99) * 1e6, "us"))
    alone = uvloop.run(decisions(count, pause_after=1))
    setting.add(Figure("decision-after-pause-p50", percentile(alone, 0.5) * 1e6, "us"))


async def decisions(count: int, pause_after: int) -> list[float]:
    """Seconds from ``post`` to the end of the fourth step. The tape is on disk; batches are committed behind it.

    After so many events the loop waits for the disk; the event that follows finds cold caches.
    """
    taken = []
    with folder() as path:
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[decision]) as engine:
            for index in range(count + 200):
                marks.clear()
                event = Signal(symbol="BTC/USDT", price=60_000.0 + index)
                began = time.perf_counter()
                engine.post(event)
                if not marks:  # the functions have yet to earn the loop
                    await engine.idle()
                if index >= 200:
                    taken.append(marks[0] - began)
                if index % pause_after == 0:
                    await engine.durable()
    return taken
