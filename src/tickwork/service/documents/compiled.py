"""Versions of documents as workflows of the engine: compiled once, for real and in test mode."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput
from tickwork.graph.compiling import DocumentWorkflow, compile_document
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.problems import nearest
from tickwork.graph.sources import Sources
from tickwork.graph.versioning.versions import Head, document_id, named, workflow_name
from tickwork.service.documents.calls import EngineCalls
from tickwork.service.documents.shelf import Shelf, version_of

WORKFLOWS: Final = "workflows"

READ_MAX: Final = 100
"""Versions that are compiled for reading only and remembered: the last that were read."""


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
        self.calls = EngineCalls()
        self._made: dict[str, dict[int, DocumentWorkflow]] = {}
        """By the engine's name and the version."""
        self._read: OrderedDict[tuple[str, int], DocumentWorkflow] = OrderedDict()
        """What was read last, of what does not run."""
        self._held: Counter[tuple[str, int]] = Counter()
        self._making: list[str] = []
        """Names of what is being compiled, each called by the one before."""

    @property
    def can_test(self) -> bool:
        """Is there a paper account?"""
        return self._test_sources is not None and self._test_sources.get("trader") is not None

    def find(self, name: str, version: int) -> DocumentWorkflow | None:
        """One that was compiled before, by the engine's name."""
        return self._made.get(name, {}).get(version)

    def all(self) -> Iterable[DocumentWorkflow]:
        """Everything that was compiled, to run."""
        return [workflow for versions in self._made.values() for workflow in versions.values()]

    def versions(self, name: str) -> list[DocumentWorkflow]:
        """The same, of one of the engine's names."""
        return list(self._made.get(name, {}).values())

    def keep(self, workflow: DocumentWorkflow) -> None:
        """Remember a candidate that is a version now."""
        self._made.setdefault(workflow.name, {})[workflow.version] = workflow

    def forget(self, workflow: DocumentWorkflow) -> None:
        """Compile it again when it is needed again."""
        versions = self._made.get(workflow.name, {})
        versions.pop(workflow.version, None)
        if not versions:
            self._made.pop(workflow.name, None)

    @contextmanager
    def held(self, workflow: DocumentWorkflow) -> Iterator[None]:
        """Somebody is about to start it: meanwhile it is not to be let go."""
        key = (workflow.name, workflow.version)
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    def is_held(self, workflow: DocumentWorkflow) -> bool:
        """Is somebody about to start it?"""
        return (workflow.name, workflow.version) in self._held

    def get(self, head: Head, number: int, test: bool = False) -> DocumentWorkflow:
        """A version of a document; in test mode nothing triggers it.

        Raises:
            InvalidInput: it is no longer a valid document here, or it calls itself.
        """
        found = self.find(workflow_name(head.owner, head.name, test), number)
        if found is None:
            version = version_of(self.shelf, head, number)
            found = self.candidate(head.owner, version.read(), number, test)
            self.keep(found)
            if test:
                self.called_in_test(found)
        return found

    def called_in_test(self, workflow: DocumentWorkflow) -> list[DocumentWorkflow]:
        """What a document calls in test mode, and what that calls: the engine must know them before they are called."""
        whose = named(workflow.name)
        owner = "" if whose is None else whose.owner
        found: dict[str, DocumentWorkflow] = {}
        left = [workflow]
        while left:
            for head in self._called(owner, left.pop().plan.document):
                if head.id not in found:
                    with suppress(InvalidInput):  # it says so itself when it is called
                        found[head.id] = self.get(head, head.published, test=True)
                        left.append(found[head.id])
        return list(found.values())

    def _called(self, owner: str, document: Document) -> Iterable[Head]:
        """Those that a document calls by names that it says itself."""
        for node in document.nodes:
            type = self.library.find(node.type)
            if type is None or not type.calls:
                continue
            for name in (type.calls, *type.params[type.calls].aliases):
                called = node.params.get(name)
                head = self.find_called(owner, called) if isinstance(called, str) else None
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
                    found = f"{head.name}, which calls {document.name!r} in the end"
                    raise InvalidInput("workflow_id", found, expected)
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
                document, library=self.library, sources=sources, version=number, name=name, armed=not test, owner=owner
            )
        finally:
            self._making.pop()

    def for_reading(self, name: str, number: int) -> DocumentWorkflow:
        """A version by the engine's name, good for reading what its runs did; it may not be able to run here.

        Raises:
            InvalidInput: not even that.
        """
        whose = named(name)
        made = self.find(name, number) or self._read.get((name, number))
        if made is not None:
            return made
        head = None if whose is None else self.shelf.head(whose.id)
        version = None if head is None else self.shelf.version(head.id, number)
        if whose is None or head is None or version is None:
            raise InvalidInput("workflow", f"{name} version {number}", "a version of a document on this tape")
        document = version.read()
        try:
            found = self.candidate(head.owner, document, number, whose.test)
        except InvalidInput:
            found = compile_document(
                document, library=self.library, sources=None, version=number, name=name, armed=False
            )
        self._read[name, number] = found
        if len(self._read) > READ_MAX:
            self._read.popitem(last=False)
        return found

    def _of(self, owner: str, test: bool) -> Sources:
        sources = self._test_sources if test else self._sources
        if sources is None:
            raise InvalidInput("test_mode", "no paper account", "a paper account: configure one for test mode")
        return _Own(sources, Callables(self, owner, test, sources.get(WORKFLOWS)), self.calls)


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
        known = [one.name for one in self._compiled.shelf.heads_of(self._owner) if one.published]
        here = "a workflow that is published here, or given beside this one (--with)"
        raise InvalidInput("workflow", name, f"the name or id of {here}: {nearest(name, known)}")


class _Own(Sources):
    """An installation's sources with an owner's workflows among them."""

    def __init__(self, sources: Sources, workflows: Callables, calls: EngineCalls) -> None:
        super().__init__({WORKFLOWS: workflows, EngineCalls.source_name: calls})
        self._sources = sources

    def get(self, name: str) -> Any:
        """The source, or ``None`` where it is not configured."""
        return super().get(name) or self._sources.get(name)
