"""The real ccxt against servers that answer as Binance and MEXC do: quotes, closed bars, every sort of failure."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web

from tests.venues.feeds.exchange import FakeExchange, info
from tests.venues.feeds.support import START_NS, Time, answer, live, query, serving, take
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import FeedRefused, Item, LiveFeed
from tickwork.venues.feeds.ccxt import CcxtFeed

MINUTE_NS = 60_000_000_000
CONFIG = {
    "options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
    "enableRateLimit": False,
    "timeout_on_exit": 0,
}

Made = Callable[..., CcxtFeed]


@asynccontextmanager
async def exchange(*bases: str) -> AsyncIterator[tuple[FakeExchange, Time, Made]]:
    time = Time(START_NS // MINUTE_NS * MINUTE_NS + 30 * 10**9)
    async with serving() as server:
        fake = FakeExchange(server, time, *bases)

        def feed(id: str = "binance", symbols: tuple[str, ...] = ("BTC/USDT",), **options: Any) -> CcxtFeed:
            config = CONFIG | options.pop("config", {})
            return CcxtFeed(id, symbols, time.setting(), url=server.url, config=config, **options)

        yield fake, time, feed


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - the other side does not tell
        await asyncio.sleep(0.001)


def bar_minutes(items: list[Item]) -> list[int]:
    return [item.what.start_ns // MINUTE_NS for item in items if isinstance(item.what, Bar)]


@pytest.mark.parametrize("id", ["binance", "mexc"])
@live
async def test_quotes_are_asked_for_and_keep_their_digits(id: str) -> None:
    async with exchange() as (fake, time, feed):
        fake.ticker("BTC", bidPrice="67000.12345678", askPrice="67000.12345679")
        fake.ticker("ETH", bidPrice="0.00000001", askPrice="0.1")
        made = feed(id, ("BTC/USDT", "ETH/USDT"))
        assert isinstance(made, LiveFeed)
        assert (made.name, made.kinds) == (id, ("quote",))
        items = await take(made, 2)
    assert [item.what for item in items] == [
        Quote("BTC/USDT", id, time.now_ns // 10**6 * 10**6, Decimal("67000.12345678"), Decimal("67000.12345679")),
        Quote("ETH/USDT", id, time.now_ns // 10**6 * 10**6, Decimal("0.00000001"), Decimal("0.1")),
    ]


@live
async def test_a_ticker_that_repeats_itself_is_silence_and_one_without_a_spread_is_locked() -> None:
    async with exchange() as (fake, _, feed):
        fake.ticker("BTC")
        made = feed()
        async with aclosing(made.items()) as items:
            first = await anext(items)
            waiting = asyncio.ensure_future(anext(items))
            await until(lambda: len(fake.server.asked) >= 6)
            assert not waiting.done()
            fake.ticker("BTC", bidPrice=None, askPrice=None)
            second = await waiting
    assert isinstance(first.what, Quote)
    assert isinstance(second.what, Quote)
    assert (second.what.bid, second.what.ask) == (Decimal("67000.1"), Decimal("67000.1"))
    assert second.known_ns > first.known_ns


@pytest.mark.parametrize(
    "fields", [{"bidPrice": "0"}, {"askPrice": None}, {"bidPrice": "70000"}, {"bidPrice": "NaN"}, {"bidPrice": "x"}]
)
@live
async def test_a_ticker_that_is_no_quote_is_complained_of(fields: dict[str, Any]) -> None:
    async with exchange() as (fake, _, feed):
        fake.ticker("BTC", **fields)
        fake.ticker("ETH")
        made = feed("binance", ("BTC/USDT", "ETH/USDT"))
        (item,) = await take(made, 1)
        assert item.symbol == "ETH/USDT"
        assert made.health.errors == 1


@pytest.mark.parametrize("id", ["binance", "mexc"])
@live
async def test_bars_are_given_when_they_are_closed_and_never_before(id: str) -> None:
    async with exchange() as (fake, _, feed):
        now = fake.minute
        made = feed(id, interval="1m")
        assert (made.name, made.kinds) == (f"{id}-1m", ("bar",))
        items = await take(made, 4)
    assert bar_minutes(items) == [now - 1, now, now + 1, now + 2]
    bars = [item.what for item in items if isinstance(item.what, Bar)]
    assert [bar.close for bar in bars] == [Decimal(fake.price(now - 1 + number)) for number in range(4)]
    assert {(bar.venue, bar.volume, bar.interval_ns) for bar in bars} == {(id, Decimal("2.50000000"), MINUTE_NS)}
    for item in items:
        assert isinstance(item.what, Bar)
        assert item.known_ns >= item.what.end_ns + 2 * 10**9
    # nobody is asked while no bar can be due
    klines = [request for request in fake.server.asked if request.path.endswith("klines")]
    assert len(klines) == 4


@live
async def test_a_bar_is_not_taken_for_closed_within_its_grace() -> None:
    async with exchange() as (_, _, feed):
        made = feed(interval="1m", every="1s", grace="10s")
        (_, second) = await take(made, 2)
        assert isinstance(second.what, Bar)
        assert second.known_ns == second.what.end_ns + 10 * 10**9


@live
async def test_an_outage_is_caught_up_without_a_gap() -> None:
    async with exchange() as (fake, time, feed):
        before = await take(feed(interval="1m"), 2)
        last = bar_minutes(before)[-1]
        time.now_ns += 1_234 * MINUTE_NS
        fake.missing = {last + 5, last + 6, *range(last + 700, last + 1_210)}  # a stretch longer than a page
        fake.page = 300  # the exchange gives fewer than it is asked for
        made = feed(interval="1m")
        expected = [minute for minute in range(last + 1, fake.minute) if minute not in fake.missing]
        after = await take(made, len(expected), known=before)
    assert bar_minutes(after) == expected


@live
async def test_a_new_recording_may_begin_with_history() -> None:
    async with exchange() as (fake, _, feed):
        items = await take(feed(interval="1m", history="10 minutes"), 10)
        assert bar_minutes(items) == list(range(fake.minute - 10, fake.minute))


@live
async def test_bars_of_other_streams_say_nothing_about_where_to_go_on() -> None:
    async with exchange() as (_, _, feed):
        (item,) = await take(feed(interval="1m"), 1)
        bar = item.what
        assert isinstance(bar, Bar)
        other = Bar("BTC/USDT", "kraken", bar.start_ns + 60 * MINUTE_NS, MINUTE_NS, *[bar.open] * 4, bar.volume)  # type: ignore[call-arg]
        made = feed(interval="1m")
        made._resume([item, Item("x", 1, other)])
        assert made._next_ns == {"BTC/USDT": bar.end_ns}


@live
async def test_several_symbols_come_in_the_order_of_their_time() -> None:
    async with exchange() as (_, _, feed):
        items = await take(feed("binance", ("BTC/USDT", "ETH/USDT"), interval="1m", history="3 minutes"), 6)
    minutes = bar_minutes(items)
    assert minutes == sorted(minutes)
    assert [item.symbol for item in items] == ["BTC/USDT", "ETH/USDT"] * 3


def failure(status: int, body: str = "{}", **headers: str) -> web.Response:
    return answer(body, status, content_type="application/json", **headers)


def cut_off() -> list[web.Response]:
    """The connection dies, and again when the client tries once more by itself."""
    responses = [web.Response(), web.Response()]
    for response in responses:
        response.set_status(0)
    return responses


@live
async def test_a_feed_goes_on_after_every_passing_failure() -> None:
    async with exchange() as (fake, time, feed):
        fake.ticker("BTC")
        fake.fails = [failure(200), *cut_off()]  # no markets, then no answer
        made = feed()
        async with aclosing(made.items()) as items:
            await anext(items)
            fake.fails = [
                failure(500),
                *cut_off(),
                failure(429, retry_after="17"),
                failure(418),
                failure(200, "<html>maintenance</html>"),
            ]
            time.slept.clear()
            fake.ticker("BTC", lastPrice="1")
            fake.tickers["BTCUSDT"]["closeTime"] += 1
            await anext(items)
        assert made.health.errors == 7
    assert time.slept[:5] == [5.0, 1.0, 2.0, 17.0, 30.0]


@pytest.mark.parametrize(
    ("id", "symbols", "options", "says"),
    [
        ("binance", ("DOGE/USDT",), {}, "has no DOGE/USDT"),
        ("binance", ("BTC/USDT",), {"interval": "7m"}, "no bars of 7m"),
        ("nosuch", ("BTC/USDT",), {}, "no exchange"),
        ("coinmate", ("BTC/EUR",), {"mode": "stream"}, "ccxt streams from"),
    ],
)
@live
async def test_what_the_exchange_does_not_have_is_refused_with_words(
    id: str, symbols: tuple[str, ...], options: dict[str, Any], says: str
) -> None:
    async with exchange() as (_, time, feed):
        made = feed(id, symbols, **options)
        with pytest.raises(FeedRefused, match=says):
            await take(made, 1)
        assert (made.health.state, time.slept) == ("failed", [])


@live
async def test_a_wrong_key_and_a_lost_symbol_end_the_feed() -> None:
    for body, name in (
        ('{"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}', "AuthenticationError"),
        ('{"code": -1121, "msg": "Invalid symbol."}', "BadSymbol"),
    ):
        async with exchange() as (fake, _, feed):
            fake.ticker("BTC")
            made = feed()
            async with aclosing(made.items()) as items:
                await anext(items)
                fake.fails = [failure(400, body)]
                with pytest.raises(FeedRefused, match=name):
                    await anext(items)


@live
async def test_keys_come_from_the_environment() -> None:
    async with exchange() as (fake, time, _):
        setting = time.setting(BINANCE_KEY="s3cret")
        fake.ticker("BTC")
        config = CONFIG | {"apiKey": "${BINANCE_KEY}"}
        made = CcxtFeed("binance", ["BTC/USDT"], setting, url=fake.server.url, config=config)
        async with aclosing(made.items()) as items:
            await anext(items)
            assert made._exchange.apiKey == "s3cret"
    with pytest.raises(InvalidInput, match="BINANCE_KEY"):
        CcxtFeed("binance", ["BTC/USDT"], Time().setting(), config=config)


def test_a_feed_that_could_never_work_is_refused() -> None:
    setting = Time().setting()
    for symbols, options in (
        ([], {}),
        (["btcusdt"], {}),
        (["BTC/USDT"], {"mode": "listen"}),
        (["BTC/USDT"], {"interval": "1M"}),
        (["BTC/USDT"], {"every": "5"}),
    ):
        with pytest.raises(InvalidInput):
            CcxtFeed("binance", symbols, setting, **options)  # type: ignore[arg-type]


@live
async def test_without_ccxt_a_feed_says_what_to_install() -> None:
    async with exchange() as (_, _, feed):
        kept = {name: module for name, module in sys.modules.items() if name == "ccxt" or name.startswith("ccxt.")}
        sys.modules.update(dict.fromkeys(kept, None))  # type: ignore[arg-type]
        try:
            with pytest.raises(FeedRefused, match=r"tickwork\[ccxt\]"):
                await take(feed(), 1)
        finally:
            sys.modules.update(kept)


@live
async def test_quotes_are_streamed_and_a_lost_connection_is_made_anew() -> None:
    async with exchange() as (fake, time, feed):
        made = feed("binance", ("BTC/USDT", "ETH/USDT"), mode="stream")
        async with aclosing(made.items()) as items:
            waiting = asyncio.ensure_future(anext(items))
            await until(lambda: len(fake.subscribed) == 2)
            assert sorted(fake.subscribed) == ["btcusdt@ticker", "ethusdt@ticker"]
            await fake.tell_ticker("BTC", "67000.12345678", "67000.2")
            item = await waiting
            assert item.what == Quote(
                "BTC/USDT", "binance", time.now_ns // 10**6 * 10**6, Decimal("67000.12345678"), Decimal("67000.2")
            )
            waiting = asyncio.ensure_future(anext(items))
            for socket in fake.server.sockets:
                await socket.close()
            await until(lambda: len(fake.subscribed) == 4)
            time.now_ns += 10**9
            await fake.tell_ticker("ETH", "3000", "3001")
            assert (await waiting).symbol == "ETH/USDT"
        assert made.health.reconnects == 1
        assert time.slept == [1.0]


@live
async def test_a_stream_that_says_nothing_is_made_anew() -> None:
    async with exchange() as (fake, _, feed):
        made = feed(mode="stream", stall="50ms")
        async with aclosing(made.items()) as items:
            waiting = asyncio.ensure_future(anext(items))
            await until(lambda: len(fake.subscribed) >= 2)
            await fake.tell_ticker("BTC", "1", "2")
            await waiting
        assert "said nothing" in made.health.last_error


@live
async def test_the_stream_tells_that_a_bar_has_closed_and_the_bar_is_asked_for() -> None:
    async with exchange() as (fake, time, feed):
        now = fake.minute
        made = feed(mode="stream", interval="1m")
        async with aclosing(made.items()) as items:
            first = await anext(items)
            waiting = asyncio.ensure_future(anext(items))
            await until(lambda: fake.subscribed)
            await fake.tell_candle("BTC", now)
            time.now_ns += 2 * MINUTE_NS  # the message of a minute between was lost
            await fake.tell_candle("BTC", now + 2)
            second, third = await waiting, await anext(items)
        assert bar_minutes([first, second, third]) == [now - 1, now, now + 1]
        assert isinstance(third.what, Bar)
        assert third.what.volume == Decimal("2.50000000")  # whole, not what the stream last said
        begins = [query(request)["startTime"] for request in fake.server.asked if "klines" in request.path]
        assert len(begins) == 2


def test_the_made_up_exchange_knows_what_it_is_asked_about() -> None:
    assert [symbol["symbol"] for symbol in info("BTC")["symbols"]] == ["BTCUSDT"]
