"""Logic, comparisons and branches; what they are asked about comes from recordings where it can."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.support import RecordedProvider, RecordedProviders, context, done
from tickwork.errors import InvalidInput
from tickwork.graph.declare import DECLARED
from tickwork.graph.nodes.comparing import Operator
from tickwork.graph.nodes.conditions import and_, compare, filter_, if_, not_, or_, switch, threshold
from tickwork.graph.nodes.indicators import rsi_signal
from tickwork.graph.nodes.providers import get_bars, get_markets

BOOLEANS = st.lists(st.booleans(), max_size=4)


@given(st.booleans(), st.booleans(), BOOLEANS)
def test_logic_is_logic(one: bool, two: bool, more: list[bool]) -> None:
    assert and_(one, two, more).output == all([one, two, *more])
    assert or_(one, two, more).output == any([one, two, *more])
    assert not_(one).output is not one
    # De Morgan
    assert not_(and_(one, two).output).output == or_(not_(one).output, not_(two).output).output


@pytest.mark.parametrize(
    ("value", "true"),
    [
        ("buy", True), ("SELL", True), ("hold", False), ("Hold", False), ("true", True), ("false", False), ("", False),
        (1, True), (0, False), (0.5, True), (Decimal(0), False), (Decimal("0.1"), True), ("0", False), ("-1.5", True),
        (None, False),
    ],
)  # fmt: skip
def test_signals_and_numbers_have_a_truth(value: Any, true: bool) -> None:
    assert and_(value, True).output is true
    assert or_(False, value).output is true
    assert not_(value).output is not true
    assert if_(value).branch == str(true).lower()


@pytest.mark.parametrize("value", ["maybe", float("nan"), Decimal("NaN"), [True], {"a": 1}])
def test_what_has_no_truth_decides_nothing(value: Any) -> None:
    for decide in (lambda: and_(True, value), lambda: or_(False, value), lambda: not_(value), lambda: if_(value)):
        with pytest.raises(InvalidInput):
            decide()


def test_logic_of_nothing_is_refused() -> None:
    for logic in (and_, or_):
        with pytest.raises(InvalidInput, match=r"at least one input"):
            logic()
    assert and_(True).output
    assert not and_(True, None).output, "an input that brings null is not one that is not there"


def test_a_recorded_signal_and_another_make_a_decision() -> None:
    shares = RecordedProvider("shares", "aapl-1d")
    decisions = set()
    for shares.at in range(300, 1500, 25):
        signal = done(rsi_signal(symbol="AAPL", providers=RecordedProviders(shares), context=context())).signal
        both = and_(signal, True).output
        assert both is (signal != "hold")
        decisions.add(both)
    assert decisions == {True, False}


# ------------------------------------------------------------------------------------------------------------- compare

SIGNS = {"==": "eq equals", "!=": "ne not_equals", ">": "gt greater_than", ">=": "gte ge", "<": "lt less_than",
         "<=": "lte le"}  # fmt: skip


def test_every_operator_is_tried() -> None:
    assert {*SIGNS, *" ".join(SIGNS.values()).split()} == set(get_args(Operator))


@given(st.decimals(-9, 9, places=2), st.decimals(-9, 9, places=2))
def test_comparisons_are_those_of_the_values_however_they_are_written(left: Decimal, right: Decimal) -> None:
    truths = {"==": left == right, "!=": left != right, ">": left > right, ">=": left >= right, "<": left < right,
              "<=": left <= right}  # fmt: skip
    for sign, words in SIGNS.items():
        for operator in (sign, *words.split()):
            for one in (left, str(left), float(left)):
                for other in (right, str(right), float(right)):
                    assert compare(one, other, operator=operator).result is truths[sign]  # type: ignore[arg-type]


def test_recorded_prices_compare_with_numbers_and_texts() -> None:
    provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")
    results = []
    for provider.at in (10, 1200):
        found = done(get_bars(symbol="BTC/USD", providers=RecordedProviders(provider), context=context()))
        assert compare(found.price, str(found.price)).result
        results.append(compare(found.price, 1000, operator=">").result)
    assert results == [False, True]


def test_texts_compare_as_texts_and_what_has_no_order_is_refused() -> None:
    assert compare("urgent", "urgent").result
    assert compare(None, 1, operator="!=").result
    for left, right in (("a", 1), (None, 1), (Decimal("NaN"), 1), ([1], 2)):
        with pytest.raises(InvalidInput):
            compare(left, right, operator=">")


# ----------------------------------------------------------------------------------------------------------- threshold


@given(st.decimals(-5, 5, places=1), st.decimals(-5, 5, places=1) | st.none(), st.decimals(-5, 5, places=1) | st.none())
def test_both_bounds_of_a_threshold_pass(value: Decimal, low: Decimal | None, high: Decimal | None) -> None:
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        with pytest.raises(InvalidInput, match=r"threshold\.min"):
            threshold(value, min=low, max=high)
        return
    within = (low if low is not None else value) <= value <= (high if high is not None else value)
    assert threshold(value, min=low, max=high).passed is within


def test_a_threshold_of_nan_is_refused_and_its_output_is_called_pass() -> None:
    with pytest.raises(InvalidInput, match=r"threshold\.value"):
        threshold(Decimal("NaN"), min=Decimal(0))
    type_ = DECLARED["threshold"]
    assert type_.fields(threshold(Decimal(1), min=Decimal(1))) == {"pass": True}


# ------------------------------------------------------------------------------------------------------------ branches


def test_an_if_takes_the_branch_of_its_test_before_that_of_its_input() -> None:
    assert if_(test=True).branch == "true"
    assert if_(True, test=False).branch == "false"
    assert if_(False).result is False
    with pytest.raises(InvalidInput, match=r"a test, or a value"):
        if_()
    assert DECLARED["if"].branches == ("true", "false")
    assert DECLARED["if"].params["test"].expression == "test"


@pytest.mark.parametrize(
    ("value", "options", "branch"),
    [
        ("urgent", {"cases": {"urgent": "urgent", "later": "normal"}}, "urgent"),
        ("normal", {"cases": {"urgent": "urgent", "later": "normal"}}, "later"),
        ("normal", {"cases": ("urgent", "normal")}, "normal"),
        ("ignore", {"cases": ("urgent", "normal")}, "default"),
        (Decimal("1.0"), {"cases": {"case1": 0, "case2": 1}}, "case2"),
        ("2", {"case2": True, "cases": {"case1": "2"}}, "case2"),
        ("2", {"case2": False, "cases": {"case1": 2}}, "case1"),
        ("2", {"case1": False, "case3": True}, "case3"),
        ("2", {}, "default"),
        (True, {"cases": ("true", "false")}, "true"),
        (False, {"cases": ("true", "false")}, "false"),
    ],
)
def test_a_switch_takes_the_first_branch_that_fits(value: Any, options: Any, branch: str) -> None:
    assert switch(value, **options).branch == branch


def test_the_branches_of_a_switch_are_those_that_its_params_name() -> None:
    type_ = DECLARED["switch"]
    usual = ("case1", "case2", "case3", "default")
    assert type_.branches_of({}) == usual
    assert type_.branches_of({"cases": {"up": 1, "case1": 2}}) == (*usual, "up")
    assert type_.branches_of({"cases": ["urgent", "normal"]}) == (*usual, "urgent", "normal")
    assert type_.branches_of({"cases": "{{what}}"}) == usual
    with pytest.raises(InvalidInput, match=r"switch\.value"):
        switch(cases=("up",))


def test_a_filter_leaves_the_items_of_which_the_comparison_holds() -> None:
    provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", "bitstamp-ltc-usd-1d", at=100)
    providers = RecordedProviders(provider)
    markets = done(get_markets(providers=providers)).markets
    found = filter_(list(markets), field="symbol", operator="!=", value="BTC/USD")
    assert [item["symbol"] for item in found.items] == ["LTC/USD"]
    bars = done(get_bars(symbol="BTC/USD", count=50, providers=providers, context=context())).bars
    level = bars[20].close
    above = filter_(list(bars), field="close", operator=">", value=level)
    assert [item["close"] for item in above.items] == [str(bar.close) for bar in bars if bar.close > level]
    assert 0 < above.count < 50
    assert filter_([3, 1, 2], operator="<=", value=2).items == [1, 2]
    with pytest.raises(InvalidInput, match=r"field volum"):
        filter_(list(bars), field="volum", value=1)
