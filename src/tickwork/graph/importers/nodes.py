"""Node graphs of the arbitrage system: ``{nodes[{id, type, provider, action, params, inputs[], condition}], edges[]}``.

``type`` is ``provider``, ``analysis``, ``action`` or ``condition``; what a node does is its ``action``. The
``condition`` of a node that acts is when it runs; a ``condition`` node becomes an ``if`` with the edges ``true_branch``
and ``false_branch``. ``inputs`` are edges, where ``edges`` has none.
"""

from __future__ import annotations

from typing import Any, Final

from tickwork.graph.document import Document
from tickwork.graph.importers.blocks import informs
from tickwork.graph.importers.building import Building, look, position, setting_name
from tickwork.graph.importers.fields import Fields, Types

DOCUMENT: Final = "id name description version nodes edges triggers metadata priority"
NODE: Final = (
    "id name type provider action params inputs condition true_branch false_branch x y position status metadata"
)
EDGE: Final = "id from to output input label condition"
CONDITION: Final = "condition"
KINDS: Final = ("provider", "analysis", "action", CONDITION)
VENUE_PARAMS: Final = ("provider", "venue")


def read_nodes(root: Any, library: Types, name: str = "") -> tuple[Document, list[str]]:
    """A node graph as a document, and what has changed its meaning.

    Raises:
        InvalidDocument: everything that cannot be represented.
    """
    building = Building(root, library, name)
    informs(building)
    _Nodes(building).read()
    building.fields.done(DOCUMENT)
    return building.finish(), building.notes


class _Nodes:
    def __init__(self, building: Building) -> None:
        self.building = building
        self.problems = building.problems
        self.branches: list[tuple[str, str, str]] = []
        """Source, branch and target."""
        self.inputs: list[tuple[str, str]] = []

    def read(self) -> None:
        building = self.building
        raw = [
            Fields(value, f"document.nodes[{index}]", self.problems)
            for index, value in enumerate(building.fields.items("nodes"))
        ]
        if not raw:
            self.problems.add("document.nodes", "none", "at least one node")
        ids = [fields.word("id") for fields in raw]
        for fields, one in zip(raw, ids, strict=True):
            if not one or ids.count(one) > 1:
                self.problems.add(fields.at("id"), one or "nothing", "an id that no other node has")
        building.names.claim(dict.fromkeys(one for one in ids if one))
        for fields, one in zip(raw, ids, strict=True):
            self.node(fields, one)
        self.edges()

    def node(self, fields: Fields, given: str) -> None:
        building = self.building
        id_ = building.names.id(given)
        kind, action = fields.text("type"), fields.text("action")
        condition = fields.text("condition")
        asks = kind == CONDITION and not action
        word = "if" if asks else action or ("" if kind in KINDS else kind)
        if not word:
            expected = "an action" if kind in KINDS else f"one of {', '.join(KINDS)}"
            self.problems.add(fields.at("action" if kind in KINDS else "type"), kind or "nothing", expected)
        type_ = building.type(word, fields.at("type" if asks or not action else "action")) if word else None
        self.targets(fields, id_, asks)
        label, kept, where = fields.text("name", "label"), fields.object("metadata") | look(fields), position(fields)
        params, provider = fields.object("params"), fields.text("provider")
        fields.done(NODE)
        if type_ is None or not id_:
            return
        node = building.node(id_, type_, label or given, metadata=kept)
        if where is not None:
            node["position"] = where
        if asks:
            if not condition:
                self.problems.add(fields.at("condition"), "nothing", "a condition such as 'input.spread > 0.02'")
            node["params"]["test"] = condition
        elif condition:
            node["when"] = condition
        if provider:
            name = next((one for one in VENUE_PARAMS if setting_name(type_, one)), "")
            if name:
                params = {name: provider, **params}
            elif type_.name == "cancel_order":
                node["metadata"]["provider"] = provider
                building.note(f"{fields.at('provider')}: kept, but decides nothing: an order is cancelled where it is")
            else:
                self.problems.add(fields.at("provider"), provider, f"none: {type_.name} takes no provider")
        building.settings(node, type_, params, fields.at("params"))

    def targets(self, fields: Fields, id_: str, asks: bool) -> None:
        """The nodes that a node names: those before it, and those on its branches."""
        for one in self.named(fields, "inputs"):
            self.inputs.append((one, id_))
        for branch, key in (("true", "true_branch"), ("false", "false_branch")):
            if key in fields and not asks:
                self.problems.add(fields.at(key), fields.peek(key), "none: only a condition node has branches")
                fields.take(key)
                continue
            self.branches += [(id_, branch, one) for one in self.named(fields, key)]

    def named(self, fields: Fields, key: str) -> list[str]:
        """Ids of nodes that a field names."""
        found = []
        for one in fields.words(key):
            if one in self.building.names:
                found.append(self.building.names.id(one))
            else:
                known = ", ".join(self.building.names.known)[:200] or "there are none"
                self.problems.add(fields.at(key), one, f"a node that is there ({known})")
        return found

    def edges(self) -> None:
        building = self.building
        branch_of = {(source, target): branch for source, branch, target in self.branches}
        if len(branch_of) < len(set(self.branches)):
            twice = next(one for one in self.branches if branch_of[one[0], one[2]] != one[1])
            self.problems.add(f"nodes.{twice[0]}", twice[2], "different nodes on the true and the false branch")
        linked: set[tuple[str, str]] = set()
        for index, value in enumerate(building.fields.items("edges")):
            fields = Fields(value, f"document.edges[{index}]", self.problems)
            ends = [self.named(fields, side) for side in ("from", "to")]
            for side in ("from", "to"):
                if side not in fields:
                    self.problems.add(fields.at(side), "nothing", "the id of a node")
            output, input_, label = fields.text("output"), fields.text("input"), fields.text("label")
            condition = fields.text("condition")
            fields.take("id")
            fields.done(EDGE)
            for source in ends[0]:
                for target in ends[1]:
                    linked.add((source, target))
                    branch = output or branch_of.get((source, target), "")
                    building.edge(source, target, branch, input_, **({"label": label} if label else {}))
                    if condition:
                        self.ask(target, condition)
        for source, branch, target in self.branches:
            if (source, target) not in linked:
                building.edge(source, target, branch)
        for source, target in self.inputs:
            if (source, target) not in linked and (source, target) not in branch_of:
                building.edge(source, target)

    def ask(self, target: str, condition: str) -> None:
        node = next((one for one in self.building.nodes if one["id"] == target), None)
        if node is not None:
            self.building.when(node, condition)
