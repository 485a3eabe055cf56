"""The command ``tickwork demo``: what it prints, what it refuses, what it begins anew."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.demo.support import AAPL, demo, tickwork
from tickwork.engines.embedded.queries import Queries
from tickwork.market.recording import Recording

KEYS = {"bars", "events", "runs", "orders", "fills", "fees", "equity", "pnl", "maxDrawdown", "sharpe", "tape"}


def csv_of(path: Path, recording: str, bars: int) -> Path:
    """The first bars of a recording as a user's CSV file."""
    lines = ["timestamp,open,high,low,close,volume"]
    for bar in Recording.open(recording).bars(0, bars):
        lines.append(f"{bar.start.isoformat()},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A demo on all of its data."""
    home = tmp_path_factory.mktemp("whole")
    return home, tickwork(home, "demo", "--once", "--json")


def test_all_of_it(whole: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, done = whole
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    summary = json.loads(done.stdout)
    assert set(summary) == KEYS
    assert summary["bars"] > 23_000
    assert summary["runs"] == summary["events"] > 1_000
    assert summary["orders"] > 100
    assert all(isinstance(summary[key], str) for key in ("fees", "equity", "pnl", "tape"))
    actions = {(run["workflow"], run["result"]["action"]) for run in _runs(home)}
    assert {("convergence", "buy"), ("convergence", "sell"), ("convergence", "stopped")} <= actions
    assert {("volume-signal", "buy"), ("volume-signal", "sell"), ("volume-signal", "hold")} <= actions


def _runs(home: Path) -> list[dict[str, dict[str, str]]]:
    found: list[dict[str, dict[str, str]]] = json.loads(tickwork(home, "runs", "--json", "--limit", "10000").stdout)
    return found


def test_orders_come_only_where_the_condition_holds(whole: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    queries = Queries.open(str(whole[0] / "demo.db"))
    for info in queries.runs(workflow="convergence", limit=10_000):
        detail = queries.show(info.id)
        (opportunity,) = [record["value"] for record in detail.records if record.get("name") == "detect"]
        if detail.result["action"] == "buy":
            assert float(opportunity["profit"]) > 0.01
        if opportunity["problem"]:
            assert detail.result["action"] == "stopped"
            assert detail.result["reason"] == opportunity["problem"]


def test_same_seed_same_tape_another_seed_other_ids(tmp_path: Path) -> None:
    tapes = []
    for home, seed in (("a", "7"), ("b", "7"), ("c", "8")):
        demo(tmp_path / home, *AAPL, "--seed", seed)
        tapes.append(Queries.open(str(tmp_path / home / "demo.db")).tape())
    assert tapes[0] == tapes[1]
    assert tapes[0] != tapes[2]


def test_finished_or_other_begins_a_fresh_tape_and_says_so(tmp_path: Path) -> None:
    first = tickwork(tmp_path, "demo", "--once", "--json", *AAPL)
    again = tickwork(tmp_path, "demo", "--once", "--json", *AAPL)
    assert "fresh tape" in again.stderr
    assert again.stdout == first.stdout


def test_lines_where_stdout_is_no_terminal(tmp_path: Path) -> None:
    done = tickwork(tmp_path, "demo", *AAPL)
    assert done.returncode == 0
    assert "Sharpe ratio" in done.stdout
    assert "tickwork positions" in done.stdout
    assert "\x1b" not in done.stdout
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


def test_a_csv_of_the_user(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "btc-usdt.csv", "coinbase-btc-usd-1h", 1_000)
    summary = demo(tmp_path / "home", "--data", str(path))
    assert summary["bars"] == 1_000
    assert summary["orders"] > 0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (("--data", "nowhere.csv"), "nowhere.csv"),
        (("--data", "nothing-like-it"), "coinbase-btc-usd-1h"),
        (("--data", "aapl-1m", "--data", "aapl-1m"), "aapl-1m"),
        (("--speed", "-1"), "speed"),
        (("--speed", "0"), "speed"),
        (("--speed", "nan"), "speed"),
        (("--seed", "one"), "--seed"),
        (("--wrong",), "--wrong"),
    ],
)
def test_wrong_use_is_one_line_and_2(args: tuple[str, ...], named: str, tmp_path: Path) -> None:
    done = tickwork(tmp_path, "demo", "--once", *args)
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_bad_csv_names_line_and_column(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "btc-usdt.csv", "coinbase-btc-usd-1h", 10)
    path.write_text(path.read_text().replace("\n", "\nnonsense,1,2,3,4,5\n", 1))
    done = tickwork(tmp_path / "home", "demo", "--once", "--data", str(path))
    assert done.returncode == 2
    assert "btc-usdt.csv:2.timestamp" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists(), "nothing is begun on bad data"


def test_a_home_that_is_a_file_fails_readably(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("")
    done = tickwork(home, "demo", "--once", *AAPL)
    assert done.returncode == 1
    assert done.stderr.startswith("tickwork: ")
    assert done.stderr.count("\n") == 1
