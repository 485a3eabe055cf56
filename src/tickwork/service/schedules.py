"""Schedules of a tape, as a list for people and programs; and when they come due next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.schedule_rows import ScheduleInfo, info_of, read_rows
from tickwork.engines.embedded.schedules import next_times
from tickwork.errors import InvalidInput, NotFound
from tickwork.market.sessions import parse_times
from tickwork.values import from_ns


class DueLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One due time of one schedule."""

    schedule: str
    due: datetime
    local: datetime
    """The same moment by the clock of the schedule's zone."""
    zone: str


def schedule_lines(queries: Queries) -> list[ScheduleInfo]:
    """All schedules of a tape, by name; also those that no workflow declares any more."""
    return [info_of(name, row) for name, row in read_rows(queries.reader).items()]


def schedule_page(queries: Queries, after: str, limit: int) -> list[ScheduleInfo]:
    """Schedules of a tape by name, after one."""
    return [info_of(name, row) for name, row in read_rows(queries.reader, after, limit).items()]


def next_of_each(queries: Queries, count: int | None = None) -> list[DueLine]:
    """The next due time of each schedule of a tape, the earliest first; all, or so many.

    Raises:
        InvalidInput: a count below 1.
    """
    if count is not None and count < 1:
        raise InvalidInput("count", count, "a whole number from 1")
    lines = [_line(one.name, one.zone, one.next_due) for one in schedule_lines(queries) if one.next_due is not None]
    return sorted(lines, key=lambda line: line.due)[:count]


def due_lines(queries: Queries, name: str, times: Sequence[datetime]) -> list[DueLine]:
    """Due times of a schedule, by its own clock too."""
    row = read_rows(queries.reader).get(name)
    return [_line(name, "UTC" if row is None else row.zone, due) for due in times]


def _line(name: str, zone: str, due: datetime) -> DueLine:
    return DueLine(schedule=name, due=due, local=due.astimezone(ZoneInfo(zone)), zone=zone)


def next_on_tape(queries: Queries, name: str, count: int) -> list[datetime]:
    """When a schedule comes due next, as far as a tape that nobody owns can tell: from its next time on.

    Raises:
        InvalidInput: no such schedule, a wrong count, or times that are code and not a text.
    """
    rows = read_rows(queries.reader)
    row = rows.get(name)
    if row is None:
        raise NotFound("schedule", name, f"one of this tape: {', '.join(rows) or 'there is none'}")
    try:
        times = parse_times(row.spec, row.zone)
    except InvalidInput:
        expected = "times that are a text; of these only the process that runs the workflows knows"
        raise InvalidInput(f"times of schedule {name!r}", row.spec, expected) from None
    return [from_ns(at) for at in next_times(times, row, row.seen, count)]
