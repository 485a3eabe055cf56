"""The shape of a document: its edges by number, in an order, without cycles; what lies before what."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tickwork.core.expressions import compile_template
from tickwork.errors import InvalidInput
from tickwork.graph.declare import BRANCH, NodeType
from tickwork.graph.document import Document, Edge, Fallback
from tickwork.graph.problems import Problems, nearest
from tickwork.graph.wiring.cycles import cycles
from tickwork.graph.wiring.planned import Link

RESERVED: Final = frozenset(
    {"input", "event", "trigger", "and", "or", "not", "in", "is", "if", "else", "true", "false", "null", "none"}
)
"""Ids that would mean something else in an expression."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """What is not known of a document, because parts of it cannot be read: of that nobody complains."""

    reached: frozenset[int] = frozenset()
    """Nodes that edges or fallbacks may lead to which could not be read."""
    lacking: frozenset[int] = frozenset()
    """Nodes whose params and inputs could not all be read."""
    ids: bool = False
    """Are there nodes whose ids nobody knows?"""


class Shape:
    """Numbers the nodes of a document and orders them.

    Args:
        types: of each node, by its number; ``None`` where there is no such type.
        doubts: what could not be read.
    """

    def __init__(
        self, document: Document, types: list[NodeType | None], problems: Problems, doubts: Doubts | None = None
    ) -> None:
        self.document = document
        self.types = types
        self._problems = problems
        self.doubts = doubts or Doubts()
        self._doubtful = set(self.doubts.reached)
        self.ids: dict[str, int] = {}
        for index, node in enumerate(document.nodes):
            if node.id.lower() in RESERVED:
                problems.add(f"nodes.{node.id}.id", node.id, "an id that means nothing else in an expression")
            if self.ids.setdefault(node.id, index) != index:
                problems.add(f"nodes[{index}].id", node.id, f"an id that nodes[{self.ids[node.id]}] has not taken")
        self.links: list[Link] = []
        self.ports: dict[tuple[int, str], list[tuple[int, str]]] = {}
        """By node and input port: the nodes and output ports that edges name for it."""
        self.hints: dict[tuple[int, int], list[str]] = {}
        """By source and target: output ports that edges name without saying what for."""
        self.fallbacks: dict[int, int] = {}
        """The node that runs in place of another, by that one."""
        self.stands_for: dict[int, int] = {}
        """The other way round."""
        self._read_fallbacks()
        for number, edge in enumerate(document.edges):
            self._read_edge(edge, f"edges[{number}]")
        self._read_references()
        self._warn_of_twins()
        self.links = list(dict.fromkeys(self.links))
        self.incoming = self._by(lambda link: link.target)
        self.outgoing = self._by(lambda link: link.source)
        self.order = self._sorted()
        self.earlier = self._closure()
        """By node: a bit for each node that comes before it."""
        self.unsure = self._unsure()
        """A bit for each node of which it is not known all that comes before it, and what that gives."""
        self.producing: dict[str, int] = {}
        """By output port: a bit for each node that has it."""
        for index, type in enumerate(types):
            for name in () if type is None else type.outputs:
                if name != BRANCH:
                    self.producing[name] = self.producing.get(name, 0) | (1 << index)

    # -- reading --------------------------------------------------------------------------------------------------

    def _find(self, id: str, path: str) -> int:
        """The number of a node; -1, and a problem, where there is none."""
        found = self.ids.get(id, -1)
        if found < 0 and not self.doubts.ids:
            self._problems.add(path, id, f"the id of a node: {nearest(id, self.ids)}")
        return found

    def _read_fallbacks(self) -> None:
        for index, node in enumerate(self.document.nodes):
            if not isinstance(node.on_error, Fallback):
                continue
            path = f"nodes.{node.id}.onError.fallback"
            found = self._find(node.on_error.fallback, path)
            if found == index:
                self._problems.add(path, node.id, "another node")
            elif found in self.stands_for:
                self._problems.add(path, node.on_error.fallback, "a node that stands for no other one")
            elif found >= 0:
                self.fallbacks[index], self.stands_for[found] = found, index

    def _read_edge(self, edge: Edge, path: str) -> None:
        source, target = self._find(edge.from_, f"{path}.from"), self._find(edge.to, f"{path}.to")
        if source < 0 or target < 0:
            self._doubtful.add(target)
            return
        if target in self.stands_for:
            main = self.document.nodes[self.stands_for[target]]
            expected = f"no edge to it: it takes those of {main.id!r}, in whose place it runs"
            self._problems.add(f"{path}.to", edge.to, expected)
            return
        giving, taking = self.types[source], self.types[target]
        branches = () if giving is None else giving.branches_of(self.document.nodes[source].params)
        branch = edge.output in branches
        if edge.after and (edge.output or edge.input):
            self._problems.add(f"{path}.after", True, "no ports: an edge that only orders carries nothing")
        elif edge.output and not branch and giving is not None and not self._gives(giving, edge.output):
            known = [*branches, *(name for name in giving.outputs if name != BRANCH)]
            self._problems.add(
                f"{path}.output", edge.output, f"an output of {giving.name}: {nearest(edge.output, known)}"
            )
        elif edge.input and taking is not None and edge.input not in taking.inputs:
            expected = f"an input of {taking.name}: {nearest(edge.input, taking.inputs)}"
            self._problems.add(f"{path}.input", edge.input, expected)
        self.links.append(Link(source, target, edge.output if branch else "", edge.after))
        if edge.input and not edge.after:
            self.ports.setdefault((target, edge.input), []).append((source, "" if branch else edge.output))
        elif edge.output and not branch:
            self.hints.setdefault((source, target), []).append(edge.output)

    def _warn_of_twins(self) -> None:
        """Of edges that say nothing that another has not said."""
        seen: dict[tuple[object, ...], int] = {}
        for number, edge in enumerate(self.document.edges):
            first = seen.setdefault((edge.from_, edge.to, edge.output, edge.input, edge.after), number)
            if first != number:
                told = f"{edge.from_} -> {edge.to} a second time"
                self._problems.warn(f"edges[{number}]", told, f"each edge once: it is edges[{first}] again")

    @staticmethod
    def _gives(type: NodeType, output: str) -> bool:
        return type.open or output in type.outputs

    def _read_references(self) -> None:
        """A reference in a node's inputs makes an edge, where there is none yet."""
        linked = {(link.source, link.target) for link in self.links}
        for index, node in enumerate(self.document.nodes):
            if index in self.stands_for:
                continue
            for name, value in node.inputs.items():
                for source in self._referred(value, f"nodes.{node.id}.inputs.{name}"):
                    if source != index and (source, index) not in linked:
                        linked.add((source, index))
                        self.links.append(Link(source, index))

    def _referred(self, value: object, path: str) -> Iterable[int]:
        try:
            paths = compile_template(value).paths
        except InvalidInput:
            return []  # complained of where the port is resolved
        return [self.ids[str(one.parts[0])] for one in paths if str(one.parts[0]) in self.ids]

    # -- ordering -------------------------------------------------------------------------------------------------

    def _by(self, end: Callable[[Link], int]) -> list[list[Link]]:
        found: list[list[Link]] = [[] for _ in self.document.nodes]
        for link in self.links:
            found[end(link)].append(link)
        return found

    def _next(self, index: int) -> list[int]:
        """The nodes that wait for this one."""
        found = [link.target for link in self.outgoing[index]]
        stand_in = self.fallbacks.get(index)
        if stand_in is not None:
            # whoever waits for the node waits for the one in its place as well
            found.append(stand_in)
        for main in self.mains(index)[1:]:
            found += [link.target for link in self.outgoing[main]]
        return found

    def _sorted(self) -> list[int]:
        """The nodes in the document's order, as far as the edges allow. Of cycles it complains."""
        after = [self._next(index) for index in range(len(self.document.nodes))]
        waits = [0] * len(after)
        for targets in after:
            for target in targets:
                waits[target] += 1
        ready = deque(index for index, count in enumerate(waits) if not count)
        order: list[int] = []
        while ready:
            index = ready.popleft()
            order.append(index)
            for target in after[index]:
                waits[target] -= 1
                if not waits[target]:
                    ready.append(target)
        left = [index for index, count in enumerate(waits) if count]
        for cycle in cycles(after, left):
            names = [self.document.nodes[index].id for index in cycle]
            self._problems.add("edges", " -> ".join([*names, names[0]]), "no cycle: a node cannot come before itself")
        self._doubtful.update(left)
        return [*order, *left]

    def _closure(self) -> list[int]:
        earlier = [0] * len(self.document.nodes)
        for index in self.order:
            for link in self.incoming[self.main(index)]:
                earlier[index] |= earlier[link.source] | (1 << link.source)
        return earlier

    def _unsure(self) -> int:
        unknown = sum(1 << index for index, type in enumerate(self.types) if type is None)
        doubtful = sum(1 << index for index in self._doubtful if index >= 0)
        found = 0
        for index, earlier in enumerate(self.earlier):
            if (earlier | (1 << self.main(index)) | (1 << index)) & doubtful or earlier & unknown:
                found |= 1 << index
        return found

    def before(self, index: int) -> list[Link]:
        """The edges that bring values to a node; a stand-in's are those of the node it stands for."""
        return [link for link in self.incoming[self.main(index)] if not link.after]

    def main(self, index: int) -> int:
        """The node whose edges count for this one: the first of the nodes that it stands for, else itself."""
        return self.mains(index)[-1]

    def mains(self, index: int) -> list[int]:
        """The node, the one that it stands for, the one that this one stands for, and so on."""
        found = [index]
        while (above := self.stands_for.get(found[-1], index)) not in found:
            found.append(above)
        return found

    def stand_ins(self, index: int) -> list[int]:
        """The nodes that run, one after the other, when this one has failed."""
        found: list[int] = []
        while (below := self.fallbacks.get(found[-1] if found else index, index)) not in (index, *found):
            found.append(below)
        return found

    def any(self, index: int) -> bool:
        """Does the node run as soon as one edge to it is alive?"""
        return self.document.nodes[self.main(index)].join == "any"


def bits(mask: int) -> list[int]:
    """The numbers of a mask's bits, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
