"""Records in words, a line each, for the tail that people read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tickwork.core.tape import Entry, Record
from tickwork.service.stream.entities import cut, encode, words
from tickwork.values import from_ns

LINES: Final = 12
"""Lines in one message."""

_SAID: Final[dict[str, str]] = {
    "started": "{name} started",
    "event": "{name}",
    "emit": "emitted {name}",
    "send": "sent to {name}",
    "step": "{name} done",
    "effect": "{name} done",
    "intent": "{name} under way",
    "tried": "{name} failed at attempt {attempt}",
    "sleep": "woke up",
    "wait": "heard {name}",
    "start": "started {name}",
    "call": "{name} came back",
    "asked": "asks: {name}",
    "approval": "{name}: answered",
    "claim": "claimed {name}",
    "race": "race decided",
    "undone": "undone",
    "admitted": "its turn has come",
    "cancel": "is being cancelled: {name}",
    "expired": "took too long",
    "failed": "attempt failed",
    "done": "done",
    "dead": "gave up",
    "cancelled": "cancelled",
    "again": "goes on as another run",
    "paused": "paused",
    "resumed": "resumed",
    "redriven": "redriven {name}",
    "stale": "too old to begin",
    "opened": "the engine was opened",
    "declined": "{name} was not started",
    "breaker": "breaker {name} changed",
    "dead_letter": "dead letter: {name}",
    "discarded": "discarded {name}",
    "skipped": "schedule {name} skipped",
    "schedule": "schedule {name}: {key}",
    "message": "message in {name}",
    "leased": "message of {name} leased",
    "acked": "message of {name} done",
    "returned": "message of {name} came back",
}


def line(entry: Entry, run: str | None, workflow: str) -> bytes:
    """A record as a JSON object: position, time, words, and the run it is of."""
    record = entry.record
    told: dict[str, Any] = {
        "seq": entry.seq,
        "at": from_ns(record.at),
        "kind": record.kind,
        "run": run,
        "workflow": workflow or None,
        "text": text(record),
    }
    return encode(told)


def text(record: Record) -> str:
    """A record in words."""
    said = _SAID.get(record.kind, "{kind} {name}").format(
        kind=record.kind, name=cut(record.name), attempt=record.attempt, key=record.key
    )
    if record.kind in ("step", "effect") and bytes(record.error):
        said = f"{cut(record.name)} failed"
    if record.kind == "wait" and bytes(record.value) == b"null":
        said = f"waited for {cut(record.name)} in vain"
    if record.kind == "approval":
        said = f"{cut(record.name)} {'yes' if msgspec.json.decode(record.value) else 'no'}"
    error = words(record.error)
    return cut(said if error is None else f"{said}: {error}")
