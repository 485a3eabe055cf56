"""How documents run, example by example."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support import Ping, live, park, records
from tests.graph.nodes_of_tests import NOTES
from tests.graph.running import compiled, fresh, play, played, reopened, run, traced
from tickwork import Engine, Memory
from tickwork.errors import NotSent, Refused, TimedOut
from tickwork.graph.running.states import Outcome

DIAMOND = """
name: diamond
nodes:
  - {id: start, type: test_give, params: {value: 3}}
  - {id: left, type: test_add, params: {by: 10}}
  - {id: right, type: test_wait, params: {seconds: 5}}
  - {id: end, type: test_sum}
edges:
  - {from: start, to: left}
  - {from: start, to: right}
  - {from: left, to: end}
  - {from: right, to: end}
"""


@live
async def test_a_diamond_joins_what_both_sides_bring() -> None:
    found = await play(DIAMOND)
    assert found.outcome == Outcome(
        "completed", dict.fromkeys(("start", "left", "right", "end"), "completed"), {"end": {"value": 16}}
    )
    assert found.completed == ["start", "left", "right", "end"]


# ------------------------------------------------------------------------------------------------- branches and joins

EITHER = """
name: either
nodes:
  - {id: which, type: test_if, params: {test: event.x > 1}}
  - {id: yes_, type: test_give, params: {value: 1}}
  - {id: no_, type: test_give, params: {value: 2}}
  - {id: after_no, type: test_add}
  - {id: joined, type: test_sum, join: any}
edges:
  - {from: which, output: "true", to: yes_}
  - {from: which, output: "false", to: no_}
  - {from: no_, to: after_no}
  - {from: yes_, to: joined}
  - {from: after_no, to: joined}
"""


@live
async def test_the_branch_not_taken_is_skipped_with_what_follows_it() -> None:
    found = await play(EITHER, {"x": 2})
    assert found.statuses == {
        "which": "completed", "yes_": "completed", "no_": "skipped", "after_no": "skipped", "joined": "completed"
    }  # fmt: skip
    assert found.reasons == {"no_": "which did not take the branch 'false'", "after_no": "no_ was skipped"}
    assert found.outputs["joined"] == {"value": 1}
    other = await play(EITHER, {"x": 1})
    assert other.outputs["joined"] == {"value": 3}
    assert other.reasons == {"yes_": "which did not take the branch 'true'"}


@live
async def test_join_any_runs_with_the_first_edge_that_is_alive() -> None:
    found = await play("""
name: first
nodes:
  - {id: fast, type: test_wait, params: {seconds: 1}, inputs: {value: 1}}
  - {id: slow, type: test_wait, params: {seconds: 9}, inputs: {value: 2}}
  - {id: joined, type: test_add, join: any}
edges: [{from: slow, to: joined, input: value}, {from: fast, to: joined, input: value}]
""")
    assert found.completed == ["fast", "joined", "slow"]
    assert found.outputs["joined"] == {"value": 2}


@live
async def test_join_any_with_an_edge_that_orders_waits_for_that_and_for_the_first_other() -> None:
    found = await play("""
name: first
nodes:
  - {id: fast, type: test_wait, params: {seconds: 1}, inputs: {value: 1}}
  - {id: slow, type: test_wait, params: {seconds: 9}, inputs: {value: 2}}
  - {id: ordered, type: test_wait, params: {seconds: 4}}
  - {id: joined, type: test_give, join: any}
edges: [{from: slow, to: joined}, {from: fast, to: joined}, {from: ordered, to: joined, after: true}]
""")
    assert found.completed == ["fast", "ordered", "joined", "slow"]


@live
async def test_a_condition_that_does_not_hold_skips_the_node_and_its_dependants() -> None:
    found = await play("""
name: conditions
nodes:
  - {id: a, type: test_give, params: {value: 2}}
  - {id: b, type: test_add, when: a.value > 2}
  - {id: c, type: test_add}
