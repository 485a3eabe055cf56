"""Comparisons in conditions that can never be made, as far as the declared types say: a text against a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from tickwork.core.language.syntax import parse
from tickwork.core.language.tree import Comparison, Constant, Name, Node, Part
from tickwork.graph.problems import Problems

Types = Mapping[tuple[str | int, ...], Any]
"""What paths are declared as."""

_EQUALS: Final = frozenset({"==", "!=", "is", "is not"})
_SIGNS: Final = _EQUALS | {"<", "<=", ">", ">="}
_TEXT: Final = "a text"
_KINDS: Final[dict[Any, str]] = {
    bool: "true or false", int: "a number", float: "a number", Decimal: "a number", str: _TEXT,
}  # fmt: skip


def check_comparisons(text: str, types: Types, problems: Problems, path: str) -> None:
    """Complain of comparisons in an expression of which it is certain that they fail, or that they never hold.

    Args:
        text: the expression; it can be read.
        types: of the paths in it.
        path: where it stands.
    """
    for node in _inside(parse(text, path)):
        if isinstance(node, Comparison):
            left = node.first
            for sign, right in node.rest:
                _check(left, sign, right, types, problems, path)
                left = right


def _check(left: Node, sign: str, right: Node, types: Types, problems: Problems, path: str) -> None:
    one, other = _type(left, types), _type(right, types)
    told = f"{_spelled(left)} {sign} {_spelled(right)}"
    if sign not in _SIGNS:
        return
    if _apart((left, one), (right, other)):
        expected = f"two of a kind: {_spelled(left)} is {_kind(one)}, {_spelled(right)} is {_kind(other)}"
        problems.add(path, told, expected)
    elif sign in _EQUALS:
        _check_words(left, right, one, told, problems, path)
        _check_words(right, left, other, told, problems, path)


def _apart(one: tuple[Node, Any], other: tuple[Node, Any]) -> bool:
    """Is one side a text, and the other none, and is it certain that they do not meet?"""
    (text, _), (_, declared) = (one, other) if _kind(one[1]) == _TEXT else (other, one)
    kinds = {_kind(one[1]), _kind(other[1])}
    if len(kinds) != 2 or _TEXT not in kinds or "" in kinds:
        return False
    # a Decimal and a number that is written as a text are two numbers
    return Decimal not in _members(declared) or (isinstance(text, Constant) and not _is_number(text.value))


def _check_words(left: Node, right: Node, declared: Any, told: str, problems: Problems, path: str) -> None:
    """Is the text that a declared word is held against one that it can be?"""
    if get_origin(declared) is Literal and isinstance(right, Constant) and right.value not in get_args(declared):
        words = ", ".join(map(repr, get_args(declared)))
        problems.warn(path, told, f"one of what {_spelled(left)} can be: {words}")


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except ArithmeticError:
        return False


def _inside(node: Node) -> Iterator[Node]:
    yield node
    for field in fields(node):
        value = getattr(node, field.name)
        for one in _flat(value):
            yield from _inside(one)


def _flat(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for one in value:
            yield from _flat(one)


def _type(node: Node, types: Types) -> Any:
    """What a side of a comparison is declared as."""
    if isinstance(node, Constant):
        return type(node.value)
    return types.get(_parts(node), Any)


def _parts(node: Node) -> tuple[str | int, ...]:
    if isinstance(node, Name):
        return (node.name,)
    if isinstance(node, Part) and isinstance(node.index, Constant):
        return (*_parts(node.base), node.index.value)
    return ()


def _members(declared: Any) -> tuple[Any, ...]:
    """The types that a value may have, without ``None``."""
    origin = get_origin(declared)
    if origin in (Union, UnionType):
        return tuple(one for member in get_args(declared) if member is not NoneType for one in _members(member))
    return tuple(type(one) for one in get_args(declared)) if origin is Literal else (declared,)


def _kind(declared: Any) -> str:
    """What values of a type are to an operator; empty where they may be several things."""
    kinds = {_KINDS.get(one, "") for one in _members(declared)}
    return kinds.pop() if len(kinds) == 1 else ""


def _spelled(node: Node) -> str:
    if isinstance(node, Constant):
        return repr(node.value)
    first, *rest = _parts(node) or ("(...)",)
    return "".join([str(first), *(f"[{one}]" if isinstance(one, int) else f".{one}" for one in rest)])
