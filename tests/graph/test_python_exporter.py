"""A module that was written from a document does what the document does."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.graph import nodes_of_tests
from tests.graph.importers.kit import DATA, data
from tests.graph.nodes_of_tests import LIBRARY
from tests.graph.running import compiled, document, fresh
from tickwork import Engine
from tickwork.core.workflow import Workflow
from tickwork.errors import InvalidInput, TickworkError
from tickwork.graph.compiling import compile_document
from tickwork.graph.document import Document
from tickwork.graph.exporters import as_python
from tickwork.graph.importers import import_document
from tickwork.graph.library import library
from tickwork.graph.reading import read_document
from tickwork.graph.sources import Sources

_PLACE = re.compile(r"(template|nodes\.[\w.-]+): (?=expected)")
"""Where a complaint comes from: a module does not know the paths of the document it was written from."""


def built(text: str, types: Any = LIBRARY) -> Workflow:
    """The workflow of a module's source, imported as any other."""
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), names)
    found: Workflow = names["build"](Sources(), types)
    return found


async def result(workflow: Workflow, input: Any, failing: dict[str, int]) -> tuple[Any, Any]:
    """The outcome or what it died of, and what the nodes did, in an order that does not depend on who was first."""
    notes = fresh(failing)
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        try:
            found: Any = await (await engine.start(workflow, input)).result()
        except (TickworkError, ValueError) as error:
            found = (type(error).__name__, str(error))
    # what nodes side by side with one that failed had done by then is a matter of their order
    calls = [] if isinstance(found, tuple) else sorted(map(str, notes.calls))
    return _PLACE.sub("", str(found)), calls


def same(found: Document, input: Any = None, failing: dict[str, int] | None = None) -> str:
    """Run both; they end alike and have done the same. The outcome in words."""
    text = as_python(found, LIBRARY)
    as_document = asyncio.run(result(compiled(found), input, dict(failing or {})))
    as_module = asyncio.run(result(built(text), input, dict(failing or {})))
    assert as_module == as_document, text
    return str(as_document[0])


BRANCHING = """
name: dip buyer
description: |
  Buys "dips" \\ and more.
nodes:
  - {id: a, type: test_give, params: {value: 3}}
  - {id: b-1, type: test_give, params: {value: 4}}
  - {id: sum, type: test_sum}
  - {id: ask, type: test_if, params: {test: "sum.value > 5 and event.go"}}
  - {id: yes, type: test_add, inputs: {value: "{{sum.value}}"}, params: {by: "{{a.value}}"}}
  - {id: not-now, type: test_add, inputs: {value: "{{a.value}}"}}
  - {id: class, type: test_add, when: "input.value > 1", onError: continue}
  - {id: meet, type: test_wait, join: any, timeout: 10m, retry: {limit: 2, delay: 1s}}
  - {id: last, type: test_act, when: {test: "meet.value > 100", missing: "false"}, inputs: {value: 1}}
edges:
  - {from: a, to: sum, output: value, input: value}
  - {from: b-1, to: sum, output: value, input: value}
  - {from: sum, to: ask}
  - {from: ask, output: "true", to: yes}
  - {from: ask, output: "false", to: not-now}
  - {from: yes, to: class}
  - {from: class, to: meet}
  - {from: not-now, to: meet}
  - {from: meet, to: last}
limits: {concurrency: 2, timeout: 5m, key: event.go, rateLimit: {limit: 9, period: 1m}}
triggers:
  - {type: price_change, symbol: BTC/USD}
metadata: {team: a}
"""


@pytest.mark.parametrize("go", [True, False])
@pytest.mark.parametrize("failing", [{}, {"class": 1}, {"yes": 1}, {"meet": 1}, {"meet": 9}])
def test_a_document_with_branches_joins_and_conditions(go: bool, failing: dict[str, int]) -> None:
    same(document(BRANCHING), {"go": go}, failing)


def test_the_module_reads_as_one_would_write_it() -> None:
    text = as_python(document(BRANCHING), LIBRARY)
    assert "a, b_1 = await run.all(" in text
    assert 'if took(ask, "true"):' in text
    assert "on=TRIGGERS" in text
    assert (
        'concurrency=Concurrency(2), rate_limit=RateLimit(9, "1m"), timeout="5m"'
        in text.replace("\n", " ").replace("            ", "")
        or "concurrency=Concurrency(2),\n" in text
    )
    assert "metadata" in text.partition("from __future__")[0]
    assert max(len(line) for line in text.splitlines()) < 160


def test_a_line_of_nodes() -> None:
    found = same(
        document(
            """
name: line
nodes:
  - {id: a, type: test_give, params: {value: 2}}
  - {id: b, type: test_add}
  - {id: c, type: test_act, breaker: {name: x, threshold: 2}}
edges: [{from: a, to: b}, {from: b, to: c}]
"""
        )
    )
    assert "outputs={'c': {'value': 3}}" in found


def test_names_that_python_has_another_use_for() -> None:
    ids = ["node", "run", "import", "class", "match", "a-b", "a_b", "list", "None_", "Nodes", "_x", "holds"]
    nodes = [{"id": id_, "type": "test_give", "params": {"value": at}} for at, id_ in enumerate(ids)]
    found = same(read_document({"name": 'x """ \\ \'', "description": 'a\x00b """', "nodes": nodes}))
    assert all(f"'value': {at}" in found for at in range(len(ids)))


