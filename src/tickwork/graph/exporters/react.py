"""A document as a React Flow editor's graph, which ``importers.react`` reads back as it was.

The form has no place for much of a document: an input's value, a retry, a trigger. That stands under ``__tickwork__``:
of a node in its ``properties``, of the document in its ``metadata``. Edges that only order say so in their ``data``.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final

from tickwork.errors import InvalidInput
from tickwork.graph.document import Document, Edge
from tickwork.graph.importers.react import OURS
from tickwork.graph.library import Types

COLUMN: Final = 260
ROW: Final = 120
"""Pixels between nodes that had no place."""

_TOP: Final = ("name", "description", "nodes", "edges", "metadata")
_NODE: Final = ("id", "type", "params", "position")


def as_react(document: Document, library: Types) -> dict[str, Any]:
    """The document as plain values in the editor's form. Nodes without a position get one from left to right.

    Args:
        library: says the nodes' categories.

    Raises:
        InvalidInput: the name ``__tickwork__`` is taken.
    """
    plain = document.plain()
    metadata = plain.get("metadata", {})
    if OURS in metadata:
        raise InvalidInput(f"metadata.{OURS}", OURS, "another name: the editor's form needs it")
    places = _places(document)
    config = metadata.get("config")
    return {
        "name": document.name,
        "description": document.description,
        "nodes": [_node(node, places, library) for node in plain["nodes"]],
        "edges": [_edge(edge, index) for index, edge in enumerate(document.edges)],
        "config": config if isinstance(config, dict) else {},
        "metadata": {**metadata, OURS: {key: value for key, value in plain.items() if key not in _TOP}},
    }


def _node(node: dict[str, Any], places: dict[str, tuple[int, int]], library: Types) -> dict[str, Any]:
    params = node.get("params", {})
    if OURS in params:
        raise InvalidInput(f"nodes.{node['id']}.params.{OURS}", OURS, "another name: the editor's form needs it")
    ours = {key: value for key, value in node.items() if key not in _NODE}
    column, row = places[node["id"]]
    position = node.get("position")
    if position is None:
        ours["placed"] = position = {"x": column * COLUMN, "y": row * ROW}
    found = library.find(node["type"])
    return {
        "id": node["id"],
        "type": node["type"],
        "category": found.category if found is not None else "custom",
        "properties": params | ({OURS: ours} if ours else {}),
        "position": position,
        "status": "pending",
    }


def _edge(edge: Edge, index: int) -> dict[str, Any]:
    return {
        "id": f"e{index + 1}",
        "source": edge.from_,
        "target": edge.to,
        "sourceHandle": edge.output or None,
        "targetHandle": edge.input or None,
        "label": edge.label or None,
        "condition": None,
        "data": {"after": True} if edge.after else {},
    }


def _places(document: Document) -> dict[str, tuple[int, int]]:
    """Column and row of each node: right of everything before it."""
    columns = dict.fromkeys((node.id for node in document.nodes), 0)
    edges = [edge for edge in document.edges if edge.from_ in columns and edge.to in columns]
    waits = Counter(edge.to for edge in edges)
    after: dict[str, list[str]] = {}
    for edge in edges:
        after.setdefault(edge.from_, []).append(edge.to)
    ready = deque(id_ for id_ in columns if not waits[id_])
    while ready:  # nodes of a cycle are never ready, and stay on the left
        id_ = ready.popleft()
        for other in after.get(id_, ()):
            columns[other] = max(columns[other], columns[id_] + 1)
            waits[other] -= 1
            if not waits[other]:
                ready.append(other)
    rows: dict[int, int] = {}
    found = {}
    for id_, column in columns.items():
        rows[column] = rows.get(column, -1) + 1
        found[id_] = (column, rows[column])
    return found
