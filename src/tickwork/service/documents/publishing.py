"""Publishing documents on an open engine: a version is on the tape before anything of it runs.

What an engine would refuse is found before the version's event is posted, and event and workflow come to be between
two turns: a tape holds no published version that the engine could not be opened with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, ServiceError
from tickwork.graph.compiling import DocumentWorkflow
from tickwork.graph.document import Document
from tickwork.graph.versioning.diff import Change, diff_of
from tickwork.graph.versioning.versions import (
    DocumentPublished,
    DocumentState,
    Head,
    State,
    Terms,
    Version,
    document_id,
    named,
    publish,
    workflow_name,
)
from tickwork.service.documents.coded import WORKFLOW_NOT_FOUND
from tickwork.service.documents.compiled import Compiled
from tickwork.service.documents.keeping import let_go
from tickwork.service.documents.opening import arm, disarm
from tickwork.service.documents.shelf import Shelf, line_of, version_of
from tickwork.values import from_ns


class Outcome(NamedTuple):
    """What publishing came to."""

    head: Head
    version: Version
    """The new one; where nothing changed, the one that it is already."""
    changed: bool
    changes: list[Change]
    """Against what it builds on."""
    warnings: list[str]


class Publishing:
    """Keeps versions of documents and gives them to the engine."""

    def __init__(self, engine: Engine, shelf: Shelf, compiled: Compiled) -> None:
        self._engine = engine
        self._shelf = shelf
        self._compiled = compiled

    def find(self, owner: str, workflow_id: str) -> Head:
        """An owner's document by id or name.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; also for another owner's.
        """
        text = workflow_id if isinstance(workflow_id, str) else ""
        head = self._shelf.head(text) or self._shelf.head(document_id(owner, text))
        if head is None or head.owner != owner:
            raise ServiceError(WORKFLOW_NOT_FOUND, f"no workflow has the id {text!r}", {"workflow_id": text})
        return head

    def version(self, head: Head, number: int | None = None) -> Version:
        """A version of a document; by default the one that takes triggers, or the newest where all are drafts.

        Raises:
            InvalidInput: there is none of this number.
        """
        return version_of(self._shelf, head, head.published or head.last if number is None else number)

    async def open(self) -> None:
        """Let the workflows rest that were given to the engine without their triggers."""
        for workflow in list(self._compiled.all()):
            head = self._head_of(workflow)
            if head is not None and workflow.triggers != workflow.plan.triggers:
                await self._engine.retire(workflow.name)

    def _head_of(self, workflow: DocumentWorkflow) -> Head | None:
        """The document that a workflow is the published version of."""
        whose = named(workflow.name)
        head = None if whose is None or whose.test else self._shelf.head(whose.id)
        return head if head is not None and head.published == workflow.version else None

    # -- versions -------------------------------------------------------------------------------------------------

    async def put(self, owner: str, document: Document, *, draft: bool = False, **told: Any) -> Outcome:
        """Publish a document; on return it is on disk, and takes triggers unless it is a draft or paused.

        Args:
            told: other fields of ``Terms``.

        Raises:
            InvalidInput: the document, or a condition that does not hold. Nothing has changed then.
        """
        terms = Terms(at=from_ns(self._engine.clock.now()), draft=draft, **told)
        line = line_of(self._shelf, document_id(owner, document.name))
        base = line.base(draft)
        event = publish(owner, document, line, terms)
        if event is None:
            assert line.head is not None and base is not None
            if line.head.state == "retired" and not draft:
                await self.change(line.head, "active", terms.author, terms.note)
            return Outcome(self._again(line.head), base, False, [], [])
        workflow = self._candidate(owner, document, event)
        if event.status == "published":
            await self._take_over(workflow, event, resting=line.head is not None and line.head.state == "paused")
        else:
            await self._engine.emit(event)
        head = self._shelf.head(event.id)
        assert head is not None
        let_go(self._engine, self._compiled, head)
        changes = [] if base is None else diff_of(base.document, event.document)
        warnings = [str(problem) for problem in workflow.plan.warnings]
        return Outcome(head, self.version(head, event.version), True, changes, warnings)

    def _candidate(self, owner: str, document: Document, event: DocumentPublished) -> DocumentWorkflow:
        """
        Raises:
            InvalidDocument: it could not run here.
        """
        self._compiled.check_calls(owner, document)
        workflow = self._compiled.candidate(owner, document, event.version)
        if event.status == "published":
            self._engine.registry.fits(workflow)
        return workflow

    async def _take_over(self, workflow: DocumentWorkflow, event: DocumentPublished, resting: bool) -> None:
        if resting:
            disarm(workflow)
        self._compiled.keep(workflow)
        self._engine.post(event)
        await self._engine.add(workflow)
        if resting:
            await self._engine.retire(workflow.name)

    # -- states ---------------------------------------------------------------------------------------------------

    async def change(self, head: Head, state: State, author: str = "", note: str = "") -> Head:
        """Let a document take triggers, or rest, or retire; on return that is on disk.

        Raises:
            InvalidInput: it is to take triggers and cannot.
        """
        if head.state == state:
            return head
        name = workflow_name(head.owner, head.name)
        workflow = self._compiled.find(name, head.published)
        if state == "active" and head.published:
            workflow = self._armed(head)
        at = from_ns(self._engine.clock.now())
        self._engine.post(DocumentState(id=head.id, state=state, author=author, note=note, at=at))
        if workflow is not None and state == "active":
            await self._engine.add(workflow)
        elif workflow is not None and self._engine.registry.has(workflow):
            await self._engine.retire(name)
        await self._engine.durable()
        return self._again(head)

    def _armed(self, head: Head) -> DocumentWorkflow:
        workflow = self._compiled.get(head, head.published)
        arm(workflow)
        try:
            self._engine.registry.fits(workflow)
        except InvalidInput:
            disarm(workflow)
            raise
        return workflow

    def _again(self, head: Head) -> Head:
        found = self._shelf.head(head.id)
        assert found is not None
        return found

    def armed(self, head: Head) -> bool:
        """Do its triggers start runs?"""
        workflow = self._compiled.find(workflow_name(head.owner, head.name), head.published)
        ready = workflow is not None and workflow.triggers == workflow.plan.triggers
        return ready and head.state == "active"


def told(outcome: Outcome) -> dict[str, Any]:
    """What whoever changed a document hears."""
    return {
        "success": True,
        "workflow_id": outcome.head.id,
        "name": outcome.head.name,
        "version": outcome.version.version,
        "status": outcome.version.status,
        "checksum": outcome.version.checksum,
        "changed": outcome.changed,
        "previous_version": outcome.version.parent if outcome.changed else outcome.version.version,
        "changes": shown(outcome.changes),
        "warnings": outcome.warnings,
    }


def shown(changes: list[Change]) -> list[Mapping[str, Any]]:
    """Changes for programs and people."""
    return [
        {"kind": one.kind, "path": one.path, "before": one.before, "after": one.after, "text": str(one)}
        for one in changes
    ]
