"""Events of an execution as those who watch a graph know them: read off the tape, with sequence numbers.

The names and fields are those of the node graphs' own programs: ``workflow_started``, ``node_started``,
``node_completed``, ``node_error``, ``workflow_completed``, and ``execution_halted``; ``output`` and
``execution_time_ms`` as well as ``outputs`` and ``duration_ms``, because both are read.
"""

from __future__ import annotations

from typing import Any

from tickwork.graph.running.trace import RunEvent
from tickwork.service.documents.history import Execution
from tickwork.service.documents.reports import iso


def payload(event: RunEvent, execution: Execution) -> dict[str, Any]:
    """One event. ``sequence`` counts within the execution, ``seq`` is the position on the tape."""
    found: dict[str, Any] = {
        "type": event.type,
        "sequence": event.sequence,
        "seq": event.seq,
        "execution_id": execution.id,
        "workflow_id": execution.whose.id,
        "workflow_name": execution.whose.name,
        "timestamp": iso(event.timestamp),
        "status": event.status,
    }
    if event.node_id:
        found |= {"node_id": event.node_id, "node_name": event.node_name, "node_category": event.node_category}
    if event.type == "node_completed":
        found |= {"output": event.outputs, "outputs": event.outputs}
    if event.duration_ms is not None:
        found |= {"execution_time_ms": event.duration_ms, "duration_ms": event.duration_ms}
    if event.error:
        found["error"] = event.error
    if event.reason:
        found["reason"] = event.reason
    return found
