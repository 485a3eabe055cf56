"""What the core knows of a step's function: its name on the tape, how its result is typed, whether it is async."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from tickwork.core.codec import Codec, annotations_of, codec_for

CALL = "__call__"

_KNOWN_MAX = 10_000
"""Functions remembered; a program that makes more (lambdas by ``exec``) starts over, it does not leak."""


class Function:
    """Facts about one function, found once."""

    __slots__ = ("codec", "is_async", "name", "quick", "strikes", "trials")

    def __init__(self, fn: Callable[..., Any]) -> None:
        target: Any = getattr(fn, "__func__", fn)
        while isinstance(target, functools.partial):
            target = target.func
        qualname = getattr(target, "__qualname__", None) or type(target).__qualname__
        self.name: str = f"{getattr(target, '__module__', None) or type(target).__module__}.{qualname}"
        """``module.qualname``."""
        call: Any = target if inspect.isroutine(target) else getattr(type(target), CALL, target)
        self.is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(target)
        self.codec: Codec = codec_for(annotations_of(target).get("return", Any))
        self.quick = 0
        """Quick calls, counted by an engine that decides where to run it; so are the next two."""
        self.trials = 3
        self.strikes = 0


_known: dict[Any, Function] = {}


def function_of(fn: Callable[..., Any]) -> Function:
    """Facts about ``fn``. Closures of one ``def`` share them."""
    try:
        return _known[fn.__code__]
    except (AttributeError, KeyError):
        pass  # a method, a partial, a callable object; or not seen before
    target = getattr(fn, "__func__", fn)
    key = getattr(target, "__code__", target)
    try:
        found = _known.get(key)
    except TypeError:  # an object that cannot be hashed
        return Function(fn)
    if found is None:
        if len(_known) >= _KNOWN_MAX:
            _known.clear()
        found = _known[key] = Function(fn)
    return found
