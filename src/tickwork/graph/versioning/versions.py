"""Versions of documents, on the tape: published, never changed, one after the other.

A document is known by owner and name, of which its id is made. Publishing it anew makes the next version; one equal to
the newest makes none. A *draft* is a version that takes no triggers and runs by hand in test mode only, until it is
published. To roll back is to publish an old version once more. Runs keep the version they started with.

The events are the truth; two views fold them: one row for the head of each document, one for each version.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

import msgspec

from tickwork.core.event import Event
from tickwork.core.run import NAME_MAX
from tickwork.core.view import View, view
from tickwork.errors import Conflict, InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.reading import read_document

DOCUMENT_MAX: Final = 900_000
"""Bytes of a document's canonical JSON: with what a version says of it, it must fit a value of the tape (1 MiB)."""

WORDS_MAX: Final = 1_000
"""Characters of an author, a note, a format."""

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "tickwork:document")

State = Literal["active", "paused", "retired"]


def canonical(document: Document) -> bytes:
    """The canonical JSON, with sorted keys: equal for equal documents.

    Raises:
        InvalidInput: too large for the tape, or it holds a value that JSON has no form for.
    """
    try:
        data = msgspec.json.encode(document.plain(), order="sorted")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            document.name, str(error), "values that JSON can hold, integers of at most 64 bits"
        ) from None
    if len(data) > DOCUMENT_MAX:
        raise InvalidInput(document.name, f"{len(data):,} bytes of JSON", f"at most {DOCUMENT_MAX:,}")
    return data


def checksum(document: Document) -> str:
    """SHA-256 of the canonical JSON.

    Raises:
        InvalidInput: as ``canonical``.
    """
    return hashlib.sha256(canonical(document)).hexdigest()


def document_id(owner: str, name: str) -> str:
    """The id of the document of a name: a UUID made of owner and name."""
    return str(uuid.uuid5(_NAMESPACE, msgspec.json.encode([owner, name]).decode()))


# ------------------------------------------------------------------------------------------------------ engine's names

PREFIX: Final = "doc/"
"""What names of the workflows of documents begin with, so that none is a name of a workflow in code."""

TEST: Final = "@test"
"""What names of their variants in test mode end with."""


class Named(NamedTuple):
    """Whose a workflow of the engine is."""

    owner: str
    name: str
    test: bool

    @property
    def id(self) -> str:
        """The document's id."""
        return document_id(self.owner, self.name)


def workflow_name(owner: str, name: str, test: bool = False) -> str:
    """Under which name the engine knows a document: readable, and different for different documents."""
    whose = f"{_escaped(owner)}/" if owner else ""
    return f"{PREFIX}{whose}{_escaped(name)}{TEST if test else ''}"


def named(workflow: str) -> Named | None:
    """Which document a workflow of the engine is; ``None``: it is none."""
    if not workflow.startswith(PREFIX):
        return None
    bare = workflow.removeprefix(PREFIX)
    test = bare.endswith(TEST)
    owner, _, name = bare.removesuffix(TEST).rpartition("/")
    return Named(unquote(owner), unquote(name), test)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


_ESCAPES: Final = {ord(sign): f"%{ord(sign):02X}" for sign in "%/@"}


# -------------------------------------------------------------------------------------------------------------- events


class DocumentPublished(Event, name="tickwork/document.published"):
    """A version of a document: a new one, or a draft that is published now."""

    id: str
    name: str
    owner: str
    version: int
    """From 1, one after the other."""
    status: Literal["draft", "published"]
    document: dict[str, Any]
    """The canonical form."""
    checksum: str
    parent: int | None = None
    """The version it was made from."""
    equals: int | None = None
    """The older version that this one rolls back to."""
    author: str = ""
    note: str = ""
    format: str = ""
    """What it was imported from."""
    at: datetime


class DocumentState(Event, name="tickwork/document.state"):
    """A document takes triggers (``active``), rests (``paused``), or is no longer executed at all (``retired``)."""

    id: str
    state: State
    author: str = ""
    note: str = ""
    at: datetime


# --------------------------------------------------------------------------------------------------------------- views


class Head(msgspec.Struct, frozen=True):
    """How a document stands."""

    id: str
    name: str
    owner: str
    last: int
    """Its newest version, draft or not."""
    published: int
    """The version that takes triggers; 0: all are drafts."""
    checksum: str
    """Of the newest version."""
    state: State
    created_at: datetime
    changed_at: datetime
    reason: str = ""
    """Why it is paused or retired."""

    @property
    def draft(self) -> int | None:
        """The newest version, where that is a draft."""
        return self.last if self.last != self.published else None


class Version(msgspec.Struct, frozen=True):
    """One version."""

    id: str
    name: str
    owner: str
    version: int
    status: Literal["draft", "published"]
    document: dict[str, Any]
    checksum: str
    parent: int | None
    equals: int | None
    author: str
    note: str
    format: str
    at: datetime
    """When it was made."""
    published_at: datetime | None

    def read(self) -> Document:
        """The document.

        Raises:
            InvalidDocument: this tickwork no longer takes what an older one wrote.
        """
        return read_document(self.document, self.name)


def version_key(id: str, version: int) -> str:
    """The key of a version in ``document_versions``."""
    return f"{id}@{version}"


