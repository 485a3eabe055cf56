"""What an expression looks through, and what a template brings together, is bounded: both hold up everybody else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tickwork.core.expressions import compile_expression, compile_template
from tickwork.core.language.operators import MAX_CHARACTERS, MAX_ITEMS
from tickwork.core.language.room import MAX_MADE
from tickwork.errors import InvalidInput

LONG = [0] * (MAX_ITEMS + 1)
TEXT = "x" * (MAX_CHARACTERS + 1)


@pytest.mark.parametrize(
    "text",
    ["sum(a)", "min(a)", "max(a)", "1 in a", "1 not in a", "a == b", "a != b", "m == n", "[a] == [b]",
     "lower(t)", "upper(t)", "startswith(t, 'x')", "'y' in t"],
)  # fmt: skip
def test_it_looks_through_so_much_at_most(text: str) -> None:
    mapping = {str(at): 0 for at in range(MAX_ITEMS + 1)}
    whole: dict[str, Any] = {"a": LONG, "b": list(LONG), "t": TEXT, "m": mapping, "n": dict(mapping)}
    with pytest.raises(InvalidInput, match=r"at most (10,000 items|100,000 characters)"):
        compile_expression(text)(whole)
    less = {name: value[:-2] if not isinstance(value, dict) else {} for name, value in whole.items()}
    compile_expression(text)(less)


def test_a_comparison_counts_what_is_nested() -> None:
    nested = [[0] * 1_000 for _ in range(20)]
    with pytest.raises(InvalidInput, match="at most 10,000 items"):
        compile_expression("a == b")({"a": nested, "b": [list(one) for one in nested]})
    with pytest.raises(InvalidInput, match="at most 10,000 items"):
        compile_expression("x in a")({"a": [[*one, 1] for one in nested], "x": [*nested[0], 2]})
    assert compile_expression("x in a")({"a": [{"n": n, "m": 0} for n in range(9_000)], "x": {"n": 8_999, "m": 0}})
    assert compile_expression("a == b")({"a": LONG, "b": [0]}) is False


def test_what_a_condition_asks_of_an_index_costs_nothing() -> None:
    assert compile_expression("len(a) > 10 and a[0] == 0 and t != 'y'")({"a": LONG, "t": TEXT})


@pytest.mark.parametrize("many", [["{{event.a}}"] * 1_500, {str(n): ["{{event.a}}"] for n in range(100)}])
def test_a_template_stops_growing(many: Any) -> None:
    scope = {"event": {"a": ["y" * 90_000] * 10}}
    with pytest.raises(InvalidInput, match=r"references to more than .* together"):
        compile_template({"k": many}, "fields")(scope)


def test_texts_count_as_they_are_made() -> None:
    with pytest.raises(InvalidInput, match="references to more than"):
        compile_template(["-{{event.a}}"] * 9_000)({"event": {"a": "y" * 90_000}})
    compile_template(["-{{event.a}}"] * 9_000)({"event": {"a": "y" * 9}})


@pytest.mark.parametrize("value", ["y" * 500_000, list(range(60_000)), {"a": {"b": ["c" * 50] * 10_000}}])
def test_what_is_let_through_is_about_as_large_as_the_bound(value: Any) -> None:
    scope, most = {"event": {"a": value}}, 0
    for count in range(2, 100):
        try:
            made = compile_template(["{{event.a}}"] * count)(scope)
        except InvalidInput:
            break
        most = len(msgspec.json.encode(made))
    assert MAX_MADE / 3 < most < 1.5 * MAX_MADE


def test_one_reference_is_as_large_as_what_it_refers_to() -> None:
    huge = ["y" * 1_000_000] * 10
    assert compile_template({"k": "{{event.a}}"})({"event": {"a": huge}}) == {"k": huge}
