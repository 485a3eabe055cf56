"""Levels of one symbol that wait for its price, sorted so that a price which reaches none costs two comparisons.

What waits for the price to rise stands in one list, what waits for it to fall in another, each with the nearest level
last. A price then either lies between the two nearest and nothing more is asked, or takes what it has reached off the
ends. Whether a level counts when it is touched, or only when it is passed, is its own business: both kinds stand in the
same lists, the ones that a touch is enough for nearer to the end.

What rests waits for no price, but will one day ask on which side of a level the price stood meanwhile. Such levels are
marks: a price that passes one is told apart too, so that whoever needs to can note it.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from decimal import Decimal
from typing import Final, Generic, TypeVar

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.bars import LARGEST

NEVER: Final = 2**63 - 1
"""ns: later than every time."""
ALWAYS: Final = -(2**63)
"""ns: earlier than every time."""

_ZERO: Final = Decimal(0)


class Waiting(msgspec.Struct, order=True, gc=False):
    """Something that waits for a price. Subclasses add what it is; as ids are unique, these three decide the order."""

    key: Decimal
    """The level; negated where the price must rise to it, so that the nearest sorts last in both lists."""
    touch: bool
    """Is it reached when the price is just there, or only beyond?"""
    id: str
    """Unique among what waits."""

    @property
    def level(self) -> Decimal:
        """The level it waits for."""
        return self.key.copy_abs()


W = TypeVar("W", bound=Waiting)


class Levels(Generic[W]):
    """What waits for prices of one symbol, and the newest of these.

    ``low`` and ``high``: between them, exclusively, no price reaches anything. ``wake_ns``: before it nothing that
    rests is due.
    """

    __slots__ = (
        "count", "falling", "high", "low", "marks", "newest_ns", "noted", "price", "resting", "rising", "symbol",
        "wake_ns",
    )  # fmt: skip

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.rising: list[W] = []
        self.falling: list[W] = []
        self.resting: list[tuple[int, str]] = []
        """A heap of when and who; whoever wakes them knows which of them still mean it."""
        self.marks: list[Decimal] = []
        """Levels, sorted."""
        self.noted: Decimal | None = None
        """A price on whose side of every mark the newest price stands, too; ``None``: there was none yet."""
        self.low = _ZERO
        self.high = LARGEST
        self.wake_ns = NEVER
        self.price: Decimal | None = None
        """The newest; ``None`` before the first."""
        self.newest_ns = ALWAYS
        """When that was."""
        self.count = 0
        """How many there are on this symbol, waiting or resting; kept by whoever puts them here."""

    # -- waiting --------------------------------------------------------------------------------------------------

    def wait(self, one: W, level: Decimal, *, above: bool, touch: bool) -> None:
        """Let it wait for the price to rise (``above``) or fall to ``level``."""
        insort(self._place(one, level, above, touch), one)
        self._look()

    def fill(self, one: W, level: Decimal, *, above: bool, touch: bool) -> None:
        """Like ``wait``, for many of them at once: nothing is in order before ``settle``."""
        self._place(one, level, above, touch).append(one)

    def settle(self) -> None:
        """Put in order what was filled in, and the marks."""
        self.marks.sort()
        self.rising.sort()
        self.falling.sort()
        self._look()

    def drop(self, one: W) -> None:
        """It waits no more."""
        standing = self.rising if one.key.is_signed() else self.falling
        place = bisect_left(standing, one)
        assert standing[place] is one
        del standing[place]
        self._look()

    def reached(self, price: Decimal) -> list[W]:
        """What the price has reached; none of it waits any more. Not in an order that means anything."""
        found: list[W] = []
        rising, key = self.rising, price.copy_negate()
        while rising and (rising[-1].key > key or (rising[-1].key == key and rising[-1].touch)):
            found.append(rising.pop())
        falling, key = self.falling, price
        while falling and (falling[-1].key > key or (falling[-1].key == key and falling[-1].touch)):
            found.append(falling.pop())
        self._look()
        return found

    def _place(self, one: W, level: Decimal, above: bool, touch: bool) -> list[W]:
        # copy_negate is exact; a minus sign would round to the digits of the current context
        one.key = level.copy_negate() if above else level
        one.touch = touch
        return self.rising if above else self.falling

    def _look(self) -> None:
        self.high = self.rising[-1].key.copy_negate() if self.rising else LARGEST
        self.low = self.falling[-1].key if self.falling else _ZERO
        if self.marks:
            self._look_at_marks()

    def _look_at_marks(self) -> None:
        noted, marks = self.noted, self.marks
        if noted is None:
            self.low, self.high = LARGEST, _ZERO
            return
        below, above = bisect_right(marks, noted), bisect_left(marks, noted)
        if below:
            self.low = max(self.low, marks[below - 1])
        if above < len(marks):
            self.high = min(self.high, marks[above])

    # -- marks ----------------------------------------------------------------------------------------------------

    def mark(self, level: Decimal) -> None:
        """Tell apart prices on the two sides of a level, and those at it, from here on; the newest is to be noted."""
        insort(self.marks, level)

    def unmark(self, level: Decimal) -> None:
        """Do so no more, as far as one ``mark`` is concerned."""
        del self.marks[bisect_left(self.marks, level)]
        self._look()

    def passes(self, price: Decimal) -> bool:
        """Is the price on another side of a mark than the one that was noted?"""
        noted, marks = self.noted, self.marks
        if not marks or noted is None:
            return bool(marks)
        there = (bisect_left(marks, noted), bisect_right(marks, noted))
        return there != (bisect_left(marks, price), bisect_right(marks, price))

    def note(self, price: Decimal) -> None:
        """This is the price that was noted."""
        self.noted = price
        self._look()

    # -- resting --------------------------------------------------------------------------------------------------

    def rest(self, id: str, until_ns: int) -> None:
        """Let it be woken by the first price of ``until_ns`` or later."""
        heapq.heappush(self.resting, (until_ns, id))
        self.wake_ns = self.resting[0][0]

    def woken(self, at_ns: int) -> list[tuple[int, str]]:
        """When and who: those whose rest is over, also some that have long been gone."""
        found = []
        while self.resting and self.resting[0][0] <= at_ns:
            found.append(heapq.heappop(self.resting))
        self.wake_ns = self.resting[0][0] if self.resting else NEVER
        return found


def sound_price(price: object, symbol: str) -> Decimal:
    """A price that may decide something.

    Raises:
        InvalidInput: not a ``Decimal``, not finite, zero or below, or too large.
    """
    if isinstance(price, Decimal) and price.is_finite() and 0 < price < LARGEST:
        return price
    raise InvalidInput(f"price of {symbol}", price, "a finite Decimal above zero")
