"""Events of one run as those know them who watch node graphs.

Names and fields are those of the node graphs' own programs (``service.documents.events``). Of a run of a document they
are what its trace tells; of another run each thing that it asks for is a node, and its name the node's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from tickwork.core.replay import ANSWERS
from tickwork.core.tape import Entry, Record
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.status import Status
from tickwork.service.documents.events import payload
from tickwork.service.stream.entities import bounded, encode, words
from tickwork.service.stream.nodes import Nodes
from tickwork.values import from_ns

_ENDINGS: Final = {"done": "completed", "dead": "failed", "cancelled": "cancelled", "stale": "expired",
                   "again": "completed"}  # fmt: skip


class Told(NamedTuple):
    """One event."""

    seq: int
    """The position on the tape at which it was known."""
    sequence: int
    """Its number within the run."""
    fields: dict[str, Any]


def events_of_run(queries: Queries, nodes: Nodes, row: RunRow) -> list[Told]:
    """What has happened in a run so far; of a document's, in its last attempt.

    Raises:
        TapeError: the tape cannot be read.
    """
    execution = nodes.execution(row)
    if execution is None:
        entries = queries.reader.history(row.tail, row.seq)
        return list(_Telling(row).events(entries))
    href = f"/api/v1/executions/{execution.id}/events"
    found = []
    for event in nodes.trace(queries, execution).events:
        fields = payload(event, execution)
        for name in ("output", "outputs"):
            if name in fields:
                fields[name] = bounded(encode(fields[name]), href)
        found.append(Told(event.seq, event.sequence, fields))
    return found


class _Telling:
    """Folds the records of a run of a Python workflow."""

    def __init__(self, row: RunRow) -> None:
        self._row = row
        self._id = row.id or f"r{row.seq}"
        self._sequence = 0
        self._begun: dict[str, int] = {}
        """Nodes that are under way, with the positions of their first records: the ids of these steps."""

    def events(self, entries: list[Entry]) -> Iterator[Told]:
        """In order."""
        for entry in entries:
            record = entry.record
            match record.kind:
                case "started" | "redriven":
                    yield self._event(entry, "workflow_started", "running", attempt=record.attempt or None)
                case "intent":
                    yield from self._begin(entry, "effect")
                case "tried":
                    yield from self._begin(entry, "step")
                    yield self._event(entry, "node_error", "retrying", attempt=record.attempt)
                case kind if kind in ANSWERS and record.no >= 0:
                    yield from self._begin(entry, kind)
                    yield self._answered(entry)
                case kind if kind in _ENDINGS:
                    yield self._event(entry, "workflow_completed", _ENDINGS[kind])
                case "failed" if entry is entries[-1] and Status(self._row.status) is Status.FAILED:
                    yield self._event(entry, "workflow_completed", "failed")
                case _:
                    pass

    def _begin(self, entry: Entry, category: str) -> Iterator[Told]:
        node = _node(entry.record)
        if node not in self._begun:
            self._begun[node] = entry.seq
            at = entry.record.at - entry.record.took
            yield self._event(entry, "node_started", "running", at=at, category=category, error=False)

    def _answered(self, entry: Entry) -> Told:
        record = entry.record
        step = self._begun.pop(_node(record))
        took = record.took / 1e6
        if bytes(record.error):
            return self._event(entry, "node_error", "error", execution_time_ms=took, duration_ms=took)
        value = bounded(record.value, f"/api/v1/runs/{self._id}/steps/{step}/io")
        return self._event(
            entry, "node_completed", "success", output=value, outputs=value, execution_time_ms=took, duration_ms=took,
            keep=("output", "outputs"),
        )  # fmt: skip

    def _event(
        self, entry: Entry, type: str, status: str, *, at: int | None = None, category: str = "", error: bool = True,
        keep: tuple[str, ...] = (), **more: Any,
    ) -> Told:  # fmt: skip
        self._sequence += 1
        record = entry.record
        fields: dict[str, Any] = {
            "type": type, "sequence": self._sequence, "seq": entry.seq, "execution_id": self._id,
            "workflow_id": self._row.workflow, "workflow_name": self._row.workflow,
            "timestamp": from_ns(record.at if at is None else at), "status": status,
        }  # fmt: skip
        if type.startswith("node_"):
            fields |= {"node_id": _node(record), "node_name": record.name, "node_category": category or record.kind}
        fields |= {name: value for name, value in more.items() if value is not None or name in keep}
        said = words(record.error) if error else None
        return Told(entry.seq, self._sequence, fields if said is None else {**fields, "error": said})


def _node(record: Record) -> str:
    return f"{record.branch}{record.no}"
