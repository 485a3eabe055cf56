"""Declarations of node types that cannot work are refused where they stand."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import TypeAdapter

from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import DECLARED, NodeType, node, param, port
from tickwork.graph.library import Library
from tickwork.graph.wording import validated


def many(*values: int) -> dict[str, Any]:
    """A node."""
    return {"values": values}


def named(**values: int) -> dict[str, Any]:
    """A node."""
    return values


def positional(value: int, /) -> dict[str, Any]:
    """A node."""
    return {"value": value}


def plain(run: Run) -> dict[str, Any]:
    """A node."""
    return {"run": run.id}


async def verbs(run: Run, *, key: str) -> dict[str, Any]:
    """A node."""
    return {"run": run.id, "key": key}


def step() -> dict[str, Any]:
    """A node."""
    return {}


async def effect(*, key: str) -> dict[str, Any]:
    """A node."""
    return {"key": key}


def event_port(event: Any) -> dict[str, Any]:
    """A node."""
    return {"value": event}


def trigger_port(trigger: Any) -> dict[str, Any]:
    """A node."""
    return {"value": trigger}


def input_port(input: Any) -> dict[str, Any]:
    """A node."""
    return {"value": input}


def low(*, depth: Annotated[int, param("levels", ge=1)] = 0) -> dict[str, Any]:
    """A node."""
    return {"depth": depth}


def alias(
    *, depth: Annotated[int, param("levels")] = 1, size: Annotated[int, param("x", aliases=("depth",))] = 1
) -> dict[str, Any]:
    """A node."""
    return {"depth": depth, "size": size}


def aliases(
    *,
    depth: Annotated[int, param("levels", aliases=("n",))] = 1,
    size: Annotated[int, param("x", aliases=("n",))] = 1,
) -> dict[str, Any]:
    """A node."""
    return {"depth": depth, "size": size}


def gathers(values: Annotated[int, port("values", many=True)] = 0) -> dict[str, Any]:
    """A node."""
    return {"values": values}


def unknown(value: Nowhere) -> dict[str, Any]:  # type: ignore[name-defined]  # noqa: F821 - that is the point
    """A node."""
    return {"value": value}


class Lock:
    """What no document can say."""


def unreadable(*, lock: Annotated[Lock | None, param("x")] = None) -> dict[str, Any]:
    """A node."""
    return {"value": lock}


async def unkeyed(value: int) -> None:
    """A look-up."""


WRONG: dict[str, tuple[Any, dict[str, Any], str, str]] = {
    "star": (many, {}, "*values", "input ports by name"),
    "stars": (named, {}, "**values", "params by name"),
    "positional only": (positional, {}, "value", "without a `/`"),
    "verbs and effect": (verbs, {"effect": True}, "effect", "it asks `run.effect` itself"),
    "key beside verbs": (verbs, {}, "key", "only there"),
    "plain verbs": (plain, {}, "run", "async def"),
    "key on a step": (effect, {}, "key", "only there"),
    "effect without key": (step, {"effect": True}, "key", "a keyword argument `key`"),
    "look-up of a step": (step, {"lookup": effect}, "lookup", "effect=True, or no lookup"),
    "look-up without key": (effect, {"effect": True, "lookup": unkeyed}, "lookup", "`key` as the first"),
    "look-up that is none": (effect, {"effect": True, "lookup": 3}, "lookup", "a function"),
    "event": (event_port, {}, "event", "another name"),
    "trigger": (trigger_port, {}, "trigger", "another name"),
    "input": (input_port, {}, "input", "another name"),
    "an output named input": (step, {"output": "input"}, "returns", "another name"),
    "default": (low, {}, "depth", "greater than or equal to 1"),
    "alias": (alias, {}, "size", "the param 'depth' has not taken"),
    "aliases": (aliases, {}, "size", "the param 'depth' has not taken"),
    "gathers": (gathers, {}, "values", "a list"),
    "annotation": (unknown, {}, "value", "a type that its module knows"),
    "constraint": (unreadable, {}, "lock", "a type of values that documents can say"),
    "no function": (5, {}, "", "a function"),
    "a class": (dict, {}, "", "a function"),
    "words": (step, {"aliases": "other"}, "aliases", "a tuple of texts"),
    "start": (step, {"from_event": {"side": ()}}, "from_event", "an input or a param"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_declaration_that_cannot_work_is_refused_by_the_name_of_its_argument(case: str) -> None:
    fn, options, argument, expected = WRONG[case]
    with pytest.raises(InvalidInput) as refused:
        node("test_wrong", category="wrong", **options)(fn)
    found = refused.value
    assert found.path == f"@node('test_wrong') {argument}".strip()
    assert expected in str(found.expected)
    assert "test_wrong" not in DECLARED


def test_what_takes_a_type_back_must_be_there_when_all_are_known() -> None:
    node("test_taken", category="wrong", undo="test_nobody")(step)
    found: NodeType = DECLARED.pop("test_taken")
    with pytest.raises(InvalidInput, match="undo: expected a node type of the library; found 'test_nobody'"):
        Library([found])


@pytest.mark.parametrize(
    ("type_", "value", "where", "expected"),
    [
        (dict[str, Any] | list[str], 3, "", "an object or a list"),
        (dict[str, Any] | list[int], ["a"], "[0]", "a whole number"),
        (dict[str, int], {"a": "x"}, ".a", "a whole number"),
        (Literal["buy", "sell", ""], "hold", "", "'buy', 'sell' or nothing"),
        (Literal["a", "b", "c"], "d", "", "'a', 'b' or 'c'"),
        (dict[Literal["rsi", "macd"], float], {"foo": 1}, ".foo", "'rsi' or 'macd'"),
        (dict[str, Annotated[float, param("x", ge=0)]] | None, {"rsi": -1}, ".rsi", "greater than or equal to 0"),
        (Annotated[str, param("x", min_length=1)], "", "", "a text of at least 1 character"),
        (Annotated[list[int], param("x", min_length=2)], [], "", "at least 2 entries"),
        (bool, "perhaps", "", "true or false"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_in_words_of_documents(
    type_: Any, value: Any, where: str, expected: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        validated(TypeAdapter(type_), value, "cases")
    assert (refused.value.path, refused.value.expected) == (f"cases{where}", expected)
