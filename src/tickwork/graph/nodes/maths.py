"""Arithmetic in decimals: what comes in as a float is taken as it is written, and nothing is rounded to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, DecimalException
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.core.expressions import UNFIT, complaint
from tickwork.core.language.operators import ARITHMETIC
from tickwork.errors import InvalidInput
from tickwork.graph.declare import formula, node, param, port
from tickwork.graph.nodes.prices import finite
from tickwork.market.triggers.options import root
from tickwork.values import EXACT

Operation = Literal[
    "add", "subtract", "multiply", "divide", "multiply_chain", "mean", "mean_std", "percentage_diff", "spread_pct",
    "min", "max", "sum",
]  # fmt: skip

_TWO: Final = frozenset({"subtract", "divide", "percentage_diff", "spread_pct"})
"""Operations of exactly two values."""


class MathOutputs(msgspec.Struct, frozen=True):
    """What ``math`` gives."""

    result: Annotated[Decimal, port("the result; of mean_std the mean")]
    mean: Annotated[Decimal | None, port("of mean_std; else null")] = None
    std: Annotated[Decimal | None, port("of mean_std: sample standard deviation, to sixteen places; else null")] = None


@node("math", category="math")
def math(
    value1: Annotated[Decimal | None, port("first value")] = None,
    value2: Annotated[Decimal | None, port("second value")] = None,
    values: Annotated[list[Decimal], port("any number of further values", many=True)] = [],  # noqa: B006 - read only
    *,
    operation: Annotated[Operation, param("what to do with them")],
) -> MathOutputs:
    """Arithmetic with two values or more.

    `multiply_chain` is the product of all; `percentage_diff` is |a - b| over the mean of both, `spread_pct` is (a - b)
    over b: fractions, 0.01 is one percent. Of `mean_std` the deviation is that of a sample.
    """
    given = [one for one in (value1, value2, *values) if one is not None]
    for at, one in enumerate(given, 1):
        finite(one, f"math.value{at}")
    least = 2 if operation in _TWO or operation == "mean_std" else 1
    if len(given) < least or (operation in _TWO and len(given) > least):
        expected = "two values" if operation in _TWO else f"at least {least} values"
        raise InvalidInput(f"math.{operation}", f"{len(given)} values", expected)
    try:
        return _result(operation, given)
    except (*UNFIT, DecimalException) as error:
        raise complaint(error, f"math.{operation}") from None


def _result(operation: str, given: Sequence[Decimal]) -> MathOutputs:
    if operation != "mean_std":
        return MathOutputs(_OPERATIONS[operation](given))
    mean, count = _mean(given), Decimal(len(given))
    # n * sum(x^2) - sum(x)^2 over n * (n - 1), which needs no rounded mean
    squares = _total([EXACT.multiply(one, one) for one in given])
    scatter = EXACT.subtract(EXACT.multiply(count, squares), EXACT.multiply(_total(given), _total(given)))
    return MathOutputs(mean, mean, root(scatter, count * (count - 1)))


def _fold(sign: str) -> Callable[[Sequence[Decimal]], Decimal]:
    def fold(given: Sequence[Decimal]) -> Decimal:
        found = given[0]
        for one in given[1:]:
            found = ARITHMETIC[sign](found, one)
        return found

    return fold


_total, _product, _difference, _ratio = (_fold(sign) for sign in "+*-/")


def _mean(given: Sequence[Decimal]) -> Decimal:
    return _ratio([_total(given), Decimal(len(given))])


def _percentage_diff(given: Sequence[Decimal]) -> Decimal:
    return _ratio([_difference(given), _mean(given)]).copy_abs()


def _spread(given: Sequence[Decimal]) -> Decimal:
    return _ratio([_difference(given), given[1]])


_OPERATIONS: Final[dict[str, Callable[[Sequence[Decimal]], Decimal]]] = {
    "add": _total, "sum": _total, "subtract": _difference, "multiply": _product, "multiply_chain": _product,
    "divide": _ratio, "mean": _mean, "percentage_diff": _percentage_diff, "spread_pct": _spread, "min": min, "max": max,
}  # fmt: skip


class FormulaOutputs(msgspec.Struct, frozen=True):
    """What ``formula`` gives."""

    result: Annotated[Decimal, port("its value, a number")]


@node("formula", category="math")
def formula_(
    *, formula: Annotated[Any, formula("an expression, such as (sell.price - buy.price) * 2")]
) -> FormulaOutputs:
    """The value of an expression that gives a number."""
    value = formula
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise InvalidInput("formula", value, "an expression that gives a number")
    return FormulaOutputs(finite(Decimal(repr(value)) if isinstance(value, float) else Decimal(value), "formula"))
