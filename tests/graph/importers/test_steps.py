"""Step lists: every form of a step, and the order that follows from it."""

from __future__ import annotations

from typing import Any

from tests.graph.importers.kit import edges, read
from tickwork.graph.document import Fallback, Node, RetryPolicy, Undo
from tickwork.graph.importers import Imported


def steps(*found: Any, **more: Any) -> Imported:
    return read({"name": "w", "steps": list(found), **more})


def node(found: Imported, id_: str) -> Node:
    one = found.document.node(id_)
    assert one is not None, [node.id for node in found.document.nodes]
    return one


def test_a_text_and_an_action_are_steps_where_they_name_a_type() -> None:
    found = steps("reserve_funds", {"id": "b", "action": "place_order", "agent": "trader"})
    assert [(one.id, one.type) for one in found.document.nodes] == [
        ("reserve_funds", "reserve_funds"),
        ("b", "place_order"),
    ]
    assert edges(found) == {("reserve_funds", "b")}
    assert node(found, "b").metadata == {"agent": "trader"}
    assert any("nobody is assigned" in note for note in found.notes)


def test_names_that_are_no_ids_are_kept_as_names_and_references_follow() -> None:
    found = steps(
        {"name": "Fetch Book", "type": "get_orderbook"},
        {"name": "1", "type": "place_order", "params": {"symbol": "{{Fetch Book.bids}}", "side": "x {{1.a}}"}},
        {"id": "step-3", "name": "scan", "type": "if", "params": {"test": "{{ Fetch Book.bids }} > 1 and asks > 2"}},
        {"name": "last", "type": "notify", "condition": "scan.result == 'scan' and scan.rows[0].x > 1"},
    )
    assert [(one.id, one.name) for one in found.document.nodes] == [
        ("Fetch_Book", "Fetch Book"),
        ("step_1", "1"),
        ("step-3", "scan"),
        ("last", ""),
    ]
    assert node(found, "step_1").params == {"symbol": "{{Fetch_Book.bids}}", "side": "x {{step_1.a}}"}
    assert node(found, "step-3").params == {"test": "{{ Fetch_Book.bids }} > 1 and asks > 2"}
    assert node(found, "last").when == "{{step-3.result}} == 'scan' and {{step-3.rows[0].x}} > 1"


def test_depends_on_says_the_order_and_the_rest_follows_what_is_written() -> None:
    found = steps(
        {"id": "a", "action": "get_orderbook"},
        {"id": "b", "action": "technical_analysis", "depends_on": []},
        {"id": "c", "action": "notify", "dependsOn": ["a", "b"]},
        {"id": "d", "action": "notify"},
        {"id": "e", "action": "notify", "depends_on": "a"},
    )
    assert edges(found) == {("a", "c"), ("b", "c"), ("c", "d"), ("a", "e")}
    assert any("steps[3]" in note and "no depends_on" in note for note in found.notes)


def test_neighbours_that_are_parallel_run_together() -> None:
    found = steps(
        "reserve_funds",
        {"id": "a", "action": "notify", "parallel": True},
        {"id": "b", "action": "notify", "parallel": True},
        {"id": "c", "action": "notify", "parallel_group": "x"},
        {"id": "d", "action": "notify", "parallel_group": "x"},
        "update_portfolio",
    )
    assert edges(found) == {
        *((one, other) for one, other in (("reserve_funds", "a"), ("reserve_funds", "b"))),
        *((one, other) for one in "ab" for other in "cd"),
        *((one, "update_portfolio") for one in "cd"),
    }


def test_a_parallel_group_holds_steps() -> None:
    group = {"name": "g", "type": "parallel_group", "steps": ["alert_user", {"name": "b", "type": "notify"}]}
    found = steps("reserve_funds", group, {"name": "z", "type": "notify", "depends_on": ["g"]})
    assert edges(found) == {
        ("reserve_funds", "alert_user"),
        ("reserve_funds", "b"),
        ("alert_user", "z"),
        ("b", "z"),
    }


def test_a_step_with_a_condition_is_skipped_alone() -> None:
    found = steps(
        "reserve_funds",
        {"name": "maybe", "type": "notify", "condition": "reservation == 'x'"},
        {"name": "z", "type": "update_portfolio"},
    )
    assert node(found, "maybe").when == "reservation == 'x'"
    assert edges(found) == {("reserve_funds", "maybe"), ("maybe", "z", "after"), ("reserve_funds", "z")}


def test_conditions_with_if_then_else() -> None:
    found = steps(
        {"name": "classify"},
        {
            "name": "route",
            "type": "conditional",
            "conditions": [
                {"if": "category == 'a'", "then": "alert_user", "else": ["notify", {"type": "sell", "params": {}}]},
                {"if": "category == 'b'", "then": {"name": "n", "type": "notify", "params": {"message": "b"}}},
            ],
        },
        {"name": "end", "type": "update_portfolio"},
    )
    assert edges(found) == {
        ("classify", "route"),
        ("route", "route_alert_user", "true"),
        ("route", "route_notify", "false"),
        ("route_notify", "route_sell"),
        ("route", "route_2"),
        ("route_alert_user", "route_2", "after"),
        ("route_sell", "route_2", "after"),
        ("route_2", "route_n", "true"),
        ("route_2", "end"),
        ("route_n", "end", "after"),
    }
    assert node(found, "route_n").params == {"message": "b"}
    assert any("one after the other" in note for note in found.notes)


