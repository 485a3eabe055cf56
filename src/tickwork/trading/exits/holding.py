"""Plans that are for more than is held: which of them give way, and by how much.

What claims hold may have been sold already, where nobody has told the plan of that fill yet: it stays. So what can be
taken of a plan is what is free of it, and the rest is looked at again when its claims have ended.

The plan that was opened first is kept longest: the newest gives way first. Before all of them go those of whose orders
a late fill may still be heard of, by as much as that may be, because it is likely what is missing. Such a fill counts
no second time when it is told (``PlanState.taken``). Where it may be of several plans the newest gives way; if it was
another's, they are for less than is held by that fill once it is told, never for more.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from tickwork.trading.exits.fractions import ZERO
from tickwork.trading.exits.legs import sum_of
from tickwork.trading.exits.state import PlanState
from tickwork.values import EXACT


def too_much(states: Sequence[PlanState], held: Decimal) -> dict[str, Decimal]:
    """What the plans of one account, workflow, symbol give way to a holding.

    Args:
        states: where they stand, both sides.
        held: base units that the workflow holds; below zero for a short.

    Returns:
        Base units by plan, above zero, at most what is free of it.
    """
    found = dict[str, Decimal]()
    for longs in (True, False):
        side = [state for state in states if state.plan.is_long is longs]
        there = max(held if longs else held.copy_negate(), ZERO)
        found |= _of_side(side, there)
    return found


def _of_side(states: list[PlanState], held: Decimal) -> dict[str, Decimal]:
    over = EXACT.subtract(sum_of(state.free for state in states), held)
    found = dict[str, Decimal]()
    newest = sorted(states, key=lambda state: (state.plan.opened_ns, state.plan.id), reverse=True)
    missed = [(state, min(EXACT.subtract(state.late, state.taken), state.free)) for state in newest]
    for state, most in (*missed, *((state, state.free) for state in newest)):
        before = found.get(state.plan.id, ZERO)
        part = min(over, max(EXACT.subtract(most, before), ZERO))
        if part > 0:
            found[state.plan.id] = EXACT.add(before, part)
            over = EXACT.subtract(over, part)
    return found
