"""The one writer: turns everything that waits into one transaction, in a thread of its own, so the loop never waits.

A fault of the disk is final. After a failed fsync nobody knows what is on disk (the kernel may have dropped the dirty
pages and will report success next time), so the writer never tries again: it reports the error and takes no more. A
tape that was deleted or replaced under its process is such a fault: what is written would go to a file without a name.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import apsw

from tickwork.engines.embedded.batch import Batch, write
from tickwork.engines.embedded.tape_files import TapeFiles

Committed = Callable[[Batch, BaseException | None], None]


class Writer(Protocol):
    """Writes batches, one at a time, in the order they are given."""

    @property
    def busy(self) -> bool:
        """Is a batch being written?"""
        ...

    def submit(self, batch: Batch) -> None:
        """Write a batch; ``committed`` is called when it is on disk, or when it could not be written."""
        ...

    def close(self) -> None:
        """Wait for the batch being written, and stop."""
        ...


class InlineWriter:
    """Writes at once, in the caller: for tapes in memory, where nothing waits for a disk."""

    busy = False

    def __init__(self, connection: apsw.Connection, committed: Committed) -> None:
        self._connection = connection
        self._committed = committed

    def submit(self, batch: Batch) -> None:
        """Write a batch now."""
        try:
            write(self._connection, batch)
        except apsw.Error as error:
            self._committed(batch, error)
        else:
            self._committed(batch, None)

    def close(self) -> None:
        """Nothing to wait for."""


class ThreadWriter:
    """Writes in a thread; tells the loop through ``call_soon_threadsafe``."""

    def __init__(self, connection: apsw.Connection, committed: Committed, call_soon: Callable[..., object]) -> None:
        self._connection = connection
        self._committed = committed
        self._call_soon = call_soon
        self._files = TapeFiles(connection.filename)
        self._batch: Batch | None = None
        self._wake = threading.Semaphore(0)
        self._stopping = False
        self.busy = False
        self._thread = threading.Thread(target=self._write_batches, name="tickwork-writer", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Hand a batch over; only when not busy."""
        self.busy = True
        self._batch = batch
        self._wake.release()

    def close(self) -> None:
        """Wait for the batch being written, and stop."""
        self._stopping = True
        self._wake.release()
        self._thread.join()

    def _write_batches(self) -> None:
        while True:
            self._wake.acquire()
            batch, self._batch = self._batch, None
            if batch is not None:
                try:
                    write(self._connection, batch)
                    self._files.check()  # after it, so that nothing is acknowledged that nobody will find again
                except BaseException as error:  # noqa: BLE001 - a fault must reach the loop, whatever it is
                    self._report(batch, error)
                    return
                self._report(batch, None)
            elif self._stopping:
                return

    def _report(self, batch: Batch, error: BaseException | None) -> None:
        try:
            self._call_soon(self._finished, batch, error)
        except RuntimeError:
            self.busy = False  # the loop is closed: nobody is left to hear of it

    def _finished(self, batch: Batch, error: BaseException | None) -> None:
        self.busy = False
        self._committed(batch, error)
