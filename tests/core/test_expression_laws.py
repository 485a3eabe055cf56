"""Laws of expressions: the same values as another evaluator, and quick ways that agree with the slow one."""

from __future__ import annotations

import math
import string
import types
import warnings
from decimal import Decimal
from enum import Enum
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from simpleeval import EvalWithCompoundTypes

from tests.core.expression_values import Side, hostile_scope
from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import Template, compile_expression, compile_template
from tickwork.core.language.lookup import Missing, walk
from tickwork.core.language.operators import MAX_CHARACTERS, MAX_ITEMS
from tickwork.errors import InvalidExpression, InvalidInput

# -- the same as another evaluator


NAMES: dict[str, Any] = {
    "i": 7, "j": -2, "zero": 0, "f": 2.5, "g": -0.125, "t": "abc", "u": "b", "e": "", "yes": True, "no": False,
    "nums": [3, 1.5, -2], "words": ["abc", "x"], "void": [], "d": {"a": 1, "b": {"c": "x"}, "list": [1, 2]},
}  # fmt: skip

FUNCTIONS = {"abs": abs, "min": min, "max": max, "len": len, "round": round, "sum": sum}


def _either(draw: st.DrawFn, *choices: st.SearchStrategy[str]) -> str:
    text: str = draw(st.one_of(*choices))
    return text


@st.composite
def numbers(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return _either(
            draw,
            st.sampled_from(["i", "j", "zero", "f", "g", "yes", "d.a", "d['a']", "nums[0]", "nums[-1]", "d.list[1]",
                             "nums[9]", "d.none", "ghost", "d.a.x"]),
            st.integers(0, 50).map(str),
            st.floats(0, 1000, width=16).map(repr),
        )  # fmt: skip
    below = numbers(depth=depth - 1)
    kind = draw(st.integers(0, 9))
    if kind <= 4:
        sign = draw(st.sampled_from(["+", "-", "*", "/", "//", "%"]))
        return f"{draw(below)} {sign} {draw(below)}"
    if kind == 5:
        return f"-{draw(below)}"
    if kind == 6:
        return f"({draw(below)})"
    if kind == 7:
        return f"({draw(below)} if {draw(truths(depth=depth - 1))} else {draw(below)})"
    if kind == 8:
        return f"{draw(st.sampled_from(['min', 'max']))}({draw(below)}, {draw(below)})"
    return _either(
        draw, below.map(lambda one: f"abs({one})"), below.map(lambda one: f"round({one}, 2)"), st.just("sum(nums)"),
        texts(depth=depth - 1).map(lambda one: f"len({one})"),
    )  # fmt: skip


@st.composite
def texts(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["t", "u", "e", "'abc'", '"x"', "''", "words[0]", "d.b.c", "d['b']['c']", "t[0]",
                                     "t[7]", "d.b.zzz"]))  # fmt: skip
    below = texts(depth=depth - 1)
    return _either(
        draw, st.tuples(below, below).map(" + ".join), below.map(lambda one: f"({one})"),
        st.tuples(below, truths(depth=depth - 1), below).map(lambda it: f"({it[0]} if {it[1]} else {it[2]})"),
    )  # fmt: skip


@st.composite
def lists(draw: st.DrawFn, depth: int = 2) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["nums", "words", "void", "d.list", "[]", "[1, 'abc', True]"]))
    below = lists(depth=depth - 1)
    return _either(
        draw, st.tuples(below, below).map(" + ".join), numbers(depth=1).map(lambda one: f"[{one}]"),
        texts(depth=1).map(lambda one: f"[{one}, {one}]"),
    )  # fmt: skip


@st.composite
def truths(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(["yes", "no", "True", "False", "i > 3", "t == 'abc'", "'b' in t", "nums", "void"]))
    below, anything = truths(depth=depth - 1), values(depth=depth - 1)
    order, equality = st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(["==", "!="])
    return _either(
        draw,
        st.tuples(below, st.sampled_from([" and ", " or "]), below).map("".join),
        below.map(lambda one: f"not {one}"),
        below.map(lambda one: f"({one})"),
        st.tuples(numbers(depth=2), order, numbers(depth=1)).map(" ".join),
        st.tuples(numbers(depth=1), order, numbers(depth=1), order, numbers(depth=1)).map(" ".join),
        st.tuples(texts(depth=1), order, texts(depth=1)).map(" ".join),
        st.tuples(texts(depth=1), order, numbers(depth=1)).map(" ".join),
        st.tuples(anything, equality, anything).map(" ".join),
        st.tuples(anything, st.sampled_from(["in", "not in"]), lists(depth=1)).map(" ".join),
        st.tuples(texts(depth=1), st.sampled_from(["in", "not in"]), texts(depth=1) | st.just("d")).map(" ".join),
    )


def values(depth: int = 3) -> st.SearchStrategy[str]:
    return st.one_of(numbers(depth=depth), texts(depth=min(depth, 2)), lists(depth=min(depth, 2)), truths(depth=depth),
                     st.sampled_from(["None", "d", "d.b", "[d]"]))  # fmt: skip


