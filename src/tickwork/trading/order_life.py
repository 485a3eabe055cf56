"""The life of an order: every state, every move, nothing else. The diagram in the documentation is drawn from here.

Theory of operation. Two rules:

* everything that decides which move is legal is the table ``LIFE``; ``moved`` is its only reader, and a pair that is
  not in it raises and changes nothing;
* this file does not know who makes a move: the gate, the desk, a look-up, the venue's news.

From ``intent`` to ``unknown`` the order is ours: the venue may never have heard of it. From ``acknowledged`` on it is
the venue's, and its state is what the venue says.

**Certain and unknown.** ``lose`` is what a time-out, a dropped connection, a 5xx or the death of the process does to a
submission: nobody knows. Out of ``unknown`` leads only what somebody has *seen*: the order (``acknowledge``, ``fill``,
``complete``, ``cancel``, ``expire``, ``reject``), or its certain absence (``withhold``). A submission that is withheld
is ``approved`` again: it may be sent, and is looked at by the gate once more just before.

**Absurd but real.** The rows of ``REAL_WORLD`` look wrong and happen: news of one order overtakes news of the same
order, because a venue's trading, its order list and its answers are different machines.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from tickwork.errors import IllegalMove

OrderState = Literal[
    "intent",
    "refused",
    "approved",
    "submitting",
    "unknown",
    "acknowledged",
    "partially_filled",
    "filled",
    "cancelling",
    "cancelled",
    "partially_cancelled",
    "rejected",
    "expired",
]

Move = Literal[
    "refuse",  # our gate, or the last look before the wire
    "approve",
    "withdraw",  # approved and not sent: its run was cancelled
    "submit",
    "lose",  # no answer that says what became of it
    "withhold",  # certain: it did not reach the venue
    "acknowledge",
    "fill",  # some of it
    "complete",  # the last of it
    "ask_cancel",
    "cancel",  # ended by us or the venue with nothing filled
    "cancel_rest",  # the same with something filled
    "reject",
    "expire",
]

STATES: Final[tuple[OrderState, ...]] = get_args(OrderState)
MOVES: Final[tuple[Move, ...]] = get_args(Move)

_USUAL: Final[dict[tuple[OrderState, Move], OrderState]] = {
    ("intent", "refuse"): "refused",
    ("intent", "approve"): "approved",
    ("approved", "submit"): "submitting",
    ("approved", "refuse"): "refused",
    ("approved", "withdraw"): "cancelled",
    ("submitting", "acknowledge"): "acknowledged",
    ("submitting", "reject"): "rejected",
    ("submitting", "lose"): "unknown",
    ("submitting", "withhold"): "approved",
    ("unknown", "acknowledge"): "acknowledged",
    ("unknown", "fill"): "partially_filled",
    ("unknown", "complete"): "filled",
    ("unknown", "cancel"): "cancelled",
    ("unknown", "cancel_rest"): "partially_cancelled",
    ("unknown", "reject"): "rejected",
    ("unknown", "expire"): "expired",
    ("unknown", "withhold"): "approved",
    ("acknowledged", "fill"): "partially_filled",
    ("acknowledged", "complete"): "filled",
    ("acknowledged", "ask_cancel"): "cancelling",
    ("acknowledged", "cancel"): "cancelled",
    ("acknowledged", "expire"): "expired",
    ("partially_filled", "fill"): "partially_filled",
    ("partially_filled", "complete"): "filled",
    ("partially_filled", "ask_cancel"): "cancelling",
    ("partially_filled", "cancel_rest"): "partially_cancelled",
    ("partially_filled", "expire"): "expired",
    ("cancelling", "cancel"): "cancelled",
    ("cancelling", "cancel_rest"): "partially_cancelled",
    ("cancelling", "complete"): "filled",
    ("cancelling", "expire"): "expired",
}

REAL_WORLD: Final[dict[tuple[OrderState, Move], OrderState]] = {
    ("submitting", "fill"): "partially_filled",  # the fill's news overtakes the acknowledgement
    ("submitting", "complete"): "filled",  # the same, of a market order
    ("acknowledged", "reject"): "rejected",  # accepted first, rejected by the engine behind
    ("partially_filled", "reject"): "partially_cancelled",  # and this even after the first fill
    ("cancelling", "fill"): "cancelling",  # it trades while it is being cancelled
    ("cancelling", "acknowledge"): "acknowledged",  # the cancel was refused or lost: the order lives on
    ("cancelling", "reject"): "rejected",
    ("cancelled", "fill"): "partially_cancelled",  # the fill was on its way when the cancel arrived
    ("cancelled", "complete"): "filled",  # the same, and it was all of it
    ("partially_cancelled", "fill"): "partially_cancelled",
    ("partially_cancelled", "complete"): "filled",
    ("expired", "fill"): "expired",
    ("expired", "complete"): "filled",
}
"""Rows that no specification has, and that venues produce all the same."""

LIFE: Final[dict[tuple[OrderState, Move], OrderState]] = {**_USUAL, **REAL_WORLD}
"""An order's life. A pair that is not here is an illegal move."""

WORKING: Final[frozenset[OrderState]] = frozenset({"acknowledged", "partially_filled", "cancelling"})
"""At the venue, and can still trade."""

DOUBTFUL: Final[frozenset[OrderState]] = frozenset({"submitting", "unknown"})
"""May be at the venue."""

FINAL: Final[frozenset[OrderState]] = frozenset(
    {"refused", "filled", "cancelled", "partially_cancelled", "rejected", "expired"}
)
"""Ended: it will not trade any more, but for what ``REAL_WORLD`` says of fills that were on their way."""


def moved(state: OrderState, move: Move) -> OrderState:
    """The state after ``move``.

    Raises:
        IllegalMove: the table has no such move; nothing was changed.
    """
    try:
        return LIFE[state, move]
    except KeyError:
        raise IllegalMove(state, move) from None


def diagram() -> str:
    """The table as a Mermaid state diagram; dotted names mark what only the real world does."""
    lines = ["stateDiagram-v2", "    [*] --> intent"]
    joined: dict[tuple[OrderState, OrderState], list[str]] = {}
    for (state, move), after in LIFE.items():
        name = f"{move}*" if (state, move) in REAL_WORLD else move
        joined.setdefault((state, after), []).append(name)
    lines += [f"    {before} --> {after}: {', '.join(moves)}" for (before, after), moves in joined.items()]
    lines += [f"    {state} --> [*]" for state in STATES if state in FINAL]
    return "\n".join(lines)
