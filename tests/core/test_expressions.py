"""Expressions and templates: what they mean, and what they say when a value does not fit."""

from __future__ import annotations

import decimal
import math
import operator
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.expression_values import SCOPE, Position, nested
from tickwork.core.conditions import compile_condition
from tickwork.core.expressions import MAX_TEMPLATE_TEXT, compile_expression, compile_template
from tickwork.core.language.operators import MAX_CHARACTERS, MAX_ITEMS
from tickwork.core.language.paths import Path
from tickwork.core.language.syntax import MAX_DEPTH, MAX_NODES
from tickwork.errors import InvalidExpression, InvalidInput

# -- meaning


@pytest.mark.parametrize(
    ("text", "scope", "holds"),
    [
        ("opportunity.profit > 0.01", {"opportunity": {"profit": 0.02}}, True),
        ("opportunity.profit > 0.01", {"opportunity": {"profit": Decimal("0.01")}}, False),
        ("opportunity.profit > 0.01", {"opportunity": {"profit": Decimal("0.0100001")}}, True),
        ("input.spread > 0.02", {"input": {"spread": 0.02}}, False),
        ("input.spread > 0.02", {"input": {"spread": 1}}, True),
        ("category == 'urgent'", {"category": "urgent"}, True),
        ("category == 'urgent'", {"category": "Urgent"}, False),
        ("circuit_status == 'closed'", {"circuit_status": "open"}, False),
        ("circuit_status == 'closed'", {"circuitStatus": "closed"}, True),
        ("input.profit > 0.01", {"input": {"profit": 0.010000001}}, True),
        ("{{input.profit}} > 0.01", {"input": {"profit": 0.5}}, True),
    ],
)
def test_the_conditions_of_the_systems(text: str, scope: dict[str, Any], holds: bool) -> None:
    assert compile_condition(text)(scope) is holds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{step-1.research_results.score}} * 2", 1.4),
        ("{{ step-1.sources[1] }}", "b"),
        ("{{step-1.researchResults['score']}}", 0.7),
        ("{{step-1.sources}}[0]", "a"),
        ("n-1", 2),
        ("fetch.levels[-1].price", 6),
        ("fetch['levels'][0]['price']", 5),
        ("fetch.levels[n - 2][key]", 6),
        ("fetch.vcoin_id", "abc"),
        ("event.profit + 1", Decimal("1.02")),
        ("event.inner.deepValue", 3),
        ("level.best_price == level.bestPrice", True),
        ("level.bestPrice * 2", Decimal("201.0")),
        ("position.entryPrice", 2.5),
        ("position.side", "buy"),
        ("side == 'buy' and position.side == side", True),
        ("at < at or at == at", True),
        ("n if flag else name", 3),
        ("1 if not flag else 2 if n == 4 else 'x'", "x"),
        ("n and name", "Bob"),
        ("false || null", None),
        ("!flag || n > 2 && true", True),
        ("! n == 4", True),
        ("[n, [name]] + (1, 2)", [3, ["Bob"], 1, 2]),
        ("()", []),
        ("(1,)", [1]),
        ("[1, 2,]", [1, 2]),
        ("'ab'[1]", "b"),
        ("1_000 + .5 + 1. + 2e3", 3001.5),
        ("-7 // 2 + -7 % 4", -3),
        ("2 + 3 * 4 - 6 / 4", 12.5),
        ("10 - 4 - 3", 3),
        ("--n", 3),
        ("1 < n <= 3 != 4", True),
        ("'x' not in ['a'] and n in (3, 4) and 'price' in fetch.levels[0]", True),
        ("'o' in name", True),
        ("empty is null and n is not none", True),
        ("fetch.note == null", True),
        ("lower(name) + upper(name)", "bobBOB"),
        ("startswith(name, 'B')", True),
        ("sum([1, 2.5, n])", 6.5),
        ("sum([])", 0),
        ("sum([order.quantity, 0.1])", Decimal("0.60")),
        ("min(3, 1, 2) + max([4, 5]) + abs(-1) + len(name)", 10),
        ("round(2.567, 2) + round(2.5)", 4.57),
        ("round(order.quantity + 0.005, 2)", Decimal("0.50")),
        ("round(order.price)", 1000),
        ("max(order.quantity, 0.4)", Decimal("0.50")),
        ("order.quantity + 0.1", Decimal("0.60")),
        ("0.1 + order.quantity", Decimal("0.60")),
        ("order.quantity * 3 / 2", Decimal("0.75")),
        ("order.quantity == 0.5 and order.quantity in [0.5] and [order.quantity] == ['0.5']", True),
        ("-order.quantity", Decimal("-0.50")),
        ('"\\u00e9\\n\\"" + \'\\\'\'', 'é\n"\''),
        ("'&& || ! and'", "&& || ! and"),
        ("'日本' == '日本' && n == 3", True),
        ("  n\n >\t2 ", True),
        ("if_ == 1", True),
        ("fetch.levels[0] == {{fetch.levels[0]}}", True),
    ],
)  # fmt: skip
def test_what_an_expression_means(text: str, value: Any) -> None:
    found = compile_expression(text)({**SCOPE, "if_": 1})
    assert found == (pytest.approx(value) if isinstance(value, float) else value)
    assert type(found) is type(value)


