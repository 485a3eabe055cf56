"""One run of ten steps, alone: from start to its durable end, in milliseconds and in fsyncs of the same disk."""

from __future__ import annotations

import time

import uvloop

from benchmarks.figures import Figure, under_peer
from benchmarks.peers import dbos_figures as dbos
from benchmarks.peers.disk import Fsyncs
from benchmarks.setting import Setting, folder, percentile
from benchmarks.workflows import Go, ten_steps
from tickwork import Engine


def measure(setting: Setting) -> None:
    """p50 and p99, in fsyncs and beside the other engine."""
    taken, disk = uvloop.run(alone(setting.pick(60, 12)))
    p50, p99 = percentile(taken, 0.5) * 1e3, percentile(taken, 0.99) * 1e3
    fsync = disk.p50 * 1e3
    setting.add(
        Figure("fsync-p50", fsync, "ms", notes={"p99": round(disk.p99 * 1e3, 3), "what": "append 4 KB + fsync"})
    )
    setting.add(Figure("one-run-p50", p50, "ms", "fsync p50", fsync, under_peer(2.5)))
    setting.add(Figure("one-run-p99", p99, "ms", "fsync p50", fsync, under_peer(5)))
    if setting.peers:
        peer = dbos.measured(setting.quick)["one_run_p50"] * 1e3
        setting.add(Figure("one-run-dbos", p50, "ms", "DBOS on SQLite", peer, under_peer(1 / 60)))


async def alone(rounds: int) -> tuple[list[float], Fsyncs]:
    """Seconds of each run, with samples of the disk taken between."""
    taken: list[float] = []
    with folder() as path:
        disk = Fsyncs(path)
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[ten_steps]) as engine:
            for index in range(rounds + 2):
                disk.sample()
                for n in range(25):
                    began = time.perf_counter()
                    handle = engine.start_soon(ten_steps, Go(n=n))
                    await handle.result()
                    if index > 1:  # the first two rounds warm up
                        taken.append(time.perf_counter() - began)
        disk.close()
    return taken, disk
