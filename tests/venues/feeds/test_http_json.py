"""Quotes over HTTP and JSON: what is no quote is an error, and an error is never a quote."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from aiohttp import web

from tests.venues.feeds.support import START_NS, Server, Time, answer, dropped, live, polls, serving, take
from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused, LiveFeed
from tickwork.venues.feeds.http_json import KEY, HttpJsonFeed, QuoteShape
from tickwork.venues.feeds.volatility_index import cboe_index, deribit_index

ONE = QuoteShape(price="last")
ROWS = QuoteShape(rows="data", symbol="s", price="last", bid="b", ask="a", time="t")
NAMES = {"BTCUSDT": "BTC/USDT", "AAPL": "AAPL"}


def one(server: Server, time: Time, shape: QuoteShape = ONE, **options: str) -> HttpJsonFeed:
    return HttpJsonFeed("desk", f"{server.url}/q", {"": "BTC/USDT"}, time.setting(), shape=shape, **options)  # type: ignore[arg-type]


def many(server: Server, time: Time) -> HttpJsonFeed:
    return HttpJsonFeed("desk", f"{server.url}/q", NAMES, time.setting(), shape=ROWS, venue="broker")


@live
async def test_rows_become_quotes_to_the_last_digit() -> None:
    async with serving() as server:
        server.on(
            "/q",
            answer(
                '{"data": [{"s": "BTCUSDT", "b": "67000.10", "a": 67000.123456789012345678, "t": 1790000000123},'
                ' {"s": "AAPL", "last": 230.10, "t": "2026-09-21T10:00:00-04:00"}, {"s": "OTHER", "last": 1}]}'
            ),
        )
        feed = many(server, Time())
        found, repeated = await polls(feed, 2)
    assert found == [
        Quote(
            "BTC/USDT", "broker", 1_790_000_000_123_000_000, Decimal("67000.10"), Decimal("67000.123456789012345678")
        ),
        Quote("AAPL", "broker", 1_789_999_200_000_000_000, Decimal("230.10"), Decimal("230.10")),
    ]
    assert repeated == []  # the same, time and all: nothing was said
    assert feed.health.errors == 0
    assert isinstance(feed, LiveFeed)


@live
async def test_an_object_by_symbol_and_a_source_without_times() -> None:
    time = Time()
    async with serving() as server:
        server.on("/q", answer('{"BTCUSDT": {"last": "1.5"}, "AAPL": {"last": 2}}'))
        shape = QuoteShape(rows="", symbol=KEY, price="last")
        feed = HttpJsonFeed("desk", f"{server.url}/q", NAMES, time.setting(), shape=shape)
        first, second = await polls(feed, 2)
    assert [(quote.symbol, quote.bid, quote.time_ns) for quote in first] == [
        ("BTC/USDT", Decimal("1.5"), START_NS),
        ("AAPL", Decimal(2), START_NS),
    ]
    assert len(second) == 2  # nobody said when, so it may be a new word


@pytest.mark.parametrize(
    "body",
    [
        '{"last": 0}',
        '{"last": "0.00"}',
        '{"last": -1}',
        '{"last": null}',
        '{"last": ""}',
        '{"last": true}',
        '{"last": "NaN"}',
        '{"last": "1,234.5"}',
        '{"other": 1}',
        '{"last": {}}',
        "[]",
        "null",
    ],
)
@live
async def test_a_price_that_is_none_is_complained_of_and_not_delivered(body: str) -> None:
    async with serving() as server:
        server.on("/q", answer(body))
        feed = one(server, Time())
        assert await polls(feed, 1) == [[]]
        assert feed.health.errors == 1
        assert "desk" in feed.health.last_error


@pytest.mark.parametrize(
    "body",
    ["", "<html>down for maintenance</html>", '{"last": NaN}', '{"last": Infinity}', '{"last": 1', "[" * 100_000],
)
@live
async def test_what_is_no_json_is_an_error(body: str) -> None:
    async with serving() as server:
        server.on("/q", answer(body))
        with pytest.raises(InvalidInput):
            await polls(one(server, Time()), 1)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer('{"last": 5}', 500), FeedFailed),
        (answer('{"last": 5}', 404), FeedFailed),
        (answer('{"last": 5}', 204), FeedFailed),
        (answer('{"last": 5}', 304), FeedFailed),
        (answer('{"last": 5}', 302, location="https://elsewhere.example/"), FeedFailed),
        (answer('{"last": 5}', 503), FeedFailed),
        (answer('{"last": 5}', 401), FeedRefused),
        (answer('{"last": 5}', 403), FeedRefused),
        (answer('{"last": 5}', 400), FeedRefused),
        (dropped(), FeedFailed),
        (answer("x" * (17 << 20)), FeedFailed),
    ],
)
@live
async def test_an_answer_that_is_no_success_is_no_quote(
    given: web.Response | Exception, error: type[Exception]
) -> None:
    async with serving() as server:
        server.on("/q", given)
        with pytest.raises(error):
            await polls(one(server, Time(), headers={"X-Key": "$$"}), 1)  # type: ignore[arg-type]


@live
async def test_a_403_to_somebody_without_a_key_may_pass_and_a_redirect_is_followed() -> None:
    async with serving() as server:
        server.on("/q", answer("", 403), answer("", 302, location="/elsewhere"))
        server.on("/elsewhere", answer('{"last": 5}'))
        feed = one(server, Time())
        with pytest.raises(FeedFailed):
            await feed._poll()
        ((quote,),) = await polls(feed, 1)
        assert quote.bid == 5


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "Mon, 21 Sep 2026 14:15:20 GMT"}, 120.0),
        ({"x_rate_limit_reset": "1790000030"}, 30.0),
        ({"x_rate_limit_reset": "1780000030"}, 1.0),
        ({"retry_after": "soon"}, 60.0),
        ({}, 60.0),
    ],
)
@live
async def test_a_limit_says_how_long_to_wait(headers: dict[str, str], wait_s: float) -> None:
    async with serving() as server:
        server.on("/q", answer("", 429, **headers))
        with pytest.raises(FeedLimited) as limited:
            await polls(one(server, Time()), 1)
        assert limited.value.wait_s == wait_s


@live
async def test_a_slow_answer_is_given_up() -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    async with serving() as server:
        server.on("/q", drips)
        with pytest.raises(FeedFailed, match=r"within 0\.1 s"):
            await polls(one(server, Time(), timeout="100ms"), 1)


@live
async def test_only_what_changed_is_sent_again_and_a_bad_answer_is_asked_for_anew() -> None:
    async with serving() as server:
        server.on(
            "/q",
            answer("<html>", etag='"bad"'),
            answer('{"last": 1}', etag='"1"', last_modified="Mon"),
            answer("", 304),
        )
        feed = one(server, Time())
        with pytest.raises(InvalidInput):
            await feed._poll()
        first, second = await polls(feed, 2)
        assert [len(first), len(second)] == [1, 0]
        asked = [request.headers.get("If-None-Match") for request in server.asked]
        assert asked == [None, None, '"1"']
        assert server.asked[2].headers["If-Modified-Since"] == "Mon"


@live
async def test_secrets_come_from_the_environment_and_are_told_to_nobody() -> None:
    secret = "s3cret-value"
    setting = Time().setting(DESK_KEY=secret)
    async with serving() as server:
        server.on("/q", answer("", 500))
        feed = HttpJsonFeed(
            "desk",
            f"{server.url}/q?kind=all",
            {"": "BTC/USDT"},
            setting,
            shape=ONE,
            headers={"Authorization": "Bearer ${DESK_KEY}"},
            params={"apikey": "${DESK_KEY}"},
        )
        with pytest.raises(FeedFailed) as failed:
            await polls(feed, 1)
        assert secret not in str(failed.value)
        assert server.asked[0].headers["Authorization"] == f"Bearer {secret}"
        assert dict(server.asked[0].query) == {"kind": "all", "apikey": secret}
    with pytest.raises(InvalidInput, match="DESK_KEY") as unset:
        HttpJsonFeed(
            "desk", "http://x.example", {"": "AAPL"}, Time().setting(), shape=ONE, headers={"K": "${DESK_KEY}"}
        )
    assert "headers.K" in unset.value.path


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@live
async def test_an_answer_that_repeats_the_secret_is_not_repeated(status: int, caplog: pytest.LogCaptureFixture) -> None:
    secret = "s3cret+value/&"
    async with serving() as server:

        async def echo(request: web.Request) -> web.Response:
            return web.Response(status=status, text=f"wrong key {request.query['k']} in {request.query_string}")

        server.on("/q", echo)
        feed = HttpJsonFeed(
            "desk", f"{server.url}/q", {"": "AAPL"}, Time().setting(K=secret), shape=ONE, params={"k": "${K}"}
        )

        async def one() -> None:
            async for _ in feed.items():
                break

        try:
            await asyncio.wait_for(one(), 0.3)
        except (FeedRefused, TimeoutError) as error:
            assert secret not in str(error)
        assert feed.health.last_error
        assert server.asked[0].query["k"] == secret
    said = feed.health.last_error + caplog.text
    assert "s3cret" not in said
    assert caplog.text.count("WARNING") == 1  # the first of a run of errors, and no more of them


@pytest.mark.parametrize("value", ["", " ", "KEYWORD\n", " KEYWORD", "KEY\rWORD", "KEYWORD\u00e4", "KEYWORD\U0001f642"])
@pytest.mark.parametrize("where", ["headers", "params"])
def test_a_secret_that_is_none_is_refused_by_the_name_of_its_variable(value: str, where: str) -> None:
    filled = {"K": "Bearer ${DESK_KEY}"}
    headers, params = (filled, None) if where == "headers" else (None, filled)
    setting = Time().setting(DESK_KEY=value)
    with pytest.raises(InvalidInput, match="variable DESK_KEY") as wrong:
        HttpJsonFeed("desk", "http://x.example", {"": "AAPL"}, setting, shape=ONE, headers=headers, params=params)
    assert "WORD" not in str(wrong.value)


@pytest.mark.parametrize(
    "url", ["htp://h/q?apikey=word", "http://h:abc/q?k=word", "http://h:99999/q?k=word", "http://[h/q?k=word",
            "http://h/q?k=${DESK_KEY}"],
)  # fmt: skip
def test_what_is_said_of_a_wrong_url_leaves_out_its_query(url: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        HttpJsonFeed("desk", url, {"": "AAPL"}, Time().setting(DESK_KEY="word"), shape=ONE)
    assert "word" not in str(wrong.value)


@pytest.mark.parametrize("url", ["ftp://x.example/q", "x.example", "http://", "https://user:word@x.example/"])
def test_an_url_that_could_never_work_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as wrong:
        HttpJsonFeed("desk", url, {"": "AAPL"}, Time().setting(), shape=ONE)
    assert "word" not in str(wrong.value)


def test_a_configuration_that_could_never_work_is_refused() -> None:
    def made(symbols: dict[str, str], shape: QuoteShape = ONE, every: str = "1s") -> HttpJsonFeed:
        return HttpJsonFeed("desk", "http://x.example", symbols, Time().setting(), shape=shape, every=every)

    for symbols in ({}, {"a": "AAPL", "b": "MSFT"}, {"a": "btc_usdt"}):
        with pytest.raises(InvalidInput):
            made(symbols)
    with pytest.raises(InvalidInput):
        made({"": "AAPL"}, every="0s")
    with pytest.raises(InvalidInput):
        QuoteShape(bid="b")
    with pytest.raises(InvalidInput):
        QuoteShape(price="p", rows="data")


@live
async def test_a_feed_goes_on_after_every_sort_of_failure() -> None:
    time = Time()
    async with serving() as server:
        server.on(
            "/q",
            answer('{"last": 1}'),
            answer("", 500),
            dropped(),
            answer("<html>"),
            answer("", 429, retry_after="30"),
            answer('{"last": 2}'),
        )
        feed = one(server, time, every="15s")
        items = await take(feed, 2)
    assert [item.what.bid for item in items if isinstance(item.what, Quote)] == [1, 2]
    # a pause as configured, three that double, the one that was asked for
    assert time.slept == [15.0, 1.0, 2.0, 4.0, 30.0]
    health = feed.health
    assert (health.items, health.reconnects, health.errors, health.state) == (2, 4, 4, "live")
    assert health.last_item_ns == items[-1].known_ns == time.now_ns
    assert health.silence_ns(time.now_ns + 5) == 5


@live
async def test_cboes_delayed_quotes() -> None:
    # the shape of https://cdn.cboe.com/api/global/delayed_quotes/quotes/_VIX.json
    body = """{"timestamp": "2026-09-21 14:12:03", "data": {"symbol": "^VIX", "security_type": "index",
        "exchange_id": 5, "current_price": 16.28, "price_change": 0.31, "price_change_percent": 1.9411,
        "bid": 0.0, "ask": 0.0, "bid_size": 0, "ask_size": 0, "open": 16.1, "high": 16.4, "low": 15.95,
        "close": 16.28, "prev_day_close": 15.97, "volume": 0, "iv30": 0.0,
        "last_trade_time": "2026-09-21T09:57:02"}, "symbol": "_VIX"}"""
    async with serving() as server:
        server.on("/_VIX.json", answer(body))
        feed = cboe_index(Time().setting(), url=server.url)
        assert feed.delay_ns >= 20 * 60 * 1_000_000_000  # what it is late, and the pause between two questions
        ((quote,),) = await polls(feed, 1)
    assert (quote.symbol, quote.venue, quote.bid, quote.ask) == ("VIX", "cboe", Decimal("16.28"), Decimal("16.28"))
    assert quote.time_ns == datetime(2026, 9, 21, 13, 57, 2, tzinfo=UTC).timestamp() * 10**9
    with pytest.raises(InvalidInput):
        cboe_index(Time().setting(), "^VIX")


@live
async def test_deribits_volatility_index() -> None:
    # the shape of https://docs.deribit.com/api-reference/market-data/public-get_volatility_index_data
    start = START_NS // 10**6 - 90_000
    body = f"""{{"jsonrpc": "2.0", "id": 5, "result": {{"data": [[{start}, 41.1, 41.3, 41.0, 41.2],
        [{start + 60_000}, 41.2, 41.5, 41.2, 41.37]], "continuation": null}}}}"""
    empty = '{"jsonrpc": "2.0", "result": {"data": [], "continuation": null}}'
    path = "/public/get_volatility_index_data"
    async with serving() as server:
        server.on(path, answer(body), answer(body), answer(empty))
        feed = deribit_index(Time().setting(), url=server.url)
        first, same = await polls(feed, 2)
        assert [(quote.symbol, quote.venue, quote.bid) for quote in first] == [("BTCDVOL", "deribit", Decimal("41.37"))]
        assert first[0].time_ns == START_NS  # its minute is not over: the level of this moment
        assert same == []
        with pytest.raises(InvalidInput):
            await polls(feed, 1)
        asked = dict(server.asked[0].query)
        assert (asked["currency"], asked["resolution"]) == ("BTC", "60")
        assert int(asked["end_timestamp"]) - int(asked["start_timestamp"]) == 600_000
