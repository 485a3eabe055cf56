"""What limits count of the past: days, peaks, minutes, and that a restart gives it again."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import SPOT, D, fill, gate, intent, quote
from tickwork.errors import InvalidInput
from tickwork.trading.activity import Activity, ActivityState
from tickwork.trading.breaches import breaches
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.limits import Limits, RiskLimits, RiskRules
from tickwork.trading.orders import Approval
from tickwork.trading.reservations import Reservations

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MIDNIGHT = 19_700 * DAY
FRESH = 5 * MINUTE


def approval(at: int, workflow: str = "w") -> Approval:
    found = gate().check(
        intent(workflow=workflow),
        ledger=Ledger(),
        reservations=Reservations(),
        quote=quote(time_ns=at),
        now=at,
        halt=Halt(),
    )
    assert found.approval is not None
    return found.approval


def test_a_day_begins_with_the_last_figure_of_the_one_before() -> None:
    activity = Activity("USDT")
    activity.marked(D(1_000), MIDNIGHT - MINUTE)
    activity.marked(D(900), MIDNIGHT + MINUTE)
    assert activity.daily_loss(MIDNIGHT + MINUTE, FRESH) == 100
    activity.marked(D(950), MIDNIGHT + HOUR)
    assert activity.daily_loss(MIDNIGHT + HOUR, FRESH) == 50
    assert activity.daily_loss(MIDNIGHT + DAY, 2 * DAY) == 0  # no figure of the new day yet
    assert activity.day_begin(MIDNIGHT + DAY) == 950


def test_a_day_is_that_of_its_zone() -> None:
    activity = Activity("USDT", "Asia/Tokyo")  # midnight is at 15:00 UTC
    activity.marked(D(1_000), MIDNIGHT + 14 * HOUR)
    activity.marked(D(900), MIDNIGHT + 16 * HOUR)
    activity.marked(D(950), MIDNIGHT + 25 * HOUR)
    assert activity.daily_loss(MIDNIGHT + 25 * HOUR, FRESH) == 50


def test_drawdown_counts_from_the_peak_until_a_person_lets_it_begin_anew() -> None:
    activity = Activity("USDT")
    for number, equity in enumerate((1_000, 1_200, 900)):
        activity.marked(D(equity), MIDNIGHT + number)
    assert activity.drawdown(MIDNIGHT, FRESH) == (D(300), D(1_200))
    activity.rebased()
    assert activity.drawdown(MIDNIGHT, FRESH) == (D(0), D(900))


def test_money_paid_in_or_out_is_neither_loss_nor_gain() -> None:
    activity = Activity("USDT")
    activity.marked(D(1_000), MIDNIGHT)
    activity.deposited(D(-400))
    activity.marked(D(600), MIDNIGHT + 1)
    assert activity.daily_loss(MIDNIGHT + 1, FRESH) == 0
    assert activity.drawdown(MIDNIGHT + 1, FRESH) == (D(0), D(600))


@pytest.mark.parametrize("wrong", [D("NaN"), D("Infinity"), 1.5, None])
def test_no_figure_that_is_none_is_taken_in(wrong: Any) -> None:
    activity = Activity("USDT")
    with pytest.raises(InvalidInput):
        activity.marked(wrong, MIDNIGHT)
    assert isinstance(activity.daily_loss(MIDNIGHT, FRESH), str)


def test_old_equity_is_no_equity() -> None:
    activity = Activity("USDT")
    activity.marked(D(1_000), MIDNIGHT)
    assert activity.equity(MIDNIGHT + FRESH, FRESH) == 1_000
    for now in (MIDNIGHT + FRESH + 1, MIDNIGHT - FRESH - 1):
        for said in (activity.equity(now, FRESH), activity.daily_loss(now, FRESH), activity.drawdown(now, FRESH)):
            assert isinstance(said, str)
            assert said.startswith("none")


def test_orders_are_counted_for_a_minute_and_not_forgotten_by_a_clock_set_back() -> None:
    activity = Activity("USDT")
    for number in range(3):
        activity.decided(approval(MIDNIGHT + number * 30_000_000_000, "ab"[number % 2]))
    assert activity.orders(MIDNIGHT + MINUTE) == 2
    assert activity.orders(MIDNIGHT + MINUTE, "workflow b") == 1
    assert activity.orders(MIDNIGHT + MINUTE, f"symbol {SPOT}") == 2
    assert activity.orders(MIDNIGHT - HOUR) == activity.orders(MIDNIGHT + MINUTE)
    assert activity.orders(MIDNIGHT + 2 * MINUTE) == 0


def test_a_workflow_is_judged_by_its_own_fills() -> None:
    activity = Activity("USDT")
    activity.marked(D(1_000), MIDNIGHT, {})
    activity.filled(fill(1, "buy", 1, 100, 1, time=MIDNIGHT + 1), "a")
    activity.filled(fill(2, "buy", 1, 100, 1, time=MIDNIGHT + 2), "b")
    activity.filled(fill(3, "sell", 1, 80, 1, time=MIDNIGHT + 3), "b")
    assert not activity.filled(fill(3, "sell", 1, 80, 1, time=MIDNIGHT + 3), "b")
    assert activity.daily_loss(MIDNIGHT + 4, FRESH, "b") == 22  # realised, as no mark tells of it
    assert activity.daily_loss(MIDNIGHT + 4, FRESH, "a") == 1
    profits = activity.profits({SPOT: D(70)})
    assert profits == {"a": -31, "b": -22}
    activity.marked(D(947), MIDNIGHT + 5, profits)
    assert activity.daily_loss(MIDNIGHT + 5, FRESH, "a") == 31
    activity.marked(D(947), MIDNIGHT + DAY, profits)
    assert activity.daily_loss(MIDNIGHT + DAY, FRESH, "a") == 0
    with pytest.raises(InvalidInput, match=SPOT):
        activity.profits({})


RULES = RiskRules(
    account=RiskLimits(
        max_order_notional=D(1),
        max_position_notional=D(1),
        max_daily_loss=D(100),
        max_drawdown=D("0.2"),
        max_failures=5,
        failure_window="1 minute",
    ),
    workflows={"a": Limits(max_daily_loss=D(20))},
)


@pytest.mark.parametrize(
    ("equity", "expected"),
    [
        (D(921), []),
        (D(920), [("max_daily_loss", "alert")]),
        (D(900), [("max_daily_loss", "halt")]),
        (D(840), [("max_daily_loss", "halt"), ("max_drawdown", "alert")]),
        (D(800), [("max_daily_loss", "halt"), ("max_drawdown", "halt")]),
        (D(1_500), []),
    ],
)
def test_breaches_of_equity(equity: Decimal, expected: list[tuple[str, str]]) -> None:
    activity = Activity("USDT")
    activity.marked(D(1_000), MIDNIGHT)
    activity.marked(equity, MIDNIGHT + 1)
    found = breaches(RULES, activity, MIDNIGHT + 1)
    assert [(one.rule, one.level) for one in found] == expected


def test_what_cannot_be_measured_is_an_alert() -> None:
    activity = Activity("USDT")
    found = breaches(RULES, activity, MIDNIGHT)
    assert [(one.rule, one.level, one.actual[:4]) for one in found] == [
        ("max_daily_loss", "alert", "none"),
        ("max_drawdown", "alert", "none"),
    ]


def test_breaches_of_errors_and_of_a_workflow() -> None:
    activity = Activity("USDT")
    activity.marked(D(1_000), MIDNIGHT)
    for number in range(4):
        activity.failed(MIDNIGHT + number)
    (alert,) = breaches(RULES, activity, MIDNIGHT + 4)
    assert (alert.rule, alert.level, alert.actual) == ("max_failures", "alert", "4 in 1m")
    activity.failed(MIDNIGHT + 4)
    activity.filled(fill(1, "buy", 1, 100, 25, time=MIDNIGHT + 5), "a")
    loss, errors = breaches(RULES, activity, MIDNIGHT + 5)
    assert (loss.rule, loss.scope, loss.level) == ("max_daily_loss", "workflow a", "halt")
    assert (errors.rule, errors.level) == ("max_failures", "halt")
    assert [one.rule for one in breaches(RULES, activity, MIDNIGHT + MINUTE + 5)] == ["max_daily_loss"]


records = st.one_of(
    st.tuples(st.just("marked"), st.integers(500, 1_500), st.integers(0, 60)),
    st.tuples(st.just("decided"), st.sampled_from("ab"), st.integers(0, 60)),
    st.tuples(st.just("filled"), st.sampled_from("ab"), st.integers(0, 60)),
    st.tuples(st.just("failed"), st.none(), st.integers(0, 60)),
    st.tuples(st.just("deposited"), st.integers(-100, 100), st.integers(0, 60)),
)


def feed(activity: Activity, tape: list[Any]) -> None:
    for number, (kind, what, at) in enumerate(tape):
        now = MIDNIGHT - 30 * HOUR + at * HOUR
        if kind == "marked":
            profits = activity.profits({SPOT: D(90)}) if at % 2 else None
            activity.marked(D(what), now, profits)
        elif kind == "decided":
            activity.decided(approval(now, what))
        elif kind == "filled":
            side: Any = "buy" if number % 2 else "sell"
            activity.filled(fill(at, side, 1, 100 + at, 1, time=now), what)
        elif kind == "failed":
            activity.failed(now)
        else:
            activity.deposited(D(what))


def said(activity: Activity) -> list[Any]:
    found: list[Any] = []
    for hour in range(-30, 40, 3):
        now = MIDNIGHT + hour * HOUR
        found += [activity.orders(now, of) for of in ("", "workflow a", f"symbol {SPOT}")]
        found += [activity.daily_loss(now, DAY, name) for name in ("", "a", "b")]
        found += [activity.drawdown(now, DAY), activity.failures(now, HOUR), activity.day_begin(now)]
    return found


@given(before=st.lists(records, max_size=25), after=st.lists(records, max_size=15))
def test_law_a_state_and_the_records_after_it_are_the_whole_tape(before: list[Any], after: list[Any]) -> None:
    whole, begun = Activity("USDT"), Activity("USDT")
    feed(whole, before)
    feed(begun, before)
    state = msgspec.json.decode(msgspec.json.encode(begun.state()), type=ActivityState)
    restored = Activity.of(state)
    assert said(restored) == said(whole)
    feed(whole, after)
    feed(restored, after)
    assert said(restored) == said(whole)
