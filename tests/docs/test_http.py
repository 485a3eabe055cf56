"""The examples of the page on HTTP, as they stand there: a process that is up, and a shell beside it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tickwork.service.api.problems import TITLES

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "http.md"
BLOCK = re.compile(r"^```(\w+)(?: no-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S = 60.0
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return [body for found, body in BLOCK.findall(PAGE.read_text()) if found == language]


@dataclass
class Up:
    """A folder with a process that is up."""

    folder: Path
    environ: dict[str, str]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )


@contextmanager
def exchange() -> Iterator[str]:
    """The address of a simulated exchange."""
    words = [sys.executable, "-m", "tickwork.sim.exchange", "--venue", "mexc", "--port", "0", "--walk", "5"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("http")
    with exchange() as address:
        (config,), (code,) = blocks("toml"), blocks("python")
        (folder / "tickwork.toml").write_text(config.replace("http://127.0.0.1:8765", address))
        (folder / "desk.py").write_text(code)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TICKWORK_")}
        environ |= {"POSTS_SECRET": "correct horse", "PATH": f"{BIN}{os.pathsep}{environ['PATH']}", "NO_COLOR": "1"}
        process = Up(folder, environ)
        came = process.run("tickwork", "up", "--daemon", "--port", "0")
        assert came.returncode == 0, came.stdout + came.stderr
        try:
            (environ["TICKWORK"],) = json.loads(process.run("tickwork", "status", "--json").stdout)["processes"][0][
                "addresses"
            ]
            yield process
        finally:
            down = process.run("tickwork", "down")
        assert down.returncode == 0, down.stdout + down.stderr


def test_the_examples_are_true(up: Up) -> None:
    for block in blocks("bash"):
        found = up.run("bash", "-euc", block)
        assert found.returncode == 0, f"{block}\n{found.stdout}\n{found.stderr}"


def test_the_codes_of_the_page_are_those_of_the_code() -> None:
    section = PAGE.read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    told = {
        code for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for code in re.findall(r"`([\w-]+)`", row)
    }
    assert told <= set(TITLES)
    # what a client of the API meets only by a mistake of the transport needs no advice
    untold = {
        "not-acceptable",
        "method-not-allowed",
        "unsupported-media-type",
        "too-large",
        "request-timeout",
        "failed",
        "internal",
    }
    assert set(TITLES) - told == untold
