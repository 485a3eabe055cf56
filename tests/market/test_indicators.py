"""Indicators equal TA-Lib's and survive being put away in the middle."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import inf, isclose, nan
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.market.indicators import ATR, EMA, MACD, RSI, SMA, MacdValue
from tickwork.market.recording import Recording

prices = st.lists(st.floats(0.01, 100_000.0), min_size=1, max_size=120)
Numbers = list[float]


def one_by_one(indicator: Any, values: Numbers) -> list[float | None]:
    return [indicator.update(value) for value in values]


def agree(ours: list[float | None], theirs: Any, scale: float = 1.0) -> None:
    """Equal to 1e-9, relative or of the size of the numbers that went in; None where TA-Lib has NaN."""
    assert len(ours) == len(theirs)
    for index, (own, other) in enumerate(zip(ours, theirs.tolist(), strict=True)):
        if own is None:
            assert np.isnan(other), f"at {index}: nothing, TA-Lib has {other}"
        else:
            assert isclose(own, other, rel_tol=1e-9, abs_tol=1e-9 * scale), f"at {index}: {own}, TA-Lib has {other}"


def arrays(values: Numbers) -> Any:
    return np.asarray(values, dtype=np.float64)


@given(prices, st.integers(2, 30))
def test_sma_and_ema_are_talib_s(values: Numbers, period: int) -> None:
    agree(one_by_one(SMA(period), values), talib.SMA(arrays(values), period), max(values))
    agree(one_by_one(EMA(period), values), talib.EMA(arrays(values), period), max(values))


@given(prices, st.integers(2, 30))
def test_rsi_is_talib_s_wherever_something_moved(values: Numbers, period: int) -> None:
    ours = one_by_one(RSI(period), values)
    theirs = talib.RSI(arrays(values), period)
    moved = [len(set(values[: index + 1])) > 1 for index in range(len(values))]
    agree([own if has else None for own, has in zip(ours, moved, strict=True)], np.where(moved, theirs, nan))


def test_rsi_of_a_market_that_does_not_move_is_in_the_middle() -> None:
    assert one_by_one(RSI(3), [7.0] * 5) == [None, None, None, 50.0, 50.0]


@given(prices, st.integers(2, 8), st.integers(1, 8), st.integers(1, 8))
def test_macd_is_talib_s(values: Numbers, fast: int, more: int, signal: int) -> None:
    indicator = MACD(fast, fast + more, signal)
    ours = [indicator.update(value) for value in values]
    theirs = talib.MACD(arrays(values), fast, fast + more, signal)
    for place in range(3):
        agree([None if own is None else own[place] for own in ours], theirs[place], max(values))


@given(st.lists(st.tuples(*[st.floats(0.01, 1_000.0)] * 3), min_size=1, max_size=80), st.integers(1, 20))
def test_atr_is_talib_s(rows: list[tuple[float, float, float]], period: int) -> None:
    bars = [(high, low, close) for low, close, high in map(sorted, rows)]
    indicator = ATR(period)
    ours = [indicator.update(*bar) for bar in bars]
    highs, lows, closing = (arrays(list(column)) for column in zip(*bars, strict=True))
    agree(ours, talib.ATR(highs, lows, closing, period), 1_000.0)


def test_twenty_thousand_real_bars_agree() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    closing = recording.floats("close")
    agree(one_by_one(RSI(), closing), talib.RSI(arrays(closing), 14))
    agree(one_by_one(SMA(200), closing), talib.SMA(arrays(closing), 200))
    macd = MACD()
    lines = [macd.update(value) for value in closing]
    agree([None if line is None else line.histogram for line in lines], talib.MACD(arrays(closing))[2], max(closing))
    highs, lows = recording.floats("high"), recording.floats("low")
    atr = ATR()
    ranges = [atr.update(*bar) for bar in zip(highs, lows, closing, strict=True)]
    agree(ranges, talib.ATR(arrays(highs), arrays(lows), arrays(closing), 14))


def test_a_great_number_leaves_no_residue_in_a_moving_average() -> None:
    average = SMA(3)
    values = [1e17, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert one_by_one(average, values)[-1] == 5.0


INDICATORS: list[Callable[[], Any]] = [lambda: SMA(5), lambda: EMA(5), lambda: RSI(5), lambda: MACD(3, 6, 4)]


@pytest.mark.parametrize("make", INDICATORS)
@given(values=prices, data=st.data())
def test_an_indicator_goes_on_from_its_state_to_the_last_bit(
    make: Callable[[], Any], values: Numbers, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, part = make(), make()
    expected = one_by_one(whole, values)
    one_by_one(part, values[:cut])
    revived = type(part).from_state(json.loads(json.dumps(part.state())))
    assert revived.value == part.value
    assert one_by_one(revived, values[cut:]) == expected[cut:]
    assert revived.state() == whole.state()


def test_atr_goes_on_from_its_state() -> None:
    bars = [(float(n + 2), float(n), float(n + 1)) for n in range(1, 30)]
    whole, part = ATR(5), ATR(5)
    expected = [whole.update(*bar) for bar in bars]
    for bar in bars[:11]:
        part.update(*bar)
    revived = ATR.from_state(json.loads(json.dumps(part.state())))
    assert [revived.update(*bar) for bar in bars[11:]] == expected[11:]


def test_a_macd_value_keeps_its_names_through_a_state() -> None:
    macd = MACD(2, 3, 1)
    one_by_one(macd, [1.0, 2.0, 4.0, 8.0])
    assert isinstance(MACD.from_state(macd.state()).value, MacdValue)


@pytest.mark.parametrize("make", INDICATORS)
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_no_number_never_gets_in(make: Callable[[], Any], value: float) -> None:
    indicator = make()
    one_by_one(indicator, [1.0, 2.0])
    before = indicator.state()
    with pytest.raises(InvalidInput):
        indicator.update(value)
    assert indicator.state() == before


def test_atr_refuses_a_bar_that_is_none() -> None:
    for bar in ((nan, 1.0, 1.0), (1.0, 2.0, 1.5), (2.0, 1.0, 3.0)):
        with pytest.raises(InvalidInput):
            ATR().update(*bar)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SMA(0),
        lambda: EMA(-1),
        lambda: RSI(1),
        lambda: ATR(0),
        lambda: MACD(26, 12),
        lambda: MACD(12, 12),
        lambda: SMA(True),
        lambda: SMA(2.5),  # type: ignore[arg-type]
    ],
)
def test_a_period_of_nothing_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInput):
        make()


@pytest.mark.parametrize("state", [{}, {"kind": "ema"}, {"kind": "sma", "period": 3}, {"kind": "nothing"}])
def test_the_state_of_another_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        SMA.from_state(state)
