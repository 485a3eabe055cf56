"""The shape of the code: rooms import downward, and only one adapter reads the clock."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "tickwork"
LINTER = Path(sys.executable).with_name("lint-imports")

CLOCK_READS = {
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
TIMERS = {"time.perf_counter", "time.perf_counter_ns", "time.process_time", "time.process_time_ns"}
SYSTEM_CLOCK = "engines/system_clock.py"
CHANCE_MODULES = {"secrets"}
CHANCE_CALLS = {"uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom"}
PURE_ROOMS = ("core", "trading", "market")
PURE_FILES = ("values.py", "errors.py", "outcome.py")

Call = tuple[str, int]
"""Dotted name with the import's alias resolved, and the line."""


def calls(source: str) -> list[tuple[str, ast.Call]]:
    """Every call in a module by the dotted name it was imported under: ``now`` of ``from time import time as now``."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return [
        (_dotted(node.func, names), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _dotted(node.func, names)
    ]


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    full = ".".join([names.get(node.id, node.id), *reversed(parts)])
    # datetime.datetime.now and datetime.now are one thing
    return full.removeprefix("datetime.") if full.startswith(("datetime.datetime.", "datetime.date.")) else full


def clock_reads(source: str, *, timers_allowed: bool) -> list[Call]:
    """Calls that ask the machine what time it is."""
    banned = CLOCK_READS if timers_allowed else CLOCK_READS | TIMERS
    return [(name, call.lineno) for name, call in calls(source) if name in banned]


def chance(source: str) -> list[Call]:
    """Calls that give another answer each time: the module's own random, unseeded generators, random ids."""
    found: list[Call] = []
    for name, call in calls(source):
        module = name.partition(".")[0]
        unseeded = name == "random.Random" and not call.args
        ambient = module == "random" and name not in ("random.Random", "random.seed")
        if unseeded or ambient or module in CHANCE_MODULES or name in CHANCE_CALLS:
            found.append((name, call.lineno))
    return found


def prints(source: str) -> list[Call]:
    """Calls of print and input."""
    return [(name, call.lineno) for name, call in calls(source) if name in ("print", "input", "breakpoint")]


def modules(*rooms: str) -> list[Path]:
    """The product's modules, all or those of some rooms."""
    folders = [PACKAGE / room for room in rooms] or [PACKAGE]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def pure_modules() -> list[Path]:
    """The modules that compute and never act."""
    return [*modules(*PURE_ROOMS), *(PACKAGE / name for name in PURE_FILES)]


def offences(paths: list[Path], check: str, found: dict[Path, list[Call]]) -> str:
    """A message for the failing test: one place per line."""
    lines = [f"{path.relative_to(ROOT)}:{line} {name}" for path in paths for name, line in found[path]]
    return f"{check}:\n" + "\n".join(lines) if lines else ""


def test_only_the_clock_adapter_reads_the_clock() -> None:
    paths = [path for path in modules() if path.relative_to(PACKAGE).as_posix() != SYSTEM_CLOCK]
    found = {
        path: clock_reads(path.read_text(), timers_allowed=path.is_relative_to(PACKAGE / "engines")) for path in paths
    }
    assert not offences(paths, "take the time from the Clock you were given", found)


def test_pure_rooms_leave_nothing_to_chance() -> None:
    paths = pure_modules()
    assert not offences(paths, "derive it, or take a seed", {path: chance(path.read_text()) for path in paths})


def test_only_faces_talk_to_a_terminal() -> None:
    paths = [path for path in modules() if not path.is_relative_to(PACKAGE / "faces")]
    assert not offences(paths, "return it, or log it", {path: prints(path.read_text()) for path in paths})


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "from time import time_ns as now\nnow()",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "import datetime as d\nd.datetime.now()",
        "import time as t\nt.perf_counter()",
    ],
)
def test_the_clock_check_sees_every_spelling(source: str) -> None:
    assert clock_reads(source, timers_allowed=False)


@pytest.mark.parametrize(
    "source",
    [
        "import random\nrandom.random()",
        "from random import choice\nchoice([1])",
        "import random\nrandom.Random()",
        "import uuid\nuuid.uuid4()",
        "import os\nos.urandom(8)",
        "from secrets import token_hex\ntoken_hex()",
    ],
)
def test_the_chance_check_sees_every_spelling(source: str) -> None:
    assert chance(source)


def test_a_seeded_generator_is_no_chance() -> None:
    assert not chance("import random\nrandom.Random(7).random()")


# ------------------------------------------------------------------------------------------------- import contracts


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts on the package in ``folder``."""
    command = [str(LINTER), "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    # the copy must win over the installed package
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package to plant violations in."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, folder / "tickwork", ignore=shutil.ignore_patterns("__pycache__", "data"))
    return folder


def test_the_contracts_hold() -> None:
    result = lint(ROOT / "src")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "planted", "contract"),
    [
        ("core", "import asyncio", "The core reads no clock, loop, thread, socket or database"),
        ("core", "import sqlite3", "The core reads no clock, loop, thread, socket or database"),
        ("core", "import tickwork.market.bars", "Imports point only downward through the rooms"),
        ("trading", "import tickwork.core.event", "The core and trading do not know each other"),
        ("market", "from time import time", "Market and trading compute: no clock, thread, socket or database"),
    ],
)
def test_a_planted_violation_is_seen(copied: Path, room: str, planted: str, contract: str) -> None:
    plant = copied / "tickwork" / room / "planted.py"
    plant.write_text(f'"""Must not pass."""\n{planted}\n')
    try:
        result = lint(copied)
    finally:
        plant.unlink()
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"{contract} BROKEN" in result.stdout


def test_an_unknown_room_is_seen(copied: Path) -> None:
    attic = copied / "tickwork" / "attic.py"
    attic.write_text('"""No room of the design."""\n')
    try:
        result = lint(copied)
    finally:
        attic.unlink()
    assert result.returncode == 1
    assert "attic" in result.stdout
