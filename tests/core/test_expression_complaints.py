"""Complaints about the texts of expressions: words, places and limits."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.expression_values import nested
from tickwork.core.codec import decode_error, encode_error
from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import compile_expression
from tickwork.core.language.syntax import MAX_DEPTH, MAX_LITERAL, MAX_NODES, MAX_TEXT
from tickwork.errors import InvalidExpression, InvalidInput

# -- complaints about texts


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("a ▲= 1", "`==` to compare"),
        ("a ▲<> 1", "`!=`"),
        ("a ▲=== 1", "`==`"),
        ("a ▲!== 1", "`!=`"),
        ("a ▲:= 1", "`==`"),
        ("x.y.▲", "field after `.`, not the end"),
        ("x.▲", "the name of a field"),
        ("x.y.▲> 1", "the name of a field"),
        ("a > ▲", "not the end of the text"),
        ("▲", "an operand"),
        ("a == ▲'abc", "a closing '"),
        ("a == ▲\"abc'", 'a closing "'),
        ("▲(a > 1", "a closing `)`"),
        ("a▲[1", "a closing `]`"),
        ("(a > 1▲]", "`)` to close"),
        ("a > 1▲)", "no bracket is open"),
        ("[1, 2▲)", "`]` to close"),
        ("a[▲]", "an index"),
        ("a ▲b", "an operator or the end"),
        ("a > ▲> 1", "an operand"),
        ("a ▲** 2", "there are no powers"),
        ("▲lambda: 1", "`lambda` is not known here"),
        ("a && ▲await b", "`await` is not known here"),
        ("a && ▲lenn(b)", "one of the functions len"),
        ("a && ▲print(b)", "one of the functions"),
        ("a && ▲round()", "1 to 2 values"),
        ("▲len(1, 2)", "1 values in len(), not 2"),
        ("len(▲*a)", "starred"),
        ("len(x▲=1)", "`==`"),
        ("a.b▲()", "no methods"),
        ("a.▲_b", "private"),
        ("{{a.▲_b}}", "private"),
        ("▲__import__('os')", "does not begin with `__`"),
        ("▲{'a': 1}", "no mappings"),
        ("▲f'{a}'", "no letters before a quote"),
        ("a[1▲:2]", "no slices"),
        ("a ▲? b : c", "`a if b else c`"),
        ("a ▲& b", "`and`"),
        ("a ▲| b", "`or`"),
        ("▲~a", "arithmetic of bits"),
        ("a ▲; b", "one expression"),
        ("a ▲# why", "no comments"),
        ("[a ▲for a in b]", "`for` is not known here"),
        ("a == ▲not b", "parentheses"),
        ("a == ▲!b", "parentheses"),
        ("▲1x + 1", "a decimal number"),
        ("▲0x10", "a decimal number"),
        ("▲1__0__", "a decimal number"),
        ("a > ▲1e999", "not infinite"),
        ("a[▲1.5]", "a whole number or a text"),
        ("a[▲null]", "a whole number or a text"),
        ("▲{{a.b", "`}}`"),
        ("a && ▲{{a.b} > 1", "`}}`"),
        ("{{▲}}", "a path such as"),
        ("{{▲1a}}", "a path such as"),
        ("{{a.b ▲+ 1}}", "a reference is a path"),
        ("{{a▲.}}", "a reference is a path"),
        ("{{a▲[b]}}", "a reference is a path"),
        ("a ▲}} b", "no `{{` stands before"),
        ("'▲{{category}}' == 'urgent'", "without quotes"),
        ("'ab▲\\d'", "escape"),
        ("'a' ▲'b'", "operator between two texts"),
        ("a if b▲", "`else`"),
        ("a ▲\x00b", "an operator or the end"),
        # whatever stands before the place
        ("a && b || !c && {{step-1.x}} > 1 && x ▲= 1", "`==`"),
        ("'日本語' == é && !x && y.z. ▲> 1", "field after `.`"),
        ("{{a-b.c}} == '\\u00e9' || \U0001d518 ▲=== 1", "`==`"),
        ("'\U0001f680' in x && ▲lenn(y)", "one of the functions len"),
        ("x\n  and y\n  and z ▲<> 1", "`!=`"),
    ],
)
def test_complaints_have_a_place(marked: str, words: str) -> None:
    text, position = marked.replace("▲", ""), marked.index("▲")
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(text)
    error = refused.value
    assert words in error.expected
    assert (error.position, error.text) == (position, text)
    assert type(error)(*error.args).args == error.args
    again = decode_error(encode_error(error)[0])
    assert type(again) is InvalidExpression
    assert (again.args, str(again)) == (error.args, str(error))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("opportunity.p = 1",
         "condition: expected `==` to compare (`=` would assign)\n    opportunity.p = 1\n                  ^"),
        ("日本 = 1", "condition: expected `==` to compare (`=` would assign)\n    日本 = 1\n         ^"),
        ("'e\u0301' = 1", "condition: expected `==` to compare (`=` would assign)\n    'e\u0301' = 1\n        ^"),
        ("a\n= 1", "condition: expected `==` to compare (`=` would assign)\n    a = 1\n      ^"),
        ("x" * 70 + " = " + "y" * 70,
         "condition: expected `==` to compare (`=` would assign)\n    ..." + "x" * 49 + " = " + "y" * 28 + "...\n"
         + " " * 57 + "^"),
    ],
)  # fmt: skip
def test_a_complaint_shows_the_place(text: str, shown: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_condition(text)
    assert str(refused.value) == shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x" * (MAX_TEXT + 1), "2,000 characters"),
        ("+".join(["1"] * MAX_NODES), "200 operands"),
        ("[" + "1," * MAX_NODES + "]", "200 operands"),
        ("(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1), "32 levels"),
        ("-" * (MAX_DEPTH + 1) + "1", "32 levels"),
        ("not " * (MAX_DEPTH + 1) + "a", "32 levels"),
        ("!" * (MAX_DEPTH + 1) + "a", "32 levels"),
        ("[" * 300, "32 levels"),
        ("abs(" * 60 + "1" + ")" * 60, "32 levels"),
        ("a" + "[a" * 60 + "]" * 60, "32 levels"),
        ("1 if a else " * 40 + "1", "32 levels"),
        ("'" + "x" * (MAX_LITERAL + 1) + "'", "500 characters"),
        ("9" * 400, "1,024 bits"),
        ("{{a" + ".b" * (MAX_DEPTH + 1) + "}}", "32 parts"),
    ],
)
def test_texts_are_bounded(text: str, words: str) -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_expression(text)
    assert words in refused.value.expected
    assert len(refused.value.text) <= MAX_TEXT + 40


def test_what_is_within_the_bounds_is_evaluated() -> None:
    assert compile_expression("+".join(["1"] * (MAX_NODES // 2)))({}) == MAX_NODES // 2
    deep = MAX_DEPTH - 1
    assert compile_expression("(" * deep + "1" + ")" * deep)({}) == 1
    assert compile_expression("'" + "x" * MAX_LITERAL + "'")({}) == "x" * MAX_LITERAL
    assert compile_expression("a" + "[0]" * 60)({"a": nested(60)}) == 1


@pytest.mark.parametrize("text", [None, 5, b"a", ["a"], {"a"}])
def test_only_a_text_is_compiled(text: Any) -> None:
    for compile_ in (compile_expression, compile_condition):
        with pytest.raises(InvalidInput, match="a text"):
            compile_(text)


def test_a_condition_does_not_choose() -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_condition("a > 1 if b else c")
    assert refused.value.position == 6
