"""Arguments are values that JSON can hold: what cannot be written down is refused before anything is done."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tickwork.errors import InvalidInput

DEPTH_MAX: Final = 100
"""Levels of nesting that are looked through for what is wrong."""


def check_plain(given: dict[str, Any]) -> None:
    """
    Raises:
        InvalidInput: half of a surrogate pair, endless nesting, or what is no value of JSON; says where.
    """
    try:
        msgspec.json.encode(given)
    except (TypeError, ValueError, RecursionError):
        path, found, expected = _wrong(given)
        raise InvalidInput(path or "arguments", found, expected) from None


def _wrong(given: Any) -> tuple[str, str, str]:
    """Where the first wrong value is, what it is, and what is expected."""
    left: list[tuple[str, Any, int]] = [("", given, 0)]
    while left:
        path, value, depth = left.pop()
        if depth > DEPTH_MAX:
            return path.partition(".")[0].partition("[")[0], "deeper nesting", f"at most {DEPTH_MAX} levels"
        if isinstance(value, dict):
            for key, inner in value.items():
                left += [(path, key, depth), (f"{path}.{_shown(key)}" if path else _shown(key), inner, depth + 1)]
        elif isinstance(value, list | tuple):
            left += [(f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(value)]
        elif isinstance(value, str):
            if not _writable(value):
                return path, _shown(value), "a text of Unicode characters"
        elif not _encodes(value):
            return path, f"a value of type {type(value).__name__}", "a value that JSON has"
    return "", "what cannot be written as JSON", "plain values"


def _encodes(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError):
        return False
    return True


def _writable(text: str) -> bool:
    # half of a surrogate pair is no character: nothing can write it
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


def _shown(value: Any) -> str:
    return str(value)[:80].encode("utf-8", "backslashreplace").decode()
