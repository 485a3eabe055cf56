"""The nodes in documents that run on an engine: what they give goes over the tape, and finds its way by name."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from keyword import iskeyword
from typing import Any

import pytest

from tests.graph.nodes.tested import TESTED
from tests.graph.support import RecordedProvider, RecordedProviders
from tickwork import Engine
from tickwork.graph.compiling import compile_document
from tickwork.graph.declare import DECLARED
from tickwork.graph.document import Document
from tickwork.graph.library import Library
from tickwork.graph.reading import read_document, read_text
from tickwork.graph.running.states import Outcome
from tickwork.graph.sources import Position, Sources

LIBRARY = Library(DECLARED[name] for name in TESTED)


def market(day: int = 1000) -> RecordedProviders:
    """Two venues on one recorded day."""
    bitstamp = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")
    coinbase = RecordedProvider("coinbase", "coinbase-btc-usd-1d", at=day)
    bitstamp.meet(coinbase, "BTC/USD")
    bitstamp.long = [Position("BTC/USD", Decimal("0.5"), Decimal(4000), Decimal(4100))]
    bitstamp.contracts, bitstamp.settled = {"BTC/USD": Decimal("0.0001")}, {"BTC/USD": 1_600_000_000_000_000_000}
    return RecordedProviders(bitstamp, coinbase)


def ran(text: str | Document, providers: RecordedProviders, input: Any = None) -> Outcome:
    document = read_document(read_text(text)) if isinstance(text, str) else text
    workflow = compile_document(document, library=LIBRARY, sources=Sources({"providers": providers}))

    async def run() -> Outcome:
        async with Engine("memory:", workflows=[workflow], seed=1) as engine:
            found: Outcome = await (await engine.start(workflow, input)).result()
        return found

    return asyncio.run(run())


ARBITRAGE = """
name: two-venues
nodes:
  - {id: fetch_bitstamp, type: get_orderbook, params: {provider: bitstamp, pair: BTCUSD, depth: 100}}
  - {id: fetch_coinbase, type: get_orderbook, params: {provider: coinbase, pair: BTCUSD, depth: 100}}
  - {id: analyze, type: detect_arbitrage, params: {min_spread: 0.001, fee_rate: 0}}
  - {id: wide, type: if, params: {test: input.spread > 0.002}}
  - {id: trade, type: formula, params: {formula: analyze.opportunity.gain * 1}, when: opportunity.profit > 0.002}
  - {id: skip, type: formula, params: {formula: "0"}}
edges:
  - {from: fetch_bitstamp, to: analyze}
  - {from: fetch_coinbase, to: analyze}
  - {from: analyze, to: wide}
  - {from: wide, output: "true", to: trade}
  - {from: wide, output: "false", to: skip}
"""


def test_the_market_decides_which_way_an_arbitrage_goes() -> None:
    ways = set()
    for day in range(600, 1000, 20):
        found = ran(ARBITRAGE, market(day))
        assert found.nodes["trade"] != found.nodes["skip"]
        done = "trade" if found.nodes["trade"] == "completed" else "skip"
        assert (Decimal(found.outputs[done]["result"]) > 0) is (done == "trade")
        ways.add(done)
    assert ways == {"trade", "skip"}


UNNAMED = """
name: unnamed
nodes:
  - {id: price, type: venue_price, params: {symbol: BTC/USD}}
  - {id: dear, type: compare, params: {operator: ">"}, inputs: {value1: "{{price.price}}", value2: 2000}}
  - {id: which, type: if}
  - {id: sell, type: manual_trigger}
  - {id: wait, type: switch, params: {cases: ["true"]}}
edges:
  - {from: dear, to: which}
  - {from: which, output: "true", to: sell}
  - {from: dear, to: wait}
