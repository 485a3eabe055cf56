"""Nodes that ask whether something is the case now."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from tests.graph.support import RecordedProvider, RecordedProviders, context, done
from tickwork.core.event import Event
from tickwork.core.webhook import WebhookReceived
from tickwork.errors import InvalidInput
from tickwork.graph.declare import DECLARED
from tickwork.graph.nodes.triggers import (
    event_listener,
    manual_trigger,
    price_cross,
    time_trigger,
    volume_spike,
    webhook,
)
from tickwork.market.recording import Recording
from tickwork.market.triggers import PriceCross, VolumeSpike
from tickwork.values import from_ns, timestamp_ns

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = 60 * 10**9


@pytest.fixture
def provider() -> RecordedProvider:
    return RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")


@pytest.fixture
def providers(provider: RecordedProvider) -> RecordedProviders:
    return RecordedProviders(provider)


# --------------------------------------------------------------------------------------------------------- price cross


@pytest.mark.parametrize("direction", ["any", "up", "down"])
def test_recorded_crossings_are_those_of_the_trigger(
    providers: RecordedProviders, provider: RecordedProvider, direction: Any
) -> None:
    trigger = PriceCross("BTC/USD", "400", direction=direction)
    bars = list(Recording.open("bitstamp-btc-usd-1d").bars(0, 500))
    fired = {at for at, bar in enumerate(bars) if trigger.on_bar(bar) is not None}
    found = set()
    for provider.at in range(1, 500):
        one = done(
            price_cross(
                threshold=Decimal(400), direction=direction, symbol="BTC/USD", providers=providers, context=context()
            )
        )
        assert (one.previous, one.price) == (bars[provider.at - 1].close, bars[provider.at].close)
        if one.signal:
            assert one.way == ("up" if one.price > one.previous else "down")
            found.add(provider.at)
    assert found == fired
    assert len(found) > 3


@pytest.mark.parametrize(
    ("previous", "price", "way"),
    [("99", "100", "up"), ("99", "101", "up"), ("100", "101", ""), ("101", "100", "down"), ("101", "99", "down"),
     ("100", "100", ""), ("98", "99", "")],
)  # fmt: skip
def test_to_touch_the_level_counts_and_to_leave_it_does_not(
    providers: RecordedProviders, previous: str, price: str, way: str
) -> None:
    found = done(
        price_cross(
            Decimal(price), previous=Decimal(previous), threshold=Decimal(100), providers=providers, context=context()
        )
    )
    assert (found.signal, found.way) == (bool(way), way)


def test_the_bar_before_is_the_latest_that_had_ended_when_the_price_was_said(
    providers: RecordedProviders, provider: RecordedProvider
) -> None:
    latest, before = provider.latest("BTC/USD"), Recording.open("bitstamp-btc-usd-1d")[provider.at - 1]

    def previous(time: int | None, now: int) -> Decimal:
        return done(
            price_cross(
                Decimal(100), time, threshold=Decimal(1), symbol="BTC/USD", providers=providers, context=context(now)
            )
        ).previous

    assert previous(latest.end_ns, latest.end_ns) == before.close
    assert previous(latest.end_ns + 1, latest.end_ns + 1) == latest.close
    assert previous(None, latest.end_ns + 1) == latest.close
    with pytest.raises(InvalidInput, match=r"here\.previous"):
        previous(before.end_ns, latest.end_ns)


@pytest.mark.parametrize("wrong", ["0", "-1", "NaN"])
def test_a_price_that_is_none_crosses_nothing(providers: RecordedProviders, wrong: str) -> None:
    for price, previous in ((wrong, "1"), ("1", wrong)):
        with pytest.raises(InvalidInput, match=r"above zero"):
            done(
                price_cross(
                    Decimal(price), previous=Decimal(previous), threshold=Decimal(1), providers=providers,
                    context=context(),
                )
            )  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- volume


def test_recorded_spikes_are_those_of_the_trigger(providers: RecordedProviders, provider: RecordedProvider) -> None:
    bars = list(Recording.open("bitstamp-btc-usd-1d").bars(0, 300))
    found = set()
    for provider.at in range(20, 300):
        one = done(volume_spike(multiplier=Decimal(2), symbol="BTC/USD", providers=providers, context=context()))
        assert one.volume == bars[provider.at].volume
        average = sum((bar.volume for bar in bars[provider.at - 20 : provider.at]), Decimal(0)) / 20
        assert one.ratio is not None
        assert abs(one.ratio - one.volume / average) < Decimal("1e-15")
        if one.signal:
            found.add(provider.at)
    # the trigger fires on the edge: the first of several in a row
    trigger = VolumeSpike("BTC/USD", 2, window=20)
    fired = {at for at, bar in enumerate(bars) if trigger.on_bar(bar) is not None}
    assert fired == {at for at in found if at - 1 not in found}
    assert len(fired) > 3


def test_a_volume_that_comes_in_is_judged_and_a_multiple_of_nothing_is_none(
    providers: RecordedProviders, provider: RecordedProvider
) -> None:
    here = context()
    low = done(volume_spike(Decimal(1), symbol="BTC/USD", providers=providers, context=here))
    high = done(volume_spike(low.average * 2, symbol="BTC/USD", providers=providers, context=here))
    assert (low.signal, high.signal, low.average) == (False, True, high.average)
    flat = [replace(bar, volume=Decimal(0)) for bar in Recording.open("bitstamp-btc-usd-1d").bars(0, 21)]
    none = done(volume_spike(Decimal(5), flat, providers=providers, context=here))
    assert (none.signal, none.ratio) == (False, None)
    for wrong in ("NaN", "-1"):
        with pytest.raises(InvalidInput, match=r"here\.volume"):
            done(volume_spike(Decimal(wrong), symbol="BTC/USD", providers=providers, context=here))
    provider.at = 19
    with pytest.raises(InvalidInput, match=r"at least 21; found '20 bars of BTC/USD at bitstamp'"):
        done(volume_spike(symbol="BTC/USD", providers=providers, context=here))


# ---------------------------------------------------------------------------------------------------------------- time


def at(text: str, zone: ZoneInfo = NEW_YORK) -> int:
    return timestamp_ns(datetime.fromisoformat(text).replace(tzinfo=zone))


@pytest.mark.parametrize("schedule", ["09:30,15:45", "9:30, 15:45", " 15:45 ,09:30"])
def test_times_of_the_day_count_from_the_minute_on_zero_padded_or_not(schedule: str) -> None:
    def due(text: str) -> int | None:
        found = time_trigger(schedule=schedule, zone="America/New_York", context=context(at(text)))
        assert found.signal is (found.due is not None)
        return found.due

    assert due("2024-03-08 09:30:00") == at("2024-03-08 09:30")
    assert due("2024-03-08 09:30:59") == at("2024-03-08 09:30")
    assert due("2024-03-08 15:45:01") == at("2024-03-08 15:45")
    assert due("2024-03-08 09:29:59") is None
    assert due("2024-03-08 09:31:00") is None
    # the clock has changed since: the time is that of the wall
    assert due("2024-03-11 09:30:30") == at("2024-03-11 09:30")


def test_every_recorded_day_has_its_minute_once() -> None:
    bars = list(Recording.open("aapl-1m").bars(0, 800))
    found = [
        bar.start.astimezone(NEW_YORK).strftime("%H:%M")
        for bar in bars
        if time_trigger(schedule="10:00", zone="America/New_York", context=context(bar.start_ns)).signal
    ]
    days = {bar.start.date() for bar in bars if bar.start.astimezone(NEW_YORK).strftime("%H:%M") == "10:00"}
    assert found == ["10:00"] * len(days)
    assert days


def said(name: str, value: Any) -> None:
    """A document says it of the node."""
    param = DECLARED["time_trigger"].param(name)
    assert param is not None
    param.read(value, name)


def test_a_tolerance_of_nothing_would_never_hold_and_is_refused() -> None:
    with pytest.raises(InvalidInput, match="above zero"):
        said("tolerance", "0s")


def test_a_tolerance_reaches_over_midnight() -> None:
    found = time_trigger(schedule="23:59", tolerance="5m", context=context(at("2024-03-09 00:02", ZoneInfo("UTC"))))
    assert found.due == at("2024-03-08 23:59", ZoneInfo("UTC"))


def test_a_cron_text_and_an_interval_are_times_too() -> None:
    noon = at("2024-03-08 12:00", ZoneInfo("UTC"))
    assert time_trigger(schedule="0 12 * * 1-5", context=context(noon)).signal
    assert not time_trigger(schedule="0 12 * * 1-5", context=context(noon + 24 * 60 * MINUTE)).signal
    for interval in ("15m", 15, "15"):
        assert time_trigger(interval=interval, context=context(noon + 15 * MINUTE)).due == noon + 15 * MINUTE
        assert not time_trigger(interval=interval, context=context(noon + 16 * MINUTE)).signal
    both = time_trigger(schedule="12:00", interval=7, context=context(noon))
    assert both.due == noon


@pytest.mark.parametrize(
    "options", [{"schedule": "25:00"}, {"schedule": "soon"}, {"interval": 0}, {"interval": "x"}, {"zone": "Mars"}, {}]
)
def test_times_that_are_none_are_refused_when_the_document_is_checked(options: Any) -> None:
    given = {"schedule": "9:30", **options} if "zone" in options else options
    with pytest.raises(InvalidInput):
        time_trigger(**given, context=context())
    for name, value in options.items():  # without any, they may be references, of which only a run knows the value
        with pytest.raises(InvalidInput):
            said(name, value)
    said("schedule", "9:30, 16:00")
    said("interval", 15)


# ------------------------------------------------------------------------------------------------- what started it


class Liquidated(Event, name="tests/liquidated"):
    symbol: str
    amount: int


def test_a_listener_tells_its_event_from_others() -> None:
    event = Liquidated(symbol="BTC/USD", amount=2_000_000)
    for type_ in ("tests/liquidated", "liquidation", ""):
        found = event_listener(event_type=type_, context=context(event=event, trigger="liquidation"))
        assert found.matched
        assert found.event == {"symbol": "BTC/USD", "amount": 2_000_000}
    other = event_listener(event_type="market/price.changed", context=context(event=event))
    assert (other.matched, other.event) == (False, None)
    plain = {"type": "liquidation", "amount": 5}
    assert event_listener(event_type="liquidation", context=context(event=plain)).event == plain


def test_a_webhook_gives_what_was_posted_to_it() -> None:
    posted = WebhookReceived(
        hook="github", delivery_id="1", body={"action": "released"}, headers={"X-GitHub-Event": "release"},
        received_at=from_ns(0) + timedelta(1),
    )  # fmt: skip
    for hook in ("", "github", "/hooks/github/"):
        found = webhook(hook=hook, context=context(event=posted, trigger="webhook"))
        assert (found.data, found.received) == ({"action": "released"}, True)
        assert found.headers == {"X-GitHub-Event": "release"}
    other = webhook(hook="stripe", context=context(event=posted))
    assert (other.data, other.received) == (None, False)
    by_hand = webhook(hook="github", context=context(event={"action": "tried"}))
    assert (by_hand.data, by_hand.received) == ({"action": "tried"}, False)


def test_a_run_is_started_by_hand_or_not() -> None:
    assert manual_trigger(context=context(trigger="manual")).trigger
    assert not manual_trigger(context=context(trigger="schedule")).trigger
