"""How ports are fed, and everything that can be wrong with a document."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tests.graph.nodes_of_tests import LIBRARY
from tests.graph.running import compiled, document, fresh, play, run
from tickwork import Engine
from tickwork.core.queue import Queue
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.document import Document
from tickwork.graph.library import library
from tickwork.graph.problems import Problem
from tickwork.graph.sources import Sources
from tickwork.graph.wiring import check, plan
from tickwork.graph.wiring.cycles import cycles
from tickwork.graph.wiring.planned import Plan


def planned(text: str) -> Plan:
    return plan(document(text), LIBRARY, None)


def fed(text: str, node: str) -> dict[str, str]:
    """What feeds each input of a node, as the plan says."""
    made = planned(text)
    return {one.port.name: one.name for one in made.nodes[made.index_of(node)].fed}


def problems(text: str, sources: Sources | None = None) -> dict[str, Problem]:
    return {problem.path: problem for problem in check(document(text), LIBRARY, sources)}


def complaint(text: str) -> Problem:
    """The only one there is."""
    (found,) = check(document(text), LIBRARY, None)
    return found


# ---------------------------------------------------------------------------------------------------- feeding, in order

GIVE = "{id: a, type: test_give, params: {value: 1}}"


def two_before(edges: str, join: str = "all", target: str = "test_add", inputs: str = "") -> str:
    return (
        f"name: x\nnodes: [{GIVE}, {{id: b, type: test_add, inputs: {{value: 5}}}}, "
        f"{{id: c, type: {target}, join: {join}{inputs}}}]\nedges: [{edges}]"
    )


def test_an_edge_that_names_the_input_comes_first() -> None:
    text = two_before("{from: a, to: c, input: value}, {from: b, to: c}", inputs=", inputs: {value: 9}")
    assert fed(text, "c") == {"value": "a.value"}


def test_then_what_the_document_says() -> None:
    assert fed(two_before("{from: a, to: c}, {from: b, to: c}", inputs=", inputs: {value: 9}"), "c") == {"value": "9"}
    text = two_before("{from: a, to: c}", inputs=", inputs: {value: '{{b.value}}'}")
    assert fed(text, "c") == {"value": "{{b.value}}"}


def test_a_reference_makes_an_edge() -> None:
    made = planned(two_before("", inputs=", inputs: {value: '{{b.value}}'}"))
    assert [(link.source, link.target) for link in made.nodes[2].incoming] == [(1, 2)]


def test_then_an_output_of_its_name_just_before() -> None:
    assert fed(two_before("{from: a, to: c}"), "c") == {"value": "a.value"}
    found = complaint(two_before("{from: a, to: c}, {from: b, to: c}"))
    assert found.path == "nodes.c.inputs.value"
    assert found.expected == "which is meant: {{a.value}} or {{b.value}}"
    assert fed(two_before("{from: a, to: c}, {from: b, to: c}", "any"), "c") == {"value": "a.value, b.value"}
    assert fed(two_before("{from: a, to: c}, {from: b, to: c}", target="test_sum"), "c") == {
        "value": "a.value, b.value"
    }


def test_then_of_the_nearest_node_before_that() -> None:
    text = (
        f"name: x\nnodes: [{GIVE}, {{id: b, type: test_add}}, "
        "{id: if_, type: test_if, params: {test: b.value > 0}}, "
        "{id: c, type: test_add}]\nedges: [{from: a, to: b}, {from: b, to: if_}, {from: if_, to: c, output: 'true'}]"
    )
    assert fed(text, "c") == {"value": "b.value"}


def test_two_that_are_as_near_are_a_question() -> None:
    text = two_before("{from: a, to: d}, {from: b, to: d}, {from: d, to: c}").replace(
        "{id: c,", "{id: d, type: test_if, params: {test: event.x > 1}}, {id: c,"
    )
    assert complaint(text).expected == "which is meant: {{a.value}} or {{b.value}}"
    optional = check(document(text.replace("c, type: test_add", "c, type: test_act")), LIBRARY, None)
    assert [(one.severity, one.path) for one in optional] == [("warning", "nodes.c.inputs.value")]


def test_then_the_only_output_of_the_only_node_before() -> None:
    text = "name: x\nnodes: [{id: a, type: test_lone}, {id: b, type: %s}]\nedges: [{from: a, to: b}]"
    assert fed(text % "test_add", "b") == {"value": "a.seen"}
    assert fed(text % "test_lone", "b") == {"amount": "a.seen"}
    assert fed(text % "test_act", "b") == {"value": ""}
    assert fed("name: x\nnodes: [{id: a, type: test_two}, {id: b, type: test_add}]\n"
               "edges: [{from: a, output: bid, to: b}]", "b") == {"value": "a.bid"}  # fmt: skip
    found = complaint("name: x\nnodes: [{id: a, type: test_two}, {id: b, type: test_add}]\nedges: [{from: a, to: b}]")
    assert found.path == "nodes.b.inputs.value"
    assert found.found == "a gives bid, ask, seen"


def test_then_its_default_and_then_it_is_a_problem() -> None:
    assert fed("name: x\nnodes: [{id: a, type: test_act}]", "a") == {"value": ""}
    found = complaint("name: x\nnodes: [{id: a, type: test_add}]")
    assert (found.path, found.found) == ("nodes.a.inputs.value", "nothing before it")
    assert "an entry in `inputs`" in found.expected


@live
async def test_values_are_converted_to_what_the_port_takes() -> None:
    found = await run("name: x\nnodes: [{id: a, type: test_add, inputs: {value: '41'}}]")
    assert found.outputs == {"a": {"value": 42}}
    late = await play("name: x\nnodes: [{id: a, type: test_add, inputs: {value: '{{event.x}}'}}]", {"x": "many"})
    assert "a.value" in str(late.error)
    assert "a whole number" in str(late.error)


@live
async def test_a_dead_edge_carries_nothing() -> None:
    text = """
