"""The systems' own documents, as they wrote them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.graph.importers.kit import DATA, data, edges, read
from tickwork.graph.importers import import_document
from tickwork.graph.library import library
from tickwork.graph.problems import Problems
from tickwork.graph.reading import read_document
from tickwork.graph.triggers import triggers_of
from tickwork.graph.wiring import check

NAMES = sorted(path.stem for path in DATA.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_each_fits_the_installed_library(name: str) -> None:
    found = import_document(data(name), name=name, library=library())
    assert [problem for problem in check(found.document, library(), None) if problem.severity == "error"] == []


@pytest.mark.parametrize("name", NAMES)
def test_each_is_the_same_when_its_canonical_form_is_read_again(name: str) -> None:
    found = read(data(name), name=name)
    again = read(found.document.plain())
    assert again.document == found.document
    assert again.format == "canonical"


def test_linear_steps_become_a_chain_with_their_own_names() -> None:
    found = read(data("alpaca-trading-workflow"))
    assert found.format == "steps"
    assert [node.type for node in found.document.nodes] == [
        "news_analysis",
        "technical_analysis",
        "signal_generation",
        "trade_execution",
    ]
    assert edges(found) == {
        ("analyze_news", "market_analysis"),
        ("market_analysis", "generate_signals"),
        ("generate_signals", "execute_trades"),
    }
    steps: Any = found.document.metadata["steps"]
    assert steps[2] == "generate_signals"
    assert found.document.node("generate_signals").params == {"threshold": 0.7}  # type: ignore[union-attr]
    assert found.notes == []


def test_conditionals_choose_actions_and_what_follows_runs_either_way() -> None:
    found = read(data("event-driven-trader"))
    assert edges(found) == {
        ("event_classifier", "urgent_handler"),
        ("urgent_handler", "urgent_handler_immediate_hedge", "true"),
        ("urgent_handler_immediate_hedge", "urgent_handler_alert_user"),
        ("urgent_handler", "normal_handler"),
        ("urgent_handler_alert_user", "normal_handler", "after"),
        ("normal_handler", "normal_handler_analyze", "true"),
        ("normal_handler_analyze", "normal_handler_queue_for_execution"),
    }
    node = found.document.node("normal_handler_analyze")
    assert node is not None
    assert node.type == "technical_analysis"
    test = found.document.node("urgent_handler")
    assert test is not None
    assert (test.type, test.params) == ("if", {"test": "category == 'urgent'"})


def test_its_seven_triggers_are_ones_we_have() -> None:
    document = read(data("event-driven-trader")).document
    problems = Problems()
    kinds = [trigger.kind for spec in document.triggers for trigger in triggers_of(spec, problems, "triggers")]
    assert problems.found == []
    assert len(kinds) == 7


def test_what_asks_a_breaker_reports_to_it() -> None:
    found = read(data("protected-trader"))
    trade = found.document.node("execute_if_open_trade")
    assert trade is not None
    assert trade.type == "trade_execution"
    assert trade.timeout == "1m"
    assert trade.breaker is not None
    assert not isinstance(trade.breaker, str)
    assert (trade.breaker.name, trade.breaker.threshold, trade.breaker.open_for) == (
        "protected-trader/check_circuit",
        5,
        "5m",
    )
    told = found.document.node("check_circuit")
    assert told is not None
    assert told.params["name"] == trade.breaker.name  # it tells of the breaker that hears of the trades
    asking = found.document.node("execute_if_open")
    assert asking is not None
    assert asking.breaker is None  # an open breaker must not stop the question whether it is open
    assert any("reports to the breaker" in note for note in found.notes)


def test_a_saga_undoes() -> None:
    document = read(data("trading-saga")).document
    assert [(node.type, node.undo) for node in document.nodes] == [
        ("reserve_funds", "release_funds"),
        ("place_order", "cancel_order"),
        ("update_portfolio", "revert_portfolio"),
        ("send_notification", "send_failure_alert"),
    ]


def test_subprocesses_keep_the_workflow_they_call() -> None:
    document = read(data("master-trader")).document
    assert [node.params["workflow_id"] for node in document.nodes] == [
        "scanner-workflow",
        "analyzer-workflow",
        "executor-workflow",
    ]


def test_a_node_graph() -> None:
    found = read(data("arbitrage-graph"), name="arbitrage")
    assert found.format == "nodes"
    assert [(node.id, node.type, node.when) for node in found.document.nodes] == [
        ("fetch_orderbook", "get_orderbook", None),
        ("analyze", "detect_arbitrage", None),
        ("execute", "place_order", "opportunity.profit > 0.01"),
    ]
    assert found.document.nodes[0].params == {"provider": "binance", "pair": "BTCUSDT"}
    assert edges(found) == {("fetch_orderbook", "analyze"), ("analyze", "execute")}


def test_a_node_graph_that_branches() -> None:
    found = read(data("branching-graph"))
    assert edges(found) == {
        ("node_1", "node_2"),
        ("node_2", "node_4"),
        ("node_4", "execute_trade", "true"),
        ("node_4", "log_and_skip", "false"),
    }
    assert read_document(found.document.plain()) == found.document
