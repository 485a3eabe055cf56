"""Paths: what an expression reads, known before it is evaluated, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tickwork.core.language.lookup import walk

Scope = Mapping[str, Any]
Read = Callable[[Scope], Any]

_READY: Final = frozenset({str, int, bool, list, dict})
"""Types of values that need no second look: not null, no number that may be infinite, not an enum."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path that is read.

    Args:
        parts: the name it starts with, then fields and indexes, up to the first index that is not constant.
        position: index of its name in the text.
    """

    parts: tuple[str | int, ...]
    position: int


def reader(parts: tuple[str | int, ...]) -> Read:
    """What reads a path. Dictionaries as JSON makes them go the quick way; the rest, and every complaint, through
    ``walk``. A float is finite if it minus itself is zero."""
    if not all(isinstance(part, str) for part in parts):
        return lambda scope: walk(scope, parts)
    if len(parts) == 1:
        return _one(parts)
    return _two(parts) if len(parts) == 2 else _more(parts)


def _one(parts: tuple[Any, ...]) -> Read:
    (name,) = parts

    def read(scope: Scope) -> Any:
        if type(scope) is dict:
            value: Any = scope.get(name)
            kind = type(value)
            if kind in _READY or (kind is float and value - value == 0.0) or (kind is Decimal and value.is_finite()):
                return value
        return walk(scope, parts)

    return read


def _two(parts: tuple[Any, ...]) -> Read:
    first, second = parts

    def read(scope: Scope) -> Any:
        if type(scope) is dict and type(inner := scope.get(first)) is dict:
            value: Any = inner.get(second)
            kind = type(value)
            if kind in _READY or (kind is float and value - value == 0.0) or (kind is Decimal and value.is_finite()):
                return value
        return walk(scope, parts)

    return read


def _more(parts: tuple[Any, ...]) -> Read:
    *above, last = parts

    def read(scope: Scope) -> Any:
        value: Any = scope
        for part in above:
            if type(value) is not dict:
                return walk(scope, parts)
            value = value.get(part)
        if type(value) is dict:
            value = value.get(last)
            kind = type(value)
            if kind in _READY or (kind is float and value - value == 0.0) or (kind is Decimal and value.is_finite()):
                return value
        return walk(scope, parts)

    return read