"""


@pytest.mark.parametrize(("day", "sell", "branch"), [(700, "skipped", "default"), (1000, "completed", "true")])
def test_an_edge_without_a_name_brings_a_branch_what_it_decides_by(day: int, sell: str, branch: str) -> None:
    found = ran(UNNAMED, market(day))
    assert found.nodes["sell"] == sell
    assert found.outputs["wait"] == {"branch": branch}


EVERYTHING: dict[str, dict[str, Any]] = {
    "provider": {"enabled_endpoints": ["price_feed", "orderbook", "balance", "positions"]},
    "get_orderbook": {}, "get_ticker": {}, "venue_price": {}, "get_bars": {"count": 30},
    "get_balance": {"asset": "USD"},
    "get_markets": {}, "venue_position": {}, "get_funding_rate": {}, "get_expiry": {}, "detect_arbitrage": {},
    "calculate_spread": {}, "calculate_profit": {}, "create_opportunity": {"symbol": "BTC/USD"},
    "check_threshold": {"threshold": 1}, "technical_analysis": {"indicators": ["rsi", "MACD", "BBANDS", "ATR", "EMA"]},
    "rsi_signal": {}, "price_change": {}, "volatility": {}, "z_score": {"providers": ["bitstamp", "coinbase"]},
    "and": {}, "or": {}, "not": {}, "compare": {"operator": ">"}, "threshold": {"min": 0}, "if": {},
    "switch": {"cases": ["true"]},
    "filter": {"field": "symbol", "value": "BTC/USD"}, "math": {"operation": "mean_std"},
    "formula": {"formula": "venue_price.price * 2"}, "price_cross": {"threshold": 4000}, "volume_spike": {},
    "time_trigger": {"schedule": "9:30"}, "webhook": {}, "event_listener": {}, "manual_trigger": {},
}  # fmt: skip
"""Params of one node of each type."""

FED: dict[str, dict[str, Any]] = {
    "detect_arbitrage": {"orderbook": ["{{get_orderbook.orderbook}}"]},
    "calculate_spread": {"orderbook": ["{{get_orderbook.orderbook}}"]},
    "calculate_profit": {"buy_price": "{{get_ticker.ask}}", "sell_price": "{{get_ticker.bid}}", "amount": 2},
    "create_opportunity": {"buy_price": "{{get_ticker.ask}}", "sell_price": "{{get_ticker.bid}}"},
    "check_threshold": {"value": "{{get_ticker.ask}}"}, "threshold": {"value": "{{calculate_profit.profit}}"},
    "compare": {"value1": "{{get_ticker.ask}}", "value2": "{{get_ticker.bid}}"},
    "math": {"value1": "{{get_ticker.ask}}", "value2": 1}, "filter": {"items": "{{get_markets.markets}}"},
    "rsi_signal": {"bars": "{{get_bars.bars}}"}, "volatility": {"bars": None},
    "price_change": {"bars": "{{get_bars.bars}}"}, "volume_spike": {"bars": "{{get_bars.bars}}"},
    "and": {"input1": "{{compare.result}}", "input2": "{{rsi_signal.signal}}"}, "or": {"input1": "{{compare.result}}"},
    "not": {"input1": "{{compare.result}}"}, "if": {"condition": "{{compare.result}}"},
    "switch": {"value": "{{compare.result}}"},
}  # fmt: skip
"""What their inputs are."""


def everything() -> Document:
    nodes = [
        {"id": f"{name}_" if iskeyword(name) else name, "type": name, "params": params, "inputs": FED.get(name, {})}
        for name, params in EVERYTHING.items()
    ]
    edges = [{"from": "venue_price", "to": "formula"}]
    return Document.model_validate({"name": "everything", "nodes": nodes, "edges": edges})


def test_one_node_of_each_type_runs_and_what_it_gives_goes_over_the_tape() -> None:
    assert set(EVERYTHING) == set(TESTED)
    early, late = (ran(everything(), market(day), {"symbol": "BTC/USD"}) for day in (700, 1000))
    assert set(early.nodes.values()) == {"completed"}
    assert early.outputs["not_"] == {"output": False}
    assert early.outputs["switch"] == {"branch": "true"}
    assert early.outputs["threshold"] == {"pass": False}, "to buy at the ask and sell at the bid is a loss"
    differing = {name for name, found in early.outputs.items() if found != late.outputs[name]}
    assert differing >= {"detect_arbitrage", "calculate_spread", "technical_analysis", "price_change", "volatility",
                         "z_score", "volume_spike", "price_cross", "math", "formula"}  # fmt: skip


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"provider": "binance", "pair": "BTCUSDT"}, "configured: bitstamp, coinbase"),
        ({"provider": "bitstamp", "pair": "BTCUSD", "symbol": "BTC/USD"}, "both mean one thing"),
        ({"provider": "bitstamp", "depth": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_wrong_with_a_provider_node_is_told_before_it_runs(params: dict[str, Any], complaint: str) -> None:
    node = {"id": "fetch", "type": "get_orderbook", "params": params}
    document = Document.model_validate({"name": "wrong", "nodes": [node]})
    with pytest.raises(Exception, match=complaint):
        ran(document, market())
