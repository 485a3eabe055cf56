"""A batch: everything that waits for the disk, written as one transaction (group commit).

The loop fills a batch with chunks and with the rows derived from them; later states of a row replace earlier ones. At
any moment between two turns a batch is consistent, so it may be taken whole at any such moment.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

import apsw

from tickwork.core.tape import Record, encode_chunk
from tickwork.engines.embedded.schema import KEYS

WIDE = 64
"""Rows in one INSERT: a statement gives up the interpreter lock once, so fewer of them mean fewer waits for it."""


class RunRow(NamedTuple):
    """A row of ``runs``."""

    seq: int
    id: str | None
    workflow: str
    version: int
    status: int
    wake_at: int | None
    tail: int
    parent: int | None
    owner: str
    key: str
    started_at: int
    changed_at: int
    attempt: int
    problem: str | None = None


Chunk = tuple[int, int | None, int | None, list[Record]]
"""First position, run, the run's chunk before, records."""


class Batch:
    """What one transaction will hold."""

    __slots__ = (
        "after", "changed", "chunks", "delayed", "delayed_done", "derived", "ended", "events", "filed",
        "number", "openings", "rows", "shapes", "urgent", "view_versions", "waits", "waits_done", "wakes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.number = 0
        self.changed: dict[int, Any] = {}
        """Runs in memory whose row has changed."""
        self.rows: dict[int, RunRow] = {}
        self.wakes: dict[int, int] = {}
        """Parked runs to be looked at: seq -> wake_at."""
        self.waits: dict[tuple[int, int, str], tuple[str, str | None]] = {}
        """Key, run, place -> event, condition."""
        self.waits_done: set[tuple[int, int, str]] = set()
        self.shapes: list[tuple[str, str, int]] = []
        self.filed: list[tuple[int, int]] = []
        self.events: list[tuple[str, int]] = []
        self.delayed: dict[int, int] = {}
        self.delayed_done: list[int] = []
        self.view_versions: dict[str, tuple[int, str]] = {}
        self.derived: dict[str, dict[tuple[Any, ...], tuple[Any, ...] | None]] = {}
        """Table -> key -> the row's other columns; ``None``: the row goes. See ``put``."""
        self.openings: list[tuple[int, str]] = []
        self.after: list[Callable[[], object]] = []
        """Called on the loop once this is on disk."""
        self.ended: list[Any] = []
        """Runs that are over once this is on disk."""
        self.urgent = False

    def put(self, table: str, key: tuple[Any, ...], row: tuple[Any, ...] | None) -> None:
        """The latest state of a row of one of the tables in ``schema.KEYS``; ``None`` deletes it."""
        rows = self.derived.get(table)
        if rows is None:
            rows = self.derived[table] = {}
        rows[key] = row

    def __bool__(self) -> bool:
        # whatever changes a row has also left a record; only a look at a parked run has not, nor has what grows old
        return bool(
            self.chunks
            or self.derived
            or self.changed
            or self.rows
            or self.wakes
            or self.after
            or self.delayed_done
            or self.view_versions
        )


def checksum(seq: int, run: int | None, prev: int | None, data: bytes) -> int:
    """A CRC-32 of a chunk and of where it stands: one that was moved or linked elsewhere does not match either."""
    # odd factors, so that every single changed bit changes the start
    start = seq * 0x9E3779B1 + (run or 0) * 0x85EBCA6B + (prev or 0) * 0xC2B2AE35
    return zlib.crc32(data, start & 0xFFFFFFFF)


def row_checksum(row: RunRow) -> int:
    """A CRC-32 of a run's row, but for ``wake_at``, which is also changed by itself: a wrong one wakes too early."""
    told = (row.seq, row.id, row.workflow, row.version, row.status, row.tail, row.parent, row.owner, row.attempt)
    return zlib.crc32(repr(told).encode())


def write(connection: apsw.Connection, batch: Batch) -> None:
    """Write a batch as one transaction; on return it is on disk."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        _write_rows(connection, batch)
    except BaseException:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _write_rows(connection: apsw.Connection, batch: Batch) -> None:
    chunks = []
    for seq, run, prev, records in batch.chunks:
        data = encode_chunk(records)
        chunks.append((seq, run, prev, checksum(seq, run, prev, data), data))
    _insert(connection, "INSERT INTO tape VALUES", 5, chunks)
    _write_runs(connection, batch.rows.values())
    if batch.events:
        _insert(connection, "INSERT INTO events VALUES", 2, batch.events)
    if batch.filed:
        _insert(connection, "INSERT INTO filed VALUES", 2, batch.filed)
    if batch.wakes:
        wakes = [(at, seq) for seq, at in batch.wakes.items() if seq not in batch.rows]
        connection.executemany("UPDATE runs SET wake_at=? WHERE seq=?", wakes)
    if batch.waits:
        _insert(connection, "INSERT OR REPLACE INTO waits VALUES", 5, [(*k, *w) for k, w in batch.waits.items()])
    if batch.waits_done:
        connection.executemany("DELETE FROM waits WHERE key=? AND run=? AND place=?", list(batch.waits_done))
    if batch.delayed:
        _insert(connection, "INSERT INTO delayed VALUES", 2, list(batch.delayed.items()))
    if batch.delayed_done:
        connection.executemany("DELETE FROM delayed WHERE seq=?", [(seq,) for seq in batch.delayed_done])
    if batch.view_versions or batch.openings or batch.shapes:
        _write_rare(connection, batch)
    for table, rows in batch.derived.items():
        _replace(connection, table, rows)


def _write_runs(connection: apsw.Connection, runs: Iterable[RunRow]) -> None:
    rows = [(*row, row_checksum(row)) for row in runs]
    _insert(connection, "INSERT INTO runs VALUES", len(RunRow._fields) + 1, rows, _RUNS_CHANGED)


def _write_rare(connection: apsw.Connection, batch: Batch) -> None:
    for view, (version, events) in batch.view_versions.items():
        connection.execute("DELETE FROM views WHERE view=?", (view,))
        connection.execute("INSERT OR REPLACE INTO view_versions VALUES (?,?,?)", (view, version, events))
    connection.executemany("INSERT OR IGNORE INTO shapes VALUES (?,?,?)", batch.shapes)
    connection.executemany("INSERT INTO openings VALUES (?,?)", batch.openings)


def _replace(connection: apsw.Connection, table: str, rows: dict[tuple[Any, ...], tuple[Any, ...] | None]) -> None:
    """Write the latest state of a table's rows, and delete those that are gone."""
    kept = [key + row for key, row in rows.items() if row is not None]
    if kept:
        _insert(connection, f"INSERT OR REPLACE INTO {table} VALUES", len(kept[0]), kept)
    gone = [key for key, row in rows.items() if row is None]
    if gone:
        connection.executemany(f"DELETE FROM {table} WHERE " + " AND ".join(f"{k}=?" for k in KEYS[table]), gone)


_RUNS_CHANGED = (
    " ON CONFLICT(seq) DO UPDATE SET status=excluded.status, wake_at=excluded.wake_at, tail=excluded.tail,"
    " changed_at=excluded.changed_at, attempt=excluded.attempt, problem=excluded.problem,"
    " crc=excluded.crc"
)


def _insert(connection: apsw.Connection, head: str, width: int, rows: list[Any], tail: str = "") -> None:
    """Insert rows, many to a statement."""
    full = len(rows) - len(rows) % WIDE
    if full:
        wide = _statement(head, width, WIDE, tail)
        for start in range(0, full, WIDE):
            connection.execute(wide, [value for row in rows[start : start + WIDE] for value in row])
    if full < len(rows):
        connection.executemany(_statement(head, width, 1, tail), rows[full:])


@cache
def _statement(head: str, width: int, rows: int, tail: str) -> str:
    marks = "(" + ",".join("?" * width) + ")"
    return f"{head} {','.join([marks] * rows)}{tail}"
