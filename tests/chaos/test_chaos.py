"""Both forms, short in the default suite and long with ``-m slow``; and every wrong build must be caught."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import cli, kill, mutations, power, workload
from tests.chaos.points import FREQUENT, PLACES, POINTS

ROOT = Path(__file__).resolve().parents[2]

WRONG = [(form, name) for name, mutation in mutations.MUTATIONS.items() for form in mutation.forms]


def test_a_few_kills() -> None:
    outcome = kill.run(kill.Plan(kills=6, seed=1))
    assert outcome.verdict.failures == []
    assert outcome.kills == 6
    assert outcome.acknowledged > 20
    assert outcome.messages > 5


def test_a_few_power_cuts() -> None:
    outcome = power.run(4, 1)
    assert outcome.verdict.failures == []
    assert outcome.deaths > 10
    assert outcome.lost > 0, "no cut met a write that was not synced"
    assert outcome.messages > 5


@pytest.mark.parametrize(
    ("form", "name"), [("power", "synchronous-off"), ("kill", "no-lookup"), ("power", "turns-forgotten")]
)
def test_a_wrong_build_is_caught(form: str, name: str) -> None:
    assert any(cli._caught(form, name, seed) for seed in range(1, cli.TRIES + 1))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "name"), WRONG)
def test_every_wrong_build_is_caught(form: str, name: str) -> None:
    assert any(cli._caught(form, name, seed) for seed in range(1, cli.TRIES + 1))


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_kills_at_each_named_point(point: str) -> None:
    outcome = kill.run(kill.Plan(kills=8, seed=1, points=(point,)))
    assert outcome.verdict.failures == []
    assert outcome.at_points[point], "the point was never reached"


@pytest.mark.slow
def test_the_whole_of_it() -> None:
    said: list[str] = []
    assert cli.main(["--kills", "200", "--seed", "1"], said.append) == 0, "\n".join(said)
    assert said[-1].endswith(" passed, 0 failed")


def test_the_command_says_what_to_run_again() -> None:
    line = [sys.executable, "scripts/chaos.py", "--only", "power", "--mutation", "synchronous-off", "--seed", "3"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'again: make chaos ARGS="--world 3/' in done.stdout
    assert "--mutation synchronous-off" in done.stdout.splitlines()[-1]


def test_every_shape_and_point_is_known() -> None:
    assert set(workload.LABELS) == {*workload.SHAPES, "order"}
    assert set(FREQUENT) <= set(POINTS)
    assert {point for _, *around in PLACES for point in around if point} <= set(POINTS)
    for mutation in mutations.MUTATIONS.values():
        assert set(mutation.points) <= set(POINTS)
        assert set(mutation.shapes) <= set(workload.SHAPES)
