"""Runs documents on an engine in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.graph import nodes_of_tests
from tests.graph.nodes_of_tests import LIBRARY, Notes
from tickwork import Engine, Memory
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.status import Status
from tickwork.errors import RunCancelled
from tickwork.graph.compiling import DocumentWorkflow, compile_document
from tickwork.graph.document import Document
from tickwork.graph.reading import read_document, read_text
from tickwork.graph.running.states import Outcome
from tickwork.graph.running.trace import RunTrace, trace


def document(text: str) -> Document:
    return read_document(read_text(text))


def compiled(text: str | Document) -> DocumentWorkflow:
    return compile_document(document(text) if isinstance(text, str) else text, library=LIBRARY, sources=None)


def fresh(failing: Mapping[str, int] | None = None) -> Notes:
    notes = nodes_of_tests.NOTES
    notes.__init__()  # type: ignore[misc]
    notes.failing.update(failing or {})
    return notes


async def run(text: str | Document, input: Any = None, failing: Mapping[str, int] | None = None) -> Outcome:
    """The outcome of a run; raises what it died of."""
    fresh(failing)
    workflow = compiled(text)
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        found: Outcome = await (await engine.start(workflow, input)).result()
    return found


def traced(engine: Engine, workflow: DocumentWorkflow, id: str) -> RunTrace:
    """What the tape of an open engine says of a run."""
    row = engine.queries.row(id)
    entries = engine.queries.reader.history(row.tail, row.seq)
    who = started(entries[0])
    input = workflow.decode_input(who.input, who.event)
    return trace(
        workflow,
        entries,
        input,
        id=id,
        owner=row.owner,
        seed=b"",
        since=who.since,
        begun=Status(row.status) is not Status.QUEUED,
    )


def reopened(memory: Memory, workflow: DocumentWorkflow) -> Engine:
    return Engine(memory, workflows=[workflow], seed=1)


class Played:
    """What one run of a document left."""

    def __init__(
        self, traced: RunTrace, outcome: Outcome | None, error: BaseException | None, calls: list[Any]
    ) -> None:
        self.trace = traced
        self.outcome = outcome
        self.error = error
        self.calls = calls
        self.statuses = {id: state.status for id, state in traced.nodes.items()}
        self.outputs = {id: state.outputs for id, state in traced.nodes.items() if state.outputs}
        self.reasons = {id: state.reason for id, state in traced.nodes.items() if state.reason}
        self.undone = [event.node_id for event in traced.events if event.type == "node_undone"]
        self.completed = [event.node_id for event in traced.events if event.type == "node_completed"]

    @property
    def called(self) -> list[str]:
        """What was called, in order."""
        return [node for node, _ in self.calls]


async def play(
    text: str | Document, input: Any = None, failing: Mapping[str, int] | None = None, redrives: int = 0
) -> Played:
    """Run a document to its end; if it fails, redrive it so often."""
    fresh(failing)
    workflow = compiled(text)
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, input, id="it")
        await engine.settled()
        for _ in range(redrives):
            await engine.redrive("it")
            await engine.settled()
        return await played(engine, workflow)


async def played(engine: Engine, workflow: DocumentWorkflow) -> Played:
    """How the run "it" ended."""
    outcome, died = None, None
    try:
        outcome = await engine.handle("it").result()
    except (Exception, RunCancelled) as error:  # noqa: BLE001 - how it ended is what is compared
        died = error
    return Played(traced(engine, workflow, "it"), outcome, died, list(nodes_of_tests.NOTES.calls))
