"""Executions of documents by hand: started, waited for, looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any, Final, NamedTuple

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
from tickwork.service.documents.ids import run_id
from tickwork.service.documents.metrics import rates
from tickwork.service.documents.publishing import Publishing
from tickwork.service.documents.reports import execution_report, iso
from tickwork.values import DurationLike, duration, duration_text, from_ns

TEST_MODE: Final = "test_mode"
"""The field of an execution's input that asks for test mode."""

RECENT: Final = 100
"""Executions that the expected duration of the next one is made of."""


class Asked(NamedTuple):
    """What is to be executed of a document."""

    test: bool
    """In test mode?"""
    version: int | None
    """``None``: the published one, in test mode the newest."""


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
        self,
        head: Head,
        asked: Asked,
        input: Mapping[str, Any] | None,
        id: str,
        charge: Callable[[str], Awaitable[None]],
    ) -> tuple[Handle, Execution]:
        """Start an execution; on return it is on disk.

        Args:
            charge: takes the price of a new one, for the id of its run: when all is well with it, and before it starts.

        Raises:
            InvalidInput: what is asked for cannot be executed, the input cannot be kept, or the id is that of another
                execution.
            ServiceError: ``QUEUE_FULL``; what ``charge`` raises.
            Refused: the workflow's rate limit.
        """
        workflow, run = self._chosen(head, asked), run_id(head.owner, id)
        given = None if input is None else dict(input)
        with self._compiled.held(workflow):
            await self._know(workflow, asked.test)
            _check_input(workflow, given)
            if self._is_known(workflow, id, run):
                handle = await self._again(workflow, given, id, run, head.owner)
            else:
                handle = await self._anew(head, workflow, given, run, charge)
        return handle, self._history.find(head.owner, handle.id)

    def _is_known(self, workflow: DocumentWorkflow, id: str, run: str) -> bool:
        """
        Raises:
            InvalidInput: the run of this id is one of another workflow.
        """
        row = self._engine.queries.reader.run_named(run)
        if row is not None and row.workflow != workflow.name:
            raise InvalidInput("execution_id", id, "an id that no other execution has")
        return row is not None

    async def _again(self, workflow: DocumentWorkflow, input: Any, id: str, run: str, owner: str) -> Handle:
        try:
            return await self._engine.start(workflow, input, id=run, owner=owner)
        except InvalidInput:
            expected = "an id that no other execution has, or the input that this one was started with"
            raise InvalidInput("execution_id", id, expected) from None

    async def _anew(
        self, head: Head, workflow: DocumentWorkflow, input: Any, run: str, charge: Callable[[str], Awaitable[None]]
    ) -> Handle:
        self._check_room(head, workflow)
        self._starting[workflow.name] += 1
        try:
            await charge(run)
            return await self._engine.start(workflow, input, id=run, owner=head.owner)
        finally:
            self._starting[workflow.name] -= 1
            if not self._starting[workflow.name]:
                del self._starting[workflow.name]

    def _check_room(self, head: Head, workflow: DocumentWorkflow) -> None:
        """Those that are just being started count too: they may not be on disk yet."""
        test = workflow.name.endswith(TEST)
        if self._history.unfinished(head, test, self._capacity) + self._starting[workflow.name] >= self._capacity:
            message = f"{head.name!r} has {self._capacity:,} unfinished executions: nothing was started, try later"
            raise ServiceError(QUEUE_FULL, message, {"workflow_id": head.id, "capacity": self._capacity})

    async def _know(self, workflow: DocumentWorkflow, test: bool) -> None:
        """The engine knows it then, and what it calls in test mode, and has all on disk."""
        for one in [workflow, *self._compiled.called_in_test(workflow)] if test else [workflow]:
            if not self._engine.registry.has(one):
                await self._engine.add(one)
        await self._engine.durable()

    def _chosen(self, head: Head, asked: Asked) -> DocumentWorkflow:
        test, version = asked
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

    async def ended(self, handle: Handle, execution: Execution, timeout: DurationLike) -> None:
        """Wait for the end of an execution, whatever it is.

        Raises:
            ServiceError: ``EXECUTION_TIMEOUT``: it goes on.
            TapeError: the engine has stopped.
        """
        text = duration_text(duration(timeout, "timeout"))
        id = execution.id
        try:
            await handle.result(text)
        except TapeError:
            raise
        except Exception as error:  # noqa: BLE001 - what it died of is its result, told by its records
            if isinstance(error, TimedOut) and not await self._is_over(handle):
                details = {"execution_id": id, "timeout": text}
                raise ServiceError(
                    EXECUTION_TIMEOUT, f"execution {id} has not ended within {text}; it goes on", details
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
        if self._engine.registry.find(row.workflow, row.version) is not None:
            return None
        return unregistered(row.workflow, row.version)

    def _agents(self, execution: Execution, trace: RunTrace) -> dict[str, str]:
        """Who was assigned to each step: to itself, else to the execution."""
        found = {step: self._engine.read(task_agents, f"{execution.run}/{step}") for step in ("", *trace.nodes)}
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


def _check_input(workflow: DocumentWorkflow, input: Any) -> None:
    """
    Raises:
        InvalidInput: it cannot be kept.
    """
    try:
        workflow.encode_input(input)
    except InvalidInput as error:
        raise InvalidInput("input_data", error.found, error.expected) from None


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
