"""Recordings keep every digit and every offset."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.support import HOUR_NS, START_NS, bar_lists, closes, flat
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.csvfile import CsvOptions
from tickwork.market.packed import pack, unpack
from tickwork.market.recording import Recording, merge, recordings
from tickwork.market.sessions import Sessions

SHARES = ("AAPL", "AMZN", "AVGO", "GOOGL", "JPM", "META", "MSFT", "NVDA", "TSLA", "XOM")
SHIPPED = {
    "aapl-1h": (3_478, "AAPL", "us-equities"),
    "aapl-1m": (2_381, "AAPL", "us-equities"),
    "bitstamp-btc-usd-1d": (1_864, "BTC/USD", "bitstamp"),
    "bitstamp-eth-usd-1d": (787, "ETH/USD", "bitstamp"),
    "bitstamp-ltc-usd-1d": (924, "LTC/USD", "bitstamp"),
    "coinbase-btc-usd-1d": (1_769, "BTC/USD", "coinbase"),
    "coinbase-btc-usd-1h": (20_110, "BTC/USD", "coinbase"),
    **{f"{share.lower()}-1d": (2_468, share, "us-equities") for share in SHARES},
}


def test_the_shipped_recordings_are_these() -> None:
    assert recordings() == sorted(SHIPPED)


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_recording_reads_whole(name: str) -> None:
    recording = Recording.open(name)
    count, symbol, venue = SHIPPED[name]
    head = recording.header
    assert (len(recording), head.symbol, head.venue) == (count, symbol, venue)
    assert head.source.license in ("Apache-2.0", "MIT")
    assert len(head.source.sha256) == 64
    bars = list(recording)  # each bar checks itself
    assert len(bars) == count
    assert (bars[0].start.isoformat(), bars[-1].start.isoformat()) == (head.first, head.last)
    gaps = sum(earlier.end_ns != later.start_ns for earlier, later in pairwise(bars))
    assert gaps == head.gaps


def test_known_bars_are_as_their_source_has_them() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    first = recording[0]
    assert (first.open, first.high, first.low, first.close, first.volume) == tuple(
        map(Decimal, ("2505.56", "2513.38", "2495.12", "2509.17", "114.6"))
    )
    # the high of the bubble of 2017, 17 December, 12:00 UTC: the greatest price of all
    top = max(recording, key=lambda bar: bar.high)
    assert (top.high, top.start.date().isoformat()) == (Decimal("19891.99"), "2017-12-17")
    apple = Recording.open("aapl-1m")[0]
    assert (apple.open, apple.high, apple.low) == tuple(map(Decimal, ("339.69", "341.72", "339.6522")))
    assert apple.start.isoformat() == "2026-07-29T13:30:00+00:00"
    # Yahoo has 150.4785, 152.982498, 148.485504 and 150.197495 dollars
    amazon = next(bar for bar in Recording.open("amzn-1d") if bar.start.date() == date(2022, 2, 22))
    prices = (amazon.open, amazon.high, amazon.low, amazon.close)
    assert prices == tuple(map(Decimal, ("150.478", "152.983", "148.486", "150.198")))


@pytest.mark.parametrize("share", SHARES)
def test_the_days_of_a_share_are_the_sessions_of_its_market(share: str) -> None:
    market = Sessions("NYSE")
    days = (date(2015, 3, 13) + timedelta(days=ahead) for ahead in range(3_582))
    sessions = [day for day in days if market.session(day) is not None]
    assert [bar.start for bar in Recording.open(f"{share.lower()}-1d")] == [
        datetime(day.year, day.month, day.day, tzinfo=UTC) for day in sessions
    ]


@pytest.mark.parametrize("share", SHARES)
def test_no_split_and_no_other_share_stands_between_two_days(share: str) -> None:
    closes_of = Recording.open(f"{share.lower()}-1d").floats("close")
    moves = [later / earlier - 1 for earlier, later in pairwise(closes_of)]
    assert min(moves) > -0.27 and max(moves) < 0.30  # META of 3 February 2022, NVDA of 11 November 2016
    assert sum(abs(move) >= 0.02 for move in moves) >= 378


def test_the_days_of_apple_are_what_its_hours_of_another_source_add_up_to() -> None:
    days = {bar.start.date(): bar for bar in Recording.open("aapl-1d")}
    hours: dict[date, list[Bar]] = {}
    for bar in Recording.open("aapl-1h"):
        hours.setdefault(bar.start.date(), []).append(bar)
    common = sorted(days.keys() & hours.keys())
    assert len(common) == 103
    for day in common:  # by ratio, for one is adjusted for dividends and the other is not
        range_of_hours = max(bar.high for bar in hours[day]) / min(bar.low for bar in hours[day])
        assert abs(range_of_hours / (days[day].high / days[day].low) - 1) < Decimal("0.005")


@given(bar_lists())
def test_what_is_packed_comes_back_to_the_last_digit(bars: Sequence[Bar]) -> None:
    recording = Recording.from_bars(bars, name="made")
    header, columns = unpack(recording.to_bytes())
    again = Recording(header, columns)
    assert list(again) == list(bars) == list(recording)
    assert pack(header, columns) == recording.to_bytes()


@given(bar_lists(), st.data())
def test_any_slice_is_the_slice_of_the_whole(bars: Sequence[Bar], data: st.DataObject) -> None:
    recording = Recording.from_bars(bars, name="made")
    start = data.draw(st.integers(0, len(bars) + 2))
    stop = data.draw(st.integers(0, len(bars) + 2))
    assert list(recording.bars(start, stop)) == list(bars)[start:stop]
    assert [tick.offset for tick in recording.ticks(start)] == list(range(start, len(bars)))
    offset = data.draw(st.integers(-len(bars), len(bars) - 1))
    assert recording[offset] == bars[offset]
    with pytest.raises(IndexError):
        recording[len(bars)]


def test_a_chunk_border_loses_nothing() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    assert list(recording.bars(1_000, 2_100)) == list(recording)[1_000:2_100]


def test_decimals_do_not_depend_on_the_caller_s_context() -> None:
    with localcontext() as context:
        context.prec = 2
        assert Recording.open("coinbase-btc-usd-1h")[0].close == Decimal("2509.17")


def test_floats_are_the_nearest_ones() -> None:
    recording = Recording.open("aapl-1m")
    assert recording.floats("close") == [bar.close_float for bar in recording]
    assert recording.floats("volume")[:3] == [1_864_881.0, 305_503.0, 186_855.0]


def test_offset_at_finds_the_first_bar_not_before() -> None:
    recording = Recording.from_bars(closes("1", "2", "3"), name="made")
    times = [START_NS - 1, START_NS, START_NS + 1, START_NS + 2 * HOUR_NS, START_NS + 3 * HOUR_NS]
    assert [recording.offset_at(time_ns) for time_ns in times] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize(
    "bars",
    [
        [],
        [flat("1", 1), flat("1", 0)],
        [flat("1", 0), flat("1", 0)],
        [flat("1", 0), flat("1", 1, symbol="ETH/USD")],
        [flat("1", 0), flat("1", 1, venue="other")],
    ],
)
def test_bars_that_are_no_stream_are_refused(bars: list[Bar]) -> None:
    with pytest.raises(InvalidInput):
        Recording.from_bars(bars, name="made")


# ------------------------------------------------------------------------------------------------------ damaged files


def test_a_damaged_file_does_not_read(tmp_path: Path) -> None:
    whole = Recording.from_bars(closes("1", "2", "3"), name="made").to_bytes()
    middle = len(whole) - 60
    broken = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    cut = [b"", whole[:20], whole[:-30], whole[:-1]]
    for content in (*cut, b"PK\x03\x04 and more", whole + b"x", broken, whole[:8] + b"x" + whole[9:]):
        path = tmp_path / "made.twr"
        path.write_bytes(content)
        with pytest.raises(InvalidInput):
            Recording.open(path)


def test_a_packed_file_opens_by_path(tmp_path: Path) -> None:
    path = tmp_path / "made.twr"
    path.write_bytes(Recording.from_bars(closes("1", "2"), name="made").to_bytes())
    assert [bar.close for bar in Recording.open(path)] == [1, 2]


@pytest.mark.parametrize("name", ["nothing-of-the-kind", "nowhere.twr", "nowhere.csv", ""])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        Recording.open(name)


# -------------------------------------------------------------------------------------------------------------- merge


@given(st.lists(bar_lists(max_size=8), min_size=1, max_size=4))
def test_merging_is_the_same_in_any_order(streams: list[Sequence[Bar]]) -> None:
    made = [Recording.from_bars(bars, name=f"r{index}") for index, bars in enumerate(streams)]
    ticks = list(merge(made))
    assert ticks == list(merge(reversed(made)))
    keys = [(tick.bar.end_ns, tick.recording, tick.offset) for tick in ticks]
    assert keys == sorted(keys)
    assert len(ticks) == sum(map(len, made))


@given(bar_lists(max_size=8), bar_lists(max_size=8), st.data())
def test_continuing_after_a_tick_gives_the_rest(one: Sequence[Bar], two: Sequence[Bar], data: st.DataObject) -> None:
    made = [Recording.from_bars(one, name="one"), Recording.from_bars(two, name="two")]
    ticks = list(merge(made))
    seen = data.draw(st.integers(0, len(ticks)))
    after = {"one": 0, "two": 0}
    for tick in ticks[:seen]:
        after[tick.recording] = tick.offset + 1
    assert list(merge(made, after)) == ticks[seen:]


def test_a_long_bar_comes_when_it_is_known_not_when_it_begins() -> None:
    hourly = Recording.from_bars(closes("1", "2", "3"), name="hourly")
    slow = Recording.from_bars([flat("9", 0, interval_ns=2 * HOUR_NS)], name="a-slow")
    assert [tick.bar.close for tick in merge([hourly, slow])] == [1, 9, 2, 3]


def test_merge_refuses_names_that_are_not_clear() -> None:
    made = Recording.from_bars(closes("1", "2"), name="made")
    with pytest.raises(InvalidInput):
        merge([made, Recording.from_bars(closes("1"), name="made")])
    for after in ({"other": 0}, {"made": -1}):
        with pytest.raises(InvalidInput):
            merge([made], after)


def test_merging_the_shipped_ones_is_a_plain_sort() -> None:
    made = [Recording.open(name) for name in ("coinbase-btc-usd-1d", "bitstamp-btc-usd-1d")]
    ticks = list(merge(made))
    assert len(ticks) == 1_769 + 1_864
    assert ticks == list(heapq.merge(*(r.ticks() for r in made), key=lambda t: (t.bar.end_ns, t.recording)))


# ---------------------------------------------------------------------------------------------------------------- csv


def csv_file(folder: Path, text: str, name: str = "btc-usdt.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


HEAD = "timestamp,open,high,low,close,volume\n"


def test_a_csv_opens_like_any_recording(tmp_path: Path) -> None:
    head = "Close , LOW,high,open,timestamp,trades,volume\n"
    rows = "1.5,1,2,1.25,2024-01-01T00:00Z,7,10\n2,1,2,1,2024-01-01T01:00Z,8,0\n\n"
    recording = Recording.open(csv_file(tmp_path, head + rows))
    assert [str(bar.close) for bar in recording] == ["1.50", "2.00"]
    assert recording[0].symbol == "BTC/USDT"
    assert recording[0].interval_ns == HOUR_NS
    assert recording.header.source.file == "btc-usdt.csv"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1704067200", "1704070800"),
        ("1704067200000", "1704070800000"),
        ("1704067200000000", "1704070800000000"),
        ("1704067200000000000", "1704070800000000000"),
        ("2024-01-01 01:00:00+01:00", "2024-01-01T01:00:00+00:00"),
    ],
)
def test_a_time_may_be_written_in_several_ways(tmp_path: Path, first: str, second: str) -> None:
    recording = Recording.open(csv_file(tmp_path, f"{HEAD}{first},1,1,1,1,1\n{second},1,1,1,1,1\n"))
    assert recording[0].start.isoformat() == "2024-01-01T00:00:00+00:00"
    assert recording[0].interval_ns == HOUR_NS


def test_options_say_what_a_file_does_not(tmp_path: Path) -> None:
    from zoneinfo import ZoneInfo

    path = csv_file(tmp_path, f"{HEAD}2024-01-02 09:30,1,1,1,1,1\n")
    options = CsvOptions(symbol="AAPL", venue="mine", zone=ZoneInfo("America/New_York"), interval_ns=60 * 10**9)
    bar = Recording.open(path, options)[0]
    assert (bar.symbol, bar.venue, bar.start.isoformat()) == ("AAPL", "mine", "2024-01-02T14:30:00+00:00")


GOOD = "2024-01-01T00:00Z,1,1,1,1,1\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "btc-usdt.csv:1.timestamp"),
        ("timestamp,open,high,low,close\n", "btc-usdt.csv:1.volume"),
        ("timestamp,open,open,high,low,close,volume\n", "btc-usdt.csv:1.open"),
        (HEAD, "btc-usdt.csv"),
        (HEAD + GOOD, "btc-usdt.csv"),
        (HEAD + GOOD + GOOD, "btc-usdt.csv:3.timestamp"),
        (HEAD + "2024-01-01,1,1,1,1,1\n", "btc-usdt.csv:2.timestamp"),
        (HEAD + "yesterday,1,1,1,1,1\n", "btc-usdt.csv:2.timestamp"),
        (HEAD + "1234,1,1,1,1,1\n", "btc-usdt.csv:2.timestamp"),
        (HEAD + "2024-01-01T00:00Z,1,1,1\n", "btc-usdt.csv:2"),
        (HEAD + "2024-01-01T00:00Z,1,1,x,1,1\n", "btc-usdt.csv:2.low"),
        (HEAD + "2024-01-01T00:00Z,nan,1,1,1,1\n", "btc-usdt.csv:2.open"),
        (HEAD + "2024-01-01T00:00Z,1,1,0,1,1\n", "btc-usdt.csv:2.low"),
        (HEAD + "2024-01-01T00:00Z,1,1,1,1,-1\n", "btc-usdt.csv:2.volume"),
        (HEAD + GOOD + "2024-01-01T01:00Z,1,1,2,1,1\n", "btc-usdt.csv:3.low"),
        (HEAD + GOOD + "2024-01-01T01:00Z,3,2,1,1,1\n", "btc-usdt.csv:3.high"),
    ],
)
def test_a_csv_complaint_names_line_and_column(tmp_path: Path, text: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Recording.open(csv_file(tmp_path, text))
    assert refused.value.path == path


def test_a_csv_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "btc-usdt.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput):
        Recording.open(path)
