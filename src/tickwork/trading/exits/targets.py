"""Targets: levels of take-profit, alone or in a ladder, and the ladders that have a name.

The first three are those a person chooses from; the others come from the engine of the listing sniper, whose own
``conservative`` is another one and is called ``conservative_engine`` here. What their shares do not add up to 1 stays
in the position, for its stops.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.trading.exits.fractions import ONE, ZERO, above_zero, put
from tickwork.values import EXACT

MOST_LEVELS: Final = 6
LEAST_PROFIT: Final = Decimal("0.001")
MOST_PROFIT: Final = Decimal(10)


class Target(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One level of take-profit.

    Raises:
        InvalidInput: a profit that is not above zero, or a share outside of (0, 1].
    """

    profit: Decimal
    """Fraction of the entry price."""
    share: Decimal = ONE
    """Fraction of the *original* quantity that is sold there; not of what is left by then."""

    def __post_init__(self) -> None:
        put(self, "profit", above_zero(self.profit, "target.profit"))
        put(self, "share", above_zero(self.share, "target.share"))
        if self.share > 1:
            raise InvalidInput("target.share", self.share, "a fraction of the original quantity: 1 is all of it")


def _ladder(*percents: tuple[int, int]) -> tuple[Target, ...]:
    return tuple(Target(Decimal(profit) / 100, Decimal(share) / 100) for profit, share in percents)


LADDERS: Final[dict[str, tuple[Target, ...]]] = {
    "conservative": _ladder((3, 30), (7, 40), (12, 30)),
    "balanced": _ladder((5, 25), (12, 35), (20, 25), (35, 15)),
    "aggressive": _ladder((8, 20), (18, 30), (35, 30), (60, 20)),
    "normal": _ladder((50, 25), (100, 25), (125, 20), (175, 10)),
    "high_price_increase": _ladder((100, 15), (150, 15), (200, 25), (300, 25)),
    "conservative_engine": _ladder((10, 30), (20, 40), (30, 30)),
    "scalping": _ladder((5, 20), (10, 30), (15, 30), (20, 20)),
    "diamond": _ladder((200, 10), (500, 20), (1000, 30), (2000, 20)),
}
"""Name -> levels."""


def ladder(name: str) -> tuple[Target, ...]:
    """The levels of a ladder; the name also in camelCase (``highPriceIncrease``).

    Raises:
        InvalidInput: there is none of this name.
    """
    found = LADDERS.get("".join(f"_{char.lower()}" if char.isupper() else char for char in name))
    if found is None:
        raise InvalidInput("exits.takeProfit", name, f"one of {', '.join(LADDERS)}, or the levels themselves")
    return found


def check_ladder(levels: tuple[Target, ...]) -> None:
    """Levels as somebody asks for them.

    Raises:
        InvalidInput: not ascending, more than there is, or, where it is no preset, too many, too near or too far.
    """
    total, before = ZERO, ZERO
    for n, level in enumerate(levels):
        path = f"exits.takeProfit[{n}]"
        if level.profit <= before:
            raise InvalidInput(f"{path}.profit", level.profit, f"more than the {before} of the level before it")
        total, before = EXACT.add(total, level.share), level.profit
        if total > 1:
            raise InvalidInput(f"{path}.share", level.share, f"at most 1 in all; up to here the shares make {total}")
    if levels in LADDERS.values():
        return
    if len(levels) > MOST_LEVELS:
        raise InvalidInput("exits.takeProfit", f"{len(levels)} levels", f"at most {MOST_LEVELS}")
    for n, level in enumerate(levels):
        if not LEAST_PROFIT <= level.profit <= MOST_PROFIT:
            expected = f"a fraction from {LEAST_PROFIT} (0.1 %) to {MOST_PROFIT} (1000 %)"
            raise InvalidInput(f"exits.takeProfit[{n}].profit", level.profit, expected)
