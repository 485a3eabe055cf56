"""Schedules as they are declared, and which due times start a run: against the rules said the long way round."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickwork.core import due as module
from tickwork.core.cron import Cron
from tickwork.core.due import CATCH_UP_MAX, Due, Gone, Plan, gone_until, plan
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.schedule import Missed, Schedule, ScheduleFired, Times
from tickwork.core.workflow import workflow
from tickwork.errors import InvalidInput

SECOND = 1_000_000_000


class Listed:
    """A few times, in seconds."""

    def __init__(self, seconds: Sequence[int]) -> None:
        self.times = sorted({second * SECOND for second in seconds})
        self.asked = 0

    def next(self, after_ns: int) -> int | None:
        """The next of them."""
        self.asked += 1
        return next((time for time in self.times if time > after_ns), None)

    def __str__(self) -> str:
        return ",".join(str(time // SECOND) for time in self.times)


# ---------------------------------------------------------------------------------------------------------- policies


def told(times: list[int], now: int, missed: Missed, grace: int, most: int) -> Plan:
    """The rules of ``plan``, the long way round; ``times`` are all that are due from the next one on."""
    due = [time for time in times if time <= now]
    late = [time for time in due if time < now - grace]
    fresh = [time for time in due if time >= now - grace]
    following = next((time for time in times if time > now), None)

    def number(gone: list[int]) -> int | None:
        return len(gone) if len(gone) <= most else None

    def last_of(kept: list[int]) -> tuple[list[Due], list[Gone]]:
        left_out = kept[:-most]
        return [Due(time) for time in kept[-most:]], [Gone(left_out[0], left_out[-1], None)] if left_out else []

    if missed == "all":
        fire, gone = last_of(due)
    elif missed == "skip" or not late:
        fire, gone = last_of(fresh)
        gone = ([Gone(late[0], late[-1], number(late))] if late else []) + gone
    elif fresh:
        fire, gone = last_of(fresh)
        fire[0] = Due(fire[0].at, min(len(late), most))
    else:
        fire, gone = [Due(late[-1], most if number(late) is None else len(late) - 1)], []
    return Plan(tuple(fire), tuple(gone), following)


seconds = st.lists(st.integers(0, 400), min_size=1, max_size=80)


@settings(max_examples=400, deadline=None)
@given(seconds, st.integers(0, 500), st.sampled_from(["skip", "once", "all"]), st.integers(1, 300), st.integers(1, 12))
@example([1], 1, "skip", 1, 1)
@example([0, 100], 101, "once", 1, 1)
@example(list(range(60)), 60, "skip", 30, 5)
def test_plans(listed: list[int], now: int, missed: Missed, grace: int, most: int) -> None:
    times = Listed(listed)
    first = times.times[0]
    now = max(now * SECOND, first)
    with mock.patch.object(module, "CATCH_UP_MAX", most):
        found = plan(times, first, now, missed, grace * SECOND)
        gone = gone_until(times, first, now)
    assert found == told(times.times, now, missed, grace * SECOND, most)
    due = [time for time in times.times if time <= now]
    assert gone == Plan((), (Gone(due[0], due[-1], len(due) if len(due) <= most else None),), found.next_due)


@given(seconds, st.integers(0, 500))
def test_nothing_is_gone_before_it_is_due(listed: list[int], now: int) -> None:
    times = Listed([second + 501 for second in listed])
    assert gone_until(times, times.times[0], now * SECOND) == Plan((), (), times.times[0])


def test_in_time_costs_one_question() -> None:
    times = Listed(range(10))
    assert plan(times, 3 * SECOND, 3 * SECOND + 5, "skip", SECOND) == Plan((Due(3 * SECOND),), (), 4 * SECOND)
    assert times.asked == 1


class Counting(Cron):
    """Counts how often it was asked."""

    asked = 0

    def next(self, after_ns: int) -> int | None:
        """As a cron."""
        Counting.asked += 1
        return super().next(after_ns)


@pytest.mark.parametrize(("missed", "most"), [("skip", 500), ("once", 500), ("all", 2_000)])
@pytest.mark.parametrize("text", ["* * * * *", "* * * * * *", "*/10 9-16 * * 1-5"])
def test_years_of_minutes_are_not_walked_through(text: str, missed: Missed, most: int) -> None:
    times, began = Counting(text), 1_577_836_800 * SECOND
    first = times.next(began)
    assert first is not None
    now = began + int(6.4 * 365.25 * 86_400) * SECOND + 123
    Counting.asked = 0
    found = plan(times, first, now, missed, 3_600 * SECOND)
    assert Counting.asked < most
    assert found.next_due == times.next(now)
    if missed == "all":
        assert len(found.fire) == CATCH_UP_MAX
        for one, other in zip(found.fire, found.fire[1:], strict=False):
            assert times.next(one.at) == other.at
        assert times.next(found.fire[-1].at) == found.next_due
        assert times.next(found.gone[0].last) == found.fire[0].at


class Backwards(Listed):
    """Times that break their contract."""

    def next(self, after_ns: int) -> int | None:
        """The last one."""
        return after_ns


def test_times_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a later time"):
        plan(Backwards([1]), SECOND, 2 * SECOND, "skip", SECOND)


# ------------------------------------------------------------------------------------------------------ declarations


class Asked(Event, name="schedules/asked"):
    """An input."""

    n: int


def test_what_a_schedule_says() -> None:
    schedule = Schedule(
        "0 9 * * 1-5", zone="America/New_York", name="briefing", missed="once", overlap="queue", grace="2h"
    )
    assert (schedule.name, schedule.zone, schedule.missed, schedule.overlap) == (
        "briefing", "America/New_York", "once", "queue",
    )  # fmt: skip
    assert schedule.grace == 7_200 * SECOND
    assert str(schedule) == "schedule 0 9 * * 1-5 in America/New_York as briefing"
    assert isinstance(schedule.times, Times)


def test_the_event_of_a_schedule() -> None:
    assert Schedule("@daily").event is ScheduleFired
    assert Schedule("@daily", input=Asked(n=1)).event is Asked
    assert Schedule("@daily", input={"n": 1}).event is None
    assert not Schedule("@daily").routed


def test_fired_counts_from_when_it_was_due() -> None:
    due = datetime(2026, 1, 1, 9, tzinfo=UTC)
    fired = ScheduleFired(schedule="x", due=due, fired_at=due + timedelta(hours=1))
    assert (fired.happened_at, fired.missed) == (due, 0)


def test_a_workflow_takes_what_its_schedule_gives() -> None:
    @workflow("by-the-clock", on=[Schedule("@daily"), Schedule("@hourly")])
    async def by_the_clock(run: Run, fired: ScheduleFired) -> None: ...

    assert by_the_clock.on == (ScheduleFired,)
    with pytest.raises(InvalidInput, match="what starts it: ScheduleFired"):

        @workflow("other", on=Schedule("@daily"))
        async def other(run: Run, asked: Asked) -> None: ...

    with pytest.raises(InvalidInput, match="each trigger once"):

        @workflow("twice", on=[Schedule("@daily"), Schedule("@daily", missed="once")])
        async def twice(run: Run) -> None: ...


@pytest.mark.parametrize(
    ("times", "options", "path"),
    [
        (7, {}, "Schedule(times)"),
        (Cron, {}, "Schedule(times)"),
        ("0 25 * * *", {}, "cron field 'hour'"),
        ("@daily", {"zone": "Mars"}, "zone"),
        (Listed([1]), {"zone": "Mars"}, "Schedule(zone)"),
        ("@daily", {"missed": "twice"}, "Schedule(missed)"),
        ("@daily", {"overlap": ["skip"]}, "Schedule(overlap)"),
        ("@daily", {"grace": "900 ms"}, "Schedule(grace)"),
        ("@daily", {"grace": 60}, "Schedule(grace)"),
        ("@daily", {"name": ""}, "Schedule(name)"),
        ("@daily", {"name": 5}, "Schedule(name)"),
    ],
)
def test_a_wrong_declaration(times: Any, options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Schedule(times, **options)
    assert caught.value.path == path
