"""Expressions: values of workflow documents, such as ``{{fetch.levels[0].price}} * 2``, and templates of parameters.

A text is read once (``core/language/syntax.py``) and compiled to closures over an allow-list; nothing else of Python is
reachable. Text, parts, depth, results and the lists and texts on the way to them are bounded.

A template is a value of a document in which texts may hold references: ``"{{order.quantity}}"`` is the quantity
itself, ``"Bought {{order.quantity}} of {{event.symbol}}"`` is a text, lists and mappings are made anew.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
from pydantic.alias_generators import to_camel

from tickwork.core.language.lookup import Missing, Unfit, declared, kind_of, nearest, settle, shown, step
from tickwork.core.language.operators import (
    ARITHMETIC,
    COMPARISONS,
    FUNCTIONS,
    MAX_CHARACTERS,
    MAX_ITEMS,
    ORDERS,
    bounded,
    negative,
)
from tickwork.core.language.paths import Path, Read, Scope, reader
from tickwork.core.language.room import Room
from tickwork.core.language.syntax import ALLOWED, MAX_DEPTH, MAX_NODES, check_characters, parse, reference
from tickwork.core.language.tree import Binary, Call, Choice, Comparison, Constant, Items, Logic, Name, Node, Part, Sign
from tickwork.errors import InvalidExpression, InvalidInput

MAX_TEMPLATE_TEXT: Final = 20_000
"""Characters of one text of a template."""

UNFIT = (Missing, Unfit, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What evaluating may raise; ``complaint`` says it to the caller."""


class Compiled(NamedTuple):
    """How an expression is evaluated, and the paths it reads."""

    read: Read
    paths: tuple[Path, ...]


class Expression:
    """A compiled expression."""

    __slots__ = ("_read", "names", "paths", "text")

    def __init__(self, text: str, compiled: Compiled) -> None:
        self.text = text
        self.paths = compiled.paths
        """Every path that the text reads, in its order."""
        self.names = frozenset(str(path.parts[0]) for path in compiled.paths)
        """The names that the paths start with."""
        self._read = compiled.read

    def __call__(self, scope: Scope) -> Any:
        """The value. What was read is returned as it is, not copied.

        Raises:
            InvalidInput: a name, field or index is missing, an operator does not fit its values, or a number is not
                finite.
        """
        try:
            return self._read(scope)
        except UNFIT as error:
            raise complaint(error, f"expression {self.text[:80]!r}") from None


def compile_expression(text: str) -> Expression:
    """Compile an expression.

    Raises:
        InvalidExpression: it cannot be read, or uses something outside the allow-list; with the place.
        InvalidInput: not a text.
    """
    return _expression(is_text(text, "expression"))


@lru_cache(maxsize=4096)
def _expression(text: str) -> Expression:
    return Expression(text, compiled(text, "expression"))


def is_text(text: object, kind: str) -> str:
    """The text.

    Raises:
        InvalidInput: it is none.
    """
    if not isinstance(text, str):
        raise InvalidInput(kind, kind_of(text), "a text")
    return text


def complaint(error: BaseException, path: str) -> InvalidInput:
    """What went wrong in an evaluation, for the caller."""
    if isinstance(error, Missing):
        return InvalidInput(path, shown(error.parts), error.expected())
    if isinstance(error, Unfit):
        return InvalidInput(path, *error.args)
    if isinstance(error, DecimalException):
        return InvalidInput(path, f"{type(error).__name__} of a Decimal", "a result that 50 digits can hold")
    return InvalidInput(path, str(error)[:200] or type(error).__name__, "operands that fit their operators")


def compiled(text: str, kind: str, *, choices: bool = True) -> Compiled:
    """Compile a text.

    Args:
        kind: what it is called in complaints.
        choices: may it hold ``a if b else c``?

    Raises:
        InvalidExpression: with the place.
    """
    compiler = _Compiler(text, kind, choices)
    return Compiled(compiler.compile(parse(text, kind)), tuple(compiler.paths))


