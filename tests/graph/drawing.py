"""Draws documents that can be run: of the types of ``nodes_of_tests``, with every policy there is.

They are drawn by a plain generator of random numbers, of which hypothesis draws only the seed and the size: its own
draws are mostly small and alike, and few of them would have two policies that meet.
"""

from __future__ import annotations

import random
from typing import Any, TypeVar

from hypothesis import strategies as st

Plain = dict[str, Any]
T = TypeVar("T")

_KINDS = ("give", "add", "sum", "sum", "if", "if", "wait", "wait", "wait", "act", "act")


@st.composite
def cases(
    draw: st.DrawFn, *, always: bool = False, most: int = 10, undo: bool = True
) -> tuple[Plain, Plain, dict[str, int]]:
    """A document without a cycle as JSON has it, an event, and how often which nodes fail.

    Args:
        always: a node that fails does so always.
        most: nodes at most, without those that are fallbacks.
        undo: may they have undos?
    """
    drawing = _Drawing(random.Random(draw(st.integers(0, 2**32))), undo)
    for number in range(draw(st.sampled_from(range(2, most + 1)))):
        drawing.add(number)
    return drawing.case(always)


class _Drawing:
    def __init__(self, chance: random.Random, undo: bool) -> None:
        self._random = chance
        self._undo = undo
        self.nodes: list[Plain] = []
        self.edges: list[Plain] = []
        self._kind: dict[str, str] = {}
        self._unsure: set[str] = set()
        """Nodes whose value depends on which edge was alive first."""

    def case(self, always: bool) -> tuple[Plain, Plain, dict[str, int]]:
        """What was drawn."""
        self._random.shuffle(self.nodes)
        document = {"name": "drawn", "nodes": self.nodes, "edges": self.edges}
        share = self._random.choice([0.0, 0.15, 0.4])
        ids = [node["id"] for node in self.nodes if self._random.random() < share]
        fails = {id: 99 if always else self._one(1, 2, 99) for id in ids}
        return document, {"x": self._random.randint(0, 5)}, fails

    def _one(self, *of: T) -> T:
        return self._random.choice(of)

    def _small(self) -> int:
        return self._random.randint(0, 4)

    def add(self, number: int) -> None:
        id, kind, join = f"n{number}", self._one(*_KINDS), self._one("all", "any")
        node: Plain = {"id": id, "type": f"test_{kind}", "join": join}
        known = list(self._kind)
        before = self._random.sample(known, min(len(known), self._one(0, 1, 1, 2, 2, 3)))
        edges = [self._edge(source, id) for source in before]
        giving = [edge for edge in edges if not edge.get("after") and self._kind[edge["from"]] != "if"]
        self._feed(node, kind, giving, sum(not edge.get("after") for edge in edges) > 1)
        self._test(node, kind, edges, giving)
        self.nodes.append(node)
        self.edges += edges
        self._kind[id] = kind
        if kind != "if":
            self._policies(node, kind)

    def _edge(self, source: str, target: str) -> Plain:
        edge: Plain = {"from": source, "to": target}
        if self._one(*range(6)) == 0:
            edge["after"] = True
        elif self._kind[source] == "if":
            output = self._one("true", "false", "")
            edge |= {"output": output} if output else {}
        return edge

    def _feed(self, node: Plain, kind: str, giving: list[Plain], several: bool) -> None:
        id = node["id"]
        if kind == "give":
            node["params"] = {"value": self._small()}
        if kind == "sum":
            if not giving:
                node["inputs"] = {"value": [self._small()]}
            elif (node["join"] == "any" and several) or any(edge["from"] in self._unsure for edge in giving):
                self._unsure.add(id)
        if kind == "wait":
            node["params"] = {"seconds": self._random.randint(0, 9)}
        if kind not in ("add", "wait", "act"):
            return
        how = self._one("constant", "edge", "edge", "reference", "reference")
        if node["join"] == "any" or not giving or how == "constant":
            node["inputs"] = {"value": self._small()}
            return
        edge = self._one(*giving)
        if how == "edge":
            edge["input"] = "value"
        else:
            node["inputs"] = {"value": f"{{{{{edge['from']}.value}}}}"}
        if edge["from"] in self._unsure:
            self._unsure.add(id)

    def _test(self, node: Plain, kind: str, edges: list[Plain], giving: list[Plain]) -> None:
        sure = [edge["from"] for edge in giving if edge["from"] not in self._unsure and node["join"] == "all"]
        tests = ["event.x", *(f"{source}.value" for source in sure)]
        if kind == "if":
            node["params"] = {"test": f"{self._one(*tests)} > {self._small()}"}
        later = [edge["from"] for edge in edges if edge.get("after") and self._kind[edge["from"]] != "if"]
        unsettled = [f"{source}.value" for source in later if source not in self._unsure]
        tests = unsettled or tests
        if self._one(*range(4 - 2 * bool(unsettled))) == 0:
            test = f"{self._one(*tests)} > {self._small()}"
            missing = self._one("", "error", "false")
            node["when"] = {"test": test, "missing": missing} if missing else test

    def _policies(self, node: Plain, kind: str) -> None:
        if self._one(*range(5)) == 0:
            node["retry"] = {"limit": 1, "delay": "1 second"}
        if self._undo and self._one(True, False):
            node["undo"] = "test_take_back"
        node["onError"] = self._one("stop", "stop", "continue", "continue", "fallback")
        at = node
        while at["onError"] == "fallback":
            instead = {"id": f"{at['id']}f", "type": "test_give", "params": {"value": self._small()}}
            instead["onError"] = self._one("stop", "continue", "fallback") if len(instead["id"]) < 5 else "stop"
            if self._undo and self._one(True, False):
                instead["undo"] = "test_take_back"
            at["onError"] = {"fallback": instead["id"]}
            self.nodes.append(instead)
            at = instead
