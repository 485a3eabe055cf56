"""Prices, bars, symbols and feeds as operations."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.service.awaiting import awaited
from tests.service.operations.trading import BTC, HERE, D, place, until
from tickwork import Engine
from tickwork.errors import InvalidInput, NotFound, Stale
from tickwork.market.bars import Bar
from tickwork.market.live import Item
from tickwork.market.recording import Recording
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Service
from tickwork.service.api.problems import problem_of
from tickwork.service.history import Asked, recorded_bars, shipped_bars
from tickwork.service.operations.market import HistoryOf
from tickwork.sim.exchange import Fault
from tickwork.values import timestamp_ns
from tickwork.venues.feeds.recorder import Recorder

BEGIN = timestamp_ns(datetime(2026, 1, 1, tzinfo=UTC))
MINUTE = 60_000_000_000


@awaited
async def test_a_quote_is_fresh_or_it_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = Caller(name="bot", face="mcp", scopes=frozenset({"read"}), owner="ann")
    async with place(tmp_path, monkeypatch) as here, here.up() as call:
        quote = await call("market.quote", symbol=BTC, caller=bound)
        assert (quote["symbol"], quote["venue"]) == (BTC, "mexc")
        assert D(quote["bid"]) <= D(quote["mid"]) <= D(quote["ask"])
        assert 0 <= quote["ageSeconds"] < 60
        here.exchange.move(BTC, D(61_000))

        async def moved() -> Any:
            return D((await call.from_elsewhere("market.quote", symbol=BTC))["mid"]) > 60_500

        await until(moved)
        with pytest.raises(NotFound, match="DOGE/USDT"):
            await call("market.quote", symbol="DOGE/USDT")
        with pytest.raises(NotFound, match="kraken"):
            await call("market.quote", symbol=BTC, venue="kraken")
        found = await call("market.quotes", symbols=[BTC, "DOGE/USDT"])
        assert [one["symbol"] for one in found["quotes"]] == [BTC]
        assert [(one["symbol"], one["code"]) for one in found["missing"]] == [("DOGE/USDT", "not-found")]

        here.faults.add(Fault(kind="drop_before", on="*"))
        call.session.prices._max_age = 1
        with pytest.raises(Stale, match="old") as caught:
            await call.from_elsewhere("market.quote", symbol=BTC)
        told = problem_of(caught.value)
        assert told is not None
        assert (told.code, told.status) == ("stale", 503)
        assert (await call("market.quotes", symbols=[BTC]))["missing"][0]["code"] == "stale"


@awaited
async def test_symbols_and_feeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, of_account='bars = "1m"') as here, here.up() as call:
        (symbol,) = (await call("market.symbols"))["items"]
        assert (symbol["symbol"], symbol["account"], symbol["pricesOf"]) == (BTC, "main", "mexc")
        assert D(symbol["priceTick"]) > 0
        feeds = (await call.from_elsewhere("feeds.list"))["items"]
        assert {kind for one in feeds for kind in one["kinds"]} == {"quote", "bar"}
        assert here.orders() == []


@awaited
async def test_bars_that_a_feed_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(tmp_path, monkeypatch, of_account='bars = "1m"') as here, here.up() as call:
        name = next(one["name"] for one in (await call("feeds.list"))["items"] if "bar" in one["kinds"])
        recorder = call.session.watch._recorders[name]
        for number in range(5):
            recorder.append(Item("test", recorder.last_ns + 1, bar(number)))
        await recorder.sync()
        found = await call.from_elsewhere("market.history", symbol=BTC, limit=3)
        assert (found["recording"], found["interval"], found["more"]) == (name, "1m", True)
        assert [one["close"] for one in found["bars"]] == ["102", "103", "104"]
        older = await call("market.history", symbol=BTC, until=found["bars"][0]["start"])
        assert ([one["close"] for one in older["bars"]], older["more"]) == (["100", "101"], False)
        wrongs: list[dict[str, Any]] = [
            {"symbol": "ETH/USDT"},
            {"symbol": BTC, "interval": "5m"},
            {"recording": "../../etc"},
        ]
        for wrong in wrongs:
            with pytest.raises(NotFound):
                await call("market.history", **wrong)
        with pytest.raises(InvalidInput, match="interval"):
            await call("market.history", symbol=BTC, interval="soon")
        assert here.orders() == []


def bar(number: int, symbol: str = BTC, venue: str = "mexc", minutes: int = 1) -> Bar:
    price = Decimal(100 + number)
    return Bar(symbol, venue, BEGIN + number * MINUTE, minutes * MINUTE, price, price, price, price, Decimal(1))


def recorded(folder: Path, bars: list[Bar]) -> None:
    recorder = Recorder(folder, "feed")
    for number, one in enumerate(bars):
        recorder.append(Item("test", BEGIN + number + 1, one))
    recorder.close()


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 40), st.integers(1, 9))
def test_a_page_of_bars_is_the_end_of_what_is_asked_for(since: int, until_: int, limit: int, look: int) -> None:
    bars = [bar(number, symbol=BTC if number % 3 else "ETH/USDT") for number in range(30)]
    start = datetime(2026, 1, 1, tzinfo=UTC)
    asked = Asked(
        symbol=BTC, since=start + timedelta(minutes=since), until=start + timedelta(minutes=until_), limit=limit
    )
    wanted = [
        one.start_ns for one in bars if one.symbol == BTC and since * MINUTE <= one.start_ns - BEGIN < until_ * MINUTE
    ]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tickwork.service.history._FIRST_LOOK", look)
        recorded(Path(folder), bars)
        if not wanted:
            with pytest.raises(NotFound):
                recorded_bars(Path(folder), ["feed"], asked)
            return
        found = recorded_bars(Path(folder), ["feed"], asked)
    assert [timestamp_ns(one.start) for one in found.bars] == wanted[-limit:]
    assert found.more == (len(wanted) > limit)


def test_a_recording_is_looked_for_in_its_folder_alone(tmp_path: Path) -> None:
    recorded(tmp_path / "elsewhere", [bar(0)])
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere" / "feed" / "x").mkdir()
    there = tmp_path / "elsewhere" / "feed"
    assert recorded_bars(tmp_path / "elsewhere", ["feed"], Asked(symbol=BTC)).bars
    for name in ("../elsewhere/feed", str(there), "./../elsewhere/feed", "..", "."):
        with pytest.raises(NotFound):
            recorded_bars(there if name == "." else there / "x" if name == ".." else tmp_path / "here", [name], Asked())


def test_several_kinds_of_bars_must_be_told_apart(tmp_path: Path) -> None:
    recorded(tmp_path, [bar(0), bar(0, minutes=5), bar(0, venue="kraken")])
    with pytest.raises(InvalidInput, match="5m of mexc"):
        recorded_bars(tmp_path, ["feed"], Asked(symbol=BTC))
    assert recorded_bars(tmp_path, ["feed"], Asked(symbol=BTC, interval="5m")).interval == "5m"
    assert recorded_bars(tmp_path, ["feed"], Asked(symbol=BTC, venue="kraken")).venue == "kraken"


def test_bars_of_a_recording_that_comes_along() -> None:
    name = "coinbase-btc-usd-1d"
    all_of_it = Recording.open(name)
    found = shipped_bars(name, Asked(limit=3))
    assert [one.close for one in found.bars] == [str(one.close) for one in list(all_of_it)[-3:]]
    assert (found.symbol, found.more) == (all_of_it.header.symbol, True)
    with pytest.raises(NotFound, match="one of"):
        shipped_bars("nothing", Asked())
    with pytest.raises(NotFound, match="has no other"):
        shipped_bars(name, Asked(symbol="ETH/USD"))


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        HistoryOf.model_validate({"symbol": BTC, "since": "2026-01-01T00:00:00"})


@awaited
async def test_a_recording_needs_no_process_that_trades(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path / 'tape.db'}") as engine:
        service = Service(engine)
        asked = {"recording": "coinbase-btc-usd-1h", "limit": 24}
        found = (await service.call("market.history", asked, HERE)).value
        assert len(found["bars"]) == 24
        service.close()
