"""Performance of an equity curve and of its trades: returns, drawdown, ratios, win rate.

Theory of operation. Money comes in as ``Decimal``; what goes out are floats, because these are scores and not money.
Conventions change the numbers and are therefore stated; where empyrical defines a figure, ours is the same number:

* returns are simple: ``e[t] / e[t-1] - 1``. Where money was paid in or out they are time-weighted, so that paying in
  is not performance: ``(e[t] + out) / (e[t-1] + in) - 1``, what comes in counted from the start of its period and
  what goes out until its end (a point marked right before a payment makes that exact);
* ``total_return`` is the product of all returns less one, ``apr`` is that times ``periods_per_year / periods`` without
  compounding, ``cagr`` is ``(1 + total_return) ** (periods_per_year / periods) - 1``;
* ``volatility`` is ``stdev(r) * sqrt(periods_per_year)`` with the sample deviation (``ddof=1``);
* ``sharpe`` is ``mean(r) / stdev(r) * sqrt(periods_per_year)`` at a risk-free rate of zero (Sharpe, "The Sharpe
  Ratio", 1994);
* ``sortino`` is ``mean(r) / sqrt(mean(min(r, 0) ** 2)) * sqrt(periods_per_year)``: a target of zero, and the mean is
  over all returns, not over the bad ones alone (Rollinger and Hoffman, "Sortino: A 'Sharper' Ratio", 2013);
* ``max_drawdown`` is the largest fall from a running peak, as a fraction of that peak:
  ``max(1 - e[t] / max(e[0..t]))``, zero or more (empyrical gives it with a minus);
* ``calmar`` is ``cagr / max_drawdown`` over the whole curve.

``periods_per_year`` is the caller's to state: 365 for the days of a market that never closes, 252 for the sessions of
an exchange, 365 * 24 for hourly bars.

A figure that does not exist (a Sharpe ratio of one return, or of returns that do not vary) is ``None``, never NaN; so
is a compounded one that is larger than a float holds, which a few minutes of luck compounded over a year can be.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Context, Decimal
from itertools import pairwise
from statistics import fmean
from typing import Final
from zoneinfo import ZoneInfo

from tickwork.errors import InvalidInput
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, from_ns, money, ratio

HOURLY_CRYPTO: Final = 365 * 24
DAILY_CRYPTO: Final = 365
DAILY_EQUITIES: Final = 252

_ONE: Final = Decimal(1)
_GROWTH: Final = Context(prec=50)
"""For chains of returns: far finer than the float they end as, so that a curve back at its peak is back at it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The figures of one curve. All but ``periods``, ``pnl`` and ``drawdown_length`` are fractions or plain ratios."""

    periods: int
    """How many returns the curve has: its length less one."""
    pnl: float
    """Last less first, less what was paid in between; in the curve's currency."""
    total_return: float
    """A fraction: 0.1 is 10 %."""
    apr: float | None
    """Total return a year, not compounded."""
    cagr: float | None
    """Total return a year, compounded."""
    volatility: float | None
    """Deviation of returns a year."""
    sharpe: float | None
    """Annualised by ``periods_per_year``."""
    sortino: float | None
    """Annualised likewise."""
    max_drawdown: float
    """A fraction of the peak, zero or more."""
    drawdown_length: int
    """Periods from the peak of that drawdown until the curve was back at it, or until its end."""
    calmar: float | None
    periods_per_year: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall of a curve, by the indexes of its figures. Of two equally deep ones, the first."""

    depth: float
    """A fraction of the peak; zero for a curve that never falls, and then all indexes are zero."""
    peak: int
    trough: int
    end: int
    """Where the curve was back at its peak, or its last figure."""
    recovered: bool

    @property
    def length(self) -> int:
        """Periods from peak to ``end``."""
        return self.end - self.peak


# ------------------------------------------------------------------------------------------------------- the figures


def returns(equity: Sequence[float]) -> list[float]:
    """Simple returns, one fewer than there are figures.

    Raises:
        InvalidInput: a figure that is not finite, or not above zero where it must be divided by.
    """
    for index, figure in enumerate(equity):
        if not math.isfinite(figure) or (figure <= 0 and index < len(equity) - 1):
            raise InvalidInput(f"equity[{index}]", figure, "a finite figure above zero")
    return [after / before - 1.0 for before, after in pairwise(equity)]


def drawdown(equity: Sequence[float]) -> Drawdown:
    """The deepest fall from a running peak that is above zero."""
    depth, peak, start, trough = 0.0, 0, 0, 0
    for index, figure in enumerate(equity):
        if figure > equity[peak]:
            peak = index
        top = equity[peak]
        if top > 0 and 1.0 - figure / top > depth:
            depth, start, trough = 1.0 - figure / top, peak, index
    if depth == 0:
        return Drawdown(depth=0.0, peak=0, trough=0, end=0, recovered=True)
    back = next((index for index in range(trough, len(equity)) if equity[index] >= equity[start]), None)
    end = len(equity) - 1 if back is None else back
    return Drawdown(depth=depth, peak=start, trough=trough, end=end, recovered=back is not None)


def max_drawdown(equity: Sequence[float]) -> float:
    """The largest fall from a running peak, as a fraction of the peak; zero for a curve that never falls."""
    return drawdown(equity).depth


def apr(total_return: float, periods: int, periods_per_year: float) -> float | None:
    """A return over ``periods`` as a return a year, not compounded; ``None`` for no periods."""
    return total_return * periods_per_year / periods if periods else None


def cagr(total_return: float, periods: int, periods_per_year: float) -> float | None:
    """A return over ``periods`` as a return a year, compounded.

    ``None`` for no periods, for a loss of more than everything, and where the figure is larger than a float holds.
    """
    if not periods or total_return < -1.0:
        return None
    try:
        return math.pow(1.0 + total_return, periods_per_year / periods) - 1.0
    except OverflowError:
        return None


def volatility(series: Sequence[float], periods_per_year: float) -> float | None:
    """The annualised sample deviation of returns; ``None`` for fewer than two."""
    if len(series) < 2:
        return None
    return _deviation(series) * math.sqrt(periods_per_year)


def sharpe(series: Sequence[float], periods_per_year: float) -> float | None:
    """The annualised Sharpe ratio of simple returns; ``None`` where it does not exist."""
    if len(series) < 2:
        return None
    mean, deviation = fmean(series), _deviation(series)
    return mean / deviation * math.sqrt(periods_per_year) if deviation else None


def sortino(series: Sequence[float], periods_per_year: float) -> float | None:
    """The annualised Sortino ratio of simple returns; ``None`` for fewer than two, or where none is below zero."""
    if len(series) < 2:
        return None
    downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in series) / len(series))
    return fmean(series) / downside * math.sqrt(periods_per_year) if downside else None


def _deviation(series: Sequence[float]) -> float:
    mean = fmean(series)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in series) / (len(series) - 1))
    # returns that are all equal differ from their mean by the last bit: that is no deviation
    return deviation if deviation > abs(mean) * 1e-14 else 0.0


def performance(equity: Sequence[float | Decimal], *, periods_per_year: float = HOURLY_CRYPTO) -> Performance:
    """All figures of a curve of at least one figure, into which nothing was paid on the way.

    Raises:
        InvalidInput: an empty curve, a figure that is not finite, or one at or below zero before the last.
    """
    curve = [float(figure) for figure in equity]
    if not curve:
        raise InvalidInput("equity", "an empty curve", "at least one figure")
    series = returns(curve)
    total = curve[-1] / curve[0] - 1.0 if series else 0.0
    return _figures(curve, series, total, curve[-1] - curve[0], periods_per_year)


def _figures(
    curve: Sequence[float], series: Sequence[float], total: float, pnl: float, periods_per_year: float
) -> Performance:
    if not math.isfinite(periods_per_year) or periods_per_year <= 0:
        raise InvalidInput("periodsPerYear", periods_per_year, "a number above zero, such as 365 or 252")
    deepest = drawdown(curve)
    compounded = cagr(total, len(series), periods_per_year)
    return Performance(
        periods=len(series),
        pnl=pnl,
        total_return=total,
        apr=apr(total, len(series), periods_per_year),
        cagr=compounded,
        volatility=volatility(series, periods_per_year),
        sharpe=sharpe(series, periods_per_year),
        sortino=sortino(series, periods_per_year),
        max_drawdown=deepest.depth,
        drawdown_length=deepest.length,
        calmar=None if compounded is None or not deepest.depth else compounded / deepest.depth,
        periods_per_year=periods_per_year,
    )


# ----------------------------------------------------------------------------------------------------- equity curves


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """What an account was worth at an instant."""

    time: int
    """In ns since 1970 UTC."""
    equity: Decimal
    flow: Decimal = ZERO
    """Paid in (out: below zero) since the point before; ``equity`` has it. Of the first point it says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of a curve, at its end."""

    day: date
    equity: Decimal
    flow: Decimal
    """Paid in (out: below zero) since the day before it in the list."""
    gain: float
    """The day's return, time-weighted; a fraction."""
    growth: float
    """What 1 at the start of the curve has become by the end of this day, without what was paid in or out."""


