"""The life of an order is its table."""

from __future__ import annotations

from itertools import product

import pytest

from tickwork.errors import IllegalMove
from tickwork.trading.order_life import (
    DOUBTFUL,
    FINAL,
    LIFE,
    MOVES,
    REAL_WORLD,
    STATES,
    WORKING,
    Move,
    OrderState,
    diagram,
    moved,
)


@pytest.mark.parametrize(("state", "move"), list(product(STATES, MOVES)))
def test_a_move_is_in_the_table_or_raises(state: OrderState, move: Move) -> None:
    if (state, move) in LIFE:
        assert moved(state, move) == LIFE[state, move]
        return
    with pytest.raises(IllegalMove) as caught:
        moved(state, move)
    assert caught.value.args == (state, move)
    assert str(caught.value) == f"an order that is {state} cannot {move}".replace("_", " ")


def test_every_state_is_reached_and_every_move_is_used() -> None:
    reached: set[str] = {"intent"}
    fresh = set(reached)
    while fresh:
        fresh = {str(after) for (before, _), after in LIFE.items() if before in fresh} - reached
        reached |= fresh
    assert reached == set(STATES)
    assert {move for _, move in LIFE} == set(MOVES)
    assert FINAL | WORKING | DOUBTFUL | {"intent", "approved"} == set(STATES)


def test_what_has_ended_stays_ended_but_for_fills_that_were_on_their_way() -> None:
    for (before, move), after in LIFE.items():
        if before in FINAL:
            assert (before, move) in REAL_WORLD
            assert move in ("fill", "complete")
            assert after in FINAL


def test_out_of_unknown_leads_only_what_was_seen() -> None:
    """No time-out, no guess: an unknown order is resolved by looking, never by sending."""
    assert {move for before, move in LIFE if before == "unknown"} == {
        "acknowledge", "fill", "complete", "cancel", "cancel_rest", "reject", "expire", "withhold",
    }  # fmt: skip
    assert ("unknown", "submit") not in LIFE
    assert {before for (before, _), after in LIFE.items() if after == "submitting"} == {"approved"}


def test_only_the_gate_approves() -> None:
    assert {(before, move) for (before, move), after in LIFE.items() if after == "approved"} == {
        ("intent", "approve"),
        ("submitting", "withhold"),
        ("unknown", "withhold"),
    }


def test_the_diagram_draws_every_row() -> None:
    drawn = diagram()
    for (before, move), after in LIFE.items():
        line = next(line for line in drawn.splitlines() if line.strip().startswith(f"{before} --> {after}:"))
        name = f"{move}*" if (before, move) in REAL_WORLD else move
        assert name in line.partition(": ")[2].split(", ")
