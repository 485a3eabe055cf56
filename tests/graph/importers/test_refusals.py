"""What cannot be represented is refused, with its place, what is there and what would be right; all of it at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.importers.kit import LIBRARY, read
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.importers import import_document


def refused(value: Any, **options: Any) -> dict[str, tuple[Any, str]]:
    with pytest.raises(InvalidDocument) as caught:
        read(value, **options)
    return {path: (found, expected) for path, found, expected in caught.value.problems}


def step(**fields: Any) -> dict[str, Any]:
    return {"name": "w", "steps": ["reserve_funds", {"name": "s", **fields}]}


def started_by(trigger: Any) -> dict[str, Any]:
    return {"name": "w", "steps": ["notify"], "triggers": [trigger]}


def graph(*nodes: dict[str, Any], edges: Any = ()) -> dict[str, Any]:
    fetch = {"id": "f", "type": "provider", "action": "get_orderbook"}
    return {"name": "w", "nodes": [fetch, *nodes], "edges": list(edges)}


def block(*blocks: dict[str, Any], links: Any = (), **more: Any) -> dict[str, Any]:
    return {"name": "w", "blocks": [{"id": "p", "type": "kraken"}, *blocks], "connections": list(links), **more}


def link(source: Any, index: Any, target: Any, to: Any, **more: Any) -> dict[str, Any]:
    return {"from": {"blockId": source, "index": index}, "to": {"blockId": target, "index": to}, **more}


S, N, B = "document.steps[1]", "document.nodes[1]", "document.blocks[1]"

STEPS = [
    (step(type="no_such_thing"), f"{S}.type", "no_such_thing", "a node type"),
    (step(type="notifi"), f"{S}.type", "notifi", "'notify'"),
    (step(), f"{S}.type", "s", "neither is this the name of a node type"),
    (step(action="dance"), f"{S}.action", "dance", "a type"),
    (step(type="notify", colour="red"), f"{S}.colour", "red", "a setting of notify"),
    (step(type="notify", params={"volume": 3}), f"{S}.params.volume", 3, "a setting of notify"),
    (step(type="notify", params=[1]), f"{S}.params", "a list", "an object"),
    (step(type="notify", timeout=-1), f"{S}.timeout", -1, "seconds above 0"),
    (step(type="notify", retry_attempts=1.5), f"{S}.retry_attempts", 1.5, "a whole number"),
    (step(type="notify", fallback_agent_type="x"), f"{S}.fallback_agent_type", "x", "none"),
    (step(type="notify", depends_on=["nobody"]), f"{S}.depends_on[0]", "nobody", "the name of a step"),
    (step(type="notify", compensate="unsay"), f"{S}.compensate", "unsay", "a node type or the name of a step"),
    (step(type="notify", condition="1 +"), "nodes.s.when", "1 +", "operand"),
    (step(type="conditional", actions=["notify"]), f"{S}.condition", "nothing", "a condition"),
    (step(type="conditional", condition="a"), f"{S}.actions", "nothing", "what to do"),
    (step(type="conditional", condition="a", actions=["dance"]), f"{S}.actions[0]", "dance", "a node type"),
    (step(type="conditional", condition="a", actions=["notify"], timeout=3), f"{S}.timeout", "timeout", "no timeout"),
    (
        step(type="conditional", conditions=[{"if": "a", "then": "notify", "when": 1}]),
        f"{S}.conditions[0].when", 1, "no field",
    ),
    (step(type="parallel_group"), f"{S}.steps", "none", "the steps of the group"),
    ({"name": "w", "steps": ["notify", "notify"]}, f"{S}.name", "notify", "a name that no other step has"),
    (
        {"name": "w", "steps": [
            {"name": "a", "type": "notify", "compensate": "b"},
            {"name": "b", "type": "notify", "depends_on": ["a"], "parallel": True}]},
        "document.steps[1].depends_on", "['a']", "it only undoes",
    ),
    (
        {"name": "w", "steps": [
            {"name": "a", "type": "notify", "compensate": "b"}, {"name": "b", "type": "notify", "parallel": True}]},
        "document.steps[1].parallel", "parallel", "where another step names it",
    ),
    ({"name": "w", "steps": ["notify", 5]}, S, "a number", "a step"),
    ({"name": "w", "steps": []}, "document.steps", "none", "at least one step"),
    ({"steps": ["notify"]}, "document.name", "nothing", "a name"),
    ({"name": "w", "steps": ["notify"], "priority": 11}, "document.priority", 11, "0 to 10"),
    (
        {"name": "w", "steps": ["notify"], "metadata": {"steps": 1}},
        "document.metadata.steps", "['notify']", "another key",
    ),
    ({"name": "w", "steps": ["notify"], "agents": 3}, "document.agents", 3, "no field of this name"),
    (
        {"name": "w", "steps": ["notify"], "triggers": [{"type": "file_upload"}]},
        "document.triggers[0].type", "file_upload", "nothing watches for uploaded files",
    ),
    ({"name": "w", "steps": ["notify"], "triggers": ["file_upload"]}, "document.triggers[0]", "file_upload", "webhook"),
    ({"name": "w", "steps": ["notify"], "triggers": [{"type": "moon"}]}, "document.triggers[0].type", "moon", "a type"),
    (started_by("price_change"), "document.triggers[0]", "price_change", "object"),
    (started_by("price_change:X"), "document.triggers[0]", "price_change:X", "object"),
    (
        {"name": "w", "steps": [
            {"name": "a", "type": "notify", "parallel_group": "x"}, "reserve_funds",
            {"name": "b", "type": "notify", "parallel_group": "x"}]},
        "document.steps[2].parallel_group", "x", "next to each other",
    ),
]  # fmt: skip

GRAPHS = [
    (graph({"id": "a", "type": "action", "action": "dance"}), f"{N}.action", "dance", "a node type"),
    (graph({"id": "a", "type": "action"}), f"{N}.action", "action", "an action"),
    (graph({"id": "f", "type": "action", "action": "notify"}), f"{N}.id", "f", "no other node"),
    (graph({"id": "a", "type": "action", "action": "notify", "inputs": ["x"]}), f"{N}.inputs", "x", "is there (f"),
    (
        graph({"id": "a", "type": "condition", "condition": "1 > 0", "true_branch": "gone"}),
        f"{N}.true_branch", "gone", "a node that is there",
    ),
    (graph({"id": "a", "type": "condition", "inputs": ["f"]}), f"{N}.condition", "nothing", "a condition"),
    (
        graph({"id": "a", "type": "action", "action": "notify", "provider": "kraken"}),
        f"{N}.provider", "kraken", "takes no provider",
    ),
    (
        graph({"id": "a", "type": "action", "action": "notify", "false_branch": "f"}),
        f"{N}.false_branch", "f", "only a condition node",
    ),
    (graph(edges=[{"from": "f", "to": "x"}]), "document.edges[0].to", "x", "a node that is there"),
    (graph(edges=[{"from": "f"}]), "document.edges[0].to", "nothing", "the id of a node"),
    (
        graph(
            {"id": "q", "type": "condition", "condition": "1 > 0", "true_branch": "a", "false_branch": "b"},
            {"id": "a", "type": "action", "action": "notify"},
            {"id": "b", "type": "action", "action": "notify"},
            {"id": "c", "type": "action", "action": "notify", "inputs": ["a", "b", "f"]},
        ),
        "nodes.c", "3 edges", "where the branches meet",
    ),
]  # fmt: skip

BLOCKS = [
    (block({"id": "a", "type": "teleport"}), f"{B}.type", "teleport", "a node type"),
    (block({"id": "p", "type": "notify"}), f"{B}.id", "p", "no other block"),
    (block({"id": "a", "type": "buy", "properties": {"cap": 3}}), f"{B}.properties.cap", 3, "a setting of buy"),
    (block({"id": "a", "type": "buy", "x": "left", "y": 1}), f"{B}.x", "left", "pixels"),
    (block({"id": "a", "type": "buy", "locked": True}), f"{B}.locked", True, "no field of this name"),
    (block(links=[link("p", 0, "x", 0)]), "document.connections[0].to", "x", "a block of the document (p)"),
    (
        block({"id": "a", "type": "threshold"}, links=[link("p", 9, "a", 0)]),
        "document.connections[0].from.index", 9, "an output of provider",
    ),
    (
        block({"id": "a", "type": "threshold"}, links=[link("p", 0, "a", 7)]),
        "document.connections[0].to.index", 7, "an input of threshold",
    ),
    (
        block({"id": "a", "type": "threshold"}, links=[link("p", -1, "a", 0)]),
        "document.connections[0].from.index", -1, "a whole number",
    ),
    (
        block({"id": "a", "type": "threshold"}, links=[link("p", 0, "a", 0), link("p", 3, "a", 0)]),
        "document.connections[1]", "value", "one connection",
    ),
    (
        block({"id": "a", "type": "buy"}, links=[link("p", 0, "a", 0, condition="only_if_true")]),
        "document.connections[0].condition", "only_if_true", "true or false",
    ),
    (block(links=[{"from": {"blockId": "p", "index": 0}}]), "document.connections[0].to", "nothing", "an object such"),
    (
        block(config={"execution_mode": "polling", "poll_interval_seconds": 7}),
        "document.config.poll_interval_seconds", 7, "divides a minute",
    ),
    (
        block({"id": "t", "type": "time_trigger", "properties": {}}),
        f"{B}.properties.schedule", None, "times of the day",
    ),
    (
        block({"id": "t", "type": "event_listener", "properties": {}}),
        f"{B}.properties.event_type", None, "the name of an event",
    ),
    (
        {"name": "w", "nodes": [{"id": "a", "type": "notify", "properties": {}}],
         "edges": [{"id": "e", "source": "a", "target": "z"}]},
        "document.edges[0].target", "z", "a node that is there (a)",
    ),
    (
        {"name": "w", "nodes": [{"id": "a", "type": "notify"}],
         "connections": [{"from": {"node_id": "a", "output_index": 0}, "to": {"node_id": "z", "input_index": 0}}]},
        "document.connections[0].to", "z", "a block of the document",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("value", "path", "found", "expected"), [*STEPS, *GRAPHS, *BLOCKS])
def test_refused(value: dict[str, Any], path: str, found: object, expected: str) -> None:
    told = refused(value)
    assert path in told, told
    assert told[path][0] == found
    assert expected in told[path][1]


def test_everything_at_once() -> None:
    told = refused(
        {
            "name": "w",
            "steps": [
                {"name": "a", "type": "notify", "colour": 1, "params": {"x": 2}},
                {"name": "b", "type": "nothing"},
                {"name": "c", "type": "conditional", "condition": "x ==", "actions": ["dance"]},
            ],
            "triggers": [{"type": "file_upload"}, 5],
            "priority": "high",
        }
    )
    assert {path.partition(".")[2] for path in told} >= {
        "steps[0].colour",
        "steps[0].params.x",
        "steps[1].type",
        "steps[2].actions[0]",
        "triggers[0].type",
        "triggers[1]",
        "priority",
    }


def test_steps_that_only_name_each_other_do_not_vanish() -> None:
    told = refused(
        {
            "name": "w",
            "steps": [
                "reserve_funds",
                {"name": "a", "type": "conditional", "condition": "x", "actions": ["b"]},
                {"name": "b", "type": "conditional", "condition": "x", "actions": ["a"]},
            ],
        }
    )
    assert {"document.steps[1]", "document.steps[2]"} <= told.keys()


def test_an_unknown_format_says_what_was_tried_and_why_not() -> None:
    with pytest.raises(InvalidInput) as caught:
        read({"name": "x", "tasks": []})
    text = str(caught.value)
    for name, why in (("steps", "no steps"), ("blocks", "no blocks"), ("canonical", "no nodes"), ("react", "no nodes")):
        assert f"{name}: {why}" in text
    assert "tasks" in text


def test_a_format_that_is_not_one() -> None:
    with pytest.raises(InvalidInput, match="steps"):
        import_document({"name": "x", "steps": ["notify"]}, format="stepz", library=LIBRARY)
    with pytest.raises(InvalidInput, match="an object"):
        import_document(["notify"], library=LIBRARY)


@pytest.mark.parametrize(
    ("odd", "found"), [(float("nan"), "nan"), (float("inf"), "inf"), ({1: 2}, "the key 1"), (b"x", "a bytes")]
)
def test_values_that_json_has_no_words_for(odd: object, found: str) -> None:
    told = refused({"name": "x", "steps": [{"name": "notify", "params": {"message": [odd]}}]})
    assert [(path, one) for path, (one, _) in told.items()] == [("document.steps[0].params.message[0]", found)]


def test_more_than_can_be_looked_at() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(InvalidInput, match="levels"):
        read({"name": "x", "steps": deep})
    with pytest.raises(InvalidInput, match="fewer"):
        read({"name": "x", "steps": [0] * 300_000})


def test_a_format_that_is_said_is_read_as_such() -> None:
    told = refused({"name": "x", "steps": ["notify"]}, format="blocks")
    assert {"document.blocks", "document.steps"} <= told.keys()


def test_canonical_problems_have_canonical_paths() -> None:
    told = refused({"name": "x", "nodes": [{"id": "a", "type": "notify", "paramz": {}}]})
    assert "nodes.a.paramz" in told
