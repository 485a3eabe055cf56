"""Reading the tape back: a run's records, events since a position, rows for people. Every chunk's CRC is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw
import msgspec

from tickwork.core.tape import Entry, Record, Started, decode_chunk
from tickwork.engines.embedded.batch import RunRow, checksum, row_checksum
from tickwork.engines.embedded.status import Status
from tickwork.errors import TapeCorrupt, TapeError

_CHUNK = "SELECT seq, run, prev, crc, data FROM tape"
_STATUSES = frozenset(map(int, Status))

_decode_started = msgspec.json.Decoder(Started).decode


class Reader:
    """Reads committed state through one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.on_fault: Callable[[TapeError], None] = lambda fault: None
        """Called before an error is raised: whoever met it may be a timer, which nobody hears."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query.

        Raises:
            TapeCorrupt, TapeError: the file cannot be read.
        """
        try:
            return list(self._connection.execute(sql, values))
        except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError, UnicodeDecodeError) as error:
            raise self._damaged(f"the tape's file is damaged ({error})") from None
        except apsw.Error as error:
            raise self._fault(TapeError(f"the tape cannot be read: {error}")) from None

    def _damaged(self, what: str) -> TapeError:
        return self._fault(TapeCorrupt(f"{what}: restore it from a backup"))

    def _fault(self, fault: TapeError) -> TapeError:
        fault = type(fault)(f"{self._connection.filename or 'the tape in memory'}: {fault}")
        self.on_fault(fault)
        return fault

    def _entries(self, chunk: tuple[Any, ...]) -> list[Entry]:
        try:
            return entries(*chunk)
        except TapeCorrupt as fault:
            of = f" (run {chunk[1]})" if isinstance(chunk[1], int) else ""
            raise self._fault(TapeCorrupt(f"{fault}{of}")) from None

    def _row(self, row: tuple[Any, ...]) -> RunRow:
        """A row of ``runs``; checked against its own checksum."""
        *fields, crc = row
        found = RunRow(*fields)
        whole = isinstance(found.workflow, str) and isinstance(found.owner, str) and isinstance(found.key, str)
        if not whole or found.status not in _STATUSES or not isinstance(found.tail, int) or crc != row_checksum(found):
            raise self._damaged(f"the row of run {found.seq} is not what was written")
        return found

    def one(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """The first column of the first row, or ``None``."""
        rows = self.rows(sql, values)
        return rows[0][0] if rows else None

    # -- runs -----------------------------------------------------------------------------------------------------

    def run(self, seq: int) -> RunRow | None:
        """A run's row by its position."""
        rows = self.rows("SELECT * FROM runs WHERE seq=?", (seq,))
        return self._row(rows[0]) if rows else None

    def run_named(self, id: str) -> RunRow | None:
        """A run's row by its id: ``r<seq>`` or one that was given."""
        if id[:1] == "r" and id[1:].isdecimal() and len(id) < 20:
            found = self.run(int(id[1:]))
            return found if found is not None and found.id is None else None
        rows = self.rows("SELECT * FROM runs WHERE id=?", (id,))
        return self._row(rows[0]) if rows else None

    def runs(
        self, status: Sequence[Status], workflow: str | None, owner: str | None, before: int | None, limit: int
    ) -> list[RunRow]:
        """Rows, newest first."""
        where, values = ["status IN (" + ",".join("?" * len(status)) + ")"] if status else [], [int(s) for s in status]
        bound: list[Any] = list(values)
        for clause, value in (("workflow=?", workflow), ("owner=?", owner), ("seq<?", before)):
            if value is not None:
                where.append(clause)
                bound.append(value)
        sql = "SELECT * FROM runs" + (" WHERE " + " AND ".join(where) if where else "") + " ORDER BY seq DESC LIMIT ?"
        return [self._row(row) for row in self.rows(sql, [*bound, limit])]

    def history(self, tail: int, run: int | None = None) -> list[Entry]:
        """A run's records in order, from its last chunk back to its first; ``run``: whose they must be."""
        chunks: list[list[Entry]] = []
        at: int | None = tail
        while at is not None:
            rows = self.rows(f"{_CHUNK} WHERE seq=?", (at,))
            if not rows:
                raise self._damaged(f"record {at} is missing from the tape")
            run = rows[0][1] if run is None else run
            if rows[0][1] != run:
                raise self._damaged(f"record {at} is not one of run {run}, which leads to it")
            chunks.append(self._entries(rows[0]))
            at = rows[0][2]
        return [entry for chunk in reversed(chunks) for entry in chunk]

    # -- the tape in order ----------------------------------------------------------------------------------------

    def tape(self, after: int = 0, until: int | None = None, page: int = 500) -> Iterator[tuple[int | None, Entry]]:
        """All records after a position, in order, each with its run's position."""
        last = after
        first = self.one("SELECT max(seq) FROM tape WHERE seq<=?", (after,)) or 0
        cursor, following = first - 1, 0
        while True:
            rows = self.rows(f"{_CHUNK} WHERE seq>? ORDER BY seq LIMIT ?", (cursor, page))
            if not rows:
                return
            for row in rows:
                found = self._entries(row)
                if following and row[0] != following:
                    raise self._damaged(f"record {following} is missing from the tape")
                cursor, run, following = row[0], row[1], row[0] + len(found)
                for entry in found:
                    if until is not None and entry.seq > until:
                        return
                    if entry.seq > last:
                        yield run, entry

    def mentioning(self, text: str) -> Iterator[Entry]:
        """The records of all chunks in which a text stands, in tape order; SQLite does the looking."""
        last = -1
        while True:
            rows = self.rows(f"{_CHUNK} WHERE seq>? AND instr(data, ?)>0 ORDER BY seq LIMIT 200", (last, text.encode()))
            for row in rows:
                yield from self._entries(row)
            if not rows:
                return
            last = rows[-1][0]

    def record(self, seq: int) -> Entry | None:
        """The record at a position."""
        found = self.chunk(seq)
        index = seq - found[0].seq if found else 0
        return found[index] if index < len(found) else None

    def chunk(self, seq: int) -> list[Entry]:
        """The records that were written with the one at a position."""
        rows = self.rows(f"{_CHUNK} WHERE seq<=? ORDER BY seq DESC LIMIT 1", (seq,))
        return self._entries(rows[0]) if rows else []

    def events(self, name: str, after: int, until: int, limit: int = 500) -> list[Entry]:
        """Up to ``limit`` events of a name between two positions, in order."""
        sql = "SELECT seq FROM events WHERE name=? AND seq>? AND seq<=? ORDER BY seq LIMIT ?"
        return self._named(name, self.rows(sql, (name, after, until, limit)))

    def filed(self, name: str, keys: Sequence[int], after: int, until: int, limit: int = 500) -> list[Entry]:
        """Up to ``limit`` events of a name that are filed under any of the keys, between two positions, in order."""
        marks = ",".join("?" * len(keys))
        sql = f"SELECT seq FROM filed WHERE key IN ({marks}) AND seq>? AND seq<=? ORDER BY seq LIMIT ?"
        return self._named(name, self.rows(sql, (*keys, after, until, limit)))

    def _named(self, name: str, seqs: list[Any]) -> list[Entry]:
        found = []
        for (seq,) in seqs:
            entry = self.record(seq)
            if entry is None or entry.record.name != name:
                raise self._damaged(f"event {name!r} at {seq} is missing from the tape")
            found.append(entry)
        return found

    def end(self) -> tuple[int, int]:
        """The next free position, and the time of the last record (ns)."""
        rows = self.rows(f"{_CHUNK} ORDER BY seq DESC LIMIT 1")
        if not rows:
            return 1, 0
        last = self._entries(rows[0])[-1]
        return last.seq + 1, last.record.at


def entries(seq: int, run: int | None, prev: int | None, crc: int, data: bytes) -> list[Entry]:
    """The records of a chunk with their positions.

    Raises:
        TapeCorrupt: it is not what was written.
    """
    # a damaged file can hold anything in any column
    if not isinstance(data, bytes) or any(type(found) not in (int, type(None)) for found in (run, prev)):
        raise TapeCorrupt(f"the records from {seq} on are not what was written: restore the tape")
    if checksum(seq, run, prev, data) != crc:
        raise TapeCorrupt(
            f"the records from {seq} on do not have the checksum they were written with: restore the tape"
        )
    try:
        records: list[Record] = decode_chunk(data)
    except msgspec.MsgspecError as error:
        raise TapeCorrupt(f"the records from {seq} on cannot be read ({error})") from None
    return [Entry(seq + index, record) for index, record in enumerate(records)]


def started(entry: Entry) -> Started:
    """What a ``started`` record says of its run."""
    return _decode_started(entry.record.value)