name: dead
nodes:
  - {id: way, type: test_branch, inputs: {value: 1}}
  - {id: other, type: test_give, params: {value: 50}}
  - {id: one, type: test_add, join: any}
  - {id: many, type: test_sum, join: any, when: input.value == 50}
edges:
  - {from: way, output: high, to: one}
  - {from: other, to: one}
  - {from: way, output: high, to: many}
  - {from: other, to: many}
"""
    found = await run(text)
    assert found.outputs == {"one": {"value": 51}, "many": {"value": 50}}


@live
async def test_names_in_expressions() -> None:
    text = """
name: names
nodes:
  - {id: a, type: test_two}
  - {id: b, type: test_give, params: {value: 3}}
  - {id: c, type: test_expr, params: {formula: '%s'}}
edges: [{from: a, to: c}, {from: b, to: c}]
"""
    for formula, value in (
        ("a.bid > b.value", False), ("value * 2", 6), ("input.value", 3), ("input.ask", 2), ("a.seen[0].label", "one"),
        ("event.deep.x", 7), ("trigger.type", "manual"), ("label", "v3"),
    ):  # fmt: skip
        found = await play(text % formula, {"deep": {"x": 7}})
        assert found.error is None, formula
        assert found.outputs["c"]["value"] == str(value), formula
    assert (await play("name: x\nnodes: [{id: a, type: test_expr, params: {formula: input.x}}]", {"x": 8})).outputs == {
        "a": {"value": "8"}
    }


@live
async def test_an_undo_is_fed_by_what_was_given_and_by_what_it_was_given() -> None:
    text = """
name: undo
nodes:
  - {id: a, type: test_lone, inputs: {amount: 6}, undo: %s}
  - {id: b, type: test_give}
