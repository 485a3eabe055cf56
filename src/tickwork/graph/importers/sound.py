"""Is a value one that JSON has words for, and small enough to be looked at?"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from tickwork.core.language.lookup import kind_of
from tickwork.errors import InvalidInput
from tickwork.graph.problems import Problems
from tickwork.graph.reading import MAX_DEPTH, MAX_VALUES


def check_sound(value: Any) -> None:
    """Look at everything in a document, before anybody walks down into it.

    Raises:
        InvalidInput: too deep, or too many values.
        InvalidDocument: numbers that are not finite, keys that are no texts, values of other kinds.
    """
    problems = Problems()
    left, many = [(value, "document", 0)], 0
    while left:
        one, path, depth = left.pop()
        many += 1
        if many > MAX_VALUES:
            raise InvalidInput("document", f"more than {MAX_VALUES:,} values", "fewer")
        if depth > MAX_DEPTH:
            raise InvalidInput(path, "deeper nesting", f"at most {MAX_DEPTH} levels")
        if isinstance(one, Mapping):
            for key in one:
                if not isinstance(key, str):
                    problems.add(path, f"the key {key!r}"[:80], "keys that are texts")
            left += [(inside, f"{path}.{key}", depth + 1) for key, inside in one.items()]
        elif isinstance(one, list | tuple):
            left += [(inside, f"{path}[{index}]", depth + 1) for index, inside in enumerate(one)]
        elif isinstance(one, float) and not isfinite(one):
            problems.add(path, str(one), "a finite number")
        elif one is not None and not isinstance(one, str | int | float | bool):
            problems.add(path, kind_of(one), "a text, a number, true, false, null, a list or an object")
    problems.check("document")
