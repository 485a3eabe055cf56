"""Arguments of the surface, checked by its annotations: callers may be other processes, and programs without types.

Strict: a whole number is no yes or no, bytes are no text, and a text is one that can be written as UTF-8.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import wraps
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from tickwork.graph.document import Document
from tickwork.graph.reading import MAX_DEPTH
from tickwork.service.documents.coded import invalid

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])

INTEGER_MAX: Final = 2**63 - 1
"""Of numbers that are counted or versioned with: what the tape can hold."""

NESTING_MAX: Final = MAX_DEPTH + 10
"""Levels of plain values: of a document, and of what wraps it."""

_TEXT: Final = "a text of Unicode characters"
_WORDS: Final[dict[Any, str]] = {
    NoneType: "nothing",
    str: _TEXT,
    bool: "true or false",
    int: f"a whole number of at most {INTEGER_MAX:,}",
    Mapping: "an object",
    list: "a list",
    timedelta: "a timedelta",
    datetime: "a datetime",
    Document: "a Document",
}


def checked(method: F) -> F:
    """Refuses arguments that are not what the annotations say, before anything is done.

    Raises:
        ServiceError: by the method, when it is called: ``INVALID_INPUT_DATA``, which names the argument.
        TypeError: an annotation that nothing is known about.
    """
    signature = inspect.signature(method)
    hints = {name: _kinds(hint) for name, hint in get_type_hints(method).items() if name != "return"}

    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in hints:
                _check(name, value, hints[name])
        return await method(*args, **kwargs)

    return call  # type: ignore[return-value]


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation allows."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = tuple(get_origin(member) or member for member in members)
    unknown = [kind for kind in kinds if kind not in _WORDS]
    if unknown:
        raise TypeError(f"no check for arguments of type {unknown[0]!r}")
    return kinds


def _check(name: str, value: Any, kinds: tuple[Any, ...]) -> None:
    if not any(_is(value, kind) for kind in kinds):
        words = " or ".join(_WORDS[kind] for kind in kinds if kind is not NoneType)
        raise invalid(name, shown(value), words)
    if isinstance(value, Mapping | list):
        wrong = _wrong(name, value)
        if wrong is not None:
            raise invalid(wrong.path, wrong.found, wrong.expected)


def _is(value: Any, kind: Any) -> bool:
    if kind is str:
        return isinstance(value, str) and _writable(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INTEGER_MAX
    return isinstance(value, kind)


def _writable(text: str) -> bool:
    # half of a surrogate pair is no character: nothing can write it
    return text.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in text)


class _Wrong(NamedTuple):
    path: str
    found: Any
    expected: str


def _wrong(name: str, value: Any) -> _Wrong | None:
    """What is wrong inside of plain values: the first that is no JSON value. Told by where it sits in the argument."""
    left = [(name, value, 0)]
    while left:
        path, one, depth = left.pop()
        if depth > NESTING_MAX:
            return _Wrong(name, "deeper nesting", f"at most {NESTING_MAX} levels")
        if isinstance(one, Mapping):
            for key, inner in one.items():
                if not _is(key, str):
                    return _Wrong(path, f"the key {shown(key)!r}", f"keys that are each {_TEXT}")
                left.append((f"{path}.{shown(key)}", inner, depth + 1))
        elif isinstance(one, list | tuple):
            left += [(f"{path}[{index}]", inner, depth + 1) for index, inner in enumerate(one)]
        elif isinstance(one, str) and not _writable(one):
            return _Wrong(path, shown(one), _TEXT)
        elif not isinstance(one, str | int | float | Decimal | NoneType):
            return _Wrong(path, shown(one), "a value that JSON has")
    return None


def shown(value: Any) -> Any:
    """A wrong value for complaints: short, and without asking it for its text."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) <= INTEGER_MAX:
        return value
    if isinstance(value, str):
        return value[:80].encode("utf-8", "backslashreplace").decode()
    return f"a value of type {type(value).__name__}"
