"""From an event to the first step running, and to an effect called with its intent durable; one event at a time."""

from __future__ import annotations

import time

import uvloop

from benchmarks.figures import Figure, under_peer
from benchmarks.peers import dbos_figures as dbos
from benchmarks.peers.disk import Fsyncs
from benchmarks.setting import Setting, folder, percentile
from benchmarks.workflows import Go, first_step, marks, one_effect
from tickwork import Engine, Workflow


def measure(setting: Setting) -> None:
    """Both, in fsyncs of the same disk."""
    rounds = setting.pick(60, 12)
    taken, fsync = uvloop.run(reached(first_step, rounds))
    p50, p99 = percentile(taken, 0.5) * 1e3, percentile(taken, 0.99) * 1e3
    setting.add(Figure("event-to-step-p50", p50, "ms", "fsync p50", fsync))
    setting.add(Figure("event-to-step-p99", p99, "ms", "fsync p50", fsync, under_peer(1)))
    if setting.peers:
        peer = dbos.measured(setting.quick)
        setting.add(Figure("event-to-step-dbos", p50, "ms", "DBOS, started", peer["first_step_p50"] * 1e3))
        setting.add(Figure("event-to-step-dbos-queue", p50, "ms", "DBOS, queued", peer["queued_first_step_p50"] * 1e3))
    taken, fsync = uvloop.run(reached(one_effect, rounds))
    p50, p99 = percentile(taken, 0.5) * 1e3, percentile(taken, 0.99) * 1e3
    setting.add(Figure("event-to-effect-p50", p50, "ms", "fsync p50", fsync, under_peer(3)))
    setting.add(Figure("event-to-effect-p99", p99, "ms", "fsync p50", fsync, under_peer(8)))


async def reached(workflow: Workflow, rounds: int) -> tuple[list[float], float]:
    """Seconds from ``post`` to the mark the workflow sets, and the disk's p50 in milliseconds."""
    taken: list[float] = []
    with folder() as path:
        disk = Fsyncs(path)
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[workflow]) as engine:
            for index in range(rounds + 2):
                disk.sample()
                for n in range(25):
                    marks.clear()
                    event = Go(n=n)
                    began = time.perf_counter()
                    engine.post(event)
                    await engine.idle()
                    if index > 1:  # the first two rounds warm up
                        taken.append(marks[0] - began)
        disk.close()
    return taken, disk.p50 * 1e3
