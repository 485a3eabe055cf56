"""Workflows created and changed: every change is a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.exporters import export
from tickwork.graph.importers import AUTO, import_document
from tickwork.graph.reading import read_document, read_text
from tickwork.graph.versioning.diff import diff_of, text
from tickwork.graph.versioning.updates import apply_updates
from tickwork.graph.versioning.versions import Head, checksum, document_id
from tickwork.service.documents.checked import checked
from tickwork.service.documents.coded import coded
from tickwork.service.documents.publishing import shown, told
from tickwork.service.documents.reports import created, versioned
from tickwork.service.documents.shelf import line_of
from tickwork.service.documents.surface import Json, Rows, Surface, check_whole

VERSIONS_MAX: Final = 100


class Changing(Surface):
    """What creates and changes workflows."""

    @checked
    async def create(
        self,
        name: str = "",
        steps: Rows | None = None,
        *,
        document: Mapping[str, Any] | str | Document | None = None,
        format: str = AUTO,
        description: str | None = None,
        triggers: Rows | None = None,
        priority: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        draft: bool = False,
        author: str = "",
        note: str = "",
        owner: str = "",
    ) -> Json:
        """Create a workflow of steps, or of a document in any format (plain values, or a JSON or YAML text).

        An equal one of this name is left as it is (``created`` is false then).

        Raises:
            ServiceError: ``INVALID_INPUT_DATA``: every problem of it; or a workflow of this name is another one.
                ``INSUFFICIENT_CREDITS``.
        """
        changes = {"description": description, "triggers": triggers, "priority": priority, "metadata": metadata}
        with coded():
            found, notes, source = self._imported(name, steps, document, format, changes)
            head = self._shelf.head(document_id(owner, found.name))
            if head is not None and head.state != "retired" and not self._is(head, found, draft):
                expected = "another name, or workflow_update: a workflow of this name is another one"
                raise InvalidInput("name", found.name, expected)
            if head is None and self._credits is not None:
                self._compiled.candidate(owner, found, 1)  # what cannot be created costs nothing
                await self._charge(owner, "create", document_id(owner, found.name))
            outcome = await self._publishing.put(
                owner, found, draft=draft, author=author or owner, note=note, format=source,
                expect_version=0 if head is None else None,
            )  # fmt: skip
        return created(outcome.head, outcome.version, outcome.changed, notes, outcome.warnings)

    async def install(self, document: Document, owner: str = "") -> bool:
        """Publish a document that an installation comes with, unless it is what is published; was it not?

        Raises:
            InvalidInput: every problem of it.
        """
        return (await self._publishing.put(owner, document, author="configuration")).changed

    def _is(self, head: Head, document: Document, draft: bool) -> bool:
        base = line_of(self._shelf, head.id).base(draft)
        return base is not None and base.checksum == checksum(document)

    def _imported(
        self,
        name: str,
        steps: Rows | None,
        document: Mapping[str, Any] | str | Document | None,
        format: str,
        changes: Mapping[str, Any],
    ) -> tuple[Document, list[str], str]:
        given = {key: value for key, value in changes.items() if value is not None}
        if steps is not None and document is not None:
            raise InvalidInput("steps", "steps and a document", "one of the two")
        if isinstance(document, Document):
            document, format = document.plain(), "canonical"
        if isinstance(document, str):
            document = read_text(document)
        value: Any = {"name": name, "steps": steps or []} if document is None else document
        if given and isinstance(value, Mapping):
            value = {**value, **given}
        found, source, notes = import_document(value, name=name, format=format, library=self._compiled.library)
        if name and found.name != name:
            found = read_document({**found.plain(), "name": name}, name)
        return found, [str(note) for note in notes], source

    @checked
    async def update(
        self,
        workflow_id: str,
        updates: Mapping[str, Any],
        *,
        expect_version: int | None = None,
        expect_checksum: str | None = None,
        draft: bool = False,
        author: str = "",
        note: str = "",
        owner: str = "",
    ) -> Json:
        """Change a workflow by paths (``graph.versioning.updates``): a new version, told with its diff.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``: every wrong path and value, or it was changed
                meanwhile. Nothing has changed then.
        """
        head = self._publishing.find(owner, workflow_id)
        with coded():
            if not updates:
                raise InvalidInput("updates", "nothing", "an object of paths and values")
            base = line_of(self._shelf, head.id).base(draft)
            assert base is not None
            changed = apply_updates(base.read(), updates, self._compiled.library)
            outcome = await self._publishing.put(
                owner, changed, draft=draft, author=author or owner, note=note, format=base.format,
                expect_version=expect_version, expect_checksum=expect_checksum,
            )  # fmt: skip
        return told(outcome)

    @checked
    async def publish(
        self,
        workflow_id: str,
        version: int | None = None,
        *,
        document: Mapping[str, Any] | str | Document | None = None,
        format: str = AUTO,
        draft: bool = False,
        expect_version: int | None = None,
        expect_checksum: str | None = None,
        author: str = "",
        note: str = "",
        owner: str = "",
    ) -> Json:
        """Publish the newest draft, an older version once more, or a whole new document.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``.
        """
        head = self._publishing.find(owner, workflow_id)
        with coded():
            if document is not None:
                found, _, source = self._imported(head.name, None, document, format, {})
                equals = None
            else:
                number = version if version is not None else head.draft or head.published
                old = self._publishing.version(head, number)
                found, source, equals = old.read(), old.format, number if number != head.last else None
            outcome = await self._publishing.put(
                owner, found, draft=draft, author=author or owner, note=note, format=source, equals=equals,
                expect_version=expect_version, expect_checksum=expect_checksum,
            )  # fmt: skip
        return told(outcome)

    @checked
    async def rollback(
        self, workflow_id: str, version: int, *, author: str = "", note: str = "", owner: str = ""
    ) -> Json:
        """Make a new version equal to an old one; runs keep theirs.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``: no such version.
        """
        return await self.publish(workflow_id, version, author=author, note=note, owner=owner)

    @checked
    async def versions(self, workflow_id: str, limit: int = 50, before: int | None = None, *, owner: str = "") -> Json:
        """A workflow's versions, newest first.

        Args:
            before: only older ones than this.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``.
        """
        head = self._publishing.find(owner, workflow_id)
        with coded():
            check_whole("limit", limit, VERSIONS_MAX)
            if before is not None:
                check_whole("before", before, None)
            newest = head.last if before is None else min(before - 1, head.last)
            numbers = range(newest, max(newest - limit, 0), -1)
            listed = [versioned(self._publishing.version(head, number), head.published) for number in numbers]
        return {
            "workflow_id": head.id, "name": head.name, "versions": listed, "total_count": head.last,
            "current_version": head.published or None, "draft_version": head.draft,
        }  # fmt: skip

    @checked
    async def diff(self, workflow_id: str, old: int | None = None, new: int | None = None, *, owner: str = "") -> Json:
        """What two versions differ in; by default what the newest changed.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``: no such version.
        """
        head = self._publishing.find(owner, workflow_id)
        with coded():
            after = self._publishing.version(head, head.last if new is None else new)
            before = self._publishing.version(head, (after.parent or after.version) if old is None else old)
            changes = diff_of(before.document, after.document)
        return {
            "workflow_id": head.id, "name": head.name, "from_version": before.version, "to_version": after.version,
            "equal": not changes, "changes": shown(changes), "text": text(changes),
        }  # fmt: skip

    @checked
    async def export(
        self, workflow_id: str, format: str = "canonical", version: int | None = None, *, owner: str = ""
    ) -> Json:
        """A version as a document in another form: ``graph.exporters.EXPORTERS``.

        Raises:
            ServiceError: ``WORKFLOW_NOT_FOUND``; ``INVALID_INPUT_DATA``: no such version or format.
        """
        head = self._publishing.find(owner, workflow_id)
        with coded():
            found = self._publishing.version(head, version)
            document = export(found.read(), format, self._compiled.library)
        return {
            "workflow_id": head.id, "name": head.name, "version": found.version, "checksum": found.checksum,
            "format": format, "document": document,
        }  # fmt: skip
