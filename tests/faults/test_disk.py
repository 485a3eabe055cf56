"""The disk fails while the engine runs: it stops loudly, nothing acknowledged is missing, and a restart goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.lossy import Disk
from tests.faults.support import Go, Note, disk, engine, failing, keep, no_room, no_sync, patient, play
from tickwork import Engine, TapeError
from tickwork.engines.embedded import schema

ROOT = Path(__file__).resolve().parents[2]
TEXT = "x" * 4_000
"""What makes a note as large as a page."""


async def emit_until_it_fails(running: Engine, at_most: int = 3_000) -> list[int]:
    """Emit notes one by one; the numbers of those that were acknowledged."""
    acknowledged = []
    with contextlib.suppress(TapeError):
        for n in range(at_most):
            await running.emit(Note(n=n, text=TEXT))
            acknowledged.append(n)
    return acknowledged


async def stopped_loudly(running: Engine, waiting: asyncio.Task[object]) -> None:
    """Everybody who waits is told, and nothing is taken any more."""
    await asyncio.wait_for(running.failed(), 5)
    assert isinstance(running.fault, TapeError)
    with pytest.raises(TapeError):
        await waiting
    with pytest.raises(TapeError):
        await running.emit(Note(n=-1))
    with pytest.raises(TapeError):
        await running.start(keep, Note(n=-1))
    with pytest.raises(TapeError):
        await running.durable()


async def goes_on(tape: Path, acknowledged: list[int]) -> None:
    """A restart has all that was acknowledged, finishes what was begun, and takes new work."""
    async with engine(tape) as again:
        for n in acknowledged:
            found = [info for info in await again.runs(workflow="faults-keep") if info is not None]
            assert len(found) >= len(acknowledged), f"note {n} is missing"
            break
        waited = again.handle("patient-7")
        await again.emit(Go(n=7))
        assert await waited.result(timeout="10 s") == 7
        assert await (await again.start(keep, Note(n=5))).result(timeout="10 s") == 20
    events = [event for event in notes_on(tape) if event >= 0]
    assert events[: len(acknowledged)] == acknowledged


def notes_on(tape: Path) -> list[int]:
    """The notes published on a tape, in order."""
    from tests.chaos.market import records

    return [
        Note.from_wire(bytes(record.value)).n
        for record in records(tape)
        if record.kind == "event" and record.name == Note.event_name
    ]


async def break_it(tape: Path, vfs: str | None, breaks: Callable[[], None] = lambda: None) -> list[int]:
    """Run, break the disk, see that the engine stops; returns what was acknowledged."""
    running = engine(tape, vfs)
    await running.open()
    handle = await running.start(patient, 7, id="patient-7")
    waiting: asyncio.Task[object] = asyncio.create_task(handle.result())
    breaks()
    acknowledged = await emit_until_it_fails(running)
    await stopped_loudly(running, waiting)
    await running.close()
    return acknowledged


FAULTS: dict[str, Callable[[Disk], None]] = {
    "fsync of the WAL at once": lambda found: setattr(found, "fault", failing(no_sync(), suffix="-wal")),
    "fsync of the WAL later": lambda found: setattr(found, "fault", failing(no_sync(), suffix="-wal", after=9)),
    "full at once": lambda found: setattr(found, "fault", failing(no_room(), what="write")),
    "full in a commit": lambda found: setattr(found, "fault", failing(no_room(), what="write", after=33)),
    "full in the next write": lambda found: setattr(found, "fault", failing(no_room(), what="write", after=34)),
    "dead": Disk.die,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_disk_that_fails_stops_the_engine_loudly(tmp_path: Path, name: str) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        with disk() as (platter, vfs):
            acknowledged = await break_it(tape, vfs.name, lambda: FAULTS[name](platter))
            assert len(acknowledged) < 3_000
        await goes_on(tape, acknowledged)

    play(main)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_stops_it_and_room_lets_it_go_on(small_disk: Path) -> None:
    tape = small_disk / "tape.db"

    async def main() -> None:
        acknowledged = await break_it(tape, None)
        assert 10 < len(acknowledged) < 1_000
        with contextlib.suppress(TapeError):  # the opening may find room in what the WAL already takes up
            async with engine(tape):
                pass
        enlarge(small_disk)
        await goes_on(tape, acknowledged)

    play(main)


def test_a_disk_that_others_fill_and_free_again(small_disk: Path) -> None:
    tape = small_disk / "tape.db"
    filler = small_disk / "filler"

    async def main() -> None:
        acknowledged = await break_it(tape, None, lambda: fill(filler))
        filler.unlink()
        await goes_on(tape, acknowledged)

    play(main)


def enlarge(folder: Path) -> None:
    """Make room."""
    subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all room there is."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written."""
    folder = tmp_path / "shut"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,ro", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this root may not mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_folder_that_cannot_be_written_is_refused_in_words(read_only_disk: Path) -> None:
    async def main() -> None:
        with pytest.raises(TapeError, match="writable folder"):
            await engine(read_only_disk / "tape.db").open()
        with pytest.raises(TapeError, match="writable folder"):
            await engine(read_only_disk / "deeper" / "tape.db").open()

    play(main)


# -- the real fsync fails, below SQLite -----------------------------------------------------------------------------

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* fsync and fdatasync of files whose name ends in FAIL_SUFFIX answer EIO after FAIL_AFTER calls that went well. */
static int failing(int fd) {
    static int calls;
    const char *suffix = getenv("FAIL_SUFFIX"), *after = getenv("FAIL_AFTER");
    char link[64], name[4096];
    if (!suffix || !after) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, name, sizeof name - 1);
    if (size < 0) return 0;
    name[size] = 0;
    size_t length = strlen(suffix);
    if ((size_t)size < length || strcmp(name + size - length, suffix)) return 0;
    return __sync_fetch_and_add(&calls, 1) >= atoi(after);
}

int fsync(int fd) {
    if (failing(fd)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    if (failing(fd)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that breaks fsync."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    library = folder / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "shim.c", "-ldl"], check=True)
    return library


@pytest.mark.parametrize(("suffix", "after"), [("-wal", 3), ("-wal", 40), ("tape.db", 1), ("tape.db", 3)])
def test_an_fsync_that_fails_below_sqlite(tmp_path: Path, shim: Path, suffix: str, after: int) -> None:
    tape = tmp_path / "tape.db"

    async def prepare() -> None:
        async with engine(tape) as first:
            await first.start(patient, 7, id="patient-7")

    play(prepare)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.on_broken_disk", str(tape)],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(shim), "FAIL_SUFFIX": suffix, "FAIL_AFTER": str(after)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *acknowledged, last = done.stdout.split("\n")[:-1]
    assert last.startswith("stopped: "), f"a broken fsync went unnoticed through {len(acknowledged)} notes"
    play(lambda: goes_on(tape, [int(n) for n in acknowledged]))


def test_the_checkpoint_is_what_the_engine_thinks_it_is() -> None:
    assert schema.CHECKPOINT_PAGES >= 1_000
