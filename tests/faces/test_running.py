"""`up`, `down`, `status`, `logs`: real processes against a simulated exchange behind a socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faces.upping import PATIENCE, Place, gone, place, until


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as found:
        yield found


def test_its_life(here: Place) -> None:
    nothing = here.run("status")
    assert (nothing.returncode, "nothing runs" in nothing.stdout) == (1, True)
    assert here.run("down").returncode == 1

    up = here.up()
    assert up.returncode == 0, up.stderr
    pid = here.pid()
    assert f"process {pid}" in up.stdout
    assert os.getsid(pid) == pid != os.getsid(0), "a session of its own"
    out = str(here.home / "logs" / "tickwork.out")
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (1, 2)} == {out}

    (status,) = here.status()["processes"]
    assert (status["stage"], status["mode"], status["complaint"]) == ("up", "paper", "")
    parts = {part["name"]: part for part in status["parts"]}
    assert {"tape", "account main", "halts", "exits", "reconciliation", "feed mexc", "workflows"} <= parts.keys()
    assert all(part["state"] == "running" and part["since"] for part in parts.values())
    told = here.run("status")
    assert told.returncode == 0 and f"paper: up, process {pid}" in told.stdout and "account main" in told.stdout

    again = here.run("up")
    assert again.returncode == 1 and f"process {pid} is up in home already" in again.stderr
    assert len(again.stderr.splitlines()) == 2, "what it was about to do, and why not"
    assert here.up().returncode == 1 and here.pid() == pid, "and the first one goes on"

    down = here.run("down", "--json")
    (stopped,) = json.loads(down.stdout)["stopped"]
    assert (down.returncode, stopped["pid"], stopped["outcome"]) == (0, pid, "stopped")
    assert gone(pid)
    assert here.status()["gone"][0]["killed"] is False
    assert "was killed" not in here.run("doctor", "--offline").stdout


def test_logs_of_runs_without_secrets(here: Place) -> None:
    assert here.up().returncode == 0
    assert here.run("emit", "test/go", "{}").returncode == 0
    until(lambda: "filled at" in here.log())
    (line,) = json.loads("[" + ",".join(here.run("logs", "--json", "--level", "warning").stdout.splitlines()) + "]")
    assert line["logger"] == "tickwork.run" and line["run"].startswith("r")
    assert line["message"].endswith("the key is ***")
    only = here.run("logs", "--run", line["run"]).stdout
    assert len(only.splitlines()) == 1 and "the key is ***" in only
    files = [file for file in (here.home / "logs").iterdir() if file.is_file()]
    assert {file.name for file in files} >= {"tickwork.log", "tickwork.out"}
    for file in files:
        assert file.stat().st_mode & 0o077 == 0
        assert "of-mexc" not in file.read_text()
    assert here.run("logs", "--level", "loud").returncode == 2


@pytest.mark.slow
def test_a_stop_follows_what_is_under_way(here: Place) -> None:
    assert here.up().returncode == 0
    here.run("emit", "test/slow", '{"n": 1}')
    until((here.folder / "begun").exists)
    (one,) = here.status()["processes"][0]["underWay"]
    assert (one["workflow"], one["kind"], one["name"]) == ("slow", "effect", "slowly")
    waiting = here.run("down", "--timeout", "200ms")
    assert waiting.returncode == 1 and "still runs; under way: slowly of slow" in waiting.stdout
    assert here.status()["processes"][0]["stage"] == "stopping"
    here.run("emit", "test/slow", '{"n": 2}')  # nothing new begins, and nothing is lost
    (here.folder / "go").touch()
    until(lambda: not here.status()["processes"])
    assert (here.folder / "made").read_text() == "1\n"
    assert here.status()["gone"][0]["last"]["stage"] == "stopped"
    assert here.up().returncode == 0
    until(lambda: here.status()["processes"][0]["runs"].get("done", 0) >= 2 and made(here) == ["1", "2"])


def made(here: Place) -> list[str]:
    return (here.folder / "made").read_text().split()


@pytest.mark.slow
def test_what_does_not_end_is_parked_and_told(here: Place) -> None:
    assert here.up("--stop-within", "100ms").returncode == 0
    here.run("emit", "test/slow", '{"n": 1}')
    until((here.folder / "begun").exists)
    down = here.run("down")
    assert down.returncode == 0
    assert "parked, and looked for at the next start: slowly of slow" in down.stdout
    assert "is parked" in here.log()


@pytest.mark.slow
def test_force_kills_and_says_so(here: Place) -> None:
    assert here.up().returncode == 0
    here.run("emit", "test/slow", '{"n": 1}')
    until((here.folder / "begun").exists)
    down = here.run("down", "--timeout", "100ms", "--force")
    assert down.returncode == 0 and ": killed" in down.stdout and "slowly of slow" in down.stdout
    assert here.status()["gone"][0]["killed"] is True
    told = here.run("doctor", "--offline")
    assert "was killed" in told.stdout
    assert here.up().returncode == 0, "and it goes on"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_and_a_second_one_at_once(here: Place, number: signal.Signals) -> None:
    with here.foreground() as process:
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0 and "stopped" in said
    with here.foreground() as process:
        here.run("emit", "test/slow", '{"n": 1}')
        until((here.folder / "begun").exists)
        process.send_signal(number)
        assert process.stderr is not None
        assert "following for at most 20 s what is under way: slowly" in process.stderr.readline()
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number


@pytest.mark.slow
def test_told_to_stop_while_it_opens(here: Place) -> None:
    toml = here.folder / "tickwork.toml"
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and answers nothing
        configured = toml.read_text()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        toml.write_text("\n".join(f'url = "{address}"' if "url" in line else line for line in configured.split("\n")))
        with here.foreground(wait=False) as process:
            (status,) = until(lambda: [one for one in here.status()["processes"] if one["since"]])
            assert status["stage"] == "opening" and here.run("status").returncode == 1
            assert here.run("down").returncode == 0
            assert process.wait(PATIENCE) == 0
        late = here.up("--start-within", "1500ms")
        assert late.returncode == 1 and "was not up within 1.5 s" in late.stderr
        assert here.status()["processes"] == []


def test_systemd_hears_of_it(here: Place, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        with here.foreground(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="300000") as process:
            heard: list[str] = []
            while not any("READY=1" in one for one in heard) or "WATCHDOG=1" not in heard[-1]:
                heard.append(manager.recv(4096).decode())
            assert heard[0].startswith("EXTEND_TIMEOUT_USEC=")
            process.send_signal(signal.SIGSTOP)  # a loop that does not turn
            manager.settimeout(0.5)
            with pytest.raises(TimeoutError):
                for _ in range(100):
                    manager.recv(4096)
            manager.settimeout(PATIENCE)
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGTERM)
            while "STOPPING=1" not in manager.recv(4096).decode():
                pass
            assert process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_only_and_without(here: Place) -> None:
    up = here.up("--only", "workflow:slow", "--without", "exits")
    assert up.returncode == 0
    assert "WITHOUT exits" in up.stderr and "trade take no new work" in up.stderr
    (here.folder / "go").touch()
    assert here.run("emit", "test/go", "{}").returncode == 0
    assert here.run("emit", "test/slow", "{}").returncode == 0
    until(lambda: (here.folder / "made").exists())
    (status,) = here.status()["processes"]
    assert (status["only"], status["without"]) == (["workflow:slow"], ["exits"])
    assert next(part["state"] for part in status["parts"] if part["name"] == "exits") == "off"
    with sqlite3.connect(f"file:{here.home}/paper.db?mode=ro", uri=True) as tape:
        assert ("trade",) not in tape.execute("SELECT workflow FROM runs").fetchall()
    here.run("down")
    unknown = here.run("up", "--only", "workflow:snipe")
    assert unknown.returncode == 2 and "slow, trade" in unknown.stderr
    assert here.run("up", "--without", "halts").returncode == 2


@pytest.mark.slow
def test_what_keeps_it_from_coming_up_is_one_line(here: Place) -> None:
    two = here.run("up", "--daemon", TICKWORK_MEXC_API_KEY="another-key")
    assert two.returncode == 2
    assert "TICKWORK_MEXC_API_KEY and MEXC_API_KEY" in two.stderr and "of-mexc" not in two.stderr
    no_library = "import sys; sys.modules['ccxt'] = None; from tickwork.app import main; main()"
    (here.folder / "without.py").write_text(no_library)
    lacking = subprocess.run(
        [sys.executable, "without.py", "up"],
        cwd=here.folder,
        env=here.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert lacking.returncode == 2 and "pip install 'tickwork[ccxt]'" in lacking.stderr.splitlines()[-1]
    toml = here.folder / "tickwork.toml"
    toml.write_text(toml.read_text().replace('"paper"', '"live"'))
    here.environ.pop("MEXC_API_KEY")
    missing = here.run("up", "--live")
    assert missing.returncode == 2
    assert "the environment variable MEXC_API_KEY to be set" in missing.stderr.splitlines()[-1]
    (said,) = (one for one in here.status()["gone"] if one["last"]["mode"] == "live")
    assert not said["killed"] and "MEXC_API_KEY" in said["last"]["detail"]
    toml.write_text("nonsense = 1")
    assert here.up().returncode == 2
    toml.unlink()
    none = here.run("up")
    assert none.returncode == 2 and "no tickwork.toml in this folder" in none.stderr.splitlines()[-1]
