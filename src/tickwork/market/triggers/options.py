"""What the options of triggers have in common: how they are read, and how they are written in a trigger's name."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from decimal import Context, Decimal
from typing import Final, Literal, get_args

from tickwork.errors import InvalidInput
from tickwork.values import EXACT, FRACTION, plain, quantity

Direction = Literal["any", "up", "down"]
"""Which way a price must move to count."""

_LONGEST_WINDOW: Final = 1_000_000
_BARS: Final = re.compile(r"(\d{1,7}) bars?", re.ASCII)
_WORD: Final = re.compile(r"[\w.:/\-]+")
# Wide enough that a quotient of two prices keeps its sixteen places whatever stands before the point.
_WIDE: Final = Context(prec=100)
_SIXTEEN_PLACES: Final = Decimal("1e-16")


def direction_of(value: object) -> Direction:
    """Check a direction.

    Raises:
        InvalidInput: none of them.
    """
    for known in get_args(Direction):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise InvalidInput("direction", value, "any, up or down")


def bars_of(window: object) -> int:
    """The number of bars that a window names (``3`` or ``"3 bars"``); 0 when it is a duration instead.

    Raises:
        InvalidInput: a number of bars below 1 or above a million.
    """
    named = _BARS.fullmatch(window) if isinstance(window, str) else None
    if named is None and (isinstance(window, str | timedelta)):
        return 0
    count = int(named.group(1)) if named else window
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _LONGEST_WINDOW:
        raise InvalidInput("window", window, f"a number of bars from 1 to {_LONGEST_WINDOW}, or a duration")
    return count


def bars_text(count: int) -> str:
    """``"1 bar"``, ``"3 bars"``."""
    return f"{count} bar{'s' if count > 1 else ''}"


def hysteresis_of(value: object) -> Decimal:
    """A fraction of a level: by how much it must be left behind before it counts anew. Zero: as soon as it is left.

    Raises:
        InvalidInput: a float, not finite, below 0, or 1 and more.
    """
    fraction = quantity(value, "hysteresis", FRACTION)
    if fraction >= 1:
        raise InvalidInput("hysteresis", fraction, "a fraction from 0 to below 1, e.g. '0.01' for one percent")
    return fraction


def below(level: Decimal, hysteresis: Decimal) -> Decimal:
    """``level * (1 - hysteresis)``, exact."""
    return EXACT.multiply(level, EXACT.subtract(Decimal(1), hysteresis))


def above(level: Decimal, hysteresis: Decimal) -> Decimal:
    """``level * (1 + hysteresis)``, exact."""
    return EXACT.multiply(level, EXACT.add(Decimal(1), hysteresis))


def quotient(value: Decimal, by: Decimal) -> Decimal:
    """``value / by`` to sixteen places."""
    return _WIDE.divide(value, by).quantize(_SIXTEEN_PLACES, context=_WIDE)


def root(value: Decimal, by: Decimal) -> Decimal:
    """The square root of ``value / by``, to sixteen places."""
    return _WIDE.sqrt(_WIDE.divide(value, by)).quantize(_SIXTEEN_PLACES, context=_WIDE)


def number_text(value: Decimal) -> str:
    """The one text of a number: ``0.02`` for ``0.020`` too."""
    return plain(value.normalize(_WIDE))


def word(text: str) -> str:
    """A text as one word of a name: itself where that is clear, else quoted."""
    return text if _WORD.fullmatch(text) else json.dumps(text)
