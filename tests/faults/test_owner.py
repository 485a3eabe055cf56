"""One process owns a tape, and it stays owned for just as long as the process lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.support import Note, engine, keep, play
from tickwork.engines.embedded.control import ask_owner
from tickwork.errors import TapeLocked

ROOT = Path(__file__).resolve().parents[2]

OWNER = """
import asyncio, sys
from pathlib import Path
from tests.faults.support import Note, engine
async def main(tape):
    async with engine(tape) as running:
        await running.emit(Note(n=1))
        print("owned", flush=True)
        await asyncio.sleep(60)
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that owns the tape."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "tape.db")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "owned\n"
        yield process
        process.kill()


def test_two_processes_at_once(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        with pytest.raises(TapeLocked, match=f"pid {owner.pid}"):
            await engine(tape).open()

    play(main)
    assert ask_owner(str(tape), "status")["runs"], "the owner must not have noticed"


def test_two_engines_in_one_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with engine(tmp_path / "tape.db") as first:
            with pytest.raises(TapeLocked):
                await engine(tmp_path / "tape.db").open()
            await first.emit(Note(n=1))

    play(main)


@pytest.mark.parametrize("word", [signal.SIGKILL, signal.SIGSEGV])
def test_a_dead_owner_owns_nothing(tmp_path: Path, owner: subprocess.Popen[str], word: signal.Signals) -> None:
    tape = tmp_path / "tape.db"
    os.kill(owner.pid, word)
    owner.wait()
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        ask_owner(str(tape), "status")

    async def main() -> None:
        async with engine(tape) as running:
            assert await (await running.start(keep, Note(n=2))).result(timeout="10 s") == 8
            assert len(await running.runs(workflow="faults-keep")) == 2

    play(main)
    assert time.monotonic() - started < 5


def test_a_stopped_owner_still_owns(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    """A process that hangs, or a laptop asleep: its lock is not stolen."""
    os.kill(owner.pid, signal.SIGSTOP)

    async def main() -> None:
        with pytest.raises(TapeLocked):
            await engine(tmp_path / "tape.db").open()

    play(main)
    os.kill(owner.pid, signal.SIGCONT)
    assert ask_owner(str(tmp_path / "tape.db"), "status")["seq"] >= 1


def test_what_the_owner_starts_does_not_keep_its_lock(tmp_path: Path) -> None:
    """A child process that outlives a killed owner must not hold the tape."""
    tape = tmp_path / "tape.db"
    code = OWNER.replace('print("owned"', 'import subprocess; subprocess.Popen(["sleep", "30"]); print("owned"')
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tape)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        child = next(int(line) for line in children(owner.pid))
        owner.kill()
        owner.wait()

        async def main() -> None:
            async with engine(tape) as running:
                await running.emit(Note(n=2))

        try:
            play(main)
        finally:
            os.kill(child, signal.SIGKILL)


def children(pid: int) -> list[str]:
    """The processes that a process has started."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