edges: [{from: a, to: b}, {from: b, to: c}]
""")
    assert found.statuses == {"a": "completed", "b": "skipped", "c": "skipped"}
    assert found.reasons == {"b": "its condition does not hold", "c": "b was skipped"}


LACKING = """
name: lacking
nodes:
  - {id: which, type: test_if, params: {test: event.x > 1}}
  - {id: yes_, type: test_two, when: event.x > 0}
  - {id: no_, type: test_give, onError: continue}
  - {id: slow, type: test_wait, params: {seconds: 9}}
  - {id: said, type: %s, join: any%s}
edges:
  - {from: which, output: "true", to: yes_}
  - {from: which, output: "false", to: no_}
  - {from: yes_, to: said}
  - {from: no_, to: said}
  - {from: slow, to: said}
"""


@live
@pytest.mark.parametrize(
    ("more", "x", "told"),
    [
        (", params: {formula: yes_.bid + no_.value}", 2, "no_ was skipped; found 'no_'"),
        (", params: {formula: slow.value}", 2, "slow was not done yet; found 'slow'"),
        (", params: {formula: no_.value}", 1, "no_ failed; found 'no_'"),
        (", params: {formula: bid}", 1, "yes_ was skipped; found 'bid'"),
        (", when: bid > 0, params: {formula: '1'}", 1, "yes_ was skipped; found 'bid'"),
    ],
)
async def test_a_name_without_a_value_says_what_became_of_its_node(more: str, x: int, told: str) -> None:
    found = await play(LACKING % ("test_expr", more), {"x": x}, failing={"no_": 9})
    assert found.trace.nodes["said"].error.endswith(f"expected a name that has a value: {told}")


@live
async def test_a_reference_to_a_skipped_node_says_so_in_an_input_too() -> None:
    found = await play(LACKING % ("test_text", ", inputs: {label: '{{no_.label}}'}"), {"x": 2})
    assert found.trace.nodes["said"].error.endswith("expected a name that has a value: no_ was skipped; found 'no_'")


@live
async def test_what_is_missing_inside_of_what_was_done_is_told_as_before() -> None:
    found = await play(LACKING % ("test_expr", ", params: {formula: event.no_}"), {"x": 2})
    assert "no_ was skipped" not in found.trace.nodes["said"].error
    assert "one of x in event; found 'event.no_'" in found.trace.nodes["said"].error


ABSENT = """
name: absent
nodes:
  - {id: a, type: test_give, when: event.x > 1}
  - {id: b, type: test_give, when: %s}
edges: [{from: a, to: b, after: true}]
"""


@live
async def test_a_name_without_a_value_is_an_error_unless_the_condition_says_otherwise() -> None:
    strict = await play(ABSENT % "a.value > 0", {"x": 1})
    assert strict.statuses == {"a": "skipped", "b": "failed"}
    assert "a.value" in str(strict.error)
    lenient = await play(ABSENT % "{test: a.value > 0, missing: 'false'}", {"x": 1})
    assert lenient.statuses == {"a": "skipped", "b": "skipped"}


@live
async def test_an_edge_that_only_orders_is_alive_however_its_source_ended() -> None:
    text = """
name: order
nodes:
  - {id: a, type: test_wait, params: {seconds: 5}, onError: continue}
  - {id: b, type: test_give}
edges: [{from: a, to: b, after: true}]
"""
    assert (await play(text)).completed == ["a", "b"]
    failed = await play(text, failing={"a": 1})
    assert failed.statuses == {"a": "failed", "b": "completed"}
    assert failed.called == ["a", "b"]


INPUT = """
name: own
nodes:
  - {id: a, type: test_give, params: {value: 4}}
  - {id: b, type: test_add, inputs: {value: 7}, when: input.value == 7 and input.label == 'v4'}
