"""Triggers fire once, on the edge, on exactly the threshold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.market.support import HOUR_NS, START_NS, bar_lists, closes, decimals, flat, volumes
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording, Tick
from tickwork.market.triggers import Direction, PriceChange, PriceChanged, VolumeSpike, VolumeSpiked


def firings(trigger: PriceChange | VolumeSpike, bars: Sequence[Bar]) -> list[int]:
    """The indices of the bars at which the trigger fires."""
    return [index for index, bar in enumerate(bars) if trigger.on_bar(bar) is not None]


# ------------------------------------------------------------------------------------------------------- price change


def test_exactly_the_threshold_fires_and_a_hair_less_does_not() -> None:
    assert firings(PriceChange("BTC/USD", "0.02"), closes("100", "102")) == [1]
    assert firings(PriceChange("BTC/USD", "0.02"), closes("100", "101.99999999")) == []
    assert firings(PriceChange("BTC/USD", "0.02"), closes("100", "98")) == [1]
    # a third is endless in decimals; the comparison is exact all the same
    assert firings(PriceChange("BTC/USD", "0.1"), closes("0.3", "0.33")) == [1]


def test_it_fires_once_while_the_condition_lasts_and_again_after_a_rest() -> None:
    bars = closes("100", "103", "106", "110", "110", "114", "114")
    assert firings(PriceChange("BTC/USD", "0.02"), bars) == [1, 5]


def test_a_turn_from_one_side_to_the_other_is_a_new_crossing() -> None:
    assert firings(PriceChange("BTC/USD", "0.02"), closes("100", "105", "100", "105")) == [1, 2, 3]


@pytest.mark.parametrize(("direction", "expected"), [("any", [1, 2]), ("up", [1]), ("down", [2])])
def test_a_direction_counts_one_side_only(direction: Direction, expected: list[int]) -> None:
    assert firings(PriceChange("BTC/USD", "0.02", direction=direction), closes("100", "105", "100")) == expected


def test_a_window_of_bars_looks_that_many_back() -> None:
    bars = closes("100", "101", "102", "103", "103", "103")
    assert firings(PriceChange("BTC/USD", "0.03"), bars) == []
    assert firings(PriceChange("BTC/USD", "0.03", window=3), bars) == [3]
    assert firings(PriceChange("BTC/USD", "0.03", window="3 bars"), bars) == [3]


@pytest.mark.parametrize("window", ["2h", timedelta(hours=2), "120 min"])
def test_a_window_of_time_holds_against_the_last_close_known_then(window: str | timedelta) -> None:
    trigger = PriceChange("BTC/USD", "0.05", window=window)
    assert trigger.window == "2h"
    # a night without bars: at bar 20 the last close known two hours before is bar 2's
    bars = [flat("100", 0), flat("101", 1), flat("103", 2), flat("107", 20), flat("107", 21)]
    assert firings(trigger, bars) == []
    bars = [flat("100", 0), flat("101", 1), flat("103", 2), flat("109", 20), flat("110", 21)]
    fired = [fired for fired in map(PriceChange("BTC/USD", "0.05", window=window).on_bar, bars) if fired]
    assert [(f.bar.close, f.reference) for f in fired] == [(Decimal(109), Decimal(103))]


def test_a_redelivered_bar_is_no_news() -> None:
    trigger = PriceChange("BTC/USD", "0.02")
    bars = closes("100", "103", "100")
    assert firings(trigger, [bars[0], bars[1], bars[1], bars[0], bars[1], bars[2]]) == [1, 5]


def test_bars_of_others_pass_by() -> None:
    trigger = PriceChange("BTC/USD", "0.02", venue="test", interval="1h")
    others = [
        flat("500", 1, symbol="ETH/USD"),
        flat("500", 1, venue="other"),
        flat("500", 1, interval_ns=24 * HOUR_NS),
    ]
    assert firings(trigger, [flat("100", 0), *others, flat("101", 2)]) == []


@pytest.mark.parametrize("other", [flat("100", 1, venue="other"), flat("100", 1, interval_ns=24 * HOUR_NS)])
def test_a_second_stream_is_an_error_unless_the_trigger_says_which(other: Bar) -> None:
    trigger = PriceChange("BTC/USD", "0.02")
    trigger.on_bar(flat("100", 0))
    with pytest.raises(InvalidInput, match="give the trigger venue="):
        trigger.on_bar(other)


@pytest.mark.parametrize("threshold", ["0", "-0.02", "NaN", "sNaN", "Infinity", "", "two", 0.02, None, True])
def test_a_threshold_that_is_none_is_refused(threshold: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        PriceChange("BTC/USD", threshold)
    assert refused.value.path == "threshold"


@pytest.mark.parametrize(
    "options",
    [
        {"direction": "sideways"},
        {"window": 0},
        {"window": -1},
        {"window": "0s"},
        {"window": "0 bars"},
        {"window": 1.5},
        {"window": True},
        {"window": "soon"},
        {"interval": 60},
    ],
)
def test_an_option_that_is_none_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        PriceChange("BTC/USD", "0.02", **options)
    with pytest.raises(InvalidInput):
        PriceChange("btcusd", "0.02")


def test_a_nan_cannot_reach_a_trigger() -> None:
    with pytest.raises(InvalidInput):
        PriceChange("BTC/USD", "0.02").on_bar(flat("NaN", 0))


@given(bar_lists(), decimals("0.0001", "2", 4), st.integers(1, 5), st.sampled_from(["any", "up", "down"]))
def test_a_price_change_fires_exactly_where_its_condition_becomes_true(
    bars: Sequence[Bar], threshold: Decimal, window: int, direction: Direction
) -> None:
    assume(direction != "down" or threshold < 1)  # no price falls by all of itself
    expected = []
    before = 0
    for index in range(window, len(bars)):
        reference, close = bars[index - window].close, bars[index].close
        up = close >= reference + reference * threshold and direction != "down"
        down = close <= reference - reference * threshold and direction != "up"
        side = int(up) - int(down)
        if side not in (0, before):
            expected.append(index)
        before = side
    assert firings(PriceChange("BTC/USD", threshold, direction=direction, window=window), bars) == expected


# ------------------------------------------------------------------------------------------------------- volume spike


def test_a_spike_is_held_against_the_bars_before_it() -> None:
    trigger = VolumeSpike("BTC/USD", "2", window=3)
    # 10 10 10 -> mean 10: 20 fires; then mean 13.3: 26 does not
    assert firings(trigger, volumes("10", "10", "10", "20", "26", "1", "94")) == [3, 6]


def test_a_spike_fires_once_while_it_lasts() -> None:
    assert firings(VolumeSpike("BTC/USD", "2", window=2), volumes("1", "1", "9", "99", "999", "1", "9999")) == [2, 6]


def test_nothing_is_no_measure() -> None:
    assert firings(VolumeSpike("BTC/USD", "2", window=2), volumes("0", "0", "5", "0", "0", "0", "7")) == []


@pytest.mark.parametrize("multiplier", ["0", "-2", "1", "0.5", "NaN", "Infinity", 2.0, None])
def test_a_multiplier_that_is_none_is_refused(multiplier: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        VolumeSpike("BTC/USD", multiplier)
    assert refused.value.path == "multiplier"


@pytest.mark.parametrize("window", [0, -3, "1h", "0 bars", 2.5, None])
def test_a_window_of_no_bars_is_refused(window: Any) -> None:
    with pytest.raises(InvalidInput):
        VolumeSpike("BTC/USD", "2", window=window)


@given(st.lists(decimals("0", "1000", 5), max_size=40), decimals("1.01", "5", 2), st.integers(1, 6))
def test_a_spike_fires_exactly_where_its_condition_becomes_true(
    amounts: list[Decimal], multiplier: Decimal, window: int
) -> None:
    expected = []
    before = False
    for index in range(window, len(amounts)):
        total = sum(amounts[index - window : index], Decimal(0))
        holds = total > 0 and amounts[index] * window >= total * multiplier
        if holds and not before:
            expected.append(index)
        before = holds
    assert firings(VolumeSpike("BTC/USD", multiplier, window=window), volumes(*amounts)) == expected


# ----------------------------------------------------------------------------------------------------- events, states


def test_a_price_event_says_where_it_comes_from() -> None:
    trigger = PriceChange("BTC/USD", "0.02", window="1h")
    ticks = [Tick("made", offset, bar) for offset, bar in enumerate(closes("3", "4"), 70)]
    assert trigger.on_tick(ticks[0]) is None
    event = trigger.on_tick(ticks[1])
    assert event is not None
    assert (event.recording, event.offset, event.window, event.direction) == ("made", 71, "1h", "up")
    assert event.change == Decimal("0.3333333333333333")
    assert (event.known_at - event.bar_time) == timedelta(hours=1)
    wire = event.to_wire()
    assert json.loads(wire) == {
        "symbol": "BTC/USD",
        "venue": "test",
        "barTime": "2023-11-14T23:13:20Z",
        "knownAt": "2023-11-15T00:13:20Z",
        "price": "4",
        "reference": "3",
        "change": "0.3333333333333333",
        "direction": "up",
        "threshold": "0.02",
        "window": "1h",
        "recording": "made",
        "offset": 71,
        "trigger": "price_change BTC/USD 0.02 any 1h",
    }
    assert PriceChanged.from_wire(wire) == event
    assert (PriceChanged.event_name, PriceChanged.event_version) == ("market/price.changed", 1)


def test_a_volume_event_says_where_it_comes_from() -> None:
    trigger = VolumeSpike("BTC/USD", "2", window=3)
    ticks = [Tick("made", offset, bar) for offset, bar in enumerate(volumes("1", "1", "2", "8"))]
    event = [trigger.on_tick(tick) for tick in ticks][-1]
    assert event is not None
    assert (event.volume, event.ratio, event.window, event.offset) == (Decimal(8), Decimal(6), 3, 3)
    assert event.average == Decimal("1.3333333333333333")
    assert VolumeSpiked.from_wire(event.to_wire()) == event
    assert VolumeSpiked.event_name == "market/volume.spiked"


@given(bar_lists(), st.data())
def test_a_trigger_goes_on_from_its_state(bars: Sequence[Bar], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(bars)))
    windows: list[int | str] = [1, 3, "2h", "1 min"]
    window = data.draw(st.sampled_from(windows))
    spans = data.draw(st.integers(1, 4))
    makers: list[tuple[PriceChange | VolumeSpike, PriceChange | VolumeSpike]] = [
        (PriceChange("BTC/USD", "0.1", window=window), PriceChange("BTC/USD", "0.1", window=window)),
        (VolumeSpike("BTC/USD", "1.5", window=spans), VolumeSpike("BTC/USD", "1.5", window=spans)),
    ]
    for whole, part in makers:
        expected = [whole.on_bar(bar) for bar in bars]
        firings(part, bars[:cut])
        revived = type(part).from_state(json.loads(json.dumps(part.state())))
        assert [revived.on_bar(bar) for bar in bars[cut:]] == expected[cut:]
        assert revived.state() == whole.state()


@pytest.mark.parametrize("state", [{}, {"kind": "volume_spike"}, {"kind": "price_change", "options": {"what": 1}}])
def test_the_state_of_another_trigger_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        PriceChange.from_state(state)


def test_real_hours_fire_now_and_then() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    change = PriceChange("BTC/USD", Decimal("0.02"))
    spike = VolumeSpike("BTC/USD", "5")
    moved = sum(change.on_tick(tick) is not None for tick in recording.ticks())
    spiked = sum(spike.on_tick(tick) is not None for tick in recording.ticks())
    assert 500 < moved < 2_000
    assert 50 < spiked < 1_000


def test_support_bars_are_an_hour_apart() -> None:
    assert [bar.start_ns for bar in closes("1", "2")] == [START_NS, START_NS + HOUR_NS]
