"""Triggers as declared on workflows: each has a name of its own, and is a template that reading does not wear out."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest

from tests.engine.support import live
from tests.market.support import HOUR_NS, START_NS, closes, volumes
from tickwork.core.trigger import Trigger
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.market.position_rules import Position, PositionRule
from tickwork.market.recording import Tick
from tickwork.market.triggers import (
    BarTrigger,
    PriceChange,
    PriceChanged,
    PriceCross,
    Volatility,
    VolumeSpike,
    bar_of,
)

Make = Callable[[], BarTrigger[Any]]

DIFFERENT: list[tuple[Make, str]] = [
    (lambda: PriceChange("BTC/USD", "0.02"), "price_change BTC/USD 0.02 any 1 bar"),
    (lambda: PriceChange("BTC/USD", "0.2"), "price_change BTC/USD 0.2 any 1 bar"),
    (lambda: PriceChange("ETH/USD", "0.02"), "price_change ETH/USD 0.02 any 1 bar"),
    (lambda: PriceChange("BTC/USD", "0.02", direction="up"), "price_change BTC/USD 0.02 up 1 bar"),
    (lambda: PriceChange("BTC/USD", "0.02", window="3 bars"), "price_change BTC/USD 0.02 any 3 bars"),
    (lambda: PriceChange("BTC/USD", "0.02", window="120 min"), "price_change BTC/USD 0.02 any 2h"),
    (lambda: PriceChange("BTC/USD", "0.02", venue="kraken"), "price_change BTC/USD 0.02 any 1 bar venue=kraken"),
    (lambda: PriceChange("BTC/USD", "0.02", interval="60 s"), "price_change BTC/USD 0.02 any 1 bar interval=1m"),
    (
        lambda: PriceChange("BTC/USD", "0.02", venue="kraken interval=1m"),
        'price_change BTC/USD 0.02 any 1 bar venue="kraken interval=1m"',
    ),
    (
        lambda: PriceChange("BTC/USD", "0.02", venue="kraken", interval="1m"),
        "price_change BTC/USD 0.02 any 1 bar venue=kraken interval=1m",
    ),
    (lambda: VolumeSpike("BTC/USD", "2"), "volume_spike BTC/USD 2 20 bars"),
    (lambda: VolumeSpike("BTC/USD", "2", window=1), "volume_spike BTC/USD 2 1 bar"),
    (lambda: PriceCross("BTC/USD", "70000"), "price_cross BTC/USD 70000 any 0"),
    (lambda: PriceCross("BTC/USD", "70000", direction="down"), "price_cross BTC/USD 70000 down 0"),
    (lambda: PriceCross("BTC/USD", "70000", hysteresis="0.01"), "price_cross BTC/USD 70000 any 0.01"),
    (lambda: Volatility(index="VIX", above="30"), "volatility VIX index 30 0"),
    (lambda: Volatility("VIX", above="30"), "volatility VIX realised 30 30 bars 365d 0"),
    (lambda: Volatility("VIX", above="30", year="252d"), "volatility VIX realised 30 30 bars 252d 0"),
    (lambda: Volatility("VIX", above="30", window=5), "volatility VIX realised 30 5 bars 365d 0"),
    (lambda: Volatility("VIX", above="30", hysteresis="0.1"), "volatility VIX realised 30 30 bars 365d 0.1"),
]


@pytest.mark.parametrize(("make", "name"), DIFFERENT)
def test_a_trigger_has_a_name(make: Make, name: str) -> None:
    assert str(make()) == str(make()) == name
    where = make().where
    assert (where.fields, where.values) == (("trigger",), ("s" + name,))


def test_triggers_that_differ_have_names_that_differ() -> None:
    for (one, _), (other, _) in combinations(DIFFERENT, 2):
        assert str(one()) != str(other())
        assert one().where.key != other().where.key


def test_one_number_has_one_name() -> None:
    assert str(PriceCross("BTC/USD", "7E+4")) == str(PriceCross("BTC/USD", Decimal("70000.00")))
    # more digits than the default context keeps
    long = "1.00000000000000000000000000001"
    assert str(PriceCross("BTC/USD", long)) == f"price_cross BTC/USD {long} any 0"


@pytest.mark.parametrize(("make", "name"), DIFFERENT)
def test_a_fresh_one_has_read_nothing(make: Make, name: str) -> None:
    worn = make()
    ns = worn.interval_ns or HOUR_NS
    for index in range(3):
        price = Decimal(100 + index)
        symbol, venue = worn.symbol, worn.venue or "test"
        worn.on_bar(Bar(symbol, venue, START_NS + index * ns, ns, price, price, price, price, Decimal(1)))
    assert worn.state() != make().state()
    assert isinstance(worn, Trigger)
    assert worn.fresh().state() == make().state()
    assert str(worn.fresh()) == name


@pytest.mark.parametrize("venue", ["", 5, b"kraken"])
def test_a_venue_is_a_name(venue: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        PriceChange("BTC/USD", "0.02", venue=venue)
    assert refused.value.path == "venue"


@pytest.mark.parametrize(
    ("trigger", "bars"),
    [
        (PriceChange("BTC/USD", "0.02"), closes("100", "103")),
        (PriceCross("BTC/USD", "102"), closes("100", "103")),
        (Volatility(index="BTC/USD", above="102"), closes("100", "103")),
        (VolumeSpike("BTC/USD", "2", window=1), volumes("1", "9")),
    ],
)
def test_an_event_carries_the_name_and_when_it_was_known(trigger: BarTrigger[Any], bars: list[Bar]) -> None:
    first, event = [trigger.on_tick(Tick("made", offset, bar)) for offset, bar in enumerate(bars)]
    assert first is None
    assert event is not None
    assert (event.trigger, event.recording, event.offset) == (str(trigger), "made", 1)
    assert event.happened_at == event.known_at == bars[1].end
    assert trigger.matches(event)
    assert not trigger.matches(event.replace(trigger="another"))
    assert type(event).from_wire(event.to_wire()) == event


def test_events_of_before_the_name_can_still_be_read() -> None:
    trigger = PriceChange("BTC/USD", "0.02")
    event = [trigger.on_tick(Tick("made", offset, bar)) for offset, bar in enumerate(closes("100", "103"))][-1]
    assert event is not None
    old = event.to_wire().replace(b',"trigger":"price_change BTC/USD 0.02 any 1 bar"', b"")
    assert b"trigger" not in old
    assert PriceChanged.from_wire(old) == event.replace(trigger="")


@live
async def test_a_workflow_is_started_by_its_own_trigger_alone() -> None:
    two, five = PriceChange("BTC/USD", "0.02"), PriceChange("BTC/USD", "0.05")

    @workflow("two-percent", on=two)
    async def on_two(run: Any, moved: PriceChanged) -> str:
        return str(moved.change)

    @workflow("five-percent", on=five)
    async def on_five(run: Any, moved: PriceChanged) -> str:
        return str(moved.change)

    async with Engine("memory:", workflows=[on_two, on_five]) as engine:
        for template in (two, five):
            trigger = template.fresh()
            for offset, bar in enumerate(closes("100", "103", "110")):
                event = trigger.on_tick(Tick("made", offset, bar))
                if event is not None:
                    await engine.emit(event)
        await engine.settled()
        started = sorted(info.workflow for info in await engine.runs())
    assert started == ["five-percent", "two-percent"]


# -------------------------------------------------------------------------------------------------------------- quotes


def quote(price: str, seconds: int, spread: str = "0") -> Quote:
    half = Decimal(spread) / 2
    return Quote("BTC/USD", "test", START_NS + seconds * 10**9, Decimal(price) - half, Decimal(price) + half)


def test_a_quote_is_read_at_its_mid_when_the_venue_said_it() -> None:
    trigger = PriceCross("BTC/USD", "100")
    assert trigger.on_quote(quote("99", 0)) is None
    event = trigger.on_quote(quote("100", 1, spread="0.5"), "quotes", 7)
    assert event is not None
    assert (event.price, event.recording, event.offset) == (Decimal(100), "quotes", 7)
    assert event.known_at == bar_of(quote("1", 1)).end
    # an older one is no news
    assert trigger.on_quote(quote("99", 1)) is None
    assert trigger.on_quote(quote("99", 0)) is None
    assert trigger.on_quote(quote("99", 2)) is None
    assert trigger.on_quote(quote("101", 3)) is not None


def test_a_window_of_time_takes_quotes_and_a_number_of_bars_does_not() -> None:
    trigger = PriceChange("BTC/USD", "0.02", window="5s")
    made = [trigger.on_quote(quote(price, second)) for second, price in enumerate(["100", "101", "101", "101", "101"])]
    assert not any(made)
    moved = trigger.on_quote(quote("102", 5))
    assert moved is not None and moved.reference == 100
    needs_bars: list[BarTrigger[Any]] = [
        PriceChange("BTC/USD", "0.02", window=3),
        VolumeSpike("BTC/USD", "2"),
        Volatility("BTC/USD", above="0.5"),
    ]
    for one in needs_bars:
        assert not one.reads_quotes
        with pytest.raises(InvalidInput, match="bars"):
            one.on_quote(quote("100", 0))
    assert Volatility(index="VIX", above=30).reads_quotes


def test_quotes_and_bars_are_two_streams() -> None:
    trigger = PriceCross("BTC/USD", "100")
    trigger.on_quote(quote("99", 0))
    with pytest.raises(InvalidInput, match="give the trigger venue="):
        trigger.on_bar(closes("101")[0])


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: PriceChange("BTC/USD", 0.02), "a fraction as a Decimal or a text such as '0.02' (2 %)"),  # type: ignore[arg-type]
        (lambda: PriceChange("BTC/USD", "-1"), "a fraction above zero, such as '0.02' (2 %)"),
        (lambda: PriceChange("BTC/USD", "1", direction="down"), "no price falls by 100 % or more"),
        (lambda: PriceCross("BTC/USD", "x"), "a price as a text such as '12.50'"),
        (lambda: PriceCross("BTC/USD", "1", hysteresis="-1"), "a fraction of zero or more, such as '0.02' (2 %)"),
        (lambda: VolumeSpike("BTC/USD", 2.5), "a multiple as a Decimal or a text such as '2.5'"),  # type: ignore[arg-type]
        (lambda: Volatility("BTC/USD", above="x", window=3, year="365d"), "a fraction as a text such as '0.02' (2 %)"),
        (lambda: Volatility(index="VIX", above="x"), "a level as a text such as '30'"),
        (lambda: PositionRule("r", "me", "delta_breach", "x"), "a delta as a text such as '0.3'"),
        (lambda: PositionRule("r", "me", "dte_warning", "x"), "a number of days as a text such as '5'"),
        (lambda: Position("me", "BTC/USD", "x", at_ns=0), "a quantity as a text such as '12.50'"),
    ],
)
def test_a_wrong_number_is_called_what_it_is(declare: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        declare()
    assert said in str(refused.value)


def test_a_rise_may_be_of_more_than_all_of_it() -> None:
    for direction in ("up", "any"):
        assert PriceChange("BTC/USD", "1.5", direction=direction).threshold == Decimal("1.5")