edges: [{from: a, to: b}]
"""
    for undo, value in (
        ("{type: test_take_back, inputs: {value: '{{a.seen}}'}}", 6),
        ("{type: test_take_back, inputs: {value: 12}}", 12),
        ("{type: test_take_back, inputs: {value: '{{input.seen}}'}}", 6),
        ("test_take_back", 0),
    ):
        found = await play(text % undo, failing={"b": 1})
        assert found.undone == ["a"], undo
        assert found.calls[-1] == ("undo a", value)
    found = await play("name: x\nnodes: [{id: a, type: test_act, inputs: {value: 4}, undo: test_take_back},"
                       " {id: b, type: test_give}]\nedges: [{from: a, to: b}]", failing={"b": 1})  # fmt: skip
    assert found.calls[-1] == ("undo a", 4)


# ------------------------------------------------------------------------------------------------------- bad documents

A = "{id: a, type: test_give}"
CASES: list[tuple[str, str, Any, str]] = [
    ("nodes: [{id: a, type: test_giv}]", "nodes.a.type", "test_giv", "did you mean 'test_give' or"),
    (f"nodes: [{A}, {{id: b, type: test_add}}]", "nodes.b.inputs.value", "nothing before it", "an edge with `input`"),
    (f"nodes: [{A}, {{id: b, type: test_act}}]\nedges: [{{from: a, output: valu, to: b}}]", "edges[0].output", "valu",
     "did you mean 'value'?"),
    (f"nodes: [{A}, {{id: b, type: test_act}}]\nedges: [{{from: a, to: b, input: valu}}]", "edges[0].input", "valu",
     "an input of test_act: did you mean 'value'?"),
    (f"nodes: [{A}, {{id: b, type: test_act, inputs: {{valeu: 1}}}}]\nedges: [{{from: a, to: b}}]",
     "nodes.b.inputs.valeu", "valeu", "did you mean 'value'?"),
    ("nodes: [{id: a, type: test_two}, {id: b, type: test_act}]\nedges: [{from: a, output: seen, to: b, input: value}]",
     "nodes.b.inputs.value", "a.seen: a list of Given", "a whole number"),
    ("nodes: [{id: b, type: test_act, inputs: {value: many}}]", "nodes.b.inputs.value", "'many'", "a whole number"),
    ((f"nodes: [{A}, {{id: b, type: test_give}}, {{id: c, type: test_give}}]\n"
     "edges: [{from: a, to: b}, {from: b, to: c}, {from: c, to: b}]"), "edges", "b -> c -> b", "before itself"),
    (f"nodes: [{A}]\nedges: [{{from: a, to: a}}]", "edges", "a -> a", "before itself"),
    (f"nodes: [{A}, {A}]", "nodes[1].id", "a", "nodes[0] has not taken"),
    ("nodes: [{id: event, type: test_give}]", "nodes.event.id", "event", "means nothing else"),
    ("nodes: [{id: In, type: test_give}]", "nodes.In.id", "In", "means nothing else"),
    (f"nodes: [{A}, {{id: b, type: test_give, when: a.value > 1}}]", "nodes.b.when", "'a' in 'a.value > 1'",
     "a node that comes before this one"),
    (f"nodes: [{A}, {{id: b, type: test_give, when: a.valu > 1}}]\nedges: [{{from: a, to: b}}]", "nodes.b.when",
     "'a.valu' in 'a.valu > 1'", "an output of 'a': did you mean 'value'?"),
    (f"nodes: [{A}, {{id: b, type: test_give, when: a.value.x > 1}}]\nedges: [{{from: a, to: b}}]", "nodes.b.when",
     "'a.value.x' in 'a.value.x > 1'", "it is a value"),
    (("nodes: [{id: a, type: test_two}, {id: b, type: test_give, when: 'a.seen[0].lable == 1'}]\n"
     "edges: [{from: a, to: b}]"), "nodes.b.when", "'a.seen[0].lable' in 'a.seen[0].lable == 1'",
     "did you mean 'label' or"),
    (f"nodes: [{A}, {{id: b, type: test_give, when: valeu > 1}}]\nedges: [{{from: a, to: b}}]", "nodes.b.when",
     "'valeu' in 'valeu > 1'", "did you mean 'value'?"),
    (f"nodes: [{A}, {{id: b, type: test_give, when: input.valeu > 1}}]\nedges: [{{from: a, to: b}}]", "nodes.b.when",
     "'input.valeu' in 'input.valeu > 1'", "did you mean 'value'?"),
    ("nodes: [{id: a, type: test_give, params: {value: -1}}]", "nodes.a.params.value", -1, "greater than or equal"),
    ("nodes: [{id: a, type: test_give, params: {valu: 1}}]", "nodes.a.params.valu", "valu", "did you mean 'value'?"),
    ("nodes: [{id: a, type: test_add, params: {value: 1}, inputs: {value: 1}}]", "nodes.a.params.value", "value",
     "an entry in `inputs`"),
    ("nodes: [{id: a, type: test_scale, params: {times: 1, factor: 2}}]", "nodes.a.params.factor", "factor",
     "either 'times' or 'factor'"),
    ("nodes: [{id: a, type: test_if}]", "nodes.a.params.test", "nothing", "the param is required"),
    ("nodes: [{id: a, type: test_give, onError: {fallback: b}}]", "nodes.a.onError.fallback", "b", "the id of a node"),
    ("nodes: [{id: a, type: test_give, onError: {fallback: a}}]", "nodes.a.onError.fallback", "a", "another node"),
    ((f"nodes: [{A[:-1]}, onError: {{fallback: c}}}}, {{id: b, type: test_give, onError: {{fallback: c}}}}, "
     "{id: c, type: test_give}]"), "nodes.b.onError.fallback", "c", "stands for no other"),
    ("nodes: [{id: a, type: test_give, onError: {fallback: b}}, {id: b, type: test_give, onError: {fallback: a}}]",
     "edges", "a -> b -> a", "before itself"),
    ((f"nodes: [{A[:-1]}, onError: {{fallback: b}}}}, {{id: b, type: test_give}}, {{id: c, type: test_give}}]\n"
     "edges: [{from: c, to: b}]"), "edges[0].to", "b", "it takes those of 'a'"),
    ((f"nodes: [{A[:-1]}, onError: {{fallback: b}}}}, {{id: b, type: test_lone}}, {{id: c, type: test_add}}]\n"
     "edges: [{from: a, to: c}]"), "nodes.c.inputs.value", "a.value", "its fallback 'b' has as well"),
    (f"nodes: [{A[:-1]}, onError: {{fallback: b}}}}, {{id: b, type: test_add, inputs: {{value: '{{{{a.value}}}}'}}}}]",
     "nodes.b.inputs.value", "'a' in '{{a.value}}'", "comes before this one"),
    ("nodes: [{id: a, type: test_give, undo: tset_take_back}]", "nodes.a.undo", "tset_take_back", "did you mean"),
    ("nodes: [{id: a, type: test_lone, undo: test_add}]", "nodes.a.undo.inputs.value", "nothing", "a has seen, amount"),
    ("nodes: [{id: a, type: test_lone, undo: {type: test_scale, params: {tims: 3}}}]", "nodes.a.undo.params.tims",
     "tims", "a param of test_scale"),
    ("nodes: [{id: a, type: test_lone, undo: {type: test_scale, inputs: {x: 3}}}]", "nodes.a.undo.inputs.x", "x",
     "an input of test_scale"),
    ("nodes: [{id: a, type: test_give, timeout: soon}]", "nodes.a.timeout", "soon", "a duration"),
    ("nodes: [{id: a, type: test_give, timeout: 0s}]", "nodes.a.timeout", "0s", "above zero"),
    ("nodes: [{id: a, type: test_give, retry: {delay: often}}]", "nodes.a.retry.delay", "often", "a duration"),
    ("nodes: [{id: a, type: test_give, retry: {delay: 5s, cap: 1s}}]", "nodes.a.retry.cap", "1s", "at least the delay"),
    ("nodes: [{id: a, type: test_give, breaker: {name: b, window: long}}]", "nodes.a.breaker", "long", "a duration"),
    (("nodes: [{id: a, type: test_give, breaker: {name: k, threshold: 2}}, "
     "{id: b, type: test_give, breaker: {name: k, threshold: 3}}]\nedges: [{from: a, to: b}]"), "nodes.b.breaker", None,
     "the settings that 'k' has elsewhere"),
    (f"nodes: [{A}]\nlimits: {{timeout: x}}", "limits.timeout", "x", "a duration"),
    (f"nodes: [{A}]\nlimits: {{rateLimit: {{limit: 1, period: 0s}}}}", "limits.rate_limit.period", "0s", "above zero"),
    (f"nodes: [{A}]\nlimits: {{key: event.}}", "limits.key", "event.", ""),
    (f"nodes: [{A}]\nlimits: {{key: a.value}}", "limits.key", "a", "only `event`"),
    (f"nodes: [{A}]\nlimits: {{debounce: 5s, rateLimit: {{limit: 1, period: 1m}}}}", "limits.rate_limit",
     "with debounce", "a throttle paces the runs"),
    (f"nodes: [{A}]\ntriggers: [{{type: sometimes}}]", "triggers[0].type", "sometimes", "a type of trigger"),
    (f"nodes: [{A}]\ntriggers: [{{type: manual}}, {{type: manual}}]", "triggers", None, "each trigger once"),
    (f"nodes: [{A}]\ntriggers: [{{type: schedule, cron: nope}}]", "triggers[0].cron", None, "5 fields"),
    (f"nodes: [{A}]\ntriggers: [{{type: price_change, symbl: BTC/USD}}]", "triggers[0].symbl", "BTC/USD", "'symbol'"),
    ("nodes: [{id: a, type: test_size, params: {much: 1, part: 2}}]", "nodes.a.params", "much 1, part 2",
     "one of much, part"),
    ("nodes: [{id: a, type: test_call, params: {flow: x}}]", "nodes.a.params.flow", "x", "never ends"),
    ("nodes: [{id: a, type: test_kinds}, {id: b, type: test_give, when: a.word > 3}]\nedges: [{from: a, to: b}]",
     "nodes.b.when", "a.word > 3", "two of a kind: a.word is a text, 3 is a number"),
    (("nodes: [{id: a, type: test_kinds}, {id: b, type: test_if, params: {test: 'not (1 < 2 < word)'}}]\n"
     "edges: [{from: a, to: b}]"), "nodes.b.params.test", "2 < word", "word is a text"),
    (("nodes: [{id: a, type: test_kinds}, {id: b, type: test_give, when: 'a.exact > \"abc\"'}]\n"
     "edges: [{from: a, to: b}]"), "nodes.b.when", "a.exact > 'abc'", "a.exact is a number"),
    (("nodes: [{id: a, type: test_kinds}, {id: b, type: test_give, when: 'a.maybe == 1'}]\n"
     "edges: [{from: a, to: b}]"), "nodes.b.when", "a.maybe == 1", "a.maybe is a text"),
    ("nodes: []", "nodes", "none", "at least one node"),
    (f"nodes: [{A}]\nedges: [{{from: a, to: z}}]", "edges[0].to", "z", "the id of a node"),
    (f"nodes: [{A}, {{id: b, type: test_give}}]\nedges: [{{from: a, to: b, after: true, output: value}}]",
     "edges[0].after", True, "no ports"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "path", "found", "words"), CASES, ids=[f"{i}-{case[1]}" for i, case in enumerate(CASES)]
)
def test_a_bad_document(text: str, path: str, found: Any, words: str) -> None:
    told = complaint(f"name: x\n{text}") if "warning" not in text else None
    assert told is not None
    assert told.path == path
    assert told.severity == "error"
    assert found is None or told.found == found
    assert words in told.expected


@pytest.mark.parametrize(
    "test",
    [
        "a.exact > '1.5'", "a.exact == '1'", "a.exact > a.word", "a.word > 'x'", "a.sure == 1", "a.any > 'x'",
        "event.x > 'x'", "input.word > 3", "a.word in ['x', 3]", "a.word == null", "a.side == 'BUY'", "-a.exact < 1",
    ],
)  # fmt: skip
def test_a_comparison_that_may_hold_is_let_be(test: str) -> None:
    text = (
        'name: x\nnodes: [{id: a, type: test_kinds}, {id: b, type: test_give, when: "%s"}]\nedges: [{from: a, to: b}]'
    )
    assert not problems(text % test)


def test_what_a_fallback_gives_is_of_its_own_kind() -> None:
    text = (
        "name: x\nnodes: [{id: a, type: test_kinds, onError: {fallback: f}}, "
        "{id: f, type: test_open, params: {fields: {}}}, "
        "{id: b, type: test_give, when: a.word > 3}]\nedges: [{from: a, to: b}]"
    )
    assert not problems(text)


def test_a_word_that_a_port_never_gives_is_warned_of() -> None:
    text = "name: x\nnodes: [{id: a, type: test_kinds}, {id: b, type: test_give, when: a.side == 'buy'}]"
    found = complaint(text + "\nedges: [{from: a, to: b}]")
    assert (found.severity, found.path, found.found) == ("warning", "nodes.b.when", "a.side == 'buy'")
    assert found.expected == "one of what a.side can be: 'BUY', 'SELL'"


def test_the_same_edge_twice_is_warned_of() -> None:
    text = f"name: x\nnodes: [{A}, {{id: b, type: test_act}}]\nedges: [{{from: a, to: b}}, {{from: a, to: b}}%s]"
    assert [(one.severity, one.path) for one in check(document(text % ""), LIBRARY, None)] == [("warning", "edges[1]")]
    other = (
        "name: x\nnodes: [{id: a, type: test_two}, {id: b, type: test_act}]\nedges: [{from: a, to: b, after: true}%s]"
    )
    assert not check(document(other % ", {from: a, to: b, output: bid, input: value}"), LIBRARY, None)


def test_a_price_that_is_to_move_by_its_whole_is_warned_of() -> None:
    text = f"name: x\nnodes: [{A}]\ntriggers: [{{type: price_change, symbol: BTC/USD, threshold: %s}}]"
    assert not problems(text % "0.99")
    found = complaint(text % "2")
    assert (found.severity, found.path, found.found) == ("warning", "triggers[0].threshold", "2, that is 200 %")


def test_every_field_of_a_trigger_is_complained_of() -> None:
    text = f"name: x\nnodes: [{A}]\ntriggers: [%s]"
    for trigger, fields in (
        ("{type: price_change, symbol: 5, threshold: -1, direction: sideways}", "symbol threshold direction"),
        ("{type: price_change, threshold: -1}", "symbol threshold"),
        ("{type: price_change, symbols: 7, window: 0}", "symbols window"),
        ("{type: schedule, cron: nope, timezone: Mars}", "cron timezone"),
        ("{type: queue, name: a b, max_retries: -1}", "name max_retries"),
        ("{type: volatility, symbol: BTC/USD, vix_threshold: 3, above: 4}", "above"),
    ):
        found = problems(text % trigger)
        assert found.keys() >= {f"triggers[0].{field}" for field in fields.split()}, (trigger, found)


def test_every_cycle_is_complained_of() -> None:
    ids = "abcdefg"
    nodes = ", ".join(f"{{id: {id}, type: test_give, when: {'value > 0' if id == 'g' else '1 > 0'}}}" for id in ids)
    edges = ", ".join(
        f"{{from: {one}, to: {other}}}" for one, other in ("ab", "bc", "ca", "ba", "dd", "de", "ef", "fe", "gb")
    )
    found = check(document(f"name: x\nnodes: [{nodes}]\nedges: [{edges}]"), LIBRARY, None)
    cyclic = [one.found for one in found if one.path == "edges"]
    assert cyclic == ["a -> b -> a", "d -> d", "e -> f -> e"]


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 8).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=4), min_size=n, max_size=n))
)
def test_cycles_are_those_of_the_graph(after: list[list[int]]) -> None:
    found = cycles(after, range(len(after)))
    for cycle in found:
        assert all(other in after[one] for one, other in pairwise([*cycle, cycle[0]]))
        assert cycle[0] == min(cycle)
    on_one = {index for index, targets in enumerate(after) if index in _reached(after, targets)}
    parts = {frozenset(_reached(after, [index]) & {one for one in on_one if index in _reached(after, after[one])})
             for index in on_one}  # fmt: skip
    assert len(found) == sum(len(part) > 1 for part in parts) + sum(i in targets for i, targets in enumerate(after))
    assert all(any(set(cycle) <= part for cycle in found) for part in parts)


def _reached(after: list[list[int]], left: list[int]) -> set[int]:
    found: set[int] = set()
    left = list(left)
    while left:
        index = left.pop()
        if index not in found:
            found.add(index)
            left += after[index]
    return found


def test_a_condition_that_cannot_be_read_says_where() -> None:
    for text, position in (("event.x >", 9), ("event.x > > 1", 10), ("(event.x", 0), ("event.x $ 1", 8)):
        found = complaint(f"name: x\nnodes: [{{id: a, type: test_give, when: '{text}'}}]")
        assert (found.path, found.found, found.position) == ("nodes.a.when", text, position)
        assert "^" in str(found)
    found = complaint("name: x\nnodes: [{id: a, type: test_if, params: {test: 'event.x >'}}]")
    assert (found.path, found.position) == ("nodes.a.params.test", 9)
    found = complaint("name: x\nnodes: [{id: a, type: test_act, inputs: {value: '{{event.x'}}]")
    assert found.path == "nodes.a.inputs.value"


def test_a_node_that_can_never_run_and_one_in_the_air_are_warned_of() -> None:
    found = problems("""