def test_if_then_else_may_stand_in_the_step_or_in_its_params() -> None:
    direct = steps("classify", {"name": "r", "type": "conditional", "if": "category == 'a'", "then": "notify"})
    inside = steps(
        "classify",
        {"name": "r", "type": "conditional", "params": {"condition": "category == 'a'", "actions": ["notify"]}},
    )
    assert direct.document == inside.document


def test_an_action_may_name_a_step_which_then_only_runs_there() -> None:
    found = steps(
        "classify",
        {"name": "r", "type": "conditional", "condition": "category == 'a'", "actions": ["warn"]},
        {"name": "warn", "type": "notify", "params": {"message": "a"}},
        {"name": "end", "type": "update_portfolio"},
    )
    assert edges(found) == {("classify", "r"), ("r", "warn", "true"), ("r", "end"), ("warn", "end", "after")}


def test_such_a_step_still_waits_for_what_it_depends_on() -> None:
    found = steps(
        "classify",
        {"id": "x", "action": "notify", "depends_on": []},
        {
            "name": "r",
            "type": "conditional",
            "condition": "category == 'a'",
            "actions": ["warn"],
            "depends_on": ["classify"],
        },
        {"name": "warn", "type": "notify", "depends_on": ["x"]},
    )
    assert edges(found) == {("classify", "r"), ("r", "warn", "true"), ("x", "warn")}


def test_compensation_may_be_a_step_or_an_object() -> None:
    found = steps(
        {"name": "reserve_funds", "compensate": "give_back"},
        {"name": "place_order", "compensate": {"type": "cancel_order", "params": {"order": "{{place_order.order}}"}}},
        {"name": "give_back", "type": "release_funds", "params": {"reservation": "{{reserve_funds.reservation}}"}},
    )
    assert node(found, "reserve_funds").undo == Undo(
        type="release_funds", inputs={"reservation": "{{reserve_funds.reservation}}"}
    )
    assert node(found, "place_order").undo == Undo(type="cancel_order", inputs={"order": "{{place_order.order}}"})
    assert [one.id for one in found.document.nodes] == ["reserve_funds", "place_order"]


def test_timeouts_attempts_and_agents() -> None:
    found = steps(
        {
            "name": "a",
            "type": "agent",
            "agent_type": "researcher",
            "timeout": 90,
            "retry_attempts": 2,
            "fallback_agent_type": "analyst",
            "params": {"task": "look"},
        },
        {"name": "b", "type": "notify", "timeout": "5s", "retry_attempts": 0},
    )
    first = node(found, "a")
    assert first.params == {"task": "look", "agent_type": "researcher"}
    assert first.timeout == "90s"
    assert first.retry == RetryPolicy(limit=2)
    assert first.on_error == Fallback(fallback="a_fallback")
    assert node(found, "a_fallback").params == {"task": "look", "agent_type": "analyst"}
    assert (node(found, "b").timeout, node(found, "b").retry) == ("5s", None)
    assert edges(found) == {("a", "b")}


def test_the_nearest_breaker_before_is_meant_and_one_that_is_named() -> None:
    def broken(name: str) -> dict[str, Any]:
        return {"name": name, "type": "circuit_breaker", "params": {"failure_threshold": 2, "reset_timeout": 1.5}}

    found = steps(
        broken("one"),
        broken("two"),
        {"name": "a", "type": "notify", "condition": "circuit_status == 'closed'"},
        {"name": "b", "type": "conditional", "condition": "one.circuit_status == 'closed'", "actions": ["trade"]},
        {"name": "c", "type": "notify", "condition": "sent"},
    )
    policies = {one.id: one.breaker for one in found.document.nodes if one.breaker is not None}
    assert {id_: policy if isinstance(policy, str) else policy.name for id_, policy in policies.items()} == {
        "a": "w/two",
        "b_trade": "w/one",
    }
    assert node(found, "a").timeout is None
    assert getattr(policies["a"], "open_for", "") == "1500ms"


def test_triggers_as_texts() -> None:
    found = steps("notify", triggers=["push_to_main", "schedule:0 2 * * *", "manual", {"type": "webhook"}, "manual"])
    assert [spec.model_dump() for spec in found.document.triggers] == [
        {"type": "webhook", "name": "push_to_main", "secret_env": "PUSH_TO_MAIN_SECRET"},
        {"type": "schedule", "cron": "0 2 * * *"},
        {"type": "manual"},
        {"type": "webhook", "name": "w", "secret_env": "W_SECRET"},
    ]
    assert any("/hooks/push_to_main" in note for note in found.notes)


def test_priority_and_metadata() -> None:
    found = steps("notify", priority=9, metadata={"team": "a"}, description="d")
    assert (found.document.priority, found.document.description) == (9, "d")
    assert found.document.metadata == {"team": "a", "steps": ["notify"]}
