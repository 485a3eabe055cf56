"""Durable steps a second: runs of ten trivial steps, from start to the durable end of every run."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import apsw
import uvloop

from benchmarks.figures import Figure, Goal, times_peer
from benchmarks.peers import dbos_figures as dbos
from benchmarks.peers.disk import raw_inserts
from benchmarks.setting import Setting, folder, median
from benchmarks.workflows import Go, ten_steps
from tickwork import Engine

STEPS = 10
LANES = 4
"""Sustained load comes from this many loops, so that a new run starts while others wait for the disk."""


def measure(setting: Setting) -> None:
    """Bursts of 1, 100 and 1,000 runs, and 1,000 at a time for seconds."""
    uvloop.run(_measure(setting))


async def _measure(setting: Setting) -> None:
    peer = dbos.measured(setting.quick) if setting.peers else {}
    rounds = setting.pick(9, 3)
    for runs, raw_goal, peer_goal in ((1, None, None), (100, None, None), (1_000, times_peer(0.30), times_peer(400))):
        ours, raw = await bursts(runs, rounds * (20 if runs == 1 else 3 if runs == 100 else 1))
        _add(setting, f"steps-{runs}-burst", (ours, raw), raw_goal, peer.get(f"steps_{runs}"), peer_goal)
    ours, raw, notes = await sustained(1_000, setting.pick(8, 2))
    goals = times_peer(0.20), times_peer(400)
    _add(setting, "steps-1000-sustained", (ours, raw), goals[0], peer.get("steps_1000"), goals[1], notes)


def _add(
    setting: Setting,
    name: str,
    rates: tuple[float, float],
    raw_goal: Goal | None,
    peer: float | None,
    peer_goal: Goal | None,
    notes: dict[str, float] | None = None,
) -> None:
    ours, raw = rates
    setting.add(Figure(name, ours, "steps/s", "raw SQLite inserts/s", raw, raw_goal, notes or {}))
    if peer is not None:
        setting.add(Figure(f"{name}-dbos", ours, "steps/s", "DBOS on SQLite", peer, peer_goal))


async def wave(engine: Engine, runs: int) -> None:
    """Start that many runs at once and wait until every one has ended durably."""
    handles = [engine.start_soon(ten_steps, Go(n=n)) for n in range(runs)]
    for handle in handles:
        await handle.result()


async def bursts(runs: int, rounds: int) -> tuple[float, float]:
    """The median rates of bursts, ours and raw SQLite's, taken in turns."""
    ours, raw = [], []
    with folder() as path:
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[ten_steps]) as engine:
            await wave(engine, 200)
            for index in range(rounds):
                before = engine._log.committed
                began = time.perf_counter()
                await wave(engine, runs)
                ours.append(runs * STEPS / (time.perf_counter() - began))
                batch = runs * STEPS // max(engine._log.committed - before, 1)
                raw.append(_raw(path, f"raw{index}.db", batch, rows=runs * STEPS))
                await asyncio.sleep(0.02)  # let the engine's own timers run between two rounds
    return median(ours), median(raw)


def _raw(path: Path, name: str, batch: int, *, rows: int = 0, seconds: float = 0.0) -> float:
    size = bytes_a_step(path / "tape.db")
    return raw_inserts(path / name, row_bytes=size, batch=max(batch, 1), rows=rows, seconds=seconds)


def bytes_a_step(tape: Path) -> int:
    """What one step takes on the tape, its share of the run's own records included."""
    connection = apsw.Connection(str(tape), flags=apsw.SQLITE_OPEN_READONLY)
    total, runs = next(iter(connection.execute("SELECT sum(length(data)), count(DISTINCT run) FROM tape")))
    connection.close()
    return int(total / runs / STEPS)


async def sustained(at_once: int, seconds: float) -> tuple[float, float, dict[str, float]]:
    """The rates over some seconds, ours and raw SQLite's, with as many runs unfinished at any time as were said."""
    done = 0

    async def lane(engine: Engine, until: float) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await wave(engine, at_once // LANES)
            done += at_once // LANES

    with folder() as path:
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[ten_steps]) as engine:
            await wave(engine, 200)
            commits, began = engine._log.committed, time.perf_counter()
            await asyncio.gather(*(lane(engine, began + seconds) for _ in range(LANES)))
            took, commits = time.perf_counter() - began, engine._log.committed - commits
        batch = done * STEPS // max(commits, 1)
        raw = _raw(path, "raw.db", batch, seconds=took)
        notes = {"seconds": round(took, 1), "stepsPerCommit": batch, "bytesPerStep": bytes_a_step(path / "tape.db")}
    return done * STEPS / took, raw, notes