class EquityCurve:
    """Equity over time, with what was paid in and out. ``points``: in the order of their times."""

    def __init__(self, points: Iterable[EquityPoint] = ()) -> None:
        self._points: list[EquityPoint] = []
        for point in points:
            self.add(point.time, point.equity, point.flow)

    @property
    def points(self) -> tuple[EquityPoint, ...]:
        """All points, oldest first."""
        return tuple(self._points)

    def add(self, time: int, equity: Decimal, flow: Decimal = ZERO) -> None:
        """Put ``equity`` at ``time`` (ns) behind the others, with what was paid in since the last one.

        Raises:
            InvalidInput: a time before the last point's, or an amount that is a float, NaN or no number.
        """
        if self._points and time < self._points[-1].time:
            raise InvalidInput("point.time", time, f"{self._points[-1].time} or later: points come in their order")
        self._points.append(EquityPoint(time, money(equity, "point.equity"), money(flow, "point.flow")))

    def days(self, *, zone: str = "UTC", sessions: Collection[date] | None = None) -> list[Day]:
        """The curve by days that end at midnight in ``zone``; an instant at midnight belongs to the day it ends.

        Without ``sessions`` every day counts, and one without a point has the figures of the day before. With them
        (for an exchange that closes) only those days count: what happens between two belongs to the later one, and
        what happens after the last waits for the next. The first point is what the first day starts from.

        Raises:
            InvalidInput: an unknown zone, or equity that grew out of nothing.
        """
        if len(self._points) < 2:
            return []
        place = _zone(zone)
        places = [from_ns(point.time - 1).astimezone(place).date() for point in self._points]
        factors = [_factor(before, after) for before, after in pairwise(self._points)]
        found: list[Day] = []
        at, growth = 1, _ONE
        for day in _calendar(places, sessions):
            factor, flow = _ONE, ZERO
            while at < len(places) and places[at] <= day:
                factor = _GROWTH.multiply(factor, factors[at - 1])
                flow = EXACT.add(flow, self._points[at].flow)
                at += 1
            growth = _GROWTH.multiply(growth, factor)
            found.append(
                Day(
                    day=day,
                    equity=self._points[at - 1].equity,
                    flow=flow,
                    gain=float(_GROWTH.subtract(factor, _ONE)),
                    growth=float(growth),
                )
            )
        return found

    def performance(
        self,
        *,
        periods_per_year: float = DAILY_CRYPTO,
        zone: str = "UTC",
        sessions: Collection[date] | None = None,
    ) -> Performance:
        """All figures of the curve's days; ``periods_per_year`` is 365 without ``sessions``, 252 with an exchange's.

        Raises:
            InvalidInput: no point at all, or as ``days``.
        """
        if not self._points:
            raise InvalidInput("equity", "an empty curve", "at least one point")
        days = self.days(zone=zone, sessions=sessions)
        curve = [1.0, *(day.growth for day in days)]
        pnl = ZERO
        for before, after in pairwise([self._points[0].equity, *(day.equity for day in days)]):
            pnl = EXACT.add(pnl, EXACT.subtract(after, before))
        for day in days:
            pnl = EXACT.subtract(pnl, day.flow)
        return _figures(curve, [day.gain for day in days], curve[-1] - 1.0, float(pnl), periods_per_year)


