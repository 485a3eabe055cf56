"""What the fault tests share: a small workload on a real file, and a disk that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import apsw

from tests.chaos.lossy import Disk, LossyVFS
from tickwork import Engine, Event, Run, workflow

T = TypeVar("T")


class Note(Event, name="faults/note"):
    """Starts a run that keeps its text."""

    n: int
    text: str = ""


class Go(Event, name="faults/go"):
    """What ``patient`` waits for."""

    n: int


def double(n: int) -> int:
    """A step."""
    return 2 * n


@workflow("faults-keep", on=Note)
async def keep(run: Run, note: Note) -> int:
    """Two steps."""
    return await run.step("double", double, await run.step("double", double, note.n))


@workflow("faults-patient")
async def patient(run: Run, n: int) -> int:
    """Waits for its event."""
    await run.step("double", double, n)
    go = await run.wait_for(Go, where={"n": n})
    assert go is not None
    return go.n


def engine(tape: Path, vfs: str | None = None, **options: object) -> Engine:
    """The engine of these tests."""
    return Engine(f"sqlite:///{tape}", workflows=[keep, patient], vfs=vfs, **options)  # type: ignore[arg-type]


def play(main: Callable[[], Awaitable[T]]) -> T:
    """Run a test's coroutine; a hang is a failure."""

    async def bounded() -> T:
        async with asyncio.timeout(60):
            return await main()

    return asyncio.run(bounded())


@contextmanager
def disk() -> Iterator[tuple[Disk, LossyVFS]]:
    """A disk that can be told to fail, with its VFS."""
    found = Disk()
    yield found, LossyVFS(f"faults-{id(found)}", found)


def failing(error: Exception, *, what: str = "sync", suffix: str = "", after: int = 0) -> Callable[[str, str], None]:
    """A ``Disk.fault`` that raises ``error`` at every call of a kind to a file, once ``after`` of them went well."""
    left = [after]

    def fault(kind: str, name: str) -> None:
        if kind == what and name.endswith(suffix):
            left[0] -= 1
            if left[0] < 0:
                raise error

    return fault


def no_sync() -> apsw.Error:
    """What SQLite gets from a disk whose fsync fails."""
    return coded(apsw.IOError("fsync failed"), apsw.SQLITE_IOERR_FSYNC)


def no_room() -> apsw.Error:
    """What SQLite gets from a disk that is full."""
    return coded(apsw.FullError("disk full"), apsw.SQLITE_FULL)


def coded(error: apsw.Error, code: int) -> apsw.Error:
    """An error as SQLite itself numbers it."""
    vars(error).update(result=code & 0xFF, extendedresult=code)
    return error