name: never
nodes:
  - {id: way, type: test_if, params: {test: event.x > 1}}
  - {id: a, type: test_give}
  - {id: b, type: test_give}
  - {id: both, type: test_give}
  - {id: after, type: test_give}
  - {id: air, type: test_give}
edges:
  - {from: way, output: "true", to: a}
  - {from: way, output: "false", to: b}
  - {from: a, to: both}
  - {from: b, to: both}
  - {from: both, to: after}
""")
    assert {path: one.severity for path, one in found.items()} == dict.fromkeys(
        ("nodes.both", "nodes.after", "nodes.air"), "warning"
    )


JOINED = """
name: joined
nodes:
  - {id: way, type: test_branch, inputs: {value: 3}}
  - {id: yes, type: test_lone}
  - {id: no, type: test_lone}
  - {id: both, type: test_expr, join: any, params: {formula: "%s"}%s}
  - {id: last, type: test_expr, params: {formula: "%s"}}
edges:
  - {from: way, output: high, to: yes}
  - {from: way, output: low, to: no}
  - {from: yes, to: both}
  - {from: no, to: both}
  - {from: both, to: last}
"""


@pytest.mark.parametrize(
    ("formula", "when", "last", "paths"),
    [
        ("yes.seen", "", "1", ["nodes.both.params.formula"]),
        ("1", "", "no.seen", ["nodes.last.params.formula"]),
        ("1", ", when: yes.seen > 1", "1", ["nodes.both.when"]),
        ("1", ", when: {test: yes.seen > 1, missing: 'false'}", "1", []),
        ("seen", "", "way.value", []),
        ("way.value", "", "both.value", []),
        ("input.seen", "", "input.value", []),
    ],
)
def test_a_node_that_may_have_been_skipped_is_read_with_a_warning(
    formula: str, when: str, last: str, paths: list[str]
) -> None:
    found = check(document(JOINED % (formula, when, last)), LIBRARY, None)
    assert [(one.severity, one.path) for one in found] == [("warning", path) for path in paths]
    assert all("may have been skipped" in one.expected for one in found)


def test_a_source_that_is_missing_says_what_to_configure() -> None:
    text = (
        "name: x\nnodes: [{id: a, type: test_news}, {id: b, type: test_news, params: {bad: true}}]\n"
        "edges: [{from: a, to: b}]"
    )
    found = problems(text, Sources())
    assert set(found) == {"nodes.a.type", "nodes.b.type"}
    assert "news" in found["nodes.a.type"].expected
    with pytest.raises(InvalidDocument):
        plan(document(text), LIBRARY, Sources())
    assert plan(document(text), LIBRARY, None).warnings == []


def test_what_a_type_says_of_its_own_settings_is_asked_of_every_sound_node() -> None:
    text = "name: x\nnodes: [{id: bad, type: nothing, timeout: x}, {id: b, type: test_news, params: {bad: true}}]"
    found = problems(text, Sources({"news": object()}))
    assert set(found) == {"nodes.bad.type", "nodes.bad.timeout", "nodes.b.params"}


EVERYTHING = """
name: everything
triggers: [{type: never}]
limits: {timeout: x, key: 1 +}
nodes:
  - {id: a, type: nothing, when: "1 >", timeout: y, retry: {delay: z}, undo: nope, params: {q: 1}}
  - {id: a, type: test_give, params: {value: -1, vale: 2}}
  - {id: if, type: test_if}
  - {id: b, type: test_add, when: c.value > 1, onError: {fallback: nobody}}
  - {id: c, type: test_text, inputs: {label: 5, lable: x}, breaker: {name: n, window: w}}
