"""Documents of a tape before an engine opens it: the workflows that its runs and triggers need.

    found = recovered("sqlite:///desk.db", library=library(), sources=sources, test_sources=paper)
    async with Engine("sqlite:///desk.db", workflows=[*code, *found.workflows], views=DOCUMENT_VIEWS) as engine:
        documents = Documents(engine, found)
        await documents.open()

What no longer compiles (a node type is gone, a source is not configured) keeps no engine from opening: it is reported,
its triggers start nothing, and its runs wait as stranded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tickwork.core.queue import Queue
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.assembly import Memory
from tickwork.engines.embedded.declared import declared_by
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.schema import SCHEMA_VERSION, parse_url, schema_of
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput
from tickwork.graph.compiling import DocumentWorkflow
from tickwork.graph.library import Library
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import DocumentPublished, DocumentState, Head, named
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.shelf import TapeShelf

_log = logging.getLogger("tickwork.documents")

_NEEDED = """SELECT DISTINCT workflow, version FROM runs
    WHERE substr(workflow, 1, 4) = 'doc/' AND (status < ? OR status = ?) ORDER BY workflow, version"""


class Broken(NamedTuple):
    """A version that cannot run here."""

    id: str
    name: str
    owner: str
    version: int
    why: str


class Recovered(NamedTuple):
    """What an engine must be given for the documents of its tape."""

    workflows: list[Workflow]
    problems: list[Broken]
    compiled: Compiled


def recovered(
    tape: str | Memory | Queries,
    *,
    library: Library,
    sources: Sources,
    test_sources: Sources | None = None,
    others: Sequence[Workflow] = (),
) -> Recovered:
    """Compile the newest published version of each document, and every version that has runs which are not over.

    Runs that died count among them: they may be redriven.

    Args:
        tape: its URL, where there may be no tape yet.
        others: what the engine is given besides; a document whose queue or schedule is one of theirs takes no triggers.

    Raises:
        TapeError: the tape cannot be read.
    """
    queries = _queries(tape)
    shelf = TapeShelf([] if queries is None else queries.events(DocumentPublished.event_name, DocumentState.event_name))
    compiled = Compiled(shelf, library, sources, test_sources)
    problems: list[Broken] = []
    armed, taken = set[DocumentWorkflow](), _Taken(others)
    for head in shelf.heads():
        if not head.published or head.state == "retired":
            continue
        workflow = _compile(compiled, problems, head, head.published, test=False)
        if workflow is not None and head.state == "active":
            why = taken.conflict(workflow)
            if why:
                _report(problems, head, head.published, f"its triggers start nothing: {why}")
            else:
                armed.add(workflow)
    for name, number in [] if queries is None else queries.reader.rows(_NEEDED, (int(Status.DONE), int(Status.DEAD))):
        _needed(compiled, problems, name, number)
    for workflow in compiled.all():
        if workflow not in armed:
            disarm(workflow)
    return Recovered(list(compiled.all()), problems, compiled)


def _queries(tape: str | Memory | Queries) -> Queries | None:
    if isinstance(tape, Queries):
        return tape
    if isinstance(tape, Memory):
        return Queries(Reader(tape.connection))
    path = parse_url(tape)
    # one that an older tickwork wrote holds no documents; its owner upgrades it
    return Queries.open(path) if Path(path).is_file() and schema_of(path) >= SCHEMA_VERSION else None


def _needed(compiled: Compiled, problems: list[Broken], name: str, number: int) -> None:
    """A version that has runs."""
    whose = named(name)
    if whose is None or compiled.find(name, number) is not None:
        return
    head = compiled.shelf.head(whose.id)
    if head is not None and not whose.test and any((one.id, one.version) == (head.id, number) for one in problems):
        return  # told already
    if head is None:
        problems.append(Broken(whose.id, whose.name, whose.owner, number, "the tape has no document of this name"))
    else:
        _compile(compiled, problems, head, number, whose.test)


def _compile(
    compiled: Compiled, problems: list[Broken], head: Head, number: int, test: bool
) -> DocumentWorkflow | None:
    try:
        return compiled.get(head, number, test)
    except Exception as error:  # noqa: BLE001 - nodes and sources are anybody's code; the engine must open all the same
        _report(problems, head, number, str(error) or type(error).__name__)
        return None


def _report(problems: list[Broken], head: Head, number: int, why: str) -> None:
    problems.append(Broken(head.id, head.name, head.owner, number, why))
    _log.error("workflow %r version %d: %s", head.name, number, why)


def disarm(workflow: DocumentWorkflow) -> None:
    """Let its triggers start nothing, until ``arm``; to be done before the engine is given it."""
    workflow.triggers = ()


def arm(workflow: DocumentWorkflow) -> None:
    """Its triggers as the document has them; what the engine then makes of them is another matter."""
    workflow.triggers = workflow.plan.triggers


class _Taken:
    """Names of schedules and queues, each of which is one workflow's."""

    def __init__(self, workflows: Iterable[Workflow]) -> None:
        self._names: dict[str, str] = {}
        for workflow in workflows:
            for name in _names(workflow):
                self._names[name] = workflow.name

    def conflict(self, workflow: Workflow) -> str:
        """Why it cannot take triggers beside the others; empty: it can, and its names are taken now."""
        try:
            names = list(_names(workflow))
        except InvalidInput as error:
            return str(error)
        for name in names:
            if self._names.get(name, workflow.name) != workflow.name:
                return f"{name} is one of {self._names[name]!r} already"
        self._names.update(dict.fromkeys(names, workflow.name))
        return ""


def _names(workflow: Workflow) -> Iterator[str]:
    for name in declared_by(workflow):
        yield f"schedule {name!r}"
    for trigger in workflow.triggers:
        if isinstance(trigger, Queue):
            yield f"queue {trigger.name!r}"
