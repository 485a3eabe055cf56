"""Cycles of a graph: one for each part of it in which everything comes before everything else, and every loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def cycles(after: Sequence[Sequence[int]], among: Sequence[int]) -> list[list[int]]:
    """One cycle of each strongly connected part, and each node that comes right before itself.

    Args:
        after: by node: the nodes right after it.
        among: the nodes to look at.

    Returns:
        Each from its first node on, in the order of those; of a part, a shortest one through its first node.
    """
    found = [[index] for index in among if index in after[index]]
    for part in _parts(after, set(among)):
        if len(part) > 1:
            found.append(_shortest(after, part, min(part)))
    return sorted(found)


def _parts(after: Sequence[Sequence[int]], left: set[int]) -> list[set[int]]:
    """The strongly connected parts: of each node, what it reaches and what reaches it (Kosaraju's two passes)."""
    before: dict[int, list[int]] = {index: [] for index in left}
    for index in left:
        for target in after[index]:
            if target in left:
                before[target].append(index)
    found, taken = [], set[int]()
    for index in reversed(_finished(after, left)):
        if index not in taken:
            part = _reached(before, index, taken)
            taken |= part
            found.append(part)
    return found


def _finished(after: Sequence[Sequence[int]], left: set[int]) -> list[int]:
    """The nodes in the order in which a walk in depth leaves them."""
    order: list[int] = []
    seen: set[int] = set()
    for first in sorted(left):
        stack = [(first, iter(after[first]))] if first not in seen else []
        seen.add(first)
        while stack:
            index, targets = stack[-1]
            target = next((one for one in targets if one in left and one not in seen), None)
            if target is None:
                order.append(index)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(after[target])))
    return order


def _reached(before: dict[int, list[int]], first: int, taken: set[int]) -> set[int]:
    found, left = {first}, [first]
    while left:
        for source in before[left.pop()]:
            if source not in found and source not in taken:
                found.add(source)
                left.append(source)
    return found


def _shortest(after: Sequence[Sequence[int]], part: set[int], first: int) -> list[int]:
    """A shortest way within a part from a node back to it."""
    came: dict[int, int] = {}
    left = deque([first])
    while left:
        index = left.popleft()
        for target in after[index]:
            if target == first and index != first:
                way = [index]
                while way[-1] != first:
                    way.append(came[way[-1]])
                return way[::-1]
            if target in part and target != first and target not in came:
                came[target] = index
                left.append(target)
    raise AssertionError
