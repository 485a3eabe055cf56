"""What documents see of an account at several venues and in several currencies, and of news that nobody records."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.graph.playing import START, equity, on_simulated, play
from tests.graph.support import context
from tickwork.errors import InvalidInput
from tickwork.graph import templates
from tickwork.graph.library import library
from tickwork.graph.sources import Position, Sources
from tickwork.graph.wiring import check
from tickwork.sim.market import simulated


def test_an_account_in_several_currencies_is_worth_what_its_balances_are() -> None:
    market = templates.about("triangular_arbitrage").simulated
    assert market is not None
    made = simulated(4, market.venues, market.symbols, START, 120, prices=market.prices)
    closes = {recording.header.symbol: recording[-1].close for recording in made.recordings}
    firsts = {recording.header.symbol: recording[0].open for recording in made.recordings}
    played = on_simulated("triangular_arbitrage", 4, bars=120)
    assert len(played.fills) > 10
    rates = {"USD": Decimal(1), "EUR": closes["EUR/USD"]}
    share = Decimal(100_000) * market.stock / 2
    worth = 100_000 - 2 * share
    for symbol in ("BTC/USD", "EUR/USD"):
        worth += share / firsts[symbol] * closes[symbol]
    for fill in played.fills:
        signed = fill.quantity if fill.side == "buy" else -fill.quantity
        rate = rates[fill.symbol.partition("/")[2]]
        worth += (signed * (closes[fill.symbol] - fill.price) - fill.fee) * rate
    assert equity(played) == pytest.approx(worth, abs=Decimal("0.01"))


def test_a_pair_that_two_others_imply_has_their_price() -> None:
    venues, symbols = ["kraken"], ["BTC/USD", "EUR/USD", "BTC/EUR", "ETH/EUR"]
    made = simulated(4, venues, symbols, START, 50, prices={"EUR": "1.1"}, dislocations=0)
    bars = {recording.header.symbol: list(recording.bars(0, 50)) for recording in made.recordings}
    for coin, rate, both in zip(bars["BTC/USD"], bars["EUR/USD"], bars["BTC/EUR"], strict=True):
        assert both.close == pytest.approx(coin.close / rate.close, rel=Decimal("0.005"))
    # nothing implies this one, and adding a pair changes no other
    assert bars["ETH/EUR"][0].open == pytest.approx(Decimal(3_000), rel=Decimal("0.01"))
    alone = simulated(4, venues, ["BTC/USD"], START, 50, dislocations=0).recordings[0]
    assert list(alone.bars(0, 50)) == bars["BTC/USD"]


def test_a_pair_in_another_currency_needs_the_rate_of_it() -> None:
    made = simulated(1, ["kraken"], ["BTC/USD", "BTC/EUR"], START, 10)
    with pytest.raises(InvalidInput, match="EUR/USD at kraken as well"):
        play([templates.read("triangular_arbitrage")], data=made.recordings, terms=made.terms)


class _Account:
    """One coin, at two venues."""

    def equity(self) -> Decimal:
        return Decimal(1_000)

    def positions(self) -> list[Position]:
        return [
            Position("BTC/USDT:USDT", Decimal(2), Decimal(90), Decimal(100), "bybit"),
            Position("BTC/USDT:USDT", Decimal(-3), Decimal(90), Decimal(110), "binance"),
        ]


def test_exposure_counts_a_symbol_at_every_venue() -> None:
    found = library().get("exposure").fn(trader=_Account(), context=context())
    assert (found.gross, found.net, found.exposure) == (Decimal(530), Decimal(-130), Decimal("0.53"))
    assert found.shares == {"BTC/USDT:USDT": Decimal("-0.13")}


def test_without_a_source_of_news_only_silence_is_neutral() -> None:
    document = templates.read("news_driven")
    nodes = [
        node.model_copy(update={"params": {**node.params, "on_silence": "fail"}}) if node.id == "lately" else node
        for node in document.nodes
    ]
    assert not [one for one in check(document, library(), Sources()) if "news" in str(one.expected)]
    strict = document.model_copy(update={"nodes": tuple(nodes)})
    complaints = check(strict, library(), Sources({"providers": object(), "trader": object()}))
    assert [one for one in complaints if one.path == "nodes.lately.params" and "news to be configured" in one.expected]
