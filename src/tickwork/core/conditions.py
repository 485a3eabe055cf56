"""Conditions: what ``where`` means. A mapping of fields, or a text such as ``opportunity.profit > 0.01``.

The text is parsed once into closures over an allow-list: names and dotted paths, indexes, comparison, arithmetic
without powers, ``and or not in`` (also ``&& || !``), literals (also ``true false null``) and a few pure functions.
Nothing else of Python is reachable. Size and depth are limited.

Numbers compare by value: a ``Decimal`` and a float meet as decimals, so ``price >= 0.01`` is true of
``Decimal("0.01")``.
"""

from __future__ import annotations

import ast
import hashlib
import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Context, Decimal
from enum import Enum
from functools import lru_cache
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from tickwork.core.event import Event
from tickwork.errors import InvalidInput

MAX_TEXT = 2_000
MAX_NODES = 200
MAX_DIGITS = 30

Scope = Mapping[str, Any]
Test = Callable[[Scope], Any]


def _times(left: Any, right: Any) -> Any:
    # a text or a list times a large number would fill the memory
    if not (isinstance(left, _NUMBER) and isinstance(right, _NUMBER)):
        raise TypeError(f"cannot multiply a {type(left).__name__} by a {type(right).__name__}")
    return operator.mul(left, right)


def _modulo(left: Any, right: Any) -> Any:
    if not isinstance(left, _NUMBER):
        raise TypeError(f"% takes numbers, not a {type(left).__name__}")  # with a text it would format
    return left % right


def _round(number: Any, digits: int = 0) -> Any:
    if not isinstance(digits, int) or abs(digits) > MAX_DIGITS:
        raise ValueError(f"round takes up to {MAX_DIGITS} digits")
    return round(number, digits) if digits else round(number)


def _within(item: Any, container: Any) -> bool:
    if isinstance(container, list | tuple):
        return any(operator.eq(*_meet(item, one)) for one in container)
    return item in container


