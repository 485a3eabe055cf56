"""Strategy graphs of the arbitrage system's runtime: ``{nodes[], connections[]}``.

A connection is ``{from: {node_id, output_index}, to: {node_id, input_index}}``, or spelled as those of ``blocks``;
``nodes`` is a list, or an object by id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tickwork.graph.document import Document
from tickwork.graph.importers.blocks import Found, connected, informs
from tickwork.graph.importers.building import Building
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.ports import Blocks
from tickwork.graph.library import Types

DOCUMENT: Final = "id name description version nodes connections triggers config metadata priority"
NODE: Final = (
    "id node_id name label category type node_type properties config params inputs outputs x y position status"
)


def read_strategy_graph(root: Any, library: Types, name: str = "") -> tuple[Document, list[str]]:
    """A strategy graph as a document, and what has changed its meaning.

    Raises:
        InvalidDocument: everything that cannot be represented.
    """
    building = Building(root, library, name)
    informs(building, "strategy_id", "graph_id")
    return connected(building, _nodes, "connections", DOCUMENT)


def _nodes(building: Building, adding: Blocks) -> Found:
    """The nodes as blocks, in their order."""
    raw: list[tuple[str, Fields]] = []
    value = building.fields.take("nodes")
    if isinstance(value, Mapping):
        raw = [(str(id_), Fields(one, f"document.nodes.{id_}", building.problems)) for id_, one in value.items()]
    elif isinstance(value, list):
        for index, one in enumerate(value):
            fields = Fields(one, f"document.nodes[{index}]", building.problems)
            raw.append((fields.word("id", "node_id"), fields))
    if not raw:
        building.problems.add("document.nodes", "none", "at least one node")
    ids = [id_ for id_, _ in raw]
    for id_, fields in raw:
        inside = fields.word("id", "node_id")
        if not id_ or ids.count(id_) > 1 or (inside and inside != id_):
            building.problems.add(fields.at("id"), inside or id_ or "nothing", "an id that no other node has")
    building.names.claim(dict.fromkeys(id_ for id_ in ids if id_))
    found = []
    for id_, fields in raw:
        settings = fields.object("properties") | fields.object("config") | fields.object("params")
        where = fields.at(next((key for key in ("properties", "config", "params") if key in fields), "params"))
        block = adding.add(fields, building.names.id(id_) or building.names.fresh("node"), settings, where)
        fields.done(NODE)
        found.append((id_, block))
    return found
