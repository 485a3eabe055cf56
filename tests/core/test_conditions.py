"""Conditions: what they mean, and that they reach nothing else."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tickwork.core.conditions import MAX_TEXT, Where, canonical, compile_condition, snake_case
from tickwork.core.event import Event
from tickwork.errors import InvalidInput


class Side(Enum):
    BUY = "buy"


class Inner(BaseModel):
    deep_value: int = 3


class Trade(Event, name="conditions/trade"):
    vcoin_id: str = "abc"
    price: Decimal = Decimal("0.10")
    score: float = 0.5
    side: Side = Side.BUY
    tags: list[str] = Field(default_factory=list)
    at: datetime | None = None
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("price >= 0.1", True),
        ("price == 0.1", True),
        ("price > 0.1", False),
        ("price < score", True),
        ("price * 10 == 1", True),
        ("price in [0.1, 5]", True),
        ("price == '0.1'", True),
        ("price > '0.05'", True),
        ("vcoinId == 'abc'", True),
        ("vcoin_id == 'abc'", True),
        ("side == 'buy'", True),
        ("inner.deepValue == 3 && inner.deep_value == 3", True),
        ("'x' in tags || len(tags) == 0", True),
        ("!(score > 1)", True),
        ("not score > 1 and score != 1", True),
        ("'a!b&&c' == 'a!b&&c'", True),
        ("at == null", True),
        ("at is none", True),
        ("1 < score * 4 < 3", True),
        ("abs(-score) == 0.5", True),
        ("min(1, 2) + max(1, 2) == 3", True),
        ("round(score * 3) == 2 and 7 % 4 == 3 and 7 // 2 == 3", True),
        ("false", False),
        ("tags == []", True),
        ("'b' in vcoinId", True),
    ],
)
def test_what_a_condition_means(text: str, holds: bool) -> None:
    assert Where(Trade, text).matches(Trade()) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')", "vcoinId.__class__", "().__class__", "(lambda: 1)()", "[x for x in tags]", "{'a': 1}",
        "f'{price}'", "tags[0:1]", "price ** 2", "2 << 100", "1 if price else 2", "print(1)", "price := 1",
        "len(tags, *tags)", "abs(x=1)", "vcoinId.upper()", "await price", "yield", "import os", "b'x' == 1", "1j",
        "...", "price; price", "~1", "@price", "x" * (MAX_TEXT + 1), "+".join(["1"] * 300), "(" * 300 + ")" * 300,
        "", "   ", "'", "\0", "a b",
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        compile_condition(text)


@pytest.mark.parametrize(
    "text",
    [
        "'x' * 1000000000", "[1] * 1000000000", "'%1000000000d' % 1", "round(1, -1000000000)", "round(1, 1000000000)",
        "vcoinId > 1", "price / 0", "1 % 0", "score + 'a'", "-vcoinId", "len(5)", "tags[5]", "tags['x']", "min()",
        "price > nothing",
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_invalid_input_and_cheap(text: str) -> None:
    with pytest.raises(InvalidInput):
        compile_condition(text)({"vcoinId": "a", "price": Decimal(1), "score": 1.0, "tags": []})


_words = st.sampled_from(
    ["price", "vcoinId", "tags", "score", "(", ")", "[", "]", "'a'", "1", "2.5", "+", "-", "*", "/", "%", "//", "**",
     "==", "!=", "<", ">=", "in", "not", "and", "or", "&&", "||", "!", ".", ",", "__class__", "lambda", ":", "if",
     "else", "for", "abs", "len", "round", "min", "exec", "open", "null", "true", "=", ":=", "{", "}", "@", "\\", "`"]
)  # fmt: skip


@given(st.lists(_words, max_size=12).map(" ".join) | st.text(string.printable, max_size=40))
@example("tags . append ( 1 )")
def test_any_text_is_a_condition_or_invalid_input(text: str) -> None:
    scope: dict[str, Any] = {"vcoinId": "a", "price": Decimal(1), "score": 1.0, "tags": ["t"]}
    try:
        answer = compile_condition(text)(scope)
    except InvalidInput:
        return
    assert isinstance(answer, bool)
    assert scope == {"vcoinId": "a", "price": Decimal(1), "score": 1.0, "tags": ["t"]}


def test_missing_names_list_what_exists() -> None:
    with pytest.raises(InvalidInput) as unknown:
        Where(Trade, "volume > 1")
    assert "vcoin_id" in str(unknown.value)
    with pytest.raises(InvalidInput) as field:
        Where(Trade, {"volume": 1})
    assert "price" in str(field.value)
    with pytest.raises(InvalidInput) as missing:
        compile_condition("a.b > 1")({"a": {"c": 1}})
    assert "one of c" in str(missing.value)


def test_where_takes_no_function() -> None:
    with pytest.raises(InvalidInput):
        Where(Trade, lambda event: True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({}, True),
        ({"vcoinId": "abc"}, True),
        ({"vcoin_id": "abd"}, False),
        ({"price": 0.1}, True),
        ({"price": Decimal("0.100")}, True),
        ({"price": Decimal("0.1000000000000000000000000000000001")}, False),
        ({"side": Side.BUY}, True),
        ({"side": "buy"}, True),
        ({"at": None}, True),
        ({"score": 0.5, "vcoinId": "abc"}, True),
        ({"score": 0.5, "vcoinId": "x"}, False),
    ],
)
def test_a_mapping_means_equal_fields(where: dict[str, Any], holds: bool) -> None:
    assert Where(Trade, where).matches(Trade()) is holds


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
@example(Decimal(10**40), Decimal(10**40 + 1))
@example(Decimal("1E+5"), Decimal(100_000))
@example(Decimal("-0"), Decimal(0))
def test_equal_numbers_and_only_they_share_a_text(one: Decimal, two: Decimal) -> None:
    assert (canonical(one) == canonical(two)) == (one == two)


@given(st.integers(), st.floats(allow_nan=False))
def test_numbers_of_other_types_too(number: int, real: float) -> None:
    assert canonical(number) == canonical(Decimal(number))
    assert canonical(real) == canonical(Decimal(repr(real)))


def test_times_meet_across_zones() -> None:
    assert canonical(datetime(2026, 1, 1, tzinfo=UTC)) == canonical(datetime.fromisoformat("2026-01-01T02:00:00+02:00"))


def test_wire_names() -> None:
    assert [snake_case(name) for name in ("vcoinId", "price", "aB", "already_snake")] == [
        "vcoin_id", "price", "a_b", "already_snake",
    ]  # fmt: skip
