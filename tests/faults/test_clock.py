"""The machine's clock is set back, or forward, under a running engine and between two lives of a tape."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.chaos.market import records
from tests.faults.support import Go, Note, patient, play
from tickwork import Clock, Engine, Run, workflow
from tickwork.engines.embedded.engine import Engine as EmbeddedEngine
from tickwork.engines.system_clock import SystemClock

HOUR = 3_600_000_000_000


@workflow("faults-nap")
async def nap(run: Run, length: str) -> float:
    """Sleeps, and says how long it took by its own clock."""
    before = run.now()
    await run.sleep(length)
    return (run.now() - before).total_seconds()


class Wall:
    """The wall clock of a machine, which somebody sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0
        real = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: real() + self.ahead)

    def set(self, by: int) -> None:
        """Move it."""
        self.ahead += by


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    return Wall(monkeypatch)


def opened(tape: Path, clock: Clock | None = None) -> EmbeddedEngine:
    return Engine(f"sqlite:///{tape}", workflows=[nap, patient], clock=clock)


def ascending(tape: Path) -> bool:
    times = [record.at for record in records(tape)]
    return times == sorted(times)


def test_set_back_while_it_runs(tmp_path: Path, wall: Wall) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with opened(tape) as engine:
            handle = await engine.start(nap, "300 ms")
            wall.set(-HOUR)
            started = time.monotonic()
            slept = await handle.result(timeout="10 s")
            assert time.monotonic() - started < 5, "it slept until the wall clock had caught up"
            assert 0.3 <= slept < 5

    play(main)
    assert ascending(tape)


def test_set_forward_while_it_runs(tmp_path: Path, wall: Wall) -> None:
    """A laptop that wakes up: what is due by the wall is due."""
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with opened(tape) as engine:
            handle = await engine.start(nap, "30 minutes")
            await asyncio.sleep(0.05)
            wall.set(HOUR)
            assert await handle.result(timeout="2 h") >= 1_800

    play(main)
    assert ascending(tape)


def test_set_back_between_two_lives(tmp_path: Path, wall: Wall) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with opened(tape) as engine:
            await engine.start(nap, "300 ms", id="nap")
            await engine.start(patient, 7, id="patient-7")
        wall.set(-HOUR)
        async with opened(tape) as engine:
            started = time.monotonic()
            assert await engine.handle("nap").result(timeout="10 s") < 5
            assert time.monotonic() - started < 5, "the timer waits for an hour that has passed already"
            await engine.emit(Go(n=7))
            assert await engine.handle("patient-7").result(timeout="10 s") == 7

    play(main)
    assert ascending(tape)


class Jumpy:
    """A clock that breaks its contract: each reading may be before the last one."""

    virtual = False

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._readings = 0

    def now(self) -> int:
        """ns; every third reading is 50 ms too early."""
        self._readings += 1
        return self._clock.now() - (50_000_000 if self._readings % 3 == 0 else 0)

    def floor(self, at: int) -> None:
        """Passed on."""
        self._clock.floor(at)

    def jump(self, to: int) -> None:
        """Passed on."""
        self._clock.jump(to)


def test_a_clock_that_breaks_its_contract_loses_nothing(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with opened(tape, Jumpy()) as engine:
            naps = [await engine.start(nap, "100 ms", id=f"nap-{n}") for n in range(20)]
            waits = [await engine.start(patient, n, id=f"patient-{n}") for n in range(20)]
            for n in range(20):
                await engine.emit(Go(n=n))
            assert [await handle.result(timeout="10 s") for handle in waits] == list(range(20))
        async with opened(tape, Jumpy()) as engine:
            for handle in naps:
                await engine.handle(handle.id).result(timeout="10 s")

    play(main)


def test_the_system_clock_never_goes_back(wall: Wall) -> None:
    clock = SystemClock()
    readings = [clock.now()]
    for by in (0, -HOUR, 0, -HOUR, 3 * HOUR, 0, -5 * HOUR, 0):
        wall.set(by)
        readings += [clock.now(), clock.now()]
    assert readings == sorted(readings)
    assert readings[-1] - readings[0] < 2 * HOUR
    clock.floor(readings[-1] + HOUR)
    assert clock.now() >= readings[-1] + HOUR
    assert Note(n=1).n == 1
