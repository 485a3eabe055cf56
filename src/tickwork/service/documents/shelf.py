"""Where documents are read: from the views of an open engine, or from a tape that is not open yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tickwork.core.tape import Entry
from tickwork.engines.embedded.engine import Engine
from tickwork.graph.versioning.versions import (
    DocumentPublished,
    DocumentState,
    Head,
    Line,
    Version,
    document_versions,
    documents,
    version_key,
)


class Shelf(Protocol):
    """Heads and versions of documents."""

    def heads(self) -> Iterable[Head]:
        """All of them."""
        ...

    def head(self, id: str) -> Head | None:
        """The head of a document."""
        ...

    def version(self, id: str, number: int) -> Version | None:
        """A version of a document."""
        ...


class EngineShelf:
    """The documents of an open engine, as of now.

    Raises:
        InvalidInput: the engine was not given ``graph.versioning.versions.DOCUMENT_VIEWS``.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        engine.items(documents)
        engine.items(document_versions)

    def heads(self) -> Iterable[Head]:
        """All of them."""
        return self._engine.items(documents).values()

    def head(self, id: str) -> Head | None:
        """The head of a document."""
        found: Head | None = self._engine.read(documents, id)
        return found

    def version(self, id: str, number: int) -> Version | None:
        """A version of a document."""
        found: Version | None = self._engine.read(document_versions, version_key(id, number))
        return found


class TapeShelf:
    """The documents that events tell of, in tape order."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._heads: dict[str, Head] = {}
        self._versions: dict[str, Version] = {}
        for entry in entries:
            record = entry.record
            if record.due or not bytes(record.value):
                continue
            kind = DocumentPublished if record.name == DocumentPublished.event_name else DocumentState
            self._fold(kind.read(record.version, bytes(record.value)))

    @classmethod
    def of(cls, events: Iterable[DocumentPublished]) -> TapeShelf:
        """Documents that are not on a tape yet."""
        found = cls(())
        for event in events:
            found._fold(event)
        return found

    def _fold(self, event: DocumentPublished | DocumentState) -> None:
        head = documents.fold(self._heads.get(event.id), event)
        if head is not None:
            self._heads[event.id] = head
        if isinstance(event, DocumentPublished):
            key = document_versions.key(event)
            self._versions[key] = document_versions.fold(self._versions.get(key), event)

    def heads(self) -> Iterable[Head]:
        """All of them."""
        return self._heads.values()

    def head(self, id: str) -> Head | None:
        """The head of a document."""
        return self._heads.get(id)

    def version(self, id: str, number: int) -> Version | None:
        """A version of a document."""
        return self._versions.get(version_key(id, number))


def line_of(shelf: Shelf, id: str) -> Line:
    """A document so far."""
    head = shelf.head(id)
    if head is None:
        return Line()
    current = shelf.version(id, head.published) if head.published else None
    return Line(head, shelf.version(id, head.last), current)
