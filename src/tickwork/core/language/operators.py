"""What operators and functions of expressions do: pure, and bounded in what they make.

Numbers compare by value: a ``Decimal`` and a float meet as decimals, so ``price >= 0.01`` is true of
``Decimal("0.01")``; a Decimal and a number written as text meet too. Arithmetic in which a Decimal takes part stays
Decimal, to 50 digits whatever the thread's context says. ``//`` and ``%`` of Decimals truncate, as Python's do.

The functions say what operators cannot: ``abs min max len round sum lower upper startswith``. (``any``, ``all`` and
``contains`` are ``true in list``, ``not (false in list)`` and ``x in text``.)
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any, Final

from tickwork.core.language.lookup import Unfit, kind_of, settle
from tickwork.core.language.syntax import MAX_BITS

MAX_CHARACTERS: Final = 100_000
"""Length of a text that an expression makes or looks through."""
MAX_ITEMS: Final = 10_000
"""Length of a list that an expression makes, and of one that it looks through: it holds up everybody meanwhile."""
MAX_DIGITS: Final = 30
"""What ``round`` takes."""

Apply = Callable[[Any, Any], Any]

_DECIMALS = Context(prec=50, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
_WRITTEN = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_FLAT: Final = frozenset({int, float})
_EQUAL: Final = frozenset({int, float, str, bool, type(None)})


def bounded(value: Any) -> Any:
    """A result that is not too large.

    Raises:
        Unfit: it is.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unfit(str(value), "a finite result")
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise Unfit(f"{value.bit_length():,} bits", f"a whole number of at most {MAX_BITS:,} bits")
    elif isinstance(value, str):
        if len(value) > MAX_CHARACTERS:
            raise Unfit(f"{len(value):,} characters", f"a text of at most {MAX_CHARACTERS:,} characters")
    elif isinstance(value, list) and len(value) > MAX_ITEMS:
        raise Unfit(f"{len(value):,} items", f"a list of at most {MAX_ITEMS:,} items")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal)


def _decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _meet(left: Any, right: Any) -> tuple[Any, Any]:
    """Two values as they compare: settled; with a Decimal, numbers and numeric texts are decimals too."""
    left, right = settle(left, ()), settle(right, ())
    if isinstance(left, Decimal) != isinstance(right, Decimal):
        other = right if isinstance(left, Decimal) else left
        if _is_number(other) or (isinstance(other, str) and _WRITTEN.fullmatch(other)):
            return _decimal(left), _decimal(right)
    return left, right


def few(values: Any, what: str) -> Any:
    """What has a length, and not too much of it to be worked on.

    Raises:
        Unfit: more than ``MAX_ITEMS`` items, or than ``MAX_CHARACTERS`` of a text.
    """
    most, unit = (MAX_CHARACTERS, "characters") if isinstance(values, str) else (MAX_ITEMS, "items")
    if len(values) > most:
        raise Unfit(f"{what} {len(values):,} {unit}", f"at most {most:,} {unit}")
    return values


def same(left: Any, right: Any) -> bool:
    """``==``: by value, also inside of lists and mappings.

    Raises:
        Unfit: too many items would have to be compared.
    """
    if type(left) in _EQUAL and type(right) in _EQUAL:
        return bool(left == right)
    return _Comparing().same(left, right)


