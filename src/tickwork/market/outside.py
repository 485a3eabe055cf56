"""What outside services write, made into our values: a place in a JSON document, an exact number, a time.

Every complaint names the place by its path, so that a source which changed its shape says where.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NoReturn

from tickwork.errors import InvalidInput
from tickwork.values import timestamp_ns

# Digits before the point of a number of seconds in the years 2001 to 2286, and the factor to ns, for each unit.
_EPOCH_UNITS: Final = {10: 1_000_000_000, 13: 1_000_000, 16: 1_000, 19: 1}
_GOOD_TIME: Final = "ISO 8601 with a zone, e.g. 2024-01-01T00:00Z, or seconds (or ms, us, ns) since 1970"


def read_json(body: bytes | str, path: str = "answer") -> Any:
    """A JSON document whose numbers keep their digits: those with a point are ``Decimal``.

    Raises:
        InvalidInput: no JSON (a page of HTML, for instance), or one with NaN or infinity in it.
    """

    def refuse(constant: str) -> NoReturn:
        raise InvalidInput(path, constant, "JSON with finite numbers")

    try:
        return json.loads(body, parse_float=Decimal, parse_constant=refuse)
    except (ValueError, RecursionError):
        begin = body[:60] if isinstance(body, str) else body[:60].decode("utf-8", "replace")
        raise InvalidInput(path, begin, "JSON") from None


def at(document: Any, path: str) -> Any:
    """What stands at a dotted path such as ``data.quotes.0.price``: a number is a place in a list. ``""``: all of it.

    Raises:
        InvalidInput: there is nothing.
    """
    found = document
    done: list[str] = []
    for part in path.split(".") if path else ():
        done.append(part)
        try:
            if isinstance(found, Mapping):
                found = found[part]
            elif isinstance(found, Sequence) and not isinstance(found, str | bytes):
                found = found[int(part)]
            else:
                raise KeyError(part)
        except (KeyError, IndexError, ValueError):
            kind = f"an object with {', '.join(map(str, found))[:120]}" if isinstance(found, Mapping) else type(found)
            raise InvalidInput(".".join(done), str(kind), f"something at {path}") from None
    return found


def maybe_at(document: Any, path: str | None) -> Any:
    """Like ``at``, or ``None``: no path, nothing there, or an empty text."""
    if path is None:
        return None
    try:
        found = at(document, path)
    except InvalidInput:
        return None
    return None if found == "" else found


def instant_ns(value: object, path: str, zone: tzinfo | None = None) -> int:
    """The time that a source names, in ns since 1970 UTC.

    Takes ISO 8601, and numbers or texts of seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by
    their size. ``zone``: of times that name none; without it those are refused.

    Raises:
        InvalidInput: no such time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise InvalidInput(path, repr(value)[:80], _GOOD_TIME)
    text = str(value).strip()
    try:
        number = Decimal(text)
    except InvalidOperation:
        return _calendar_ns(text, path, zone)
    factor = _EPOCH_UNITS.get(len(str(int(number)))) if number.is_finite() and abs(number) < 10**20 else None
    if factor is None:
        raise InvalidInput(path, text[:80], _GOOD_TIME)
    return int(number * factor)


def _calendar_ns(text: str, path: str, zone: tzinfo | None) -> int:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(path, text[:80], _GOOD_TIME) from None
    if time.tzinfo is None:
        if zone is None:
            raise InvalidInput(path, text, f"{_GOOD_TIME}; this time names no zone")
        time = time.replace(tzinfo=zone)
    return timestamp_ns(time, path)
