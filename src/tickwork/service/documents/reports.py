"""What a caller hears of a workflow or an execution, with the fields that the step lists' programs read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from tickwork.engines.embedded.schedule_rows import ScheduleInfo
from tickwork.graph.running.trace import NodeState, RunTrace
from tickwork.graph.versioning.versions import Head, Version
from tickwork.service.documents.coded import code_of
from tickwork.service.documents.history import Ending, Execution
from tickwork.service.documents.metrics import named_steps
from tickwork.values import from_ns

FEATURES: Final = ("message_queues", "audit_trail", "agent_assignment")

_ENDED: Final = frozenset({"completed", "failed", "skipped", "cancelled"})


STATUSES: Final = ("created", "active", "paused", "cancelled")
"""Of workflows: only a draft yet, taking triggers, paused, retired."""

NO_EXECUTION: Final[dict[str, Any]] = {
    "execution_id": None, "progress": 0, "current_step": None, "completed_steps": [], "pending_steps": [],
}  # fmt: skip
"""What a workflow's status says where it was never executed."""


def iso(time: datetime | int | None) -> str | None:
    """A time as text, with microseconds and its offset; ns since 1970 UTC are one too."""
    if time is None:
        return None
    return (from_ns(time) if isinstance(time, int) else time).isoformat(timespec="microseconds")


def word(head: Head) -> str:
    """The status of a workflow."""
    if head.state == "retired":
        return "cancelled"
    if head.state == "paused":
        return "paused"
    return "active" if head.published else "created"


def created(head: Head, version: Version, new: bool, notes: list[str], warnings: list[str]) -> dict[str, Any]:
    """What ``create`` answers."""
    return {
        "success": True,
        "workflow_id": head.id,
        "name": head.name,
        "description": version.document.get("description", ""),
        "status": word(head),
        "priority": version.document.get("priority", 5),
        "using_new_system": True,
        "features": list(FEATURES),
        "owner": head.owner,
        "version": version.version,
        "checksum": version.checksum,
        "created": new,
        "notes": notes,
        "warnings": warnings,
    }


def versioned(version: Version, current: int) -> dict[str, Any]:
    """One version in a list."""
    return {
        "version": version.version,
        "status": "current" if version.version == current else version.status,
        "checksum": version.checksum,
        "parent": version.parent,
        "equals": version.equals,
        "author": version.author,
        "note": version.note,
        "format": version.format,
        "created_at": iso(version.at),
        "published_at": iso(version.published_at),
    }


def steps(trace: RunTrace) -> list[dict[str, Any]]:
    """Each node of an execution."""
    return [
        {
            "id": node.id,
            "name": name,
            "type": node.type,
            "status": node.status,
            "started_at": iso(node.started_at),
            "completed_at": iso(node.ended_at),
            "duration": None if node.duration_ms is None else round(node.duration_ms / 1_000, 6),
            "result": node.outputs or None,
            "error": node.error or None,
            "reason": node.reason or None,
            "undone": node.undone,
            "undo_error": node.undo_error or None,
        }
        for name, node in named_steps(trace.nodes).items()
    ]


def progress(execution: Execution, nodes: Mapping[str, NodeState]) -> int:
    """From 0 to 100: the share of the nodes that have come to an end; 100 for what is completed."""
    if execution.word == "completed":
        return 100
    ended = sum(node.status in _ENDED for node in nodes.values())
    return 100 * ended // len(nodes) if nodes else 0


def standing(execution: Execution, trace: RunTrace, retrying: bool) -> str:
    """The status of an execution: as of its run, and ``starting`` or ``retry`` where that says more."""
    found = execution.word
    if found in ("running", "waiting") and retrying:
        return "retry"
    if found == "running" and all(node.status == "pending" for node in trace.nodes.values()):
        return "starting"
    return found


def execution_report(
    execution: Execution, trace: RunTrace, ending: Ending, agents: Mapping[str, str], retrying: bool
) -> dict[str, Any]:
    """How an execution stands."""
    row, named = execution.row, named_steps(trace.nodes)
    running = [(name, node) for name, node in named.items() if node.status == "running"]
    current = [_current(name, node, agents.get(node.id)) for name, node in running]
    return {
        "workflow_id": execution.whose.id,
        "workflow_name": execution.whose.name,
        "execution_id": execution.id,
        "status": standing(execution, trace, retrying),
        "progress": progress(execution, trace.nodes),
        "current_step": None if execution.finished or not current else current[0],
        "current_steps": [] if execution.finished else current,
        "completed_steps": _of(named, "completed"),
        "pending_steps": [] if execution.finished else _of(named, "pending"),
        "skipped_steps": _of(named, "skipped"),
        "failed_steps": _of(named, "failed"),
        "steps": steps(trace),
        "steps_total": len(trace.nodes),
        "steps_completed": len(_of(named, "completed")),
        "trigger": trace.trigger,
        "version": row.version,
        "test_mode": execution.whose.test,
        "attempt": row.attempt,
        "started_at": iso(row.started_at),
        "completed_at": iso(row.changed_at) if execution.finished else None,
        "problem": row.problem,
        **outcome(execution, ending),
    }


def _of(named: Mapping[str, NodeState], status: str) -> list[str]:
    return [name for name, node in named.items() if node.status == status]


def outcome(execution: Execution, ending: Ending) -> dict[str, Any]:
    """What an execution came to."""
    error = ending.error if execution.finished else None
    told = None
    if error is not None and execution.word == "failed":
        told = {"code": code_of(error), "type": type(error).__name__, "message": str(error)}
    elif execution.word == "cancelled":
        told = {"code": "cancelled", "type": "Cancelled", "message": ending.reason or execution.row.problem or ""}
    return {"result": msgspec.to_builtins(ending.result) if execution.finished else None, "error": told}


def _current(name: str, node: NodeState, agent: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "status": node.status,
        "started_at": iso(node.started_at),
        "agent_id": agent,
        "progress": None,
    }


def triggers(head: Head, version: Version | None, armed: bool, schedules: list[ScheduleInfo]) -> list[dict[str, Any]]:
    """A workflow's triggers: their state, and when they fire next where that is known.

    Args:
        schedules: the workflow's own, in the order in which the document declares them.
    """
    if version is None:
        return []
    left = list(schedules)
    state = "active" if armed else "paused" if head.state == "paused" else "inactive"
    found = []
    for spec in version.document.get("triggers", []):
        info = left.pop(0) if spec["type"] == "schedule" and left else None
        found.append(
            {
                **spec,
                "status": "paused" if info is not None and info.paused else state,
                "next_firing": iso(info.next_due) if info is not None and armed else None,
                "last_firing": None if info is None else iso(info.last_due),
                "problem": None if info is None else info.problem,
            }
        )
    return found