class _Comparing:
    """One comparison, of so many items at most, however they are nested."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_ITEMS

    def same(self, left: Any, right: Any) -> bool:
        if type(left) in _EQUAL and type(right) in _EQUAL:
            return bool(left == right)
        left, right = _meet(left, right)
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            return len(left) == len(right) and all(self.settled(*both) for both in zip(left, right, strict=True))
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            if len(left) != len(right) or few(left, "comparing").keys() != right.keys():
                return False
            return all(self.settled(value, right[key]) for key, value in left.items())
        return bool(left == right)

    def settled(self, left: Any, right: Any) -> bool:
        self.left -= 1
        if self.left < 0:
            raise Unfit(f"comparing more than {MAX_ITEMS:,} items", f"at most {MAX_ITEMS:,} items")
        return self.same(settle(left, ()), settle(right, ()))


def _order(sign: str, compare: Apply) -> Apply:
    def order(left: Any, right: Any) -> Any:
        kind, other = type(left), type(right)
        if (kind in _FLAT and other in _FLAT) or (kind is str and other is str):
            return compare(left, right)
        left, right = _meet(left, right)
        for kinds in (int | float | Decimal, str, datetime, date, timedelta):
            if isinstance(left, kinds) and isinstance(right, kinds):
                return bool(compare(left, right))
        raise Unfit(f"{kind_of(left)} {sign} {kind_of(right)}", "two numbers, two texts or two times")

    return order


def within(item: Any, container: Any) -> bool:
    """``in``: an item of a list, a key of a mapping, a piece of a text.

    Raises:
        Unfit: the right side is none of them, or too long.
    """
    if isinstance(container, list | tuple):
        comparing = _Comparing()
        return any(comparing.same(item, settle(one, ())) for one in few(container, "`in`"))
    if isinstance(container, Mapping):
        return isinstance(item, str | int) and item in container
    if isinstance(container, str) and isinstance(item, str):
        return item in few(container, "`in`")
    raise Unfit(f"{kind_of(item)} in {kind_of(container)}", "`in` a list, a mapping, or a text in a text")


def _arithmetic(sign: str, plain: Apply, decimal: Apply) -> Apply:
    divides = sign in ("/", "//", "%")

    def apply(left: Any, right: Any) -> Any:
        kind, other = type(left), type(right)
        if kind not in _FLAT or other not in _FLAT:
            left, right = _meet(left, right)
            if not (_is_number(left) and _is_number(right)):
                if sign == "+":
                    return _join(left, right)
                raise Unfit(f"{kind_of(left)} {sign} {kind_of(right)}", "two numbers")
        if divides and not right:
            raise Unfit(f"{left} {sign} {right}", "a divisor that is not zero")
        if isinstance(left, Decimal):
            return decimal(left, right)
        return bounded(plain(left, right))

    return apply


def _join(left: Any, right: Any) -> Any:
    for kinds, limit, unit in ((str, MAX_CHARACTERS, "characters"), (list, MAX_ITEMS, "items")):
        if isinstance(left, kinds) and isinstance(right, kinds):
            length = len(left) + len(right)
            if length > limit:
                raise Unfit(f"{length:,} {unit}", f"at most {limit:,} {unit}")
            return operator.add(left, right)
    raise Unfit(f"{kind_of(left)} + {kind_of(right)}", "two numbers, two texts or two lists")


def negative(value: Any) -> Any:
    """``-value``.

    Raises:
        Unfit: not a number.
    """
    if not _is_number(value):
        raise Unfit(f"-{kind_of(value)}", "a number after `-`")
    return _DECIMALS.minus(value) if isinstance(value, Decimal) else bounded(-value)


ORDERS: Final[dict[str, Apply]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
"""Comparisons that need an order, as they are for two whole numbers or floats."""

COMPARISONS: Final[dict[str, Apply]] = {
    **{sign: _order(sign, compare) for sign, compare in ORDERS.items()},
    "==": same,
    "is": same,
    "!=": lambda left, right: not same(left, right),
    "is not": lambda left, right: not same(left, right),
    "in": within,
    "not in": lambda left, right: not within(left, right),
}

ARITHMETIC: Final[dict[str, Apply]] = {
    "+": _arithmetic("+", operator.add, _DECIMALS.add),
    "-": _arithmetic("-", operator.sub, _DECIMALS.subtract),
    "*": _arithmetic("*", operator.mul, _DECIMALS.multiply),
    "/": _arithmetic("/", operator.truediv, _DECIMALS.divide),
    "//": _arithmetic("//", operator.floordiv, _DECIMALS.divide_int),
    "%": _arithmetic("%", operator.mod, _DECIMALS.remainder),
}


# -- functions


def _number(value: Any, function: str) -> Any:
    value = settle(value, ())
    if not _is_number(value):
        raise Unfit(f"{function}({kind_of(value)})", "a number")
    return value


def _text(value: Any, function: str) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{function}({kind_of(value)})", "a text")
    few(value, f"{function} of")
    return value


def _abs(value: Any) -> Any:
    number = _number(value, "abs")
    return _DECIMALS.abs(number) if isinstance(number, Decimal) else abs(number)


def _extreme(function: str, sign: str) -> Callable[..., Any]:
    before = COMPARISONS[sign]

    def extreme(*values: Any) -> Any:
        one = len(values) == 1
        if one and not isinstance(values[0], list | tuple):
            raise Unfit(f"{function}({kind_of(values[0])})", "two values or more, or a list")
        candidates = values[0] if one else values
        if not candidates:
            raise Unfit(f"{function} of an empty list", "at least one item")
        found = settle(candidates[0], ())
        for candidate in few(candidates, f"{function} of")[1:]:
            other = settle(candidate, ())
            if before(other, found):
                found = other
        return found

    return extreme


def _len(value: Any) -> int:
    if not isinstance(value, str | list | tuple | Mapping):
        raise Unfit(f"len({kind_of(value)})", "a text, a list or a mapping")
    return len(value)


def _round(value: Any, digits: Any = 0) -> Any:
    if type(digits) is not int or abs(digits) > MAX_DIGITS:
        raise Unfit(f"round to {digits!r} digits"[:80], f"up to {MAX_DIGITS} digits")
    number = _number(value, "round")
    if isinstance(number, Decimal):
        rounded = _DECIMALS.quantize(number, Decimal(1).scaleb(-digits))
        return rounded if digits else int(rounded)
    return bounded(round(number, digits) if digits else round(number))


def _sum(values: Any) -> Any:
    if not isinstance(values, list | tuple):
        raise Unfit(f"sum({kind_of(values)})", "a list of numbers")
    total: Any = 0
    for value in few(values, "sum of"):
        total = ARITHMETIC["+"](total, _number(value, "sum"))
    return total


FUNCTIONS: Final[dict[str, tuple[Callable[..., Any], int, int]]] = {
    "abs": (_abs, 1, 1),
    "len": (_len, 1, 1),
    "lower": (lambda value: bounded(_text(value, "lower").lower()), 1, 1),
    "max": (_extreme("max", ">"), 1, 50),
    "min": (_extreme("min", "<"), 1, 50),
    "round": (_round, 1, 2),
    "startswith": (lambda text, start: _text(text, "startswith").startswith(_text(start, "startswith")), 2, 2),
    "sum": (_sum, 1, 1),
    "upper": (lambda value: bounded(_text(value, "upper").upper()), 1, 1),
}
"""Every function: itself, the least and the largest number of arguments."""
