"""The node library's trading half: complete, documented, and fit for the documents that were written for others."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tickwork.graph.compiling import compile_document
from tickwork.graph.declare import BRANCH, NodeType
from tickwork.graph.library import library
from tickwork.graph.nodes import flow, messages, news, orders, positions, risk, saga, signals
from tickwork.graph.nodes.views import VIEWS
from tickwork.graph.reading import read_document
from tickwork.graph.sources import ADVICE

MODULES = (news, signals, orders, positions, messages, risk, saga, flow)
OURS = [one for one in library() if one.fn.__module__ in {module.__name__ for module in MODULES}]
TESTS = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))

NAMES = [
    "news_analysis", "classify", "sentiment", "signal_generation", "place_order", "buy", "sell", "cancel_order",
    "cancel", "trade_execution", "trade", "execute_action", "immediate_hedge", "close_position", "notify",
    "alert_user", "send_notification", "send_failure_alert", "queue_for_execution", "emit_event", "log",
    "position_size", "stop_loss", "take_profit", "max_trades", "exposure", "check_limit", "reserve_funds",
    "release_funds", "update_portfolio", "revert_portfolio", "gate", "subprocess", "wait", "wait_for_event",
    "circuit_breaker", "validation", "agent", "neural", "sandbox",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_documents_use_is_there(name: str) -> None:
    assert library().find(name) in OURS


@pytest.mark.parametrize("one", OURS, ids=lambda one: one.name)
def test_every_type_is_documented(one: NodeType) -> None:
    assert one.help.endswith((".", "no."))
    assert one.category
    for ports in (one.inputs, one.outputs):
        for name, port in ports.items():
            assert port.help, f"{one.name}.{name}"
    for name, setting in one.params.items():
        assert setting.help, f"{one.name}.{name}"
    assert one.undo == "" or library().find(one.undo) is not None
    assert all(need.source in ADVICE for need in one.needs)
    assert (BRANCH in one.outputs) == bool(one.branches)
    schema = msgspec.json.decode(msgspec.json.encode(one.schema()))
    assert schema["type"] == one.name
    assert set(schema["params"]["properties"]) >= set(one.params)


@pytest.mark.parametrize("one", OURS, ids=lambda one: one.name)
def test_every_type_is_tested(one: NodeType) -> None:
    assert f"{one.fn.__name__}(" in TESTS or f", {one.fn.__name__}" in TESTS or f"({one.fn.__name__}" in TESTS


def test_defaults_are_what_their_params_take() -> None:
    for one in OURS:
        for name, setting in one.params.items():
            if not setting.required and not setting.expression:
                assert setting.read(setting.default, name) == setting.default


def test_views_have_names_of_their_own() -> None:
    assert len({view.name for view in VIEWS}) == len(VIEWS)


def step(id: str, type: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": type, **more}


def chain(*steps: dict[str, Any]) -> dict[str, Any]:
    edges = [{"from": one["id"], "to": two["id"]} for one, two in pairwise(steps)]
    return {"name": "d", "nodes": list(steps), "edges": edges}


DOCUMENTS = {
    "news trader": chain(
        step("analyze_news", "news_analysis", params={"symbols": ["AAPL", "MSFT"]}),
        step("market_analysis", "technical_analysis", params={"indicators": ["RSI", "MACD"]}),
        step("generate_signals", "signal_generation", params={"threshold": 0.7}),
        step("execute_trades", "trade_execution", params={"risk_limit": 0.02}),
    ),
    "indicators before news": chain(
        step("market_analysis", "technical_analysis"),
        step("analyze_news", "news_analysis"),
        step("generate_signals", "signal_generation"),
        step("execute_trades", "trade"),
    ),
    "event-driven trader": {
        "name": "d",
        "nodes": [
            step("classify", "classify", params={"categories": ["urgent", "normal", "ignore"]}),
            step("hedge", "immediate_hedge", when="category == 'urgent'"),
            step("alert", "alert_user", when="category == 'urgent'"),
            step("analyze", "technical_analysis", when="category == 'normal'"),
            step("queue", "queue_for_execution"),
        ],
        "edges": [
            {"from": "classify", "to": "hedge"},
            {"from": "classify", "to": "alert"},
            {"from": "classify", "to": "analyze"},
            {"from": "analyze", "to": "queue"},
        ],
    },
    "protected trader": chain(
        step(
            "check_circuit", "circuit_breaker",
            params={"failure_threshold": 5, "timeout_duration": 60, "reset_timeout": 300},
        ),
        step("trade", "trade", when="circuit_status == 'closed'"),
    ),
    "saga": chain(
        step("reserve_funds", "reserve_funds", undo="release_funds"),
        step("place_order", "place_order", undo="cancel_order"),
        step("update_portfolio", "update_portfolio", undo="revert_portfolio"),
        step("send_notification", "send_notification", undo="send_failure_alert"),
    ),
    "arbitrage": chain(
        step("fetch_orderbook", "get_orderbook", params={"pair": "BTC/USDT", "provider": "binance"}),
        step("analyze", "detect_arbitrage"),
        step("execute", "place_order", when="opportunity.profit > 0.01"),
    ),
    "composition": chain(
        step("market_scan", "subprocess", params={"workflow_id": "scanner-workflow"}),
        step("execute_best", "subprocess", params={"workflow": "executor-workflow"}),
    ),
    "stop": chain(
        step("price", "venue_price", params={"symbol": "BTC/USDT"}),
        step("stop", "stop_loss", params={"percentage": 5, "symbol": "BTC/USDT"}),
        step("out", "sell", inputs={"signal": "{{stop.trigger}}"}, params={"symbol": "BTC/USDT"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_as_they_were_written_can_be_run(name: str) -> None:
    compile_document(read_document(DOCUMENTS[name]), library=library(), sources=None)