edges: [{from: a, to: b}]
"""


@live
async def test_input_is_what_came_before_and_what_the_node_is_given() -> None:
    assert (await play(INPUT)).statuses["b"] == "completed"
    params = "name: p\nnodes: [{id: a, type: test_scale, inputs: {value: 3}, params: {by: '{{input.x}}'}}]"
    assert (await play(params, {"x": 5})).outputs["a"] == {"value": 15}


# ------------------------------------------------------------------------------------------------------------ failures


@live
async def test_a_failed_node_fails_the_run_and_what_runs_beside_it_is_cancelled() -> None:
    found = await play(
        DIAMOND.replace("test_add, params: {by: 10}", "test_wait, params: {seconds: 2}"), None, {"left": 1}
    )
    assert isinstance(found.error, ValueError)
    assert found.statuses == {"start": "completed", "left": "failed", "right": "cancelled", "end": "pending"}
    assert found.trace.nodes["left"].error == "ValueError: left fails"
    assert found.trace.nodes["right"].duration_ms == 2_000
    assert found.trace.events[-1].type == "workflow_completed"
    assert found.trace.events[-1].status == "failed"


@live
async def test_a_failed_node_that_lets_others_go_on() -> None:
    found = await play(DIAMOND.replace("params: {by: 10}", "onError: continue"), failing={"left": 1})
    assert found.outcome is not None
    assert found.outcome.status == "completed_with_errors"
    assert found.outcome.nodes == {"start": "completed", "left": "failed", "right": "completed", "end": "skipped"}
    assert [one.error for one in found.outcome.errors] == ["ValueError: left fails"]
    assert found.trace.events[-1].status == "completed_with_errors"


FALLBACK = """
name: instead
nodes:
  - {id: start, type: test_give, params: {value: 3}}
  - {id: first, type: test_add, onError: {fallback: second}}
  - {id: second, type: test_add, params: {by: 100}, onError: {fallback: third}}
  - {id: third, type: test_add, params: {by: 1000}}
  - {id: end, type: test_act}
edges: [{from: start, to: first}, {from: first, to: end}]
"""


@pytest.mark.parametrize(
    ("failing", "statuses", "value"),
    [
        ({}, ("completed", "skipped", "skipped", "completed"), 4),
        ({"first": 1}, ("failed", "completed", "skipped", "completed"), 103),
        ({"first": 1, "second": 1}, ("failed", "failed", "completed", "completed"), 1003),
    ],
)
@live
async def test_a_fallback_runs_instead(failing: dict[str, int], statuses: tuple[str, ...], value: int) -> None:
    found = await play(FALLBACK, failing=failing)
    assert tuple(found.statuses[id] for id in ("first", "second", "third", "end")) == statuses
    assert found.error is None
    assert found.outputs["end"] == {"value": value}


@live
async def test_a_fallback_that_fails_itself() -> None:
    found = await play(FALLBACK, failing={"first": 1, "second": 1, "third": 1})
    assert isinstance(found.error, ValueError)
    assert str(found.error) == "third fails"
    on = FALLBACK.replace("params: {by: 1000}}", "params: {by: 1000}, onError: continue}")
    found = await play(on, failing={"first": 1, "second": 1, "third": 1})
    assert found.statuses == {
        "start": "completed", "first": "failed", "second": "failed", "third": "failed", "end": "skipped"
    }  # fmt: skip


@live
async def test_a_node_that_is_skipped_needs_no_fallback() -> None:
    found = await play(FALLBACK.replace("type: test_give,", "type: test_give, when: event.x > 1,"), {"x": 1})
    assert set(found.statuses.values()) == {"skipped"}


@live
async def test_a_fallback_has_the_edges_of_the_node_it_stands_for() -> None:
    found = await play(
        """
name: instead
nodes:
  - {id: which, type: test_if, params: {test: event.x > 1}}
  - {id: a, type: test_give, params: {value: 1}}
  - {id: b, type: test_give, params: {value: 2}}
  - {id: first, type: test_add, join: any, onError: {fallback: second}}
  - {id: second, type: test_add, params: {by: 5}}
edges:
  - {from: which, output: "true", to: a}
  - {from: which, output: "false", to: b}
  - {from: a, to: first}
  - {from: b, to: first}
