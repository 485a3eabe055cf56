"""A canonical document while it is put together from a foreign one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tickwork.core.language.lookup import snake_case
from tickwork.errors import InvalidInput
from tickwork.graph.declare import NodeType
from tickwork.graph.document import Document
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.merging import join_branches
from tickwork.graph.importers.naming import Names, word
from tickwork.graph.importers.triggers import read_trigger
from tickwork.graph.library import Types
from tickwork.graph.problems import Problems
from tickwork.graph.reading import read_document

LOOKS: Final = ("icon", "width", "height", "color", "status", "description", "category")
"""Fields that only inform; a node keeps them in its metadata."""

_PERCENT: Final = ("percentage", "percent")


class Building:
    """Nodes and edges as they are found, what is wrong, and what has changed its meaning.

    Args:
        root: the foreign document.
        name: what it is called where it does not say itself.
    """

    def __init__(self, root: Any, library: Types, name: str) -> None:
        self.problems = Problems()
        self.fields = Fields(root, "document", self.problems)
        self.library = library
        self.names = Names()
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self.triggers: list[dict[str, Any]] = []
        self.metadata: dict[str, Any] = self.fields.object("metadata")
        self.notes: list[str] = []
        self.types: dict[str, NodeType] = {}
        """Of the nodes, by id."""
        self.name = self.fields.text("name") or name
        self.description = self.fields.text("description")
        self.priority = self.fields.whole("priority", 0, 10)
        if not self.name:
            self.problems.add("document.name", "nothing", "a name")
        for index, one in enumerate(self.fields.items("triggers")):
            self.trigger(one, f"document.triggers[{index}]")

    def keep(self, key: str, value: Any) -> None:
        """Keep something in the document's metadata."""
        if self.metadata.setdefault(key, value) != value:
            self.problems.add(f"document.metadata.{key}", str(value)[:80], f"another key: {key!r} is kept there, too")

    def note(self, text: str) -> None:
        """Say what has changed its meaning, once."""
        if text not in self.notes:
            self.notes.append(text)

    def trigger(self, value: Any, path: str) -> None:
        """Add a trigger."""
        found = read_trigger(value, path, self.name, self.problems, self.note)
        if found is not None and found not in self.triggers:
            self.triggers.append(found)

    def type(self, name: str, path: str) -> NodeType | None:
        """A type of the library; a problem where there is none of that name."""
        found = self.find(name)
        if found is None:
            self.problems.add(path, name, f"a node type of the library: {self.library.nearest(word(name))}")
        return found

    def find(self, name: str) -> NodeType | None:
        """A type of the library."""
        return self.library.find(name) or self.library.find(word(name))

    def node(self, id_: str, type_: NodeType, name: str = "", **fields: Any) -> dict[str, Any]:
        """Add a node; more may be put into what is returned."""
        found: dict[str, Any] = {"id": id_, "type": type_.name, **fields}
        if name and name != id_:
            found["name"] = name
        found.setdefault("params", {})
        found.setdefault("inputs", {})
        found.setdefault("metadata", {})
        self.nodes.append(found)
        self.types[id_] = type_
        return found

    def edge(self, source: str, target: str, output: str = "", input_: str = "", **more: Any) -> None:
        """Add an edge; a second one that says the same is none."""
        edge = {"from": source, "to": target, "output": output, "input": input_, **more}
        edge = {key: value for key, value in edge.items() if value}
        if edge not in self.edges:
            self.edges.append(edge)

    def settings(self, node: dict[str, Any], type_: NodeType, values: Mapping[str, Any], path: str) -> None:
        """Put settings where the type wants them: some are its inputs, some its params."""
        for key, value in values.items():
            if value in ("", None, [], {}):
                continue  # an editor's empty box
            name = setting_name(type_, key)
            if name in type_.inputs:
                node["inputs"][name] = value
            elif name in type_.params:
                node["params"][name] = self._in_unit(type_, name, value, f"{path}.{key}")
            else:
                known = ", ".join([*type_.params, *type_.inputs]) or "none: it takes no settings"
                self.problems.add(f"{path}.{key}", _short(value), f"a setting of {type_.name} ({known})")

    def _in_unit(self, type_: NodeType, name: str, value: Any, path: str) -> Any:
        """Percents as a fraction, where the library's setting is one."""
        percents = name in _PERCENT or name.endswith("_pct")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if percents and number and type_.params[name].unit == "fraction":
            self.note(f"{path}: {value} % is the fraction {value / 100:g}")
            return float(f"{value / 100:.15g}")
        return value

    def when(self, node: dict[str, Any], text: str) -> None:
        """Run the node only where this holds, too."""
        before = node.get("when")
        node["when"] = f"({before}) and ({text})" if before else text

    def finish(self) -> Document:
        """The document.

        Raises:
            InvalidDocument: everything that is wrong with it.
        """
        for node in self.nodes:
            self._rename(node)
        self._endpoints()
        self._symbols()
        if not self.problems.errors:
            join_branches(self.nodes, self.edges, self.types, self.problems, self.note)
        self.problems.check(self.name or "document")
        order = {node["id"]: index for index, node in enumerate(self.nodes)}
        self.edges.sort(key=lambda edge: (order[edge["from"]], order[edge["to"]]))
        plain: dict[str, Any] = {"name": self.name, "nodes": self.nodes, "edges": self.edges}
        plain |= {"description": self.description, "triggers": self.triggers, "metadata": self.metadata}
        if self.priority is not None:
            plain["priority"] = self.priority
        return read_document(plain, self.name)

    def _endpoints(self) -> None:
        """A provider that does not say what to ask for asks for what is read of it."""
        for node in self.nodes:
            param = self.types[node["id"]].param("enabled_endpoints")
            if param is None or param.name in node["params"]:
                continue
            read = {edge.get("output", "") for edge in self.edges if edge["from"] == node["id"]}
            asked = [name for name in ("price_feed", "orderbook", "balance", "positions") if name in read]
            if asked:
                node["params"][param.name] = asked

    def _symbols(self) -> None:
        """What is read of a provider's prices is about its symbol, at its venue, unless the node says otherwise."""
        if self.problems.errors:
            return
        before: dict[str, set[str]] = {node["id"]: set() for node in self.nodes}
        for edge in self.edges:
            before.get(edge["to"], set()).add(edge["from"])
        providers = {id_ for id_, type_ in self.types.items() if {"symbol", "venue"} <= type_.outputs.keys()}
        for node in self.nodes:
            type_ = self.types[node["id"]]
            found, left = set[str](), list(before[node["id"]])
            seen = set(left)
            while left:
                one = left.pop()
                if one in providers:
                    found.add(one)
                more = before.get(one, set()) - seen
                seen |= more
                left += more
            if node["id"] in providers or len(found) != 1 or "symbol" not in type_.params or "symbol" in node["params"]:
                continue
            (source,) = found
            node["params"]["symbol"] = f"{{{{{source}.symbol}}}}"
            venue = next((name for name in ("provider", "venue") if name in type_.params), "")
            if venue and venue not in node["params"]:
                node["params"][venue] = f"{{{{{source}.venue}}}}"

    def _rename(self, node: dict[str, Any]) -> None:
        type_ = self.types[node["id"]]
        path = f"nodes.{node['id']}"
        for name, value in node["params"].items():
            expressed = name in type_.params and type_.params[name].expression and isinstance(value, str)
            node["params"][name] = (
                self._expression(value, f"{path}.params.{name}") if expressed else self.names.template(value)
            )
        node["inputs"] = self.names.template(node["inputs"])
        if "when" in node:
            node["when"] = self._expression(node["when"], f"{path}.when")
        undo = node.get("undo")
        if isinstance(undo, dict):
            node["undo"] = {key: value if key == "type" else self.names.template(value) for key, value in undo.items()}

    def _expression(self, text: str, path: str) -> str:
        if not text:
            return text  # complained of where it was read
        try:
            return self.names.expression(text)
        except InvalidInput as error:
            self.problems.add(path, text, error.expected)
            return text


