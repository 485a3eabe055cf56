"""Node graphs of the arbitrage system: ``{nodes[{id, type, provider, action, params, inputs[], condition}], edges[]}``.

``type`` is ``provider``, ``analysis``, ``action`` or ``condition``; what a node does is its ``action``, or its type
where that is one of the library. The ``condition`` of a node that acts is when it runs; a ``condition`` node becomes an
``if`` with the edges ``true_branch`` and ``false_branch``. A list of ``inputs`` are edges, where ``edges`` has none; a
mapping are settings. Edges go ``from`` a node ``to`` one, or from ``source`` to ``target``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from tickwork.graph.document import Document
from tickwork.graph.importers.blocks import informs
from tickwork.graph.importers.building import Building, look, position, setting_name
from tickwork.graph.importers.fields import Fields
from tickwork.graph.importers.policies import read_retry
from tickwork.graph.library import Types

DOCUMENT: Final = "id name description version nodes edges triggers metadata priority"
NODE: Final = (
    "id name type provider action params inputs depends_on condition true_branch false_branch retry retry_attempts "
    "timeout x y position status metadata"
)
EDGE: Final = "id from to source target output input source_handle target_handle branch label condition"
CONDITION: Final = "condition"
_BARE = re.compile(r"(\w[\w-]*)(?:\.\w+)+")
"""A text that may be a reference without its braces."""
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
        own = building.find(kind) if kind not in KINDS else None
        asks = not action and (kind == CONDITION or (own is not None and {"true", "false"} <= set(own.branches)))
        word = "if" if asks else action or ("" if kind in KINDS else kind)
        if not word:
            expected = "an action" if kind in KINDS else f"one of {', '.join(KINDS)}"
            self.problems.add(fields.at("action" if kind in KINDS else "type"), kind or "nothing", expected)
        type_ = building.type(word, fields.at("type" if asks or not action else "action")) if word else None
        self.targets(fields, id_, asks)
        label, kept, where = fields.text("name", "label"), fields.object("metadata") | look(fields), position(fields)
        params, provider = fields.object("params"), fields.text("provider")
        given_inputs = fields.object("inputs") if isinstance(fields.peek("inputs"), Mapping) else {}
        policies = {"retry": read_retry(fields, building.note), "timeout": fields.seconds("timeout")}
        fields.done(NODE)
        if type_ is None or not id_:
            return
        node = building.node(id_, type_, label or given, metadata=kept)
        node |= {key: value for key, value in policies.items() if value}
        if where is not None:
            node["position"] = where
        if asks:
            told = [key for key in (*params, *given_inputs) if setting_name(type_, key) in ("test", "condition")]
            if condition and told:
                self.problems.add(fields.at("condition"), condition, f"one condition: there is {told[0]!r}, too")
            elif condition:
                node["params"]["test"] = condition
            elif kind == CONDITION and not told:
                self.problems.add(fields.at("condition"), "nothing", "a condition such as 'input.spread > 0.02'")
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
        for name, value in given_inputs.items():
            bare = _BARE.fullmatch(value) if isinstance(value, str) else None
            if bare is not None and bare[1] in building.names:
                self.problems.add(f"{fields.at('inputs')}.{name}", value, f"a reference in braces: {{{{{value}}}}}")
            if name in params:
                self.problems.add(f"{fields.at('inputs')}.{name}", name, "one value: it stands in params, too")
        building.settings(node, type_, given_inputs, fields.at("inputs"))

    def targets(self, fields: Fields, id_: str, asks: bool) -> None:
        """The nodes that a node names: those before it, and those on its branches."""
        for key in ("inputs", "depends_on"):
            if not isinstance(fields.peek(key), Mapping):
                self.inputs += [(one, id_) for one in self.named(fields, key)]
        for branch, key in (("true", "true_branch"), ("false", "false_branch")):
            if key in fields and not asks:
                self.problems.add(
                    fields.at(key), fields.peek(key), "none: only a condition node has branches, or one of type if"
                )
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
            sides = ["source" if "source" in fields else "from", "target" if "target" in fields else "to"]
            ends = [self.named(fields, side) for side in sides]
            for side in sides:
                if side not in fields:
                    self.problems.add(fields.at(side), "nothing", "the id of a node")
            output = self.word(fields, "output", "source_handle", "branch")
            input_ = fields.text("input", "target_handle")
            label, condition = fields.text("label"), self.word(fields, "condition")
            for key in ("id", "type", "animated", "style"):
                fields.take(key)
            fields.done(EDGE)
            for source in ends[0]:
                chosen = condition if not output and condition in self.branches_of(source) else ""
                for target in ends[1]:
                    linked.add((source, target))
                    branch = output or chosen or branch_of.get((source, target), "")
                    building.edge(source, target, branch, input_, **({"label": label} if label else {}))
                    if condition and not chosen:
                        self.ask(target, condition)
        for source, branch, target in self.branches:
            if (source, target) not in linked:
                building.edge(source, target, branch)
        for source, target in self.inputs:
            if (source, target) not in linked and (source, target) not in branch_of:
                building.edge(source, target)

    def word(self, fields: Fields, *names: str) -> str:
        """A text, or a truth value as the branch that is called so."""
        value = next((found for name in names if (found := fields.peek(name)) is not None), None)
        if isinstance(value, bool):
            fields.take(*names)
            return "true" if value else "false"
        return fields.text(*names)

    def branches_of(self, id_: str) -> tuple[str, ...]:
        node = next((one for one in self.building.nodes if one["id"] == id_), None)
        return self.building.types[id_].branches_of(node["params"]) if node is not None else ()

    def ask(self, target: str, condition: str) -> None:
        node = next((one for one in self.building.nodes if one["id"] == target), None)
        if node is not None:
            self.building.when(node, condition)
