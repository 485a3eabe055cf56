"""The law of continuing: a demo interrupted at any moments and started again comes to the same end."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.demo.support import AAPL, BTC, COMMAND, answer, demo, moments, stopped, tickwork, wait_for
from tickwork.engines.embedded.queries import Queries
from tickwork.service.trading import OrderFilled, trading_events
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
    assert [fill.fill_id for fill in fills] == list(range(1, len(fills) + 1))
    ledger = Ledger({"USD": money(100_000)})
    for fill in fills:
        ledger.apply(fill)
    assert book_totals(home / "demo-venue.db").differences(ledger) == []


@pytest.mark.parametrize("seed", range(8))
def test_killed_among_its_minutes(
    seed: int, tmp_path: Path, undisturbed: dict[tuple[str, ...], dict[str, Any]]
) -> None:
    for after in moments(seed, TRIES, 0.5):
        stopped(tmp_path, after, signal.SIGKILL, *AAPL)
    assert demo(tmp_path, *AAPL) == undisturbed[AAPL]
    books_agree(tmp_path)


@pytest.mark.parametrize("seed", range(3))
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
            assert "owned by another process" in second.stderr
            assert answer(tmp_path, "orders") == []
            assert tickwork(tmp_path, "cancel", "r1").returncode == 2, "the owner knows no such run"
        finally:
            first.kill()
