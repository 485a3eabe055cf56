"""Price paths from a seed. Only sums, products and square roots, so that every machine makes the same ones.

A path has ``INNER`` steps in each bar; the last point of a bar is the first of the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from random import Random
from typing import Final

INNER: Final = 4
"""Steps in a bar."""

Path = list[list[float]]
"""Of each bar its points, ``INNER + 1`` of them."""

_DAY_NS: Final = 86_400_000_000_000
_YEAR_NS: Final = 365 * _DAY_NS

_SHOCK: Final = 0.12
"""The part of a bar's surprise in the next bar's variance: GARCH(1,1), whose mean is 1."""
_MEMORY: Final = 0.87
"""The part of a bar's variance in the next bar's."""
_CALM: Final = 0.2
"""The least variance, in units of its mean."""
_WILD: Final = 12.0
"""The largest."""
_PULL_NS: Final = 20 * _DAY_NS
"""In this time about two thirds of the way back to where it began."""
_LARGEST_STEP: Final = 0.2

LEAST: Final = 0.001
"""The lowest price of a binary outcome."""
MOST: Final = 0.999
"""The highest."""
_RESTLESS: Final = 1.6
"""How much a probability moves; with it most questions are decided before they expire."""


def normal(chance: Random) -> float:
    """A number of a standard normal distribution, nearly: the sum of twelve dice (Irwin-Hall), within -6 to 6."""
    return sum(chance.random() for _ in range(12)) - 6.0


def fair_path(chance: Random, first: float, bars: int, interval_ns: int, volatility: float) -> Path:
    """A walk around ``first`` that is pulled back to it, with calm and wild times.

    ``volatility``: of a year, a fraction.
    """
    usual = volatility * sqrt(interval_ns / _YEAR_NS / INNER)
    pull = min(interval_ns / _PULL_NS, 0.05) / INNER
    price, variance = first, 1.0
    path: Path = []
    for _ in range(bars):
        points, surprise = [price], 0.0
        for _ in range(INNER):
            shock = normal(chance)
            surprise += shock * shock / INNER
            step = usual * sqrt(variance) * shock + pull * (first / price - 1.0)
            price *= 1.0 + min(max(step, -_LARGEST_STEP), _LARGEST_STEP)
            points.append(price)
        variance = (1.0 - _SHOCK - _MEMORY) + _SHOCK * surprise * variance + _MEMORY * variance
        variance = min(max(variance, _CALM), _WILD)
        path.append(points)
    return path


def chance_path(chance: Random, first: float, bars: int, remaining: int) -> Path:
    """The probability of a question that is answered in ``remaining`` bars: it moves more as that comes nearer."""
    price = first
    path: Path = []
    for bar in range(bars):
        points = [price]
        for inner in range(INNER):
            left = (remaining - bar) * INNER - inner
            price += price * (1.0 - price) * _RESTLESS * normal(chance) / sqrt(left)
            price = min(max(price, LEAST), MOST)
            points.append(price)
        path.append(points)
    return path


def deviations(chance: Random, bars: int, *, noise: float, rate: float, size: float) -> Iterator[tuple[float, float]]:
    """By how much a venue is off the fair price at the beginning and at the end of each bar, as a fraction.

    ``noise``: usual size of a bar's step; ``rate``: how often in a bar the venue is thrown off by about ``size``. Both
    fade by a sixth a bar.
    """
    now = 0.0
    for _ in range(bars):
        before = now
        now = now * 5.0 / 6.0 + noise * normal(chance)
        thrown, side, how_far = chance.random() < rate, chance.random() < 0.5, 0.5 + chance.random()
        if thrown:
            now += size * how_far if side else -size * how_far
        yield before, now


def basis_path(chance: Random, bars: int, interval_ns: int) -> list[float]:
    """The premium of a perpetual contract over the fair price at the end of each bar, as a fraction."""
    memory = 1.0 - min(interval_ns / _DAY_NS, 0.5)
    noise = 0.0006 * sqrt(1.0 - memory * memory)
    premium, path = 0.0001, []
    for _ in range(bars):
        premium = 0.0001 + memory * (premium - 0.0001) + noise * normal(chance)
        path.append(premium)
    return path


def activity(chance: Random, moved: float) -> float:
    """A bar's volume in units of the usual one: more where the price moved, now and then many times that.

    ``moved``: how far it moved, in units of the usual.
    """
    spike = 4.0 + 6.0 * chance.random() if chance.random() < 0.01 else 1.0
    return (0.4 + 0.6 * chance.random() + 0.4 * min(moved, 6.0)) * spike
