"""Where documents are read: from the views of an open engine, or from a tape that is not open yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tickwork.core.tape import Entry
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput
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

    def heads_of(self, owner: str) -> Iterable[Head]:
        """Those of an owner."""
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
        self._owned: dict[str, dict[str, None]] = {}
        """Of each owner the ids."""
        for head in engine.items(documents).values():
            self._note(head)
        engine.items(document_versions)

    def heads(self) -> Iterable[Head]:
        """All of them."""
        return self._engine.items(documents).values()

    def heads_of(self, owner: str) -> Iterable[Head]:
        """Those of an owner that were there when it was opened, or were asked for since, as whatever publishes does."""
        found = (self.head(id) for id in list(self._owned.get(owner, ())))
        return [head for head in found if head is not None]

    def head(self, id: str) -> Head | None:
        """The head of a document."""
        found: Head | None = self._engine.read(documents, id)
        if found is not None:
            self._note(found)
        return found

    def _note(self, head: Head) -> None:
        self._owned.setdefault(head.owner, {})[head.id] = None

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

    def heads_of(self, owner: str) -> Iterable[Head]:
        """Those of an owner."""
        return [head for head in self._heads.values() if head.owner == owner]

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


def version_of(shelf: Shelf, head: Head, number: int) -> Version:
    """A version of a document by its number.

    Raises:
        InvalidInput: there is none.
    """
    found = shelf.version(head.id, number) if type(number) is int else None
    if found is None:
        raise InvalidInput("version", number, f"a version of {head.name!r}: 1 to {head.last}")
    return found
