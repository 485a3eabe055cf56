"""Performance of an equity curve: profit, drawdown, Sharpe ratio.

Theory of operation. Input is equity (one figure per period, at equal distances); output is floats, because these are
scores and not money. Conventions, which change the numbers and are therefore stated:

* returns are simple: ``e[t] / e[t-1] - 1``;
* max drawdown is the largest fall from a running peak, as a fraction of that peak: ``max(1 - e[t] / max(e[0..t]))``,
  zero or more;
* Sharpe is ``mean(r) / stdev(r) * sqrt(periods_per_year)`` with the sample deviation (``ddof=1``) and a risk-free
  rate of zero (Sharpe, "The Sharpe Ratio", 1994). ``periods_per_year`` is the caller's to state: 365 * 24 for hourly
  bars of a market that never closes, 252 for daily bars of an exchange.

A figure that does not exist (a Sharpe ratio of one return, or of returns that do not vary) is ``None``, never NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from statistics import fmean
from typing import Final

from tickwork.errors import InvalidInput

HOURLY_CRYPTO: Final = 365 * 24
DAILY_CRYPTO: Final = 365
DAILY_EQUITIES: Final = 252


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The figures of one curve."""

    periods: int
    """How many returns the curve has: its length less one."""
    pnl: float
    """Last less first, in the curve's currency."""
    total_return: float
    """A fraction: 0.1 is 10 %."""
    max_drawdown: float
    """A fraction of the peak, zero or more."""
    sharpe: float | None
    """Annualised by ``periods_per_year``."""
    periods_per_year: float


def returns(equity: Sequence[float]) -> list[float]:
    """Simple returns, one fewer than there are figures.

    Raises:
        InvalidInput: a figure that is not finite, or not above zero where it must be divided by.
    """
    for index, figure in enumerate(equity):
        if not math.isfinite(figure) or (figure <= 0 and index < len(equity) - 1):
            raise InvalidInput(f"equity[{index}]", figure, "a finite figure above zero")
    return [after / before - 1.0 for before, after in pairwise(equity)]


def max_drawdown(equity: Sequence[float]) -> float:
    """The largest fall from a running peak, as a fraction of the peak; zero for a curve that never falls."""
    worst, peak = 0.0, -math.inf
    for figure in equity:
        peak = max(peak, figure)
        if peak > 0:
            worst = max(worst, 1.0 - figure / peak)
    return worst


def sharpe(series: Sequence[float], periods_per_year: float) -> float | None:
    """The annualised Sharpe ratio of simple returns; ``None`` where it does not exist."""
    if len(series) < 2:
        return None
    mean = fmean(series)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in series) / (len(series) - 1))
    # returns that are all equal differ from their mean by the last bit: that is no deviation
    if deviation <= abs(mean) * 1e-14:
        return None
    return mean / deviation * math.sqrt(periods_per_year)


def performance(equity: Sequence[float | Decimal], *, periods_per_year: float = HOURLY_CRYPTO) -> Performance:
    """All figures of a curve of at least one figure.

    Raises:
        InvalidInput: an empty curve, a figure that is not finite, or one at or below zero before the last.
    """
    curve = [float(figure) for figure in equity]
    if not curve:
        raise InvalidInput("equity", "an empty curve", "at least one figure")
    series = returns(curve)
    return Performance(
        periods=len(series),
        pnl=curve[-1] - curve[0],
        total_return=curve[-1] / curve[0] - 1.0 if series else 0.0,
        max_drawdown=max_drawdown(curve),
        sharpe=sharpe(series, periods_per_year),
        periods_per_year=periods_per_year,
    )
