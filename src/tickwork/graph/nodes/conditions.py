"""What decides the way through a document: logic, comparisons, branches.

``and``, ``or``, ``not`` and ``if`` take true and false, numbers (zero is false) and signals: ``buy`` and ``sell`` are
true, ``hold`` is false (``graph.comparing``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.errors import InvalidInput
from tickwork.graph.declare import node, param, port, test
from tickwork.graph.nodes.comparing import Operator, compared, field_of, truth
from tickwork.graph.nodes.prices import finite

Truth = Annotated[Any, port("true or false, a number, or a signal")]
More = Annotated[list[Any], port("any number of them", many=True)]

_ABSENT: Final = "not connected"
"""Stands for an input that nothing was connected to: null is false."""


class LogicOutputs(msgspec.Struct, frozen=True):
    """What ``and``, ``or`` and ``not`` give."""

    output: Annotated[bool, port("true or false")]


def _values(input1: Any, input2: Any, values: list[Any], type: str) -> list[bool]:
    given = {"input1": input1, "input2": input2} | {f"values[{at}]": value for at, value in enumerate(values)}
    found = [truth(value, f"{type}.{name}") for name, value in given.items() if value is not _ABSENT]
    if not found:
        raise InvalidInput(f"{type}.input1", "nothing", "at least one input")
    return found


@node("and", category="conditions")
def and_(input1: Truth = _ABSENT, input2: Truth = _ABSENT, values: More = []) -> LogicOutputs:  # noqa: B006 - read only
    """True when all inputs are."""
    return LogicOutputs(all(_values(input1, input2, values, "and")))


@node("or", category="conditions")
def or_(input1: Truth = _ABSENT, input2: Truth = _ABSENT, values: More = []) -> LogicOutputs:  # noqa: B006 - read only
    """True when at least one input is."""
    return LogicOutputs(any(_values(input1, input2, values, "or")))


@node("not", category="conditions")
def not_(input1: Truth) -> LogicOutputs:
    """True when the input is false."""
    return LogicOutputs(not truth(input1, "not.input1"))


class ResultOutputs(msgspec.Struct, frozen=True):
    """What ``compare`` gives."""

    result: Annotated[bool, port("does the comparison hold?")]


@node("compare", category="conditions")
def compare(
    value1: Annotated[Any, port("left side")],
    value2: Annotated[Any, port("right side")],
    *,
    operator: Annotated[Operator, param("a sign, or the word for it")] = "==",
) -> ResultOutputs:
    """Whether two values stand to each other as the operator says; numbers meet by value, written as text too."""
    return ResultOutputs(compared(value1, operator, value2))


class PassOutputs(msgspec.Struct, frozen=True, rename={"passed": "pass"}):
    """What ``threshold`` gives."""

    passed: Annotated[bool, port("is the value within the bounds?")]


@node("threshold", category="conditions")
def threshold(
    value: Annotated[Decimal, port("what must lie within the bounds")],
    *,
    min: Annotated[Decimal | None, param("least value that passes")] = None,
    max: Annotated[Decimal | None, param("greatest value that passes")] = None,
) -> PassOutputs:
    """Whether a value lies within bounds: both count as within, either may be missing."""
    if min is None and max is None:
        raise InvalidInput("threshold.min", "nothing", "min or max, or both: without a bound everything passes")
    if min is not None and max is not None and min > max:
        raise InvalidInput("threshold.min", min, f"at most max, {max}")
    finite(value, "threshold.value")
    return PassOutputs((min is None or min <= value) and (max is None or value <= max))


class IfOutputs(msgspec.Struct, frozen=True):
    """What ``if`` gives."""

    branch: Annotated[Literal["true", "false"], port("the branch that is taken")]
    result: Annotated[bool, port("the same as true or false")]


@node("if", category="conditions", branches=("true", "false"))
def if_(
    condition: Annotated[Any, port("what decides where there is no test", lone=True)] = _ABSENT,
    *,
    test: Annotated[bool | None, test("what decides, such as input.spread > 0.02")] = None,
) -> IfOutputs:
    """Takes the branch `true` or the branch `false`."""
    if test is None and condition is _ABSENT:
        raise InvalidInput("if.test", "nothing", "a test, or a value for the input `condition`")
    found = truth(condition, "if.condition") if test is None else test
    return IfOutputs("true" if found else "false", found)


class SwitchOutputs(msgspec.Struct, frozen=True):
    """What ``switch`` gives."""

    branch: Annotated[str, port("the branch that is taken")]


Test = Annotated[bool | None, test("takes this branch when it holds")]


def _cases(params: Mapping[str, Any]) -> Iterable[str]:
    """The branches that a switch's params name."""
    cases = params.get("cases") or ()
    return [str(name) for name in cases] if isinstance(cases, Mapping | list | tuple) else ()


@node("switch", category="conditions", branches=("case1", "case2", "case3", "default"), more_branches=_cases)
def switch(
    value: Annotated[Any, port("what the cases are held against", lone=True)] = _ABSENT,
    *,
    cases: Annotated[
        dict[str, Any] | tuple[str, ...],
        param("by branch the value that takes it, as {up: 1, down: -1}; a list where both are the same"),
    ] = (),
    case1: Test = None,
    case2: Test = None,
    case3: Test = None,
) -> SwitchOutputs:
    """Takes the first branch that fits: of the tests case1 to case3, then of the cases; else `default`."""
    tests = {"case1": case1, "case2": case2, "case3": case3}
    found = next((branch for branch, holds in tests.items() if holds), None)
    wanted = cases if isinstance(cases, Mapping) else {name: name for name in cases}
    if value is _ABSENT and wanted:
        raise InvalidInput("switch.value", "nothing", "a value that the cases are held against")
    if found is None:
        found = next((branch for branch, case in wanted.items() if compared(value, "==", case)), "default")
    return SwitchOutputs(found)


class FilterOutputs(msgspec.Struct, frozen=True):
    """What ``filter`` gives."""

    items: Annotated[list[Any], port("the items that are left, as plain JSON: decimals are texts")]
    count: Annotated[int, port("how many they are")]


@node("filter", category="conditions", aliases=("filter_items",))
def filter_(
    items: Annotated[list[Any], port("a list")],
    *,
    field: Annotated[str, param("of an item, such as buy.price; the item itself where none is named")] = "",
    operator: Annotated[Operator, param("how the field must stand to the value")] = "==",
    value: Annotated[Any, param("the other side of the comparison")],
) -> FilterOutputs:
    """The items of a list of which a comparison holds."""
    plain = msgspec.to_builtins(items, str_keys=True, order=None)
    left = [item for item in plain if compared(field_of(item, field), operator, value)]
    return FilterOutputs(left, len(left))
