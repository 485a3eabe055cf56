"""Arithmetic in decimals, against Python's own and the standard library."""

from __future__ import annotations

import statistics
from decimal import Decimal, localcontext
from fractions import Fraction
from math import prod
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.support import RecordedProvider
from tickwork.core.expressions import compile_expression
from tickwork.errors import InvalidInput
from tickwork.graph.declare import DECLARED
from tickwork.graph.nodes.maths import Operation, formula_, math

VALUES = st.lists(st.decimals(Decimal(-999), Decimal(999), places=3), min_size=2, max_size=6)
CLOSE = Fraction(1, 10**40)


@given(VALUES)
def test_operations_are_what_they_are_called(values: list[Decimal]) -> None:
    exact = [Fraction(value) for value in values]
    one, two = exact[:2]
    least, most = min(exact), max(exact)
    expected: dict[str, Fraction | None] = {
        "add": sum(exact, Fraction(0)), "sum": sum(exact, Fraction(0)), "multiply": prod(exact, start=Fraction(1)),
        "multiply_chain": prod(exact, start=Fraction(1)), "mean": sum(exact, Fraction(0)) / len(exact),
        "mean_std": sum(exact, Fraction(0)) / len(exact), "min": least, "max": most,
        "subtract": one - two, "divide": one / two if two else None,
        "spread_pct": (one - two) / two if two else None,
        "percentage_diff": abs((one - two) / ((one + two) / 2)) if one + two else None,
    }  # fmt: skip
    assert set(expected) == set(get_args(Operation))
    for operation, right in expected.items():
        given = values[:2] if operation in ("subtract", "divide", "spread_pct", "percentage_diff") else values
        if right is None:
            with pytest.raises(InvalidInput, match=operation):
                math(*given, operation=operation)  # type: ignore[arg-type]
            continue
        found = math(given[0], given[1], given[2:], operation=operation)  # type: ignore[arg-type]
        assert type(found.result) is Decimal
        assert abs(Fraction(found.result) - right) <= CLOSE * max(Fraction(1), abs(right))
        assert (found.std is None) == (operation != "mean_std")


@given(VALUES)
def test_the_deviation_is_that_of_a_sample(values: list[Decimal]) -> None:
    found = math(values=values, operation="mean_std")
    assert found.std is not None
    with localcontext(prec=60):
        assert abs(found.std - statistics.stdev(values)) <= Decimal("1e-16")
    assert found.mean == found.result


def test_recorded_prices_give_other_results() -> None:
    provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", "bitstamp-ltc-usd-1d")
    found = set()
    for provider.at in (100, 600):
        one, two = (provider.latest(symbol).close for symbol in ("BTC/USD", "LTC/USD"))
        spread = math(one, two, operation="spread_pct").result
        assert abs(spread * two - (one - two)) < Decimal("1e-20")
        found.add(spread)
    assert len(found) == 2


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-Infinity"])
def test_what_is_not_finite_is_refused(wrong: str) -> None:
    for operation in get_args(Operation):
        with pytest.raises(InvalidInput, match=r"finite"):
            math(Decimal(1), Decimal(wrong), operation=operation)


@pytest.mark.parametrize(("operation", "count"), [("subtract", 1), ("divide", 3), ("mean_std", 1), ("sum", 0)])
def test_an_operation_of_too_few_or_too_many_values_is_refused(operation: Any, count: int) -> None:
    with pytest.raises(InvalidInput, match=rf"math\.{operation}"):
        math(values=[Decimal(1)] * count, operation=operation)


@pytest.mark.parametrize(("value", "result"), [(0.1, "0.1"), (3, "3"), (Decimal("1.50"), "1.50")])
def test_a_formula_gives_its_number_as_a_decimal(value: Any, result: str) -> None:
    assert str(formula_(formula=value).result) == result


def test_a_formula_is_evaluated_as_an_expression() -> None:
    setting = DECLARED["formula"].params["formula"]
    assert setting.expression == "formula"
    scope = {"sell": {"price": Decimal("103.5")}, "buy": {"price": Decimal(100)}}
    value = compile_expression("(sell.price - buy.price) * 2")(scope)
    assert formula_(formula=value).result == 7


@pytest.mark.parametrize("value", [True, "7", None, float("nan"), Decimal("Infinity")])
def test_a_formula_that_gives_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match=r"formula"):
        formula_(formula=value)
