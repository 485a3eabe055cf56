"""Graphs of a React Flow editor: ``nodes[{id, type, category, properties, position, status}]``,
``edges[{id, source, target, sourceHandle, targetHandle, label, condition}]`` and ``config``. What a node does and its
settings may stand in its ``data``, too: ``data: {type, label, params}``; its own ``type`` is then how it is drawn.

What ``exporters.react`` wrote comes back as it was: fields that this form has no place for stand under ``__tickwork__``
(of a node in its ``properties``, of the document in its ``metadata``), which editors carry along untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tickwork.core.language.lookup import kind_of
from tickwork.errors import InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.importers.blocks import informs
from tickwork.graph.importers.building import Building
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.ports import Block, Blocks, End, settle_config
from tickwork.graph.library import Types
from tickwork.graph.reading import read_document

OURS: Final = "__tickwork__"
"""Where fields stand that this form has no place for."""

DOCUMENT: Final = "id name description version nodes edges config triggers metadata priority viewport"
NODE: Final = "id type category properties position status name label data width height metadata"
DATA: Final = "type label params properties config inputs description"
EDGE: Final = "id source target sourceHandle targetHandle label condition data type animated style"
_EDITOR: Final = (
    "type", "animated", "style", "marker_start", "marker_end", "selected", "selectable", "deletable", "z_index",
    "label_style", "class_name", "path_options", "interaction_width",
)  # fmt: skip
"""How an editor draws an edge."""
_DRAWN: Final = (
    "width", "height", "selected", "dragging", "position_absolute", "measured", "z_index", "source_position",
    "target_position", "draggable", "selectable", "connectable", "deletable", "style", "class_name",
)  # fmt: skip
"""How an editor draws a node."""


def read_react(root: Any, library: Types, name: str = "") -> tuple[Document, list[str]]:
    """A React Flow graph as a document, and what has changed its meaning.

    Raises:
        InvalidDocument: everything that cannot be represented.
    """
    metadata = root.get("metadata") if isinstance(root, Mapping) else None
    if isinstance(metadata, Mapping) and isinstance(metadata.get(OURS), Mapping):
        return _read_ours(root, name), []
    building = Building(root, library, name)
    informs(building)
    building.fields.take("viewport")
    config = settle_config(building)
    if config:
        building.keep("config", config)
    adding = Blocks(building)
    blocks = _nodes(building, adding)
    for index, value in enumerate(building.fields.items("edges")):
        _edge(Fields(value, f"document.edges[{index}]", building.problems), blocks, adding)
    building.fields.done(DOCUMENT)
    return building.finish(), building.notes


def _nodes(building: Building, adding: Blocks) -> dict[str, Block]:
    raw = [
        Fields(value, f"document.nodes[{index}]", building.problems)
        for index, value in enumerate(building.fields.items("nodes"))
    ]
    if not raw:
        building.problems.add("document.nodes", "none", "at least one node")
    ids = [fields.word("id") for fields in raw]
    building.names.claim(dict.fromkeys(one for one in ids if one))
    found: dict[str, Block] = {}
    for fields, one in zip(raw, ids, strict=True):
        if not one or one in found:
            building.problems.add(fields.at("id"), one or "nothing", "an id that no other node has")
            continue
        for key in _DRAWN:
            fields.take(key)
        data = Fields(fields.object("data"), fields.at("data"), building.problems)
        settings, where = _settings(fields, data)
        label, told = data.text("label", "name"), data.text("description")
        data.take("category")
        data.take("status")
        type_, drawn = _type(fields, data, building)
        data.done(DATA)
        found[one] = adding.add(fields, building.names.id(one), settings, where, type_)
        if building.nodes and building.nodes[-1]["id"] == found[one].id:
            node = building.nodes[-1]
            node |= {"name": label} if label and "name" not in node else {}
            for key, value in (("description", told), ("drawn_as", drawn)):
                node["metadata"] |= {key: value} if value else {}
        fields.done(NODE)
    return found


def _settings(fields: Fields, data: Fields) -> tuple[dict[str, Any], str]:
    """All settings of a node, and where they stand."""
    settings: dict[str, Any] = fields.object("properties")
    where = fields.at("properties") if settings or "data" not in fields else ""
    for key in ("properties", "params", "config", "inputs"):
        if key not in data:
            continue
        found = data.object(key)
        for name in settings.keys() & found.keys():
            data.problems.add(f"{data.at(key)}.{name}", name, "one value: it stands in another place, too")
        settings |= found
        where = where or data.at(key)
    return settings, where or data.path


def _type(fields: Fields, data: Fields, building: Building) -> tuple[str, str]:
    """What a node does where its data say it, and how it is drawn where its own type says only that."""
    inside, own = data.text("type", "node_type"), str(fields.peek("type") or "")
    if not inside or inside == own:
        return "", ""
    if building.find(own) is not None:
        building.problems.add(data.at("type"), inside, f"one type: the node's own is {own!r}")
    return inside, own


def _edge(fields: Fields, blocks: Mapping[str, Block], adding: Blocks) -> None:
    ends = []
    for side, handle in (("source", "source_handle"), ("target", "target_handle")):
        name, port = fields.word(side), fields.text(handle)
        block = blocks.get(name)
        if block is None:
            known = ", ".join(blocks)[:200] or "there are none"
            adding.problems.add(fields.at(side), name or "nothing", f"a node that is there ({known})")
        else:
            ends.append(End(block, port, fields.at(handle), said=bool(port)))
    for key in ("id", *_EDITOR):
        fields.take(key)
    label, condition = fields.text("label"), fields.text("condition")
    fields.done(EDGE)
    if len(ends) == 2:
        adding.connect(ends[0], ends[1], label, condition, fields.path)


# ---------------------------------------------------------------------------------------------------- our own exports


def _read_ours(root: Mapping[str, Any], name: str) -> Document:
    """What ``exporters.react`` wrote, with what an editor has changed since."""
    metadata = dict(root["metadata"])
    plain: dict[str, Any] = dict(metadata.pop(OURS))
    plain["name"] = root.get("name") or name
    plain["description"] = root.get("description") or ""
    config = root.get("config")
    if isinstance(config, Mapping) and config:
        metadata["config"] = dict(config)
    plain["metadata"] = metadata
    plain["nodes"] = [_our_node(one, f"document.nodes[{index}]") for index, one in enumerate(_list(root, "nodes"))]
    plain["edges"] = [_our_edge(one, f"document.edges[{index}]") for index, one in enumerate(_list(root, "edges"))]
    return read_document(plain, str(plain["name"]))


def _our_node(value: Any, path: str) -> dict[str, Any]:
    value = _object(value, path)
    params = dict(_object(value.get("properties") or {}, f"{path}.properties"))
    node = dict(_object(params.pop(OURS, {}), f"{path}.properties.{OURS}"))
    placed = node.pop("placed", None)
    node |= {"id": value.get("id"), "type": value.get("type"), "params": params}
    position = value.get("position")
    if position is not None and position != placed:
        node["position"] = {key: one for key, one in _object(position, f"{path}.position").items() if key in "xy"}
    return node


def _our_edge(value: Any, path: str) -> dict[str, Any]:
    value = _object(value, path)
    found = {
        "from": value.get("source"),
        "to": value.get("target"),
        "output": value.get("sourceHandle") or "",
        "input": value.get("targetHandle") or "",
        "label": value.get("label") or "",
    }
    condition = value.get("condition")
    if condition:
        raise InvalidInput(f"{path}.condition", condition, "the condition as `when` of the node it leads to")
    if _object(value.get("data") or {}, f"{path}.data").get("after"):
        found["after"] = True
    return found


def _list(root: Mapping[str, Any], key: str) -> list[Any]:
    value = root.get(key) or []
    if not isinstance(value, list):
        raise InvalidInput(f"document.{key}", kind_of(value), "a list")
    return value


def _object(value: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(path, kind_of(value), "an object")
    return value
