"""A tape that is deleted or replaced under its engine: nothing more is acknowledged."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tickwork.core.event import Event
from tickwork.engines.embedded import Engine
from tickwork.errors import TapeError


class Fell(Event, name="faults/fell"):
    n: int


def _deleted(tape: Path) -> None:
    tape.unlink()


def _moved(tape: Path) -> None:
    tape.rename(tape.with_name("old.db"))


def _replaced(tape: Path) -> None:
    """As a backup that is copied to a name of its own and moved over it."""
    shutil.copy(tape, tape.with_name("backup.db"))
    tape.with_name("backup.db").replace(tape)


def _swept(tape: Path) -> None:
    for file in tape.parent.iterdir():
        file.unlink()


def _without_its_log(tape: Path) -> None:
    tape.with_name(f"{tape.name}-wal").unlink()


@pytest.mark.parametrize("take", [_deleted, _moved, _replaced, _swept, _without_its_log])
def test_what_nobody_will_find_again_is_not_acknowledged(tmp_path: Path, take: Callable[[Path], None]) -> None:
    async def main() -> None:
        tape = tmp_path / "t.db"
        engine = Engine(f"sqlite:///{tape}")
        await engine.open()
        await engine.emit(Fell(n=1))
        await engine.durable()
        take(tape)
        with pytest.raises(TapeError, match="deleted, moved or replaced"):
            await engine.emit(Fell(n=2))
        with pytest.raises(TapeError, match="deleted, moved or replaced"):
            await engine.emit(Fell(n=3))
        engine.kill()

    asyncio.run(main())


def test_a_copy_taken_meanwhile_disturbs_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with Engine(f"sqlite:///{tmp_path}/t.db") as engine:
            await engine.emit(Fell(n=1))
            shutil.copy(tmp_path / "t.db", tmp_path / "backup.db")
            await engine.emit(Fell(n=2))

    asyncio.run(main())
