"""Volatility, of an index and realised: on the edge, held against numpy, the same from any state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.support import HOUR_NS, bar_lists, closes, decimals, flat
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording, Tick
from tickwork.market.triggers import Volatility, VolatilityRose

LITTLE = "0.000000000001"


def firings(trigger: Volatility, bars: Sequence[Bar]) -> list[int]:
    """The indices of the bars at which the trigger fires."""
    return [index for index, bar in enumerate(bars) if trigger.on_bar(bar) is not None]


def annualised(prices: Sequence[Decimal], bars_per_year: float) -> float:
    returns = np.diff(np.log([float(price) for price in prices]))
    return float(np.std(returns, ddof=1) * np.sqrt(bars_per_year))


# --------------------------------------------------------------------------------------------------------------- index


def levels(*values: str) -> list[Bar]:
    return [flat(value, index, symbol="VIX") for index, value in enumerate(values)]


def test_an_index_fires_once_while_it_is_high() -> None:
    assert firings(Volatility(index="VIX", above="30"), levels("29.99", "30", "35", "29.99", "30")) == [1, 4]
    assert firings(Volatility(index="VIX", above=30), levels("31", "32")) == [0]
    assert firings(Volatility(index="^VIX", above=30), levels("31", "32")) == []


def test_an_index_that_trembles_fires_once() -> None:
    trigger = Volatility(index="VIX", above="30", hysteresis="0.1")
    # 27 is the edge of the margin, not beyond it
    assert firings(trigger, levels("31", "29", "31", "27", "31", "26.99", "29.99", "30")) == [0, 7]


def test_the_event_of_an_index() -> None:
    trigger = Volatility(index="VIX", above="30.0")
    event = trigger.on_tick(Tick("vix", 3, levels("31.5")[0]))
    assert event is not None
    assert (event.measure, event.volatility, event.price) == ("index", Decimal("31.5"), Decimal("31.5"))
    assert (event.above, event.window, event.year) == (Decimal(30), "", "")
    assert event.happened_at == event.known_at
    assert VolatilityRose.from_wire(event.to_wire()) == event


# ------------------------------------------------------------------------------------------------------------ realised


@pytest.mark.parametrize(
    ("year", "hours"), [("365d", 365 * 24), ("252d", 252 * 24), ("1638h", 1638), ("8760 hours", 8760)]
)
def test_a_year_is_the_time_the_market_is_open(year: str, hours: int) -> None:
    prices = ["100", "103", "99", "104"]
    trigger = Volatility("BTC/USD", above=LITTLE, window=3, year=year)
    event = [trigger.on_tick(Tick("made", i, bar)) for i, bar in enumerate(closes(*prices))][-1]
    assert event is not None
    assert float(event.volatility) == pytest.approx(annualised([Decimal(p) for p in prices], hours), rel=1e-12)
    assert (event.measure, event.window) == ("realised", "3 bars")
    assert VolatilityRose.from_wire(event.to_wire()) == event


def test_by_default_thirty_returns_of_a_market_that_never_closes() -> None:
    trigger = Volatility("BTC/USD", above="0.8")
    assert (trigger.window, trigger.year) == ("30 bars", "365d")
    wild = [flat("100" if index % 2 else "101", index) for index in range(40)]
    assert firings(Volatility("BTC/USD", above=LITTLE), wild) == [30]


def test_a_steady_rise_has_no_volatility() -> None:
    # equal returns, exactly representable: 1, 2, 4, ...
    doubling = closes(*[str(2**n) for n in range(20)])
    assert firings(Volatility("BTC/USD", above=LITTLE, window=5), doubling) == []


@given(bar_lists(max_size=25), st.integers(2, 6), decimals("0.01", "500", 2), st.sampled_from(["365d", "1638h"]))
def test_it_fires_exactly_where_numpy_says(bars: Sequence[Bar], window: int, limit: Decimal, year: str) -> None:
    year_ns = (365 * 24 if year == "365d" else 1638) * HOUR_NS
    expected, unsure, before = [], False, False
    for index in range(window, len(bars)):
        prices = [bar.close for bar in bars[index - window : index + 1]]
        value = annualised(prices, year_ns / bars[0].interval_ns)
        # a float says nothing about what is as near as its own error
        unsure |= abs(value - float(limit)) < 1e-6 * float(limit)
        holds = value >= float(limit)
        if holds and not before:
            expected.append(index)
        before = holds
    if not unsure:
        assert firings(Volatility("BTC/USD", above=limit, window=window, year=year), bars) == expected


@given(bar_lists(max_size=25), st.sampled_from(["0", "0.5"]), st.data())
def test_it_goes_on_from_its_state(bars: Sequence[Bar], margin: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(bars)))
    wholes = [
        Volatility("BTC/USD", above="100", window=3, hysteresis=margin),
        Volatility(index="BTC/USD", above="5000", hysteresis=margin),
    ]
    for whole in wholes:
        part = whole.fresh()
        expected = [whole.on_bar(bar) for bar in bars]
        firings(part, bars[:cut])
        revived = Volatility.from_state(json.loads(json.dumps(part.state())))
        assert [revived.on_bar(bar) for bar in bars[cut:]] == expected[cut:]
        assert revived.state() == whole.state()


def test_a_long_stream_does_not_drift() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    trigger = Volatility("BTC/USD", above=LITTLE, window=24)
    bars = list(recording.bars(0, 5_000))
    for bar in bars:
        trigger.on_bar(bar)
    fresh = trigger.fresh()
    for bar in bars[-25:]:
        fresh.on_bar(bar)
    last = flat("1", 0)  # of the same stream, one bar later
    end = bars[-1]
    last = Bar(end.symbol, end.venue, end.end_ns, end.interval_ns, end.open, end.high, end.low, end.close, end.volume)
    assert trigger._square(last) == fresh._square(last)


def test_real_hours_are_wild_now_and_then() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    trigger = Volatility("BTC/USD", above="0.8", hysteresis="0.2")
    assert 5 < sum(trigger.on_bar(bar) is not None for bar in recording) < 500


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("above", ["0", "-1", "NaN", "Infinity", "", "high", 30.0, None, True])
def test_a_limit_that_is_none_is_refused(above: Any) -> None:
    for given_ in ({"index": "VIX"}, {"symbol": "BTC/USD"}):
        with pytest.raises(InvalidInput) as refused:
            Volatility(above=above, **given_)
        assert refused.value.path == "above"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "volatility"),
        ({"symbol": "BTC/USD", "index": "VIX"}, "volatility"),
        ({"symbol": "btc"}, "symbol"),
        ({"index": "VIX", "window": 30}, "window"),
        ({"index": "VIX", "year": "365d"}, "year"),
        ({"symbol": "BTC/USD", "window": 1}, "window"),
        ({"symbol": "BTC/USD", "window": "1h"}, "window"),
        ({"symbol": "BTC/USD", "window": 2.5}, "window"),
        ({"symbol": "BTC/USD", "year": "0s"}, "year"),
        ({"symbol": "BTC/USD", "year": 365}, "year"),
        ({"symbol": "BTC/USD", "hysteresis": "1"}, "hysteresis"),
        ({"index": "VIX", "hysteresis": 0.1}, "hysteresis"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Volatility(above="1", **options)
    assert refused.value.path == path
