"""Nodes that read venues, over recorded bars."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.graph.support import CENT, RecordedProvider, RecordedProviders, book, context, done
from tickwork.errors import InvalidInput
from tickwork.graph.declare import DECLARED
from tickwork.graph.nodes.prices import listed, longer
from tickwork.graph.nodes.providers import (
    get_balance,
    get_bars,
    get_expiry,
    get_funding_rate,
    get_markets,
    get_orderbook,
    get_ticker,
    provider,
    venue_position,
    venue_price,
)
from tickwork.graph.sources import Position, Sources
from tickwork.market.recording import Recording

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def bitstamp() -> RecordedProvider:
    return RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", "bitstamp-eth-usd-1d")


@pytest.fixture
def coinbase() -> RecordedProvider:
    return RecordedProvider("coinbase", "coinbase-btc-usd-1h", at=1000)


@pytest.fixture
def providers(bitstamp: RecordedProvider, coinbase: RecordedProvider) -> RecordedProviders:
    return RecordedProviders(bitstamp, coinbase)


def test_the_price_is_that_of_the_recorded_bar_and_moves_with_it(
    providers: RecordedProviders, bitstamp: RecordedProvider
) -> None:
    recorded = Recording.open("bitstamp-btc-usd-1d")
    for at in (200, 700):
        bitstamp.at = at
        here = context(bitstamp.now)
        found = done(venue_price(symbol="BTC/USD", providers=providers, context=here))
        assert (found.price, found.time) == (recorded[at].close, recorded[at].end_ns)
        assert done(provider(symbol="BTC/USD", providers=providers, context=here)).price_feed == recorded[at].close
        ticker = done(get_ticker(symbol="BTC/USD", providers=providers, context=here))
        assert (ticker.bid, ticker.ask) == (recorded[at].close - CENT, recorded[at].close + CENT)
        assert ticker.spread == round(2 * CENT / recorded[at].close, 16)
        read = done(get_orderbook(symbol="BTC/USD", providers=providers, context=here)).orderbook
        assert (read.recording, read.offset, read.bids[0].price) == ("bitstamp-btc-usd-1d", at, ticker.bid)


def test_the_account_s_own_provider_is_meant_where_none_is_named(providers: RecordedProviders) -> None:
    here = context()
    assert done(venue_price(symbol="BTC/USD", providers=providers, context=here)).venue == "bitstamp"
    named = done(venue_price(provider="coinbase", symbol="BTC/USD", providers=providers, context=here))
    assert named.venue == "coinbase"
    assert named.price == Recording.open("coinbase-btc-usd-1h")[1000].close


def test_only_what_is_enabled_is_asked_for(providers: RecordedProviders, bitstamp: RecordedProvider) -> None:
    bitstamp.long = [Position("BTC/USD", Decimal(2), Decimal(300), Decimal(310))]
    found = done(
        provider(symbol="BTC/USD", enabled_endpoints=("balance", "positions"), providers=providers, context=context(7))
    )
    assert (found.price_feed, found.orderbook, found.time) == (None, None, 7)
    alone = done(provider(symbol="BTC/USD", enabled_endpoints=("price_feed",), providers=providers, context=context(7)))
    assert (alone.price_feed, alone.orderbook) == (bitstamp.latest("BTC/USD").close, None)
    assert found.balance == bitstamp.held
    assert found.positions == bitstamp.long
    public = done(provider(symbol="BTC/USD", providers=providers, context=context(7)))
    assert (public.balance, public.positions) == (None, None)
    assert public.orderbook is not None


def test_bars_are_the_recorded_ones(providers: RecordedProviders, bitstamp: RecordedProvider) -> None:
    recorded = Recording.open("bitstamp-btc-usd-1d")
    found = done(get_bars(symbol="BTC/USD", count=5, providers=providers, context=context()))
    assert found.bars == list(recorded.bars(196, 201))
    assert (found.price, found.time) == (recorded[200].close, recorded[200].end_ns)


def test_bars_of_a_longer_interval_hold_what_the_shorter_ones_say(providers: RecordedProviders) -> None:
    found = done(
        get_bars(provider="coinbase", symbol="BTC/USD", count=6, interval="4h", providers=providers, context=context())
    ).bars
    hours = list(Recording.open("coinbase-btc-usd-1h").bars(0, 1001))
    assert len(found) == 6
    for bar in found:
        parts = [hour for hour in hours if bar.start_ns <= hour.start_ns and hour.end_ns <= bar.end_ns]
        assert parts
        assert bar.start_ns % (4 * HOUR_NS) == 0
        assert (bar.open, bar.close) == (parts[0].open, parts[-1].close)
        assert bar.high == max(part.high for part in parts)
        assert bar.low == min(part.low for part in parts)
        assert bar.volume == sum(part.volume for part in parts)
    assert found[-1].end_ns <= hours[-1].end_ns < found[-1].end_ns + 4 * HOUR_NS


def test_a_longer_bar_is_there_once_it_is_complete_and_only_if_its_beginning_is() -> None:
    hours = list(Recording.open("coinbase-btc-usd-1h").bars(0, 300))
    for start in range(8):
        for stop in range(start + 1, start + 40):
            made = longer(hours[start:stop], "4h")
            last = hours[stop - 1].end_ns
            for bar in made:
                assert bar.start_ns > hours[start].start_ns, "what came before it might be missing"
                assert bar.end_ns <= last
                assert bar.open == next(hour.open for hour in hours if hour.start_ns >= bar.start_ns)
            if made:
                assert last - made[-1].end_ns < 4 * HOUR_NS


@pytest.mark.parametrize("interval", ["90m", "30m", "0s", "soon"])
def test_an_interval_that_the_bars_do_not_make_up_is_refused(providers: RecordedProviders, interval: str) -> None:
    with pytest.raises(InvalidInput, match=r"interval"):
        done(get_bars(provider="coinbase", symbol="BTC/USD", interval=interval, providers=providers, context=context()))


def test_balances_and_markets(providers: RecordedProviders) -> None:
    found = done(get_balance(asset="USD", providers=providers))
    assert (found.total, found.free) == (Decimal(1000), Decimal(900))
    assert done(get_balance(asset="ETH", providers=providers)).free == 0
    assert done(get_balance(providers=providers)).free is None
    markets = done(get_markets(providers=providers))
    assert markets.symbols == ["BTC/USD", "ETH/USD"]
    assert [market.symbol for market in markets.markets] == markets.symbols


def test_a_position_is_worth_its_price_and_zero_where_there_is_none(
    providers: RecordedProviders, bitstamp: RecordedProvider
) -> None:
    bitstamp.long = [Position("BTC/USD", Decimal(-2), Decimal(300), Decimal(310))]
    found = done(venue_position(symbol="BTC/USD", providers=providers, context=context()))
    assert (found.quantity, found.value) == (Decimal(-2), Decimal(-620))
    none = done(venue_position(symbol="ETH/USD", providers=providers, context=context()))
    assert none.position is None
    assert none.quantity == none.value == 0
    bitstamp.long = [Position("BTC/USD", Decimal(1), Decimal(300), Decimal(0))]
    with pytest.raises(InvalidInput, match=r"above zero"):
        done(venue_position(symbol="BTC/USD", providers=providers, context=context()))


def test_funding_and_expiry(providers: RecordedProviders, bitstamp: RecordedProvider) -> None:
    bitstamp.contracts["BTC/USD"] = Decimal("0.0001")
    funding = done(get_funding_rate(symbol="BTC/USD", providers=providers, context=context()))
    assert funding.funding_rate == Decimal("0.0001")
    bitstamp.contracts["BTC/USD"] = Decimal("NaN")
    with pytest.raises(InvalidInput, match=r"finite"):
        done(get_funding_rate(symbol="BTC/USD", providers=providers, context=context()))
    bitstamp.settled["BTC/USD"] = 25 * HOUR_NS
    expiry = done(get_expiry(symbol="BTC/USD", providers=providers, context=context(HOUR_NS)))
    assert (expiry.expires_at, expiry.hours) == (25 * HOUR_NS, Decimal(24))


@pytest.mark.parametrize("spelled", ["BTC/USD", "BTCUSD", "btcusd", "BTC-USD", "btc_usd"])
def test_a_symbol_may_be_spelled_as_the_venue_does(bitstamp: RecordedProvider, spelled: str) -> None:
    assert done(listed(bitstamp, spelled)) == "BTC/USD"


def test_a_contract_s_spelling_is_the_pair_s_unless_the_venue_lists_that_too(bitstamp: RecordedProvider) -> None:
    bitstamp.aliases["LTC/USD:USD"] = "BTC/USD"
    assert done(listed(bitstamp, "LTCUSD")) == "LTC/USD:USD"
    bitstamp.aliases["LTC/USD"] = "BTC/USD"
    assert done(listed(bitstamp, "LTCUSD")) == "LTC/USD"
    bitstamp.aliases["LT/CUSD"] = "BTC/USD"
    with pytest.raises(InvalidInput, match=r"one of several: LTC/USD, LT/CUSD"):
        done(listed(bitstamp, "LTCUSD"))


def test_an_unknown_symbol_is_told_the_nearest(bitstamp: RecordedProvider) -> None:
    with pytest.raises(InvalidInput, match=r"a symbol of bitstamp: BTC/USD"):
        done(listed(bitstamp, "BTCUSDT"))
    with pytest.raises(InvalidInput, match=r"BTC/USDT"):
        done(listed(bitstamp, "btc/usd"))


def test_the_symbol_may_come_with_what_started_the_run(providers: RecordedProviders) -> None:
    here = context(event={"symbol": "ETHUSD"})
    assert done(venue_price(providers=providers, context=here)).symbol == "ETH/USD"
    with pytest.raises(InvalidInput, match=r"here\.symbol"):
        done(venue_price(providers=providers, context=context(event={"symbols": ["BTC/USD", "ETH/USD"]})))
    with pytest.raises(InvalidInput, match=r"here\.symbols"):
        done(venue_price(providers=providers, context=context()))


@pytest.mark.parametrize(("bid", "ask"), [("0", "1"), ("NaN", "1"), ("1", "-1"), ("1", "Infinity")])
def test_a_book_with_a_price_that_is_none_decides_nothing(
    providers: RecordedProviders, bitstamp: RecordedProvider, bid: str, ask: str
) -> None:
    bitstamp.books["BTC/USD"] = book("bitstamp", bid, ask)
    for node in (venue_price, get_ticker, get_orderbook, provider):
        with pytest.raises(InvalidInput, match=r"bitstamp\.BTC/USD\.(bids|asks)\[0\]\.price"):
            done(node(symbol="BTC/USD", providers=providers, context=context()))


def test_a_document_that_names_a_provider_that_is_not_configured_is_told_which_are(
    providers: RecordedProviders,
) -> None:
    sources = Sources({"providers": providers})
    for type_ in ("get_orderbook", "provider", "venue_price"):
        check = DECLARED[type_].check
        assert check is not None
        assert check({"provider": "bitstamp"}, sources) is None
        assert check({}, sources) is None
        assert "configured: bitstamp, coinbase" in str(check({"provider": "binance"}, sources))


def test_pair_is_another_word_for_symbol() -> None:
    for type_ in ("get_orderbook", "provider", "venue_price"):
        found = DECLARED[type_].param("pair")
        assert found is not None
        assert found.name == "symbol"
        assert DECLARED[type_].schema()["params"]["properties"]["pair"]["type"] == "string"
