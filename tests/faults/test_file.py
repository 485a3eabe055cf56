"""The file itself is damaged: found out and said, or harmless; never other data than was written."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from tests.faults.support import Go, Note, engine, keep, patient, play
from tickwork import Engine, TapeError
from tickwork.core.tape import Entry
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.schema import connect
from tickwork.errors import TapeCorrupt

NOTES = 60
TEXT = "the quick brown fox " * 20

Records = list[tuple[int | None, Entry]]


async def write_tape(tape: Path) -> None:
    """A tape of a few dozen pages."""
    async with engine(tape) as running:
        waits = await running.start(patient, 7, id="patient-7")
        for n in range(NOTES):
            await running.emit(Note(n=n, text=TEXT))
        await running.emit(Go(n=7))  # so that there is a run of several chunks
        await waits.result(timeout="10 s")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound tape, closed; tests damage copies of it."""
    tape = tmp_path_factory.mktemp("sound") / "tape.db"
    play(lambda: write_tape(tape))
    return tape


def read_all(tape: Path) -> tuple[Records, dict[int, list[Entry]]]:
    """Every record in order, and every run's history.

    Raises:
        TapeError: damage was found.
    """
    connection = connect(str(tape), read_only=True)
    try:
        reader = Reader(connection)
        histories = {
            seq: reader.history(tail, seq) for seq, tail in reader.rows("SELECT seq, tail FROM runs ORDER BY seq")
        }
        return list(reader.tape()), histories
    finally:
        connection.close()


def flip(data: bytearray, rng: random.Random) -> None:
    """One bit, anywhere."""
    at = rng.randrange(len(data))
    data[at] ^= 1 << rng.randrange(8)


def burst(data: bytearray, rng: random.Random) -> None:
    """Sixteen bytes of noise."""
    at = rng.randrange(len(data) - 16)
    data[at : at + 16] = rng.randbytes(16)


