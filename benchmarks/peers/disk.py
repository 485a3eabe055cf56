"""The disk itself, and plain SQLite on it: the ceilings that every ratio is measured against."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

BLOCK = os.urandom(4096)


class Fsyncs:
    """Samples of ``append 4 KB + fsync``, taken between the rounds of what they are compared with."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / "fsync", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.samples: list[float] = []

    def sample(self, count: int = 20) -> None:
        """Take some samples now, in seconds."""
        for _ in range(count):
            began = time.perf_counter()
            os.write(self._file, BLOCK)
            os.fsync(self._file)
            self.samples.append(time.perf_counter() - began)

    @property
    def p50(self) -> float:
        """Seconds."""
        return sorted(self.samples)[len(self.samples) // 2]

    @property
    def p99(self) -> float:
        """Seconds."""
        return sorted(self.samples)[int(len(self.samples) * 0.99)]

    def close(self) -> None:
        """No more samples."""
        os.close(self._file)


def raw_inserts(path: Path, *, row_bytes: int, batch: int, seconds: float = 0.0, rows: int = 0) -> float:
    """Rows a second that plain SQLite takes, ``batch`` to a transaction: WAL, ``synchronous=FULL``, one table.

    It runs for ``seconds``, or for ``rows``, whichever is given. Everything but the inserting is prepared before.
    """
    connection = apsw.Connection(str(path))
    for pragma in ("journal_mode=wal", "synchronous=full", "wal_autocheckpoint=8000", "cache_size=-65536"):
        list(connection.execute(f"pragma {pragma}"))
    connection.execute("CREATE TABLE tape (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    data = os.urandom(row_bytes)
    done, began = 0, time.perf_counter()
    while done < rows or time.perf_counter() - began < seconds:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO tape VALUES (?,?)", _rows(done, batch, data))
        connection.execute("COMMIT")
        done += batch
    rate = done / (time.perf_counter() - began)
    connection.close()
    return rate


def _rows(first: int, count: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    return ((first + index, data) for index in range(count))
