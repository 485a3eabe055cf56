"""When a node runs, as a Python condition of what ran before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from tickwork.errors import InvalidInput
from tickwork.graph.wiring.planned import Link, Plan


class Fact(NamedTuple):
    """Something that is known of a node: that it ran, or took a branch; of one with ``join: any``, that it may run."""

    node: int
    branch: str = ""
    any: bool = False


Facts = frozenset[Fact]


class Guards:
    """What must be true for each node of a plan to run.

    Raises:
        InvalidInput: a node with ``join: any`` of which several edges may be alive.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[int, Facts] = {}
        """By node: everything that is true where it runs."""
        for index in plan.order:
            self._known[index] = self._facts(index)

    def certain(self, source: int, target: int) -> bool:
        """Did a node run wherever another one does?"""
        return self._done(source) <= self._known[target]

    def text(self, index: int, variables: Sequence[str]) -> str:
        """The condition; nothing where it always runs."""
        facts = self._known[index]
        implied = {other for fact in facts for other in self._implied(fact) if other != fact}
        left = sorted(fact for fact in facts if fact not in implied)
        spelled = [self._spelled(fact, variables) for fact in left]
        return (
            spelled[0] if len(spelled) == 1 else " and ".join(f"({one})" if " or " in one else one for one in spelled)
        )

    def _facts(self, index: int) -> Facts:
        planned = self._plan.nodes[index]
        carrying = [link for link in planned.incoming if not link.after]
        alive = [self._alive(link) for link in carrying]
        if not planned.any or len(carrying) < 2:
            return frozenset().union(*alive)
        for one, other in combinations(alive, 2):
            if not _exclude(one, other):
                expected = "join: all, or branches of which only one is taken: write this one by hand"
                raise InvalidInput(f"nodes.{planned.id}.join", "any", expected)
        return frozenset.intersection(*alive) | {Fact(index, any=True)}

    def _alive(self, link: Link) -> Facts:
        """Everything that is true where an edge is alive."""
        found = self._done(link.source)
        return found | {Fact(link.source, link.branch)} if link.branch else found

    def _done(self, index: int) -> Facts:
        node = self._plan.nodes[index].node
        may_not = node.when is not None or node.on_error != "stop"
        return self._known[index] | ({Fact(index)} if may_not else frozenset())

    def _implied(self, fact: Fact) -> Facts:
        return self._known[fact.node] if fact.any else self._done(fact.node)

    def _spelled(self, fact: Fact, variables: Sequence[str]) -> str:
        if fact.any:
            links = [link for link in self._plan.nodes[fact.node].incoming if not link.after]
            return " or ".join(self._edge(link, variables) for link in links)
        return self._edge(Link(fact.node, -1, fact.branch), variables)

    def _edge(self, link: Link, variables: Sequence[str]) -> str:
        name = variables[link.source]
        if not link.branch:
            return f"{name} is not None"
        return f"took({name}, {json.dumps(link.branch, ensure_ascii=False)})"


def _exclude(one: Facts, other: Facts) -> bool:
    """Can they not both be true?"""
    branches = {(fact.node, fact.branch) for fact in one if fact.branch}
    taken = {fact.node: fact.branch for fact in other if fact.branch}
    return any(taken.get(node, branch) != branch for node, branch in branches)
