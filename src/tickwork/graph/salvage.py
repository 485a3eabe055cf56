"""What can be read of a document that is broken, so that the rest of it is checked all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from tickwork.core.language.lookup import snake_case
from tickwork.graph.document import EDGES_MAX, NODES_MAX, Document, Edge, Limits, Node, TriggerSpec
from tickwork.graph.library import Types
from tickwork.graph.problems import Problem
from tickwork.graph.wiring import Doubts, check

M = TypeVar("M", bound=BaseModel)

_NODE: Final = {"id": "unreadable", "type": ""}
_EDGE: Final = {"from": "", "to": ""}


def further_problems(value: Mapping[str, Any], library: Types, told: Iterable[str]) -> list[Problem]:
    """What is wrong with the parts of a broken document that can be read.

    Args:
        value: the document, which is not one.
        library: the types that its nodes may have.
        told: the paths of what is known to be wrong with it; of what lies inside them nothing is said again.
    """
    try:
        document, doubts = _Salvage(value).document()
    except ValidationError:
        return []  # broken beyond what leaving out fields mends
    known = set(told)
    found = []
    for problem in check(document, library, None, doubts):
        path = problem.path.replace("nodes.[", "nodes[")
        if problem.severity == "error" and not _within(path, known):
            found.append(Problem(path, problem.found, problem.expected, problem.severity, problem.position))
    return found


def _within(path: str, known: set[str]) -> bool:
    return path in known or any(path.startswith((f"{one}.", f"{one}[")) for one in known)


class _Salvage:
    def __init__(self, value: Mapping[str, Any]) -> None:
        self._value = value
        self._reached: set[int] = set()
        self._lacking: set[int] = set()
        self._nameless = False
        self._everywhere = False
        """May an edge lead to any node?"""

    def document(self) -> tuple[Document, Doubts]:
        """What can be read, parts that cannot be in their places as empty ones, and what is not known therefore."""
        rest = {name: one for name, one in self._value.items() if name not in ("nodes", "edges", "triggers", "limits")}
        bare, _ = _readable(Document, {**rest, "nodes": []}, {"name": "document"})
        nodes = [self._node(index, one) for index, one in enumerate(self._list("nodes", NODES_MAX))]
        self._ids = {node.id: index for index, node in enumerate(nodes)}
        self._fallbacks(nodes)
        edges = [self._edge(one) for one in self._list("edges", EDGES_MAX)]
        triggers = [_part(TriggerSpec, one, {"type": ""}) for one in self._list("triggers", NODES_MAX)]
        limits = _part(Limits, self._value.get("limits", {}), {})
        parts = {"nodes": tuple(nodes), "edges": tuple(edges), "triggers": tuple(triggers), "limits": limits}
        reached = range(len(nodes)) if self._everywhere else self._reached
        doubts = Doubts(frozenset(reached), frozenset(self._lacking), self._nameless)
        return bare.model_copy(update=parts), doubts

    def _list(self, name: str, most: int) -> list[Any]:
        found = self._value.get(name, ())
        if isinstance(found, list | tuple) and len(found) <= most:
            return list(found)
        self._nameless |= name == "nodes"
        self._everywhere |= name == "edges"
        return []

    def _node(self, index: int, value: Any) -> Node:
        if not isinstance(value, Mapping):
            self._unnamed(index)
            return Node.model_construct(id=f"[{index}]", type="")
        node, broken = _readable(Node, value, _NODE)
        if "id" in broken:
            id = value.get("id")
            if not isinstance(id, str) or not id:
                self._unnamed(index)
            node = node.model_copy(update={"id": id if isinstance(id, str) and id else f"[{index}]"})
        # what stands under an unknown name may be what the node lacks
        unknown = {name for name in value if snake_case(str(name)) not in Node.model_fields}
        if broken & {"params", "inputs"} or any(isinstance(value[name], Mapping) for name in unknown):
            self._lacking.add(index)
        if "join" in broken:
            self._reached.add(index)
        return node

    def _unnamed(self, index: int) -> None:
        """What leads to a node whose id nobody knows is not known either."""
        self._nameless = True
        self._reached.add(index)

    def _fallbacks(self, nodes: list[Node]) -> None:
        """A node that a broken ``onError`` names may be a fallback, which has no edges of its own."""
        raw = self._value.get("nodes")
        assert raw is None or isinstance(raw, list | tuple) or not nodes
        for value in raw if nodes and raw else ():
            said = value.get("onError", value.get("on_error")) if isinstance(value, Mapping) else None
            named = said.values() if isinstance(said, Mapping) else [said]
            self._reached |= {self._ids[one] for one in named if isinstance(one, str) and one in self._ids}

    def _edge(self, value: Any) -> Edge:
        if not isinstance(value, Mapping):
            self._everywhere = True
            return Edge.model_validate(_EDGE)
        edge, broken = _readable(Edge, value, _EDGE)
        if broken:
            self._everywhere |= edge.to not in self._ids
            self._reached.add(self._ids.get(edge.to, -1))
        return edge


def _part(model: type[M], value: Any, needed: Mapping[str, Any]) -> M:
    return _readable(model, value if isinstance(value, Mapping) else {}, needed)[0]


def _readable(model: type[M], value: Mapping[str, Any], needed: Mapping[str, Any]) -> tuple[M, set[str]]:
    """A part without those of its fields that cannot be read, and the names of these in snake_case.

    Args:
        needed: values of the fields that a part must have, where they cannot be read.

    Raises:
        ValidationError: it cannot be read even so.
    """
    try:
        return model.model_validate(value), set()
    except ValidationError as error:
        broken = {snake_case(str(one["loc"][0])) for one in error.errors(include_url=False)}
    left = {name: one for name, one in value.items() if snake_case(str(name)) not in broken}
    stand_in = {name: one for name, one in needed.items() if name in broken}
    return model.model_validate({**left, **stand_in}), broken
