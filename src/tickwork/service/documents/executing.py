"""Executions of documents by hand: started, waited for, looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Any, Final

from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.handle import Handle
from tickwork.engines.embedded.making import unregistered
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput, ServiceError, TapeError, TimedOut
from tickwork.graph.compiling import DocumentWorkflow
from tickwork.graph.document import Document
from tickwork.graph.running.trace import RunTrace
from tickwork.graph.versioning.versions import TEST, Head
from tickwork.service.documents.agents import task_agents
from tickwork.service.documents.coded import EXECUTION_TIMEOUT, QUEUE_FULL, invalid
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.history import Execution, History
from tickwork.service.documents.metrics import rates
from tickwork.service.documents.publishing import Publishing
from tickwork.service.documents.reports import execution_report, iso
from tickwork.values import DurationLike, duration, duration_text, from_ns

TEST_MODE: Final = "test_mode"
"""The field of an execution's input that asks for test mode."""

RECENT: Final = 100
"""Executions that the expected duration of the next one is made of."""


class Executing:
    """Starts and watches executions.

    Args:
        capacity: unfinished executions that a workflow may have when another is to be started by hand.
    """

    def __init__(
        self, engine: Engine, publishing: Publishing, compiled: Compiled, history: History, capacity: int
    ) -> None:
        self._engine = engine
        self._publishing = publishing
        self._compiled = compiled
        self._history = history
        self._capacity = capacity
        self._starting: Counter[str] = Counter()
        """By the engine's name of the workflow."""

    async def start(
        self, head: Head, workflow: DocumentWorkflow, input: Mapping[str, Any] | None, id: str
    ) -> tuple[Handle, Execution]:
        """Start an execution; on return it is on disk.

        Raises:
            InvalidInput: the input cannot be kept, or the id is that of an execution with another one.
            ServiceError: ``QUEUE_FULL``.
            Refused: the workflow's rate limit.
        """
        await self._engine.durable()
        known = self._engine.queries.reader.run_named(id)
        if known is None:
            self._check_room(head, workflow)
        self._starting[workflow.name] += 1
        try:
            handle = await self._engine.start(workflow, None if input is None else dict(input), id=id, owner=head.owner)
        finally:
            self._starting[workflow.name] -= 1
        return handle, self._history.find(head.owner, handle.id)

    def _check_room(self, head: Head, workflow: DocumentWorkflow) -> None:
        """Those that are just being started count too: they may not be on disk yet."""
        test = workflow.name.endswith(TEST)
        if self._history.unfinished(head, test, self._capacity) + self._starting[workflow.name] >= self._capacity:
            message = f"{head.name!r} has {self._capacity:,} unfinished executions: nothing was started, try later"
            raise ServiceError(QUEUE_FULL, message, {"workflow_id": head.id, "capacity": self._capacity})

    async def workflow(self, head: Head, test: bool, version: int | None) -> DocumentWorkflow:
        """What the engine runs for an execution; it knows it then.

        Raises:
            InvalidInput: a version that cannot be executed so, or no paper account for test mode.
        """
        workflow = self._chosen(head, test, version)
        registered = set(self._engine.workflows)
        for one in list(self._compiled.all()) if test else [workflow]:  # in test mode also those that it calls
            if one not in registered and one.name.endswith(TEST) == test:
                await self._engine.add(one)
        return workflow

    def _chosen(self, head: Head, test: bool, version: int | None) -> DocumentWorkflow:
        if head.state == "retired":
            raise InvalidInput("workflow_id", f"{head.name}, which is retired", "one that is not: publish it again")
        if not test:
            if not head.published:
                expected = "a published version: publish the draft, or execute it in test mode"
                raise InvalidInput("version", "only drafts", expected)
            if version not in (None, head.published):
                raise InvalidInput("version", version, f"{head.published}, the published one; others run in test mode")
            return self._compiled.get(head, head.published)
        if not self._compiled.can_test:
            expected = "a paper account: test mode trades on paper, and none is configured"
            raise InvalidInput(TEST_MODE, True, expected)
        return self._compiled.get(head, head.last if version is None else version, test=True)

    async def ended(self, handle: Handle, timeout: DurationLike) -> None:
        """Wait for the end of an execution, whatever it is.

        Raises:
            ServiceError: ``EXECUTION_TIMEOUT``: it goes on.
            TapeError: the engine has stopped.
        """
        text = duration_text(duration(timeout, "timeout"))
        try:
            await handle.result(text)
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001 - what it died of is its result, told by its records
            if isinstance(error, TimedOut) and not await self._is_over(handle):
                details = {"execution_id": handle.id, "timeout": text}
                raise ServiceError(
                    EXECUTION_TIMEOUT, f"execution {handle.id} has not ended within {text}; it goes on", details
                ) from None

    async def _is_over(self, handle: Handle) -> bool:
        await self._engine.durable()
        row = self._engine.queries.row(handle.id)
        return Status(row.status).finished

    # -- reports --------------------------------------------------------------------------------------------------

    def report(self, execution: Execution) -> dict[str, Any]:
        """How an execution stands."""
        trace, entries = self._history.trace(execution), self._history.entries(execution)
        retrying = entries[-1].record.kind in ("failed", "tried")
        agents, ending = self._agents(execution, trace), self._history.ending(entries)
        report = execution_report(execution, trace, ending, agents, retrying)
        if report["problem"] is None and not execution.finished:
            report["problem"] = self._problem(execution)
        report["queue_position"] = self._history.place(execution)
        report["estimated_completion"] = self._estimate(execution)
        return report

    def _problem(self, execution: Execution) -> str | None:
        """Why it cannot go on, before the engine has tried."""
        row = execution.row
        if any((one.name, one.version) == (row.workflow, row.version) for one in self._engine.workflows):
            return None
        return unregistered(row.workflow, row.version)

    def _agents(self, execution: Execution, trace: RunTrace) -> dict[str, str]:
        """Who was assigned to each step: to itself, else to the execution."""
        found = {step: self._engine.read(task_agents, f"{execution.id}/{step}") for step in ("", *trace.nodes)}
        whole = found.pop("")
        return {step: agent or whole for step, agent in found.items() if agent or whole}

    def _estimate(self, execution: Execution) -> str | None:
        """When it will likely end: as the last executions did; unknown without any."""
        if execution.finished:
            return None
        head = self._publishing.find(execution.whose.owner, execution.whose.id)
        seconds = rates(islice(self._history.of(head, test=execution.whose.test), RECENT))["average_duration"]
        if seconds is None:
            return None
        return iso(from_ns(execution.row.started_at) + timedelta(seconds=seconds))


def wants_test(input: Any, test_mode: bool | None) -> bool:
    """Is an execution to run in test mode? Either place that asks for it is enough.

    Raises:
        ServiceError: ``INVALID_INPUT_DATA``: the input is no object, or what should be yes or no is not.
    """
    if input is not None and not isinstance(input, Mapping):
        raise invalid("input_data", input, "an object")
    given = (input or {}).get(TEST_MODE)
    for path, value in ((f"input_data.{TEST_MODE}", given), (TEST_MODE, test_mode)):
        if value is not None and not isinstance(value, bool):
            raise invalid(path, value, "true or false")
    return bool(given or test_mode)


def task_types(document: Document, step: str, library: Any) -> list[str]:
    """The node types that a task asks for: of one step, or of all.

    Raises:
        InvalidInput: there is no such step.
    """
    nodes = [node for node in document.nodes if not step or step in (node.id, node.name)]
    if not nodes:
        known = ", ".join(node.id for node in document.nodes)
        raise InvalidInput("task_id", step, f"a step of {document.name!r}: {known}")
    types = (library.find(node.type) for node in nodes)
    return [node.type if type is None else type.name for node, type in zip(nodes, types, strict=True)]