def setting_name(type_: NodeType, key: str) -> str:
    """What the library calls a setting of a type; empty where it knows none of that name."""
    for name in (key, snake_case(key), word(snake_case(key)), _OTHERS.get(snake_case(key), "")):
        if name in type_.inputs:
            return name
        param = type_.param(name)
        if param is not None:
            return param.name
    return ""


_OTHERS: Final = {"condition": "test", "expression": "test"}
"""Other names for a setting, where the type has none of the name itself."""


def look(fields: Fields) -> dict[str, Any]:
    """What only informs, for a node's metadata."""
    found = {name: fields.take(name) for name in LOOKS}
    return {name: value for name, value in found.items() if value is not None}


def position(fields: Fields) -> dict[str, float] | None:
    """Where an editor shows a node: ``x`` and ``y``, or a ``position`` of them."""
    inside = fields.take("position")
    at = fields if inside is None else Fields(inside, fields.at("position"), fields.problems)
    x, y = at.take("x"), at.take("y")
    if inside is not None:
        at.done("x y")
    if x is None and y is None:
        return None
    for name, value in (("x", x), ("y", y)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            at.problems.add(at.at(name), value, "a number of pixels")
            return None
    return {"x": x, "y": y}


def _short(value: Any) -> Any:
    return value if isinstance(value, int | float | bool) else str(value)[:80]
