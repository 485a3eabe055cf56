"""Bars for tests, made with little writing."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import strategies as st

from tickwork.market.bars import Bar

HOUR_NS = 3_600_000_000_000
START_NS = 1_700_000_000_000_000_000


def flat(
    close: str | Decimal,
    index: int = 0,
    *,
    volume: str | Decimal = "1",
    symbol: str = "BTC/USD",
    venue: str = "test",
    interval_ns: int = HOUR_NS,
) -> Bar:
    """A bar that did not move, ``index`` bars after the start."""
    price = Decimal(close)
    start_ns = START_NS + index * interval_ns
    return Bar(symbol, venue, start_ns, interval_ns, price, price, price, price, Decimal(volume))


def closes(*prices: str | Decimal) -> list[Bar]:
    """One flat bar per price, an hour each."""
    return [flat(price, index) for index, price in enumerate(prices)]


def volumes(*amounts: str | Decimal) -> list[Bar]:
    """Bars at one price with these volumes."""
    return [flat("100", index, volume=amount) for index, amount in enumerate(amounts)]


def decimals(low: str, high: str, places: int) -> st.SearchStrategy[Decimal]:
    """Finite decimals of at most so many places."""
    return st.decimals(Decimal(low), Decimal(high), allow_nan=False, allow_infinity=False, places=places)


@st.composite
def bar_lists(draw: st.DrawFn, min_size: int = 1, max_size: int = 30) -> Sequence[Bar]:
    """Sound bars of one stream in order, with gaps."""
    places = draw(st.integers(0, 8))
    price = decimals("0.00000001", "99999", 8).map(lambda value: max(round(value, places), Decimal(1).scaleb(-places)))
    interval_ns = draw(st.sampled_from([1, 60 * 10**9, HOUR_NS]))
    start_ns = draw(st.integers(-(2**60), 2**60))
    bars: list[Bar] = []
    for _ in range(draw(st.integers(min_size, max_size))):
        low, first, second, high = sorted(draw(st.tuples(price, price, price, price)))
        opened, close = draw(st.permutations([first, second]))
        volume = draw(decimals("0", "1000000", 3))
        bars.append(Bar("BTC/USD", "test", start_ns, interval_ns, opened, high, low, close, volume))
        start_ns += interval_ns * draw(st.integers(1, 3)) + draw(st.integers(0, 2))
    return bars
