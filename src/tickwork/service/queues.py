"""Queues of a tape and their messages, as lists for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.queue_tables import Attempt, MessageInfo, QueueStatus, QueueTables
from tickwork.engines.system_clock import SystemClock


class QueueLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How one queue stands. ``total`` is ``available`` and ``in_flight`` together."""

    name: str
    available: int
    blocked: int
    delayed: int
    in_flight: int
    total: int
    capacity: int | None
    oldest_age_seconds: float | None
    completed_today: int
    failed_today: int
    dead_today: int
    dead: int
    average_processing_seconds: float | None
    rate_per_minute: int
    settings: dict[str, Any]


class AttemptLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One failed delivery of a message, or why it gave up."""

    at: datetime
    why: str
    code: str
    error: str
    run: str
    consumer: str


class MessageLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One message."""

    seq: int
    queue: str
    status: str
    id: str
    group: str
    priority: int
    body: Any
    event: str
    attempts: int
    sent_at: datetime
    due: datetime | None
    lease_until: datetime | None
    consumer: str
    run: str
    ended_at: datetime | None
    failures: list[AttemptLine]


def queue_lines(queries: Queries) -> list[QueueLine]:
    """All queues that were ever declared on a tape, by name, as they stand now."""
    tables, now = QueueTables(queries.reader), SystemClock().now()
    return [_queue(tables.status(name, now), tables.settings(name)) for name in tables.names()]


def message_lines(queries: Queries, name: str, status: str | None = None, limit: int = 20) -> list[MessageLine]:
    """Messages of a queue; see ``QueueTables.messages``.

    Raises:
        InvalidInput: no such queue or status, or a limit below 1.
    """
    found = QueueTables(queries.reader).messages(name, status, limit, SystemClock().now())
    return [_message(info) for info in found]


def queue_names(queries: Queries, after: str, limit: int) -> list[str]:
    """Queues of a tape by name, after one."""
    rows = queries.reader.rows("SELECT name FROM queues WHERE name>? ORDER BY name LIMIT ?", (after, limit))
    return [name for (name,) in rows]


def queue_line(queries: Queries, name: str, now: int) -> QueueLine:
    """How one queue stands at a time (ns).

    Raises:
        NotFound: there is none of this name.
    """
    tables = QueueTables(queries.reader)
    return _queue(tables.status(name, now), tables.settings(name))


def message_page(
    queries: Queries, name: str, status: str | None, after: Sequence[int] | None, limit: int, now: int
) -> tuple[list[MessageLine], Sequence[int] | None]:
    """Messages of a queue, and what the next page is asked for with; see ``QueueTables.page``.

    Raises:
        InvalidInput: no such queue or status, or not a place in this order.
    """
    found, following = QueueTables(queries.reader).page(name, status, after, limit, now)
    return [_message(info) for info in found], following


def message_line(queries: Queries, seq: int, now: int) -> MessageLine:
    """One message.

    Raises:
        NotFound: there is none at this position.
    """
    return _message(QueueTables(queries.reader).message(seq, now))


def _queue(status: QueueStatus, settings: dict[str, Any]) -> QueueLine:
    age, average = status.oldest_age, status.average_processing_time
    return QueueLine(
        name=status.name,
        available=status.available,
        blocked=status.blocked,
        delayed=status.delayed,
        in_flight=status.in_flight,
        total=status.total,
        capacity=status.capacity,
        oldest_age_seconds=None if age is None else age.total_seconds(),
        completed_today=status.completed_today,
        failed_today=status.failed_today,
        dead_today=status.dead_today,
        dead=status.dead,
        average_processing_seconds=None if average is None else average.total_seconds(),
        rate_per_minute=status.rate_per_minute,
        settings=settings,
    )


def _message(info: MessageInfo) -> MessageLine:
    fields = {name: getattr(info, name) for name in MessageLine.__struct_fields__}
    return MessageLine(**{**fields, "failures": [_attempt(attempt) for attempt in info.failures]})


def _attempt(attempt: Attempt) -> AttemptLine:
    return AttemptLine(**{name: getattr(attempt, name) for name in AttemptLine.__struct_fields__})
