"""``tickwork schedules``, against a process that runs workflows, and on its tape when it is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.faces.support import answer, eventually, tickwork, worker

PROGRAM = """
    import asyncio
    from tickwork import Engine, Run, workflow
    from tickwork.core.schedule import Schedule
    from tickwork.market.sessions import MarketClose

    class Yearly:
        def next(self, after_ns):
            return after_ns + 365 * 86_400 * 10**9

        def __str__(self):
            return "once in a while"

    @workflow("briefing", on=Schedule("0 9 * * 1-5", zone="Europe/Berlin"))
    async def briefing(run: Run) -> str:
        await run.sleep("1 hour")

    @workflow("flatten", on=[Schedule(MarketClose("NYSE", minus="30 minutes")), Schedule(Yearly(), name="odd")])
    async def flatten(run: Run) -> None: ...

    async def main():
        async with Engine("sqlite:///tape.db", workflows=[briefing, flatten]) as engine:
            await engine.serve()

    asyncio.run(main())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def tape(folder: Path) -> Iterator[Path]:
    with worker(folder, PROGRAM) as path:
        yield path


def test_the_list(tape: Path) -> None:
    found = answer(tape, "schedules")
    assert found == answer(tape, "schedules", "list")
    assert [(one["name"], one["workflow"], one["spec"], one["zone"]) for one in found] == [
        ("briefing", "briefing", "0 9 * * 1-5", "Europe/Berlin"),
        ("flatten", "flatten", "NYSE close minus 30m", "America/New_York"),
        ("odd", "flatten", "once in a while", "UTC"),
    ]
    assert {"nextDue", "lastDue", "lastRun", "skipNext", "paused", "missed", "overlap", "grace"} <= set(found[0])
    due = datetime.fromisoformat(found[0]["nextDue"])
    told = tickwork(tape, "schedules").stdout
    assert f"{due:%Y-%m-%d %H:%M}" in told
    assert " 09:00 CE" in told


def test_next(tape: Path) -> None:
    found = answer(tape, "schedules", "next", "briefing", "--count", "3")
    assert [one["local"][11:16] for one in found] == ["09:00"] * 3
    dues = [datetime.fromisoformat(one["due"]) for one in found]
    assert dues == sorted(dues)
    assert dues[2] - dues[0] >= timedelta(days=2)
    each = answer(tape, "schedules", "next")
    assert {one["schedule"] for one in each} == {"briefing", "flatten", "odd"}
    assert each == sorted(each, key=lambda one: one["due"])
    assert answer(tape, "schedules", "next", "--count", "1") == each[:1]
    assert "CE" in tickwork(tape, "schedules", "next", "briefing").stdout


def test_run_now(tape: Path) -> None:
    run = answer(tape, "schedules", "run-now", "briefing", "--by", "ada")["run"]
    assert eventually(lambda: answer(tape, "show", run)["status"] == "waiting")
    again = tickwork(tape, "schedules", "run-now", "briefing")
    assert (again.returncode, again.stdout) == (2, "")
    assert f"briefing, whose run {run} has not ended" in again.stderr
    assert f"runs as {run}" in tickwork(tape, "schedules").stdout


def test_pause_resume_and_skip(tape: Path) -> None:
    paused = answer(tape, "schedules", "pause", "flatten")
    assert (paused["paused"], paused["nextDue"]) == (True, None)
    told = tickwork(tape, "schedules", "resume", "flatten").stdout
    assert "flatten goes on; due 20" in told
    assert " 15:30 E" in told or " 12:30 E" in told
    assert answer(tape, "schedules", "skip-next", "flatten")["skipNext"] is True
    assert "leaves the next out" in tickwork(tape, "schedules").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("next", "breifing"), "the name of a schedule: briefing, flatten, odd"),
        (("next", "briefing", "--count", "0"), "a whole number from 1"),
        (("next", "--count", "0"), "a whole number from 1"),
    ],
)
def test_complaints_are_one_line(tape: Path, words: tuple[str, ...], told: str) -> None:
    done = tickwork(tape, "schedules", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_when_nobody_runs_the_workflows(tape: Path, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tape.db"
    with closing(sqlite3.connect(tape)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    found = answer(copy, "schedules", "next", "briefing", "--count", "2")
    assert found == answer(tape, "schedules", "next", "briefing", "--count", "2")
    for words, code, told in (
        (("next", "odd"), 2, "once in a while"),
        (("next", "nope"), 2, "one of this tape: briefing, flatten, odd"),
        (("pause", "briefing"), 1, "start the process that runs your workflows"),
    ):
        done = tickwork(copy, "schedules", *words)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1)
        assert told in done.stderr