edges:
  - {from: b, to: c}
  - {from: c, to: b}
  - {from: a, output: x, to: zz}
"""


def test_all_of_them_at_once() -> None:
    with pytest.raises(InvalidDocument) as caught:
        compiled(EVERYTHING)
    paths = {path for path, _, _ in caught.value.problems}
    assert paths >= {
        "triggers[0].type", "limits.timeout", "limits.key", "nodes.a.type", "nodes.a.when", "nodes.a.timeout",
        "nodes.a.retry.delay", "nodes.a.undo", "nodes[1].id", "nodes.a.params.value", "nodes.a.params.vale",
        "nodes.if.id", "nodes.if.params.test", "nodes.b.onError.fallback", "nodes.c.inputs.label",
        "nodes.c.inputs.lable", "nodes.c.breaker", "edges", "edges[2].to",
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------ large documents


def _chain(count: int) -> tuple[list[Any], list[Any]]:
    nodes = [{"id": "n0", "type": "test_give"}, *({"id": f"n{i}", "type": "test_add"} for i in range(1, count))]
    return nodes, [{"from": f"n{i}", "to": f"n{i + 1}"} for i in range(count - 1)]


def _fan(count: int) -> tuple[list[Any], list[Any]]:
    middle = [f"n{i}" for i in range(count - 2)]
    nodes = [{"id": "s", "type": "test_give"}, *({"id": id, "type": "test_add"} for id in middle)]
    edges = [{"from": "s", "to": id} for id in middle] + [{"from": id, "to": "e"} for id in middle]
    return [*nodes, {"id": "e", "type": "test_sum"}], edges


def _ladder(layers: int) -> tuple[list[Any], list[Any]]:
    nodes: list[Any] = [{"id": f"{side}0", "type": "test_give"} for side in "ab"]
    edges = []
    for layer in range(1, layers):
        for side in "ab":
            nodes.append({"id": f"{side}{layer}", "type": "test_sum", "join": "any" if layer % 2 else "all"})
            edges += [{"from": f"{other}{layer - 1}", "to": f"{side}{layer}"} for other in "ab"]
    return nodes, edges


@pytest.mark.parametrize(("parts", "last", "value"), [
    (_chain(1_000), "n999", 1_000), (_fan(1_000), "e", 998 * 2), (_ladder(300), "a299", None),
], ids=["chain", "fan", "ladder"])  # fmt: skip
@live
async def test_large_documents(parts: tuple[list[Any], list[Any]], last: str, value: int | None) -> None:
    nodes, edges = parts
    fresh()
    workflow = compiled(Document.model_validate({"name": "large", "nodes": nodes, "edges": edges}))
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        found = await (await engine.start(workflow)).result()
    assert set(found.nodes.values()) == {"completed"}
    assert value is None or found.outputs[last] == {"value": value}


# -------------------------------------------------------------------------------------- what the start of a run gives


def warned(text: str) -> set[str]:
    found = check(document(text), library(), None)
    assert all(one.severity == "warning" for one in found), found
    return {one.path for one in found}


LACKING = {"nodes.a.params.symbol", "nodes.a.params.side", "nodes.a.params.quantity"}


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("nodes: [{id: a, type: place_order}]", LACKING),
        ("nodes: [{id: a, type: place_order, params: {side: '', symbol: ''}}]", LACKING),
        ("nodes: [{id: a, type: place_order, inputs: {opportunity: '{{event.found}}'}}]", set()),
        ("nodes: [{id: a, type: place_order, params: {side: '{{event.way}}', symbol: BTC/USD, notional: 5}}]", set()),
        ("nodes: [{id: a, type: buy, params: {quantity: 1}}]", {"nodes.a.params.symbol"}),
        ("triggers: [{type: price_change, symbol: BTC/USD}]\nnodes: [{id: a, type: place_order}]",
         LACKING - {"nodes.a.params.symbol"}),
        ("triggers: [{type: schedule, cron: '0 9 * * *'}]\nnodes: [{id: a, type: sell}]", {"nodes.a.params.symbol"}),
        ("triggers: [{type: schedule, cron: '0 9 * * *', input: {symbol: A/B}}]\nnodes: [{id: a, type: sell}]", set()),
        ("triggers: [{type: queue, name: orders}]\nnodes: [{id: a, type: place_order}]", set()),
        ("triggers: [{type: event, event: market/news}]\nnodes: [{id: a, type: reserve_funds}]",
         {"nodes.a.params.amount"}),
        ("nodes: [{id: a, type: reserve_funds, params: {fraction: 0.1}}]", set()),
        ("nodes: [{id: a, type: reserve_funds}]", {"nodes.a.params.amount"}),
        ("nodes: [{id: a, type: trade_execution}]", {"nodes.a.inputs.signal", "nodes.a.inputs.symbol"}),
    ],
)  # fmt: skip
def test_what_only_the_start_of_a_run_can_give_is_warned_of(text: str, paths: set[str]) -> None:
    assert warned(f"name: x\n{text}") == paths


@pytest.mark.parametrize("undo", ["sell", "{type: buy}", "place_order", "trade"])
def test_one_more_order_takes_none_back(undo: str) -> None:
    text = f"name: x\nnodes: [{{id: a, type: buy, params: {{symbol: A/B, quantity: 1}}, undo: {undo}}}]"
    (found,) = check(document(text), library(), None)
    assert found.path == ("nodes.a.undo.type" if "{" in undo else "nodes.a.undo")
    assert found.expected == "cancel_order or close_position: these take back the orders of 'a', and only those"
    for good in ("cancel_order", "close_position", "immediate_hedge", "send_failure_alert"):
        assert not check(document(text.replace(f"undo: {undo}", f"undo: {good}")), library(), None)


def test_numbers_in_the_settings_of_a_queue_count_seconds() -> None:
    fields = (
        "name: trading-signals, max_retries: 3, visibility_timeout: 30, message_retention: 86400, batch_size: 10, "
        "ordering: FIFO, deduplication: true, dedupe_window: 0.5"
    )
    (queue,) = planned(f"name: x\ntriggers: [{{type: queue, {fields}}}]\nnodes: [{GIVE}]").triggers
    assert isinstance(queue, Queue)
    assert (queue.visibility, queue.retention, queue.dedupe_window) == (30 * 10**9, 86_400 * 10**9, 5 * 10**8)
    assert (queue.max_retries, queue.batch_size, queue.fifo) == (3, 10, True)
    for wrong in ("true", "0", "-1", ".nan", ".inf"):
        text = f"name: x\ntriggers: [{{type: queue, name: q, visibility_timeout: {wrong}}}]\nnodes: [{GIVE}]"
        assert set(problems(text)) == {"triggers[0].visibility_timeout"}, wrong


def test_what_a_check_raises_is_a_problem_of_the_param_it_names() -> None:
    class Nobody:
        source_name = "workflows"

        def get(self, name: str) -> Any:
            raise InvalidInput("workflow", name, "the name or id of a workflow: there are none")

    text = "name: x\nnodes: [{id: s, type: subprocess, params: {workflow: selfie}}]"
    (found,) = check(document(text), library(), Sources({"workflows": Nobody()}))
    assert (found.path, found.found) == ("nodes.s.params.workflow", "selfie")
    assert found.expected == "the name or id of a workflow: there are none"
