"""A price crosses a level once, whichever way, and trembling about it counts as nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.support import closes, decimals
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording, Tick
from tickwork.market.triggers import Direction, PriceCross, PriceCrossed


def crossings(trigger: PriceCross, bars: Sequence[Bar]) -> list[tuple[int, str]]:
    """Index and direction of every crossing."""
    fired = [(index, trigger.on_bar(bar)) for index, bar in enumerate(bars)]
    return [(index, found.direction) for index, found in fired if found is not None]


def test_to_touch_the_level_is_to_cross_it() -> None:
    assert crossings(PriceCross("BTC/USD", "100"), closes("99", "100")) == [(1, "up")]
    assert crossings(PriceCross("BTC/USD", "100"), closes("101", "100")) == [(1, "down")]
    assert crossings(PriceCross("BTC/USD", "100"), closes("99", "99.9999999")) == []
    assert crossings(PriceCross("BTC/USD", "100"), closes("90", "110", "90")) == [(1, "up"), (2, "down")]


def test_a_touch_from_one_side_and_on_to_the_other_is_one_crossing() -> None:
    assert crossings(PriceCross("BTC/USD", "100"), closes("99", "100", "101")) == [(1, "up")]
    assert crossings(PriceCross("BTC/USD", "100"), closes("99", "100", "99", "100")) == [(1, "up"), (3, "up")]
    assert crossings(PriceCross("BTC/USD", "100"), closes("99", "101", "100", "99")) == [(1, "up"), (2, "down")]


@pytest.mark.parametrize("first", ["99", "100", "101"])
def test_the_first_price_crosses_nothing(first: str) -> None:
    assert crossings(PriceCross("BTC/USD", "100"), closes(first, first)) == []


def test_a_trembling_price_crosses_once() -> None:
    bars = closes("99.9", "100.1", "99.9", "100.1", "99.5", "100", "100.9")
    assert crossings(PriceCross("BTC/USD", "100", hysteresis="0.01"), bars) == [(1, "up")]
    # exactly the edge of the band is not beyond it
    bars = closes("99.9", "100.1", "99", "100.1", "98.9", "100.1", "101", "100", "101.1", "100")
    assert crossings(PriceCross("BTC/USD", "100", hysteresis="0.01"), bars) == [(1, "up"), (5, "up"), (9, "down")]


def test_a_direction_counts_one_side_only() -> None:
    bars = closes("99", "101", "99", "101")
    assert crossings(PriceCross("BTC/USD", "100", direction="up"), bars) == [(1, "up"), (3, "up")]
    assert crossings(PriceCross("BTC/USD", "100", direction="down"), bars) == [(2, "down")]


def model(prices: list[Decimal], level: Decimal, direction: str, hysteresis: Decimal) -> list[tuple[int, str]]:
    """Written from the description: for each price, look back for where it last stood clear of the level."""
    found: list[tuple[int, str]] = []
    crossed_at = 0
    for index in range(1, len(prices)):
        side = 0
        for earlier in range(crossed_at, index):
            price = prices[earlier]
            # before anything was crossed the first price says on which side it is, however near
            margin = Decimal(0) if earlier == 0 else hysteresis
            if price > level * (1 + margin):
                side = 1
            elif price < level * (1 - margin):
                side = -1
        if side == -1 and prices[index] >= level:
            way = "up"
        elif side == 1 and prices[index] <= level:
            way = "down"
        else:
            continue
        crossed_at = index
        if direction in ("any", way):
            found.append((index, way))
    return found


@given(
    st.lists(decimals("95", "105", 1), max_size=40),
    st.sampled_from(get_args(Direction)),
    st.sampled_from([Decimal(0), Decimal("0.01"), Decimal("0.03")]),
)
def test_it_fires_exactly_where_the_model_says(prices: list[Decimal], direction: Direction, margin: Decimal) -> None:
    trigger = PriceCross("BTC/USD", "100", direction=direction, hysteresis=margin)
    assert crossings(trigger, closes(*prices)) == model(prices, Decimal(100), direction, margin)


@given(st.lists(decimals("95", "105", 1), max_size=30), st.sampled_from(["0", "0.02"]), st.data())
def test_it_goes_on_from_its_state(prices: list[Decimal], margin: str, data: st.DataObject) -> None:
    bars = closes(*prices)
    cut = data.draw(st.integers(0, len(bars)))
    whole = PriceCross("BTC/USD", "100", hysteresis=margin)
    part = whole.fresh()
    expected = [whole.on_bar(bar) for bar in bars]
    for bar in bars[:cut]:
        part.on_bar(bar)
    revived = PriceCross.from_state(json.loads(json.dumps(part.state())))
    assert [revived.on_bar(bar) for bar in bars[cut:]] == expected[cut:]
    assert revived.state() == whole.state()


@pytest.mark.parametrize("level", ["0", "-1", "NaN", "sNaN", "Infinity", "", "high", 70000.0, None, True])
def test_a_level_that_is_none_is_refused(level: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        PriceCross("BTC/USD", level)
    assert refused.value.path == "level"


@pytest.mark.parametrize("hysteresis", ["-0.01", "1", "2", "NaN", "Infinity", 0.01, None, True])
def test_a_hysteresis_that_is_none_is_refused(hysteresis: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        PriceCross("BTC/USD", "100", hysteresis=hysteresis)
    assert refused.value.path == "hysteresis"


@pytest.mark.parametrize("direction", ["sideways", "", None, 1])
def test_a_direction_that_is_none_is_refused(direction: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        PriceCross("BTC/USD", "100", direction=direction)
    assert refused.value.path == "direction"


def test_the_event_says_what_was_crossed() -> None:
    trigger = PriceCross("BTC/USD", "3", hysteresis="0.1")
    made = [trigger.on_tick(Tick("made", offset, bar)) for offset, bar in enumerate(closes("2", "4", "2.5"))]
    assert made[0] is None
    up, down = made[1], made[2]
    assert up is not None and down is not None
    assert (up.direction, up.level, up.price, up.offset) == ("up", Decimal(3), Decimal(4), 1)
    assert up.beyond == Decimal("0.3333333333333333")
    assert (down.direction, down.beyond, down.hysteresis) == ("down", Decimal("-0.1666666666666667"), Decimal("0.1"))
    assert PriceCrossed.from_wire(up.to_wire()) == up
    assert (PriceCrossed.event_name, PriceCrossed.event_version) == ("market/price.crossed", 1)


def test_real_hours_cross_a_level_less_often_with_a_margin() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    level = recording[len(recording) // 2].close
    often, seldom = (
        len(crossings(PriceCross("BTC/USD", level, hysteresis=margin), list(recording))) for margin in ("0", "0.05")
    )
    assert often > seldom > 0
