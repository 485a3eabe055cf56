"""Nodes that can never run, and nodes that hang in the air: likely not what their author meant."""

from __future__ import annotations

from tickwork.graph.edges import Shape
from tickwork.graph.problems import Problems

Demands = dict[int, str]
"""Branches that must have been taken, by node."""


def unreached(shape: Shape, problems: Problems) -> None:
    """Warn of them."""
    nodes = shape.document.nodes
    demands: list[Demands | None] = [None] * len(nodes)
    for index in shape.order:
        demands[index] = _demands(shape, index, demands)
        if demands[index] is None:
            told = "branches that exclude each other, or a node that never runs"
            problems.warn(f"nodes.{nodes[index].id}", f"it waits for {told}", "join: any, or fewer edges to it")
    for index, node in enumerate(nodes):
        alone = not shape.incoming[index] and not shape.outgoing[index]
        if alone and len(nodes) > 1 and index not in shape.stands_for and index not in shape.fallbacks:
            problems.warn(
                f"nodes.{node.id}", "no edge from it or to it", "edges: without one it runs beside the others"
            )


def _demands(shape: Shape, index: int, known: list[Demands | None]) -> Demands | None:
    """What must have been taken for a node to run; ``None``: it never does."""
    links = [link for link in shape.incoming[shape.stands_for.get(index, index)] if not link.after]
    each: list[Demands] = []
    for link in links:
        before = known[link.source]
        if before is None:
            continue
        if link.branch and before.get(link.source, link.branch) != link.branch:
            continue
        each.append({**before, link.source: link.branch} if link.branch else before)
    if not links:
        return {}
    if shape.document.nodes[index].join == "any":
        return _common(each) if each else None
    if len(each) < len(links):
        return None
    together: Demands = {}
    for one in each:
        for source, branch in one.items():
            if together.setdefault(source, branch) != branch:
                return None
    return together


def _common(each: list[Demands]) -> Demands:
    return {source: branch for source, branch in each[0].items() if all(one.get(source) == branch for one in each)}