def lost_sector(data: bytearray, rng: random.Random) -> None:
    """A sector of zeros."""
    at = rng.randrange(len(data) // 512) * 512
    data[at : at + 512] = bytes(512)


@pytest.mark.parametrize("damage", [flip, burst, lost_sector])
def test_damage_is_found_or_harmless(
    sound: Path, tmp_path: Path, damage: Callable[[bytearray, random.Random], None]
) -> None:
    records, histories = read_all(sound)
    good = sound.read_bytes()
    tape = tmp_path / "tape.db"
    found = 0
    for seed in range(400):
        data = bytearray(good)
        damage(data, random.Random(seed))
        tape.write_bytes(data)
        try:
            read, walked = read_all(tape)
        except TapeError:
            found += 1
            continue
        wrong = [entry for entry in read if entry not in records]
        assert not wrong, f"seed {seed}: {wrong[0]} was never written"
        strange = [seq for seq, entries in walked.items() if seq in histories and entries != histories[seq]]
        assert not strange, f"seed {seed}: run {strange[0]} is told another story"
    assert found > 100, "hardly any damage was found: this test looks at the wrong bytes"


@pytest.mark.parametrize("damage", [flip, burst, lost_sector])
def test_an_engine_on_a_damaged_file_stops_loudly_or_works(
    sound: Path, tmp_path: Path, damage: Callable[[bytearray, random.Random], None]
) -> None:
    good = sound.read_bytes()

    async def one(tape: Path) -> None:
        try:
            async with engine(tape) as running:
                handle = await running.start(keep, Note(n=5))
                assert await handle.result(timeout="10 s") == 20
        except TapeError:
            return

    async def main() -> None:
        for seed in range(40):
            folder = tmp_path / str(seed)
            folder.mkdir()
            data = bytearray(good)
            damage(data, random.Random(f"engine {seed}"))
            (folder / "tape.db").write_bytes(data)
            await one(folder / "tape.db")
            shutil.rmtree(folder)

    play(main)


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_found_out(sound: Path, tmp_path: Path, part: float) -> None:
    good = sound.read_bytes()
    tape = tmp_path / "tape.db"
    tape.write_bytes(good[: int(len(good) * part)])

    async def main() -> None:
        if part == 0:
            async with engine(tape):  # an empty file is a new tape
                return
        with pytest.raises(TapeError):
            async with engine(tape) as running:
                await look_at_everything(running)

    play(main)


async def look_at_everything(running: Engine) -> None:
    """As a face would."""
    for info in await running.runs(limit=1_000):
        await running.show(info.id)


@pytest.mark.parametrize("seed", range(12))
def test_a_log_that_was_cut_off_leaves_a_sound_beginning(tmp_path: Path, seed: int) -> None:
    """SQLite takes the sound part of a WAL: what remains is the tape as it once was."""
    tape = tmp_path / "tape.db"
    cut = tmp_path / "cut" / "tape.db"
    cut.parent.mkdir()

    async def live() -> None:
        running = engine(tape)
        await running.open()
        for n in range(NOTES):
            await running.emit(Note(n=n, text=TEXT))
        for suffix in ("", "-wal"):
            shutil.copy(str(tape) + suffix, str(cut) + suffix)
        running.kill()

    play(live)
    wal = Path(f"{cut}-wal")
    data = wal.read_bytes()
    wal.write_bytes(data[: random.Random(seed).randrange(len(data))])

    async def again() -> None:
        async with engine(cut) as running:
            assert await (await running.start(keep, Note(n=5))).result(timeout="10 s") == 20

    try:
        play(again)
    except TapeError:
        return  # even the beginning is gone
    whole = [entry for _, entry in read_all(tape)[0]]
    left = [entry for _, entry in read_all(cut)[0]]
    beginning = [entry for entry in left if entry in whole]
    assert beginning == whole[: len(beginning)]


def test_records_changed_behind_the_back_are_refused(sound: Path, tmp_path: Path) -> None:
    """Not damage but a hand: a chunk moved, given to another run, or linked elsewhere has no valid checksum."""
    for column, value in (("seq", "seq + 100000"), ("run", "run + 1"), ("prev", "prev - 1")):
        tape = tmp_path / f"{column}.db"
        shutil.copy(sound, tape)
        connection = apsw.Connection(str(tape))
        ((seq,),) = connection.execute("SELECT max(seq) FROM tape WHERE prev IS NOT NULL AND run IS NOT NULL")
        connection.execute(f"UPDATE tape SET {column} = {value} WHERE seq = ?", (seq,))
        connection.close()
        with pytest.raises(TapeCorrupt):
            read_all(tape)


def test_a_record_that_goes_bad_while_it_runs_stops_the_engine(tmp_path: Path) -> None:
    """Whoever meets it: here an event that must wake a parked run."""
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with engine(tape, park_after="10 ms") as running:
            handle = await running.start(patient, 7, id="patient-7")
            waiting = asyncio.create_task(handle.result())
            while running.status()["inMemory"]:  # noqa: ASYNC110 - parking has no event of its own
                await asyncio.sleep(0.01)
            spoil(tape)
            with pytest.raises(TapeError):
                await running.emit(Go(n=7))
                await waiting
            await asyncio.wait_for(running.failed(), 5)
            with pytest.raises(TapeError):
                await waiting
            with pytest.raises(TapeError):
                await running.emit(Go(n=7))

    play(main)


def spoil(tape: Path) -> None:
    """Change a run's first chunk in place."""
    connection = apsw.Connection(str(tape))
    connection.set_busy_timeout(5_000)
    connection.execute("UPDATE tape SET data = replace(data, 'patient', 'pirates') WHERE run IS NOT NULL")
    connection.close()


@pytest.mark.parametrize("table", ["runs", "delayed", "tape"])
def test_a_table_that_goes_bad_while_it_runs_stops_the_engine(tmp_path: Path, table: str) -> None:
    """The timers read runs and delayed events once a second; nobody waits for what they would have found."""
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with engine(tape) as running:
            await running.start(patient, 7, id="patient-7")
            await running.emit(Note(n=1), delay="1500 ms")
            connection = apsw.Connection(str(tape))
            connection.set_busy_timeout(5_000)
            connection.execute(f"ALTER TABLE {table} RENAME TO gone_{table}")
            connection.close()
            if table == "tape":
                with pytest.raises(TapeError):
                    await running.emit(Note(n=2))
            await asyncio.wait_for(running.failed(), 10)
            assert isinstance(running.fault, TapeError)

    play(main)
