"""Ten thousand schedules: how long they take to declare, open and open again; how late what is due starts its run; what
one start costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from cronsim import CronSim

from benchmarks.figures import Figure, at_most, under_peer
from benchmarks.peers import apscheduler_figures
from benchmarks.setting import Setting, folder, percentile
from tickwork import Engine, Run, VirtualClock, Workflow, workflow
from tickwork.core.schedule import Schedule, ScheduleFired
from tickwork.values import from_ns

Times = Callable[[int], str]
"""The cron text of the nth schedule."""

AWAITED = 200
"""Schedules that come due while we look, at the beginnings of ten seconds."""

late: list[float] = []


def scheduled(count: int, times: Times) -> Workflow:
    """One workflow with so many schedules; its runs tell how late they begin."""

    @workflow(
        "tick", on=[Schedule(times(n), "America/New_York", name=f"s{n:05}", grace="1 hour") for n in range(count)]
    )
    async def tick(run: Run, fired: ScheduleFired) -> None:
        late.append(time.time() - fired.due.timestamp())

    return tick


def measure(setting: Setting) -> None:
    """Each with as many schedules."""
    count = setting.pick(10_000, 1_000)
    peer = apscheduler_figures.measured(count) if setting.peers else None
    with folder() as path:
        opened(setting, path, count, peer)
    with folder() as path:
        spread = uvloop.run(fired(path, count, AWAITED, 10))
    with folder() as path:
        burst = uvloop.run(fired(path, count, count, 1))
    notes = {"schedules": count, "peer": "APScheduler in memory, nothing durable"}
    name = "" if peer is None else f"APScheduler {peer['version']}"
    for share, goal in ((0.5, None), (0.99, at_most(50))):
        value, theirs = (
            percentile(spread, share) * 1e3,
            None if peer is None else peer[f"late_p{share * 100:.0f}"] * 1e3,
        )
        figure = f"schedules-10k-lateness-p{share * 100:.0f}"
        setting.add(
            Figure(figure, value, "ms", name, theirs, goal, {**notes, "due": AWAITED, "eachSecond": AWAITED // 10})
        )
    theirs = None if peer is None else peer["burst_last"]
    setting.add(Figure("schedules-10k-at-once", max(burst), "s", name, theirs, under_peer(2), notes))
    firings(setting)


def opened(setting: Setting, path: Path, count: int, peer: dict[str, float] | None) -> None:
    """Declared, opened for the first time, and opened again."""
    began = time.perf_counter()
    tick = scheduled(count, lambda n: f"{n % 60} {n // 60 % 24} * * 1-5")
    declared = time.perf_counter() - began
    taken = [uvloop.run(opening(path, tick)) for _ in range(4)]
    notes = {"schedules": count, "declare": round(declared, 3), "openFirst": round(taken[0], 3)}
    name = "" if peer is None else f"APScheduler {peer['version']}, declared"
    theirs = None if peer is None else peer["declared"]
    setting.add(Figure("schedules-10k-first-open", declared + taken[0], "s", name, theirs, notes=notes))
    setting.add(Figure("schedules-10k-reopen", sorted(taken[1:])[1], "s", goal=at_most(0.5), notes=notes))


async def opening(path: Path, tick: Workflow) -> float:
    """Seconds until the engine is open."""
    began = time.perf_counter()
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[tick]):
        return time.perf_counter() - began


async def fired(path: Path, count: int, due: int, seconds: int) -> list[float]:
    """How late the body of each run begins, where some of so many schedules come due over so many seconds."""
    first = (datetime.now(UTC) + timedelta(seconds=5 + count / 2_000)).replace(microsecond=0)

    def times(n: int) -> str:
        at = first + timedelta(seconds=n % seconds if n < due else 1_800)
        return f"{at:%S} {at:%M} * * * *"

    tick = scheduled(count, times)
    late.clear()
    async with Engine(f"sqlite:///{path}/tape.db", workflows=[tick]) as engine:
        await engine.until(first + timedelta(seconds=seconds + 3))
    assert len(late) == due
    return list(late)


def firings(setting: Setting) -> None:
    """What one start costs, all in all, in virtual time; beside the library that finds its next time."""
    count = setting.pick(20_000, 2_000)
    clock = VirtualClock()
    began_at = clock.now()

    async def pass_time() -> float:
        tick = scheduled(100, lambda n: "* * * * *")
        async with Engine("memory:", workflows=[tick], clock=clock, seed=1) as engine:
            began = time.perf_counter()
            await engine.until(from_ns(began_at + count // 100 * 60 * 10**9))
            return time.perf_counter() - began

    taken = uvloop.run(pass_time()) / count
    began, wall = time.perf_counter(), datetime(2026, 1, 1)  # noqa: DTZ001 - the library's cheapest way
    for _ in range(count):
        wall = next(CronSim("* * * * *", wall))
    raw = (time.perf_counter() - began) / count
    notes = {"starts": count, "what": "the event, the run to its end, the row, the next time; in memory"}
    setting.add(Figure("schedules-start", taken * 1e6, "us", "cronsim, one next time", raw * 1e6, notes=notes))