class _Compiler:
    """Turns a tree into closures, and notes the paths."""

    def __init__(self, text: str, kind: str, choices: bool) -> None:
        self.text = text
        self.kind = kind
        self.choices = choices
        self.paths: list[Path] = []

    def refuse(self, expected: str, position: int) -> InvalidExpression:
        return InvalidExpression(self.kind, self.text, expected, position)

    def compile(self, node: Node) -> Read:
        match node:
            case Constant(value=value):
                return lambda scope: value
            case Name() | Part():
                return self.path(node)
            case Sign():
                return self.sign(node)
            case Binary(sign=sign):
                apply, left, right = ARITHMETIC[sign], self.compile(node.left), self.compile(node.right)
                return lambda scope: apply(left(scope), right(scope))
            case Logic(sign=sign, parts=parts):
                return _logic(sign, [self.compile(part) for part in parts])
            case Comparison():
                return self.comparison(node)
            case Items(parts=parts):
                items = [self.compile(part) for part in parts]
                return lambda scope: [item(scope) for item in items]
            case Choice():
                return self.choice(node)
            case Call():
                return self.call(node)
        raise self.refuse(ALLOWED, node.position)

    def path(self, node: Name | Part) -> Read:
        fixed = _fixed(node)
        if fixed is not None:
            self.paths.append(fixed)
            return reader(fixed.parts)
        assert isinstance(node, Part)
        base, index, above = self.compile(node.base), self.compile(node.index), _above(node.base)
        if isinstance(node.index, Constant) and type(node.index.value) not in (str, int):
            raise self.refuse("a whole number or a text as an index", node.index.position)

        def item(scope: Scope) -> Any:
            value, at = base(scope), index(scope)
            if type(at) is not int and type(at) is not str:
                raise Unfit(f"an index that is {kind_of(at)}", "a whole number or a text as an index")
            parts = (*above, at)
            return settle(step(value, at, parts), parts)

        return item

    def sign(self, node: Sign) -> Read:
        operand = self.compile(node.operand)
        if node.sign == "not":
            return lambda scope: not operand(scope)
        return lambda scope: negative(operand(scope))

    def comparison(self, node: Comparison) -> Read:
        first = self.compile(node.first)
        if len(node.rest) == 1:
            ((sign, other),) = node.rest
            if quick := _against(sign, first, other):
                return quick
            apply, right = COMPARISONS[sign], self.compile(other)
            return lambda scope: apply(first(scope), right(scope))
        steps = [(COMPARISONS[sign], self.compile(other)) for sign, other in node.rest]

        def chain(scope: Scope) -> bool:
            left = first(scope)
            for apply, read in steps:
                right = read(scope)
                if not apply(left, right):
                    return False
                left = right
            return True

        return chain

    def choice(self, node: Choice) -> Read:
        if not self.choices:
            raise self.refuse("`and` and `or`: a condition holds no `if`", node.position)
        yes, test, no = self.compile(node.yes), self.compile(node.test), self.compile(node.no)
        return lambda scope: yes(scope) if test(scope) else no(scope)

    def call(self, node: Call) -> Read:
        if node.function not in FUNCTIONS:
            raise self.refuse(f"one of the functions {nearest(node.function, list(FUNCTIONS))}", node.position)
        function, least, most = FUNCTIONS[node.function]
        if not least <= len(node.arguments) <= most:
            count = f"{least}" if least == most else f"{least} to {most}"
            raise self.refuse(f"{count} values in {node.function}(), not {len(node.arguments)}", node.position)
        arguments = [self.compile(argument) for argument in node.arguments]
        if len(arguments) == 1:
            (only,) = arguments
            return lambda scope: function(only(scope))
        return lambda scope: function(*[argument(scope) for argument in arguments])


def _index(node: Node) -> str | int | None:
    """The constant that an index is, if it is one: a text, or a whole number with or without a minus."""
    if isinstance(node, Constant) and type(node.value) in (str, int):
        return node.value  # type: ignore[no-any-return]
    if isinstance(node, Sign) and node.sign == "-" and type(below := _index(node.operand)) is int:
        return -below
    return None


def _fixed(node: Node) -> Path | None:
    """The path that the node is, if all its indexes are constant."""
    parts: list[str | int] = []
    while isinstance(node, Part):
        index = _index(node.index)
        if index is None:
            return None
        parts.append(index)
        node = node.base
    return Path((node.name, *reversed(parts)), node.position) if isinstance(node, Name) else None


