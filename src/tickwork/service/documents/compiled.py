"""Versions of documents as workflows of the engine: compiled once, for real and in test mode."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput
from tickwork.graph.compiling import DocumentWorkflow, compile_document
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.problems import nearest
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import Head, document_id, named, workflow_name
from tickwork.service.documents.shelf import Shelf

WORKFLOWS: Final = "workflows"

CALLS: Final = ("workflow_id", "workflow")
"""Params of nodes that call another workflow (``subprocess``)."""


class Compiled:
    """Compiles documents, each for its owner.

    Args:
        sources: what nodes work with.
        test_sources: the same in test mode: with a paper account, whatever the mode. ``None``: there is no test mode.
    """

    def __init__(self, shelf: Shelf, library: Library, sources: Sources, test_sources: Sources | None = None) -> None:
        self.shelf = shelf
        self.library = library
        self._sources = sources
        self._test_sources = test_sources
        self._made: dict[tuple[str, int], DocumentWorkflow] = {}
        self._making: list[str] = []
        """Names of what is being compiled, each called by the one before."""

    @property
    def can_test(self) -> bool:
        """Is there a paper account?"""
        return self._test_sources is not None and self._test_sources.get("trader") is not None

    def find(self, name: str, version: int) -> DocumentWorkflow | None:
        """One that was compiled before, by the engine's name."""
        return self._made.get((name, version))

    def all(self) -> Iterable[DocumentWorkflow]:
        """Everything that was compiled."""
        return self._made.values()

    def keep(self, workflow: DocumentWorkflow) -> None:
        """Remember a candidate that is a version now."""
        self._made[workflow.name, workflow.version] = workflow

    def get(self, head: Head, number: int, test: bool = False) -> DocumentWorkflow:
        """A version of a document; in test mode nothing triggers it.

        Raises:
            InvalidInput: it is no longer a valid document here, or it calls itself.
        """
        key = (workflow_name(head.owner, head.name, test), number)
        found = self._made.get(key)
        if found is None:
            version = self.shelf.version(head.id, number)
            if version is None:
                raise InvalidInput("version", number, f"a version of {head.name!r}: 1 to {head.last}")
            document = version.read()
            found = self._made[key] = self.candidate(head.owner, document, number, test)
            if test:
                self._get_called(head.owner, document)
        return found

    def _get_called(self, owner: str, document: Document) -> None:
        """In test mode: the engine must know the workflows that it calls, before it does."""
        for head in self._called(owner, document):
            with suppress(InvalidInput):  # it says so itself when it is called
                self.get(head, head.published, test=True)

    def _called(self, owner: str, document: Document) -> Iterable[Head]:
        for node in document.nodes:
            for name in (node.params.get(param) for param in CALLS):
                head = self.find_called(owner, name) if isinstance(name, str) else None
                if head is not None:
                    yield head

    def find_called(self, owner: str, name: str) -> Head | None:
        """The document that an owner's may call by this name or id."""
        head = self.shelf.head(name) or self.shelf.head(document_id(owner, name))
        callable = head is not None and head.owner == owner and head.published and head.state != "retired"
        return head if callable else None

    def check_calls(self, owner: str, document: Document) -> None:
        """
        Raises:
            InvalidInput: in the end it calls itself: its runs would never end.
        """
        own, left, seen = document_id(owner, document.name), [document], set[str]()
        while left:
            for head in self._called(owner, left.pop()):
                if head.id == own:
                    expected = "workflows that do not call this one in turn"
                    raise InvalidInput(CALLS[0], f"{head.name}, which calls {document.name!r} in the end", expected)
                version = self.shelf.version(head.id, head.published)
                if version is not None and head.id not in seen:
                    seen.add(head.id)
                    left.append(version.read())

    def candidate(self, owner: str, document: Document, number: int, test: bool = False) -> DocumentWorkflow:
        """What would be a version of a document, compiled and not kept.

        Raises:
            InvalidDocument: every problem of the document. InvalidInput: it calls itself.
        """
        name = workflow_name(owner, document.name, test)
        if name in self._making:
            raise InvalidInput(document.name, "a call of itself, in the end", "workflows that do not call each other")
        self._making.append(name)
        try:
            sources = self._of(owner, test)
            return compile_document(
                document, library=self.library, sources=sources, version=number, name=name, armed=not test
            )
        finally:
            self._making.pop()

    def for_reading(self, name: str, number: int) -> DocumentWorkflow:
        """A version by the engine's name, good for reading what its runs did; it may not be able to run here.

        Raises:
            InvalidInput: not even that.
        """
        whose = named(name)
        head = None if whose is None else self.shelf.head(whose.id)
        version = None if head is None else self.shelf.version(head.id, number)
        if whose is None or head is None or version is None:
            raise InvalidInput("workflow", f"{name} version {number}", "a version of a document on this tape")
        try:
            return self.get(head, number, whose.test)
        except InvalidInput:
            return compile_document(
                version.read(), library=self.library, sources=None, version=number, name=name, armed=False
            )

    def _of(self, owner: str, test: bool) -> Sources:
        sources = self._test_sources if test else self._sources
        if sources is None:
            raise InvalidInput("test_mode", "no paper account", "a paper account: configure one for test mode")
        return _Own(sources, Callables(self, owner, test, sources.get(WORKFLOWS)))


class Callables:
    """The workflows that an owner's documents may call: in test mode their variants in test mode."""

    def __init__(self, compiled: Compiled, owner: str, test: bool, more: Any) -> None:
        self._compiled = compiled
        self._owner = owner
        self._test = test
        self._more = more

    def get(self, name: str) -> Workflow:
        """The newest published version by name or id.

        Raises:
            InvalidInput: there is none; names the nearest.
        """
        head = self._compiled.find_called(self._owner, name)
        if head is not None:
            return self._compiled.get(head, head.published, self._test)
        if self._more is not None:
            found: Workflow = self._more.get(name)
            return found
        known = [one.name for one in self._compiled.shelf.heads() if one.owner == self._owner and one.published]
        raise InvalidInput("workflow", name, f"the name or id of a published workflow: {nearest(name, known)}")


class _Own(Sources):
    """An installation's sources with an owner's workflows among them."""

    def __init__(self, sources: Sources, workflows: Callables) -> None:
        super().__init__({WORKFLOWS: workflows})
        self._sources = sources

    def get(self, name: str) -> Any:
        """The source, or ``None`` where it is not configured."""
        return super().get(name) or self._sources.get(name)
