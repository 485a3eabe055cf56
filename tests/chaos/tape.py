"""A tape, read as plain SQLite when nobody owns it: for the checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import msgspec

from tickwork import TapeError
from tickwork.core.tape import Entry, Started, decode_chunk
from tickwork.engines.embedded.batch import checksum

LEFT = {
    "waits": "",
    "delayed": "",
    "approvals": "",
    "letters": "WHERE status=0",
    "flow": "",
    "gathers": "",
    "messages": "WHERE stage<10 OR stage=20",
}
"""Tables that must be empty when all is over, or which of their rows must be gone."""

SHOWN = ("messages", "schedules", "breakers")
"""Tables whose rows are compared with the records."""


@dataclass
class Tape:
    """Everything on it."""

    entries: list[tuple[int | None, Entry]] = field(default_factory=list)
    rows: dict[int, tuple[str, int, int]] = field(default_factory=dict)
    """Run -> workflow, status, tail."""
    ids: dict[str, int] = field(default_factory=dict)
    """Given id -> run."""
    prev: dict[int, int | None] = field(default_factory=dict)
    """Chunk -> the run's chunk before."""
    left: dict[str, int] = field(default_factory=dict)
    """How many rows of ``LEFT`` there are."""
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The rows of ``SHOWN``, by column."""
    complaints: list[str] = field(default_factory=list)

    def of_kind(self, *kinds: str) -> Iterator[tuple[int | None, Entry]]:
        """The records of some kinds, in order, each with its run."""
        return ((run, entry) for run, entry in self.entries if entry.record.kind in kinds)

    def begun(self, workflow: str) -> Iterator[tuple[int, Started]]:
        """The runs of a workflow in the order in which they were started."""
        for run, entry in self.of_kind("started"):
            if entry.record.name == workflow and run is not None:
                yield run, msgspec.json.decode(entry.record.value, type=Started)


def read_tape(path: Path) -> Tape:
    """Everything on a tape that nobody owns.

    Raises:
        TapeError: SQLite cannot read it.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            return _read(connection)
        finally:
            connection.close()
    except apsw.Error as error:
        raise TapeError(f"{path}: {error}") from None


def _read(connection: apsw.Connection) -> Tape:
    tape = Tape(complaints=[row for (row,) in connection.execute("pragma integrity_check") if row != "ok"])
    following = 1
    for seq, run, prev, crc, data in connection.execute("SELECT seq, run, prev, crc, data FROM tape ORDER BY seq"):
        if checksum(seq, run, prev, data) != crc:
            tape.complaints.append(f"the chunk at {seq} has another checksum")
        if seq < following:
            tape.complaints.append(f"the chunk at {seq} overlaps the one before it")
        records = decode_chunk(data)
        tape.entries += [(run, Entry(seq + index, record)) for index, record in enumerate(records)]
        tape.prev[seq] = prev
        following = seq + len(records)
    for seq, name, status, tail in connection.execute("SELECT seq, workflow, status, tail FROM runs"):
        tape.rows[seq] = (name, status, tail)
    tape.ids = dict(connection.execute("SELECT id, seq FROM runs WHERE id IS NOT NULL"))
    for table, where in LEFT.items():
        ((tape.left[table],),) = connection.execute(f"SELECT count(*) FROM {table} {where}")
    for table in SHOWN:
        cursor = connection.execute(f"SELECT * FROM {table}")
        tape.tables[table] = [dict(zip(_columns(cursor), row, strict=True)) for row in cursor]
    return tape


def _columns(cursor: apsw.Cursor) -> list[str]:
    return [column[0] for column in cursor.get_description()]
