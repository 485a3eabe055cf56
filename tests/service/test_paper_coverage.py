"""What documents name and the data of a session does not have is said before anything is played."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.papering import BTC, ETH, options
from tickwork.app import open_paper
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.errors import InvalidDocument
from tickwork.graph.sources import Sources
from tickwork.market.triggers import PriceChange
from tickwork.service.document_run import RunRequest, prepare
from tickwork.service.document_store import TAPE, Store

PRICE = "  - {id: price, type: venue_price}\n"


def opened(home: Path, triggers: str = "", nodes: str = PRICE, data: str = "aapl-1d", **more: Any) -> tuple[str, ...]:
    """The warnings of a session of one document; nothing is played."""
    home.mkdir(exist_ok=True)
    source = home / "mine.yaml"
    source.write_text(f"name: mine\ntriggers:\n{triggers or '  []'}\nnodes:\n{nodes}")
    asked = RunRequest(source=str(source), data=(data,), home=home / "home", **more)
    found = prepare(asked, Store(home / TAPE))
    session = open_paper(found.options, found.make, views=found.views)
    try:
        return session.warnings
    finally:
        asyncio.run(session.close())


def refused(home: Path, *args: Any, **more: Any) -> dict[str, tuple[Any, str]]:
    with pytest.raises(InvalidDocument) as caught:
        opened(home, *args, **more)
    assert not (home / "home").exists(), "nothing was touched"
    assert caught.value.path == "mine"
    return {path: (found, expected) for path, found, expected in caught.value.problems}


def trigger(symbol: str, **more: str) -> str:
    fields = "".join(f", {name}: {value}" for name, value in more.items())
    return f"  - {{type: price_change, symbol: {symbol}, threshold: '0.05'{fields}}}\n"


def test_a_symbol_that_no_recording_has(tmp_path: Path) -> None:
    told = refused(tmp_path, trigger("BTC/USD"))
    assert told == {"triggers.price_change.symbol": ("BTC/USD", "a symbol that the data has: AAPL (aapl-1d)")}


@pytest.mark.parametrize(
    ("more", "path", "says"),
    [
        ({"venue": "coinbase"}, "venue", "a venue whose BTC/USD the data has: bitstamp"),
        ({"interval": "5m"}, "interval", "a length of bars that the data has of BTC/USD: 1d at bitstamp"),
    ],
)
def test_a_venue_or_a_length_that_no_recording_has(more: dict[str, str], path: str, says: str, tmp_path: Path) -> None:
    told = refused(tmp_path, trigger("BTC/USD", **more), data="bitstamp-btc-usd-1d")
    assert told == {f"triggers.price_change.{path}": (more[path], says)}


def test_what_something_else_starts_is_only_warned_of(tmp_path: Path) -> None:
    missing = "mine.triggers.price_change.symbol: expected a symbol that the data has: AAPL (aapl-1d); found 'BTC/USD'"
    assert opened(tmp_path, trigger("BTC/USD") + trigger("AAPL")) == (missing,)
    assert opened(tmp_path / "hand", trigger("BTC/USD"), by_hand=True) == (missing,)
    assert opened(tmp_path / "well", trigger("AAPL")) == ()


def test_news_that_nobody_recorded_are_missed(tmp_path: Path) -> None:
    news = "  - {type: news_sentiment, keywords: [apple]}\n"
    told = opened(tmp_path, news)
    assert told == ("mine.triggers.news_sentiment: never fires, for there are no recorded news",)
    assert set(refused(tmp_path / "two", news + trigger("BTC/USD"))) == {"triggers.price_change.symbol"}


def test_what_nodes_ask_for_must_be_there(tmp_path: Path) -> None:
    nodes = (
        "  - {id: a, type: technical_analysis, params: {symbols: [AAPL, BTC/USDT]}}\n"
        "  - {id: b, type: venue_price, params: {symbol: APL}}\n"
        "  - {id: c, type: venue_price, params: {symbol: aapl}}\n"
        "  - {id: d, type: venue_price, params: {symbol: '{{event.symbol}}'}}\n"
    )
    told = refused(tmp_path, trigger("BTC/USD") + trigger("AAPL"), nodes)
    assert told == {
        "nodes.a.params.symbols": ("BTC/USDT", "a symbol that the data has: AAPL (aapl-1d)"),
        "nodes.b.params.symbol": ("APL", "a symbol that the data has: AAPL (aapl-1d)"),
    }


def test_a_node_that_may_fail_is_only_warned_of(tmp_path: Path) -> None:
    nodes = "  - {id: a, type: venue_price, params: {symbol: APL}, onError: continue}\n"
    (told,) = opened(tmp_path, trigger("AAPL"), nodes)
    assert told.startswith("mine.nodes.a.params.symbol: ")


def test_the_nearest_comes_first(tmp_path: Path) -> None:
    def make(sources: Sources) -> list[Workflow]:
        @workflow("waits", on=[PriceChange("ETH/USDC", "0.01"), PriceChange(BTC, "0.01", venue="gamma")])
        async def body(run: Run, moved: Event) -> None: ...

        return [body]

    with pytest.raises(InvalidDocument, match="waits has 2 problems") as caught:
        open_paper(options(tmp_path, 30), make)
    (symbol, venue) = caught.value.problems
    assert symbol[2].startswith(f"a symbol that the data has: {ETH} (")
    assert venue == ("triggers.price_change.venue", "gamma", f"a venue whose {BTC} the data has: alpha, beta")
