"""The end of the tape: positions, the batch being filled, and who waits for the disk."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from tickwork.core.clock import Clock
from tickwork.core.tape import Record
from tickwork.engines.embedded.batch import Batch
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.writer import Writer
from tickwork.errors import TapeError

_log = logging.getLogger("tickwork.engine")

LINGER = 0.002
"""Seconds a batch that nobody waits for may stay open, to gather more."""

EARLY = 256
"""Chunks that are worth a transaction of their own at once: the writer works while the loop goes on."""

HIGH_WATER = 20_000
"""Chunks waiting for the disk beyond which no new turn is taken until the writer has caught up."""


class Log:
    """Appends records. Everything that is appended goes into the current batch; batches are written one at a time."""

    def __init__(self, clock: Clock, next_seq: int) -> None:
        self.clock = clock
        self.next_seq = next_seq
        self.batch = Batch()
        self.batch.number = 1
        self.committed = 0
        """Number of the last batch on disk."""
        self.durable_seq = next_seq - 1
        """All records up to here are on disk."""
        self.fault: TapeError | None = None
        self.closed = False
        self.writer: Writer | None = None
        self.on_durable: Callable[[int], None] = lambda seq: None
        self.on_commit: Callable[[Batch], None] = lambda batch: None
        self.on_fault: Callable[[TapeError], None] = lambda fault: None
        self._writing: Batch | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._written_to = next_seq - 1

    # -- appending ------------------------------------------------------------------------------------------------

    def record(self, run: LiveRun, record: Record) -> int:
        """Append a record of a run to its open chunk; returns its position."""
        seq = self.next_seq
        self.next_seq = seq + 1
        chunk = run.chunk
        if chunk is not None and run.chunk_next == seq and run.chunk_batch == self.batch.number:
            chunk.append(record)
        else:
            run.chunk = chunk = [record]
            run.chunk_batch = self.batch.number
            self.batch.chunks.append((seq, run.seq or seq, run.tail or None, chunk))
            run.tail = seq
        run.chunk_next = seq + 1
        return seq

    def outside(self, record: Record) -> int:
        """Append a record that belongs to no run."""
        seq = self.next_seq
        self.next_seq = seq + 1
        self.batch.chunks.append((seq, None, None, [record]))
        return seq

    def outside_all(self, records: list[Record]) -> int:
        """Append records that belong to no run and belong together; returns the position of the first."""
        seq = self.next_seq
        self.next_seq = seq + len(records)
        self.batch.chunks.append((seq, None, None, records))
        return seq

    def row(self, run: LiveRun) -> None:
        """The run's row has changed. It is made when the batch is handed over: between two turns, and once."""
        run.batch = self.batch.number
        run.changed_at = self.clock.now()
        self.batch.changed[run.seq] = run

    # -- the disk -------------------------------------------------------------------------------------------------

    def after(self, call: Callable[[], object]) -> None:
        """Call ``call`` on the loop once everything appended so far is on disk."""
        if self._writing is not None and not self.batch:
            self._writing.after.append(call)  # nothing has been appended since: the batch under way holds it all
            return
        self.batch.after.append(call)
        self.batch.urgent = True

    def durable(self) -> asyncio.Future[None]:
        """A future that is done once everything appended so far is on disk."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.fault is not None:
            waiter.set_exception(self.fault)
        elif self.closed:
            waiter.set_exception(TapeError("the engine is not open"))
        elif not self.batch and self.writer is not None and not self.writer.busy:
            waiter.set_result(None)
        else:
            self._waiters.append(waiter)
            self.after(lambda: _resolve(waiter))
            self.flush()
        return waiter

    def flush(self) -> None:
        """Hand the batch to the writer: now if somebody waits for it, else soon. Never call this inside a turn."""
        writer = self.writer
        if writer is None or writer.busy or not self.batch or self.fault is not None:
            return
        if self.batch.urgent or len(self.batch.chunks) >= EARLY:
            self._submit()
        elif self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(LINGER, self._lingered)

    def flush_now(self) -> None:
        """Hand the batch over even if nobody waits for it."""
        self.batch.urgent = True
        self.flush()

    def coming(self, table: str, key: tuple[Any, ...]) -> tuple[bool, tuple[Any, ...] | None]:
        """Does the row of a key change with what is not on disk yet, and to what? ``None``: it goes. See ``Batch.put``.

        Whoever acts on a row has to ask: the disk alone shows what others have acted on as if nobody had.
        """
        for batch in (self.batch, self._writing):
            rows = batch.derived.get(table) if batch is not None else None
            if rows is not None and key in rows:
                return True, rows[key]
        return False, None

    @property
    def full(self) -> bool:
        """Is so much waiting for the disk that the loop should pause?"""
        return len(self.batch.chunks) >= HIGH_WATER

    def _lingered(self) -> None:
        self._linger = None
        if self.writer is not None and not self.writer.busy and self.batch and self.fault is None:
            self._submit()

    def _submit(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        batch = self.batch
        for seq, run in batch.changed.items():
            batch.rows[seq] = run.row()
        batch.changed.clear()  # a batch that is kept must not keep its runs
        self.batch = Batch()
        self.batch.number = batch.number + 1
        self._written_to = self.next_seq - 1
        self._writing = batch
        assert self.writer is not None
        self.writer.submit(batch)

    def written(self, batch: Batch, error: BaseException | None) -> None:
        """The writer has finished a batch."""
        self._writing = None
        if error is not None:
            self.fail(error)
            return
        self.committed = batch.number
        self.durable_seq = self._written_to
        self.on_durable(self.durable_seq)
        self.on_commit(batch)
        for call in batch.after:
            call()
        self._waiters = [waiter for waiter in self._waiters if not waiter.done()]
        self.flush()

    def fail(self, error: BaseException) -> None:
        """Stop for good: tell everybody who waits."""
        if self.fault is not None:
            return
        fault = (
            error
            if isinstance(error, TapeError)
            else TapeError(
                f"the tape cannot be written ({type(error).__name__}: {error}). The engine has stopped; whatever was "
                "acknowledged is on disk, nothing else was. Free or replace the disk and start again"
            )
        )
        self.fault = fault
        _log.critical("%s", fault)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(fault)
        self._waiters.clear()
        self.on_fault(fault)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