@view("documents", on=(DocumentPublished, DocumentState), key=lambda event: str(event.id))
def documents(head: Head | None, event: DocumentPublished | DocumentState) -> Head | None:
    """The head of each document, by id."""
    if isinstance(event, DocumentState):
        if head is None:
            return None
        return msgspec.structs.replace(head, state=event.state, changed_at=event.at, reason=event.note)
    published = event.version if event.status == "published" else 0
    if head is None:
        return Head(
            event.id, event.name, event.owner, event.version, published, event.checksum, "active", event.at, event.at
        )
    return msgspec.structs.replace(
        head,
        last=max(head.last, event.version),
        published=max(head.published, published),
        checksum=event.checksum if event.version >= head.last else head.checksum,
        state="active" if published and head.state == "retired" else head.state,
        changed_at=event.at,
    )


@view("document-versions", on=DocumentPublished, key=lambda event: version_key(event.id, event.version))
def document_versions(known: Version | None, event: DocumentPublished) -> Version | None:
    """Each version, by id and version."""
    published_at = event.at if event.status == "published" else None
    if known is not None:
        return msgspec.structs.replace(known, status=event.status, published_at=known.published_at or published_at)
    return Version(
        event.id, event.name, event.owner, event.version, event.status, event.document, event.checksum, event.parent,
        event.equals, event.author, event.note, event.format, event.at, published_at,
    )  # fmt: skip


DOCUMENT_VIEWS: Final[tuple[View, ...]] = (documents, document_versions)
"""What an engine that keeps documents must be given."""


# ------------------------------------------------------------------------------------------------------ what comes next


class Line(NamedTuple):
    """A document so far: its head, its newest version and the one that takes triggers, which may be the same."""

    head: Head | None = None
    newest: Version | None = None
    current: Version | None = None

    def base(self, draft: bool) -> Version | None:
        """What a change builds on: of drafts the newest version, else the published one where there is one."""
        return self.newest if draft else self.current or self.newest


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Who publishes, why, and on what condition."""

    at: datetime
    author: str = ""
    note: str = ""
    format: str = ""
    draft: bool = False
    equals: int | None = None
    """The older version that it rolls back to."""
    expect_version: int | None = None
    """Only if it builds on this version; 0: only if the document is new."""
    expect_checksum: str | None = None
    """Only if what it builds on has this checksum."""


def publish(owner: str, document: Document, line: Line, terms: Terms) -> DocumentPublished | None:
    """What publishing a document makes of it: its next version, its draft published, or, where it is that already,
    nothing.

    Raises:
        InvalidInput: a condition of ``terms`` does not hold, or the document cannot be kept.
    """
    base = line.base(terms.draft)
    _check_expected(base, terms)
    _check_words(owner, document, terms)
    found = checksum(document)
    if base is not None and base.checksum == found and (terms.draft or base.status == "published"):
        return None
    if line.newest is not None and line.newest.checksum == found and line.newest.status == "draft":
        return promotion(line.newest, terms)
    return DocumentPublished(
        id=document_id(owner, document.name),
        name=document.name,
        owner=owner,
        version=1 if line.head is None else line.head.last + 1,
        status="draft" if terms.draft else "published",
        document=document.plain(),
        checksum=found,
        parent=None if base is None else base.version,
        equals=terms.equals,
        author=terms.author,
        note=terms.note,
        format=terms.format,
        at=terms.at,
    )


def promotion(draft: Version, terms: Terms) -> DocumentPublished:
    """The newest version, a draft, takes triggers from now on."""
    told = {name: getattr(draft, name) for name in DocumentPublished.model_fields if name not in ("status", "at")}
    return DocumentPublished(**told, status="published", at=terms.at)


class Outdated(Conflict):
    """A change to a version of a document that is no longer the one to build on."""

    current: int = 0
    """The version that is."""

    def __init__(self, path: str, found: object, expected: str, current: int = 0) -> None:
        super().__init__(path, found, expected)
        self.current = current


def _check_expected(base: Version | None, terms: Terms) -> None:
    version, known = (0, "") if base is None else (base.version, base.checksum)
    if terms.expect_version is not None and terms.expect_version != version:
        expected = f"{version}, on which the change would build: look at what was changed meanwhile"
        raise Outdated("expect_version", terms.expect_version, expected, version)
    if terms.expect_checksum is not None and terms.expect_checksum != known:
        expected = f"{known or 'none'}, of version {version}: look at what was changed meanwhile"
        raise Outdated("expect_checksum", terms.expect_checksum, expected, version)


def _check_words(owner: str, document: Document, terms: Terms) -> None:
    for name, text in (("name", document.name), ("owner", owner)):
        if not text.isprintable() or text != text.strip():
            raise InvalidInput(name, text, "a printable text without spaces at its ends")
    if len(workflow_name(owner, document.name, test=True)) > NAME_MAX:
        raise InvalidInput("name", document.name, f"a name that is, with its owner's, shorter than {NAME_MAX} signs")
    told = {"author": terms.author, "note": terms.note, "format": terms.format}
    for name, text in told.items():
        if len(text) > WORDS_MAX:
            raise InvalidInput(name, f"{len(text):,} characters", f"at most {WORDS_MAX:,}")
