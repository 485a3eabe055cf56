"""A folder's documents, from the command line: published, changed, rolled back.

Versions are kept on a tape. Where a process has it open, that process is asked (``service.documents``), because it must
learn of a new version at once. Where nobody has, the tape is opened for the moment, and nothing is run: what nodes work
with is then asked for when the document is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, TapeError, TapeLocked, Unknown
from tickwork.graph.document import Document
from tickwork.graph.importers import AUTO, Imported
from tickwork.graph.library import library
from tickwork.graph.problems import nearest
from tickwork.graph.versioning.diff import Change, diff
from tickwork.graph.versioning.updates import apply_updates
from tickwork.graph.versioning.versions import (
    DOCUMENT_VIEWS,
    DocumentPublished,
    DocumentState,
    Head,
    Terms,
    Version,
    document_id,
    publish,
)
from tickwork.graph.wiring import plan
from tickwork.service.document_files import STDIN, load
from tickwork.service.documents.shelf import EngineShelf, Shelf, TapeShelf, line_of, version_of
from tickwork.values import from_ns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TAPE: Final = "documents.db"
"""In the home folder."""


class Line(msgspec.Struct, frozen=True, rename="camel"):
    """A document in a line."""

    name: str
    id: str
    version: int
    """The published one; 0: only drafts."""
    versions: int
    state: str
    draft: int | None


class Told(msgspec.Struct, frozen=True, rename="camel"):
    """What came of publishing."""

    name: str
    id: str
    version: int
    status: str
    checksum: str
    changed: bool
    changes: list[str]
    """Against what it builds on, in words."""
    warnings: list[str]


class Store:
    """The documents of a tape."""

    def __init__(self, tape: Path) -> None:
        self._path = tape

    # -- reading --------------------------------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        """All documents, by name."""
        heads = sorted(self._shelf().heads(), key=lambda head: (head.name, head.owner))
        return [Line(head.name, head.id, head.published, head.last, head.state, head.draft) for head in heads]

    def versions(self, name: str) -> list[Version]:
        """A document's versions, newest first.

        Raises:
            InvalidInput: there is no document of this name.
        """
        shelf = self._shelf()
        head = _find(shelf, name)
        return [version_of(shelf, head, number) for number in range(head.last, 0, -1)]

    def diff(self, name: str, old: int | None = None, new: int | None = None) -> tuple[int, int, list[Change]]:
        """What two versions differ in; by default what the newest changed.

        Raises:
            InvalidInput: no such document or version.
        """
        shelf = self._shelf()
        head = _find(shelf, name)
        after = version_of(shelf, head, head.last if new is None else new)
        before = version_of(shelf, head, (after.parent or after.version) if old is None else old)
        return before.version, after.version, diff(before.read(), after.read())

    def document(self, name: str, version: int | None = None) -> Document:
        """A version of a document; by default the published one, or the newest draft.

        Raises:
            InvalidInput: no such document or version.
        """
        shelf = self._shelf()
        head = _find(shelf, name)
        return version_of(shelf, head, version or head.published or head.last).read()

    def has(self, name: str) -> bool:
        """Is there a document of this name or id?"""
        return self._head(name) is not None

    def published(self, name: str) -> Document | None:
        """The published version of the document of this name or id; ``None``: there is none that may be called."""
        head = self._head(name)
        usable = head is not None and head.published and head.state != "retired"
        return self.document(name) if usable else None

    def load(self, source: str, format: str = AUTO, version: int | None = None) -> Imported:
        """A document from a file, stdin (``-``), these documents, or a template: the first that there is.

        Args:
            version: of a published document; by default the published one, or the newest draft.

        Raises:
            InvalidInput: there is none, or no such version of it. InvalidDocument: it cannot be represented.
        """
        if not self._named(source):
            if version is not None:
                raise InvalidInput("--version", version, f"a published document; {source} is none")
            return load(source, format)
        shelf = self._shelf()
        head = _find(shelf, source)
        found = version_of(shelf, head, version or head.published or head.last)
        return Imported(found.read(), "published", [f"{head.name}: version {found.version}, {found.status}"])

    def to_publish(self, source: str) -> Imported:
        """Like ``load``; of one of these documents the newest version, where that is a draft."""
        head = self._head(source) if self._named(source) else None
        return self.load(source, version=None if head is None else head.draft)

    def _named(self, source: str) -> bool:
        """Is it one of these documents that is meant, and not stdin or a file?"""
        try:
            return source != STDIN and not Path(source).exists() and self.has(source)
        except OSError:  # too long for a name of a file: whoever reads it says so
            return False

    def _head(self, name: str) -> Head | None:
        return _head(self._shelf(), name) if self._path.is_file() else None

    def _shelf(self) -> TapeShelf:
        if not self._path.is_file():
            return TapeShelf(())
        names = (DocumentPublished.event_name, DocumentState.event_name)
        return TapeShelf(Queries.open(str(self._path)).events(*names))

    # -- changing -------------------------------------------------------------------------------------------------

    async def publish(self, document: Document, *, draft: bool, note: str, format: str) -> Told:
        """Make a document its next version; an equal one makes none. On return it is on disk.

        Raises:
            InvalidDocument: every problem of it.
        """
        asked = {"document": document.plain(), "draft": draft, "note": note}
        return await self._put(
            lambda shelf: (document, None),
            {"draft": draft, "note": note, "format": format},
            ("documents.create", {"name": document.name, **asked}),
            ("documents.publish", {"workflow_id": document.name, **asked}),
        )

    async def update(self, name: str, updates: Mapping[str, Any], *, draft: bool, note: str) -> Told:
        """Change a document by paths: a new version.

        Raises:
            InvalidInput: no such document; every wrong path and value. Nothing has changed then.
        """

        def change(shelf: Shelf) -> tuple[Document, None]:
            base = line_of(shelf, _find(shelf, name).id).base(draft)
            assert base is not None
            return apply_updates(base.read(), updates, library()), None

        asked = {"workflow_id": name, "updates": dict(updates), "draft": draft, "note": note}
        return await self._put(change, {"draft": draft, "note": note}, ("documents.update", asked))

    async def rollback(self, name: str, version: int, *, note: str) -> Told:
        """Make a new version that is equal to an old one.

        Raises:
            InvalidInput: no such document or version.
        """

        def change(shelf: Shelf) -> tuple[Document, int]:
            head = _find(shelf, name)
            return version_of(shelf, head, version).read(), version

        asked = {"workflow_id": name, "version": version, "note": note}
        return await self._put(change, {"note": note}, ("documents.rollback", asked))

    async def _put(
        self,
        change: Callable[[Shelf], tuple[Document, int | None]],
        terms: dict[str, Any],
        *verbs: tuple[str, dict[str, Any]],
    ) -> Told:
        # what is wrong is found before there is as much as a folder
        plan(change(self._shelf())[0], library(), None)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            async with _opened(self._path) as (engine, shelf):
                document, equals = change(shelf)
                return await _published(engine, shelf, document, {**terms, "equals": equals})
        except TapeLocked:
            return self._asked(verbs)
        except OSError as error:
            raise TapeError(f"the documents cannot be kept in {self._path}: {error.strerror or error}") from None

    def _asked(self, verbs: tuple[tuple[str, dict[str, Any]], ...]) -> Told:
        """Have the process that owns the tape do it: the last verb where the document is there, else the first."""
        verb, arguments = verbs[-1] if self.has(str(verbs[-1][1]["workflow_id"])) else verbs[0]
        try:
            found = ask_owner(str(self._path), verb, **arguments)
        except ConnectionRefusedError:
            raise TapeError(f"another process has {self._path} open and runs no documents: stop it first") from None
        except (ConnectionError, TimeoutError) as error:
            raise Unknown(f"{error}: look (`tickwork graph versions`) before you ask again") from None
        changes = [str(one["text"]) for one in found.get("changes", [])]
        changed = bool(found.get("changed", found.get("created", True)))
        return Told(
            found["name"], found["workflow_id"], found["version"], found["status"], found.get("checksum", ""), changed,
            changes, list(found.get("warnings", [])),
        )  # fmt: skip


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[tuple[Engine, Shelf]]:
    async with Engine(f"sqlite:///{path}", views=DOCUMENT_VIEWS) as engine:
        yield engine, EngineShelf(engine)


async def _published(engine: Engine, shelf: Shelf, document: Document, terms: dict[str, Any]) -> Told:
    """
    Raises:
        InvalidDocument: every problem of it.
    """
    warnings = [str(problem) for problem in plan(document, library(), None).warnings]
    line = line_of(shelf, document_id("", document.name))
    base = line.base(bool(terms.get("draft")))
    event = publish("", document, line, Terms(at=from_ns(engine.clock.now()), **terms))
    if event is None:
        assert base is not None
        return Told(document.name, base.id, base.version, base.status, base.checksum, False, [], warnings)
    await engine.emit(event)
    changes = [] if base is None else [str(one) for one in diff(base.read(), document)]
    return Told(document.name, event.id, event.version, event.status, event.checksum, True, changes, warnings)


def _head(shelf: Shelf, name: str) -> Head | None:
    return shelf.head(name) or shelf.head(document_id("", name))


def _find(shelf: Shelf, name: str) -> Head:
    head = _head(shelf, name)
    if head is None:
        known = [one.name for one in shelf.heads()]
        raise InvalidInput("document", name, f"the name or id of a published document: {nearest(name, known)}")
    return head
