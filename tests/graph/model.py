"""What a document means, as a plain recursive function: the reference that the runner is compared with.

Of documents as ``drawing`` makes them, which name their inputs so that nothing needs to be resolved here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

UNSURE = object()
"""A value that depends on which of several edges was alive first."""

Plain = dict[str, Any]


@dataclass
class Ended:
    """What became of a node."""

    status: str
    value: Any = None
    branch: str = ""
    done: bool = False
    """Do edges from it live? (It, or its fallback, was done.)"""


@dataclass
class Model:
    """The meaning of a document, for an event and the nodes that fail.

    Args:
        fails: how often a node fails, by id.
    """

    document: Plain
    event: Plain
    fails: dict[str, int]
    ends: dict[str, Ended] = field(default_factory=dict)
    stops: set[str] = field(default_factory=set)
    """Nodes whose failure fails the run."""

    def __post_init__(self) -> None:
        self.nodes: dict[str, Plain] = {node["id"]: node for node in self.document["nodes"]}
        self.mains = {self._fallback(node): id for id, node in self.nodes.items() if self._fallback(node)}
        for id in self.nodes:
            self.of(id)

    def of(self, id: str) -> Ended:
        """What becomes of a node."""
        if id not in self.ends:
            self.ends[id] = self._end(id)
        return self.ends[id]

    def links(self, id: str) -> list[Plain]:
        """The edges to a node, references among them."""
        found = [edge for edge in self.document["edges"] if edge["to"] == id]
        for value in self.nodes[id].get("inputs", {}).values():
            source = _referred(value)
            if source and all(edge["from"] != source for edge in found):
                found.append({"from": source, "to": id})
        return found

    def alive(self, link: Plain) -> bool:
        """Does an edge live?"""
        source = self.of(link["from"])
        return bool(link.get("after")) or (source.done and link.get("output", "") in ("", source.branch))

    def after(self, id: str) -> set[str]:
        """The nodes that come after one, and those in whose place it ran."""
        found: set[str] = set()
        left = [id]
        while left:
            at = left.pop()
            near = {node for node in self.nodes if any(link["from"] == at for link in self.links(node))}
            near |= {self._fallback(self.nodes[at])} - {""}
            near |= {self.mains[at]} if at in self.mains else set()
            left += near - found
            found |= near
        return found - {id}

    # -- one node -------------------------------------------------------------------------------------------------

    @staticmethod
    def _fallback(node: Plain) -> str:
        policy = node.get("onError", "stop")
        return str(policy["fallback"]) if isinstance(policy, dict) else ""

    def _end(self, id: str) -> Ended:
        node = self.nodes[id]
        if id in self.mains and self.of(self.mains[id]).status != "failed":
            return Ended("skipped")
        end = self.of_itself(id)
        if end.status != "failed":
            return end
        fallback = self._fallback(node)
        if fallback:
            instead = self._instead(fallback)
            return Ended("failed", instead.value, "", instead.done)
        if node.get("onError", "stop") == "stop":
            self.stops.add(id)
        return end

    def _instead(self, id: str) -> Ended:
        end = self.of_itself(id)
        if end.status == "failed" and self._fallback(self.nodes[id]):
            return self._instead(self._fallback(self.nodes[id]))
        return end

    def of_itself(self, id: str) -> Ended:
        """What becomes of a node, whatever then becomes of its fallback."""
        node, links = self.nodes[id], self.links(id)
        carrying = [link for link in links if not link.get("after")]
        alive = [link for link in carrying if self.alive(link)]
        enough = bool(alive) if node.get("join") == "any" else len(alive) == len(carrying)
        if carrying and not enough:
            return Ended("skipped")
        holds = self._when(node.get("when"))
        if holds is False:
            return Ended("skipped")
        if holds is None or self._dies(node):
            return Ended("failed")
        if node["type"] == "test_if":
            return Ended("completed", None, "true" if self._test(node["params"]["test"]) else "false", True)
        return Ended("completed", self._value(node, alive), "", True)

    def _dies(self, node: Plain) -> bool:
        tries = 1 if node["type"] == "test_act" else 1 + node.get("retry", {}).get("limit", 0)
        return node["type"] != "test_if" and self.fails.get(node["id"], 0) >= tries

    def _when(self, when: Any) -> bool | None:
        """``None``: it cannot be said."""
        if when is None:
            return True
        text, missing = (when, "error") if isinstance(when, str) else (when["test"], when["missing"])
        found = self._test(text)
        return (False if missing == "false" else None) if found is None else found

    def _test(self, text: str) -> bool | None:
        name, limit = re.fullmatch(r"(\w+)\.\w+ > (-?\d+)", text).groups()  # type: ignore[union-attr]
        value = self.event["x"] if name == "event" else self.of(name).value if self.of(name).done else None
        assert value is not UNSURE
        return None if value is None else value > int(limit)

    def _value(self, node: Plain, alive: list[Plain]) -> Any:
        type, params = node["type"], node.get("params", {})
        if type == "test_give":
            return params.get("value", 1)
        if type == "test_sum" and "value" not in node.get("inputs", {}):
            return self._total(node, alive)
        given = node.get("inputs", {}).get("value")
        named = [link["from"] for link in alive if link.get("input")]
        source = named[0] if named else _referred(given)
        value = self.of(source).value if source else sum(given) if isinstance(given, list) else given
        return UNSURE if value is UNSURE else value + (params.get("by", 1) if type == "test_add" else 0)

    def _total(self, node: Plain, alive: list[Plain]) -> Any:
        values = [self.of(source).value for source in dict.fromkeys(link["from"] for link in alive)]
        values = [value for value in values if value is not None]
        many = len({link["from"] for link in alive}) > 1 and node.get("join") == "any"
        return UNSURE if many or UNSURE in values else sum(values)


def _referred(value: Any) -> str:
    found = re.fullmatch(r"\{\{(\w+)\.value\}\}", value) if isinstance(value, str) else None
    return found[1] if found else ""
