"""Documents written in other forms: text, an editor's graph, a Python module."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.exporters.canonical import as_json, as_yaml
from tickwork.graph.exporters.python import as_python
from tickwork.graph.exporters.react import as_react
from tickwork.graph.library import Library

__all__ = ["EXPORTERS", "as_json", "as_python", "as_react", "as_yaml", "export", "exported"]

EXPORTERS: Final[dict[str, Callable[[Document, Library], Any]]] = {
    "canonical": lambda document, library: document.plain(),
    "react": as_react,
    "json": lambda document, library: as_json(document),
    "yaml": lambda document, library: as_yaml(document),
    "python": as_python,
}
"""The forms a document can be had in: plain values (``canonical``, ``react``) and texts."""


def export(document: Document, format: str, library: Library) -> Any:
    """A document in one of these forms.

    Raises:
        InvalidInput: an unknown form, or one that cannot say what the document means.
    """
    exporter = EXPORTERS.get(format)
    if exporter is None:
        raise InvalidInput("format", format, "one of " + ", ".join(EXPORTERS))
    return exporter(document, library)


def exported(document: Document, format: str, library: Library) -> str:
    """The same as a text.

    Raises:
        InvalidInput: as ``export``.
    """
    found = export(document, format, library)
    return found if isinstance(found, str) else json.dumps(found, indent=2, ensure_ascii=False)
