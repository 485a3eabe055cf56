"""Where branches of one question meet again.

Foreign graphs run a node as soon as its inputs are done; here ``join: all`` needs every edge alive, and of two branches
of one node only one ever is. A node behind both of them becomes ``join: any``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from tickwork.graph.declare import NodeType
from tickwork.graph.problems import Problems

Taken = frozenset[tuple[str, str]]
"""Branches that must have been taken: node and branch."""


def join_branches(
    nodes: list[dict[str, Any]],
    edges: list[dict[str, Any]],
    types: Mapping[str, NodeType],
    problems: Problems,
    note: Callable[[str], None],
) -> None:
    """Set ``join: any`` where all edges of a node exclude each other."""
    into: dict[str, list[dict[str, Any]]] = {node["id"]: [] for node in nodes}
    for edge in edges:
        if not edge.get("after") and edge["to"] in into:
            into[edge["to"]].append(edge)
    branches = {node["id"]: types[node["id"]].branches_of(node["params"]) for node in nodes}
    needed: dict[str, Taken] = {}
    left = {node["id"]: node for node in nodes}
    while ready := [one for one in left if all(edge["from"] not in left for edge in into[one])]:
        for id_ in ready:
            node = left.pop(id_)
            behind = [_behind(edge, needed, branches) for edge in into[id_]]
            needed[id_] = _needed(node, behind, problems, note)


def _behind(edge: Mapping[str, Any], needed: Mapping[str, Taken], branches: Mapping[str, tuple[str, ...]]) -> Taken:
    source, output = edge["from"], edge.get("output", "")
    before: Taken = needed.get(source, frozenset())
    return before | {(source, output)} if output in branches.get(source, ()) else before


def _needed(node: dict[str, Any], behind: list[Taken], problems: Problems, note: Callable[[str], None]) -> Taken:
    whole: Taken = frozenset().union(*behind)
    pairs = list(combinations(behind, 2))
    excluding = [pair for pair in pairs if _exclude(*pair)]
    if not excluding:
        return whole
    if len(excluding) < len(pairs):
        expected = "no two inputs on branches of which only one is taken: put a node where the branches meet"
        problems.add(f"nodes.{node['id']}", f"{len(behind)} edges", expected)
        return frozenset()
    node["join"] = "any"
    note(f"{node['id']}: branches meet here, so it runs after whichever was taken (join: any)")
    return frozenset.intersection(*behind)


def _exclude(one: Taken, other: Taken) -> bool:
    branches = dict(one)
    return any(branches.get(source, output) != output for source, output in other)
