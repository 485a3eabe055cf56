"""An opening that fails lets everything go, and an end that fails still lets go of the tape."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from tests.faults.support import Note, disk, engine, failing, keep, no_room, no_sync, play
from tickwork import TapeError
from tickwork.engines.embedded.control import ask_owner


@pytest.mark.parametrize("error", [no_sync(), no_room()], ids=["fsync", "full"])
def test_an_opening_that_cannot_be_written_lets_go_of_the_tape(tmp_path: Path, error: apsw.Error) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with engine(tape) as first:
            await first.emit(Note(n=1))
        with disk() as (platter, vfs):
            platter.fault = failing(error, what="write" if isinstance(error, apsw.FullError) else "sync")
            with pytest.raises(TapeError):
                await engine(tape, vfs.name).open()
        async with engine(tape) as again:  # TapeLocked if the failed one still held it
            assert await (await again.start(keep, Note(n=2))).result(timeout="5 s") == 8

    play(main)


def test_an_opening_that_cannot_be_read_lets_go_of_the_tape(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with engine(tape) as first:
            await first.emit(Note(n=1))
        good = tape.read_bytes()
        tape.write_bytes(good[: len(good) // 2])
        with pytest.raises(TapeError):
            await engine(tape).open()
        tape.write_bytes(good)
        async with engine(tape) as again:
            assert await (await again.start(keep, Note(n=2))).result(timeout="5 s") == 8

    play(main)


def test_an_end_on_a_dead_disk_lets_go_of_the_tape(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        with disk() as (platter, vfs):
            broken = engine(tape, vfs.name)
            await broken.open()
            await broken.emit(Note(n=1))
            platter.die()
            await broken.close()
        async with engine(tape) as again:
            await again.emit(Note(n=2))

    play(main)


def test_a_killed_engine_answers_nobody(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        killed = engine(tape)
        await killed.open()
        killed.kill()
        with pytest.raises(ConnectionRefusedError):
            ask_owner(str(tape), "status", timeout=2)

    play(main)