def _above(node: Node) -> tuple[str | int, ...]:
    """What complaints call a value of which only the evaluation knows where it comes from."""
    if isinstance(node, Name):
        return (node.name,)
    if isinstance(node, Part):
        index = _index(node.index)
        return (*_above(node.base), "..." if index is None else index)
    return ()


def _logic(sign: str, parts: list[Read]) -> Read:
    *others, last = parts
    if len(others) == 1:
        (first,) = others
        if sign == "and":
            return lambda scope: first(scope) and last(scope)
        return lambda scope: first(scope) or last(scope)
    until = sign == "or"

    def logic(scope: Scope) -> Any:
        for part in others:
            value = part(scope)
            if bool(value) is until:
                return value
        return last(scope)

    return logic


def _against(sign: str, read: Read, other: Node) -> Read | None:
    """A comparison with literals: the commonest condition, so it has ways of its own."""
    if sign in ("in", "not in") and isinstance(other, Items):
        return _among(sign, read, other)
    if not isinstance(other, Constant) or type(other.value) not in (str, int, float):
        return None
    constant, kind, general = other.value, type(other.value), COMPARISONS[sign]
    if sign in ORDERS and kind is not str:
        compare, decimal = ORDERS[sign], Decimal(repr(constant))

        def order(scope: Scope) -> Any:
            value = read(scope)
            kind = type(value)
            if kind is float or kind is int:
                return compare(value, constant)
            return compare(value, decimal) if kind is Decimal else general(value, constant)

        return order
    if sign in ("==", "!="):
        quick = operator.eq if sign == "==" else operator.ne

        def equal(scope: Scope) -> Any:
            value = read(scope)
            return quick(value, constant) if type(value) is kind else general(value, constant)

        return equal
    return None


def _among(sign: str, read: Read, items: Items) -> Read | None:
    """A text in a list of texts."""
    constants = [item.value for item in items.parts if isinstance(item, Constant) and type(item.value) is str]
    if len(constants) < len(items.parts):
        return None
    known, general, inside = frozenset(constants), COMPARISONS[sign], sign == "in"

    def among(scope: Scope) -> Any:
        value = read(scope)
        return (value in known) is inside if type(value) is str else general(value, constants)

    return among


# -- templates


class Template:
    """A compiled value of a document."""

    __slots__ = ("_make", "is_constant", "names", "path", "paths")

    def __init__(self, path: str, make: Make, paths: tuple[Path, ...]) -> None:
        self.path = path
        """What it is called in complaints."""
        self.paths = paths
        """Every path that its texts read; a position is an index in the text that holds it."""
        self.names = frozenset(str(one.parts[0]) for one in paths)
        """The names that the paths start with."""
        self.is_constant = not paths
        """Does it read nothing?"""
        self._make = make

    def __call__(self, scope: Scope) -> Any:
        """The value: new lists and mappings around what was read, which is not copied.

        Raises:
            InvalidInput: a name, field or index is missing, a number is not finite, or it becomes too large.
        """
        try:
            return self._make(scope, Room(len(self.paths) > 1))
        except UNFIT as error:
            raise complaint(error, self.path) from None


def compile_template(value: Any, path: str = "template") -> Template:
    """Compile a value of a document.

    A text that is one ``{{reference}}`` and nothing else gives what is referenced; one with references among other
    words gives a text; lists and mappings are compiled within; anything else is itself.

    Args:
        path: what the value is called in complaints; the names of mappings and indexes of lists are added to it.

    Raises:
        InvalidExpression: a reference that is none, with the place in its text; a text that is too long.
        InvalidInput: too deep or too large, or a name in a mapping that is no text or holds a reference.
    """
    maker = _Maker()
    make = maker.compile(value, path, 0)
    return Template(path, make, tuple(maker.paths))


Make = Callable[[Scope, Room], Any]


@dataclass(slots=True)
class _Words:
    """A text between references."""

    text: str


