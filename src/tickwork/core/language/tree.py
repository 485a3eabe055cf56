"""The tree of an expression: what the grammar makes of a text, and the compiler of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression. ``position`` is the index in the text that a complaint about it points at."""

    position: int


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A literal."""

    value: Any


@dataclass(frozen=True, slots=True)
class Name(Node):
    """The first part of a path."""

    name: str


@dataclass(frozen=True, slots=True)
class Part(Node):
    """A field or an item: ``base.name`` (its index is a ``Constant``), ``base[index]``."""

    base: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Sign(Node):
    """``-operand`` or ``not operand``."""

    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Arithmetic."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """``and`` or ``or`` between two parts or more."""

    sign: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """``first < second <= third``."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """``yes if test else no``."""

    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True)
class Items(Node):
    """A list."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function with its arguments."""

    function: str
    arguments: tuple[Node, ...]
