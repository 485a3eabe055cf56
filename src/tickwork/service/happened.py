"""The history of events: which there were, in order, and what came of one."""

from __future__ import annotations

import heapq
from datetime import datetime
from typing import Any, Final

import msgspec

from tickwork.core.tape import Entry
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.status import Status
from tickwork.errors import NotFound
from tickwork.service.previews import bounded_raw
from tickwork.values import from_ns

KINDS: Final = frozenset({"event", "emit"})

LOOKED: Final = 500
"""Runs after an event that are looked at for those that it started."""

_NAMES: Final = """
WITH RECURSIVE found(name) AS (
    SELECT min(name) FROM events
    UNION ALL SELECT (SELECT min(name) FROM events WHERE name > found.name) FROM found WHERE name IS NOT NULL)
SELECT name FROM found WHERE name IS NOT NULL"""
"""All names of events, each found by one look into the index."""


class EventLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event."""

    seq: int
    type: str
    version: int
    at: datetime
    run: str | None
    """The run that emitted it; ``None``: it came from outside."""
    key: str
    """Under which it was published, where there was one."""
    due: datetime | None
    """When it is published, where it is delayed: then it has a position of its own."""
    delayed_from: int | None
    """Position of the delayed one that this is."""
    payload: Any


class Started(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run that an event started."""

    run: str
    workflow: str
    status: str


class EventShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event, and what came of it."""

    event: EventLine
    started: list[Started]
    complete: bool
    """Are these all? Runs that were started long after it, by gathering events, are not looked for."""


def event_names(reader: Reader) -> list[str]:
    """The names of all events on a tape."""
    return [name for (name,) in reader.rows(_NAMES)]


def event_lines(queries: Queries, after: int, limit: int, type: str | None = None) -> list[EventLine]:
    """Events after a position, in order; of one name, or of all of them."""
    reader = queries.reader
    sql = "SELECT seq FROM events WHERE name=? AND seq>? ORDER BY seq LIMIT ?"
    each = [reader.rows(sql, (name, after, limit)) for name in ([type] if type is not None else event_names(reader))]
    seqs = [seq for (seq,) in heapq.merge(*each)][:limit]
    return [line for seq in seqs if (line := _at(queries, seq)) is not None]


def events_of_run(queries: Queries, row: RunRow, after: int, limit: int, type: str | None = None) -> list[EventLine]:
    """What started a run, what it waited for, and what it emitted, after a position; of one name, or of all."""
    entries = queries.reader.history(row.tail, row.seq)
    seqs = {entry.seq for entry in entries if entry.record.kind == "emit"}
    seqs |= {entry.record.ref for entry in entries if entry.record.kind in ("started", "wait") and entry.record.ref}
    lines = (_at(queries, seq) for seq in sorted(seqs) if seq > after)
    found: list[EventLine] = []
    for line in lines:
        if line is not None and type in (None, line.type):
            found.append(line)
        if len(found) == limit:
            break
    return found


def event_at(queries: Queries, seq: int) -> EventShown:
    """The event at a position, with the runs that it started.

    Raises:
        NotFound: there is none.
    """
    line = _at(queries, seq, whole=True)
    if line is None:
        raise NotFound("event", seq, "the position of an event, as `events.list` tells them")
    started, complete = _started(queries, seq)
    return EventShown(event=line, started=started, complete=complete)


def emitter(queries: Queries, seq: int) -> RunRow | None:
    """The run to whose records the one at a position belongs."""
    rows = queries.reader.rows("SELECT run FROM tape WHERE seq<=? ORDER BY seq DESC LIMIT 1", (seq,))
    return queries.reader.run(rows[0][0]) if rows and rows[0][0] is not None else None


def _at(queries: Queries, seq: int, *, whole: bool = False) -> EventLine | None:
    entry = queries.reader.record(seq)
    if entry is None or entry.seq != seq or entry.record.kind not in KINDS:
        return None
    return _line(queries, entry, whole=whole)


def _line(queries: Queries, entry: Entry, *, whole: bool) -> EventLine:
    record, row = entry.record, emitter(queries, entry.seq)
    wire = bytes(record.value)
    payload = msgspec.json.decode(wire) if whole and wire else bounded_raw(wire, f"/api/v1/events/{entry.seq}")
    return EventLine(
        seq=entry.seq,
        type=record.name,
        version=record.version,
        at=from_ns(record.at),
        run=None if row is None else row.id or f"r{row.seq}",
        key=record.key,
        due=from_ns(record.due) if record.due else None,
        delayed_from=record.ref or None,
        payload=payload,
    )


def _started(queries: Queries, seq: int) -> tuple[list[Started], bool]:
    """Runs whose first record names the event, among those that were started next."""
    rows = queries.reader.rows("SELECT seq FROM runs WHERE seq>? ORDER BY seq LIMIT ?", (seq, LOOKED))
    found = []
    for (run,) in rows:
        entry = queries.reader.record(run)
        if entry is not None and entry.record.ref == seq:
            row = queries.reader.run(run)
            assert row is not None
            name, status = row.id or f"r{run}", Status(row.status).name.lower()
            found.append(Started(run=name, workflow=row.workflow, status=status))
    return found, len(rows) < LOOKED
