"""Looking a name up in a value: only what the value declares, never an attribute that merely exists.

Mappings, msgspec structs, dataclasses, pydantic models and so events; by the Python name or by the camelCase one.
Methods, properties and names that begin with ``_`` do not exist here, and no other object has fields at all.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any, Final

from pydantic import BaseModel
from pydantic.alias_generators import to_camel

MAX_NAMES: Final = 20
"""How many names a complaint lists."""

_SEEN_NAMES: Final = 500
_PLAIN: Final = frozenset({str, int, bool, type(None), list, dict})
_TEXTS: Final = {bool: "true or false", str: "a text", list: "a list", tuple: "a list", type(None): "null"}
_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


class Missing(Exception):
    """A name, a field or an index is not there.

    Args:
        parts: the path as far as it was read; its last part is what is missing.
        value: where it was looked for.
    """

    def __init__(self, parts: tuple[str | int, ...], value: Any) -> None:
        super().__init__(parts, value)
        self.parts = parts
        self.value = value

    def expected(self) -> str:
        """What would have been right: the names that exist there, nearest first."""
        above = shown(self.parts[:-1])
        if self.value is None:
            return f"a value in {above}, which is null"
        if isinstance(self.value, list | tuple | str):
            return f"an index of {above}, which has a length of {len(self.value)}"
        known = nearest(str(self.parts[-1]), names_of(self.value))
        return (f"one of {known}" if known else "no names at all") + (f" in {above}" if above else "")


class Unfit(Exception):
    """An operator or a look-up does not fit its value: (what was found, what would fit)."""


@lru_cache(maxsize=4096)
def snake_case(name: str) -> str:
    """``vcoinId`` -> ``vcoin_id``: the Python name of a wire name."""
    return _HUMP.sub(lambda match: "_" + match[1], name).lower()


_camel_case = lru_cache(maxsize=4096)(to_camel)


def shown(parts: tuple[str | int, ...]) -> str:
    """A path as text: ``fetch.levels[0].price``."""
    text = ""
    for part in parts:
        if isinstance(part, str) and part.replace("-", "_").isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def nearest(name: str, known: list[str]) -> str:
    """Those names as text, the ones that look like ``name`` first; the rest is counted."""
    close = get_close_matches(snake_case(name)[:60], known, n=5) or get_close_matches(name[:60], known, n=5)
    ordered = close + sorted(one for one in known if one not in close)
    more = f" and {len(ordered) - MAX_NAMES} more" if len(ordered) > MAX_NAMES else ""
    return ", ".join(ordered[:MAX_NAMES]) + more


def names_of(value: Any) -> list[str]:
    """The names that a look-up in the value may use."""
    if isinstance(value, Mapping):
        return [str(name)[:60] for name in islice(value, _SEEN_NAMES)]
    kind: Any = type(value)
    return list(dict.fromkeys((declared(kind) or {}).values()))


@lru_cache(maxsize=1024)
def declared(kind: Any) -> dict[str, str] | None:
    """The fields of a class: every name that is understood, and the attribute it means. ``None``: not of records."""
    if issubclass(kind, BaseModel):
        fields = {name: field.alias or to_camel(name) for name, field in kind.model_fields.items()}
    elif dataclasses.is_dataclass(kind):
        fields = {field.name: to_camel(field.name) for field in dataclasses.fields(kind)}
    elif isinstance(getattr(kind, "__struct_fields__", None), tuple):
        fields = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    else:
        return None
    # a subclass may have put code in the place of a field
    stored = {
        name: wire
        for name, wire in fields.items()
        if not name.startswith("_") and not isinstance(getattr(kind, name, None), property | cached_property)
    }
    spelled = {to_camel(name): name for name in stored} | {wire: name for name, wire in stored.items()}
    return spelled | {name: name for name in stored}


def settle(value: Any, parts: tuple[str | int, ...]) -> Any:
    """A value that was read, fit to be used: the value of an enum; a number must be finite.

    Raises:
        Unfit: NaN or infinite; ``parts`` says where.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Enum):
        return settle(value.value, parts)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unfit(_of(parts, value), "a finite number: NaN and infinity decide nothing")
        return float(value)
    if isinstance(value, Decimal) and not value.is_finite():
        raise Unfit(_of(parts, value), "a finite number: NaN and infinity decide nothing")
    return value


def _of(parts: tuple[str | int, ...], value: Any) -> str:
    return f"{shown(parts)} = {value}" if parts else str(value)


def step(value: Any, part: str | int, parts: tuple[str | int, ...]) -> Any:
    """One look-up. ``parts`` is the path including ``part``, for complaints.

    Raises:
        Missing: it is not there, or there is only null.
        Unfit: such a value has no fields, or no items.
    """
    if value is None:
        raise Missing(parts, value)
    if isinstance(part, str):
        return _field(value, part, parts)
    if isinstance(value, list | tuple | str):
        if not -len(value) <= part < len(value):
            raise Missing(parts, value)
        return value[part]
    if not isinstance(value, Mapping):
        raise Unfit(f"{shown(parts[:-1])} is {kind_of(value)}", f"a list, to look up [{part}]")
    if part not in value:
        raise Missing(parts, value)
    return value[part]


def _field(value: Any, name: str, parts: tuple[str | int, ...]) -> Any:
    if isinstance(value, Mapping):
        for spelling in (name, snake_case(name), _camel_case(name)):
            if spelling in value:
                return value[spelling]
        raise Missing(parts, value)
    kind: Any = type(value)
    fields = declared(kind)
    if fields is None:
        hint = " (an item of a list has a number: [0])" if isinstance(value, list | tuple) else ""
        raise Unfit(f"{shown(parts[:-1])} is {kind_of(value)}", f"a value with fields, to look up {name!r}{hint}")
    attribute = fields.get(name) or fields.get(snake_case(name))
    if attribute is None:
        raise Missing(parts, value)
    return getattr(value, attribute)


def walk(scope: Any, parts: tuple[str | int, ...]) -> Any:
    """The value at a path. The slow way: any value, and every complaint.

    Raises:
        Missing: it is not there. Unfit: it cannot be there, or is a number that is not finite.
    """
    value = scope
    for at, part in enumerate(parts, 1):
        value = step(value, part, parts[:at])
        if isinstance(value, Enum):
            value = value.value
    return settle(value, parts)


def kind_of(value: Any) -> str:
    """What a value is, for complaints."""
    if isinstance(value, bool | str | list | tuple | None):
        return next(text for kind, text in _TEXTS.items() if isinstance(value, kind))
    if isinstance(value, int | float | Decimal):
        return "a number"
    if isinstance(value, datetime | date | time | timedelta):
        return "a time"
    if isinstance(value, Mapping):
        return "a mapping"
    return f"a {type(value).__name__}"
