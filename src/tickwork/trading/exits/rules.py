"""What is wanted of the exits of a position: stops, targets, trailing, break-even, a time limit. Plain data.

Fractions say 1 for 100 % and are of the entry price where nothing else is said; an outside document that speaks in
percent is read by ``reading``. A profit is what the position gains: for a short, how far the price has fallen.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.trading.exits.fractions import ZERO, above_zero, below_one, camel, put
from tickwork.trading.exits.targets import Target, check_ladder
from tickwork.values import FRACTION, DurationLike, duration, duration_text, money, price

RATCHET: Final = Decimal("0.001")


class Trailing(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A stop that follows the price.

    It is active once the profit has reached ``activation``, and then stands ``distance`` from the best price since: a
    long's below the highest bid, a short's above the lowest ask. It never moves back.

    Raises:
        InvalidInput: a negative activation, or a distance outside of (0, 1).
    """

    distance: Decimal
    """Fraction of the best price."""
    activation: Decimal = ZERO
    """Fraction of the entry price; at zero it is active from the first price on, with the entry for the least best."""

    def __post_init__(self) -> None:
        put(self, "distance", below_one(self.distance, "trailing.distance"))
        put(self, "activation", money(self.activation, "trailing.activation", FRACTION))
        if self.activation < 0:
            raise InvalidInput("trailing.activation", self.activation, "a fraction of zero or more")


class BreakEven(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Once the profit has reached ``after``, a stop stands at the entry, better by ``offset`` (fees, say).

    Raises:
        InvalidInput: an ``after`` that is not above zero, or an offset outside of [0, after).
    """

    after: Decimal
    """Fraction of the entry price."""
    offset: Decimal = ZERO
    """Fraction of the entry price, in the direction of profit."""

    def __post_init__(self) -> None:
        put(self, "after", above_zero(self.after, "breakEven.after"))
        put(self, "offset", money(self.offset, "breakEven.offset", FRACTION))
        if not 0 <= self.offset < self.after:
            expected = f"a fraction from 0 to below the {self.after} after which it is set, or it would fire at once"
            raise InvalidInput("breakEven.offset", self.offset, expected)


class ExitRules(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """When to get out. Everything that is given holds at the same time; of several stops the nearest one counts.

    Raises:
        InvalidInput: a field is wrong, contradicts another, or nothing is asked for; names it.
    """

    stop_loss: Decimal | None = None
    """Loss as a fraction of the entry price, below 1."""
    stop_price: Decimal | None = None
    """The same as a price, in quote currency per unit of base. One of the two."""
    hard_stop: Decimal | None = None
    """A loss at which everything ends, as a fraction of the entry price; its own reason beside the others."""
    take_profit: tuple[Target, ...] = ()
    """Ascending in profit. Either a named ladder, or at most 6 levels of 0.1 % to 1000 % (0.001 to 10) whose
    shares add up to at most 1."""
    trailing: Trailing | None = None
    break_even: BreakEven | None = None
    max_hold: str | None = None
    """A duration, such as ``6h``: that long after it was opened the rest is closed at whatever price."""
    ratchet: Decimal = RATCHET
    """By which fraction of the price a trailing stop moves before that is recorded: after a restart it stands at most
    that far behind."""

    def __post_init__(self) -> None:
        for name in ("stop_loss", "hard_stop"):
            if getattr(self, name) is not None:
                put(self, name, below_one(getattr(self, name), f"exits.{camel(name)}"))
        if self.stop_price is not None:
            put(self, "stop_price", price(self.stop_price, "exits.stopPrice"))
            if self.stop_loss is not None:
                raise InvalidInput("exits.stopPrice", self.stop_price, "either stopLoss or stopPrice")
        check_ladder(self.take_profit)
        if self.max_hold is not None:
            ns = duration(self.max_hold, "exits.maxHold")
            if ns == 0:
                raise InvalidInput("exits.maxHold", self.max_hold, "a duration above zero")
            put(self, "max_hold", duration_text(ns))
        put(self, "ratchet", below_one(self.ratchet, "exits.ratchet"))
        if not (self.has_stop or self.take_profit or self.max_hold or self.break_even):
            raise InvalidInput("exits", "nothing", "a stop, a target, a trailing stop or a time limit")

    @property
    def has_stop(self) -> bool:
        """Is there any price at which a loss ends, or a gain is kept, from the start or once it is active?"""
        return any(one is not None for one in (self.stop_loss, self.stop_price, self.hard_stop, self.trailing))

    @property
    def max_hold_ns(self) -> int | None:
        """``max_hold`` in nanoseconds."""
        return None if self.max_hold is None else duration(self.max_hold)


def held_for(value: DurationLike) -> str:
    """A duration as ``ExitRules.max_hold`` takes it.

    Raises:
        InvalidInput: no duration.
    """
    return duration_text(duration(value, "exits.maxHold"))
