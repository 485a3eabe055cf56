"""Cron texts, against the documented rules written down a second time (below, by brute force) and against cronsim."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwork.core.cron import ALIASES, Cron
from tickwork.errors import InvalidInput
from tickwork.values import from_ns, timestamp_ns

MINUTE = timedelta(minutes=1)
TRADED = ("America/New_York", "Europe/Berlin", "Europe/London")
ODD = ("Australia/Lord_Howe", "America/Havana", "Asia/Beirut", "America/Santiago", "Africa/Cairo", "Africa/Casablanca")
"""Clocks that change by half an hour, at midnight, or twice within weeks."""


def starts(text: str, begin: datetime, end: datetime, zone: str = "UTC") -> list[datetime]:
    """What a cron gives in (begin, end]."""
    cron, found, at = Cron(text, zone), [], timestamp_ns(begin)
    while (following := cron.next(at)) is not None and from_ns(following) <= end:
        found.append(from_ns(following))
        at = following
    return found


# --------------------------------------------------------------------------------- the rules, written down once more


def members(field: str, low: int, high: int) -> set[int]:
    """The numbers that a field names (without names, L and #)."""
    found: set[int] = set()
    for term in field.split(","):
        base, _, step = term.partition("/")
        first, _, last = base.partition("-")
        if base == "*":
            numbers = range(low, high + 1)
        else:
            numbers = range(int(first), (int(last) if last else high if step else int(first)) + 1)
        found |= set(numbers[:: int(step or 1)])
    return found


class Rules:
    """Five fields, and whether a wall clock shows such a time."""

    def __init__(self, text: str) -> None:
        minute, hour, day, month, weekday = text.split()
        self.minutes, self.hours = members(minute, 0, 59), members(hour, 0, 23)
        self.days, self.months = members(day, 1, 31), members(month, 1, 12)
        self.weekdays = {number % 7 for number in members(weekday, 0, 7)}
        self.both_days = day.startswith("*") or weekday.startswith("*")
        self.given_times = not minute.startswith("*") and not hour.startswith("*")

    def on(self, day: date) -> bool:
        by_day, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_day and by_weekday if self.both_days else by_day or by_weekday)

    def shows(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.on(wall.date())


def wall_clock(begin: datetime, end: datetime, zone: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Every minute in (begin, end], with what the clock on the wall shows then."""
    minutes = (begin + n * MINUTE for n in range(1, int((end - begin) / MINUTE) + 1))
    return [(at, at.astimezone(zone).replace(tzinfo=None)) for at in minutes]


def expected(rules: Rules, clock: list[tuple[datetime, datetime]]) -> list[datetime]:
    """The starts among these minutes, as cron(8) of Debian says."""
    if not rules.given_times:
        return [at for at, wall in clock if rules.shows(wall)]
    first_shown: dict[datetime, datetime] = {}
    for at, wall in clock:
        first_shown.setdefault(wall, at)
    found = {at for wall, at in first_shown.items() if rules.shows(wall)}
    for (_, before), (after, wall) in pairwise(clock):
        skipped = (before + n * MINUTE for n in range(1, int((wall - before) / MINUTE)))
        if any(rules.shows(never) for never in skipped):
            found.add(after)
    return sorted(found)


def changes(zone: ZoneInfo, first: int, last: int) -> list[datetime]:
    """The moments at which the clock is changed, in some years, to the minute."""
    found, at = [], datetime(first, 1, 1, tzinfo=UTC)
    while at.year <= last:
        following = at + timedelta(hours=6)
        if following.astimezone(zone).utcoffset() != at.astimezone(zone).utcoffset():
            minutes = (at + n * MINUTE for n in range(361))
            found.append(next(m for m in minutes if m.astimezone(zone).utcoffset() != at.astimezone(zone).utcoffset()))
        at = following
    return found


AROUND_A_CHANGE = [
    "0 * * * *", "*/10 * * * *", "7 * * * *", "*/30 1-3 * * *", "* 2 * * *", "0 */2 * * *", "*/20 0 * * 0",
    "0 0 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "0,30 1,2 * * *", "0 2 * * *", "30 2 * * *", "15,45 2 * * *",
    "59 1-3 * * *", "0 3 * * *", "30 2 * * 0", "30 1 * * 1-5", "0-59/20 2 * * *", "30 23 * * *",
]  # fmt: skip


@pytest.mark.parametrize("zone", [*TRADED, *ODD])
def test_every_change_of_the_clock_from_2020_to_2030(zone: str) -> None:
    info = ZoneInfo(zone)
    moments = changes(info, 2020, 2030) if zone in TRADED else changes(info, 2023, 2025)
    assert len(moments) >= (22 if zone in TRADED else 5)
    for moment in moments:
        begin, end = moment - timedelta(hours=12), moment + timedelta(hours=12)
        clock = wall_clock(begin, end, info)
        for text in AROUND_A_CHANGE:
            # a job of a given time must know whether the clock had shown it before the window
            told = [at for at in expected(Rules(text), clock) if at > begin + 3 * timedelta(hours=1)]
            assert [at for at in starts(text, begin, end, zone) if at > begin + 3 * timedelta(hours=1)] == told, (
                text,
                moment,
            )


@pytest.mark.parametrize("zone", TRADED)
def test_as_the_library_does(zone: str) -> None:
    """Iterated from before the change; where clocks change by an hour and not at midnight, it is right."""
    info = ZoneInfo(zone)
    for moment in changes(info, 2020, 2030):
        begin, end = moment - timedelta(hours=30), moment + timedelta(hours=30)
        for text in [*AROUND_A_CHANGE, "0 30 2 * * *", "*/20 59 1 * * *", "0 0 */3 * * *"]:
            theirs = []
            for at in CronSim(text, begin.astimezone(info)):
                if at.astimezone(UTC) > end:
                    break
                theirs.append(at.astimezone(UTC))
            assert starts(text, begin, end, zone) == theirs, (text, moment)


def test_the_examples_of_the_documentation() -> None:
    """02:30 in the night that lacks it, 01:30 in the night that has two, and every half hour in both."""
    spring, autumn = datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)
    hours = timedelta(hours=1)

    def shown(text: str, begin: datetime, length: int) -> list[str]:
        new_york = ZoneInfo("America/New_York")
        found = starts(text, begin, begin + length * hours, "America/New_York")
        return [f"{at.astimezone(new_york):%H:%M %Z}" for at in found]

    assert shown("30 2 * * *", spring, 6) == ["03:00 EDT"]
    assert shown("30 1 * * *", autumn, 6) == ["01:30 EDT"]
    assert shown("*/30 1 * * *", autumn, 6) == ["01:00 EDT", "01:30 EDT", "01:00 EST", "01:30 EST"]
    assert shown("*/30 2 * * *", spring, 6) == []
    assert shown("0 30 2 * * *", spring, 6) == []
    assert shown("0 30 1 * * *", autumn, 6) == ["01:30 EDT", "01:30 EST"]


# ------------------------------------------------------------------------------------------------------------- laws

numbers = {"minute": (0, 59), "hour": (0, 23), "day": (1, 28), "month": (1, 12), "weekday": (0, 7)}


@st.composite
def fields(draw: st.DrawFn, name: str) -> str:
    low, high = numbers[name]
    if draw(st.booleans()):
        return draw(st.sampled_from(["*", f"*/{draw(st.integers(1, high))}"]))
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(low, high))
        last = draw(st.integers(first, high))
        terms.append(
            draw(st.sampled_from([str(first), f"{first}-{last}", f"{first}-{last}/{draw(st.integers(1, high))}"]))
        )
    return ",".join(terms)


texts = st.tuples(*(fields(name) for name in numbers)).map(" ".join)
times = st.datetimes(datetime(2019, 1, 1), datetime(2031, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
zones = st.sampled_from(["UTC", *TRADED, *ODD])


@settings(max_examples=80, deadline=None)
@given(text=texts, zone=zones, at=times)
def test_next_is_the_first_after(text: str, zone: str, at: datetime) -> None:
    """It is later; asking from anywhere before it gives the same one; the clock shows what was asked for."""
    cron, asked = Cron(text, zone), timestamp_ns(at)
    found = cron.next(asked)
    assert found is not None
    assert found > asked
    for part in (0.0, 0.3, 0.999):
        assert cron.next(asked + int((found - asked - 1) * part)) == found
    rules, wall = Rules(text), from_ns(found).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    before = from_ns(found - 1_000_000_000).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    skipped = wall - before > timedelta(seconds=1)
    assert rules.shows(wall) or (rules.given_times and skipped)


@settings(max_examples=60, deadline=None)
@given(text=texts, zone=zones, at=times, draw=st.data())
def test_nothing_is_left_out(text: str, zone: str, at: datetime, draw: st.DataObject) -> None:
    """Any two days, also those of a change."""
    info = ZoneInfo(zone)
    if zone != "UTC" and draw.draw(st.booleans()):
        at = draw.draw(st.sampled_from(changes(info, at.year, at.year) or [at])) - timedelta(hours=24)
    begin = at.replace(second=0, microsecond=0)
    settled = begin + timedelta(hours=4)
    clock = wall_clock(begin, begin + timedelta(hours=48), info)
    told = [at for at in expected(Rules(text), clock) if at > settled]
    assert starts(text, settled, begin + timedelta(hours=48), zone) == told


# ------------------------------------------------------------------------------------------------ fields and aliases


def days_of(text: str, first: int = 2023, last: int = 2025) -> list[date]:
    begin, end = datetime(first, 1, 1, tzinfo=UTC) - MINUTE, datetime(last, 12, 31, 23, tzinfo=UTC)
    return [at.date() for at in starts(text, begin, end)]


def all_days() -> list[date]:
    return [date(2023, 1, 1) + timedelta(days=n) for n in range(365 + 366 + 365)]


def last_day(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def test_last_days_and_weekdays() -> None:
    months = [
        [day for day in all_days() if (day.year, day.month) == (y, m)] for y in (2023, 2024, 2025) for m in range(1, 13)
    ]
    assert days_of("0 0 L * *") == [days[-1] for days in months]
    assert days_of("0 0 LW * *") == [[day for day in days if day.weekday() < 5][-1] for days in months]
    assert days_of("0 0 * * 5L") == [[day for day in days if day.weekday() == 4][-1] for days in months]
    assert days_of("0 0 * * MON#1") == [next(day for day in days if day.weekday() == 0) for days in months]
    assert days_of("0 0 * * 3#5") == [days[4] for days in (
        [day for day in month if day.weekday() == 2] for month in months) if len(days) == 5]  # fmt: skip
    assert days_of("0 0 1,L * *") == [day for day in all_days() if day.day in (1, last_day(day))]


def test_names_and_sundays() -> None:
    assert days_of("0 0 * jan-mar sun") == days_of("0 0 * 1-3 0") == days_of("0 0 * 1-3 7")
    assert days_of("0 0 * * MON-FRI") == [day for day in all_days() if day.weekday() < 5]
    assert days_of("0 0 * * 5-7") == [day for day in all_days() if day.weekday() > 3]


def test_either_day_is_enough_where_neither_is_a_star() -> None:
    assert days_of("0 0 13 * 5") == [day for day in all_days() if day.day == 13 or day.weekday() == 4]
    assert days_of("0 0 */2 * 5") == [day for day in all_days() if day.day % 2 and day.weekday() == 4]


def test_leap_days() -> None:
    assert days_of("0 0 29 2 *", 2023, 2040) == [date(year, 2, 29) for year in (2024, 2028, 2032, 2036, 2040)]


def test_seconds_come_first() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert starts("*/20 0 9 * * *", begin, begin + timedelta(days=1)) == [
        datetime(2026, 1, 1, 9, 0, second, tzinfo=UTC) for second in (0, 20, 40)
    ]


@pytest.mark.parametrize(("alias", "text"), ALIASES.items())
def test_aliases(alias: str, text: str) -> None:
    begin, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC)
    assert starts(alias.upper(), begin, end) == starts(text, begin, end)
    assert str(Cron(alias)) == alias
    assert Cron(alias) == Cron(text)


def test_equal_texts_in_equal_zones_are_equal() -> None:
    assert Cron(" 0  9 * * 1-5 ", "Europe/Berlin") == Cron("0 9 * * 1-5", "Europe/Berlin")
    assert hash(Cron("0 9 * * mon")) == hash(Cron("0 9 * * MON"))
    assert Cron("0 9 * * 1-5") != Cron("0 9 * * 1-5", "Europe/Berlin")
    assert str(Cron(" 0  9 * * 1-5 ")) == "0 9 * * 1-5"


def test_the_end_of_time() -> None:
    assert Cron("@yearly").next(2**63 - 2) is None


def test_fractions_of_a_second() -> None:
    cron, nine = Cron("0 9 * * *"), timestamp_ns(datetime(2026, 1, 1, 9, tzinfo=UTC))
    assert cron.next(nine - 1) == nine
    assert cron.next(nine) == cron.next(nine + 1) == nine + 86_400 * 10**9
    assert cron.next(-1) == 9 * 3_600 * 10**9


# ------------------------------------------------------------------------------------------------------- complaints


@pytest.mark.parametrize(
    ("text", "path", "found"),
    [
        ("0 25 * * *", "cron field 'hour'", "25"),
        ("60 * * * *", "cron field 'minute'", "60"),
        ("61 * * * * *", "cron field 'second'", "61"),
        ("0 0 0 * *", "cron field 'day-of-month'", "0"),
        ("0 0 1 13 *", "cron field 'month'", "13"),
        ("0 0 1 FOO *", "cron field 'month'", "FOO"),
        ("0 0 * * 8", "cron field 'day-of-week'", "8"),
        ("0 0 * * monday", "cron field 'day-of-week'", "MONDAY"),
        ("0 0 * * FRI-SUN", "cron field 'day-of-week'", "FRI-SUN"),
        ("0 0 * * MON#6", "cron field 'day-of-week'", "MON#6"),
        ("0 0 * * 1L/2", "cron field 'day-of-week'", "1L/2"),
        ("0 0 15W * *", "cron field 'day-of-month'", "15W"),
        ("0 0 ? * *", "cron field 'day-of-month'", "?"),
        ("*/0 * * * *", "cron field 'minute'", "*/0"),
        ("*/90 * * * *", "cron field 'minute'", "*/90"),
        ("1,,2 * * * *", "cron field 'minute'", ""),
        ("5-3 * * * *", "cron field 'minute'", "5-3"),
        ("1-2-3 * * * *", "cron field 'minute'", "1-2-3"),
        ("L * * * *", "cron field 'minute'", "L"),
        ("-1 * * * *", "cron field 'minute'", "-1"),
        ("* * * *", "cron", "* * * * (4 fields)"),
        ("* * * * * * *", "cron", "* * * * * * * (7 fields)"),
        ("", "cron", "''"),
        ("@reboot", "cron", "@reboot"),
        ("0 0 30 2 *", "cron", "0 0 30 2 * (day-of-month 30, month 2)"),
        ("0 0 31 4,6,9,11 *", "cron", "0 0 31 4,6,9,11 * (day-of-month 31, month 4,6,9,11)"),
        ("* * */20 * 1L", "cron", "* * */20 * 1L (day-of-month */20, month *)"),
        ("\N{ARABIC-INDIC DIGIT THREE} * * * *", "cron", "\N{ARABIC-INDIC DIGIT THREE} * * * *"),
        ("* " * 300, "cron", "* " * 300),
    ],
)
def test_a_wrong_text_names_the_field(text: str, path: str, found: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Cron(text)
    assert (caught.value.path, caught.value.found) == (path, found)


def test_what_would_be_right() -> None:
    with pytest.raises(InvalidInput, match=r"cron field 'hour': expected \*, 0-23, .*; found '25'"):
        Cron("0 25 * * *")


@pytest.mark.parametrize(
    ("zone", "meant"),
    [
        ("New York", "America/New_York"),
        ("america/new_york", "America/New_York"),
        ("Europe/Berln", "Europe/Berlin"),
        ("London", "Europe/London"),
        ("../etc/passwd", ""),
        ("America", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_wrong_zone_names_the_nearest(zone: str, meant: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Cron("@daily", zone)
    assert caught.value.path == "zone"
    assert meant in caught.value.expected


def test_no_text_at_all() -> None:
    with pytest.raises(InvalidInput):
        Cron(5)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789*/-,#LWlw @MONJAN", max_size=30))
def test_any_text_is_a_cron_or_a_complaint(text: str) -> None:
    try:
        cron = Cron(text)
    except InvalidInput:
        return
    found = cron.next(0)
    assert found is not None
    assert found > 0


# ----------------------------------------------------------------------- the mistakes that comments beside crons make


def in_new_york(text: str, *day: int) -> list[str]:
    """When a cron in UTC runs on a day, by New York's clock."""
    begin = datetime(*day, tzinfo=UTC) - MINUTE  # type: ignore[misc, arg-type]
    found = starts(text, begin, begin + timedelta(days=1))
    return [f"{at.astimezone(ZoneInfo('America/New_York')):%H:%M}" for at in found]


WINTER, SUMMER = (2026, 1, 14), (2026, 7, 15)


def test_utc_is_not_new_york() -> None:
    """Said to be 9:30 in the morning, and 4 and 5 in the afternoon, "Eastern"."""
    assert in_new_york("0 14 * * 1-5", *WINTER) == ["09:00"]
    assert in_new_york("0 14 * * 1-5", *SUMMER) == ["10:00"]
    assert (in_new_york("0 21 * * 1-5", *WINTER), in_new_york("0 21 * * 1-5", *SUMMER)) == (["16:00"], ["17:00"])
    assert (in_new_york("0 22 * * 1-5", *WINTER), in_new_york("0 22 * * 1-5", *SUMMER)) == (["17:00"], ["18:00"])


def test_six_fields_begin_with_the_seconds() -> None:
    """Said to be hourly: it is every minute of eight hours."""
    found = in_new_york("0 */1 14-21 * * 1-5", *WINTER)
    assert len(found) == 480
    assert (found[0], found[1], found[-1]) == ("09:00", "09:01", "16:59")
    assert len(in_new_york("0 14-21 * * 1-5", *WINTER)) == 8


def test_every_minute_of_the_trading_day_in_utc_is_the_night() -> None:
    found = in_new_york("* 9-16 * * 1-5", *SUMMER)
    assert (len(found), found[0], found[-1]) == (480, "05:00", "12:59")


def test_the_others_mean_what_they_say() -> None:
    day = datetime(2026, 1, 14, tzinfo=UTC)
    for text, count in {"*/30 * * * *": 48, "*/15 * * * *": 96, "*/5 * * * *": 288, "0 9 * * *": 1, "0 */2 * * *": 12,
                        "*/2 * * * *": 720, "0 2 * * *": 1}.items():  # fmt: skip
        assert len(starts(text, day - MINUTE, day + timedelta(days=1) - MINUTE)) == count
    assert days_of("0 22 * * 5")[0] == date(2023, 1, 6)
