"""Providers over recordings: what was known at an instant, never what came later; and news likewise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.awaiting import awaited
from tests.trading.support import D
from tickwork.errors import InvalidDocument, InvalidInput, Stale
from tickwork.graph.sources import Providers
from tickwork.market.bars import Bar
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import Fill
from tickwork.values import from_ns, timestamp_ns
from tickwork.venues.paper import PaperVenue
from tickwork.venues.recorded import Recorded, RecordedProvider, RecordedProviders, Terms, rules_of
from tickwork.venues.recorded_news import RecordedNews, read_news

MINUTE = 60_000_000_000
START = timestamp_ns(datetime(2024, 3, 1, tzinfo=UTC))
BTC, SWAP = "BTC/USDT", "BTC/USDT:USDT"


def recording(
    venue: str, symbol: str = BTC, *, minutes: int = 1, count: int = 10, first: int = 100, skip: int = -1
) -> Recording:
    """Bars whose closes count up from ``first``; ``skip``: the one that is missing."""
    length = minutes * MINUTE
    bars = [
        Bar(symbol, venue, START + at * length, length, D(price), D(price), D(price), D(price), D(at))
        for at, price in enumerate(range(first, first + count))
        if at != skip
    ]
    return Recording.from_bars(bars, name=f"{venue}-{symbol.lower().replace('/', '-')}-{minutes}m")


class Clock:
    def __init__(self, now: int = START) -> None:
        self.time = now

    def now(self) -> int:
        return self.time

    def at(self, minutes: float) -> None:
        self.time = START + round(minutes * MINUTE)


class Account:
    """The account at a venue, as a provider needs it."""

    def __init__(self, rules: Any) -> None:
        self.venue = PaperVenue(rules=rules, cash={"USDT": D(1_000)})
        self.ledger = Ledger({"USDT": D(1_000)})
        self.fee_rate = D("0.001")


class World:
    def __init__(self, *recordings: Recording, terms: Any = None) -> None:
        self.clock = Clock()
        self.recorded = Recorded(recordings, self.clock.now, terms)
        self.accounts = {}
        made = []
        for venue in self.recorded.venues:
            rules = {symbol: rules_of(self.recorded.of(venue, symbol)) for symbol in self.recorded.symbols(venue)}
            self.accounts[venue] = Account(rules.values())
            made.append(RecordedProvider(venue, self.recorded, self.accounts[venue], rules))
        self.providers = RecordedProviders(self.recorded, made)

    def __getitem__(self, venue: str) -> RecordedProvider:
        return self.providers.get(venue)


@given(st.floats(0, 15), st.integers(1, 20))
def test_nothing_of_the_future_is_known(minutes: float, count: int) -> None:
    world = World(recording("alpha"))
    world.clock.at(minutes)
    ended = [bar for bar in recording("alpha") if bar.end_ns <= world.clock.time]
    tick = world.recorded.latest("alpha", BTC)
    assert (None if tick is None else tick.bar) == (ended[-1] if ended else None)
    if ended:
        assert world.recorded.bars("alpha", BTC, count) == ended[-count:]
    else:
        with pytest.raises(InvalidInput, match="first bar has not ended"):
            world.recorded.bars("alpha", BTC, count)


@awaited
async def test_a_book_is_locked_at_the_last_close_with_its_volume() -> None:
    world = World(recording("alpha"))
    world.clock.at(3.5)
    book = await world["alpha"].orderbook(BTC, 5)
    assert [(level.price, level.quantity) for level in (*book.bids, *book.asks)] == [(D(102), D(2))] * 2
    assert (book.venue, book.symbol, book.time) == ("alpha", BTC, START + 3 * MINUTE)
    assert (book.recording, book.offset) == ("alpha-btc-usdt-1m", 2)


@awaited
async def test_where_the_terms_say_so_there_is_a_spread_away_from_the_close() -> None:
    world = World(recording("alpha", first=101), terms={("alpha", BTC): Terms(half_spread=D("0.01"))})
    world.clock.at(1)
    book = await world["alpha"].orderbook(BTC, 1)
    assert (book.bids[0].price, book.asks[0].price) == (D(99), D(103)), "99.99 and 102.01, to the tick"
    quote = world.recorded.quote("alpha", BTC)
    assert quote is not None
    assert (quote.bid, quote.ask, quote.time_ns) == (D(99), D(103), START + MINUTE)


@awaited
async def test_a_close_stands_until_the_next_is_due() -> None:
    world = World(recording("alpha", skip=4))
    world.clock.at(5)
    assert (await world["alpha"].orderbook(BTC, 1)).bids[0].price == 103
    world.clock.time += 1
    with pytest.raises(Stale, match="1m"):
        await world["alpha"].orderbook(BTC, 1)
    assert world.recorded.quote("alpha", BTC) is None
    assert [bar.close for bar in await world["alpha"].bars(BTC, 2)] == [102, 103], "history does not age"
    world.clock.at(6)
    assert (await world["alpha"].orderbook(BTC, 1)).bids[0].price == 105


@awaited
async def test_a_slow_venue_is_as_fresh_as_the_fast_one_asks() -> None:
    world = World(recording("slow", minutes=60, count=2, first=500), recording("fast", count=100))
    world.clock.at(61)
    assert (await world["slow"].orderbook(BTC, 1)).asks[0].price == 500
    world.clock.at(61.1)
    with pytest.raises(Stale):
        await world["slow"].orderbook(BTC, 1)
    assert (await world["fast"].orderbook(BTC, 1)).asks[0].price == 160


@awaited
async def test_of_two_lengths_at_one_venue_the_shorter_is_the_market() -> None:
    world = World(recording("alpha", minutes=5, count=2, first=900), recording("alpha"))
    world.clock.at(5)
    assert (await world["alpha"].orderbook(BTC, 1)).recording == "alpha-btc-usdt-1m"


@awaited
async def test_which_provider() -> None:
    hours = recording("slow", minutes=60, count=2)
    world = World(hours, recording("fast"), recording("slow", "ETH/USDT"))
    providers: Providers = world.providers
    assert list(providers.names) == ["slow", "fast"]
    assert providers.get("").name == "slow"
    assert providers.of_symbol(BTC).name == "fast", "its bars are shorter"
    assert providers.of_symbol("ETH/USDT").name == "slow"
    with pytest.raises(InvalidInput, match="one of slow, fast"):
        providers.get("kraken")
    with pytest.raises(InvalidInput, match="BTC/USDT, ETH/USDT"):
        providers.of_symbol("XRP/USDT")


@pytest.mark.parametrize("ask", ["orderbook", "bars", "funding_rate", "expires_at"])
@awaited
async def test_what_is_not_listed_is_an_error(ask: str) -> None:
    world = World(recording("alpha"))
    world.clock.at(5)
    given = {"orderbook": (1,), "bars": (1,)}.get(ask, ())
    with pytest.raises(InvalidInput, match="one that alpha lists: BTC/USDT"):
        await getattr(world["alpha"], ask)("ETH/USDT", *given)


@awaited
async def test_senseless_numbers_are_refused() -> None:
    world = World(recording("alpha"))
    world.clock.at(5)
    for ask in (world["alpha"].orderbook(BTC, 0), world["alpha"].bars(BTC, 0)):
        with pytest.raises(InvalidInput, match="whole number from 1"):
            await ask
    with pytest.raises(InvalidInput):
        Recorded([], world.clock.now)


@awaited
async def test_terms_are_told_only_where_somebody_said_them() -> None:
    funding = tuple(D(at) / 10_000 for at in range(10))
    terms = {("alpha", SWAP): Terms(funding=funding), ("alpha", BTC): Terms(expires_at=START + MINUTE)}
    world = World(recording("alpha"), recording("alpha", SWAP), terms=terms)
    with pytest.raises(InvalidInput, match="first bar"):
        await world["alpha"].funding_rate(SWAP)
    world.clock.at(4.5)
    assert await world["alpha"].funding_rate(SWAP) == D("0.0003"), "as known at the end of the fourth bar"
    assert await world["alpha"].expires_at(BTC) == START + MINUTE
    with pytest.raises(InvalidInput, match="whose funding"):
        await world["alpha"].funding_rate(BTC)
    with pytest.raises(InvalidInput, match="when it expires"):
        await world["alpha"].expires_at(SWAP)
    world.clock.at(20)
    with pytest.raises(Stale):
        await world["alpha"].funding_rate(SWAP)


@awaited
async def test_markets_balances_and_positions_are_the_accounts() -> None:
    world = World(recording("alpha"))
    world.clock.at(2)
    (market,) = await world["alpha"].markets()
    assert (market.symbol, market.price_tick, market.fee_rate) == (BTC, D(1), D("0.001"))
    balances = await world["alpha"].balances()
    assert {asset: (one.total, one.free) for asset, one in balances.items()} == {"USDT": (D(1_000), D(1_000))}
    assert await world["alpha"].positions() == []
    fill = Fill(
        venue="alpha", fill_id="1", client_order_id="a", venue_order_id="1", account="main", symbol=BTC, side="buy",
        price=D(100), quantity=D(2), fee=D("0.2"), fee_currency="USDT", time=START, offset=0,
    )  # fmt: skip
    world.accounts["alpha"].ledger.apply(fill)
    (held,) = await world["alpha"].positions()
    assert (held.symbol, held.quantity, held.average_price, held.price) == (BTC, D(2), D(100), D(101))


# ----------------------------------------------------------------------------------------------------------- news


def item(number: int, minutes: float, *symbols: str) -> NewsItem:
    return NewsItem(
        id=str(number),
        source="wire",
        title=f"item {number}",
        known_at=from_ns(START) + timedelta(minutes=minutes),
        symbols=symbols,
    )


def written(path: Path, *items: NewsItem) -> Path:
    path.write_bytes(b"\n".join(one.to_wire() for one in items) + b"\n\n")
    return path


@awaited
async def test_news_are_told_from_when_they_were_known(tmp_path: Path) -> None:
    file = written(tmp_path / "wire.jsonl", item(2, 20, BTC), item(1, 10), item(3, 30, "ETH/USDT"), item(4, 30, BTC))
    clock = Clock()
    news = RecordedNews(read_news(file), clock.now)
    assert [(one.recording, one.offset) for one in news.items] == [("wire", 1), ("wire", 0), ("wire", 2), ("wire", 3)]

    async def ids(symbols: list[str], since: float = -1, limit: int = 10) -> list[str]:
        return [one.id for one in await news.recent(symbols, START + round(since * MINUTE), limit)]

    clock.at(9.9)
    assert await ids([]) == []
    clock.at(20)
    assert await ids([]) == ["2", "1"]
    clock.at(40)
    assert await ids([]) == ["4", "3", "2", "1"], "newest first"
    assert await ids([], limit=2) == ["4", "3"]
    assert await ids([BTC]) == ["4", "2"]
    assert await ids([BTC, "ETH/USDT"], since=20) == ["4", "3"], "after, not at"
    with pytest.raises(InvalidInput):
        await ids([], limit=0)


def test_a_file_of_news_is_read_with_care(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        read_news(tmp_path / "none.jsonl")
    file = tmp_path / "wire.jsonl"
    file.write_bytes(item(1, 1).to_wire() + b"\n" + item(1, 2).to_wire())
    with pytest.raises(InvalidInput, match=r"wire.jsonl has 1 problem:\n  line 2: expected another item than line 1"):
        read_news(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput):
        read_news(file)


def test_all_that_is_wrong_in_a_file_of_news_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    lines = [
        '{"id": "1", "source": "wire", "title": "no time", "sentiment": 7, "symbol": "BTC/USDT"}',
        item(2, 1).to_wire().decode(),
        "",
        "no news",
        item(2, 2).to_wire().decode(),
        '{"id": "", "source": "wire", "title": "rain", "knownAt": "2024-03-01T00:00"}',
        '{"id": "6", "source": "wire", "title": "rain", "knownAt": "2024-03-01T00:00"}',
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(InvalidDocument) as caught:
        read_news(file)
    assert caught.value.path == str(file)
    assert [path for path, *_ in caught.value.problems] == [
        "line 1, symbol", "line 1, knownAt", "line 1, sentiment", "line 4", "line 5", "line 6, id", "line 7, knownAt",
    ]  # fmt: skip
    assert "one of its fields: id, source, title, summary" in str(caught.value)
