"""Node graphs, block documents, strategy graphs and React Flow graphs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.importers.kit import edges, read
from tickwork.graph.document import Node
from tickwork.graph.importers import Imported, import_document
from tickwork.graph.importers.triggers import polling_cron
from tickwork.graph.library import library
from tickwork.graph.wiring import check


def node(found: Imported, id_: str) -> Node:
    one = found.document.node(id_)
    assert one is not None, [node.id for node in found.document.nodes]
    return one


# -- node graphs


def nodes(*found: dict[str, Any], links: tuple[tuple[str, str], ...] = ()) -> Imported:
    pairs = [{"from": source, "to": target} for source, target in links]
    return read({"name": "g", "nodes": list(found), "edges": pairs})


FETCH = {"id": "f", "type": "provider", "provider": "binance", "action": "get_orderbook", "params": {"pair": "X"}}


def test_orders_may_stand_under_a_provider() -> None:
    found = nodes(
        FETCH,
        {"id": "o", "type": "provider", "provider": "binance", "action": "place_order", "inputs": ["f"]},
        {"id": "c", "type": "provider", "provider": "binance", "action": "cancel_order", "inputs": ["o"]},
    )
    assert node(found, "o").params == {"provider": "binance"}
    assert edges(found) == {("f", "o"), ("o", "c")}


def test_a_branch_counts_once_however_often_it_is_said() -> None:
    found = nodes(
        FETCH,
        {"id": "q", "type": "condition", "condition": "input.bids > 1", "inputs": ["f"], "true_branch": "t"},
        {"id": "t", "type": "action", "action": "place_order", "inputs": ["q"]},
        links=(("f", "q"), ("q", "t")),
    )
    assert edges(found) == {("f", "q"), ("q", "t", "true")}


def test_where_branches_meet_whichever_was_taken_is_enough() -> None:
    found = nodes(
        FETCH,
        {"id": "q", "type": "condition", "condition": "input.bids > 1", "inputs": ["f"],
         "true_branch": "t", "false_branch": "e"},
        {"id": "t", "type": "action", "action": "place_order"},
        {"id": "e", "type": "action", "action": "notify"},
        {"id": "both", "type": "action", "action": "update_portfolio", "inputs": ["t", "e"]},
        {"id": "after", "type": "action", "action": "send_notification", "inputs": ["both", "f"]},
    )  # fmt: skip
    assert node(found, "both").join == "any"
    assert node(found, "after").join == "all"
    assert any(note.startswith("both:") for note in found.notes)


# -- blocks


def blocks(*found: dict[str, Any], links: Any = (), **more: Any) -> Imported:
    return read({"name": "b", "blocks": list(found), "connections": list(links), **more})


def by_id(source: Any, index: int, target: Any, to: int, **more: Any) -> dict[str, Any]:
    return {"from": {"blockId": source, "index": index}, "to": {"blockId": target, "index": to}, **more}


def by_place(source: int, index: int, target: int, to: int) -> dict[str, Any]:
    return {"from": {"blockIndex": source, "outputIndex": index}, "to": {"blockIndex": target, "inputIndex": to}}


SPREAD = (
    {"id": 1, "name": "Binance", "category": "providers", "type": "binance", "x": 10, "y": 20, "width": 9, "icon": "b",
     "properties": {"symbol": "BTC/USDT", "profile_id": "mine"}, "inputs": [],
     "outputs": [{"name": "price_feed"}, {"name": "balance"}]},
    {"id": "cb", "type": "coinbase", "properties": {"symbol": "BTC/USDT"}},
    {"id": "sub", "type": "math", "properties": {"operation": "subtract"}},
    {"id": "in range", "type": "threshold", "properties": {"min": 0.003, "max": 1, "note": ""}},
    {"id": "order", "type": "buy", "properties": {"amount": 50}},
)  # fmt: skip
LINKS = (
    by_id(1, 0, "sub", 0),
    by_id("cb", 0, "sub", 1),
    by_id("sub", 0, "in range", 0),
    by_id("in range", 0, "order", 0),
)


def test_indexes_become_ports() -> None:
    found = blocks(*SPREAD, links=LINKS)
    assert found.format == "blocks"
    assert edges(found) == {
        ("step_1", "sub", "price_feed", "value1"),
        ("cb", "sub", "price_feed", "value2"),
        ("sub", "in_range", "result", "value"),
        ("in_range", "order", "pass", "signal"),
    }
    first = node(found, "step_1")
    assert (first.type, first.name) == ("provider", "Binance")
    assert first.params == {"symbol": "BTC/USDT", "provider": "binance", "enabled_endpoints": ["price_feed"]}
    assert first.position is not None
    assert (first.position.x, first.position.y) == (10, 20)
    assert first.metadata == {"category": "providers", "icon": "b", "width": 9, "profile_id": "mine"}
    assert any("profile_id" in note for note in found.notes)
    assert node(found, "in_range").inputs == {"min": 0.003, "max": 1}
    assert node(found, "order").inputs == {"amount": 50}


def test_blocks_without_ids_are_counted() -> None:
    bare = [{key: value for key, value in block.items() if key != "id"} for block in SPREAD]
    places = (by_place(0, 0, 2, 0), by_place(1, 0, 2, 1), by_place(2, 0, 3, 0), by_place(3, 0, 4, 0))
    found = blocks(*bare, links=places)
    assert [(one.from_, one.to, one.output, one.input) for one in found.document.edges] == [
        ("binance", "math", "price_feed", "value1"),
        ("coinbase", "math", "price_feed", "value2"),
        ("math", "threshold", "result", "value"),
        ("threshold", "buy", "pass", "signal"),
    ]


def test_the_library_names_ports_that_a_block_calls_something_else() -> None:
    renamed = {"id": "sub", "type": "math", "inputs": [{"name": "A"}, {"name": "B"}], "outputs": [{"name": "Result"}]}
    own = {"id": "t", "type": "threshold", "inputs": [{"name": "Value"}], "outputs": [{"name": "ok"}]}
    found = blocks(
        {"id": "p", "type": "kraken", "outputs": [{"name": "orderbook"}, {"name": "priceFeed"}]}, renamed, own,
        links=(by_id("p", 1, "sub", 1), by_id("sub", 0, "t", 0)),
    )  # fmt: skip
    assert edges(found) == {("p", "sub", "price_feed", "value2"), ("sub", "t", "result", "value")}


def test_an_if_takes_one_branch_and_a_branch_is_a_signal() -> None:
    found = blocks(
        {"id": "p", "type": "kraken"},
        {"id": "t", "type": "threshold", "properties": {"min": 1}},
        {"id": "q", "type": "if"},
        {"id": "b", "type": "buy"},
        {"id": "s", "type": "sell"},
        links=(by_id("p", 0, "t", 0), by_id("t", 0, "q", 0), by_id("q", 0, "b", 0), by_id("q", 1, "s", 0)),
    )
    assert node(found, "q").params == {"test": "{{t.pass}}"}
    assert edges(found) == {("p", "t", "price_feed", "value"), ("t", "q"), ("q", "b", "true"), ("q", "s", "false")}
    assert node(found, "b").inputs == {"signal": True}


def test_percents_become_fractions_where_the_library_has_those() -> None:
    found = blocks(
        {"id": "p", "type": "kraken"},
        {"id": "sl", "type": "stop_loss", "properties": {"percentage": 1}},
        {"id": "tp", "type": "take_profit", "properties": {"percentage": 15}},
        links=(by_id("p", 0, "sl", 0), by_id("p", 0, "tp", 0)),
    )
    assert node(found, "sl").params == {"percentage": 0.01}
    assert node(found, "tp").params == {"percentage": 15}
    assert [note for note in found.notes if "fraction" in note]


def test_blocks_that_start_runs_give_triggers() -> None:
    found = blocks(
        {"id": "a", "type": "time_trigger", "properties": {"schedule": "9:30,15:45"}},
        {"id": "b", "type": "time_trigger", "properties": {"schedule": "0 9 * * 1-5", "timezone": "Europe/Berlin"}},
        {"id": "c", "type": "webhook", "properties": {"url": "https://example.org/hooks/news-feed"}},
        {"id": "d", "type": "event_listener", "properties": {"event_type": "market/liquidation"}},
        {"id": "e", "type": "manual_trigger", "properties": {}},
        {"id": "f", "type": "manual_trigger", "properties": {}},
    )
    assert [spec.model_dump() for spec in found.document.triggers] == [
        {"type": "schedule", "cron": "30 9 * * *"},
        {"type": "schedule", "cron": "45 15 * * *"},
        {"type": "schedule", "cron": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
        {"type": "webhook", "name": "news_feed", "secret_env": "NEWS_FEED_SECRET"},
        {"type": "event", "event_type": "market/liquidation"},
        {"type": "manual"},
    ]
    assert any("UTC" in note for note in found.notes)


def test_polling_and_only_if_true() -> None:
    found = blocks(
        {"id": "rate", "type": "kraken"},
        {"id": "profit", "type": "gpu_profitability"},
        {"id": "list", "type": "gpu_list_action"},
        links=(
            by_id("rate", 0, "profit", 0),
            by_id("profit", 0, "list", 0, label="if it pays", condition="only_if_true"),
        ),
        config={"execution_mode": "polling", "poll_interval_seconds": 300, "dry_run": True, "risk_limits": {"a": 1}},
        metadata={"author": "x"},
    )
    assert [spec.model_dump() for spec in found.document.triggers] == [{"type": "schedule", "cron": "*/5 * * * *"}]
    assert node(found, "list").when == "{{profit.profitable}}"
    assert found.document.edges[1].label == "if it pays"
    assert found.document.metadata["config"]["dry_run"] is True
    assert [note.partition(":")[0] for note in found.notes] == [
        "document.config.dry_run",
        "document.config.risk_limits",
    ]


@pytest.mark.parametrize(
    ("seconds", "cron"),
    [(1, "*/1 * * * * *"), (15, "*/15 * * * * *"), (60, "*/1 * * * *"), (300, "*/5 * * * *"), (7200, "0 */2 * * *"),
     (86400, "0 0 * * *"), (7, ""), (90, ""), (0, ""), (-5, ""), (0.5, ""), (5 * 3600, ""), (float("nan"), "")],
)  # fmt: skip
def test_only_rhythms_of_the_clock_are_polled(seconds: float, cron: str) -> None:
    assert polling_cron(seconds) == cron


# -- strategy graphs


@pytest.mark.parametrize("shape", [list, dict])
def test_a_strategy_graph(shape: type) -> None:
    inside: Any = [
        {"id": "p", "type": "venue_price", "category": "source", "config": {"symbol": "BTC/USDT"}, "status": "pending"},
        {"id": "ask", "node_type": "human", "category": "gate", "name": "May I?"},
        {"id": "x", "type": "execute_action", "category": "executor"},
    ]
    if shape is dict:
        inside = {one.pop("id"): one for one in inside}
    links = [
        {"from": {"node_id": "p", "output_index": 0}, "to": {"node_id": "ask", "input_index": 0}},
        {"from": {"node_id": "ask", "output_index": 0}, "to": {"node_id": "x", "input_index": 0}},
    ]
    found = read({"name": "s", "nodes": inside, "connections": links})
    assert found.format == "strategy_graph"
    assert node(found, "ask").type == "approval"
    assert any("a person is asked" in note for note in found.notes)
    assert edges(found) == {("p", "ask", "price"), ("ask", "x", "approved")}
    assert node(found, "p").metadata == {"status": "pending", "category": "source"}


# -- React Flow


def test_a_react_graph() -> None:
    found = read(
        {
            "name": "r",
            "nodes": [
                {"id": "1", "type": "binance", "category": "providers", "properties": {"symbol": "BTC/USDT"},
                 "position": {"x": 1.5, "y": 2}, "status": "idle"},
                {"id": "2", "type": "threshold", "properties": {"min": 1}, "position": {"x": 1, "y": 2}},
                {"id": "3", "type": "if", "properties": {"condition": "{{2.pass}}"}, "position": {"x": 1, "y": 2}},
                {"id": "4", "type": "sell", "data": {"label": "Sell"}, "position": {"x": 1, "y": 2}},
            ],
            "edges": [
                {"id": "a", "source": "1", "target": "2", "sourceHandle": "price_feed", "targetHandle": "value"},
                {"id": "b", "source": "2", "target": "3", "type": "smoothstep", "animated": True},
                {"id": "c", "source": "3", "target": "4", "sourceHandle": "false", "targetHandle": "signal",
                 "label": "no", "condition": "event.armed"},
            ],
            "config": {"executionMode": "polling", "pollIntervalSeconds": 60, "dryRun": True, "riskLimits": {}},
        }
    )  # fmt: skip
    assert found.format == "react"
    assert edges(found) == {
        ("step_1", "step_2", "price_feed", "value"),
        ("step_2", "step_3", "pass"),
        ("step_3", "step_4", "false"),
    }
    assert node(found, "step_3").params == {"test": "{{step_2.pass}}"}
    assert (node(found, "step_4").name, node(found, "step_4").when) == ("Sell", "event.armed")
    assert found.document.triggers[0].fields == {"cron": "*/1 * * * *"}


def test_what_reads_a_providers_price_is_about_its_symbol_at_its_venue() -> None:
    block = {
        "name": "breakout",
        "blocks": [
            {"id": "p", "type": "binance", "category": "providers", "properties": {"symbol": "BTC/USDT"}},
            {"id": "c", "type": "price_cross", "category": "triggers", "properties": {"threshold": 60000}},
            {"id": "b", "type": "buy", "category": "actions", "properties": {"amount": 1, "symbol": "ETH/USDT"}},
        ],
        "connections": [
            {"from": {"blockId": "p", "index": 0}, "to": {"blockId": "c", "index": 0}},
            {"from": {"blockId": "c", "index": 0}, "to": {"blockId": "b", "index": 0}},
        ],
    }
    found = import_document(block, library=library())
    cross = node(found, "c").params
    assert (cross["symbol"], cross["provider"]) == ("{{p.symbol}}", "{{p.venue}}")
    assert node(found, "b").params["symbol"] == "ETH/USDT", "what a block says itself counts"
    assert not [str(one) for one in check(found.document, library(), None)]
