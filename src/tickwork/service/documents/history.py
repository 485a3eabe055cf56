"""Executions: the runs of a document, by what the tape says of them. Only what is on disk is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tickwork.core.codec import ANY, decode_error
from tickwork.core.tape import Entry
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.names import Names
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput, NonDeterministic, ServiceError
from tickwork.graph.declare import NodeType
from tickwork.graph.running.trace import NodeState, RunEvent, RunTrace, trace
from tickwork.graph.versioning.versions import DocumentState, Head, Named, named, workflow_name
from tickwork.service.documents.coded import EXECUTION_NOT_FOUND
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.ids import execution_id, run_id
from tickwork.values import from_ns

_OF: Final = "FROM runs WHERE workflow=? AND substr(workflow, 1, 4) = 'doc/'"
"""The condition as the index ``runs_document`` has it."""

PAGE: Final = 200

STATES_MAX: Final = 500
"""Changes of documents' states that are looked through for those of one."""

WORDS: Final = {
    Status.RUNNING: "running",
    Status.WAITING: "waiting",
    Status.PAUSED: "paused",
    Status.STRANDED: "waiting",
    Status.DIVERGED: "waiting",
    Status.QUEUED: "queued",
    Status.DONE: "completed",
    Status.DEAD: "failed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.STALE: "cancelled",
    Status.CONTINUED: "completed",
}
"""A run's status as the step lists' programs know it. One that cannot go on (stranded, diverged) waits, with a problem;
one too old to begin was cancelled."""


class Execution(NamedTuple):
    """A run of a document."""

    row: RunRow
    whose: Named

    @property
    def run(self) -> str:
        """The id of the run, of which there is one on the tape."""
        return self.row.id or f"r{self.row.seq}"

    @property
    def id(self) -> str:
        """Its id, as its owner knows it."""
        return execution_id(self.whose.owner, self.run)

    @property
    def state(self) -> Status:
        """Where it stands."""
        return Status(self.row.status)

    @property
    def word(self) -> str:
        """The same, as the step lists' programs know it."""
        return word_of(self.row)

    @property
    def finished(self) -> bool:
        """Is nothing more to come?"""
        return self.state.finished

    @property
    def seconds(self) -> float:
        """From its start to its end, or to the last that happened; waiting for its turn included."""
        return (self.row.changed_at - self.row.started_at) / 1e9


class Ending(msgspec.Struct, frozen=True):
    """What an execution came to."""

    result: Any
    error: BaseException | None
    reason: str
    """Of its cancellation."""


