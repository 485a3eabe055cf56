"""Rules on positions: the index tells what a look at everything would, also when it is loaded again."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.market.alert_model import SECOND, SYMBOLS
from tests.market.rule_model import Model, Told, tell
from tickwork.market.position_rules import Position, PositionRule, RuleState
from tickwork.market.rule_events import RuleCancelled, RuleRearmed, RuleSet, RuleTriggered, position_rules
from tickwork.market.rule_index import RuleIndex

BTC = SYMBOLS[0]

rules_ = st.builds(
    lambda id, kind, threshold, symbol, recurring, margin: PositionRule(
        id,
        "me" if id in "abc" else "you",
        kind,
        threshold if kind.startswith("price") else 3,
        symbol,
        recurring,
        margin,
    ),
    st.sampled_from("abcdef"),
    st.sampled_from(["price_above", "price_below", "delta_breach", "dte_warning"]),
    st.sampled_from(["97", "100", "103"]),
    st.sampled_from([None, BTC]),
    st.booleans(),
    st.sampled_from(["0", "0.02"]),
)
told_positions = st.tuples(
    st.sampled_from(["me", "you"]),
    st.sampled_from(SYMBOLS),
    st.sampled_from([0, 1, -1]),
    st.sampled_from([None, "2", "3", "-4"]),
    st.sampled_from([None, 2, 3, 4]),
    st.integers(-1, 2),
)
told_prices = st.tuples(st.sampled_from(SYMBOLS), st.integers(95, 105), st.integers(-1, 3))
happenings = st.lists(st.one_of(rules_, st.sampled_from("abcdef"), told_positions, told_prices), max_size=60)


def timed(happened: list[Any], *, late: bool = True) -> list[tuple[Any, int]]:
    """What happened with its time (ns), of which no two are the same; positions made of their parts."""
    now, found = 10, []
    for index, what in enumerate(happened):
        step = what[-1] if isinstance(what, tuple) else 0
        now += step if late else abs(step)
        at = now * SECOND + index
        if isinstance(what, tuple) and len(what) == 6:
            owner, symbol, quantity, delta, dte, _ = what
            found.append((Position(owner, symbol, quantity, delta, dte, at_ns=at), at))
        else:
            found.append((what, at))
    return found


@given(happenings, st.sampled_from([0, 4]))
def test_the_index_tells_what_a_look_at_everything_would(happened: list[Any], throttle: int) -> None:
    index, model = RuleIndex(f"{throttle}s"), Model(throttle * SECOND)
    told: list[Told] = []
    for what, at in timed(happened):
        told += tell(index, what, at)
        if isinstance(what, PositionRule):
            model.set(what)
        elif isinstance(what, str):
            model.cancel(what)
        elif isinstance(what, Position):
            model.position(what)
        else:
            model.price(what[0], Decimal(what[1]), at)
        assert told == model.told
    assert {one.id: one for owner in ("me", "you") for one in index.of(owner)} == {
        id: one for id, (one, _) in model.rules.items()
    }


class Kept:
    """The view, folded here."""

    def __init__(self) -> None:
        self.states: dict[str, RuleState] = {}

    def note(self, event: RuleSet | RuleCancelled | RuleTriggered | RuleRearmed) -> None:
        read = type(event).from_wire(event.to_wire())
        assert read == event
        state = position_rules.fold(self.states.pop(event.id, None), read)
        if state is not None:
            self.states[event.id] = position_rules.codec.round_trip(state, "state")[1]
            assert self.states[event.id] == state


def apply(index: RuleIndex, kept: Kept, what: Any, at: int) -> list[Told]:
    """What happened, with its events."""
    if isinstance(what, PositionRule):
        kept.note(RuleSet.of(what, index.seen(what)))
        index.set(what)
    elif isinstance(what, str) and index.cancel(what):
        kept.note(RuleCancelled(id=what, owner="somebody"))
    fired = []
    if isinstance(what, Position):
        fired = index.on_position(what)
    elif isinstance(what, tuple):
        fired = index.on_price(what[0], Decimal(what[1]), at)
    told: list[Told] = [("rearmed", one.id, one.symbol, one.at_ns) for one in index.rearmed]
    for rearmed in index.rearmed:
        kept.note(RuleRearmed.of(rearmed))
    index.rearmed.clear()
    for one in fired:
        kept.note(RuleTriggered.of(one, "", None))
        told.append(("fired", one.rule.id, one.position.symbol, one.at_ns))
    return told


@given(happenings, st.data())
def test_an_index_that_is_loaded_goes_on_as_the_one_before(happened: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(happened)), label="cut")
    # a position told after a price of its time would be judged by that when it is fed again: rightly, but not equally
    everything = timed(happened, late=False)
    before, after = everything[:cut], everything[cut:]
    index, kept = RuleIndex(), Kept()
    for what, at in before:
        apply(index, kept, what, at)
    positions = [position for owner in ("me", "you") for position in index._positions.get(owner, {}).values()]
    for position in positions:
        apply(index, kept, position, 0)
    other, loaded = RuleIndex(), copy.deepcopy(kept)
    other.load(kept.states.items())
    # positions are told again as they were last, and prices are fed again
    for position in positions:
        assert apply(other, loaded, position, 0) == []
    for what, at in before:
        if isinstance(what, tuple):
            assert apply(other, loaded, what, at) == []
    assert loaded.states == kept.states
    for what, at in after:
        assert apply(index, kept, what, at) == apply(other, loaded, what, at)
    assert loaded.states == kept.states
