"""The demo as its users run it: a process of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

COMMAND = (str(Path(sys.executable).with_name("tickwork")),)
BTC = ("--data", "coinbase-btc-usd-1h", "--data", "bitstamp-btc-usd-1d")
AAPL = ("--data", "aapl-1m")

ENVIRONMENT = {**os.environ, "COLUMNS": "100"}
ENVIRONMENT.pop("TICKWORK_HOME", None)


def tickwork(home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end."""
    verb, *rest = args
    command = [*COMMAND, verb, "--home", str(home), *rest]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=120)


def answer(home: Path, *args: str) -> Any:
    """What a verb prints with ``--json``."""
    done = tickwork(home, *args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def demo(home: Path, *args: str) -> dict[str, Any]:
    """The summary of a demo that runs to its end, without the path of its tape."""
    summary: dict[str, Any] = answer(home, "demo", "--once", *args)
    assert Path(summary.pop("tape")) == home / "demo.db"
    return summary


def stopped(home: Path, after: float, with_signal: signal.Signals, *args: str) -> int | None:
    """Start a demo and send it a signal after some seconds; its exit code, or None when it had ended by itself."""
    command = [*COMMAND, "demo", "--home", str(home), "--once", "--json", *args]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.send_signal(with_signal)
        out, error = process.communicate(timeout=60)
        assert "Traceback" not in error, error
        if out:
            json.loads(out)
            return None
        return process.returncode


def moments(seed: int, count: int, longest: float) -> list[float]:
    """Random moments to interrupt at, spread over a run."""
    chance = random.Random(seed)
    return [chance.uniform(0, longest) for _ in range(count)]


def wait_for(path: Path, seconds: float = 30) -> None:
    """Until a file is there."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.01)
