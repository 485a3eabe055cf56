"""The command ``tickwork demo``: what it prints, what it refuses, what it begins anew."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.demo.support import AAPL, COMMAND, ENVIRONMENT, demo, tickwork
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
        (("--data", "nowhere.csv"), "there is no file nowhere.csv"),
        (("--data", "nowhere.twr"), "there is no file nowhere.twr"),
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
    assert "is a file, not a folder" in done.stderr


@pytest.mark.parametrize(
    "args", [("--data", "aapl-1m", "--data", "aapl-1m"), ("--speed", "0"), ("--data", "nowhere.csv")]
)
def test_wrong_use_deletes_nothing(args: tuple[str, ...], tmp_path: Path) -> None:
    demo(tmp_path, *AAPL)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.db")}
    assert tickwork(tmp_path, "demo", "--once", *args).returncode == 2
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.db")} == before


def test_a_recording_of_one_bar_says_so_in_good_english(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "btc-usdt.csv", "coinbase-btc-usd-1h", 1)
    assert "found '1 row'" in tickwork(tmp_path / "home", "demo", "--data", str(path)).stderr


@pytest.mark.parametrize("args", [("demo", "--once", "--json", *AAPL), ("demo", "--once", *AAPL), ("runs", "--json")])
def test_a_full_stdout_says_that_it_is_stdout(args: tuple[str, ...], tmp_path: Path) -> None:
    demo(tmp_path, *AAPL, "--seed", "2")
    with Path("/dev/full").open("w") as full:
        command = [*COMMAND, args[0], "--home", str(tmp_path), *args[1:]]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "tickwork: stdout cannot be written: No space left on device"


@pytest.mark.parametrize("room", ["0", "8k", "64k", "128k", "200k", "400k"])
def test_a_full_disk_is_one_line_that_names_the_file(room: str, tmp_path: Path) -> None:
    home = tmp_path / "disk" / "home"
    home.parent.mkdir()
    fill = f"head -c 8192 /dev/zero > {home.parent}/fill" if room == "0" else "true"
    size = "8k" if room == "0" else room
    play = " ".join([*COMMAND, "demo", "--once", "--json", "--home", str(home), *AAPL])
    script = f"mount -t tmpfs -o size={size} tmpfs {home.parent} || exit 77; {fill}; {play}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no file system of our own may be mounted here")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("tickwork: ")
    assert done.stderr.count("\n") == 1
    assert str(home) in done.stderr


def test_ctrl_c_when_it_has_ended_is_no_failure(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    # a session of its own with the terminal as its controlling one, so that Ctrl-C would signal all that run in it
    own = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    run = f"{own}; os.execvp('make', sys.argv[1:])"
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"demo:\n\t@{COMMAND[0]} demo --home {tmp_path / 'home'} --data aapl-1m\n")
    command = [sys.executable, "-c", run, "make", "-f", str(makefile), "demo"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT) as process:
        os.close(theirs)
        said = b""
        while b"Press Enter" not in said:
            said += os.read(ours, 65_536)
        time.sleep(0.3)  # it turns to the keyboard
        os.write(ours, b"x\x03")
        assert process.wait(20) == 0
    os.close(ours)


def test_the_help_of_speed_says_what_a_gap_counts() -> None:
    said = subprocess.run([*COMMAND, "demo", "--help"], capture_output=True, text=True, check=True).stdout
    assert "Gaps count as a day at most" in " ".join(said.split())


def test_the_version() -> None:
    said = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True).stdout
    assert said == f"tickwork {version('tickwork')}\n"
