"""One run: itself, its steps, its nodes if it is of a document, its questions, its children."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from tickwork.core.tape import Entry
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.status import Status
from tickwork.errors import NotFound
from tickwork.graph.running.trace import NodeState
from tickwork.service.run_shown import WHOLE
from tickwork.service.stream.entities import Fields, Key, bounded, cut, encode
from tickwork.service.stream.part import Change, Look, Part
from tickwork.service.stream.runs import row_at, run_fields
from tickwork.service.stream.steps import STEPS, Steps
from tickwork.values import from_ns

CHILDREN: Final = 100
"""Children that are shown: the newest."""


class OneRun(Part):
    """One run by its id; ``owner``: whose it must be."""

    kinds: ClassVar = ("run", "step", "node", "approval", "child")

    def __init__(self, id: str, owner: str | None = None) -> None:
        super().__init__()
        self._id = id
        self._owner = owner
        self._steps = Steps(id)
        self._at = -1
        """Position of the last look."""
        self._input: Any = None
        self._told_steps: dict[Key, bytes] = {}
        self._nodes: dict[Key, bytes] = {}
        self._row: RunRow | None = None
        self._own: Fields = {}
        """The run itself as last told."""

    def refresh(self, look: Look) -> Change:
        """What has become of it."""
        row = look.reader.run_named(self._id)
        if row is None or (self._owner is not None and row.owner != self._owner):
            raise NotFound("run", self._id, "the id of a run on this tape")
        fresh = self._fresh(look, row)
        self._steps.add(fresh)
        self._at = look.seq
        if fresh:
            self._told_steps = self._steps.lines()
        if fresh or row != self._row:
            self._tell_nodes(look, row)
            self._own = self._fields(look, row)
        self._row = row
        found = {("run", self._id): encode(self._own), **self._told_steps, **self._nodes}
        found |= {key: encode(fields) for key, fields in self._around(look, row).items()}
        return self._compare(found)

    def _fresh(self, look: Look, row: RunRow) -> Sequence[Entry]:
        """Its records since the last look; all of them where some in between were not read."""
        if self._at == look.after and look.entries is not None:
            return look.by_run.get(row.seq, ())
        if self._at == look.seq:
            return ()
        entries = look.reader.history(row.tail, row.seq)
        self._steps = Steps(self._id)
        self._input = bounded(started(entries[0]).input, f"/api/v1/runs/{self._id}/steps/{WHOLE}/io")
        return entries

    def _tell_nodes(self, look: Look, row: RunRow) -> None:
        execution = look.nodes.execution(row)
        if execution is None:
            return
        for node in look.nodes.trace(look.queries, execution).nodes.values():
            self._nodes["node", f"{self._id}/{node.id}"] = encode(_node(execution.id, self._id, node))

    def _fields(self, look: Look, row: RunRow) -> Fields:
        waiting: list[str] = []
        if row.status == Status.WAITING and self._steps.count <= STEPS:
            waiting = look.queries.waiting(row, look.reader.history(row.tail, row.seq))
        told = {"input": self._input, "stepsTotal": self._steps.count, "waitingFor": sorted(waiting)}
        return {**run_fields(look.queries, row), **told}

    def _around(self, look: Look, row: RunRow) -> dict[Key, Fields]:
        found: dict[Key, Fields] = {}
        rows = look.reader.rows
        for id, question, asked, due in rows(
            "SELECT id, question, asked_at, due FROM approvals WHERE run=?", (row.seq,)
        ):
            found["approval", id] = approval_fields(id, question, asked, due)
        sql = "SELECT seq FROM runs WHERE parent=? ORDER BY seq DESC LIMIT ?"
        for (seq,) in rows(sql, (row.seq, CHILDREN)):
            child = run_fields(look.queries, row_at(look.reader, seq))
            found["child", child["id"]] = child
        return found

    def past(self) -> list[Key] | None:
        """Questions that were answered."""
        answered = self._steps.answered
        return None if answered is None else [("approval", f"{self._id}:{place}") for place in answered]


def approval_fields(id: str, question: str, asked: int, due: int) -> Fields:
    """A question that waits for a person."""
    return {
        "id": id,
        "run": id.rpartition(":")[0],
        "place": id.rpartition(":")[2],
        "question": cut(question),
        "askedAt": from_ns(asked),
        "due": from_ns(due) if due else None,
    }


def _node(execution: str, run: str, node: NodeState) -> Fields:
    href = f"/api/v1/executions/{execution}/events"
    return {
        "run": run,
        "id": node.id,
        "name": node.name,
        "type": node.type,
        "category": node.category,
        "status": node.status,
        "startedAt": node.started_at,
        "endedAt": node.ended_at,
        "durationMs": node.duration_ms,
        "inputs": bounded(encode(node.inputs), href),
        "outputs": bounded(encode(node.outputs), href),
        "error": cut(node.error),
        "reason": node.reason,
        "undone": node.undone,
        "undoError": cut(node.undo_error),
    }
