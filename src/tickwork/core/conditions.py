"""Conditions: what ``where`` means. A mapping of fields, or a text such as ``opportunity.profit > 0.01``.

The text is an expression (``core/expressions.py``) of which only the truth counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Context, Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import TypeAdapter, ValidationError

from tickwork.core.event import Event
from tickwork.core.expressions import UNFIT, Compiled, compiled, complaint, is_text
from tickwork.core.language.lookup import Missing, snake_case
from tickwork.core.language.paths import Scope
from tickwork.core.language.syntax import MAX_NODES, MAX_TEXT
from tickwork.errors import InvalidInput

__all__ = [
    "MAX_NODES", "MAX_TEXT", "Condition", "Where", "canonical", "compile_condition", "snake_case", "wait_key",
]  # fmt: skip


class Condition:
    """A compiled condition text."""

    __slots__ = ("_test", "names", "paths", "text")

    def __init__(self, text: str, test: Compiled) -> None:
        self.text = text
        self.paths = test.paths
        """Every path that the text reads, in its order."""
        self.names = frozenset(str(path.parts[0]) for path in test.paths)
        """The names the text starts its paths with."""
        self._test = test.read

    def __call__(self, scope: Scope, missing: Literal["error", "false"] = "error") -> bool:
        """Evaluate over JSON-like values.

        Args:
            missing: ``"false"`` makes the whole condition false when a name, field or index it reads is not there, or
                null has to have fields; nothing else.

        Raises:
            InvalidInput: a name is missing, an operator does not fit its values, or a number is not finite.
        """
        try:
            return bool(self._test(scope))
        except UNFIT as error:
            if missing == "false" and isinstance(error, Missing):
                return False
            raise complaint(error, f"condition {self.text[:80]!r}") from None


def compile_condition(text: str) -> Condition:
    """Compile a condition text.

    Raises:
        InvalidExpression: it cannot be read, or uses something outside the allow-list; with the place.
        InvalidInput: not a text.
    """
    return _condition(is_text(text, "condition"))


@lru_cache(maxsize=4096)
def _condition(text: str) -> Condition:
    # a condition that chooses is two conditions, and `and` and `or` say it plainly
    return Condition(text, compiled(text, "condition", choices=False))


class Where:
    """A ``where`` of a wait: mapping or text, checked against its event.

    ``key`` finds it: waits on equal fields are looked up by hash, all other waits of an event share one key.
    """

    __slots__ = ("condition", "event", "fields", "key", "values")

    def __init__(self, event: type[Event], where: Mapping[str, Any] | str | None) -> None:
        """
        Raises:
            InvalidInput: a field does not exist, or the text does not compile.
        """
        self.event = event
        self.condition: Condition | None = None
        self.fields: tuple[str, ...] = ()
        self.values: tuple[str, ...] = ()
        if isinstance(where, str):
            self.condition = compile_condition(where)
            for name in self.condition.names:
                _known(event, name)
        elif isinstance(where, Mapping):
            pairs = sorted(_pair(event, name, value) for name, value in where.items())
            self.fields = tuple(field for field, _ in pairs)
            self.values = tuple(value for _, value in pairs)
        elif where is not None:
            raise InvalidInput(
                "wait_for(where=)", type(where).__name__, "a mapping of fields or a condition text (never a function)"
            )
        self.key = wait_key(event.event_name, self.fields, self.values)

    @property
    def text(self) -> str:
        """The condition text, or nothing."""
        return self.condition.text if self.condition else ""

    def matches(self, event: Event) -> bool:
        """Does this event match?"""
        if self.condition is not None:
            return self.condition(event.__dict__)
        return all(canonical(getattr(event, f)) == v for f, v in zip(self.fields, self.values, strict=True))


def _known(event: type[Event], name: str) -> str:
    field = snake_case(name)
    if field not in event.model_fields:
        known = ", ".join(event.model_fields) or "no fields at all"
        raise InvalidInput(f"where of {event.event_name}", name, f"a field of the event: {known}")
    return field


def _pair(event: type[Event], name: str, value: Any) -> tuple[str, str]:
    """A field and the text of the value it must have: as the event itself would read it, so that 5 finds "5"."""
    field = _known(event, name)
    try:
        meant = _adapter(event, field).validate_python(value)
    except ValidationError as error:
        complaint = error.errors(include_url=False)[0]["msg"]
        raise InvalidInput(
            f"where of {event.event_name}.{field}", value, f"a value of that field ({complaint})"
        ) from None
    return field, canonical(meant)


@lru_cache(maxsize=4096)
def _adapter(event: type[Event], field: str) -> TypeAdapter[Any]:
    info = event.model_fields[field]
    annotation: Any = info.annotation
    for extra in info.metadata:
        annotation = Annotated[annotation, extra]
    return TypeAdapter(annotation)


_WIDE = Context(prec=2_000)


def canonical(value: Any) -> str:
    """A text that is equal for values that are equal (``5``, ``5.0`` and ``Decimal("5.00")`` alike)."""
    if type(value) is str:
        return "s" + value
    if isinstance(value, Enum):
        return canonical(value.value)
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | float | Decimal):
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        # the default context would round to 28 digits, and let numbers that differ behind them match
        return "n0" if number == 0 else "n" + str(number.normalize(_WIDE))
    if isinstance(value, datetime):
        return "t" + repr(value.timestamp())
    return "o" + repr(value)


def wait_key(event_name: str, fields: tuple[str, ...], values: tuple[str, ...]) -> int:
    """A signed 64-bit hash under which waits are found."""
    text = "\0".join((event_name, *fields, *values)).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)
