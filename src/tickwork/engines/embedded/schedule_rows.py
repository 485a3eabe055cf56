"""The state of a schedule: its row in the table ``schedules``, and what people see of it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tickwork.core.due import Due
from tickwork.core.schedule import Missed, Overlap
from tickwork.engines.embedded.reader import Reader
from tickwork.values import duration_text, from_ns


class ScheduleRow(msgspec.Struct, omit_defaults=True):
    """A schedule as it stands. Times are ns since 1970 UTC."""

    workflow: str
    spec: str
    """Its times, in words."""
    zone: str
    missed: Missed
    overlap: Overlap
    grace: int
    seen: int
    """Whatever was due until then has been dealt with."""
    next_due: int | None = None
    last_due: int | None = None
    """Of the last run it started."""
    last_run: str = ""
    running: list[str] = []
    """Unfinished runs it follows; none where they may overlap."""
    queued: list[Due] = []
    """What waits for the run before."""
    died: str = ""
    """Its last run, where that is dead: it may be redriven, and runs again then."""
    paused: bool = False
    skip_next: bool = False
    stranded: bool = False
    """No workflow declares it any more."""
    problem: str = ""
    """Why nobody knows its next time."""


class ScheduleInfo(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A schedule, for people."""

    name: str
    workflow: str
    spec: str
    zone: str
    missed: Missed
    overlap: Overlap
    grace: str
    next_due: datetime | None
    """``None`` while it is paused or stranded, or when there is no next time."""
    last_due: datetime | None
    last_run: str | None
    running: tuple[str, ...]
    queued: int
    paused: bool
    skip_next: bool
    """The next due time starts no run."""
    stranded: bool
    problem: str | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(ScheduleRow).decode


def encode_row(row: ScheduleRow) -> bytes:
    """The row's column."""
    return _encode(row)


def read_rows(reader: Reader, after: str = "", limit: int = -1) -> dict[str, ScheduleRow]:
    """The schedules of a tape, by name: all, or so many after one."""
    sql = "SELECT name, state FROM schedules WHERE name>? ORDER BY name LIMIT ?"
    return {name: _decode(state) for name, state in reader.rows(sql, (after, limit))}


def info_of(name: str, row: ScheduleRow) -> ScheduleInfo:
    """What people see."""
    resting = row.paused or row.stranded
    return ScheduleInfo(
        name=name,
        workflow=row.workflow,
        spec=row.spec,
        zone=row.zone,
        missed=row.missed,
        overlap=row.overlap,
        grace=duration_text(row.grace),
        next_due=None if resting or row.next_due is None else from_ns(row.next_due),
        last_due=None if row.last_due is None else from_ns(row.last_due),
        last_run=row.last_run or None,
        running=tuple(row.running),
        queued=len(row.queued),
        paused=row.paused,
        skip_next=row.skip_next,
        stranded=row.stranded,
        problem=row.problem or None,
    )
