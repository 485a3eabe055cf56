"""Simulated markets: the same seed makes the same bytes, and what it makes is a market."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.market.recording import Recording
from tickwork.sim.market import Simulated, simulated
from tickwork.values import timestamp_ns

START = datetime(2024, 3, 1, tzinfo=UTC)
VENUES = ["alpha", "beta"]
SYMBOLS = ["BTC/USDT", "BTC/USDT:USDT", "RAIN-YES/USDT", "RAIN-NO/USDT"]


def made(
    seed: int | str = 7, venues: Any = VENUES, symbols: Any = SYMBOLS, bars: int = 2_000, **more: Any
) -> Simulated:
    return simulated(seed, venues, symbols, START, bars, **more)


@pytest.fixture(scope="module")
def world() -> Simulated:
    return made()


def of(world: Simulated, venue: str, symbol: str) -> Recording:
    (found,) = [one for one in world.recordings if (one.header.venue, one.header.symbol) == (venue, symbol)]
    return found


def closes(world: Simulated, venue: str, symbol: str) -> list[float]:
    return of(world, venue, symbol).floats("close")


def test_the_same_seed_makes_the_same_bytes_and_another_one_others(world: Simulated) -> None:
    again, other = made(), made(8)
    assert [one.to_bytes() for one in again.recordings] == [one.to_bytes() for one in world.recordings]
    assert again.terms == world.terms
    for one, two in zip(world.recordings, other.recordings, strict=True):
        assert one.floats("close") != two.floats("close")


def test_the_same_seed_makes_the_same_prices_on_every_machine(world: Simulated) -> None:
    sum_ = blake2b(digest_size=8)
    for recording in world.recordings:
        for bar in recording:
            sum_.update(f"{bar.open} {bar.high} {bar.low} {bar.close} {bar.volume};".encode())
    assert sum_.hexdigest() == "23557213bd61469a"


def test_one_more_venue_or_symbol_changes_no_other(world: Simulated) -> None:
    fewer = made(venues=["beta"], symbols=["BTC/USDT:USDT", "RAIN-NO/USDT"])
    for recording in fewer.recordings:
        assert recording.to_bytes() == of(world, "beta", recording.header.symbol).to_bytes()


def test_headers_say_what_it_is(world: Simulated) -> None:
    assert [(one.header.venue, one.header.symbol) for one in world.recordings] == [
        (venue, symbol) for venue in VENUES for symbol in SYMBOLS
    ]
    for recording in world.recordings:
        assert "Simulated from seed 7" in recording.header.notes
        assert "simulated" in recording.header.source.credit
    assert len({recording.name for recording in world.recordings}) == len(world.recordings)
    assert set(world.terms) == {(venue, symbol) for venue in VENUES for symbol in SYMBOLS}


def test_bars_follow_each_other_without_a_gap(world: Simulated) -> None:
    for recording in world.recordings:
        assert recording.header.gaps == 0
        assert all(before.close == after.open for before, after in pairwise(recording))
        assert recording[0].start_ns == timestamp_ns(START)


def test_venues_differ_a_little_and_now_and_then_much(world: Simulated) -> None:
    apart = [
        one / two - 1
        for one, two in zip(closes(world, "alpha", "BTC/USDT"), closes(world, "beta", "BTC/USDT"), strict=True)
    ]
    assert sum(abs(gap) for gap in apart) / len(apart) < 0.002
    assert 10 < sum(abs(gap) > 0.005 for gap in apart) < 200
    assert max(map(abs, apart)) < 0.05
    calm = made(symbols=["BTC/USDT"], dislocations=0.0)
    calmly = zip(closes(calm, "alpha", "BTC/USDT"), closes(calm, "beta", "BTC/USDT"), strict=True)
    assert max(abs(one / two - 1) for one, two in calmly) < 0.004


def test_times_are_calm_and_wild() -> None:
    prices = closes(made(symbols=["BTC/USDT"], bars=6_000, dislocations=0.0), "alpha", "BTC/USDT")
    moves = [abs(after / before - 1) for before, after in pairwise(prices)]
    hours = sorted(sum(moves[at : at + 60]) for at in range(0, len(moves) - 60, 60))
    assert hours[-10] > 1.5 * hours[10], "the tenth wildest hour and the tenth calmest"


def test_volume_is_there_and_has_spikes(world: Simulated) -> None:
    volumes = of(world, "alpha", "BTC/USDT").floats("volume")
    usual = sorted(volumes)[len(volumes) // 2]
    assert min(volumes) > 0
    assert 5 < sum(volume > 4 * usual for volume in volumes) < len(volumes) / 20


def test_a_contract_follows_its_pair_and_tells_its_funding(world: Simulated) -> None:
    spot, swap = closes(world, "beta", "BTC/USDT"), closes(world, "beta", "BTC/USDT:USDT")
    assert sum(abs(one / two - 1) for one, two in zip(spot, swap, strict=True)) / len(spot) < 0.004
    funding = world.terms["beta", "BTC/USDT:USDT"].funding
    assert len(funding) == len(swap)
    assert len(set(funding)) > 100
    assert all(abs(rate) <= Decimal("0.0075") for rate in funding)
    assert world.terms["beta", "BTC/USDT"].funding == ()


def test_outcomes_are_probabilities_that_sum_to_about_one_and_are_decided(world: Simulated) -> None:
    for venue in VENUES:
        yes, no = closes(world, venue, "RAIN-YES/USDT"), closes(world, venue, "RAIN-NO/USDT")
        sums = [one + two for one, two in zip(yes, no, strict=True)]
        assert abs(sum(sums) / len(sums) - 1) < 0.005
        assert any(total < 0.985 for total in sums), "there is something to be had"
        for name in ("RAIN-YES/USDT", "RAIN-NO/USDT"):
            recording = of(world, venue, name)
            assert min(recording.floats("low")) >= 0.001
            assert max(recording.floats("high")) <= 0.999
        assert min(yes[-1], no[-1]) < 0.05, "nobody doubts any more"
        assert world.terms[venue, "RAIN-YES/USDT"].expires_at == of(world, venue, "RAIN-YES/USDT")[-1].end_ns
        assert world.terms[venue, "BTC/USDT"].expires_at is None


def test_outcomes_end_with_their_market() -> None:
    found = made(bars=100, expires=START + timedelta(minutes=30))
    assert len(of(found, "alpha", "RAIN-YES/USDT")) == 30
    assert len(of(found, "alpha", "BTC/USDT")) == 100
    later = made(bars=100, expires=START + timedelta(days=30))
    assert 0.2 < closes(later, "alpha", "RAIN-YES/USDT")[-1] < 0.8, "a hundred minutes of thirty days decide little"


def test_where_prices_begin() -> None:
    found = made(bars=3, prices={"BTC": 100, "RAIN-NO": "0.2"}, dislocations=0.0)
    assert abs(of(found, "alpha", "BTC/USDT")[0].open - 100) < 1
    assert abs(of(found, "alpha", "RAIN-YES/USDT")[0].open - Decimal("0.8")) < Decimal("0.02")


@given(
    seed=st.integers(),
    bars=st.integers(1, 40),
    volatility=st.floats(0, 9),
    dislocations=st.floats(0, 1),
    dislocation=st.floats(0, 0.5),
    interval=st.sampled_from(["1s", "1m", "1h", "1d"]),
    price=st.sampled_from(["0.00001", "0.5", "3", "60000", "1e9"]),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_asked_for_the_bars_are_sound(
    seed: int, bars: int, volatility: float, dislocations: float, dislocation: float, interval: str, price: str
) -> None:
    found = made(
        seed,
        bars=bars,
        interval=interval,
        volatility=volatility,
        dislocations=dislocations,
        dislocation=dislocation,
        prices={"BTC": price},
    )
    for recording in found.recordings:
        assert len(list(recording)) == bars  # a Bar checks itself


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"venues": []}, "venues"),
        ({"venues": ["a", "a"]}, "venues"),
        ({"venues": "alpha"}, "venues"),
        ({"symbols": []}, "symbols"),
        ({"symbols": ["btc_usdt"]}, "symbols"),
        ({"bars": 0}, "bars"),
        ({"bars": 2_000_000}, "bars"),
        ({"interval": "0s"}, "interval"),
        ({"volatility": float("nan")}, "volatility"),
        ({"dislocations": -0.1}, "dislocations"),
        ({"half_spread": Decimal("0.5")}, "halfSpread"),
        ({"expires": START}, "expires"),
        ({"prices": {"BTC": 0}}, "prices.BTC"),
        ({"prices": {"RAIN-YES": 2}}, "prices.RAIN-YES"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        made(**{"bars": 10, **changes})
    assert caught.value.path == path
