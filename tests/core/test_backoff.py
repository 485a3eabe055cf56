"""Exact waits: the formulas of the listing sniper and of ``withRetry``, to the last nanosecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.core.backoff import anchored_backoff, backoff, missed, with_retry
from tickwork.core.retry import Retry
from tickwork.errors import InvalidInput

LAUNCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_rechecks_of_a_listing() -> None:
    waits = [backoff(attempt) for attempt in range(1, 10)]
    assert [wait.total_seconds() for wait in waits] == [2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert sum(waits, timedelta()) == timedelta(minutes=13, seconds=30)


@given(
    attempt=st.integers(0, 10_000),
    base=st.integers(0, 3_600_000).map(lambda ms: timedelta(milliseconds=ms)),
    cap=st.integers(0, 86_400_000).map(lambda ms: timedelta(milliseconds=ms)),
)
def test_backoff_is_its_formula(attempt: int, base: timedelta, cap: timedelta) -> None:
    base_us, cap_us = base // timedelta(microseconds=1), cap // timedelta(microseconds=1)
    assert backoff(attempt, base, cap) == timedelta(microseconds=min(base_us * 2**attempt, cap_us))


@pytest.mark.parametrize("attempt", [-1, 1.0, True, "1", None])
def test_an_attempt_is_a_whole_number(attempt: object) -> None:
    with pytest.raises(InvalidInput, match="attempt"):
        backoff(attempt)  # type: ignore[arg-type]


def test_what_a_timedelta_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="microseconds"):
        backoff(0, "1 ns")


@pytest.mark.parametrize(
    ("before", "wait"),
    [
        (timedelta(hours=3, minutes=30), 30),
        (timedelta(minutes=60, microseconds=1), 30),
        (timedelta(minutes=60), 30),
        (timedelta(minutes=60) - timedelta(microseconds=1), 5),
        (timedelta(seconds=1), 5),
        (timedelta(0), 5),
        (timedelta(minutes=-5), 5),
        (timedelta(minutes=-5, microseconds=-1), None),
        (timedelta(days=-1), None),
    ],
)
def test_rechecks_follow_the_launch(before: timedelta, wait: int | None) -> None:
    found = anchored_backoff(1, LAUNCH - before, LAUNCH)
    assert found == (None if wait is None else timedelta(seconds=wait))


def test_without_a_launch_time_the_attempts_count() -> None:
    assert anchored_backoff(3, LAUNCH, None) == backoff(3)


def test_a_listing_announced_hours_ahead_is_looked_at_until_the_end() -> None:
    """What the count of attempts alone cannot do: its 13.5 minutes are over long before."""
    now = LAUNCH - timedelta(hours=3, minutes=30)
    gaps: list[timedelta] = []
    while (wait := anchored_backoff(len(gaps), now, LAUNCH)) is not None:
        gaps.append(wait)
        now += wait
    assert now == LAUNCH + timedelta(minutes=5, seconds=5)
    # every 30 s as long as an hour is left, every 5 s from then on until five minutes after
    assert [gap.total_seconds() for gap in gaps] == [30] * 301 + [5] * (64 * 12 + 6 + 1)


@pytest.mark.parametrize(("left", "too_late"), [(10, False), (9.999999, True), (0, True), (-1, True), (11, False)])
def test_what_is_ready_with_less_than_ten_seconds_left_is_missed(left: float, too_late: bool) -> None:
    assert missed(LAUNCH - timedelta(seconds=left), LAUNCH) is too_late


def test_naive_times_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no zone"):
        anchored_backoff(1, datetime(2026, 1, 1), LAUNCH)  # noqa: DTZ001
    with pytest.raises(InvalidInput, match="no zone"):
        missed(LAUNCH, datetime(2026, 1, 1))  # noqa: DTZ001


def waits(retry: Retry) -> list[int]:
    """The waits of a call that always fails (ns), as an engine asks for them."""
    found, failures = [], 1
    while retry.allows(ConnectionError(), failures):
        found.append(retry.wait(failures, 0.5))
        failures += 1
    return found


def test_with_retry_makes_three_attempts() -> None:
    assert waits(with_retry()) == [1_000_000_000, 2_000_000_000]


@given(limit=st.integers(1, 30), ms=st.integers(0, 5_000))
def test_with_retry_is_its_formula(limit: int, ms: int) -> None:
    found = waits(with_retry(limit, timedelta(milliseconds=ms)))
    assert found == [ms * 1_000_000 * 2**n for n in range(limit - 1)]


@pytest.mark.parametrize("limit", [0, -1, True, 2.0, 80])
def test_with_retry_refuses(limit: object) -> None:
    with pytest.raises(InvalidInput, match="limit"):
        with_retry(limit)  # type: ignore[arg-type]
