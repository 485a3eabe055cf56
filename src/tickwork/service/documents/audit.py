"""The audit trail of a workflow: what happened in its executions, and what was done to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final

from tickwork.graph.running.trace import RunEvent, RunTrace
from tickwork.graph.versioning.versions import DocumentState, Head, Version
from tickwork.service.documents.history import Execution, History
from tickwork.service.documents.metrics import named_steps
from tickwork.service.documents.reports import iso

EXECUTIONS_MAX: Final = 100
"""Executions that are looked at for one answer: the newest; where there are more, the answer says so."""

VERSIONS_MAX: Final = 100

_EVENTS: Final = {
    "workflow_started": "workflow_started",
    "node_started": "step_started",
    "node_completed": "step_completed",
    "node_error": "step_failed",
    "node_skipped": "step_skipped",
    "node_undone": "step_compensated",
    "node_undo_failed": "step_compensation_failed",
    "execution_halted": "workflow_halted",
}
_ENDS: Final = {"failed": "workflow_failed", "cancelled": "workflow_cancelled", "expired": "workflow_cancelled"}


def events_of(execution: Execution, trace: RunTrace) -> Iterator[dict[str, Any]]:
    """The events of one execution, in order."""
    names = {node.id: name for name, node in named_steps(trace.nodes).items()}
    for event in trace.events:
        yield _event(execution, trace, event, names.get(event.node_id))


def _event(execution: Execution, trace: RunTrace, event: RunEvent, step: str | None) -> dict[str, Any]:
    kind = _EVENTS.get(event.type) or _ENDS.get(event.status, "workflow_completed")
    told: dict[str, Any] = {
        "timestamp": iso(event.timestamp),
        "event": kind,
        "type": kind,
        "event_id": f"{execution.id}/{event.sequence}",
        "execution_id": execution.id,
    }
    if step is not None:
        told |= {"step": step, "step_name": step}
    if event.type == "node_completed":
        told["result"] = event.outputs
    if event.type == "workflow_started":
        told["trigger"] = trace.trigger
    details = {"seq": event.seq, "status": event.status, "node_id": event.node_id, "error": event.error,
               "reason": event.reason, "version": execution.row.version if event.type == "workflow_started" else None,
               "duration": None if event.duration_ms is None else round(event.duration_ms / 1_000, 6),
               "test_mode": True if execution.whose.test else None}  # fmt: skip
    return {**told, "details": {name: value for name, value in details.items() if value not in (None, "")}}


def changes_of(versions: Iterable[Version]) -> Iterator[dict[str, Any]]:
    """Versions that were made, and drafts that were published."""
    for version in versions:
        kind = "workflow_created" if version.version == 1 else "workflow_updated"
        details = {"version": version.version, "status": version.status, "checksum": version.checksum,
                   "author": version.author, "note": version.note, "equals": version.equals}  # fmt: skip
        yield _change(version.at, kind, f"{version.id}@{version.version}", details)
        if version.published_at not in (None, version.at):
            id = f"{version.id}@{version.version}/published"
            yield _change(version.published_at, "workflow_published", id, {"version": version.version})


def states_of(states: Iterable[DocumentState]) -> Iterator[dict[str, Any]]:
    """When the workflow was paused, resumed, retired."""
    for state in states:
        kind = {"active": "workflow_resumed", "paused": "workflow_paused", "retired": "workflow_retired"}[state.state]
        yield _change(state.at, kind, f"{state.id}/{iso(state.at)}", {"author": state.author, "note": state.note})


def _change(at: datetime | None, kind: str, id: str, details: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in details.items() if value not in (None, "")}
    return {"timestamp": iso(at), "event": kind, "type": kind, "event_id": id, "execution_id": None, "details": known}


def trail(
    history: History,
    head: Head,
    versions: Iterable[Version],
    *,
    limit: int,
    start_time: str | None,
    execution: Execution | None = None,
) -> dict[str, Any]:
    """The last events, oldest first; from a time on the first ones from there, so that one can read on.

    Args:
        execution: only of this one.
    """
    found = [execution] if execution is not None else list(islice(history.both(head), EXECUTIONS_MAX + 1))
    examined = found[:EXECUTIONS_MAX]
    events: list[dict[str, Any]] = []
    if execution is None:
        # both are read newest first; what is of one moment stays in the order in which it happened
        events += changes_of(reversed(list(islice(versions, VERSIONS_MAX))))
        events += states_of(reversed(list(history.states(head))))
    for one in examined:
        events += events_of(one, history.trace(one))
    events.sort(key=lambda event: str(event["timestamp"]))
    if start_time is not None:
        events = [event for event in events if event["timestamp"] >= start_time]
    shown = events[:limit] if start_time is not None else events[-limit:]
    latest = execution or (examined[0] if examined else None)
    return {
        "workflow_id": head.id,
        "execution_id": None if latest is None else latest.id,
        "events": shown,
        "total_events": len(events),
        "execution_summary": _summary(examined, len(found) > EXECUTIONS_MAX),
    }


def _summary(executions: list[Execution], more: bool) -> dict[str, Any]:
    words = [one.word for one in executions]
    counts = {word: words.count(word) for word in ("completed", "failed", "cancelled")}
    return {
        "executions": len(executions),
        **counts,
        "unfinished": len(words) - sum(counts.values()),
        "first_started_at": iso(executions[-1].row.started_at) if executions else None,
        "last_started_at": iso(executions[0].row.started_at) if executions else None,
        "more_executions": more,
    }
