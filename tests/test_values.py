"""Durations, times and money: exact or refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, Inexact
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.values import (
    EXACT,
    LONGEST_NS,
    Duration,
    Money,
    Price,
    Quantity,
    Symbol,
    age_text,
    base_of,
    duration,
    duration_text,
    from_ns,
    money,
    plain,
    price,
    quantity,
    quote_of,
    rounded_down,
    rounded_text,
    rounded_up,
    symbol,
    timestamp_ns,
    to_timedelta,
)

S = 1_000_000_000
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=12)
steps = st.decimals(min_value=Decimal("1e-9"), max_value=1000, places=9)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("5 seconds", 5 * S),
        ("30s", 30 * S),
        ("6h", 21_600 * S),
        ("5 minutes", 300 * S),
        ("1m", 60 * S),
        ("250ms", S // 4),
        ("1 day", 86_400 * S),
        ("90 min", 5_400 * S),
        ("1h30m", 5_400 * S),
        ("1 hour 30 minutes", 5_400 * S),
        ("1.5h", 5_400 * S),
        ("2 Weeks", 14 * 86_400 * S),
        ("3us", 3_000),
        ("7ns", 7),
        ("0s", 0),
        (timedelta(minutes=1), 60 * S),
        (timedelta(microseconds=1), 1_000),
    ],
)
def test_a_duration_reads(text: object, ns: int) -> None:
    assert duration(text) == ns


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (5, "names no unit"),
        (5.0, "names no unit"),
        (float("nan"), "names no unit"),
        (Decimal(5), "names no unit"),
        ("5", "without a unit"),
        ("-5s", "not a negative"),
        (timedelta(seconds=-1), "not a negative"),
        ("1M", "no unit of fixed length"),
        ("3 months", "no unit of fixed length"),
        ("NaN", "a duration"),
        ("", "a duration"),
        ("s", "a duration"),
        ("1e5s", "'e' is no unit"),
        ("5 s extra", "a duration"),
        ("\u0663s", "a duration"),
        ("0.5ns", "whole nanoseconds"),
        ("999999999w", "100 years"),
        ("1s" * 100, "a duration"),
        (True, "a duration"),
        (None, "a duration"),
    ],
)
def test_a_bad_duration_says_what_is_right(value: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says) as caught:
        duration(value, "retry.delay")
    assert caught.value.path == "retry.delay"


@given(st.integers(0, LONGEST_NS))
def test_duration_text_reads_back(ns: int) -> None:
    assert duration(duration_text(ns)) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (119_815_166_599, "119.8s old"),
        (-119_815_166_599, "119.8s in the future"),
        (50_750_000_000, "50.8s old"),
        (30 * S, "30s old"),
        (30 * S + 1, "30.0s old"),
        (2 * S - 1, "2000.0ms old"),
        (7, "7ns old"),
        (0, "0s old"),
        (-1_500, "1500ns in the future"),
        (90 * 60 * S, "90m old"),
        (86_400 * S * 400 + 1, "400.0d old"),
    ],
)
def test_an_age_for_people_is_rounded(ns: int, text: str) -> None:
    assert age_text(ns) == text


@given(st.integers(0, LONGEST_NS))
def test_a_rounded_duration_is_off_by_a_fortieth_at_most(ns: int) -> None:
    assert abs(duration(rounded_text(ns)) - ns) * 40 <= ns


def test_a_timedelta_is_no_finer_than_a_microsecond() -> None:
    with pytest.raises(InvalidInput, match="microseconds"):
        to_timedelta("1ns")


@given(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_time_survives_the_tape(time: datetime) -> None:
    assert from_ns(timestamp_ns(time)) == time


def test_a_time_is_exact_and_in_any_zone() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert timestamp_ns(datetime(1970, 1, 1, 5, 30, 0, 1, tzinfo=east)) == 1_000
    assert timestamp_ns(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -S
    assert from_ns(1_999) == datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), "2026-01-01", 0, datetime(9999, 1, 1, tzinfo=UTC)])  # noqa: DTZ001
def test_a_time_without_a_zone_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput):
        timestamp_ns(value)


# ------------------------------------------------------------------------------------------------------------- money


@pytest.mark.parametrize("make", [money, price, quantity])
@pytest.mark.parametrize("value", [0.1, 1.0, float("nan"), float("inf")])
def test_a_float_is_refused_where_money_is_due(make: Any, value: float) -> None:
    with pytest.raises(InvalidInput, match="not a float where money is due"):
        make(value)


@pytest.mark.parametrize("make", [money, price, quantity])
@pytest.mark.parametrize(
    "value",
    [
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity"), "nan", "inf", "1_000", "", "1,5", "0x1", True, None),
        *(b"1", "1e31", "1e-31", "1e999999", "9" * 81, 10**40, "\u0661"),
    ],
)
def test_what_is_no_amount_is_refused(make: Any, value: object) -> None:
    with pytest.raises(InvalidInput):
        make(value)


def test_signs() -> None:
    assert money("-1.50") == Decimal("-1.50")
    assert quantity("0") == 0
    for value in ("0", "-0", "-1"):
        with pytest.raises(InvalidInput, match="above zero"):
            price(value)
    with pytest.raises(InvalidInput, match="zero or more"):
        quantity("-0.1")


def test_exponents_and_negative_zero_do_not_reach_the_wire() -> None:
    assert str(money("1e3")) == "1000"
    assert str(money("-0.00")) == "0.00"
    assert plain(Decimal("1E-8")) == "0.00000001"


def test_money_does_not_round_silently() -> None:
    wide = Decimal("123456789012345678.123456789012345678")
    assert len(EXACT.multiply(wide, wide).as_tuple().digits) > 28
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))


@given(decimals, steps)
def test_rounding_goes_to_the_nearest_step_in_its_direction(value: Decimal, step: Decimal) -> None:
    down, up = rounded_down(value, step), rounded_up(value, step)
    assert EXACT.remainder(down, step) == EXACT.remainder(up, step) == 0
    assert abs(down) <= abs(value) <= abs(up)
    assert EXACT.subtract(abs(up), abs(down)) in (0, step)


def test_a_step_must_be_above_zero() -> None:
    for step in ("0", "-1", "NaN"):
        with pytest.raises(InvalidInput):
            rounded_down(Decimal(1), Decimal(step))


@pytest.mark.parametrize(
    "name", ["BTC/USDT", "BTC/USDT:USDT", "1INCH/USDT", "AAPL", "BRK.B", "BTC/USD:BTC-260327", "^GSPC"]
)
def test_symbols(name: str) -> None:
    assert symbol(name) == name


@pytest.mark.parametrize("name", ["btc/usdt", "btc_usdt", "BTC/", "/USDT", "BTC/USDT:", "", "A B", "BTC/USDT\n", 5])
def test_what_is_no_symbol(name: object) -> None:
    with pytest.raises(InvalidInput, match="BTC/USDT"):
        symbol(name)


def test_parts_of_symbols() -> None:
    assert [base_of(name) for name in ("BTC/USDT", "AAPL", "ETH/USD:USDC")] == ["BTC", "AAPL", "ETH"]
    assert [quote_of(name) for name in ("BTC/USDT", "AAPL", "ETH/USD:USDC")] == ["USDT", "USD", "USDC"]
    assert quote_of("BTC/USD:USDT-260327") == "USDT"


# ---------------------------------------------------------------------------------------------------- pydantic types


class Ticket(pydantic.BaseModel):
    wait: Duration
    amount: Money
    at: Price
    size: Quantity
    name: Symbol


GOOD: dict[str, Any] = {"wait": "90 min", "amount": "-1e3", "at": "0.00000001", "size": 5, "name": "BTC/USDT:USDT"}


def test_fields_are_texts_on_the_wire_and_read_back() -> None:
    ticket = Ticket(**GOOD)
    assert ticket.model_dump_json() == (
        '{"wait":"90m","amount":"-1000","at":"0.00000001","size":"5","name":"BTC/USDT:USDT"}'
    )
    assert Ticket.model_validate_json(ticket.model_dump_json()) == ticket
    assert ticket.wait == timedelta(hours=1.5)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("wait", 5, "names no unit"),
        ("amount", 0.1, "not a float where money is due"),
        ("amount", Decimal("NaN"), "finite"),
        ("at", "0", "above zero"),
        ("size", "-1", "zero or more"),
        ("name", "btc", "BTC/USDT"),
    ],
)
def test_a_bad_field_says_what_is_right(field: str, value: object, says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        Ticket(**{**GOOD, field: value})


def test_a_json_number_is_a_float_too() -> None:
    with pytest.raises(pydantic.ValidationError, match="float where money is due"):
        Ticket.model_validate_json('{"wait":"1s","amount":1.5,"at":"1","size":"1","name":"AAPL"}')


def test_the_schema_says_text() -> None:
    properties = Ticket.model_json_schema()["properties"]
    assert {field["type"] for field in properties.values()} == {"string"}
