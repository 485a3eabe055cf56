"""The queues of an engine as the step lists' programs ask for them; ages and times in seconds."""

from __future__ import annotations

from typing import Any, Final

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.queue_tables import MessageInfo, MessageLetter, QueueStatus, QueueTables
from tickwork.errors import NotFound
from tickwork.graph.tenants import bare
from tickwork.service.documents.reports import iso

DEAD_LETTERS: Final = "dead-letter-queue"
"""The name under which the dead letters of all queues are asked for."""

MESSAGES_MAX: Final = 100
"""Messages, and dead letters, of each queue that one answer holds."""


def queue_status(
    queries: Queries, now: int, name: str | None, include_messages: bool, owner: str = ""
) -> dict[str, Any]:
    """How one queue stands, or all of them.

    ``total_messages`` counts what is available and what is in flight; ``processing_rate`` is what was completed in the
    last 60 seconds. ``system_health`` is ``degraded`` where dead letters lie open or a queue has no room.

    Args:
        name: of a queue; ``"dead-letter-queue"``: the dead letters of all.
        owner: whose queues; ``""``: everybody's. Names are those that the owner's documents say.

    Raises:
        InvalidInput: there is no such queue.
    """
    tables = QueueTables(queries.reader)
    known = {said: one for one in tables.names() if (said := bare(owner, one)) is not None}
    dead_only = name == DEAD_LETTERS and DEAD_LETTERS not in known
    names = list(known.values()) if name is None or dead_only else [_known(known, name)]
    found = [tables.status(one, now) for one in names]
    full = any(one.capacity is not None and one.total + one.delayed >= one.capacity for one in found)
    rate = sum(one.rate_per_minute for one in found)
    told: dict[str, Any] = {
        "queues": [_queue(one, owner) for one in found],
        "total_messages": sum(one.total for one in found),
        "processing_rate": rate,
        "throughput_per_minute": rate,
        "system_health": "degraded" if full or any(one.dead for one in found) else "healthy",
    }
    if include_messages or dead_only:
        told["dead_letters"] = [_letter(one, owner) for queue in names for one in tables.letters(queue, MESSAGES_MAX)]
        opened = [] if dead_only else [
            message
            for queue in names
            for status in ("available", "in_flight", "delayed")
            for message in tables.messages(queue, status, MESSAGES_MAX, now)
        ]  # fmt: skip
        told["messages"] = [_message(one, owner) for one in opened] or (told["dead_letters"] if dead_only else [])
    return told


def _known(known: dict[str, str], name: str) -> str:
    """The engine's name of an owner's queue."""
    found = known.get(name)
    if found is None:
        raise NotFound("queue", name, f"a queue of this tape: {', '.join(known) or 'it has none'}")
    return found


def _queue(status: QueueStatus, owner: str) -> dict[str, Any]:
    age, average = status.oldest_age, status.average_processing_time
    full = status.capacity is not None and status.total + status.delayed >= status.capacity
    return {
        "name": bare(owner, status.name),
        "status": "undeclared" if status.capacity is None else "full" if full else "active",
        "messages_available": status.available,
        "messages_in_flight": status.in_flight,
        "messages_delayed": status.delayed,
        "messages_blocked": status.blocked,
        "pending_messages": status.available + status.delayed,
        "processing_messages": status.in_flight,
        "completed_today": status.completed_today,
        "failed_today": status.failed_today,
        "dead_letters": status.dead,
        "average_processing_time": None if average is None else average.total_seconds(),
        "oldest_message_age": None if age is None else age.total_seconds(),
        "capacity": status.capacity,
    }


def _message(info: MessageInfo, owner: str) -> dict[str, Any]:
    last = info.failures[-1] if info.failures else None
    return {
        "id": info.id or str(info.seq),
        "queue": bare(owner, info.queue),
        "status": info.status,
        "body": info.body,
        "group": info.group,
        "error": None if last is None else last.code,
        "receive_count": info.attempts,
        "first_seen": iso(info.sent_at),
    }


def _letter(letter: MessageLetter, owner: str) -> dict[str, Any]:
    return {
        "id": letter.id or str(letter.seq),
        "queue": bare(owner, letter.queue),
        "status": "dead",
        "body": letter.body,
        "group": letter.group,
        "error": letter.code,
        "error_message": letter.error,
        "receive_count": letter.attempts,
        "first_seen": iso(letter.first_seen),
        "failed_at": iso(letter.at),
    }
