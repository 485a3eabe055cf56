"""The law of continuing: a demo interrupted at any moments and started again comes to the same end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.demo.support import AAPL, BTC, COMMAND, answer, demo, moments, stopped, tickwork, wait_for
from tests.some import some
from tickwork.engines.embedded.queries import Queries
from tickwork.service.orders import trading_events
from tickwork.service.trading import OrderFilled
from tickwork.trading.ledger import Ledger
from tickwork.values import money
from tickwork.venues.paper_book import book_totals

TRIES = 6


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], dict[str, Any]]:
    """The summaries of demos that nothing interrupted."""
    return {data: demo(tmp_path_factory.mktemp("undisturbed"), *data) for data in (AAPL, BTC)}


def books_agree(home: Path) -> None:
    """The venue's book, read by somebody else, is what the fills on the tape add up to; each fill is there once."""
    queries = Queries.open(str(home / "demo.db"))
    fills = [event.fill() for _, _, event in trading_events(queries) if isinstance(event, OrderFilled)]
    assert [int(fill.fill_id) for fill in fills] == list(range(1, len(fills) + 1))
    ledger = Ledger({"USD": money(100_000)})
    for fill in fills:
        ledger.apply(fill)
    assert book_totals(home / "demo-venue.db").differences(ledger) == []


@pytest.mark.parametrize("seed", some(range(8), quick=1))
def test_killed_among_its_minutes(
    seed: int, tmp_path: Path, undisturbed: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    for after in moments(seed, TRIES, 0.5):
        stopped(tmp_path, after, signal.SIGKILL, *AAPL)
    assert demo(tmp_path, *AAPL) == undisturbed[AAPL]
    books_agree(tmp_path)


@pytest.mark.parametrize("seed", some(range(3), quick=1))
def test_killed_among_its_years(seed: int, tmp_path: Path, undisturbed: dict[tuple[str, ...], dict[str, Any]]) -> None:
    for after in moments(seed, TRIES, 1.2):
        if stopped(tmp_path, after, signal.SIGKILL, *BTC) is None:
            break
    assert demo(tmp_path, *BTC) == undisturbed[BTC]
    books_agree(tmp_path)


def test_killed_as_soon_as_there_is_a_tape(tmp_path: Path, undisturbed: dict[tuple[str, ...], dict[str, Any]]) -> None:
    for after in (0.0, 0.1, 0.15, 0.2, 0.22, 0.24, 0.26, 0.28, 0.3):
        stopped(tmp_path, after, signal.SIGKILL, *AAPL)
    assert demo(tmp_path, *AAPL) == undisturbed[AAPL]


def test_ctrl_c_says_what_to_do_and_continues(
    tmp_path: Path, undisturbed: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    codes = {stopped(tmp_path, after, signal.SIGINT, *BTC) for after in (0.7, 0.8, 0.9)}
    assert codes <= {130, None}
    assert demo(tmp_path, *BTC) == undisturbed[BTC]
    books_agree(tmp_path)


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    command = [*COMMAND, "demo", "--home", str(tmp_path), "--json", *AAPL, "--speed", "60"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        try:
            wait_for(tmp_path / "demo.db.sock")
            second = tickwork(tmp_path, "demo", "--once", "--json", *AAPL)
            assert second.returncode == 1
            assert f"the demo in {tmp_path} is owned by another process" in second.stderr
            assert answer(tmp_path, "orders") == []
            assert tickwork(tmp_path, "cancel", "r999999").returncode == 2, "the owner knows no such run"
        finally:
            first.kill()


def test_a_run_that_has_ended_is_cancelled_no_more(tmp_path: Path) -> None:
    command = [*COMMAND, "demo", "--home", str(tmp_path), "--json", *BTC, "--speed", "10000000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        try:
            wait_for(tmp_path / "demo.db.sock")
            until = time.monotonic() + 30
            while not (done := answer(tmp_path, "runs", "--status", "done", "--limit", "1")):
                assert time.monotonic() < until
            for verb in ("cancel", "pause", "resume"):
                said = tickwork(tmp_path, verb, done[0]["id"])
                assert said.returncode == 2
                assert f"{done[0]['id']}, which is done" in said.stderr
        finally:
            first.kill()


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A demo interrupted twice: its home, and its venue's book as it was at the first time."""
    home = tmp_path_factory.mktemp("traded")
    older = tmp_path_factory.mktemp("older")
    for copy in (older, tmp_path_factory.mktemp("newer")):
        before = fills(home) if (home / "demo.db").is_file() else 0
        command = [*COMMAND, "demo", "--home", str(home), "--json", *BTC, "--speed", "20000000"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as playing:
            wait_for(home / "demo.db.sock")
            until = time.monotonic() + 30
            while fills(home) < before + 3:
                assert time.monotonic() < until
            playing.send_signal(signal.SIGINT)
            assert playing.wait(30) == 130
        for path in home.glob("demo-venue.db*"):
            shutil.copy(path, copy)
    return home, older


def fills(home: Path) -> int:
    """How many are on the tape."""
    return sum(isinstance(event, OrderFilled) for *_, event in trading_events(Queries.open(str(home / "demo.db"))))


@pytest.mark.parametrize("book", some(["missing", "older", "fresh", "foreign"], quick=2))
def test_a_book_that_is_not_of_the_tape_is_refused_before_anything_is_traded(
    book: str, traded: tuple[Path, Path], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(traded[0], home, ignore=shutil.ignore_patterns("*.sock"))
    if book != "older":
        for path in home.glob("demo-venue.db*"):
            path.unlink()
    match book:
        case "older":
            for path in traded[1].iterdir():
                shutil.copy(path, home)
        case "fresh":
            (home / "demo-venue.db").touch()
        case "foreign":
            (home / "demo-venue.db").write_text("no book at all\n" * 100)
    before = fills(home)
    done = tickwork(home, "demo", "--once", *BTC)
    assert done.returncode == 1
    assert done.stdout == ""
    complaint = done.stderr.splitlines()[-1]
    assert complaint.startswith("tickwork: ")
    assert f"restore the book {home}/demo-venue.db" in complaint
    assert f"remove the folder {home} to begin anew" in complaint
    assert fills(home) == before
    if book == "missing":
        assert not (home / "demo-venue.db").exists(), "a new one in its place would hide that it is missing"


def test_a_book_that_is_restored_goes_on(
    traded: tuple[Path, Path], tmp_path: Path, undisturbed: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    home = tmp_path / "home"
    shutil.copytree(traded[0], home, ignore=shutil.ignore_patterns("*.sock"))
    assert demo(home, *BTC) == undisturbed[BTC]
