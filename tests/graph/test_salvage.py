"""A broken document: what can be read of it is checked, and of what cannot be read nothing follows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.graph.nodes_of_tests import LIBRARY
from tickwork.errors import InvalidDocument
from tickwork.graph.reading import read_document, read_text
from tickwork.graph.wiring import check


def complaints(text: str) -> list[str]:
    """The paths of all complaints, in their order."""
    value = read_text(text)
    with pytest.raises(InvalidDocument) as caught:
        read_document(value, library=LIBRARY)
    return [str(path) for path, *_ in caught.value.problems]


EVERYTHING = """
name: everything
bogus: 1
triggers: [{type: never}, 7, {type: price_change, symbol: 5, threshold: -1, direction: sideways}]
limits: {timeout: soon, concurrency: 0}
nodes:
  - {id: a, type: nothing, onEror: stop}
  - {id: a, type: test_give, params: {value: -1}, join: some}
  - {id: c, type: test_give, when: "1 >", retry: {limit: 0}}
  - {id: d, type: test_act, when: nobody > 1}
  - {id: e, type: test_act}
edges:
  - {from: nobody, to: e}
  - {from: d, to: d}
  - {from: d, to: e, inptu: value}
"""


def test_a_wrong_shape_hides_nothing_of_the_rest() -> None:
    assert sorted(complaints(EVERYTHING)) == sorted([
        "bogus", "triggers[0].type", "triggers[1]", "triggers[2].symbol", "triggers[2].threshold",
        "triggers[2].direction", "limits.timeout", "limits.concurrency", "nodes.a.type", "nodes.a.onEror",
        "nodes[1].id", "nodes.a.params.value", "nodes.a.join", "nodes.c.when", "nodes.c.retry.limit",
        "edges[0].from", "edges", "edges[2].inptu",
    ])  # fmt: skip


GIVE = "{id: a, type: test_give}"
FOLLOWING: dict[str, tuple[str, list[str]]] = {
    "an edge to a node whose id is wrong": (
        "nodes: [{id: 1b, type: test_act}, {id: a, type: test_give}]\nedges: [{from: a, to: 1b}]",
        ["nodes.1b.id"],
    ),
    "an edge from a node that has no id": (
        "nodes: [{type: test_give}, {id: b, type: test_add, when: fetch.value > 1}]\nedges: [{from: fetch, to: b}]",
        ["nodes[0].id"],
    ),
    "the inputs of a node that a broken edge leads to": (
        f"nodes: [{GIVE}, {{id: b, type: test_add, when: value > 1}}, {{id: c, type: test_add}}]\n"  # noqa: ISC004
        "edges: [{from: 7, to: b}, {from: b, to: c}]",
        ["edges[0].from"],
    ),
    "the inputs of every node where nobody knows where an edge leads": (
        f"nodes: [{GIVE}, {{id: b, type: test_add}}]\nedges: [{{from: a}}]",
        ["edges[0].to"],
    ),
    "the inputs of every node where there are no edges to be read": (
        f"nodes: [{GIVE}, {{id: b, type: test_add}}]\nedges: 7",
        ["edges"],
    ),
    "the inputs of a fallback that is named in a broken way": (
        "nodes: [{id: a, type: test_give, onError: {fallbak: b}}, {id: b, type: test_add}]",
        ["nodes.a.onError"],
    ),
    "the params of a node that has them under another name": (
        "nodes: [{id: a, type: test_if, parameters: {test: 1 > 0}}, {id: b, type: test_add, input: {value: 1}}]",
        ["nodes.a.parameters", "nodes.b.input"],
    ),
    "what is inside params that are no object": ("nodes: [{id: a, type: test_if, params: 7}]", ["nodes.a.params"]),
    "two that may be meant, where the join cannot be read": (
        f"nodes: [{GIVE}, {{id: b, type: test_give}}, {{id: c, type: test_add, join: one}}]\n"  # noqa: ISC004
        "edges: [{from: a, to: c}, {from: b, to: c}]",
        ["nodes.c.join"],
    ),
    "anything about nodes that are no list": (
        "nodes: {a: {type: test_give}}\nedges: [{from: a, to: b}]\nlimits: {timeout: soon}",
        ["nodes", "limits.timeout"],
    ),
    "a type that is not said": ("nodes: [{id: a}, 7]", ["nodes.a.type", "nodes[1]"]),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_nothing_is_said_of(name: str) -> None:
    text, paths = FOLLOWING[name]
    found = complaints(f"name: x\n{text}")
    assert sorted(one.replace("nodes.a.onError.fallbak", "nodes.a.onError") for one in set(found) - {
        "nodes.a.onError.fallback"}) == sorted(paths)  # fmt: skip


WHOLE: dict[str, Any] = {
    "name": "whole",
    "triggers": [{"type": "manual"}],
    "limits": {"timeout": "5s"},
    "nodes": [
        {"id": "a", "type": "test_give", "onError": {"fallback": "f"}},
        {"id": "f", "type": "test_give", "params": {"value": 2}},
        {"id": "b", "type": "test_add", "when": "a.value > 0", "retry": {"limit": 2}},
        {"id": "c", "type": "test_add", "inputs": {"value": "{{b.value}}"}, "join": "any"},
        {"id": "d", "type": "test_if", "params": {"test": "value > 0"}},
        {"id": "e", "type": "test_add", "undo": "test_take_back"},
    ],
    "edges": [
        {"from": "a", "to": "b"},
        {"from": "b", "to": "d", "output": "value"},
        {"from": "d", "to": "e", "output": "true"},
        {"from": "c", "to": "e", "input": "value"},
    ],
}
ODD = st.sampled_from([7, 0.5, None, True, "", "1b", "some text", [], [7], {}, {"x": 1}])


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inside for place in _places(one, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from(_places(WHOLE)[1:]), odd=ODD)
def test_one_broken_place_of_a_good_document_is_one_complaint_about_that_place(
    place: tuple[Any, ...], odd: Any
) -> None:
    assert not check(read_document(WHOLE), LIBRARY, None)
    assume(place[-1] != "id" or not isinstance(odd, str))  # edges to the old one lead nowhere then
    value = _with(WHOLE, place, odd)
    try:
        read_document(value)
    except InvalidDocument as shape:
        broken = {str(path) for path, *_ in shape.problems}
        with pytest.raises(InvalidDocument) as caught:
            read_document(value, library=LIBRARY)
        assert {str(path) for path, *_ in caught.value.problems} == broken


def _with(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    if not place:
        return odd
    key, *rest = place
    inside = _with(value[key], tuple(rest), odd)
    if isinstance(value, dict):
        return {**value, key: inside}
    return [*value[:key], inside, *value[key + 1 :]]
