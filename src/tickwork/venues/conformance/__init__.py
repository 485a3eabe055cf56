"""What every venue adapter must do: numbered cases, shipped, without a test framework.

Theory of operation. A ``Stage`` is a venue with a market one can move: for the paper venue a feed of bars, for an
adapter the simulated exchange it talks to. Each case gets a fresh stage (flat, with enough money to buy ten of the
smallest orders but not a million) and raises ``AssertionError`` with what was expected and what was seen. ``CASES``
lists all of them by number; play each on its own stage:

    for number, case in CASES.items():
        skipped = await case(await fresh_stage())

A stage may be able to do more than it must: fill in parts, run thin, make trouble on the wire. A case that needs what
the stage or the venue has not gives ``Skipped``, with the reason, and never passes in silence: whoever plays the cases
says which may be skipped, and fails on any other. ``table`` is the cases for people.
"""

from __future__ import annotations

from typing import Final

from tickwork.venues.conformance import cancels, contract, parts, submissions, wire
from tickwork.venues.conformance.stage import (
    REGISTER,
    TROUBLES,
    Case,
    MakesTrouble,
    RunsThin,
    SharesAccount,
    Skipped,
    Stage,
    TradesParts,
    Trouble,
    approve,
    away,
    client_id,
    small,
)

__all__ = [
    "CASES",
    "TROUBLES",
    "Case",
    "MakesTrouble",
    "RunsThin",
    "SharesAccount",
    "Skipped",
    "Stage",
    "TradesParts",
    "Trouble",
    "approve",
    "away",
    "client_id",
    "small",
    "table",
]

_PARTS: Final = (submissions, cancels, contract, parts, wire)
"""Importing them has registered their cases."""

CASES: Final[dict[str, Case]] = {number: REGISTER[number].play for number in sorted(REGISTER)}
"""Every case, by number."""


def table() -> str:
    """The cases as a Markdown table: number, what a venue must do, what the case cannot be played without."""
    lines = ["| Case | A venue does this | Needs |", "|---|---|---|"]
    for number in CASES:
        entry = REGISTER[number]
        words = entry.words.replace("``", "`").replace("|", "\\|")
        lines.append(f"| {number} | {words} | {', '.join(need.words for need in entry.needs)} |")
    return "\n".join(lines) + "\n"
