"""Worlds hold the laws, the same seed is the same world, and every wrong build is caught."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worlds import __main__ as cli
from tests.worlds import runner
from tests.worlds.mutations import MUTATIONS
from tests.worlds.plan import START, plan_of
from tests.worlds.timeloop import Stuck, TimeLoop
from tickwork.core.clock import VirtualClock

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("resend", "library-retries", "time-out-is-not-sent", "float-cash", "gate-bypassed", "no-room-held")
"""Wrong builds that a few seeds show."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What the product says of its faults is no news, and costs time to keep."""
    with caplog.at_level(60, "tickwork"), caplog.at_level(60, "asyncio"):
        yield


def test_worlds_hold_the_laws() -> None:
    tally = runner.several(range(1, 41))
    assert tally.failing == {}
    assert tally.counts["orders"] > 80
    assert tally.counts["crashes"] > 15
    assert tally.counts["halts"] > 10
    assert tally.counts["open at a restart"] > 5
    assert len(tally.faults) > 10


@pytest.mark.slow
def test_many_worlds_hold_the_laws() -> None:
    tally = runner.spread(range(100_000, 100_400), 2)
    assert tally.failing == {}
    assert {"mexc", "binance"} == {plan_of(seed).venue for seed in range(100_000, 100_100)}


def test_a_seed_is_a_world() -> None:
    seeds = [seed for seed in range(1, 40) if plan_of(seed).crashes][:4]
    once = list(runner.digests(seeds))
    assert len(set(once)) == len(seeds)
    assert list(runner.digests(seeds)) == once
    assert runner.digests_elsewhere(seeds, 12345) == once


@pytest.mark.parametrize("name", QUICK)
def test_a_wrong_build_is_caught(name: str) -> None:
    seeds, _ = runner.caught(name)
    assert seeds


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in QUICK])
def test_every_wrong_build_is_caught(name: str) -> None:
    seeds, _ = runner.caught(name)
    assert seeds


def test_wrong_builds_are_taken_back() -> None:
    assert runner.told(1, mutation="resend").failures
    assert not runner.told(1).failures


def test_a_failing_world_says_how_to_see_it_again() -> None:
    said: list[str] = []
    assert cli.main(["--seed", "1", "--worlds", "2", "--mutation", "resend"], said.append) == 1
    assert '  again: make world SEED=1 ARGS="--trading --trace --mutation resend"' in said
    line = [sys.executable, "scripts/world.py", "--seed", "1", "--trading", "--trace", "--mutation", "resend"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ACCEPTS" in done.stdout
    assert "BROKEN" in done.stdout
    assert "FAILED one order each" in done.stdout


def test_time_passes_in_order() -> None:
    loop, told = TimeLoop(VirtualClock(START)), list[float]()

    async def sleeper(seconds: float) -> None:
        await asyncio.sleep(seconds)
        told.append(loop.time())

    async def main() -> None:
        async with asyncio.timeout(100):
            await asyncio.gather(*(sleeper(seconds) for seconds in (30, 0.5, 2)))

    loop.run(main())
    assert told == [0.5, 2, 30]


def test_a_world_in_which_nothing_is_due_is_stuck() -> None:
    loop = TimeLoop(VirtualClock(START))

    async def main() -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        loop.run(main())
