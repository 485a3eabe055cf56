"""An engine under observation: takes one turn at a time, parks at once, or dies after a chosen batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from tickwork.core.clock import VirtualClock
from tickwork.core.drive import PENDING, Drive, Waiting
from tickwork.core.queue import Queue
from tickwork.core.replay import Course
from tickwork.core.run import Run
from tickwork.core.tape import Entry, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded import runs as runs_module
from tickwork.engines.embedded.batch import Batch
from tickwork.engines.embedded.reader import Reader, started
from tickwork.engines.embedded.status import Status

ENDINGS = frozenset({"done", "dead", "cancelled", "again"})


class _DyingWriter:
    """Writes ``left`` batches more; then the process is as good as dead."""

    def __init__(self, inner: Any, left: int, died: asyncio.Event) -> None:
        self._inner = inner
        self._left = left
        self._died = died
        self.busy = False

    def submit(self, batch: Batch) -> None:
        if self._left <= 0:
            self.busy = True  # for good: nothing more reaches the disk, and nobody hears that it did
            self._died.set()
            return
        self._left -= 1
        self._inner.submit(batch)

    def close(self) -> None:
        self._inner.close()


class Probe(Engine):
    """An engine on a ``Memory``, in virtual time."""

    def __init__(
        self,
        memory: Memory,
        workflows: Sequence[Workflow],
        *,
        clock: VirtualClock,
        seed: int = 1,
        finely: bool = False,
        park: bool = False,
        dies_after: int | None = None,
        queues: Sequence[Queue] = (),
    ) -> None:
        super().__init__(memory, workflows=workflows, queues=queues, clock=clock, seed=seed)
        self.died = asyncio.Event()
        self.parked = 0
        self._finely = finely or park
        self._park = park
        self._dies_after = dies_after

    def _connect(self) -> None:
        super()._connect()
        crank = self._crank
        pump = crank.pump

        def pump_once() -> None:
            turns, runs_module.TURNS = runs_module.TURNS, 1 if self._finely else runs_module.TURNS
            try:
                pump()
            finally:
                runs_module.TURNS = turns
            if self._finely:
                self._log.flush_now()
            if self._park:
                before = len(self._runs.hot)
                self._runs.park_idle(self.clock.now() + 1)
                self.parked += before - len(self._runs.hot)

        crank.pump = pump_once  # type: ignore[method-assign]
        if self._dies_after is not None:
            self.die_after(self._dies_after)

    def die_after(self, batches: int) -> None:
        """From now on so many batches more reach the disk."""
        log = self._log
        assert log.writer is not None
        log.writer = _DyingWriter(log.writer, batches, self.died)


def tape_of(memory: Memory) -> list[tuple[Any, ...]]:
    """Every row of the tape, as it is on disk."""
    return list(memory.connection.execute("SELECT seq, run, prev, crc, data FROM tape ORDER BY seq"))


def records_of(memory: Memory) -> list[tuple[int | None, Entry]]:
    """Every record, with the run it belongs to."""
    return list(Reader(memory.connection).tape())


class _Refusing:
    """A driver that answers nothing: the tape must hold all the answers."""

    def answer(self, drive: Any, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        if waiting.ask.kind == "again":
            return PENDING
        raise AssertionError(f"a replay asked for {waiting.ask}")

    def record(self, drive: Any, record: Record) -> None:
        raise AssertionError(f"a replay recorded {record}")

    def forget(self, drive: Any, waiting: Waiting) -> None:
        """What an interruption dropped the first time is dropped again."""

    def doomed(self, drive: Any, waiting: Waiting) -> None:
        raise AssertionError("a replay doomed something")


def check_tape(memory: Memory) -> None:
    """Positions and times never go back; every run ended once; nothing is left behind in the tables."""
    seqs = [entry.seq for _, entry in records_of(memory)]
    assert seqs == list(range(1, len(seqs) + 1))
    times = [entry.record.at for _, entry in records_of(memory)]
    assert times == sorted(times)
    reader = Reader(memory.connection)
    endings: dict[int, list[str]] = {}
    published: dict[int, int] = {}
    delayed = []
    for run, entry in records_of(memory):
        record = entry.record
        if run is not None:
            endings.setdefault(run, [])
            if record.kind in ENDINGS and record.no < 0:
                endings[run].append(record.kind)
        if record.kind == "emit" and record.due:
            delayed.append(entry.seq)
        if record.kind == "event" and record.ref:
            published[record.ref] = published.get(record.ref, 0) + 1
    assert all(len(ended) == 1 for ended in endings.values()), endings
    assert published == dict.fromkeys(delayed, 1)
    for row in reader.rows("SELECT * FROM runs"):
        assert Status(row[4]).finished
        assert row[5] is None
    for table in ("waits", "delayed", "approvals"):
        assert reader.rows(f"SELECT * FROM {table}") == [], table


def check_engine(engine: Engine) -> None:
    """Nothing is left behind in memory."""
    assert engine._runs.hot == {}
    assert engine._runs.ids == {}
    assert engine._events._waiting == {}
    assert engine._events._hot_shapes == {}
    assert engine._calls.running == 0
    assert not engine._runs.parkable


def check_replay(memory: Memory, workflows: dict[str, Workflow]) -> None:
    """Drive every run once more from its records: it asks nothing, records nothing and ends the same way."""
    reader = Reader(memory.connection)
    openings = reader.rows("SELECT seq, nonce FROM openings ORDER BY seq")
    for seq, tail in reader.rows("SELECT seq, tail FROM runs"):
        entries = reader.history(tail)
        who = started(entries[0])
        course = Course(entries, who.since)
        assert course.ending is not None
        if course.ending.record.kind == "cancelled" and not course.history:
            continue  # between two attempts
        flow = workflows[entries[0].record.name]
        input = flow.decode_input(who.input, who.event)

        def body(run: Run, course: Course = course, flow: Workflow = flow, input: Any = input) -> Any:
            if course.failing is not None:
                assert flow.on_failure is not None
                return flow.on_failure(run, input, course.failing)
            return flow.body(run, input)

        nonce = next(nonce for opened, nonce in reversed(openings) if opened <= seq)
        id = who.id or f"r{seq}"
        drive = Drive(body, id, who.owner, f"{nonce}/{id}".encode(), _Refusing(), course)
        drive.start()
        ending = course.ending.record
        if ending.kind == "again":
            assert drive.outcome is None
            drive.close()
            continue
        assert drive.outcome is not None, f"{id} ended by {ending.kind}, but its replay waits for {drive.pending}"
        value, error = drive.outcome
        if ending.kind == "done":
            assert error is None
            assert bytes(flow.result.round_trip(value, "result")[0]) == bytes(ending.value)
        elif ending.kind == "dead" and course.failing is None:
            recorded = msgspec.json.decode(bytes(ending.error))
            assert str(error) == recorded["message"]