""",
        {"x": 1},
        {"first": 1},
    )
    assert found.outputs["second"] == {"value": 7}


# --------------------------------------------------------------------------------------------------- time-outs, retry


@pytest.mark.parametrize("type", ["test_give", "test_put"])
@live
async def test_a_node_is_tried_again(type: str) -> None:
    text = f"name: again\nnodes: [{{id: a, type: {type}, retry: {{limit: 2, delay: 1 second, backoff: fixed}}}}]"
    found = await play(text, failing={"a": 2})
    assert found.statuses == {"a": "completed"}
    assert found.called.count("a") == 3
    assert found.trace.nodes["a"].duration_ms == 2_000
    worse = await play(text, failing={"a": 3})
    assert worse.statuses == {"a": "failed"}
    assert worse.called.count("a") == 3


@live
async def test_an_effect_that_was_not_sent_is_tried_again_and_one_refused_is_not() -> None:
    found = await play("name: r\nnodes: [{id: a, type: test_act, retry: 3}]", failing={"a": 1})
    assert isinstance(found.error, Refused)
    assert found.called == ["a"]


@live
async def test_a_node_that_takes_too_long_fails() -> None:
    text = "name: late\nnodes: [{id: a, type: test_wait, params: {seconds: 60}, timeout: 5s%s}]"
    found = await play(text % "")
    assert isinstance(found.error, TimedOut)
    assert found.trace.nodes["a"].duration_ms == 5_000
    again = await play(text % ", retry: {limit: 1, delay: 1s}, onError: continue")
    assert again.statuses == {"a": "failed"}
    assert again.trace.nodes["a"].duration_ms == 11_000
    enough = await play(text.replace("5s", "61s") % "")
    assert enough.statuses == {"a": "completed"}


@pytest.mark.parametrize("type", ["test_stuck", "test_slow"])
@live
async def test_a_step_or_an_effect_that_takes_too_long_is_tried_again(type: str) -> None:
    fresh({"a": 1}).hold = asyncio.Event()
    workflow = compiled(f"name: late\nnodes: [{{id: a, type: {type}, timeout: 10 ms, retry: {{limit: 2, delay: 1s}}}}]")
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, id="it")
        await _over(engine)
        found = await played(engine, workflow)
    assert found.statuses == {"a": "completed"}
    assert found.called == ["a", "a"]
    assert len(NOTES.outside) == (type == "test_slow")


async def _over(engine: Engine) -> None:
    """Until the run has ended; the time-out of an async function is the loop's, not the engine's clock's."""
    for _ in range(200):
        await asyncio.sleep(0.005)
        await engine.settled()
        if (await engine.runs())[0].status in ("done", "dead"):
            return
    raise AssertionError("it goes on")


@live
async def test_what_was_done_at_once_is_told_before_what_failed_after_it() -> None:
    """The second node fails without a record of its own: its condition reads what was skipped."""
    found = await play(
        """
name: at-once
nodes:
  - {id: w, type: test_wait, params: {seconds: 0}, inputs: {value: 1}, undo: test_take_back}
  - {id: s, type: test_give, when: "1 > 2"}
  - {id: x, type: test_give, when: "s.value > 0"}
edges: [{from: s, to: x, after: true}]
"""
    )
    assert found.called == ["w", "undo w"]
    states = found.trace.nodes
    assert (states["w"].status, states["w"].undone, states["x"].status) == ("completed", True, "failed")


@live
async def test_a_node_whose_effect_took_hold_is_not_tried_again_as_a_whole() -> None:
    text = "name: once\nnodes: [{id: n, type: test_put, onError: continue, retry: 3}]"
    after = await play(text, failing={"n passed": 9})
    assert after.called == ["n", "n passed"], "it failed after its effect: a second try would make a second one"
    assert after.trace.nodes["n"].status == "failed"
    before = await play(text, failing={"n": 2})
    assert before.called == ["n", "n", "n", "n passed"], "certainly not done: it is tried again"
    assert before.trace.nodes["n"].status == "completed"


# --------------------------------------------------------------------------------------------- breakers of a node


