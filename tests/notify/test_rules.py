"""Rules: what is refused, quiet hours and the clock, routes."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.core.event import Alert
from tickwork.errors import InvalidInput
from tickwork.notify.events import ALERT, SEVERITIES, Severity, at_least, of_alert
from tickwork.notify.plan import channels_of, judged
from tickwork.notify.rules import Channel, Limit, QuietHours, Route, Rules

PHONE, MAIL = Channel("phone"), Channel("mail")


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: Limit(max=0), "limit.max"),
        (lambda: Limit(per="0s"), "limit.per"),
        (lambda: Limit(per="10"), "limit.per"),
        (lambda: Limit(max=3, reserve=3), "limit.reserve"),
        (lambda: QuietHours("22:00", "22:00", "UTC"), "quiet_hours.end"),
        (lambda: QuietHours("25:00", "07:00", "UTC"), "quiet_hours.start"),
        (lambda: QuietHours("22:00+01:00", "07:00", "UTC"), "quiet_hours.start"),
        (lambda: QuietHours("22:00", "07:00", "Mars/Olympus"), "quiet_hours.zone"),
        (lambda: QuietHours("22:00", "07:00", "UTC", except_severity="loud"), "quiet_hours.except_severity"),  # type: ignore[arg-type]
        (lambda: QuietHours("22:00", "07:00", "UTC", then="wait"), "quiet_hours.then"),  # type: ignore[arg-type]
        (lambda: Channel("my phone"), "channel.name"),
        (lambda: Route(channels="phone"), "route.channels"),  # type: ignore[arg-type]
        (lambda: Route(channels=()), "route.channels"),
        (lambda: Route(channels=("phone",), kind=""), "route.kind"),
        (lambda: Route(channels=("phone",), severity="warn"), "route.severity"),  # type: ignore[arg-type]
        (lambda: Rules((PHONE, Channel("phone"))), "notify.channels"),
        (lambda: Rules((PHONE,), (Route(channels=("fax",)),)), "notify.routes.0.channels"),
        (lambda: Rules(dedupe="often"), "notify.dedupe"),
        (lambda: Rules((PHONE,)).channel("fax"), "channel"),
    ],
)
def test_what_is_wrong_is_named(make: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert refused.value.path == path


# -------------------------------------------------------------------------------------------------------- quiet hours

NIGHT = QuietHours("22:00", "07:00", "Europe/Berlin")


def berlin(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2024-05-01 21:59", None),
        ("2024-05-01 22:00", "2024-05-02 07:00"),
        ("2024-05-02 06:59", "2024-05-02 07:00"),
        ("2024-05-02 07:00", None),
        ("2024-03-30 23:00", "2024-03-31 07:00"),  # the night in which clocks go forward: an hour shorter
        ("2024-10-26 23:00", "2024-10-27 07:00"),  # and back
    ],
)
def test_a_night(now: str, until: str | None) -> None:
    assert NIGHT.until("error", berlin(now)) == (None if until is None else berlin(until))
    assert NIGHT.until("critical", berlin(now)) is None


def test_a_noon_rest() -> None:
    rest = QuietHours(time(12), "13:30", "UTC", except_severity="error")
    noon = datetime(2024, 5, 1, 12, 15, tzinfo=UTC)
    assert rest.until("warning", noon) == datetime(2024, 5, 1, 13, 30, tzinfo=UTC)
    assert rest.until("error", noon) is None
    assert rest.until("info", noon + timedelta(hours=2)) is None


def test_an_end_that_comes_twice_is_the_one_to_come() -> None:
    short = QuietHours("01:00", "02:30", "Europe/Berlin")
    assert short.until("info", berlin("2024-10-27 02:15")) == berlin("2024-10-27 02:30")
    assert short.until("info", berlin("2024-10-27 02:15", fold=1)) == berlin("2024-10-27 02:30", fold=1)


MINUTES = st.integers(0, 24 * 60 - 1).map(lambda n: time(n // 60, n % 60))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
)
MOMENTS = st.integers(0, 16 * 365 * 24 * 60).map(lambda n: datetime(2011, 1, 1, tzinfo=UTC) + timedelta(minutes=n))


@given(MINUTES, MINUTES, ZONES, MOMENTS, st.sampled_from(SEVERITIES), st.sampled_from(SEVERITIES))
def test_quiet_hours_end(
    start: time, end: time, zone: str, now: datetime, severity: Severity, exempt: Severity
) -> None:
    if start == end:
        return
    quiet = QuietHours(start, end, zone, except_severity=exempt)
    until = quiet.until(severity, now)
    if at_least(severity, exempt):
        assert until is None
    if until is not None:
        assert now < until <= now + timedelta(days=2)
        # it is the end: whoever wakes then may be held once more only where clocks went back
        again = quiet.until(severity, until)
        assert (
            again is None
            or until.astimezone(ZoneInfo(zone)).utcoffset() != again.astimezone(ZoneInfo(zone)).utcoffset()
        )


# ------------------------------------------------------------------------------------------------------------- routes

ROUTES = Rules(
    (PHONE, MAIL, Channel("desk")),
    (
        Route(owner="bot-*", kind="debug.*", channels=(), final=True),
        Route(kind="price.*", severity="warning", channels=("phone",)),
        Route(owner="alice", channels=("mail",)),
        Route(severity="error", channels=("desk", "phone")),
    ),
)


@pytest.mark.parametrize(
    ("owner", "kind", "severity", "channels"),
    [
        ("bob", "price.alert", "info", []),
        ("bob", "price.alert", "warning", ["phone"]),
        ("alice", "price.alert", "warning", ["phone", "mail"]),
        ("alice", "news", "info", ["mail"]),
        ("alice", "news", "critical", ["mail", "desk", "phone"]),
        ("bob", "news", "error", ["desk", "phone"]),
        ("bot-7", "debug.ticks", "critical", []),
        ("bot-7", "debug", "critical", ["desk", "phone"]),
        ("Alice", "news", "info", []),
    ],
)
def test_the_table_of_routes(owner: str, kind: str, severity: Severity, channels: list[str]) -> None:
    assert channels_of(judged(ROUTES, owner, kind, severity)) == channels


def test_each_route_says_why() -> None:
    said = judged(ROUTES, "bob", "price.alert", "info")
    assert [one.route for one in said] == [1, 2, 3, 4]
    assert not any(one.matches for one in said)
    assert "'bob' is not 'bot-*'" in said[0].why
    assert "info is less than warning" in said[1].why
    assert "final" in judged(ROUTES, "bot-1", "debug.x", "info")[-1].why


def test_where_no_route_matches() -> None:
    assert channels_of(judged(Rules((PHONE, MAIL)), "", "any", "info")) == ["phone", "mail"]
    one = Rules((PHONE, MAIL), (Route(kind="x", channels=("mail",)),))
    assert channels_of(judged(one, "", "any", "error")) == []
    assert channels_of(judged(one, "", "any", "critical")) == ["phone", "mail"]


@given(st.sampled_from(["alice", "bob", "bot-1"]), st.sampled_from(["price.a", "debug.b", "news"]), st.data())
def test_what_matters_more_goes_at_least_as_far(owner: str, kind: str, data: st.DataObject) -> None:
    less, more = sorted(data.draw(st.lists(st.sampled_from(range(4)), min_size=2, max_size=2)))
    reached = [set(channels_of(judged(ROUTES, owner, kind, SEVERITIES[rank]))) for rank in (less, more)]
    assert reached[0] <= reached[1]


def test_alerts_are_critical() -> None:
    asked = of_alert(Alert(run="r7", what="undo of buy", detail="Rejected: no"))
    assert (asked.kind, asked.severity) == (ALERT, "critical")
    assert "r7" in asked.title
