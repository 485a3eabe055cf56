"""Indicators over recorded bars, held against TA-Lib, numpy and the triggers of the market room."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import talib

from tests.graph.support import RecordedProvider, RecordedProviders, context, done
from tickwork.errors import InvalidInput, Stale
from tickwork.graph.declare import DECLARED
from tickwork.graph.nodes.indicators import price_change, rsi_signal, technical_analysis, volatility, z_score
from tickwork.graph.sources import Sources
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording
from tickwork.market.triggers import Volatility

ALL: Any = ("RSI", "MACD", "SMA", "EMA", "BBANDS", "ATR")


@pytest.fixture
def shares() -> RecordedProvider:
    return RecordedProvider("shares", "aapl-1d", "msft-1d", at=800)


@pytest.fixture
def providers(shares: RecordedProvider) -> RecordedProviders:
    return RecordedProviders(shares)


def latest(name: str, at: int, count: int) -> list[Bar]:
    return list(Recording.open(name).bars(at + 1 - count, at + 1))


def column(bars: list[Bar], field: str) -> Any:
    return np.array([float(getattr(bar, field)) for bar in bars])


@pytest.mark.parametrize("at", [400, 800, 2000])
def test_the_figures_are_those_of_ta_lib(providers: RecordedProviders, shares: RecordedProvider, at: int) -> None:
    shares.at = at
    found = done(technical_analysis(indicators=ALL, symbols=("AAPL",), providers=providers, context=context()))
    bars = latest("aapl-1d", at, 250)
    close, high, low = (column(bars, field) for field in ("close", "high", "low"))
    figures = found.by_symbol["AAPL"]
    assert found.rsi == pytest.approx(talib.RSI(close)[-1])
    assert found.sma == pytest.approx(talib.SMA(close, 20)[-1])
    assert found.ema == pytest.approx(talib.EMA(close, 20)[-1])
    assert found.atr == pytest.approx(talib.ATR(high, low, close)[-1])
    line, signal, histogram = (one[-1] for one in talib.MACD(close))
    assert [figures.macd_line, figures.macd_signal] == pytest.approx([line, signal])
    assert found.macd == ("bullish" if histogram > 0 else "bearish")
    bands = [one[-1] for one in talib.BBANDS(close, 20)]
    assert found.bbands is not None
    assert [found.bbands.upper, found.bbands.middle, found.bbands.lower] == pytest.approx(bands)
    assert (found.price, found.time) == (bars[-1].close, bars[-1].end_ns)


def test_both_trends_are_recorded(providers: RecordedProviders, shares: RecordedProvider) -> None:
    trends = set()
    for shares.at in range(400, 600, 20):
        found = done(technical_analysis(symbols="AAPL", providers=providers, context=context()))
        trends.add(found.macd)
    assert trends == {"bullish", "bearish"}


def test_every_symbol_has_its_figures_and_the_first_is_the_plain_one(providers: RecordedProviders) -> None:
    found = done(technical_analysis(symbols=("MSFT", "AAPL"), providers=providers, context=context()))
    assert found.symbols == list(found.by_symbol) == ["MSFT", "AAPL"]
    assert found.rsi == found.by_symbol["MSFT"].rsi != found.by_symbol["AAPL"].rsi
    assert found.sma is None
    started = context(event={"symbols": ["AAPL"]})
    assert done(technical_analysis(symbols=("MSFT",), providers=providers, context=started)).symbols == ["AAPL"]


def test_periods_can_be_said(providers: RecordedProviders) -> None:
    found = done(
        technical_analysis(
            indicators=("RSI", "MACD"), symbols="AAPL", periods={"RSI": 7, "MACD": (5, 10, 4)}, providers=providers,
            context=context(),
        )
    )  # fmt: skip
    close = column(latest("aapl-1d", 800, 250), "close")
    assert found.rsi == pytest.approx(talib.RSI(close, 7)[-1])
    assert found.by_symbol["AAPL"].macd_line == pytest.approx(talib.MACD(close, 5, 10, 4)[0][-1])
    with pytest.raises(InvalidInput, match=r"periods\.MACD.*3 numbers"):
        done(technical_analysis(symbols="AAPL", periods={"MACD": 12}, providers=providers, context=context()))


@pytest.mark.parametrize(("indicator", "needed"), [("RSI", 15), ("MACD", 34), ("SMA", 20), ("BBANDS", 20), ("ATR", 15)])
def test_with_too_few_bars_there_is_no_figure(
    providers: RecordedProviders, shares: RecordedProvider, indicator: Any, needed: int
) -> None:
    shares.at = needed - 1
    done(technical_analysis(indicators=(indicator,), symbols="AAPL", providers=providers, context=context()))
    shares.at = needed - 2
    with pytest.raises(InvalidInput, match=rf"at least {needed} for {indicator}; found {needed - 1}"):
        done(technical_analysis(indicators=(indicator,), symbols="AAPL", providers=providers, context=context()))


def test_indicators_may_be_written_in_any_case_and_unknown_ones_are_named() -> None:
    setting = DECLARED["technical_analysis"].params["indicators"]
    assert setting.read(["rsi", "Macd"], "indicators") == ("RSI", "MACD")
    with pytest.raises(InvalidInput, match=r"indicators\[0\].*RSI"):
        setting.read(["VWAP"], "indicators")


def test_the_rsi_s_signal_follows_the_recorded_market(providers: RecordedProviders, shares: RecordedProvider) -> None:
    signals: dict[str, tuple[int, float]] = {}
    for shares.at in range(300, 1500, 5):
        found = done(rsi_signal(symbol="AAPL", providers=providers, context=context()))
        signals.setdefault(found.signal, (shares.at, found.rsi))
    assert set(signals) == {"buy", "sell", "hold"}
    assert signals["buy"][1] <= 30 < signals["hold"][1] < 70 <= signals["sell"][1]
    at, rsi = signals["buy"]
    assert rsi == pytest.approx(talib.RSI(column(latest("aapl-1d", at, 140), "close"))[-1])
    shares.at = at
    exact = done(rsi_signal(oversold=rsi, symbol="AAPL", providers=providers, context=context()))
    assert exact.signal == "buy"


def test_bars_that_come_in_are_used_and_must_be_of_the_symbol(providers: RecordedProviders) -> None:
    bars = latest("msft-1d", 500, 100)
    found = done(rsi_signal(bars, providers=providers, context=context()))
    assert found.rsi == pytest.approx(talib.RSI(column(bars, "close"))[-1])
    assert done(rsi_signal(bars, symbol="MSFT", providers=providers, context=context())) == found
    with pytest.raises(InvalidInput, match=r"bars of AAPL"):
        done(rsi_signal(bars, symbol="AAPL", providers=providers, context=context()))
    with pytest.raises(InvalidInput, match=r"at least 15; found '14 bars of MSFT"):
        done(rsi_signal(bars[:14], providers=providers, context=context()))
    with pytest.raises(InvalidInput, match=r"oldest first"):
        done(rsi_signal(bars[::-1], providers=providers, context=context()))
    with pytest.raises(InvalidInput, match=r"less than overbought"):
        done(rsi_signal(bars, oversold=80.0, providers=providers, context=context()))


def test_a_change_is_a_fraction_of_the_close_a_window_before(
    providers: RecordedProviders, shares: RecordedProvider
) -> None:
    recorded = Recording.open("aapl-1d")
    ways = set()
    for shares.at in range(500, 520):
        found = done(price_change(window=3, symbol="AAPL", providers=providers, context=context()))
        price, before = recorded[shares.at].close, recorded[shares.at - 3].close
        assert found.change == round(price / before - 1, 16)
        assert (found.price, found.reference) == (price, before)
        assert found.direction == ("up" if price > before else "down")
        ways.add(found.direction)
    assert ways == {"up", "down"}


def test_volatility_is_what_the_trigger_of_that_name_measures(
    providers: RecordedProviders, shares: RecordedProvider
) -> None:
    seen = set()
    for shares.at in (100, 1300):
        found = done(volatility(window=20, year="252d", symbol="AAPL", providers=providers, context=context()))
        trigger = Volatility("AAPL", above="0.000001", window=20, year="252d")
        (fired,) = filter(None, map(trigger.on_bar, latest("aapl-1d", shares.at, 21)))
        assert found.volatility == pytest.approx(float(fired.amount))
        seen.add(found.volatility)
    assert len(seen) == 2


def scores(providers: RecordedProviders, **options: Any) -> Any:
    return done(z_score(providers=providers, context=context(), **{"symbols": ("AAPL", "MSFT"), **options}))


def test_the_z_score_is_that_of_numpy(providers: RecordedProviders, shares: RecordedProvider) -> None:
    signals = set()
    for shares.at in range(300, 1000, 10):
        found = scores(providers)
        spread = np.log(column(latest("aapl-1d", shares.at, 21), "close"))
        spread -= np.log(column(latest("msft-1d", shares.at, 21), "close"))
        assert found.mean == pytest.approx(np.mean(spread[:-1]))
        assert found.std == pytest.approx(np.std(spread[:-1], ddof=1))
        assert found.z == pytest.approx((spread[-1] - found.mean) / found.std)
        size = abs(found.z)
        assert found.signal == (
            "hold" if 0.5 < size < 2 else "exit" if size <= 0.5 else "sell" if found.z > 0 else "buy"
        )
        signals.add(found.signal)
    assert signals == {"hold", "exit", "sell", "buy"}


def test_one_symbol_at_two_venues_is_compared_at_times_that_both_have() -> None:
    bitstamp = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")
    coinbase = RecordedProvider("coinbase", "coinbase-btc-usd-1d", at=1000)
    bitstamp.meet(coinbase, "BTC/USD")
    providers = RecordedProviders(bitstamp, coinbase)
    found = scores(providers, symbols="BTC/USD", provider_names=("bitstamp", "coinbase"))
    opposite = scores(providers, symbols="BTCUSD", provider_names=("coinbase", "bitstamp"))
    assert found.z == pytest.approx(-opposite.z)
    bitstamp.at -= 3
    with pytest.raises(Stale, match=r"BTC/USD at bitstamp"):
        scores(providers, symbols="BTC/USD", provider_names=("coinbase", "bitstamp"))


def test_a_score_of_nothing_is_refused(providers: RecordedProviders, shares: RecordedProvider) -> None:
    with pytest.raises(InvalidInput, match=r"two legs or more"):
        scores(providers, symbols=("AAPL",))
    with pytest.raises(InvalidInput, match=r"a spread that has moved within 20 bars"):
        scores(providers, symbols=("AAPL", "AAPL"))
    with pytest.raises(InvalidInput, match=r"less than entry"):
        scores(providers, exit=2.0)
    shares.at = 19
    with pytest.raises(InvalidInput, match=r"at least 21 of AAPL at shares, MSFT at shares; found '20 common bars'"):
        scores(providers)


def test_bars_of_different_lengths_are_no_pair(providers: RecordedProviders) -> None:
    hours = RecordedProvider("hours", "aapl-1h")
    both = RecordedProviders(RecordedProvider("shares", "aapl-1d"), hours)
    with pytest.raises(InvalidInput, match=r"bars of one length"):
        scores(both, symbols="AAPL", provider_names=("shares", "hours"))


def test_providers_that_are_not_configured_are_named(providers: RecordedProviders) -> None:
    check = DECLARED["z_score"].check
    assert check is not None
    sources = Sources({"providers": providers})
    assert check({"provider_names": ("shares",)}, sources) is None
    assert "configured: shares" in str(check({"provider_names": ("shares", "kraken")}, sources))


def test_the_decimal_prices_stay_as_recorded(providers: RecordedProviders) -> None:
    found = done(technical_analysis(symbols="AAPL", providers=providers, context=context()))
    assert type(found.price) is Decimal