@pytest.mark.parametrize(("type", "error"), [("test_give", ValueError), ("test_put", NotSent)])
@live
async def test_a_breaker_lets_no_more_through_after_so_many_failures(type: str, error: type[Exception]) -> None:
    nodes = [
        f"{{id: n{i}, type: {type}, onError: continue, breaker: {{name: b, threshold: 2, openFor: 1 minute}}}}"
        for i in range(4)
    ]
    edges = [f"{{from: n{i}, to: n{i + 1}, after: true}}" for i in range(3)]
    found = await play(
        f"name: guarded\nnodes: [{', '.join(nodes)}]\nedges: [{', '.join(edges)}]",
        failing={f"n{i}": 9 for i in range(4)},
    )
    assert found.called == ["n0", "n1"]
    assert [state.error.partition(":")[0] for state in found.trace.nodes.values()] == [
        error.__name__, error.__name__, "BreakerOpen", "BreakerOpen"
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------- undoing and cancelling

SAGA = """
name: saga
nodes:
  - {id: a, type: test_act, inputs: {value: 1}, undo: test_take_back}
  - {id: b, type: test_act, inputs: {value: 2}, undo: test_take_back}
  - {id: c, type: test_give, params: {value: 3}}
  - {id: d, type: test_wait, params: {seconds: 60}}
edges: [{from: a, to: b}, {from: b, to: c}, {from: c, to: d}]
"""


@live
async def test_what_was_done_is_undone_in_reverse_when_the_run_fails() -> None:
    found = await play(SAGA, failing={"d": 1})
    assert found.called == ["a", "b", "c", "d", "undo b", "undo a"]
    assert found.undone == ["b", "a"]
    assert found.trace.nodes["a"].undone
    assert found.trace.nodes["a"].status == "completed"
    assert [value for node, value in NOTES.calls if node.startswith("undo")] == [2, 1]


@live
async def test_a_cancelled_run_is_undone_and_its_running_nodes_are_cancelled() -> None:
    fresh()
    workflow = compiled(SAGA)
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, id="it")
        await engine.idle()
        await engine.cancel("it", "enough")
        await engine.settled()
        found = await played(engine, workflow)
    assert found.statuses == {"a": "completed", "b": "completed", "c": "completed", "d": "cancelled"}
    assert found.called == ["a", "b", "c", "undo b", "undo a"]
    kinds = [(event.type, event.status, event.reason) for event in found.trace.events[-2:]]
    assert kinds == [("execution_halted", "halted", "enough"), ("workflow_completed", "cancelled", "")]


async def _until(condition: Any) -> None:
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


@live
async def test_an_effect_in_flight_is_followed_to_its_outcome_and_undone() -> None:
    fresh({"a": 1}).hold = asyncio.Event()
    workflow = compiled(
        "name: flight\nnodes: [{id: a, type: test_slow, inputs: {value: 7}, undo: test_take_back}, "
        "{id: b, type: test_give}]\nedges: [{from: a, to: b}]"
    )
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, id="it")
        await _until(lambda: NOTES.calls)
        await engine.cancel("it")
        assert NOTES.hold is not None
        NOTES.hold.set()
        await engine.settled()
        found = await played(engine, workflow)
    assert found.statuses == {"a": "completed", "b": "pending"}
    assert list(NOTES.outside.values()) == [("a", 7), ("undo a", 7)]


@live
async def test_an_undo_that_was_begun_is_done_once_though_the_run_is_cancelled_meanwhile() -> None:
    fresh({"b": 1}).hold = asyncio.Event()
    workflow = compiled(
        "name: once\nnodes: [{id: a, type: test_act, undo: test_slow_undo}, {id: b, type: test_give}]\n"
        "edges: [{from: a, to: b}]"
    )
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, id="it")
        await _until(lambda: ("undo a", 0) in NOTES.calls)
        await engine.cancel("it")
        assert NOTES.hold is not None
        NOTES.hold.set()
        await engine.settled()
        found = await played(engine, workflow)
    assert found.called == ["a", "b", "undo a"]
    assert found.undone == ["a"]
    assert list(NOTES.outside.values()) == [("a", 0), ("undo a", 0)]


@live
async def test_an_undo_whose_answer_is_lost_is_made_again_with_the_same_key() -> None:
    text = SAGA.replace("undo: test_take_back", "undo: test_lossy_undo")
    found = await play(text, failing={"d": 1, "undo b": 2})
    assert found.called[4:] == ["undo b"] * 3 + ["undo a"]
    assert [told for told, _ in NOTES.outside.values()].count("undo b") == 1


