"""Market sessions, against the calendar library that the table was made from."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickwork.core.cron import Cron
from tickwork.core.schedule import Schedule
from tickwork.errors import InvalidInput
from tickwork.market import sessions as module
from tickwork.market.sessions import MarketClose, MarketOpen, Session, Sessions, parse_times
from tickwork.values import from_ns, timestamp_ns

ROOT = Path(__file__).resolve().parent.parent.parent
FIRST, LAST = date(2000, 1, 1), date(2028, 12, 31)
NEW_YORK = ZoneInfo("America/New_York")
SECOND, HOUR = 10**9, 3_600 * 10**9


def ns(*when: int, zone: ZoneInfo = NEW_YORK) -> int:
    """A time by New York's clock."""
    return timestamp_ns(datetime(*when, tzinfo=zone))  # type: ignore[arg-type, misc]


def days() -> Iterator[date]:
    return (FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1))


@pytest.fixture(scope="module")
def oracle() -> dict[date, Session]:
    """Every session as the library has it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas, about itself
        import exchange_calendars

        calendar = exchange_calendars.get_calendar("NYSE", start=str(FIRST), end=str(LAST))
        assert exchange_calendars.resolve_alias("NASDAQ") == exchange_calendars.resolve_alias("NYSE") == "XNYS"
        table = calendar.schedule
        edges = [[time.value for time in table[edge]] for edge in ("open", "close")]
        found = [day.date() for day in table.index]
    return {day: Session(open, close) for day, open, close in zip(found, *edges, strict=True)}


@pytest.mark.parametrize("market", ["NYSE", "NASDAQ"])
def test_every_day_of_29_years(oracle: dict[date, Session], market: str) -> None:
    sessions = Sessions(market)
    for day in days():
        assert sessions.session(day) == oracle.get(day), day


def test_what_comes_next_from_any_time(oracle: dict[date, Session]) -> None:
    sessions = Sessions("NYSE")
    opens = [session.open for session in oracle.values()]
    closes = [session.close for session in oracle.values()]
    moments = [edge + shift for edge in opens + closes for shift in (-HOUR, -1, 0, 1, 5 * HOUR)]
    for at in moments[::7]:
        at_open, at_close = bisect_right(opens, at), bisect_right(closes, at)
        if at_close == len(closes):
            continue
        assert sessions.is_open(at) is (at_open == at_close + 1)
        assert sessions.next_close(at) == closes[at_close]
        if at_open < len(opens):
            assert sessions.next_open(at) == opens[at_open]


def test_what_is_shipped_is_what_the_script_makes() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_sessions.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------------------------------------ days one remembers


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (date(2026, 1, 14), ("14:30", "21:00")),
        (date(2026, 7, 15), ("13:30", "20:00")),
        (date(2026, 11, 27), ("14:30", "18:00")),  # the day after Thanksgiving
        (date(2026, 3, 9), ("13:30", "20:00")),  # the first in summer time
        (date(2001, 9, 11), None),
        (date(2012, 10, 29), None),  # a hurricane
        (date(2025, 1, 9), None),  # a day of mourning
        (date(2026, 12, 25), None),
        (date(2026, 7, 3), None),
        (date(2026, 7, 4), None),
    ],
)
def test_days(day: date, hours: tuple[str, str] | None) -> None:
    session = Sessions("NYSE").session(day)
    found = None if session is None else (f"{from_ns(session.open):%H:%M}", f"{from_ns(session.close):%H:%M}")
    assert found == hours


def test_open_at_the_open_and_not_at_the_close() -> None:
    nyse = Sessions("NYSE")
    opened, closed = ns(2026, 11, 27, 9, 30), ns(2026, 11, 27, 13)
    assert [nyse.is_open(at) for at in (opened - 1, opened, closed - 1, closed)] == [False, True, True, False]
    assert nyse.next_open(opened) == ns(2026, 11, 30, 9, 30)
    assert nyse.next_open(opened - 1) == opened
    assert nyse.next_close(opened) == closed
    assert nyse.next_close(closed) == ns(2026, 11, 30, 16)


def test_always_open() -> None:
    crypto = Sessions("24/7")
    assert crypto.is_open(ns(2026, 12, 25, 3))
    assert (crypto.next_open(0), crypto.next_close(0), crypto.last) == (None, None, None)
    assert crypto.session(date(2050, 1, 1)) == (
        ns(2050, 1, 1, zone=ZoneInfo("UTC")),
        ns(2050, 1, 2, zone=ZoneInfo("UTC")),
    )


# --------------------------------------------------------------------------------------------------- beyond the table


@pytest.mark.parametrize("day", [FIRST - timedelta(days=1), LAST + timedelta(days=1)])
def test_beyond_the_table_nothing_is_guessed(day: date) -> None:
    nyse = Sessions("NYSE")
    noon = timestamp_ns(datetime(day.year, day.month, day.day, 17, tzinfo=UTC))
    for question in (nyse.is_open, nyse.next_open, nyse.next_close):
        with pytest.raises(InvalidInput, match="2000-01-01 to 2028-12-31"):
            question(noon)
    with pytest.raises(InvalidInput, match=f"sessions of NYSE.*{day}"):
        nyse.session(day)


def test_before_the_table_ends_people_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    nyse = Sessions("NYSE")
    with caplog.at_level(logging.WARNING, "tickwork.market"):
        nyse.session(LAST - timedelta(days=90))
        assert not caplog.records
        nyse.session(LAST - timedelta(days=89))
        nyse.session(LAST - timedelta(days=5))
    assert [record.getMessage() for record in caplog.records] == [
        "the sessions of NYSE are known until 2028-12-31: update tickwork before"
    ]


def test_a_market_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="NYSE, NASDAQ, 24/7"):
        Sessions("LSE")


def test_a_table_may_also_open_late(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {
        "calendar": "X", "markets": ["NYSE"], "zone": "America/New_York", "open": "09:30", "close": "16:00",
        "first": "2026-01-01", "last": "2026-12-31", "source": "", "holidays": [], "opens": {"2026-01-05": "12:00"},
        "closes": {},
    }  # fmt: skip
    import msgspec

    monkeypatch.setattr(module, "_table", lambda name: msgspec.json.decode(json.dumps(table), type=module._Table))
    assert Sessions("NYSE").session(date(2026, 1, 5)) == (ns(2026, 1, 5, 12), ns(2026, 1, 5, 16))


# ------------------------------------------------------------------------------------------------------ as schedules


def test_times_that_hang_on_sessions(oracle: dict[date, Session]) -> None:
    edges = list(oracle.values())
    for times, told in (
        (MarketOpen("NYSE"), [s.open for s in edges]),
        (MarketOpen("NASDAQ", plus="15 minutes"), [s.open + HOUR // 4 for s in edges]),
        (MarketOpen("NYSE", minus=timedelta(hours=1)), [s.open - HOUR for s in edges]),
        (MarketClose("NYSE"), [s.close for s in edges]),
        (MarketClose("NYSE", minus="30 minutes"), [s.close - HOUR // 2 for s in edges]),
        (MarketClose("NYSE", plus="23 hours"), [s.close + 23 * HOUR for s in edges]),
    ):
        found, at = [], told[5_000] - 1
        for _ in range(1_000):
            following = times.next(at)
            assert following is not None
            found.append(following)
            at = following
        assert found == told[5_000:6_000]


def test_half_an_hour_before_an_early_close() -> None:
    times = MarketClose("NYSE", minus="30 minutes")
    assert times.next(ns(2026, 11, 27, 9)) == ns(2026, 11, 27, 12, 30)
    assert times.next(ns(2026, 11, 27, 12, 30)) == ns(2026, 11, 30, 15, 30)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([MarketOpen, MarketClose]),
    st.sampled_from(["plus", "minus"]),
    st.integers(0, 86_399),
    st.datetimes(datetime(2001, 1, 1), datetime(2028, 6, 1)),  # noqa: DTZ001
)
def test_next_is_the_first_after(kind: type[MarketOpen | MarketClose], way: str, shift: int, at: datetime) -> None:
    times, asked = kind("NYSE", **{way: f"{shift}s"}), timestamp_ns(at.replace(tzinfo=UTC))
    found = times.next(asked)
    assert found is not None
    assert asked < found
    assert times.next(found - 1) == times.next((asked + found) // 2 if found - asked > 1 else asked) == found


def test_texts_go_both_ways() -> None:
    for times in (
        MarketOpen("NYSE"), MarketClose("NASDAQ", minus="30 minutes"), MarketOpen("NYSE", plus="90s"),
        Cron("0 9 * * 1-5", "Europe/Berlin"), Cron("@daily"),
    ):  # fmt: skip
        assert parse_times(str(times), times.zone) == times
        assert hash(parse_times(str(times), times.zone)) == hash(times)
    assert str(MarketClose("NYSE", minus="30 minutes")) == "NYSE close minus 30m"
    assert MarketOpen("NYSE") != MarketClose("NYSE") != "NYSE close"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("market open", MarketOpen("NYSE")),
        ("Market  Close minus 30 minutes", MarketClose("NYSE", minus="30 minutes")),
        ("nasdaq open plus 15 min", MarketOpen("NASDAQ", plus="15 minutes")),
        ("schedule: NYSE close", MarketClose("NYSE")),
        ("schedule:0 2 * * *", Cron("0 2 * * *")),
        (" 0 2 * * * ", Cron("0 2 * * *")),
        ("@daily", Cron("@daily")),
    ],
)
def test_as_documents_write_it(text: str, meant: object) -> None:
    assert parse_times(text) == meant


def test_the_market_and_the_zone_of_a_document() -> None:
    assert parse_times("market open", market="NASDAQ") == MarketOpen("NASDAQ")
    assert parse_times("0 9 * * *", "Europe/Berlin") == Cron("0 9 * * *", "Europe/Berlin")


def test_a_schedule_shows_the_zone_of_its_times() -> None:
    assert Schedule(MarketClose("NYSE")).zone == "America/New_York"
    assert Schedule(MarketClose("NYSE"), "Europe/Berlin").zone == "Europe/Berlin"
    assert str(Schedule(MarketClose("NYSE"))) == "schedule NYSE close in America/New_York"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("market opens", "cron"),
        ("LSE open", "market"),
        ("24/7 open", "MarketOpen(market)"),
        ("market open plus 15", "MarketOpen(plus)"),
        ("market close minus 25 hours", "MarketClose(plus, minus)"),
        ("0 25 * * *", "cron field 'hour'"),
        (7, "schedule"),
    ],
)
def test_what_is_wrong_is_named(text: str, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_times(text)
    assert caught.value.path == path


def test_before_and_after_at_once() -> None:
    with pytest.raises(InvalidInput, match="one of them"):
        MarketOpen("NYSE", plus="1s", minus="1s")