def _factor(before: EquityPoint, after: EquityPoint) -> Decimal:
    """What 1 became between two points, without what was paid in or out."""
    base = EXACT.add(before.equity, max(after.flow, ZERO))
    end = EXACT.subtract(after.equity, min(after.flow, ZERO))
    if base > 0:
        return ratio(end, base)
    if base == 0 and end == 0:
        return _ONE  # an empty account earns nothing
    raise InvalidInput("point.equity", after.equity, f"no equity that grows out of {base}: what was paid in is missing")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:  # not there, a path out of the data base, a folder in it
        raise InvalidInput("zone", name, "the name of a time zone, such as 'UTC' or 'America/New_York'") from error


def _calendar(places: Sequence[date], sessions: Collection[date] | None) -> list[date]:
    """The days to report: from the first that has more than the first point, to the last that has any."""
    first = places[0] if places[1] == places[0] else places[0] + timedelta(days=1)
    if sessions is not None:
        return sorted(day for day in set(sessions) if first <= day <= places[-1])
    return [first + timedelta(days=number) for number in range((places[-1] - first).days + 1)]


# ------------------------------------------------------------------------------------------------------------ trades


@dataclass(slots=True, kw_only=True)
class Trades:
    """A running tally of closed positions, and what follows from it; JSON as it is. Money is in one currency."""

    count: int = 0
    won: int = 0
    """Those that made a profit."""
    lost: int = 0
    """Those that made a loss; one that made neither is in ``count`` alone."""
    gross_profit: Decimal = ZERO
    """Sum of the profits."""
    gross_loss: Decimal = ZERO
    """Sum of the losses, above zero."""
    best: Decimal | None = None
    worst: Decimal | None = None
    entered: Decimal = ZERO
    """What the positions cost to open, in all."""

    def add(self, profit: Decimal, entered: Decimal = ZERO) -> None:
        """Count one closed position by its profit (a loss is below zero) and by what it cost to open."""
        self.count += 1
        self.won += profit > 0
        self.lost += profit < 0
        self.gross_profit = EXACT.add(self.gross_profit, max(profit, ZERO))
        self.gross_loss = EXACT.subtract(self.gross_loss, min(profit, ZERO))
        self.best = profit if self.best is None else max(self.best, profit)
        self.worst = profit if self.worst is None else min(self.worst, profit)
        self.entered = EXACT.add(self.entered, entered)

    def merge(self, other: Trades) -> None:
        """Count all that another tally has, in the same currency."""
        self.count += other.count
        self.won += other.won
        self.lost += other.lost
        self.gross_profit = EXACT.add(self.gross_profit, other.gross_profit)
        self.gross_loss = EXACT.add(self.gross_loss, other.gross_loss)
        self.best = max((one for one in (self.best, other.best) if one is not None), default=None)
        self.worst = min((one for one in (self.worst, other.worst) if one is not None), default=None)
        self.entered = EXACT.add(self.entered, other.entered)

    @property
    def profit(self) -> Decimal:
        """Profits less losses."""
        return EXACT.subtract(self.gross_profit, self.gross_loss)

    @property
    def win_rate(self) -> float | None:
        """The part that made a profit; ``None`` where there is no trade."""
        return self.won / self.count if self.count else None

    @property
    def profit_factor(self) -> float | None:
        """Profits over losses; ``None`` where nothing was lost."""
        return float(ratio(self.gross_profit, self.gross_loss)) if self.gross_loss else None

    @property
    def average(self) -> float | None:
        """Mean profit of a trade, in money; ``None`` where there is none."""
        return float(ratio(self.profit, Decimal(self.count))) if self.count else None

    @property
    def average_win(self) -> float | None:
        """Mean of the profits, in money; ``None`` where there is none."""
        return float(ratio(self.gross_profit, Decimal(self.won))) if self.won else None

    @property
    def average_loss(self) -> float | None:
        """Mean of the losses, in money, above zero; ``None`` where there is none."""
        return float(ratio(self.gross_loss, Decimal(self.lost))) if self.lost else None

    @property
    def return_on_entries(self) -> float | None:
        """Profit over what the positions cost to open; with ``apr`` over so many days the return a year on turnover.

        It is no return on capital: money that was used twice counts twice. ``None`` where the cost is not known.
        """
        return float(ratio(self.profit, self.entered)) if self.entered else None


def exposure(spans: Iterable[tuple[int, int | None]], start: int, end: int) -> float | None:
    """The part of the time from ``start`` to ``end`` in which at least one position was open; times in ns.

    ``spans`` are when each was opened and closed, ``None`` for one that is open still. ``None`` for no time at all.
    """
    if end <= start:
        return None
    covered, reached = 0, start
    for opened, closed in sorted((opened, end if closed is None else min(closed, end)) for opened, closed in spans):
        covered += max(closed - max(opened, reached), 0)
        reached = max(reached, closed)
    return covered / (end - start)