@live
async def test_an_undo_of_verbs_is_tried_again() -> None:
    found = await play(SAGA.replace("undo: test_take_back", "undo: test_put"), failing={"d": 1, "undo b": 1})
    assert found.undone == ["b", "a"]
    assert found.called[4:] == ["undo b", "undo b", "undo b passed", "undo a", "undo a passed"]


@live
async def test_an_undo_that_cannot_be_done_is_a_dead_letter_and_the_others_still_run() -> None:
    fresh({"d": 1, "undo b": 99})
    workflow = compiled(SAGA)
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, id="it")
        await engine.settled()
        found = await played(engine, workflow)
        letters = [one.record.name for one in records(engine, "dead_letter")]
        alerts = [one.record for one in records(engine, "event") if "alert" in one.record.name]
    assert found.undone == ["a"]
    assert letters == ["undo b"]
    assert any(b"undo b" in bytes(one.value) for one in alerts)


@live
@pytest.mark.parametrize(
    ("undo", "failing", "error"),
    [("test_take_back", "undo b", "Refused"), ("test_put", "undo b passed", "ValueError: undo b passed fails")],
)
async def test_an_undo_that_cannot_be_done_is_told(undo: str, failing: str, error: str) -> None:
    found = await play(SAGA.replace("undo: test_take_back", f"undo: {undo}"), failing={"d": 1, failing: 99})
    told = [(event.type, event.node_id, event.status) for event in found.trace.events if "undo" in event.type]
    assert told == [("node_undo_failed", "b", "undo_failed"), ("node_undone", "a", "undone")]
    (event,) = [event for event in found.trace.events if event.type == "node_undo_failed"]
    node = found.trace.nodes["b"]
    assert node.undo_error.startswith(error)
    assert event.error == node.undo_error
    assert (node.status, node.error, node.undone) == ("completed", "", False)
    assert found.trace.nodes["a"].undo_error == ""


@live
async def test_an_undo_that_reads_what_was_not_done_is_told_with_what_became_of_that() -> None:
    text = """
name: lacking
nodes:
  - {id: x, type: test_give, when: event.x > 1}
  - {id: y, type: test_give}
  - {id: a, type: test_act, join: any, undo: {type: test_take_back, inputs: {value: "{{x.value}}"}}}
  - {id: d, type: test_give}
edges: [{from: x, to: a}, {from: y, to: a}, {from: a, to: d}]
"""
    found = await play(text, {"x": 1}, failing={"d": 99})
    assert found.trace.nodes["a"].undo_error.endswith("expected a name that has a value: x was skipped; found 'x'")
    assert not found.undone


@live
async def test_a_redriven_run_does_the_undone_anew_and_keeps_the_rest() -> None:
    text = """
name: anew
nodes:
  - {id: before, type: test_give, params: {value: 5}}
  - {id: a, type: test_act, undo: test_take_back}
  - {id: b, type: test_act}
  - {id: beside, type: test_act}
  - {id: end, type: test_wait, params: {seconds: 3}}
edges:
  - {from: before, to: a}
  - {from: a, to: b}
  - {from: before, to: beside}
  - {from: b, to: end}
"""
    found = await play(text, failing={"end": 2}, redrives=2)
    assert found.statuses == dict.fromkeys(("before", "a", "b", "beside", "end"), "completed")
    counts = {node: found.called.count(node) for node in ("before", "a", "b", "beside", "end", "undo a")}
    assert counts == {"before": 1, "a": 3, "b": 3, "beside": 1, "end": 3, "undo a": 2}
    assert len(NOTES.outside) == 3 + 3 + 1 + 2  # each time under a new key
    assert found.trace.attempt == 3


