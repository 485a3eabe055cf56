"""Fractions as the exits take them: 1 means 100 %."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.values import FRACTION, price

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)


def above_zero(value: object, path: str) -> Decimal:
    """A fraction above zero.

    Raises:
        InvalidInput: anything else; a float too.
    """
    return price(value, path, FRACTION)


def below_one(value: object, path: str) -> Decimal:
    """A fraction above zero and below 1.

    Raises:
        InvalidInput: anything else; a float too.
    """
    number = above_zero(value, path)
    if number >= 1:
        raise InvalidInput(path, number, "a fraction below 1: 0.05 is 5 %, and a percent belongs into a field named so")
    return number


def put(struct: msgspec.Struct, name: str, value: object) -> None:
    """Put a checked, canonical value in its place."""
    # frozen: it can only be put there this way
    msgspec.structs.force_setattr(struct, name, value)


def camel(name: str) -> str:
    """A field as it is called in JSON."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
