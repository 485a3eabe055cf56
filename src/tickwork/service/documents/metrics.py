"""How the executions of a workflow fare, from the tape, by the engine's clock. Executions in test mode do not count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any, Final

from tickwork.engines.embedded.status import Status
from tickwork.graph.running.trace import NodeState, RunTrace
from tickwork.graph.versioning.versions import Head
from tickwork.service.documents.history import Execution, History

DAY: Final = 86_400 * 1_000_000_000
"""The window, in ns: executions that were started in the last 24 hours."""

EXECUTIONS_MAX: Final = 5_000
"""Executions that are counted; of more, these are the newest, and the result says so."""

TRACED_MAX: Final = 100
"""Executions whose steps are looked at: the newest that are over."""

_SUCCEEDED: Final = frozenset({Status.DONE, Status.CONTINUED})
_FAILED: Final = frozenset({Status.DEAD, Status.FAILED})


def metrics(history: History, head: Head, now: int) -> dict[str, Any]:
    """Figures of the last 24 hours.

    ``success_rate`` is the share of the executions that succeeded among those that succeeded or failed, ``None`` where
    there are none; ``average_duration`` of these is in seconds, from start to end. A step's ``avg_time`` and
    ``success_rate`` are over the times it was done or failed, those that were skipped aside.
    """
    recent = list(islice(_since(history, head, now - DAY), EXECUTIONS_MAX + 1))
    counted = recent[:EXECUTIONS_MAX]
    over = [one for one in counted if one.state in _SUCCEEDED | _FAILED]
    traced = over[:TRACED_MAX]
    return {
        "workflow_id": head.id,
        "executions_last_24h": len(counted),
        **rates(counted),
        "steps_performance": _steps(history.trace(one) for one in traced),
        "examined": {
            "executions": len(counted),
            "more_executions": len(recent) > EXECUTIONS_MAX,
            "steps_of_executions": len(traced),
        },
    }


def rates(executions: Iterable[Execution]) -> dict[str, float | None]:
    """Success rate and average duration of those that are over."""
    succeeded = failed = 0
    seconds = 0.0
    for one in executions:
        if one.state in _SUCCEEDED or one.state in _FAILED:
            succeeded += one.state in _SUCCEEDED
            failed += one.state in _FAILED
            seconds += one.seconds
    over = succeeded + failed
    return {
        "success_rate": succeeded / over if over else None,
        "average_duration": round(seconds / over, 6) if over else None,
    }


def _since(history: History, head: Head, since: int) -> Iterable[Execution]:
    for one in history.of(head):
        # the tape's time never goes back: those before it are older still
        if one.row.started_at < since:
            return
        yield one


def _steps(traces: Iterable[RunTrace]) -> dict[str, dict[str, float | None]]:
    seconds: dict[str, list[float]] = {}
    failures: dict[str, int] = {}
    for trace in traces:
        for name, node in named_steps(trace.nodes).items():
            if node.status in ("completed", "failed"):
                seconds.setdefault(name, []).append((node.duration_ms or 0.0) / 1_000)
                failures[name] = failures.get(name, 0) + (node.status == "failed")
    return {
        name: {
            "avg_time": round(sum(taken) / len(taken), 6),
            "success_rate": 1 - failures[name] / len(taken),
        }
        for name, taken in seconds.items()
    }


def named_steps(nodes: dict[str, NodeState]) -> dict[str, NodeState]:
    """Nodes by the name that people know them by; by id where two have the same."""
    names = Counter(node.name for node in nodes.values())
    return {node.name if names[node.name] == 1 else node.id: node for node in nodes.values()}