_NUMBER = int | float | Decimal
_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: _times,
    ast.Div: operator.truediv,
    ast.Mod: _modulo,
    ast.FloorDiv: operator.floordiv,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: _within,
    ast.NotIn: lambda item, container: not _within(item, container),
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"abs": abs, "min": min, "max": max, "len": len, "round": _round}
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
_TEXT_OPERATORS = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(&&)|(\|\|)|(!(?!=))""")


class Condition:
    """A compiled condition text."""

    __slots__ = ("_test", "names", "text")

    def __init__(self, text: str, test: Test, names: frozenset[str]) -> None:
        self.text = text
        self.names = names
        """The names the text starts its paths with."""
        self._test = test

    def __call__(self, scope: Scope) -> bool:
        """Evaluate over JSON-like values.

        Raises:
            InvalidInput: a name is missing, or an operator does not fit its values.
        """
        try:
            return bool(self._test(scope))
        except (TypeError, ZeroDivisionError, ArithmeticError, ValueError) as error:
            raise InvalidInput(f"condition {self.text!r}", str(error), "operands that fit their operators") from None


@lru_cache(maxsize=4096)
def compile_condition(text: str) -> Condition:
    """Compile a condition text.

    Raises:
        InvalidInput: too long, not an expression, or it uses something outside the allow-list.
    """
    path = f"condition {text[:80]!r}"
    if len(text) > MAX_TEXT:
        raise InvalidInput(path, f"{len(text)} characters", f"at most {MAX_TEXT}")
    spelled = {"&&": " and ", "||": " or ", "!": " not "}
    python = _TEXT_OPERATORS.sub(lambda match: match[1] or spelled[match[0]], text).strip()
    try:
        tree = ast.parse(python, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(path, str(error), "a condition such as 'opportunity.profit > 0.01'") from None
    nodes = sum(1 for _ in ast.walk(tree))
    if nodes > MAX_NODES:
        raise InvalidInput(path, f"{nodes} parts", f"at most {MAX_NODES}")
    names: set[str] = set()
    test = _Compiler(path, names).compile(tree.body)
    return Condition(text, test, frozenset(names))


class _Compiler:
    """Turns an allow-listed syntax tree into closures."""

    def __init__(self, path: str, names: set[str]) -> None:
        self.path = path
        self.names = names

    def compile(self, node: ast.expr) -> Test:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise self._refuse(node)
        compiled: Test = method(node)
        return compiled

    def _refuse(self, node: ast.AST) -> InvalidInput:
        return InvalidInput(
            self.path,
            ast.unparse(node)[:80],
            "only paths, comparison, arithmetic (no powers), and/or/not/in, literals and "
            + ", ".join(sorted(_FUNCTIONS)),
        )

    def _constant(self, node: ast.Constant) -> Test:
        value = node.value
        if not isinstance(value, str | int | float | bool | None):
            raise self._refuse(node)
        return lambda scope: value

    def _name(self, node: ast.Name) -> Test:
        name = node.id
        if name.lower() in _CONSTANTS:
            constant = _CONSTANTS[name.lower()]
            return lambda scope: constant
        self.names.add(name)
        path = self.path
        return lambda scope: _field(scope, name, path)

    def _attribute(self, node: ast.Attribute) -> Test:
        if node.attr.startswith("_"):
            raise self._refuse(node)
        base, name, path = self.compile(node.value), node.attr, self.path
        return lambda scope: _field(base(scope), name, path)

    def _subscript(self, node: ast.Subscript) -> Test:
        base, index, path = self.compile(node.value), self.compile(node.slice), self.path
        return lambda scope: _item(base(scope), index(scope), path)

    def _boolop(self, node: ast.BoolOp) -> Test:
        parts = [self.compile(value) for value in node.values]
        if isinstance(node.op, ast.And):
            return lambda scope: all(part(scope) for part in parts)
        return lambda scope: any(part(scope) for part in parts)

    def _unaryop(self, node: ast.UnaryOp) -> Test:
        operand = self.compile(node.operand)
        if isinstance(node.op, ast.Not):
            return lambda scope: not operand(scope)
        if isinstance(node.op, ast.USub):
            return lambda scope: -operand(scope)
        raise self._refuse(node)

    def _binop(self, node: ast.BinOp) -> Test:
        apply = _BINARY.get(type(node.op))
        if apply is None:
            raise self._refuse(node)
        left, right = self.compile(node.left), self.compile(node.right)
        return lambda scope: apply(*_meet(left(scope), right(scope)))

    def _compare(self, node: ast.Compare) -> Test:
        steps: list[tuple[Callable[[Any, Any], Any], Test]] = [
            (_BINARY[type(op)], self.compile(right)) for op, right in zip(node.ops, node.comparators, strict=True)
        ]
        first = self.compile(node.left)

        def test(scope: Scope) -> bool:
            left = first(scope)
            for apply, compiled in steps:
                right = compiled(scope)
                if not apply(*_meet(left, right)):
                    return False
                left = right
            return True

        return test

    def _list(self, node: ast.List | ast.Tuple) -> Test:
        parts = [self.compile(element) for element in node.elts]
        return lambda scope: [part(scope) for part in parts]

    _tuple = _list

    def _call(self, node: ast.Call) -> Test:
        if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS or node.keywords:
            raise self._refuse(node)
        function = _FUNCTIONS[node.func.id]
        parts = [self.compile(argument) for argument in node.args]
        return lambda scope: function(*(part(scope) for part in parts))


_WRITTEN = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")


def _meet(left: Any, right: Any) -> tuple[Any, Any]:
    """Let a Decimal and a float, or a Decimal and a number written as text, meet as decimals."""
    if isinstance(left, Decimal) and isinstance(right, str) and _WRITTEN.fullmatch(right):
        return left, Decimal(right)
    if isinstance(right, Decimal) and isinstance(left, str) and _WRITTEN.fullmatch(left):
        return Decimal(left), right
    if isinstance(left, Decimal) and isinstance(right, float):
        return left, Decimal(repr(right))
    if isinstance(right, Decimal) and isinstance(left, float):
        return Decimal(repr(left)), right
    return left, right


def _field(value: Any, name: str, path: str) -> Any:
    found = _look_up(value, name, path)
    return found.value if isinstance(found, Enum) else found


def _look_up(value: Any, name: str, path: str) -> Any:
    if isinstance(value, Event):
        value = value.__dict__
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        snake = snake_case(name)
        if snake in value:
            return value[snake]
        raise InvalidInput(path, name, "one of " + (", ".join(sorted(map(str, value))) or "no names at all"))
    if hasattr(type(value), "model_fields") and snake_case(name) in type(value).model_fields:
        return getattr(value, snake_case(name))
    raise InvalidInput(path, f".{name} of {value!r}"[:120], "an object with that field")


def _item(value: Any, index: Any, path: str) -> Any:
    if isinstance(index, str):
        return _field(value, index, path)
    try:
        return value[index]
    except (IndexError, KeyError, TypeError):
        raise InvalidInput(path, f"[{index!r}] of {value!r}"[:120], "an index that exists") from None


_HUMP = re.compile(r"(?<=[a-z0-9])([A-Z])")


@lru_cache(maxsize=4096)
def snake_case(name: str) -> str:
    """``vcoinId`` -> ``vcoin_id``: the Python name of a wire name."""
    return _HUMP.sub(lambda match: "_" + match[1], name).lower()


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
    text = "\0".join((event_name, *fields, *values)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)
