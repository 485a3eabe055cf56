"""Which branches lead to a node: nodes that can never run, that hang in the air, whose edges exclude each other."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import and_, or_

from tickwork.graph.problems import Problems
from tickwork.graph.wiring.edges import Shape
from tickwork.graph.wiring.names import Reading
from tickwork.graph.wiring.planned import Link

Demands = dict[int, str]
"""Branches that must have been taken, by node."""


class Reach:
    """What must have happened for each node to run. Of a shape without cycles."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._of: list[Demands | None] = [None] * len(shape.document.nodes)
        self._done = [0] * len(shape.document.nodes)
        """By node: a bit for each that has run whenever this one does."""
        for index in shape.order:
            self._of[index] = self._demands(index)
            self._done[index] = self._surely(index)

    def warn(self, problems: Problems) -> None:
        """Of nodes that are likely not what their author meant."""
        shape, nodes = self._shape, self._shape.document.nodes
        for index in shape.order:
            if self._of[index] is None:
                told = "branches that exclude each other, or a node that never runs"
                problems.warn(f"nodes.{nodes[index].id}", f"it waits for {told}", "join: any, or fewer edges to it")
        for index, node in enumerate(nodes):
            alone = not shape.incoming[index] and not shape.outgoing[index]
            if alone and len(nodes) > 1 and index not in shape.stands_for and index not in shape.fallbacks:
                problems.warn(
                    f"nodes.{node.id}", "no edge from it or to it", "edges: without one it runs beside the others"
                )

    def warn_of_readings(self, index: int, readings: Iterable[Reading], problems: Problems) -> None:
        """Of expressions of a node that read one which may not have run when this one does."""
        for one in readings:
            if not self._done[index] >> one.source & 1:
                id_ = self._shape.document.nodes[one.source].id
                told = f"a node that has always run by then: {id_!r} may have been skipped, and then this fails"
                problems.warn(one.path, one.found, told)

    def choosing(self, index: int) -> bool:
        """May several edges to a ``join: any`` be alive, so that it depends on time which is the first?"""
        shape = self._shape
        each = [found for link in shape.before(index) if (found := self._through(link)) is not None]
        if not shape.any(index) or len(each) < 2:
            return False
        return not any(
            len({one[source] for one in each if source in one}) == len(each)
            for source in each[0]
            if source not in shape.fallbacks
        )

    def _demands(self, index: int) -> Demands | None:
        """What must have been taken for a node to run; ``None``: it never does."""
        shape = self._shape
        links = shape.before(index)
        each = [found for link in links if (found := self._through(link)) is not None]
        if not links:
            return {}
        if shape.any(index):
            return _common(each) if each else None
        if len(each) < len(links):
            return None
        together: Demands = {}
        for one in each:
            for source, branch in one.items():
                if together.setdefault(source, branch) != branch:
                    return None
        return together

    def _surely(self, index: int) -> int:
        shape = self._shape
        links = shape.incoming[shape.main(index)]
        each = [self._done[link.source] | (1 << link.source) for link in links if not link.after]
        found = reduce(and_, each) if each and shape.any(index) else reduce(or_, each, 0)
        for link in links:
            if link.after:  # how that one ended is for the author to know
                found |= self._done[link.source] | (1 << link.source)
        return found | (1 << index)

    def _through(self, link: Link) -> Demands | None:
        """What must have been taken for an edge to be alive."""
        before = self._of[link.source]
        if before is None or not link.branch:
            return before
        if before.get(link.source, link.branch) != link.branch:
            return None
        return {**before, link.source: link.branch}


def _common(each: list[Demands]) -> Demands:
    return {source: branch for source, branch in each[0].items() if all(one.get(source) == branch for one in each)}