class _Maker:
    """Turns a value into closures, and notes the paths."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self.count = 0

    def compile(self, value: Any, path: str, depth: int) -> Make:
        self.count += 1
        if self.count > MAX_ITEMS:
            raise InvalidInput(path, f"more than {MAX_ITEMS:,} values", "a smaller template")
        if depth > MAX_DEPTH:
            raise InvalidInput(path, f"more than {MAX_DEPTH} levels", "lists and mappings that are less deep")
        if isinstance(value, str):
            return self.text(value, path)
        if isinstance(value, list | tuple):
            items = [self.compile(item, f"{path}[{at}]", depth + 1) for at, item in enumerate(value)]
            return lambda scope, room: [item(scope, room) for item in items]
        if isinstance(value, Mapping):
            fields = [
                (_key(name, path), self.compile(item, f"{path}.{name}", depth + 1)) for name, item in value.items()
            ]
            return lambda scope, room: {name: field(scope, room) for name, field in fields}
        return lambda scope, room: value

    def text(self, text: str, path: str) -> Make:
        if len(text) > MAX_TEMPLATE_TEXT:
            place = MAX_TEMPLATE_TEXT
            raise InvalidExpression(path, text[: place + 40], f"at most {MAX_TEMPLATE_TEXT:,} characters", place)
        check_characters(text, path)
        pieces: list[_Words | Path] = []
        at = 0
        while (begin := text.find("{{", at)) >= 0:
            end = text.find("}}", begin + 2)
            if end < 0:
                raise InvalidExpression(path, text, "`}}` to close the reference that begins here", begin)
            found = _fixed(reference(text, begin + 2, end, path))
            assert found is not None
            pieces += [_Words(text[at:begin]), found] if begin > at else [found]
            at = end + 2
            if len(pieces) > 2 * MAX_NODES:
                raise InvalidExpression(path, text, f"at most {MAX_NODES} references", begin)
        if at < len(text):
            pieces.append(_Words(text[at:]))
        self.paths += [piece for piece in pieces if isinstance(piece, Path)]
        if len(pieces) == 1 and isinstance(pieces[0], Path):
            read = reader(pieces[0].parts)
            return lambda scope, room: room.took(read(scope))
        if not any(isinstance(piece, Path) for piece in pieces):
            return lambda scope, room: text
        made = [piece.text if isinstance(piece, _Words) else reader(piece.parts) for piece in pieces]
        return lambda scope, room: room.took(_joined(made, scope))


def _key(name: Any, path: str) -> str:
    if not isinstance(name, str):
        raise InvalidInput(path, f"the name {name!r}"[:80], "a text as the name of a field")
    if "{{" in name:
        raise InvalidInput(path, f"the name {name!r}"[:80], "references in values only, not in names")
    check_characters(name, path)
    return name


def _joined(pieces: list[str | Read], scope: Scope) -> str:
    texts: list[str] = []
    room = MAX_CHARACTERS
    for piece in pieces:
        text = piece if isinstance(piece, str) else as_text(piece(scope))
        room -= len(text)
        if room < 0:
            raise Unfit(f"more than {MAX_CHARACTERS:,} characters", "a text that is shorter")
        texts.append(text)
    return "".join(texts)


def as_text(value: Any) -> str:
    """A value among words: decimals without an exponent, times as ISO 8601, all else that is no text as JSON.

    Raises:
        Unfit: too long, or nothing that JSON could say.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}" if abs(value.adjusted()) <= 50 else str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    try:
        return str(bounded(msgspec.json.encode(_as_json(value)).decode()))
    except (msgspec.MsgspecError, OverflowError) as error:
        raise Unfit(str(error), "a value that can be written as text") from None


def _as_json(value: Any) -> Any:
    """A value as JSON has it: records by their declared fields, in camelCase."""
    value = settle(value, ())
    if isinstance(value, Decimal):
        return as_text(value)
    if isinstance(value, list | tuple | Mapping) and len(value) > MAX_CHARACTERS // 2:
        raise Unfit(f"{len(value):,} items", f"a text of at most {MAX_CHARACTERS:,} characters")
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _as_json(item) for name, item in value.items()}
    kind: Any = type(value)
    fields = declared(kind)
    if fields is not None:
        return {to_camel(name): _as_json(getattr(value, name)) for name in dict.fromkeys(fields.values())}
    if isinstance(value, str | int | float | datetime | None):
        return value
    raise Unfit(kind_of(value), "a value that can be written as text")
