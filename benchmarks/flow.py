"""What flow control costs: runs that take turns by key, held against the same runs without; a long queue behind one."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import uvloop

from benchmarks.figures import Figure, at_most
from benchmarks.setting import Setting, child, folder, median, report, rss_mb
from benchmarks.workflows import Go, add_one
from tickwork import Engine, Run, Workflow, workflow

KEYS = 100


@workflow("bench-free")
async def free(run: Run, go: Go) -> int:
    """Begins at once."""
    return await run.step("add-one", add_one, go.n)


@workflow("bench-keyed", key=lambda go: str(go.n % KEYS))
async def keyed(run: Run, go: Go) -> int:
    """Begins when the run before it with its key is over."""
    return await run.step("add-one", add_one, go.n)


def measure(setting: Setting) -> None:
    """Rates in turns, the queue in a process of its own."""
    runs, rounds = setting.pick(20_000, 2_000), setting.pick(5, 2)
    rates: dict[str, list[float]] = {"free": [], "keyed": []}
    for _ in range(rounds):
        for name, flow in (("free", free), ("keyed", keyed)):
            with folder() as path:
                rates[name].append(uvloop.run(rate(path, flow, runs)))
    notes = {"runs": runs, "keys": KEYS, "steps": 1}
    setting.add(
        Figure(
            "flow-keyed-runs", median(rates["keyed"]), "runs/s", "the same runs without a key", median(rates["free"]),
            notes=notes,
        )
    )  # fmt: skip
    queued = setting.pick(200_000, 20_000)
    with folder() as path:
        found = child("benchmarks.flow", path, queued)
    notes = {"queued": queued, "reopened": found["reopened"]}
    setting.add(Figure("flow-queued-bytes", found["bytes"], "B/run", goal=at_most(1_000), notes=notes))
    setting.add(Figure("flow-queued-reopen", found["reopened"], "s", notes={"queued": queued}))


async def rate(path: Path, flow: Workflow, runs: int) -> float:
    """Runs a second, from the first start until all have ended on disk."""
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[flow]) as engine:
        for n in range(2_000):
            engine.start_soon(flow, Go(n=n))
        await engine.idle()
        began = time.perf_counter()
        for first in range(0, runs, 1_000):
            for n in range(first, first + 1_000):
                engine.start_soon(flow, Go(n=n))
            await engine.durable()
        await engine.idle()
        return runs / (time.perf_counter() - began)


@workflow("bench-blocked", key=lambda go: "one")
async def blocked(run: Run, go: Go) -> None:
    """Keeps everybody behind it waiting."""
    await run.sleep("1 day")


async def queue_up(path: Path, runs: int) -> None:
    """A long queue behind one run: what it weighs, and how soon it stands again after a restart."""
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[blocked]) as engine:
        await _block(engine, 1_000)
        before = rss_mb()
        await _block(engine, runs)
        grown = rss_mb() - before
    began = time.perf_counter()
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[blocked]) as engine:
        (status,) = engine.flow.status()
        assert status.waiting == runs + 999
        report({"bytes": grown * 1e6 / runs, "reopened": time.perf_counter() - began})


async def _block(engine: Engine, runs: int) -> None:
    for first in range(0, runs, 1_000):
        for n in range(first, min(first + 1_000, runs)):
            engine.start_soon(blocked, Go(n=n))
        await engine.durable()


if __name__ == "__main__":
    uvloop.run(queue_up(Path(sys.argv[1]), int(sys.argv[2])))
