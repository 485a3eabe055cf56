"""Exits: stops, take-profit ladders, trailing stops, break-even and time limits, judged on every price.

Pure: nothing here reads a clock or places an order. ``ExitRules`` says what is wanted (``read_rules`` reads what other
systems say of it), ``ExitPlan`` for which position, ``ExitBook`` what is due. Whoever places orders claims what is due
first, and says what became of it: see ``book`` and ``state``.
"""

from tickwork.trading.exits.book import ExitBook, Holder
from tickwork.trading.exits.holding import too_much
from tickwork.trading.exits.legs import Leg
from tickwork.trading.exits.plan import ExitPlan, PositionSide, Reason
from tickwork.trading.exits.reading import read_rules
from tickwork.trading.exits.rules import BreakEven, ExitRules, Trailing, held_for
from tickwork.trading.exits.state import Claim, Flight, PlanState
from tickwork.trading.exits.targets import LADDERS, Target, ladder
from tickwork.trading.exits.told import (
    BestPrice,
    BreakEvenSet,
    ExitDue,
    Judged,
    Marks,
    Moved,
    StopAt,
    TrailingBegan,
    Unjudged,
)

__all__ = [
    "LADDERS",
    "BestPrice",
    "BreakEven",
    "BreakEvenSet",
    "Claim",
    "ExitBook",
    "ExitDue",
    "ExitPlan",
    "ExitRules",
    "Flight",
    "Holder",
    "Judged",
    "Leg",
    "Marks",
    "Moved",
    "PlanState",
    "PositionSide",
    "Reason",
    "StopAt",
    "Target",
    "Trailing",
    "TrailingBegan",
    "Unjudged",
    "held_for",
    "ladder",
    "read_rules",
    "too_much",
]
