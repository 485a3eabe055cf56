"""A document that somebody sends, checked without being kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tickwork.core.language.lookup import kind_of
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.importers import import_document
from tickwork.graph.library import library
from tickwork.graph.reading import read_text
from tickwork.service.document_files import checked


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a document."""

    path: str
    text: str


class Checked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of checking a document."""

    valid: bool
    """May it run?"""
    document: str
    """Its name."""
    format: str
    nodes: int
    errors: list[Finding]
    warnings: list[Finding]
    notes: list[str]
    """What was taken to mean something else than it may seem."""


def checked_document(document: Mapping[str, Any] | str, name: str, format: str) -> Checked:
    """Everything that is wrong with a document in any format; with what is known of node types here.

    Raises:
        InvalidInput: it is no object, or in no format that is known.
    """
    value = read_text(document, name) if isinstance(document, str) else document
    if not isinstance(value, Mapping):
        raise InvalidInput(name, kind_of(value), "an object with a name and nodes")
    try:
        found = checked(import_document(value, name=name, format=format, library=library()))
    except InvalidDocument as error:
        errors = [
            Finding(path=path, text=f"expected {expected}; found {was!r}") for path, was, expected in error.problems
        ]
        return Checked(valid=False, document=error.path, format=format, nodes=0, errors=errors, warnings=[], notes=[])
    return Checked(
        valid=found.valid,
        document=found.document,
        format=found.format,
        nodes=found.nodes,
        errors=[Finding(path=one.path, text=str(one)) for one in found.errors],
        warnings=[Finding(path=one.path, text=str(one)) for one in found.warnings],
        notes=[str(note) for note in found.notes],
    )
