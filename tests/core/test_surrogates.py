"""Half of a pair of surrogates is no character: no text that could hold one gets in, and no error is lost by one."""

from __future__ import annotations

from typing import Any

import pytest

from tickwork.core.conditions import compile_condition, wait_key
from tickwork.core.expressions import compile_expression, compile_template
from tickwork.errors import InvalidExpression

HALF = "\ud800"


@pytest.mark.parametrize(
    "text", ["'\\ud800'", "'a\\udfffb' == 'a'", f"'{HALF}'", f"event['{HALF}']", "'\\ude00\\ud83d'"]
)
def test_expressions_and_conditions_refuse_it(text: str) -> None:
    for compile_ in (compile_expression, compile_condition):
        with pytest.raises(InvalidExpression, match="whole characters") as caught:
            compile_(text)
        str(caught.value).encode()
        "".join(map(str, caught.value.args)).encode()


def test_two_escapes_may_be_one_character() -> None:
    assert compile_expression("'\\ud83d\\ude00!'")({}) == "😀!"
    assert compile_expression("'😀'")({}) == "😀"


@pytest.mark.parametrize("value", [HALF, f"a{HALF}{{{{event.x}}}}", [f"{{{{event['{HALF}']}}}}"], {HALF: 1}])
def test_templates_refuse_it(value: Any) -> None:
    with pytest.raises(InvalidExpression, match="whole characters"):
        compile_template(value)


def test_a_wait_on_it_has_a_key() -> None:
    assert wait_key("e", ("f",), (HALF,)) != wait_key("e", ("f",), ("x",))
