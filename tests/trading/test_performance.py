"""Performance figures against their formulas in numpy and against empyrical; curves by days; tallies of trades."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import empyrical
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.trading.performance import (
    DAILY_CRYPTO,
    DAILY_EQUITIES,
    HOURLY_CRYPTO,
    Drawdown,
    EquityCurve,
    EquityPoint,
    Trades,
    apr,
    cagr,
    drawdown,
    exposure,
    max_drawdown,
    performance,
    returns,
    sharpe,
)
from tickwork.values import timestamp_ns

curves = st.lists(st.floats(1.0, 1e6), min_size=3, max_size=60)


@given(curves)
def test_figures_equal_numpy(curve: list[float]) -> None:
    equity = np.array(curve)
    found = performance(curve, periods_per_year=252)
    series = equity[1:] / equity[:-1] - 1.0
    assert found.periods == len(curve) - 1
    assert found.pnl == pytest.approx(equity[-1] - equity[0])
    assert found.total_return == pytest.approx(equity[-1] / equity[0] - 1.0)
    peaks = np.maximum.accumulate(equity)
    assert found.max_drawdown == pytest.approx(float(np.max(1.0 - equity / peaks)), abs=1e-12)
    if np.std(series, ddof=1) > 1e-9:
        expected = float(np.mean(series) / np.std(series, ddof=1) * np.sqrt(252))
        assert found.sharpe == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_worked_example() -> None:
    """100 -> 110 -> 99 -> 108.9: returns 0.1, -0.1, 0.1; deviation sqrt(0.04/3); drawdown a tenth."""
    found = performance([100.0, 110.0, 99.0, 108.9], periods_per_year=HOURLY_CRYPTO)
    assert found.max_drawdown == pytest.approx(0.1)
    assert found.sharpe == pytest.approx((0.1 / 3) / math.sqrt(0.04 / 3) * math.sqrt(8760))
    assert found.pnl == pytest.approx(8.9)


def test_a_figure_that_does_not_exist_is_none() -> None:
    assert performance([100.0]).sharpe is None
    assert performance([100.0, 101.0]).sharpe is None
    assert performance([100.0] * 10).sharpe is None
    assert sharpe([0.01] * 10, 252) is None
    assert performance([100.0]).total_return == 0.0


def test_decimals_are_taken() -> None:
    assert performance([Decimal(100), Decimal(150)]).pnl == 50.0


def test_ruin_is_a_drawdown_of_one() -> None:
    assert max_drawdown([100.0, 0.0]) == 1.0
    assert returns([100.0, 0.0]) == [-1.0]


@pytest.mark.parametrize("curve", [[], [0.0, 1.0], [-1.0, 1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_what_is_no_curve_is_refused(curve: list[float]) -> None:
    with pytest.raises(InvalidInput):
        performance(curve)


# ------------------------------------------------------------------------------------------------ against the oracle


def _close(ours: float | None, theirs: float, condition: float = 1.0) -> bool:
    """Equal to 1e-12 of the figure; what theirs does not define (NaN, infinity) is ``None`` here."""
    if ours is None:
        return not math.isfinite(theirs)
    return math.isfinite(theirs) and abs(ours - theirs) <= 1e-12 * max(1.0, abs(theirs)) * condition


def _equal_to_empyrical(series: np.ndarray, year: float) -> None:
    curve = [1_000.0]
    for value in series:
        curve.append(curve[-1] * (1.0 + float(value)))
    found = performance(curve, periods_per_year=year)
    theirs = np.array(returns(curve))
    # how much larger than themselves the numbers are whose difference the deviation is
    spread = 1.0 + float(np.max(np.abs(theirs)) / np.std(theirs))
    # the last bit of growth times the exponent that makes it a year's
    years = 1.0 + year / len(theirs)
    assert _close(found.total_return, float(empyrical.cum_returns_final(theirs)))
    assert _close(found.cagr, float(empyrical.annual_return(theirs, annualization=year)), years)
    assert _close(found.volatility, empyrical.annual_volatility(theirs, annualization=year), spread)
    assert _close(found.sharpe, empyrical.sharpe_ratio(theirs, annualization=year), spread**2)
    assert _close(found.sortino, empyrical.sortino_ratio(theirs, annualization=year))
    assert _close(found.max_drawdown, -empyrical.max_drawdown(theirs))
    calmar = float(empyrical.calmar_ratio(theirs, annualization=year))
    if found.max_drawdown > 1e-9:
        assert _close(found.calmar, calmar, years / found.max_drawdown)
    assert found.apr == pytest.approx(found.total_return * year / len(theirs), rel=1e-15)


@pytest.mark.parametrize("year", [DAILY_CRYPTO, DAILY_EQUITIES])
@pytest.mark.parametrize("seed", range(5))
def test_two_years_of_days_equal_empyrical_to_1e_12(year: int, seed: int) -> None:
    series = np.random.default_rng(seed).normal(0.0005, 0.02, 504)
    curve = list(1_000.0 * np.cumprod(np.concatenate([[1.0], 1.0 + series])))
    found = performance(curve, periods_per_year=year)
    theirs = np.array(returns(curve))
    for name, ours, other in (
        ("total return", found.total_return, empyrical.cum_returns_final(theirs)),
        ("cagr", found.cagr, empyrical.cagr(theirs, annualization=year)),
        ("volatility", found.volatility, empyrical.annual_volatility(theirs, annualization=year)),
        ("sharpe", found.sharpe, empyrical.sharpe_ratio(theirs, annualization=year)),
        ("sortino", found.sortino, empyrical.sortino_ratio(theirs, annualization=year)),
        ("drawdown", found.max_drawdown, -empyrical.max_drawdown(theirs)),
        ("calmar", found.calmar, empyrical.calmar_ratio(theirs, annualization=year)),
    ):
        assert ours == pytest.approx(float(other), rel=1e-12, abs=1e-12), name


steps = st.lists(st.integers(-500_000, 1_000_000).map(lambda millionths: millionths / 1e6), min_size=2, max_size=60)


@given(steps.filter(lambda series: max(series) - min(series) > 1e-4), st.sampled_from([52, 252, 365]))
def test_law_figures_equal_empyrical(series: list[float], year: int) -> None:
    _equal_to_empyrical(np.array(series), year)


def test_equal_returns_have_no_ratio_and_no_loss_no_sortino() -> None:
    """empyrical says infinity or NaN to these; a figure that does not exist is None."""
    flat, rising = performance([100.0] * 5), performance([100.0, 110.0, 130.0])
    assert (flat.sharpe, flat.sortino, flat.calmar, flat.volatility) == (None, None, None, 0.0)
    assert (rising.sortino, rising.calmar, rising.max_drawdown, rising.drawdown_length) == (None, None, 0.0, 0)
    assert rising.sharpe is not None


def test_one_figure_has_no_yearly_figures() -> None:
    found = performance([100.0])
    assert (found.apr, found.cagr, found.volatility, found.sharpe, found.sortino, found.calmar) == (None,) * 6


def test_a_year_of_luck_that_no_float_holds_is_none() -> None:
    found = performance([100.0, 200.0], periods_per_year=HOURLY_CRYPTO)
    assert (found.cagr, found.calmar) == (None, None)
    assert found.apr == 8760.0
    assert cagr(-1.5, 1, 365) is None


def test_apr_does_not_compound_and_cagr_does() -> None:
    """10 % in half a year: 20 % simple, 21 % compounded."""
    assert apr(0.1, 126, 252) == pytest.approx(0.2)
    assert cagr(0.1, 126, 252) == pytest.approx(0.21)


def test_ruin_has_figures() -> None:
    found = performance([100.0, 50.0, 0.0], periods_per_year=365)
    assert (found.total_return, found.cagr, found.max_drawdown, found.calmar) == (-1.0, -1.0, 1.0, -1.0)


@pytest.mark.parametrize("year", [0, -1, math.nan, math.inf])
def test_a_year_has_periods(year: float) -> None:
    with pytest.raises(InvalidInput, match="periodsPerYear"):
        performance([1.0, 2.0], periods_per_year=year)


def test_a_drawdown_lasts_until_its_peak_is_back() -> None:
    assert drawdown([100, 120, 90, 110, 120, 130]) == Drawdown(depth=0.25, peak=1, trough=2, end=4, recovered=True)
    assert drawdown([100, 120, 90, 110]) == Drawdown(depth=0.25, peak=1, trough=2, end=3, recovered=False)
    assert performance([100.0, 120.0, 90.0, 110.0, 120.0, 130.0]).drawdown_length == 3


# ----------------------------------------------------------------------------------------------------- equity curves

DAY = 86_400_000_000_000
MIDNIGHT = timestamp_ns(datetime(2026, 3, 2, tzinfo=UTC))  # a Monday
JUMP = st.integers(-900, 2_000).map(lambda permille: Decimal(1_000 + permille) / 1_000)


@given(st.lists(JUMP, min_size=2, max_size=20))
def test_law_without_payments_the_days_are_the_plain_curve(jumps: list[Decimal]) -> None:
    equity = [Decimal(1_000)]
    for jump in jumps:
        equity.append(equity[-1] * jump)
    curve = EquityCurve(EquityPoint(MIDNIGHT + DAY * day, amount) for day, amount in enumerate(equity))
    found, plain = curve.performance(periods_per_year=365), performance(equity, periods_per_year=365)
    for name in ("periods", "pnl", "total_return", "apr", "max_drawdown", "volatility"):
        assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=1e-9, abs=1e-9), name


@given(
    st.lists(st.tuples(JUMP, st.integers(-400, 5_000).map(lambda p: Decimal(p) / 1_000)), min_size=1, max_size=20),
)
def test_law_paying_in_and_out_is_not_performance(rows: list[tuple[Decimal, Decimal]]) -> None:
    """One account is left alone, another with the same trades is paid into or out of after each: same returns."""
    alone, paid = EquityCurve(), EquityCurve()
    equity = other = Decimal(1_000)
    alone.add(MIDNIGHT, equity)
    paid.add(MIDNIGHT, other)
    for day, (jump, fraction) in enumerate(rows, start=1):
        equity, other = equity * jump, (other * jump).quantize(Decimal("1e-12"))
        alone.add(MIDNIGHT + DAY * day, equity)
        paid.add(MIDNIGHT + DAY * day, other)
        flow = (other * fraction).quantize(Decimal("1e-12"))
        other += flow
        paid.add(MIDNIGHT + DAY * day, other, flow)
    left, right = alone.performance(), paid.performance()
    assert right.total_return == pytest.approx(left.total_return, rel=1e-9, abs=1e-9)
    assert right.max_drawdown == pytest.approx(left.max_drawdown, rel=1e-9, abs=1e-9)
    assert [day.gain for day in paid.days()] == pytest.approx([day.gain for day in alone.days()], rel=1e-6, abs=1e-9)


def test_doubling_a_losing_account_by_paying_in_is_a_loss() -> None:
    """1,000 -> 900, 1,000 paid in, 1,900 -> 1,710: minus a tenth twice, though there is more money than before."""
    curve = EquityCurve([
        EquityPoint(MIDNIGHT, Decimal(1_000)),
        EquityPoint(MIDNIGHT + DAY, Decimal(900)),
        EquityPoint(MIDNIGHT + 2 * DAY, Decimal(1_710), Decimal(1_000)),
    ])  # fmt: skip
    found = curve.performance(periods_per_year=365)
    assert found.total_return == pytest.approx(-0.19)
    assert found.max_drawdown == pytest.approx(0.19)
    assert found.pnl == -290.0


def test_what_is_paid_out_was_there_until_then() -> None:
    curve = EquityCurve([EquityPoint(0, Decimal(1_000)), EquityPoint(DAY, Decimal(600), Decimal(-500))])
    assert curve.performance().total_return == pytest.approx(0.1)


def test_an_empty_account_earns_nothing_until_it_is_paid_into() -> None:
    curve = EquityCurve()
    for day, equity, flow in ((0, 0, 0), (1, 0, 0), (2, 110, 100), (3, 0, -110), (4, 0, 0)):
        curve.add(MIDNIGHT + DAY * day, Decimal(equity), Decimal(flow))
    assert curve.performance().total_return == pytest.approx(0.1)


def test_equity_out_of_nothing_is_refused() -> None:
    curve = EquityCurve([EquityPoint(0, Decimal(0)), EquityPoint(DAY, Decimal(5))])
    with pytest.raises(InvalidInput, match="paid in is missing"):
        curve.performance()


def _point(day: int, hour: int, equity: int) -> EquityPoint:
    return EquityPoint(timestamp_ns(datetime(2026, 3, day, hour, tzinfo=UTC)), Decimal(equity))


def test_each_day_has_its_last_point_and_a_day_without_one_the_last_before() -> None:
    curve = EquityCurve(
        [_point(2, 0, 100), _point(2, 9, 90), _point(2, 20, 110), _point(5, 12, 121), _point(6, 0, 110)]
    )
    days = curve.days()
    assert [(one.day.day, int(one.equity)) for one in days] == [(2, 110), (3, 110), (4, 110), (5, 110)]
    assert [one.gain for one in days] == [pytest.approx(0.1), 0.0, 0.0, 0.0]
    assert days[-1].growth == pytest.approx(1.1)


def test_days_end_at_midnight_in_their_zone() -> None:
    """23:00 UTC on the 2nd is the 3rd in Tokyo and the 2nd in New York."""
    curve = EquityCurve([_point(1, 12, 100), _point(2, 12, 110), _point(2, 23, 121)])
    assert [one.day.day for one in curve.days(zone="Asia/Tokyo")] == [2, 3]
    assert [one.day.day for one in curve.days(zone="America/New_York")] == [2]
    for wrong in ("Nowhere/Land", "../etc", ""):
        with pytest.raises(InvalidInput, match="zone"):
            curve.days(zone=wrong)


def test_an_exchange_has_only_its_sessions() -> None:
    """Friday the 6th, the week-end, Monday the 9th: what happened between belongs to Monday."""
    sessions = {date(2026, 3, day) for day in (4, 5, 6, 9, 10)}
    curve = EquityCurve(
        [_point(4, 21, 100), _point(5, 21, 110), _point(7, 12, 99), _point(9, 21, 198), _point(11, 9, 1)]
    )
    days = curve.days(sessions=sessions)
    assert [(one.day.day, int(one.equity)) for one in days] == [(5, 110), (6, 110), (9, 198), (10, 198)]
    assert [one.gain for one in days] == pytest.approx([0.1, 0.0, 0.8, 0.0])
    found = curve.performance(periods_per_year=DAILY_EQUITIES, sessions=sessions)
    assert (found.periods, found.pnl) == (4, 98.0)


def test_a_curve_takes_points_in_their_order_and_only_numbers() -> None:
    curve = EquityCurve([_point(2, 1, 100)])
    with pytest.raises(InvalidInput, match=r"point\.time"):
        curve.add(0, Decimal(1))
    for wrong in (Decimal("NaN"), 1.5):
        with pytest.raises(InvalidInput, match=r"point\.equity"):
            curve.add(2**62, wrong)  # type: ignore[arg-type]
    assert len(curve.points) == 1
    assert curve.days() == []
    assert curve.performance().periods == 0
    with pytest.raises(InvalidInput, match="at least one point"):
        EquityCurve().performance()


# ------------------------------------------------------------------------------------------------------------ trades


def test_a_tally_of_trades() -> None:
    tally = Trades()
    for profit in ("30", "-10", "0", "-5", "15"):
        tally.add(Decimal(profit), Decimal(100))
    assert (tally.count, tally.won, tally.lost, tally.profit) == (5, 2, 2, Decimal(30))
    assert (tally.win_rate, tally.profit_factor, tally.average) == (0.4, 3.0, 6.0)
    assert (tally.average_win, tally.average_loss, tally.best, tally.worst) == (22.5, 7.5, Decimal(30), Decimal(-10))
    assert tally.return_on_entries == 0.06
    # a return on turnover a year, as copy-trading boards show it: sum of profit / sum of entries * 365 / days
    assert apr(tally.return_on_entries, 30, 365) == pytest.approx(0.73)


def test_a_tally_of_nothing_says_nothing() -> None:
    tally = Trades()
    assert (tally.win_rate, tally.profit_factor, tally.average, tally.best, tally.return_on_entries) == (None,) * 5
    tally.add(Decimal(1))
    assert (tally.profit_factor, tally.average_loss) == (None, None)


@given(st.lists(st.tuples(st.booleans(), st.decimals(-100, 100, places=4))))
def test_law_tallies_merge(rows: list[tuple[bool, Decimal]]) -> None:
    whole, parts = Trades(), (Trades(), Trades())
    for which, profit in rows:
        whole.add(profit, Decimal(1))
        parts[which].add(profit, Decimal(1))
    parts[0].merge(parts[1])
    assert parts[0] == whole
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Trades) == whole


def test_exposure_counts_overlaps_once() -> None:
    assert exposure([(10, 30), (20, 40), (0, 5), (90, None)], 0, 100) == 0.45
    assert exposure([(-50, 10), (95, 500), (200, None)], 0, 100) == 0.15
    assert exposure([], 0, 100) == 0.0
    assert exposure([(0, 1)], 5, 5) is None
