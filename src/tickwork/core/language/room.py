"""How large what a template brings together may become."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from tickwork.core.language.lookup import Unfit, declared

MAX_MADE: Final = 4 << 20
"""How large what a template brings together may become, about as bytes of JSON. Each reference counts, also those to
the same value: what refers to one large value a thousand times is written down a thousand times as large."""

_SMALL: Final = frozenset({int, float, bool, Decimal, datetime, type(None)})


class Room:
    """How much more one evaluation of a template may bring together."""

    __slots__ = ("_known", "_left", "_measured")

    def __init__(self, measured: bool) -> None:
        self._measured = measured
        """One reference is as large as what it refers to: only several can make more of it."""
        self._left = MAX_MADE
        self._known: dict[int, tuple[Any, int]] = {}
        """Sizes of what was referred to, by its id, which is its own as long as it is kept here."""

    def took(self, value: Any) -> Any:
        """The value, which is now part of what is made.

        Raises:
            Unfit: there is no room for it.
        """
        if self._measured:
            kind = type(value)
            if kind is str:
                self._left -= len(value) + 2
            elif kind in _SMALL:
                self._left -= 8
            else:
                self._left -= self._size(value)
            if self._left < 0:
                raise Unfit(f"references to more than {MAX_MADE:,} bytes together", "fewer or smaller ones")
        return value

    def _size(self, value: Any) -> int:
        known = self._known.get(id(value))
        if known is None:
            known = self._known[id(value)] = value, _size(value, self._left)
        return known[1]


def _size(value: Any, most: int) -> int:
    """About how many bytes of JSON a value is; counted until it is more than ``most``."""
    size, rest = 0, [value]
    while rest and size <= most:
        one = rest.pop()
        if isinstance(one, str):
            size += len(one) + 2
            continue
        size += 8
        kind: Any = type(one)
        if isinstance(one, list | tuple):
            rest.extend(one)
        elif isinstance(one, Mapping):
            size += sum(len(str(name)) for name in one)
            rest.extend(one.values())
        elif (fields := declared(kind)) is not None:
            rest.extend(getattr(one, name) for name in dict.fromkeys(fields.values()))
    return size
