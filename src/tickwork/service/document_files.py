"""Documents in files, as the command line handles them: read in any format, checked, written in any format."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tickwork.core.language.lookup import kind_of
from tickwork.errors import InvalidInput
from tickwork.graph import templates
from tickwork.graph.document import Document
from tickwork.graph.exporters import exported
from tickwork.graph.importers import AUTO, Imported, import_document
from tickwork.graph.library import Library, library
from tickwork.graph.problems import Problem, nearest
from tickwork.graph.reading import MAX_TEXT, read_text
from tickwork.graph.sources import Sources
from tickwork.graph.wiring import check

_BYTES_MAX: Final = 4 * MAX_TEXT
"""A character of UTF-8 takes up to four."""

STDIN: Final = "-"


class Checked(msgspec.Struct, frozen=True, rename="camel"):
    """What came of checking a document."""

    document: str
    """Its name."""
    format: str
    nodes: int
    errors: list[Problem]
    warnings: list[Problem]
    notes: list[str]
    """What the importer took to mean something else than it may seem."""

    @property
    def valid(self) -> bool:
        """May it run?"""
        return not self.errors


def text_of(source: str) -> str:
    """What a file, or stdin for ``-``, holds.

    Raises:
        InvalidInput: it cannot be read, is too large, or is no text in UTF-8.
    """
    try:
        if source == STDIN:
            data = sys.stdin.buffer.read(_BYTES_MAX + 1)
        else:
            with Path(source).open("rb") as file:
                data = file.read(_BYTES_MAX + 1)
    except OSError as error:
        known = f"a file, or a template: {nearest(source, templates.names())}"
        raise InvalidInput("document", f"{source} ({error.strerror})", known) from None
    if len(data) > _BYTES_MAX:
        raise InvalidInput(source, f"more than {MAX_TEXT:,} characters", f"at most {MAX_TEXT:,}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(source, f"byte {error.start} is no UTF-8", "a text in UTF-8") from None


def load(source: str, format: str = AUTO, name: str = "") -> Imported:
    """A document from a file in any format, from stdin (``-``), or a template by name.

    Raises:
        InvalidInput: no such file or template; not YAML or JSON; no format that is known.
        InvalidDocument: everything in it that its importer cannot represent.
    """
    if source in templates.names() and not Path(source).exists():
        return Imported(templates.read(source), "template", [])
    named = name or (Path(source).stem if source != STDIN else "document")
    value = read_text(text_of(source), source)
    if not isinstance(value, Mapping):
        raise InvalidInput(source, kind_of(value), "an object with a name and nodes")
    return import_document(value, name=named, format=format, library=library())


def checked(imported: Imported, sources: Sources | None = None, known: Library | None = None) -> Checked:
    """All problems of a document. Without ``sources`` nobody asks whether what its nodes need is configured."""
    document = imported.document
    problems = check(document, known or library(), sources)
    return Checked(
        document.name,
        imported.format,
        len(document.nodes),
        [problem for problem in problems if problem.severity == "error"],
        [problem for problem in problems if problem.severity == "warning"],
        imported.notes,
    )


def written(document: Document, format: str) -> str:
    """A document as a text in a form of ``graph.exporters.EXPORTERS``.

    Raises:
        InvalidInput: an unknown form, or one that cannot say what the document means.
    """
    return exported(document, format, library())


def write(text: str, to: Path) -> None:
    """Write a text into a new file.

    Raises:
        InvalidInput: the file is there already, or cannot be written.
    """
    made = False
    try:
        with to.open("x", encoding="utf-8") as file:
            made = True
            file.write(text)
    except FileExistsError:
        raise InvalidInput("--out", str(to), "a file that is not there yet") from None
    except OSError as error:
        if made:  # half a document would be in the way of the next attempt
            to.unlink(missing_ok=True)
        raise InvalidInput("--out", f"{to} ({error.strerror})", "a file that can be written") from None


def called_by(document: Document) -> Iterator[str]:
    """The workflows that nodes of a document call by names that it says itself."""
    for node in document.nodes:
        type = library().find(node.type)
        if type is not None and type.calls:
            given = (node.params.get(param) for param in (type.calls, *type.params[type.calls].aliases))
            yield from (name for name in given if isinstance(name, str))


def node_types(word: str | None) -> list[dict[str, Any]]:
    """The library, or those of its types whose name, category or help has a word."""
    found = [one.schema() for one in library()]
    if word is None:
        return found
    low = word.lower()
    exact = [one for one in found if low == one["type"] or low in one["aliases"]]
    some = exact or [one for one in found if low in f"{one['type']} {one['category']} {one['help']}".lower()]
    if not some:
        raise InvalidInput("type", word, f"a node type: {library().nearest(word)}")
    return some