@live
async def test_a_redriven_run_sees_what_a_join_saw_the_first_time() -> None:
    found = await play(
        """
name: same
nodes:
  - {id: slow, type: test_wait, params: {seconds: 5}, inputs: {value: 1}}
  - {id: fast, type: test_wait, params: {seconds: 1}, inputs: {value: 2}}
  - {id: joined, type: test_act, join: any}
  - {id: end, type: test_wait, params: {seconds: 60}}
edges:
  - {from: slow, to: joined, input: value}
  - {from: fast, to: joined, input: value}
  - {from: joined, to: end}
""",
        failing={"end": 1}, redrives=1,
    )  # fmt: skip
    assert found.error is None
    assert found.outputs["joined"] == {"value": 2}
    assert found.called.count("joined") == 1


@live
async def test_a_redriven_run_waits_for_what_a_join_went_on_with_the_first_time() -> None:
    found = await play(
        """
name: same
nodes:
  - {id: slow, type: test_wait, params: {seconds: 9}, inputs: {value: 1}}
  - {id: fast, type: test_wait, params: {seconds: 1}, inputs: {value: 2}}
  - {id: joined, type: test_act, join: any}
  - {id: further, type: test_add}
  - {id: end, type: test_wait, params: {seconds: 60}}
edges:
  - {from: fast, to: further}
  - {from: slow, to: joined, input: value}
  - {from: further, to: joined, input: value}
  - {from: joined, to: end}
""",
        failing={"end": 1}, redrives=1,
    )  # fmt: skip
    assert found.error is None
    assert found.outputs["joined"] == {"value": 3}
    assert found.called.count("joined") == 1


@live
async def test_what_was_kept_from_an_earlier_attempt_and_is_undone_can_still_be_replayed() -> None:
    found = await play(
        "name: kept\nnodes: [{id: a, type: test_wait, params: {seconds: 5}, undo: test_take_back}, "
        "{id: b, type: test_give}]\nedges: [{from: a, to: b}]",
        failing={"a": 1, "b": 1}, redrives=1,
    )  # fmt: skip
    assert found.undone == ["a"]
    assert found.statuses == {"a": "completed", "b": "failed"}


@live
async def test_a_redriven_run_stays_with_a_fallback_that_was_done() -> None:
    text = FALLBACK.replace("edges: [", "edges: [{from: end, to: last}, ").replace(
        "  - {id: end,", "  - {id: last, type: test_wait}\n  - {id: end,"
    )
    found = await play(text, failing={"first": 1, "last": 1}, redrives=1)
    assert found.error is None
    assert found.statuses["first"] == "failed"
    assert found.outputs["end"] == {"value": 103}
    assert found.called.count("end") == 1
    assert found.called.count("first") == 1


# -------------------------------------------------------------------------------------------------------------- limits


def _started(engine: Engine) -> list[str]:
    return [entry.record.name for entry in records(engine, "started")]


GATE = "nodes: [{id: a, type: test_wait, params: {seconds: 10}, inputs: {value: '{{event.n}}'}}]"


@live
async def test_runs_of_one_key_take_turns() -> None:
    fresh()
    workflow = compiled(f"name: keyed\nlimits: {{key: event.symbol}}\n{GATE}")
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        for n, symbol in enumerate("AAB"):
            await engine.start(workflow, {"n": n, "symbol": symbol}, id=f"run-{n}")
        waiting = traced(engine, workflow, "run-1")
        await engine.settled()
        ends = {id: (await engine.show(id)) for id in ("run-0", "run-1", "run-2")}
    assert waiting.nodes["a"].status == "pending"
    assert [value for _, value in NOTES.calls] == [0, 2, 1]
    assert ends["run-1"].info.status == "done"


@live
async def test_only_so_many_runs_at_once_the_most_urgent_first() -> None:
    fresh()
    texts = [f"name: p{n}\npriority: {n}\nlimits: {{concurrency: 1}}\n{GATE}" for n in (1, 9)]
    low, high = (compiled(text) for text in texts)
    async with Engine("memory:", workflows=[low, high], seed=1) as engine:
        for n in range(3):
            await engine.start(low, {"n": n})
        await engine.settled()
    assert [value for _, value in NOTES.calls] == [0, 1, 2]
    assert high.flow is not None


