"""How nodes compare values, and what counts as true."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final, Literal

from tickwork.core.expressions import UNFIT, complaint
from tickwork.core.language.lookup import walk
from tickwork.core.language.operators import COMPARISONS
from tickwork.errors import InvalidInput

Operator = Literal[
    "==", "!=", ">", ">=", "<", "<=",
    "eq", "ne", "gt", "gte", "ge", "lt", "lte", "le",
    "equals", "not_equals", "greater_than", "less_than",
]  # fmt: skip
"""Signs and the words for them."""

_SIGNS: Final[dict[str, str]] = {
    "eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "ge": ">=", "lt": "<", "lte": "<=", "le": "<=",
    "equals": "==", "not_equals": "!=", "greater_than": ">", "less_than": "<",
}  # fmt: skip
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_TRUTHS: Final = {"true": True, "false": False}
_WORDS: Final = _TRUTHS | {"buy": True, "sell": True, "hold": False, "": False}


def compared(left: Any, operator: Operator, right: Any) -> bool:
    """Does the comparison hold? Numbers meet by value, those written as text too; ``true`` meets ``"true"``.

    Raises:
        InvalidInput: values that have no order between them, or a number that is not finite.
    """
    try:
        return bool(COMPARISONS[_SIGNS.get(operator, operator)](_meant(left, right), _meant(right, left)))
    except UNFIT as error:
        raise complaint(error, "compare") from None


def _meant(value: Any, other: Any) -> Any:
    """What a text stands for: a Decimal that has been through JSON, or a truth beside one."""
    if not isinstance(value, str):
        return value
    if isinstance(other, bool) and value.lower() in _TRUTHS:
        return _TRUTHS[value.lower()]
    return Decimal(value) if _NUMBER.fullmatch(value) else value


def truth(value: Any, path: str) -> bool:
    """What counts as true: ``true``, a number other than zero, the signals ``buy`` and ``sell``.

    False are ``false``, null, zero, an empty text and the signal ``hold``.

    Raises:
        InvalidInput: anything else, and NaN.
    """
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    number = _meant(value, None)
    if isinstance(number, int | float | Decimal) and number == number:  # noqa: PLR0124 - NaN is not itself
        return bool(number)
    raise InvalidInput(path, value, "true or false, a number, or a signal: buy, sell, hold")


def field_of(item: Any, path: str) -> Any:
    """A field of an item, such as ``buy.price``; the item itself where the path is empty.

    Raises:
        InvalidInput: it is not there.
    """
    if not path:
        return item
    try:
        return walk(item, tuple(path.split(".")))
    except UNFIT as error:
        raise complaint(error, f"field {path}") from None
