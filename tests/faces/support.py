"""A process that runs workflows, and the command line beside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tickwork.engines.embedded.control import socket_path

PATIENCE = 60.0
"""Seconds until a process that does not answer has failed; far more than it needs."""


@contextmanager
def worker(folder: Path, program: str) -> Iterator[Path]:
    """Run a program that serves ``tape.db`` in the folder, until the block ends; gives the tape."""
    script, tape = folder / "worker.py", folder / "tape.db"
    script.write_text(textwrap.dedent(program))
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, str(script)], cwd=folder, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + PATIENCE
            while not socket_path(str(tape)).exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail("the worker did not start: " + (folder / "worker.log").read_text())
                time.sleep(0.02)
            yield tape
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)
    assert process.returncode == 0, (folder / "worker.log").read_text()


def tickwork(tape: Path, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line on a tape."""
    command = [str(Path(sys.executable).parent / "tickwork"), *words, "--tape", str(tape)]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False
    )


def answer(tape: Path, *words: str, given: str | None = None) -> Any:
    """The JSON that a verb answers."""
    found = tickwork(tape, *words, "--json", given=given)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def eventually(look: Any) -> Any:
    """What ``look`` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found
