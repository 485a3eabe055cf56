"""What is wrong with a value, for people: pydantic knows it, and says it in words of Python's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from tickwork.errors import InvalidInput

_KINDS: Final = {
    "dict_type": "an object", "mapping_type": "an object", "list_type": "a list", "tuple_type": "a list",
    "string_type": "a text", "string_unicode": "a text", "int_type": "a whole number", "int_parsing": "a whole number",
    "int_from_float": "a whole number", "float_type": "a number", "float_parsing": "a number",
    "decimal_type": "a number", "decimal_parsing": "a number", "finite_number": "a finite number",
    "bool_type": "true or false", "bool_parsing": "true or false", "none_required": "nothing", "missing": "a value",
    "extra_forbidden": "no field of this name",
}  # fmt: skip
"""By pydantic's type of error; others are said as pydantic says them, or below."""

_SIZES: Final = {
    "string_too_short": ("min_length", "a text of at least {} characters"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
    "too_short": ("min_length", "at least {} entries"),
    "too_long": ("max_length", "at most {} entries"),
    "string_pattern_mismatch": ("pattern", "a text like {}"),
}
_LITERAL: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s,]+")


def validated(adapter: TypeAdapter[Any], value: Any, path: str) -> Any:
    """A value as a type takes it.

    Raises:
        InvalidInput: it is not one. Of a value that may be of several types, what each of them would have asked of the
            innermost part that is wrong.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        told = [(_where(one["loc"], value), one) for one in error.errors(include_url=False)]
        inside = max((where for where, _ in told), key=len)
        same = [one for where, one in told if where == inside]
        first = same[0]["input"]
        found = first if isinstance(first, str | int | float | bool) else repr(first)[:200]
        raise InvalidInput(path + "".join(inside), found, " or ".join(dict.fromkeys(map(_expected, same)))) from None


def _where(loc: tuple[int | str, ...], value: Any) -> tuple[str, ...]:
    """The steps into the value; others of pydantic's name the type that it tried, such as ``dict[str,any]``."""
    steps: list[str] = []
    for at, part in enumerate(loc):
        if isinstance(value, Mapping) and part in value:
            steps.append(f".{part}")
            value = value[part]
        elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
            steps.append(f"[{part}]")
            value = value[part]
        elif isinstance(value, Mapping) and at == len(loc) - 1 and str(part).isidentifier():
            steps.append(f".{part}")  # one that lacks
    return tuple(steps)


def _expected(error: Any) -> str:
    kind, context = str(error["type"]), error.get("ctx", {})
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in _SIZES:
        name, text = _SIZES[kind]
        return text.format(context[name]).replace("1 characters", "1 character").replace("1 entries", "1 entry")
    if kind == "literal_error":
        return _one_of(str(context["expected"]))
    raised = context.get("error")
    if isinstance(raised, InvalidInput):
        return str(raised.expected)
    text = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    return text[:1].lower() + text[1:]


def _one_of(told: str) -> str:
    """Choices; the empty text is how documents say nothing."""
    words = [word for word in _LITERAL.findall(told) if word != "or"]
    choices = [word for word in words if word not in ("''", '""')]
    choices += ["nothing"] if len(choices) < len(words) else []
    return " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)