class History:
    """Finds and reads the executions of documents."""

    def __init__(self, queries: Queries, compiled: Compiled) -> None:
        self._queries = queries
        self._reader = queries.reader
        self._compiled = compiled

    def find(self, owner: str, id: str) -> Execution:
        """An owner's execution.

        Raises:
            ServiceError: ``EXECUTION_NOT_FOUND``.
        """
        for run in dict.fromkeys((run_id(owner, id), id)) if id else ():
            row = self._reader.run_named(run)
            whose = None if row is None else named(row.workflow)
            if row is not None and whose is not None and whose.owner == owner:
                return Execution(row, whose)
        raise ServiceError(EXECUTION_NOT_FOUND, f"no execution has the id {id!r}", {"execution_id": id})

    def of(self, head: Head, *, test: bool = False, before: int | None = None) -> Iterator[Execution]:
        """A document's executions, newest first."""
        name = workflow_name(head.owner, head.name, test)
        whose = Named(head.owner, head.name, test)
        limit = before
        while True:
            clause, values = ("", ()) if limit is None else (" AND seq<?", (limit,))
            rows = self._reader.rows(f"SELECT seq {_OF}{clause} ORDER BY seq DESC LIMIT ?", (name, *values, PAGE))
            for (seq,) in rows:
                row = self._reader.run(seq)
                if row is not None:
                    yield Execution(row, whose)
            if len(rows) < PAGE:
                return
            limit = rows[-1][0]

    def both(self, head: Head) -> Iterator[Execution]:
        """A document's executions, those in test mode among them, newest first."""
        arms = [self.of(head), self.of(head, test=True)]
        heads = [next(arm, None) for arm in arms]
        while (first := max((one for one in heads if one is not None), key=_seq, default=None)) is not None:
            index = heads.index(first)
            heads[index] = next(arms[index], None)
            yield first

    def count(self, head: Head) -> int:
        """How many executions there are, those in test mode aside."""
        found: int = self._reader.one(f"SELECT count(*) {_OF}", (workflow_name(head.owner, head.name),))
        return found

    def unfinished(self, head: Head, test: bool, limit: int) -> int:
        """How many of the newest ``limit`` executions are not over."""
        values = (workflow_name(head.owner, head.name, test), limit)
        rows = self._reader.rows(f"SELECT status {_OF} ORDER BY seq DESC LIMIT ?", values)
        return sum(not Status(status).finished for (status,) in rows)

    def place(self, execution: Execution) -> int | None:
        """As the how-manieth of those that wait for their turn one does; ``None``: it does not."""
        if execution.state is not Status.QUEUED:
            return None
        sql = f"SELECT count(*) {_OF} AND status=? AND seq<=?"
        row = execution.row
        found: int = self._reader.one(sql, (row.workflow, int(Status.QUEUED), row.seq))
        return found

    def states(self, head: Head) -> Iterator[DocumentState]:
        """When it was paused, resumed and retired, among the last changes of the kind on the tape; newest first."""
        sql = "SELECT seq FROM events WHERE name=? ORDER BY seq DESC LIMIT ?"
        for (seq,) in self._reader.rows(sql, (DocumentState.event_name, STATES_MAX)):
            entry = self._reader.record(seq)
            if entry is not None and bytes(entry.record.value):
                event = DocumentState.read(entry.record.version, bytes(entry.record.value))
                if event.id == head.id:
                    yield event

    # -- one execution --------------------------------------------------------------------------------------------

    def entries(self, execution: Execution) -> list[Entry]:
        """Its records."""
        return self._reader.history(execution.row.tail, execution.row.seq)

    def trace(self, execution: Execution) -> RunTrace:
        """What became of its nodes. Where nobody can tell any more (a node type is gone), none of them has begun."""
        row, entries = execution.row, self.entries(execution)
        who = started(entries[0])
        try:
            workflow = self._compiled.for_reading(row.workflow, row.version)
            input = workflow.decode_input(who.input, who.event)
            seed = self._seed(row, execution.run)
            begun = execution.state is not Status.QUEUED
            return trace(
                workflow, entries, input, id=execution.run, owner=row.owner, seed=seed, since=who.since, begun=begun
            )
        except (InvalidInput, NonDeterministic):
            return self._untold(execution, entries)

    def ending(self, entries: Sequence[Entry]) -> Ending:
        """What an execution came to, as far as it has."""
        result, error, reason = None, None, ""
        for entry in entries:
            record = entry.record
            if record.kind == "done":
                result, error = ANY.decode(record.value, "result") if bytes(record.value) else None, None
            elif record.kind in ("dead", "failed"):
                error = decode_error(record.error) if bytes(record.error) else None
            elif record.kind == "redriven":
                error = None
            elif record.kind == "cancel":
                reason = record.name
        return Ending(result, error, reason)

    def _seed(self, row: RunRow, id: str) -> bytes:
        names = Names()
        names.openings = list(self._reader.rows("SELECT seq, nonce FROM openings ORDER BY seq"))
        return names.seed(row.seq, id)

    def _untold(self, execution: Execution, entries: Sequence[Entry]) -> RunTrace:
        version = self._compiled.shelf.version(execution.whose.id, execution.row.version)
        nodes: dict[str, NodeState] = {}
        for node in [] if version is None else version.document.get("nodes", []):
            type_: NodeType | None = self._compiled.library.find(node["type"])
            category = "custom" if type_ is None else type_.category
            nodes[node["id"]] = NodeState(node["id"], node.get("name") or node["id"], node["type"], category)
        first = entries[0]
        begun = RunEvent(1, first.seq, "workflow_started", from_ns(first.record.at), "running")
        return RunTrace(nodes, [begun], "", ended=execution.finished, attempt=execution.row.attempt)


def word_of(row: RunRow) -> str:
    """Where a run stands, as the step lists' programs know it."""
    return WORDS[Status(row.status)]


def _seq(execution: Execution) -> int:
    return execution.row.seq
