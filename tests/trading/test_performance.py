"""Performance figures against their formulas in numpy."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.trading.performance import HOURLY_CRYPTO, max_drawdown, performance, returns, sharpe

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