UNDO = {"id": "a", "type": "test_act", "undo": "test_take_back"}
FALLING = [{"id": "a", "type": "test_give", "onError": {"fallback": "b"}}, {"id": "b", "type": "test_give"}]
RACING: dict[str, Any] = {
    "name": "x",
    "nodes": [
        {"id": "a", "type": "test_give"},
        {"id": "b", "type": "test_give"},
        {"id": "c", "type": "test_add", "join": "any"},
    ],
    "edges": [{"from": "a", "to": "c"}, {"from": "b", "to": "c"}],
}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"name": "x", "nodes": [UNDO]}, "nodes.a.undo"),
        ({"name": "x", "nodes": FALLING}, "nodes.a.onError"),
        (RACING, "nodes.c.join"),
    ],
)
def test_what_a_body_cannot_say_is_refused(value: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        as_python(read_document(value), LIBRARY)
    assert caught.value.path == path


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.json")))
def test_the_systems_documents_become_modules(name: str) -> None:
    found = import_document(data(name), name=name, library=library()).document
    if any(node.undo for node in found.nodes):
        with pytest.raises(InvalidInput, match="saga by hand"):
            as_python(found, library())
    else:
        assert built(as_python(found, library()), library()).name == found.name


INSTALLED = """
name: installed
nodes:
  - {id: sum, type: formula, params: {formula: "event.price * 2 + 1"}}
  - {id: check, type: threshold, inputs: {value: "{{sum.result}}"}, params: {min: "1", max: "{{event.most}}"}}
  - {id: ask, type: if, inputs: {condition: "{{check.pass}}"}}
  - {id: yes, type: log, params: {message: "in range: {{sum.result}}"}}
  - {id: nope, type: log, params: {message: "out of range"}}
  - {id: on, type: switch, join: any, params: {case1: "input.text == 'out of range'"}}
edges:
  - {from: sum, to: check}
  - {from: ask, output: "true", to: yes}
  - {from: ask, output: "false", to: nope}
  - {from: yes, to: on}
  - {from: nope, to: on}
"""


@pytest.mark.parametrize("most", ["100", "3"])
def test_nodes_of_the_installed_library(most: str) -> None:
    found = document(INSTALLED)
    first = compile_document(found, library=library(), sources=Sources())
    second = built(as_python(found, library()), library())
    given = {"price": 4, "most": most}
    outcomes = [asyncio.run(result(one, given, {}))[0] for one in (first, second)]
    assert outcomes[0] == outcomes[1]
    assert "'branch': 'default'" in outcomes[0] if most == "100" else "'branch': 'case1'" in outcomes[0]


@pytest.mark.parametrize(("failing", "fate"), [({}, "a was skipped"), ({"a": 1}, "a failed")])
@pytest.mark.parametrize(
    "reader",
    [
        {"type": "test_if", "params": {"test": "a.value > 2"}},
        {"type": "test_add", "inputs": {"value": "{{a.value}}"}},
    ],
)
def test_a_module_says_what_became_of_a_node_without_a_value(
    reader: dict[str, Any], failing: dict[str, int], fate: str
) -> None:
    first = {"id": "a", "type": "test_act", "inputs": {"value": 1}, "when": {"test": "event.go", "missing": "false"}}
    nodes = [{**first, "onError": "continue"}, {"id": "b", "onError": "continue", **reader}]
    found = read_document({"name": "x", "nodes": nodes, "edges": [{"from": "a", "to": "b", "after": True}]})
    said = same(found, {"go": bool(failing)}, failing)
    assert f"expected a name that has a value: {fate}; found 'a'" in said


# -- a law


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Document, dict[str, int]]:
    """Documents of a few nodes that choose, skip, fail and join, and which of their nodes fail."""
    count = draw(st.integers(2, 7))
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    giving: list[str] = []
    for index in range(count):
        id_ = f"n{index}"
        kind = draw(st.sampled_from(["test_give", "test_add", "test_sum", "test_if", "test_act"]))
        node: dict[str, Any] = {"id": id_, "type": kind}
        before = (
            draw(st.lists(st.sampled_from(nodes), max_size=3, unique_by=lambda one: str(one["id"]))) if nodes else []
        )
        for other in before:
            edge = {"from": other["id"], "to": id_}
            if other["type"] == "test_if" and draw(st.booleans()):
                edge["output"] = draw(st.sampled_from(["true", "false"]))
            elif draw(st.integers(0, 4)) == 0:
                edge["after"] = True
            edges.append(edge)
        near = [str(one["id"]) for one in before if one["id"] in giving]
        tests = ["event.go", "not event.go", "true", *(f"{one}.value > 2" for one in near)]
        if kind in ("test_add", "test_act"):
            node["inputs"] = {"value": draw(st.sampled_from([1, 5, *(f"{{{{{one}.value}}}}" for one in near)]))}
        if kind == "test_if":
            node["params"] = {"test": draw(st.sampled_from(tests))}
        if draw(st.integers(0, 3)) == 0:
            node["when"] = {"test": draw(st.sampled_from(tests)), "missing": "false"}
        if draw(st.integers(0, 3)) == 0:
            node["onError"] = "continue"
        if len(before) > 1 and draw(st.booleans()):
            node["join"] = "any"
        if kind != "test_if":
            giving.append(id_)
        nodes.append(node)
    failing = draw(st.sets(st.sampled_from([one["id"] for one in nodes]), max_size=1))
    return read_document({"name": "law", "nodes": nodes, "edges": edges}), dict.fromkeys(failing, 1)


@settings(max_examples=60)
@given(graphs(), st.booleans())
def test_a_module_does_what_its_document_does(graph: tuple[Document, dict[str, int]], go: bool) -> None:
    found, failing = graph
    try:
        as_python(found, LIBRARY)
    except InvalidInput:
        assume(False)
    same(found, {"go": go}, failing)


def test_what_it_uses_is_of_the_installed_library_by_default() -> None:
    assert nodes_of_tests.LIBRARY is LIBRARY
    text = as_python(read_document({"name": "x", "nodes": [{"id": "a", "type": "manual_trigger"}]}), library())
    assert built(text, None).name == "x"