def _outcome(evaluate: Any) -> tuple[Any, ...]:
    try:
        value = evaluate()
    except InvalidInput as error:
        return ("raised", str(error))
    return (type(value), value)


@settings(max_examples=600)
@given(values())
@example("not i == 7 and yes or no")
@example("-i % 4")
@example("1 < i < 9 == yes")
@example("i if no else f if yes else g")
@example("'a' in 'abc' == True")
def test_the_same_value_as_simpleeval(text: str) -> None:
    ours = _outcome(lambda: compile_expression(text)(NAMES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler of Python has views on some of these texts
        try:
            theirs = EvalWithCompoundTypes(names=NAMES, functions=FUNCTIONS).eval(text)
        except Exception:  # noqa: BLE001 - it has a class for every reason, and lets Python's own through
            assert ours[0] == "raised", text
            return
    assert ours == (type(theirs), theirs), text


def test_most_random_expressions_have_a_value() -> None:
    """Else the law above would compare errors with errors."""
    had: list[bool] = []

    @settings(max_examples=200, database=None, derandomize=True)
    @given(values())
    def count(text: str) -> None:
        had.append(_outcome(lambda: compile_expression(text)(NAMES))[0] != "raised")

    count()
    assert sum(had) > len(had) / 2


_words = st.sampled_from(
    ["price", "vcoinId", "tags", "score", "(", ")", "[", "]", "'a'", "1", "2.5", "+", "-", "*", "/", "%", "//", "**",
     "==", "!=", "<", ">=", "in", "not", "and", "or", "&&", "||", "!", ".", ",", "__class__", "lambda", ":", "if",
     "else", "for", "abs", "len", "round", "min", "sum", "upper", "exec", "null", "true", "=", ":=", "{", "}", "@",
     "\\", "{{", "}}", "{{price}}", "step-1", "foo", "gen", "os", "1e308", "9" * 300, "is", "nan", "deep", "long", "é"]
)  # fmt: skip
_RANDOM = {**hostile_scope(), "price": Decimal(1), "vcoinId": "a", "tags": ["t"], "score": 1.0, "nan": math.nan}


@settings(max_examples=400)
@given(
    st.lists(_words, max_size=14).map(" ".join)
    | st.lists(_words, max_size=14).map("".join)
    | st.text(string.printable, max_size=60)
    | st.text(max_size=40)
)
@example("'\ud800'")
@example("{{\ud800}}")
@example("'\\ud800' == price")
@example("1" + "_" * 50)
@example("9" * 2000)
@example("é" * 2000)
def test_any_text_has_a_value_or_is_invalid_input(text: str) -> None:
    before = repr(_RANDOM["tags"])
    for compile_ in (compile_expression, compile_condition, compile_template):
        try:
            value = compile_(text)(_RANDOM)
        except InvalidInput as error:
            str(error)  # can be shown
            if isinstance(error, InvalidExpression):
                assert 0 <= error.position <= len(error.text)
                assert error.text == text[: len(error.text)]
            continue
        if isinstance(value, str | list):
            assert len(value) <= max(MAX_CHARACTERS, MAX_ITEMS)
    assert repr(_RANDOM["tags"]) == before


# -- reading: the quick ways and the slow one agree


_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(max_size=3), st.just(Side.BUY)
)
_data = st.recursive(
    _leaves,
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from("abc"), _data, max_size=3),
    st.lists(st.sampled_from(["a", "b", "c", 0, -1]), max_size=4),
)
def test_quick_reading_is_reading(scope: dict[str, Any], further: list[str | int]) -> None:
    parts = ("a", *further)
    text = "a" + "".join(f"[{part!r}]" for part in further)
    try:
        expected = ("value", walk(types.MappingProxyType(scope), parts))
    except Missing:
        expected = ("missing", None)
    except Exception:  # noqa: BLE001 - what it is does not matter here
        expected = ("error", None)
    try:
        found = ("value", compile_template("{{" + text + "}}")(scope))
    except InvalidInput:
        found = ("error", None)
        if expected[0] == "missing":
            assert compile_condition(text)(scope, missing="false") is False
            return
    assert found == expected
    assert isinstance(compile_template("{{a}}"), Template)


@given(_leaves, _leaves, st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "in", "not in"]))
def test_comparing_with_a_literal_is_comparing(left: Any, right: Any, sign: str) -> None:
    """Literals have quick ways of their own."""
    if isinstance(right, bool | Decimal | Enum | None) or (isinstance(right, float) and not math.isfinite(right)):
        return
    if isinstance(right, int) and right.bit_length() > 1000:
        return
    literal = f'"{"".join(f"{chr(92)}u{ord(c):04x}" if ord(c) < 0x10000 else "?" for c in right)}"' if isinstance(
        right, str) else f"({right!r})"  # fmt: skip
    meant = compile_expression(literal)({})
    other = f"[{literal}]" if "in" in sign else literal
    scope = {"left": left, "right": [meant] if "in" in sign else meant}

    def outcome(text: str) -> Any:
        try:
            return compile_condition(text)(scope)
        except InvalidInput as error:
            return error.args[1:]

    assert outcome(f"left {sign} {other}") == outcome(f"left {sign} right")
