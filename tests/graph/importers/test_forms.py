"""What people write of these systems from memory: understood where it is certain, else refused with the wanted form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.importers.kit import edges
from tests.graph.importers.test_graphs import node
from tickwork.errors import InvalidDocument, InvalidInput
from tickwork.graph.document import BreakerPolicy, RetryPolicy
from tickwork.graph.importers import Imported, import_document
from tickwork.graph.library import library
from tickwork.graph.wiring import check

PRICE = {"id": "a", "type": "venue_price", "config": {"symbol": "BTC/USD"}}
RANGE = {"id": "b", "type": "threshold", "config": {"min": 100}}
LOG = {"id": "c", "type": "log", "config": {"message": "hi"}}
FETCH = {"id": "fetch", "type": "get_ticker", "inputs": {"symbol": "BTC/USD"}}
CHECK = {"id": "check", "type": "condition", "condition": "fetch.price > 100"}
YES, NO = ({"id": word, "type": "log", "inputs": {"message": word}} for word in ("yes", "no"))
BRANCHES = {"true_branch": "yes", "false_branch": ["no"]}
LINK = {"source": "fetch", "target": "check"}


def good(value: dict[str, Any]) -> Imported:
    found = import_document({"name": "w", **value}, library=library())
    assert not [str(one) for one in check(found.document, library(), None) if one.severity == "error"]
    return found


def told(value: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        import_document({"name": "w", **value}, library=library())
    return str(caught.value)


def graph(*nodes: dict[str, Any], links: Any = (LINK,)) -> dict[str, Any]:
    return {"nodes": list(nodes), "edges": list(links)}


def steps(*found: Any, **more: Any) -> dict[str, Any]:
    return {"steps": list(found), **more}


def blocks(*links: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"blocks": [PRICE, RANGE, LOG], "connections": list(links), **more}


# -- node graphs


@pytest.mark.parametrize("kind", ["condition", "if"])
@pytest.mark.parametrize("words", [("from", "to"), ("source", "target")])
def test_a_node_graph_with_inputs_as_a_mapping_and_branches(kind: str, words: tuple[str, str]) -> None:
    links = [dict(zip(words, ("fetch", "check"), strict=True))]
    found = good(graph(FETCH, {**CHECK, "type": kind, **BRANCHES}, YES, NO, links=links))
    assert found.format == "nodes"
    assert edges(found) == {("fetch", "check"), ("check", "yes", "true"), ("check", "no", "false")}
    assert node(found, "fetch").params == {"symbol": "BTC/USD"}
    assert node(found, "check").params == {"test": "fetch.price > 100"}


@pytest.mark.parametrize("key", ["output", "sourceHandle", "branch", "condition"])
@pytest.mark.parametrize("spelled", [("true", "false"), (True, False)])
def test_an_edge_may_say_the_branch(key: str, spelled: tuple[Any, Any]) -> None:
    links = [
        LINK,
        *({"source": "check", "target": to, key: one} for to, one in zip(("yes", "no"), spelled, strict=True)),
    ]
    found = good(graph(FETCH, CHECK, YES, NO, links=links))
    assert edges(found) == {("fetch", "check"), ("check", "yes", "true"), ("check", "no", "false")}
    assert node(found, "yes").when is None


def test_inputs_may_be_references_and_those_without_braces_are_shown_theirs() -> None:
    threshold = {
        "id": "t",
        "type": "threshold",
        "inputs": {"value": "{{fetch.price}}", "min": 1},
        "retry": 2,
        "timeout": 5,
    }
    found = good(graph(FETCH, {**threshold, "depends_on": ["fetch"]}, links=()))
    assert (node(found, "t").inputs, node(found, "t").params) == ({"value": "{{fetch.price}}"}, {"min": 1})
    assert (node(found, "t").retry, node(found, "t").timeout) == (RetryPolicy(limit=2), "5s")
    bare = {**threshold, "inputs": {"value": "fetch.price"}, "condition": "1 > 0"}
    assert "document.nodes[1].inputs.value: expected a reference in braces: {{fetch.price}}" in told(graph(FETCH, bare))


def test_one_value_and_one_condition() -> None:
    both = {"id": "t", "type": "threshold", "action": "threshold", "params": {"min": 1}, "inputs": {"min": 2}}
    assert "inputs.min: expected one value" in told(graph(FETCH, both))
    assert "expected one condition: there is 'test', too" in told(graph(FETCH, {**CHECK, "params": {"test": "1 > 0"}}))


def test_a_condition_may_stand_in_the_params() -> None:
    found = good(
        graph(FETCH, {"id": "check", "type": "condition", "params": {"test": "fetch.price > 1"}, **BRANCHES}, YES, NO)
    )
    assert node(found, "check").params == {"test": "fetch.price > 1"}


# -- step lists

TICKER = {"id": "fetch", "type": "get_ticker", "params": {"symbol": "BTC/USD"}}
TOGETHER = [{"id": "ta", "type": "technical_analysis", "params": {"symbol": "BTC/USD"}}, "max_trades"]


@pytest.mark.parametrize(
    "group",
    [{"parallel": TOGETHER}, {"type": "parallel", "parallel": TOGETHER}, {"type": "parallel", "steps": TOGETHER},
     {"type": "parallel", "params": {"steps": TOGETHER}}],
)  # fmt: skip
def test_steps_that_run_together(group: dict[str, Any]) -> None:
    group = {"id": "p", **group}
    found = good(steps(TICKER, group, {"id": "tell", "type": "log", "depends_on": ["p"], "params": {"message": "x"}}))
    assert edges(found) == {("fetch", "ta"), ("fetch", "max_trades"), ("ta", "tell"), ("max_trades", "tell")}


def test_a_group_that_is_none_is_shown_one() -> None:
    assert "as steps: [{id: a, type: get_ticker}" in told(steps(TICKER, {"id": "p", "type": "parallel"}))
    assert "expected type: parallel, or none" in told(steps(TICKER, {"id": "p", "type": "log", "parallel": TOGETHER}))


@pytest.mark.parametrize("words", [("if_true", "if_false"), ("then", "else"), ("true_branch", "false_branch")])
@pytest.mark.parametrize("kind", ["conditional", "if"])
def test_branches_of_a_step(kind: str, words: tuple[str, str]) -> None:
    action = {"id": "order", "type": "log", "params": {"message": "x"}}
    branches = {words[0]: action, words[1]: [{"id": "rest", "type": "log", "params": {"message": "y"}}]}
    last = {"id": "last", "type": "log", "params": {"message": "{{order.text}}"}, "depends_on": ["order"]}
    found = good(steps(TICKER, {"id": "q", "type": kind, "condition": "fetch.price > 1", **branches}, last))
    assert edges(found) == {
        ("fetch", "q"), ("q", "q_order", "true"), ("q", "q_rest", "false"), ("q_order", "last"),
    }  # fmt: skip
    assert node(found, "last").params == {"message": "{{q_order.text}}"}, "an action is still found by its own id"


def test_an_if_without_actions_is_a_node() -> None:
    found = good(steps(TICKER, {"id": "q", "type": "if", "params": {"test": "fetch.price > 1"}}))
    assert node(found, "q").params == {"test": "fetch.price > 1"}


@pytest.mark.parametrize(
    ("retry", "policy"),
    [(3, RetryPolicy(limit=3)), (0, None), ({"max_retries": 2, "delay": 1.5}, RetryPolicy(limit=2, delay="1500ms")),
     ({"max_attempts": 3, "backoff": "exponential"}, RetryPolicy(limit=2)), ({"maxAttempts": 1}, None),
     ({"limit": 2, "backoff": "constant", "max_delay": "9s", "jitter": 0.5},
      RetryPolicy(limit=2, backoff="fixed", cap="9s", jitter=0.5))],
)  # fmt: skip
def test_retries(retry: Any, policy: RetryPolicy | None) -> None:
    found = good(steps({**TICKER, "retry": retry}))
    assert node(found, "fetch").retry == policy
    assert any("the first try counts" in note for note in found.notes) == ("ttempts" in str(retry))


@pytest.mark.parametrize(
    ("retry", "words"),
    [("three", "retry: expected how many times"), (True, "{max_retries: 3"), (-1, "{max_retries: 3"), ({}, "no number"),
     ({"limit": 1, "backoff": "linear"}, "exponential, fixed, constant"), ({"limit": 1, "jitter": True}, "0 to 1"),
     ({"limit": 1, "on": "x"}, "retry.on: expected no field of this name"), ({"limit": "x"}, "retry.limit: expected"),
     ({"max_attempts": 0}, "from 1 to 100")],
)  # fmt: skip
def test_retries_that_are_none(retry: Any, words: str) -> None:
    assert words in told(steps({**TICKER, "retry": retry}))


def test_a_breaker_of_a_step() -> None:
    policy = {"failure_threshold": 3, "reset_timeout": 60, "timeout_duration": 5}
    first = node(good(steps({**TICKER, "circuit_breaker": policy})), "fetch")
    assert (first.breaker, first.timeout) == (BreakerPolicy(name="w/fetch", threshold=3, open_for="1m"), "5s")
    assert node(good(steps({**TICKER, "circuit_breaker": "shared"})), "fetch").breaker == "shared"
    guard = {"id": "guard", "type": "circuit_breaker", "params": {"failure_threshold": 2}}
    named = node(good(steps(guard, {**TICKER, "circuit_breaker": "guard"})), "fetch").breaker
    assert named == BreakerPolicy(name="w/guard", threshold=2)
    assert "circuit_breaker.timeout: expected reset_timeout (" in told(
        steps({**TICKER, "circuit_breaker": {"timeout": 60}})
    )
    assert "{failure_threshold: 3" in told(steps({**TICKER, "circuit_breaker": True}))


def test_a_version_informs() -> None:
    assert good(steps(TICKER, version="1.0", id="w1")).document.metadata == {
        "version": "1.0", "id": "w1", "steps": ["fetch"],
    }  # fmt: skip


# -- connections


@pytest.mark.parametrize(
    "link",
    [{"from": "a", "to": "b"}, {"from": 0, "to": 1}, {"source": "a", "target": "b"}, {"source": 0, "target": "b"},
     {"source": 0, "target": 1, "sourcePort": "price", "targetPort": "value"},
     {"from": {"block": "a", "port": "price"}, "to": {"block": "b", "port": "value"}},
     {"from": {"block": 0}, "to": {"node": "b"}}],
)  # fmt: skip
def test_connections(link: dict[str, Any]) -> None:
    found = good(blocks(link, {"from": "b", "to": 2}))
    assert edges(found) == {("a", "b", "price", "value"), ("b", "c", "pass", "data")}
    said = "port" in str(link).lower()
    assert any("a -> b: no ports are said, so 'price' goes to 'value'" in note for note in found.notes) != said


def test_connections_may_be_called_edges_and_nodes_be_blocks() -> None:
    value = blocks()
    links = value.pop("connections")
    links.append({"from": "a", "to": "b"})
    assert edges(good({**value, "edges": links})) == {("a", "b", "price", "value")}
    found = good({"nodes": value["blocks"], "connections": links})
    assert (found.format, edges(found)) == ("strategy_graph", {("a", "b", "price", "value")})


def test_an_id_comes_before_a_place() -> None:
    numbered = [{**one, "id": number} for one, number in ((PRICE, 1), (RANGE, 0))]
    assert edges(good({"blocks": numbered, "connections": [{"from": 1, "to": 0}]})) == {
        ("step_1", "step_0", "price", "value")
    }


def test_ports_of_one_name_meet_and_what_does_not_fit_only_orders() -> None:
    book = {"id": "d", "type": "get_orderbook", "config": {"symbol": "BTC/USD"}}
    found = good({"blocks": [book, {"id": "e", "type": "detect_arbitrage"}], "connections": [{"from": "d", "to": "e"}]})
    assert edges(found) == {("d", "e", "orderbook", "orderbook")}
    stop = {"id": "s", "type": "stop_loss", "config": {"percentage": 1, "entry_price": 90}}
    found = good({"blocks": [PRICE, stop], "connections": [{"from": "a", "to": "s"}]})
    assert edges(found) == {("a", "s", "price", "price")}
    found = good(blocks({"from": "a", "to": "b"}, {"from": "a", "to": "c"}))
    assert ("a", "c") in edges(found)
    assert any("a -> c" in note and "only orders" in note for note in found.notes)


def test_a_branch_must_be_said() -> None:
    ask = {"id": "q", "type": "if", "config": {"condition": "{{b.pass}}"}}
    links: list[dict[str, Any]] = [{"from": "a", "to": "b"}, {"from": "b", "to": "q"}]
    value = {"blocks": [PRICE, RANGE, ask, LOG], "connections": links}
    assert "connections[2].from: expected which is meant, true or false" in told(
        {**value, "connections": [*links, {"from": "q", "to": "c"}]}
    )
    for said in ({"label": "True"}, {"condition": "True"}, {"condition": "only_if_true"}, {"sourcePort": "true"}):
        found = good({**value, "connections": [*links, {"from": "q", "to": "c", **said}]})
        assert ("q", "c", "true") in edges(found)
        assert node(found, "c").when is None


@pytest.mark.parametrize("odd", [True, [1], None, 1.5])
def test_ends_that_are_none_are_shown_one(odd: Any) -> None:
    text = told(blocks({"from": odd, "to": "b"}))
    assert (
        'document.connections[0].from: expected a block by its id or its place, or an object such as {"block"' in text
    )
    assert text.count("\n") == 1, "one thing is wrong, and is told once"


# -- React Flow


def drawn(*nodes: dict[str, Any], **edge: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "edges": [{"id": "e", "source": "1", "target": "2", **edge}], "viewport": {"zoom": 1}}


DATA = {"label": "Price", "type": "venue_price", "params": {"symbol": "BTC/USD"}}
SECOND = {"id": "2", "type": "threshold", "data": {"params": {"min": 100}}, "position": {"x": 1, "y": 0}}


@pytest.mark.parametrize(
    "handles",
    [
        {"sourceHandle": "price", "targetHandle": "value"},
        {"sourceHandle": None},
        {},
        {"sourceHandle": "price"},
        {"targetHandle": "value"},
    ],
)
def test_what_react_flow_itself_has(handles: dict[str, Any]) -> None:
    found = good(drawn({"id": "1", "type": "custom", "data": DATA, "draggable": True}, SECOND, **handles))
    assert found.format == "react"
    first = node(found, "step_1")
    assert (first.type, first.name, first.params) == ("venue_price", "Price", {"symbol": "BTC/USD"})
    assert first.metadata == {"drawn_as": "custom"}
    assert edges(found) == {("step_1", "step_2", "price", "value")}


def test_a_signal_that_goes_to_no_handle_is_not_lost() -> None:
    order = {"id": "3", "type": "buy", "properties": {"symbol": "BTC/USD", "quantity": 1}}
    graph = drawn({"id": "1", "data": DATA}, SECOND, order)
    graph["edges"].append({"source": "2", "target": "3", "sourceHandle": "pass"})
    assert ("step_2", "step_3", "pass", "signal") in edges(good(graph))


def test_a_node_has_one_type_and_each_setting_once() -> None:
    assert "data.type: expected one type: the node's own is 'log'" in told(
        drawn({"id": "1", "type": "log", "data": DATA})
    )
    twice = {"id": "1", "data": DATA, "properties": {"symbol": "ETH/USD"}}
    assert "data.params.symbol: expected one value" in told(drawn(twice, SECOND))


# -- which format it is


def test_a_complaint_names_the_format_and_why_it_is_no_other() -> None:
    wrong = {**CHECK, "true_branch": "gone"}
    with pytest.raises(InvalidDocument) as caught:
        import_document({"name": "w", **graph(FETCH, wrong)}, library=library())
    text = str(caught.value)
    assert "w (read as nodes; " in text
    assert "not react: its nodes have no data or properties, but condition, inputs, true_branch" in text
    assert "not strategy_graph: no connections" in text
    assert [path for path, _, _ in caught.value.problems] == ["document.nodes[1].true_branch"]
    assert told(steps(TICKER, agents=3)).startswith("w (read as steps) has 1 problem:")


def test_n8n_is_not_known_and_is_called_so() -> None:
    cron = {
        "parameters": {"rule": {}},
        "name": "Cron",
        "type": "n8n-nodes-base.cron",
        "typeVersion": 1,
        "position": [0, 0],
    }
    text = told({"nodes": [cron], "connections": {"Cron": {"main": [[{"node": "HTTP", "type": "main", "index": 0}]]}}})
    assert text.count("\n") == 0
    assert "found 'a workflow of n8n'" in text
    assert "steps, blocks" in text