@live
async def test_a_rate_a_debounce_a_singleton() -> None:
    for limits, count in (
        ("rateLimit: {limit: 2, period: 1 hour}", 2),
        ("debounce: 5s", 1),
        ("singleton: skip", 1),
        ("throttle: {limit: 1, period: 1 minute}", 3),
    ):
        fresh()
        workflow = compiled(
            f"name: limited\nlimits: {{{limits}}}\ntriggers: [{{type: event, event: engine/ping}}]\n"
            "nodes: [{id: a, type: test_wait, params: {seconds: 1}, inputs: {value: '{{event.n}}'}}]"
        )
        async with Engine("memory:", workflows=[workflow], seed=1) as engine:
            for n in range(3):
                await engine.emit(Ping(n=n))
            await engine.settled()
        assert len(NOTES.calls) == count, limits


@pytest.mark.parametrize("type", ["test_stuck", "test_try"])
@live
async def test_a_run_that_takes_too_long_fails_whatever_its_nodes_say(type: str) -> None:
    fresh({"a": 1}).hold = asyncio.Event()
    workflow = compiled(
        f"name: long\nlimits: {{timeout: 5 s}}\nnodes:\n  - {{id: a, type: {type}, onError: continue, retry: 3}}\n"
        "  - {id: b, type: test_give}\nedges: [{from: a, to: b, after: true}]"
    )
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, id="it")
        await _until(lambda: NOTES.calls)
        engine.clock.jump(engine.clock.now() + 6 * 10**9)
        engine._timers.fire_due()
        assert NOTES.hold is not None
        NOTES.hold.set()
        await engine.settled()
        found = await played(engine, workflow)
    assert isinstance(found.error, TimedOut)
    assert found.statuses == {"a": "cancelled", "b": "pending"}


@live
async def test_a_run_that_comes_too_late_never_begins() -> None:
    fresh()
    workflow = compiled(f"name: late\nlimits: {{validFor: 5s, concurrency: 1}}\n{GATE}")
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.start(workflow, {"n": 1})
        await engine.start(workflow, {"n": 2}, id="late")
        await engine.settled()
        told = traced(engine, workflow, "late")
    assert told.nodes["a"].status == "pending"
    assert [(event.type, event.status) for event in told.events] == [
        ("workflow_started", "running"), ("workflow_completed", "expired")
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ triggers


@live
async def test_a_trigger_starts_runs_with_what_it_saw() -> None:
    fresh()
    workflow = compiled("""
name: triggered
triggers: [{type: event, event: engine/ping, where: {name: go}}]
nodes:
  - {id: a, type: test_give, params: {value: "{{event.n}}"}, when: trigger.type == 'event'}
  - {id: b, type: test_give, when: trigger.type == 'manual'}
""")
    async with Engine("memory:", workflows=[workflow], seed=1) as engine:
        await engine.emit(Ping(name="go", n=7))
        await engine.emit(Ping(name="stay", n=8))
        await engine.settled()
        assert NOTES.calls == [("a", 7)]
        await engine.start(workflow, {"n": 3})
        await engine.settled()
    assert NOTES.calls == [("a", 7), ("b", 1)]


# -------------------------------------------------------------------------------------------------- crashes by example


@live
async def test_a_parked_run_goes_on_after_the_process_died() -> None:
    fresh()
    workflow = compiled(DIAMOND)
    memory = Memory()
    engine = reopened(memory, workflow)
    await engine.open()
    await engine.start(workflow, id="it")
    await engine.idle()
    park(engine)
    engine.kill()
    async with reopened(memory, workflow) as second:
        await second.settled()
        found = await played(second, workflow)
    assert found.outcome is not None
    assert found.outcome.outputs == {"end": {"value": 16}}
    assert sorted(found.called) == ["end", "left", "right", "start"]


@live
async def test_large_outputs_are_left_out_of_the_result() -> None:
    found = await run(
        "name: big\nnodes: [{id: a, type: test_open, params: {fields: {x: [" + "abcdefghi, " * 7_000 + "]}}}]"
    )
    assert found.outputs == {"a": {"omitted": "84,007 bytes"}}