def test_arithmetic_of_decimals_does_not_depend_on_the_thread() -> None:
    third = compile_expression("one / 3")
    expected = third({"one": Decimal(1)})
    with decimal.localcontext(prec=3):
        assert third({"one": Decimal(1)}) == expected == Decimal("0." + "3" * 50)


@given(st.decimals(-(10**9), 10**9, places=8), st.decimals(-(10**9), 10**9, places=8))
def test_arithmetic_of_decimals_is_exact(one: Decimal, two: Decimal) -> None:
    scope = {"a": one, "b": two}
    with decimal.localcontext(prec=60):
        assert compile_expression("a + b")(scope) == one + two
        assert compile_expression("a - b")(scope) == one - two
        assert compile_expression("a * b")(scope) == one * two
    for sign, compare in (("<", operator.lt), ("<=", operator.le), ("==", operator.eq), ("!=", operator.ne)):
        assert compile_condition(f"a {sign} b")(scope) is compare(one, two)


# -- paths and templates


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("opportunity.profit > 0.01", [(("opportunity", "profit"), 0)]),
        ("1 < {{step-1.a['b'][0].c}}", [(("step-1", "a", "b", 0, "c"), 6)]),
        ("a.b[-1].c + lower(x)", [(("a", "b", -1, "c"), 0), (("x",), 18)]),
        ("a[b.c].d", [(("a",), 0), (("b", "c"), 2)]),
        ("é && a if not b else c.d", [(("é",), 0), (("a",), 5), (("b",), 14), (("c", "d"), 21)]),
        ("lower(a.b)[0]", [(("a", "b"), 6)]),
        ("1 + len('a.b')", []),
    ],
)
def test_paths_are_known_before_evaluation(text: str, paths: list[tuple[tuple[str | int, ...], int]]) -> None:
    expression = compile_expression(text)
    assert expression.paths == tuple(Path(parts, position) for parts, position in paths)
    assert expression.names == {parts[0] for parts, _ in paths}
    if " if " not in text:
        assert compile_condition(text).paths == expression.paths


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("{{order.quantity}}", Decimal("0.50")),
        (" {{order.quantity}}", " 0.50"),
        ("Bought {{order.quantity}} of {{event.symbol}}", "Bought 0.50 of BTC/USDT"),
        ("{{order.price}}/{{flag}}/{{empty}}/{{n}}/{{side}}", "1000/true/null/3/buy"),
        ("{{step-1.sources}}", ["a", "b"]),
        ("from {{step-1.sources}} at {{at}}", 'from ["a","b"] at 2026-01-01T00:00:00+00:00'),
        ("{{level}}{{event.inner}}{{position}}",
         '{"bestPrice":"100.5"}{"deepValue":3}{"entryPrice":2.5,"side":"buy"}'),
        ({"a": ["{{n}}", {"b": "x{{n}}"}], "c": None, "d": 1.5}, {"a": [3, {"b": "x3"}], "c": None, "d": 1.5}),
        (("{{n}}", 1), [3, 1]),
        ("no {reference} here }}", "no {reference} here }}"),
        ("", ""),
        (Decimal("1.5"), Decimal("1.5")),
    ],
)  # fmt: skip
def test_what_a_template_makes(value: Any, made: Any) -> None:
    template = compile_template(value)
    assert template(SCOPE) == made
    assert type(template(SCOPE)) is type(made)
    assert template.is_constant == ("{{" not in str(value))


