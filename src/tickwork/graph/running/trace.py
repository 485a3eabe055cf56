"""What happened in a run of a document: the state of each node, and events with sequence numbers, from its records.

The run's records are replayed through the runner by somebody who answers nothing: what is recorded happens again, and
where the records end the run stands as it stands. So skipped nodes, joins and undos are told as exactly as in the run
itself, and nothing of it is kept twice. No function of a node is called, so no source is needed: of a node that asked
verbs of its own only the record of its outcome is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from tickwork.core.codec import decode_error
from tickwork.core.drive import Drive
from tickwork.core.replay import Course
from tickwork.core.tape import Entry
from tickwork.errors import Refused
from tickwork.graph.compiling import DocumentWorkflow, body_of, kind_of_input
from tickwork.graph.running.reading_off import Reading, read_off
from tickwork.graph.running.runner import told
from tickwork.graph.running.states import Change, Status
from tickwork.values import from_ns

EventType = Literal[
    "workflow_started", "node_started", "node_completed", "node_error", "node_skipped", "node_undone",
    "node_undo_failed", "execution_halted", "workflow_completed",
]  # fmt: skip

_SPOKEN: Final[dict[Status, tuple[EventType, str]]] = {
    "running": ("node_started", "running"),
    "completed": ("node_completed", "success"),
    "failed": ("node_error", "error"),
    "cancelled": ("node_error", "cancelled"),
    "skipped": ("node_skipped", "skipped"),
}
_ENDINGS: Final = {"done": "completed", "dead": "failed", "cancelled": "cancelled", "stale": "expired"}


class NodeState(msgspec.Struct):
    """How a node stands."""

    id: str
    name: str
    type: str
    category: str
    status: Status = "pending"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    error: str = ""
    reason: str = ""
    """Why it was skipped."""
    undone: bool = False
    undo_error: str = ""
    """Why it could not be taken back."""

    @property
    def duration_ms(self) -> float | None:
        """From its start to its end."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1_000


class RunEvent(msgspec.Struct, frozen=True):
    """Something that happened in a run, as those who watch it are told."""

    sequence: int
    """From 1 on, within the run."""
    seq: int
    """The position on the tape at which it was known."""
    type: EventType
    timestamp: datetime
    status: str = ""
    node_id: str = ""
    node_name: str = ""
    node_category: str = ""
    outputs: dict[str, Any] = {}
    duration_ms: float | None = None
    error: str = ""
    reason: str = ""


class RunTrace(msgspec.Struct):
    """A run of a document."""

    nodes: dict[str, NodeState]
    """By id, in the document's order."""
    events: list[RunEvent]
    trigger: str
    """The kind of what started it."""
    ended: bool = False
    attempt: int = 1


def trace(
    workflow: DocumentWorkflow,
    entries: Iterable[Entry],
    input: Any,
    *,
    id: str,
    owner: str,
    seed: bytes,
    since: int = 0,
    begun: bool = True,
) -> RunTrace:
    """The states and events of a run; of its last attempt, where it had several.

    Args:
        entries: all its records.
        input: what it was given, decoded.
        seed: of its randomness.
        since: the position from which its waits look.
        begun: false of a run that waits for its turn, in a queue: none of its nodes is under way.

    Raises:
        NonDeterministic: the records are not of this workflow.
    """
    course = Course(entries, since)
    return _Tracing(workflow, course, input).run(id, owner, seed, begun)


class _Tracing:
    def __init__(self, workflow: DocumentWorkflow, course: Course, input: Any) -> None:
        self._plan = workflow.plan
        self._course = course
        self._input = input
        self._drive: Drive | None = None
        nodes = {
            one.id: NodeState(one.id, one.node.label, one.type.name, one.type.category) for one in self._plan.nodes
        }
        self.trace = RunTrace(nodes, [], kind_of_input(self._plan, input), attempt=course.attempt)

    def run(self, id: str, owner: str, seed: bytes, begun: bool) -> RunTrace:
        course, ending = self._course, self._course.ending
        self._tell("workflow_started", course.seq, course.at, status="running")
        # one that was dropped or cancelled without a word to its body had not begun
        unheard = ending is not None and ending.record.kind in ("stale", "cancelled") and not course.history
        if begun and not unheard:
            self._replay(id, owner, seed)
        if ending is not None:
            self._ended(ending)
        return self.trace

    def _replay(self, id: str, owner: str, seed: bytes) -> None:
        body = body_of(self._plan, self._saw, read_off)
        self._drive = drive = Reading(lambda run: body(run, self._input), id, owner, seed, self._course)
        try:
            drive.start()
        finally:
            drive.close()

    def _saw(self, change: Change) -> None:
        drive, planned = self._drive, self._plan.nodes[change.node]
        # the first node begins before the drive is there to be asked
        seq, at = (self._course.seq, self._course.at) if drive is None else (drive.seq, drive.now)
        state, time = self.trace.nodes[planned.id], from_ns(at)
        if drive is not None and drive.closing:
            return
        if change.undone:
            state.undone = True
            self._tell("node_undone", seq, at, planned.id, status="undone")
            return
        if change.undo_error is not None:
            state.undo_error = _words(change.undo_error)
            self._tell("node_undo_failed", seq, at, planned.id, status="undo_failed", error=state.undo_error)
            return
        state.status = change.status
        if change.status == "running":
            state.started_at, state.inputs = time, _inputs(change)
        else:
            state.ended_at = time
            state.started_at = state.started_at or (None if change.status == "skipped" else time)
        state.outputs = told(change.outputs) if change.outputs is not None else state.outputs
        state.error = "" if change.error is None else _words(change.error)
        state.reason = change.reason
        kind, status = _SPOKEN[change.status]
        self._tell(kind, seq, at, planned.id, status=status)
        if isinstance(change.error, Refused) and change.error.rule == "halt":
            self._tell("execution_halted", seq, at, planned.id, status="halted", reason=str(change.error))

    def _tell(
        self, kind: EventType, seq: int, at: int, node: str = "", *, status: str, error: str = "", reason: str = ""
    ) -> None:
        state = self.trace.nodes.get(node)
        ended = state is not None and kind in ("node_completed", "node_error")
        event = RunEvent(
            len(self.trace.events) + 1, seq, kind, from_ns(at), status, node,
            node_name=state.name if state else "",
            node_category=state.category if state else "",
            outputs=state.outputs if state is not None and kind == "node_completed" else {},
            duration_ms=state.duration_ms if state is not None and ended else None,
            error=error or (state.error if state is not None and kind == "node_error" else ""),
            reason=reason or (state.reason if state is not None and kind == "node_skipped" else ""),
        )  # fmt: skip
        self.trace.events.append(event)

    def _ended(self, ending: Entry) -> None:
        record = ending.record
        self.trace.ended = True
        status = _ENDINGS.get(record.kind, record.kind)
        error = ""
        if bytes(record.error):
            error = _words(decode_error(record.error))
        if status == "completed" and any(state.status == "failed" for state in self.trace.nodes.values()):
            status = "completed_with_errors"
        if status == "cancelled":
            reason = self._course.cancelled or ""
            self._tell("execution_halted", ending.seq, record.at, status="halted", reason=reason)
        self._tell("workflow_completed", ending.seq, record.at, status=status, error=error)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _inputs(change: Change) -> dict[str, Any]:
    return told(change.inputs) if change.inputs else {}
