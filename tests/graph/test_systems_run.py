"""The systems' own documents, as they are written, on a paper desk: imported, compiled, run, traded."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.graph.importers.kit import DATA
from tickwork.app import open_paper
from tickwork.engines.embedded.queries import RunDetail
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.service.document_run import RunRequest, prepare
from tickwork.service.document_store import TAPE, Store
from tickwork.service.orders import OrderLine, orders
from tickwork.service.paper import BY_HAND
from tickwork.service.runs import RunLine, run_lines

AAPL = ("aapl-1h",)


def ran(tmp_path: Path, name: str, **request: Any) -> tuple[RunDetail | None, list[RunLine], list[OrderLine]]:
    """The run by hand, if there was one; all runs; all orders."""

    async def play() -> tuple[RunDetail | None, list[RunLine], list[OrderLine]]:
        asked = RunRequest(source=str(DATA / f"{name}.json"), home=tmp_path / "home", **request)
        found = prepare(asked, Store(tmp_path / TAPE))
        session = open_paper(found.options, found.make, views=found.views)
        try:
            await session.run()
            queries = session.engine.queries
            hand = queries.show(BY_HAND) if found.options.by_hand is not None else None
            return hand, run_lines(queries, limit=10_000), orders(queries, limit=10_000)
        finally:
            await session.close()

    return asyncio.run(play())


def news(tmp_path: Path, *items: NewsItem) -> Path:
    path = tmp_path / "news.jsonl"
    path.write_text("".join(item.to_wire().decode() + "\n" for item in items))
    return path


def said(about: str, mood: float, at: datetime, **more: Any) -> NewsItem:
    return NewsItem(
        id=f"{about}-{at}", source="wire", title=about, symbols=("AAPL",), sentiment=mood, known_at=at, **more
    )


@pytest.mark.parametrize(("mood", "side"), [(0.9, ["buy"]), (-0.9, [])])
def test_the_news_trader_trades_by_news_and_indicators(tmp_path: Path, mood: float, side: list[str]) -> None:
    at = Recording.open("aapl-1h")[300].end
    wire = news(tmp_path, said("earnings", mood, at - timedelta(hours=1)))
    hand, _, placed = ran(
        tmp_path, "alpaca-trading-workflow", data=AAPL, news=wire, at=at, until=at + timedelta(days=3),
        by_hand=True, input={"symbols": ["AAPL"], "test_mode": True},
    )  # fmt: skip
    assert hand is not None
    assert hand.error is None
    assert set(hand.result["nodes"].values()) == {"completed"}
    assert [one.side for one in placed if one.run == BY_HAND] in ([], side), "never against the news"


def test_the_event_driven_trader_hears_everything(tmp_path: Path) -> None:
    at = Recording.open("aapl-1h")[150].end
    wire = news(
        tmp_path, said("FDA approval", 0.9, at, priority="high"), said("earnings", 0.8, at + timedelta(hours=1))
    )
    _, runs, _ = ran(tmp_path, "event-driven-trader", data=AAPL, news=wire, until=at + timedelta(days=30))
    died = [run.error or "" for run in runs if run.status in ("dead", "failed")]
    assert all("expected at least 34 for RSI, MACD" in error for error in died), (
        "at the beginning there are too few bars"
    )
    runs = [run for run in runs if run.status == "done"]
    ways = {
        node
        for run in runs
        for node in ("urgent_handler_alert_user", "normal_handler_queue_for_execution")
        if run.result["nodes"][node] == "completed"
    }
    assert ways == {"urgent_handler_alert_user", "normal_handler_queue_for_execution"}
    for run in runs:
        nodes = run.result["nodes"]
        assert nodes["urgent_handler"] == nodes["normal_handler"] == "completed"
        assert "skipped" in (nodes["urgent_handler_alert_user"], nodes["normal_handler_analyze"]), "one at most"


def test_the_protected_trader_trades_while_its_circuit_is_closed(tmp_path: Path) -> None:
    hand, _, placed = ran(tmp_path, "protected-trader", data=AAPL, input={"symbol": "AAPL", "signal": "BUY"})
    assert hand is not None
    assert hand.result["nodes"]["execute_if_open_trade"] == "completed"
    assert [(one.symbol, one.side) for one in placed] == [("AAPL", "buy")]


def test_the_saga_takes_back_what_it_did(tmp_path: Path) -> None:
    ordered = {"symbol": "AAPL", "side": "buy", "amount": "1000", "notional": "1000"}
    hand, _, placed = ran(tmp_path, "trading-saga", data=AAPL, input=ordered)
    assert hand is not None
    assert set(hand.result["nodes"].values()) == {"completed"}
    assert [one.side for one in placed] == ["buy"]
    value = json.loads((DATA / "trading-saga.json").read_text())
    value["steps"].append({"name": "never", "type": "validation", "params": {"test": "1 > 2"}})
    path = tmp_path / "failing.json"
    path.write_text(json.dumps(value))
    hand, _, placed = ran(tmp_path, str(path.with_suffix("")), data=AAPL, input=ordered, fresh=True)
    assert hand is not None
    assert hand.info.status == "dead"
    undone = [one["name"] for one in hand.records if one.get("name", "").endswith(" done")]
    assert undone == [f"undo {step['name']} done" for step in reversed(value["steps"][:-1])]
    assert placed, "an order was made"
    assert sum(Decimal(one.filled) * (1 if one.side == "buy" else -1) for one in placed) == 0, (
        "and nothing is left of it"
    )


def test_the_master_trader_calls_the_others(tmp_path: Path) -> None:
    beside = []
    for name in ("scanner-workflow", "analyzer-workflow", "executor-workflow"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(f"name: {name}\nnodes:\n  - {{id: price, type: venue_price, params: {{symbol: AAPL}}}}\n")
        beside.append(str(path))
    hand, runs, _ = ran(tmp_path, "master-trader", data=AAPL, beside=tuple(beside))
    assert hand is not None
    assert set(hand.result["nodes"].values()) == {"completed"}
    assert sorted(run.workflow for run in runs if run.parent == BY_HAND) == [
        "doc/analyzer-workflow", "doc/executor-workflow", "doc/scanner-workflow"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["arbitrage-graph", "branching-graph"])
def test_the_node_graphs_ask_a_book_and_keep_still(tmp_path: Path, name: str) -> None:
    """One venue's book is no arbitrage: bids are below asks, and the condition says so."""
    hand, _, placed = ran(tmp_path, name, simulated=7)
    assert hand is not None
    assert hand.error is None
    last = "execute" if name == "arbitrage-graph" else "execute_trade"
    assert hand.result["nodes"][last] == "skipped"
    assert not placed