def test_a_template_knows_its_paths_and_gives_new_containers() -> None:
    template = compile_template({"a": ["x {{b.c[0]}} {{d}}"], "e": [1]})
    assert template.paths == (Path(("b", "c", 0), 4), Path(("d",), 15))
    assert template.names == {"b", "d"}
    scope = {"b": {"c": [1]}, "d": 2}
    template(scope)["e"].append(2)
    assert template(scope)["e"] == [1]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (nested(MAX_DEPTH + 1), "template[0][0]"),
        ([0] * (MAX_ITEMS + 1), f"template[{MAX_ITEMS - 1}]"),
        ("x" * (MAX_TEMPLATE_TEXT + 1), "template"),
        ("{{a}} " * (MAX_NODES * 2), "template"),
        ({"a": [{"b": "see {{x"}]}, "template.a[0].b"),
        ({"{{a}}": 1}, "template"),
        ({1: 1}, "template"),
    ],
)
def test_templates_are_bounded(value: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        compile_template(value)
    assert refused.value.path.startswith(path)


def test_a_template_says_where_it_is_wrong() -> None:
    with pytest.raises(InvalidExpression) as refused:
        compile_template({"message": "é Bought {{order.quantity of it"}, path="nodes[2].parameters")
    assert refused.value.path == "nodes[2].parameters.message"
    assert refused.value.position == 9
    with pytest.raises(InvalidInput, match="one of quantity, price in order") as missing:
        compile_template("{{order.quantty}}", path="here")(SCOPE)
    assert (missing.value.path, missing.value.found) == ("here", "order.quantty")
    with pytest.raises(InvalidInput, match="100,000 characters"):
        compile_template("{{t}}{{t}}")({"t": "x" * (MAX_CHARACTERS - 1)})
    with pytest.raises(InvalidInput):
        compile_template("a {{t}}")({"t": object()})


# -- missing


@pytest.mark.parametrize(
    ("text", "found", "words"),
    [
        ("oportunity.profit > 1", "oportunity", "one of opportunity, a"),
        ("opportunity.proft > 1", "opportunity.proft", "one of profit, price, spread in opportunity"),
        ("opportunity.price.x > 1", "opportunity.price.x", "a value in opportunity.price, which is null"),
        ("a[3] == 1", "a[3]", "an index of a, which has a length of 2"),
        ("a[-3] == 1", "a[-3]", "length of 2"),
        ("opportunity['no way'] == 1", "opportunity['no way']", "one of"),
        ("a[n].x == 1", "a[9]", "length of 2"),
        ("record.entryprice == 1", "record.entryprice", "entry_price"),
        ("void.x", "void.x", "no names at all in void"),
    ],
)
def test_what_is_missing_is_named_with_what_exists(text: str, found: str, words: str) -> None:
    scope: dict[str, Any] = {
        "a": [1, 2], "opportunity": {"spread": 1, "profit": 2, "price": None}, "n": 9, "record": Position(), "void": {},
    }  # fmt: skip
    condition = compile_condition(text)
    with pytest.raises(InvalidInput) as missing:
        condition(scope)
    assert missing.value.found == found
    assert words in missing.value.expected
    assert type(missing.value) is InvalidInput
    assert condition(scope, missing="false") is False
    assert compile_condition(f"not ({text})")(scope, missing="false") is False
    assert compile_condition(f"true or ({text})")(scope) is True


def test_a_complaint_lists_few_of_many_names() -> None:
    with pytest.raises(InvalidInput) as missing:
        compile_condition("name_77x")({f"name_{n}": n for n in range(300)})
    assert missing.value.expected.startswith("one of name_77, ")
    assert missing.value.expected.endswith("and 280 more")


@pytest.mark.parametrize("text", ["n.x", "t > 1", "n / 0", "t.x", "nan > 1", "items.x", "n[0]", "d[1.5 * 2]"])
def test_only_what_is_missing_may_count_as_false(text: str) -> None:
    scope = {"n": 1, "t": "a", "nan": math.nan, "items": [1], "d": {}}
    with pytest.raises(InvalidInput):
        compile_condition(text)(scope, missing="false")


def test_looking_up_changes_nothing() -> None:
    found: defaultdict[str, Any] = defaultdict(int)
    assert not compile_condition("found.x > 1")({"found": found}, missing="false")
    assert not found


# -- numbers that are none


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN")])
@pytest.mark.parametrize(
    "text",
    ["x > 1", "x < 1", "x == x", "x != 1", "not x", "x", "1 in [x]", "x in [1]", "1 + x", "-x", "min(1, x)", "a.x > 1",
     "max(list) > 1", "sum(list) > 1", "2 in list", "list == [1, 2]", "list[1] > 0", "abs(x) > 1", "round(x) > 1",
     "a.b.x > 1", "rec.entry_price > 1", "x > t", "x == null"],
)  # fmt: skip
def test_a_condition_on_nan_decides_nothing(text: str, bad: Any) -> None:
    scope = {"x": bad, "a": {"x": bad, "b": {"x": bad}}, "list": [1, bad], "rec": Position(bad), "t": "1"}
    with pytest.raises(InvalidInput, match="finite"):
        compile_condition(text)(scope, missing="false")
    with pytest.raises(InvalidInput, match="finite"):
        compile_template("{{x}}")(scope)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "not zero"), ("1 // zero", "not zero"), ("1.5 % 0.0", "not zero"), ("d / 0", "not zero"),
        ("d // 0.0", "not zero"), ("zero / zero", "not zero"), ("big * big", "finite"), ("-big * big", "finite"),
        ("d % (d - d)", "not zero"), ("name - 1", "two numbers"), ("name + 1", "two texts"), ("name * 2", "numbers"),
        ("-name", "number"), ("name > 1", "two numbers"), ("null < 1", "two numbers"), ("1 in 2", "list"),
        ("1 in name", "text in a text"), ("len(1)", "text"), ("lower(1)", "text"), ("sum(1)", "list"),
        ("sum(['a'])", "number"), ("min([])", "one item"), ("min(1)", "list"), ("[1] < [2]", "two numbers"),
        ("round(1, 1.5)", "digits"), ("wide * wide", "50 digits"), ("wide // 7", "50 digits"),
        ("startswith(1, 'a')", "text"), ("{{rec}} > 1", "two numbers"),
    ],
)  # fmt: skip
def test_operators_say_what_would_fit(text: str, words: str) -> None:
    scope = {"zero": 0, "d": Decimal(5), "big": 1e308, "name": "Bob", "wide": Decimal("9E+999999"), "rec": Position()}
    with pytest.raises(InvalidInput) as unfit:
        compile_expression(text)(scope)
    assert words in unfit.value.expected
