"""Live recordings keep every item and every offset, whatever a crash leaves of the last line."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.market.support import flat
from tests.venues.feeds.items import SECOND_NS, item_lists, quote
from tests.venues.feeds.support import START_NS
from tickwork.errors import InvalidInput
from tickwork.market.feed import Pace
from tickwork.market.live import Item, LiveFeed, Placed
from tickwork.market.live_codec import LONGEST_LINE, item_line, read_line
from tickwork.market.live_recording import LiveRecording, merge_items, segments
from tickwork.market.live_replay import RecordedFeed
from tickwork.market.news import NewsItem
from tickwork.values import from_ns
from tickwork.venues.feeds.recorder import Recorder, RecordingFailed


@contextmanager
def folder() -> Iterator[Path]:
    """An empty one for each example of a law."""
    memory = Path("/dev/shm")  # a law asks for many syncs, and not of the disk
    made = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


@contextmanager
def recorder(home: Path, name: str = "made", segment_bytes: int = 1 << 20) -> Iterator[Recorder]:
    made = Recorder(home, name, segment_bytes=segment_bytes)
    try:
        yield made
    finally:
        made.close()


def write(home: Path, items: Sequence[Item], name: str = "made", segment_bytes: int = 1 << 20) -> list[Placed]:
    with recorder(home, name, segment_bytes) as made:
        return [made.append(item) for item in items]


def read(home: Path, name: str = "made") -> list[Placed]:
    return list(LiveRecording(home / name).items()) if segments(home / name) else []


@settings(max_examples=60)
@given(item_lists(), st.data(), st.sampled_from([1, 700, 1 << 20]))
def test_what_is_recorded_comes_back_in_its_order(items: list[Item], data: st.DataObject, segment_bytes: int) -> None:
    cut = data.draw(st.integers(0, len(items)))
    with folder() as home:
        placed = write(home, items[:cut], segment_bytes=segment_bytes)
        with recorder(home, segment_bytes=segment_bytes) as again:
            assert (again.end, again.cut_bytes) == (cut, 0)
            placed += [again.append(item) for item in items[cut:]]
        assert read(home) == placed
        assert [place.item for place in placed] == items
        assert [place.offset for place in placed] == list(range(len(items)))


@settings(max_examples=60)
@given(item_lists().filter(bool), st.data())
def test_a_torn_tail_is_cut_and_its_offsets_are_given_anew(items: list[Item], data: st.DataObject) -> None:
    with folder() as home:
        write(home, items, segment_bytes=700)
        first, last = segments(home / "made")[-1]
        content = last.read_bytes()
        ends = [at + 1 for at, byte in enumerate(content) if byte == ord("\n")]
        torn = content[: data.draw(st.integers(ends[0], len(content)))] + data.draw(st.binary(max_size=30))
        last.write_bytes(torn)
        kept = [end for end in ends if torn[:end] == content[:end]]
        whole = first + len(kept) - 1
        assert [place.item for place in read(home)] == items[:whole]
        with recorder(home) as again:
            assert (again.end, again.cut_bytes) == (whole, len(torn) - kept[-1])
            more = again.append(quote(7, items[-1].known_ns))
            assert more.offset == whole
        assert read(home)[-1].item.what == quote(7, items[-1].known_ns).what
        assert len(read(home)) == whole + 1


@settings(max_examples=60)
@given(item_lists().filter(bool), st.data())
def test_a_flipped_bit_is_never_an_item(items: list[Item], data: st.DataObject) -> None:
    with folder() as home:
        write(home, items, segment_bytes=700)
        parts = segments(home / "made")
        _, path = data.draw(st.sampled_from(parts))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        path.write_bytes(content)
        got: list[Placed] = []
        try:
            got.extend(LiveRecording(home / "made").items())
        except InvalidInput:
            pass  # said so
        else:
            assert path == parts[-1][1]  # only the end of the last segment may be missing without a word
        assert [place.item for place in got] == items[: len(got)]


def test_damage_in_the_middle_of_the_last_segment_cuts_nothing(tmp_path: Path) -> None:
    write(tmp_path, [quote(n + 1, START_NS + n) for n in range(20)])
    ((_, path),) = segments(tmp_path / "made")
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    begin = sum(map(len, lines[:10]))
    for at in (begin + 40, begin + len(lines[10]) - 1):  # in its words, and its end
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InvalidInput, match=f"byte {begin} .offset 9") as refused:
            Recorder(tmp_path, "made")
        assert str(path) in str(refused.value)
        assert path.read_bytes() == bytes(damaged)
    path.write_bytes(whole)
    with recorder(tmp_path) as again:
        assert again.end == 20


def test_half_a_line_and_a_full_disk_do_not_keep_it_from_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, [quote(n + 1, START_NS + n) for n in range(3)])
    ((_, path),) = segments(tmp_path / "made")
    path.write_bytes(path.read_bytes()[:-5])

    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with recorder(tmp_path) as again:
        assert (again.end, again.cut_kept, again.cut_bytes > 0) == (2, False, True)
    assert not list(path.parent.glob("*.cut"))


@given(st.binary(max_size=60), st.integers(0, 2**40))
def test_no_noise_is_a_line(noise: bytes, offset: int) -> None:
    assert read_line(noise, 0, offset) is None


def test_a_line_in_another_place_is_no_line() -> None:
    line = item_line(quote(), 5)
    assert read_line(line, 0, 5) is not None
    assert read_line(line, 0, 6) is None
    assert read_line(b"x" + line, 0, 5) is None


def test_a_new_day_or_a_full_segment_begins_a_new_one(tmp_path: Path) -> None:
    day_ns = 86_400 * SECOND_NS
    write(tmp_path, [quote(1), quote(2), quote(3, START_NS + day_ns), quote(4, START_NS + day_ns)])
    write(tmp_path, [quote(5, START_NS + day_ns)], segment_bytes=1)
    names = [path.name for _, path in segments(tmp_path / "made")]
    assert names == ["000000000000-20260921.twl", "000000000002-20260922.twl", "000000000004-20260922.twl"]
    assert [place.offset for place in read(tmp_path)] == [0, 1, 2, 3, 4]


def test_a_segment_that_is_missing_is_noticed_and_one_removed_from_the_front_is_not_missed(tmp_path: Path) -> None:
    write(tmp_path, [quote(1, START_NS + number) for number in range(6)], segment_bytes=1)
    parts = segments(tmp_path / "made")
    recording = LiveRecording(tmp_path / "made")
    parts[0][1].unlink()
    assert (recording.first, recording.end) == (1, 6)
    assert [place.offset for place in recording.items()] == [1, 2, 3, 4, 5]
    assert [place.offset for place in recording.items(3, 5)] == [3, 4]
    with pytest.raises(InvalidInput, match="removed"):
        list(recording.items(0))
    parts[3][1].unlink()
    with pytest.raises(InvalidInput, match="every item before offset 4"):
        list(recording.items())


def test_offsets_that_were_given_once_are_never_given_again(tmp_path: Path) -> None:
    write(tmp_path, [quote(1), quote(2)])
    made = Recorder(tmp_path, "made", begin=5)
    try:
        assert (made.lost, made.end) == (3, 5)
        asyncio.run(made.sync())
        assert [made.append(quote(number)).offset for number in (3, 4)] == [5, 6]
    finally:
        made.close()
    with recorder(tmp_path) as again:
        assert (again.lost, again.end) == (0, 7)
    recording = LiveRecording(tmp_path / "made")
    assert [place.offset for place in recording.items()] == [0, 1, 5, 6]
    assert [place.offset for place in recording.items(3)] == [5, 6]
    assert [place.offset for place in recording.items(1, 6)] == [1, 5]
    shutil.rmtree(tmp_path / "made")
    made = Recorder(tmp_path, "made", begin=7)
    assert made.append(quote()).offset == 7
    made.close()
    assert LiveRecording(tmp_path / "made").first == 7


def test_a_segment_of_another_recording_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [quote()])
    shutil.copytree(tmp_path / "made", tmp_path / "other")
    with pytest.raises(InvalidInput):
        Recorder(tmp_path, "other")
    # and the lock is not kept by the one that failed
    shutil.rmtree(tmp_path / "other")
    write(tmp_path, [quote()], "other")


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "a/b", "/a", "a b", "a\n", "ä"])
def test_a_name_that_leaves_the_home_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        Recorder(tmp_path, name)


def test_what_claims_an_earlier_time_is_taken_as_known_with_the_last(tmp_path: Path) -> None:
    placed = write(tmp_path, [quote(1, START_NS + 5), quote(2, START_NS)])
    assert [place.item.known_ns for place in placed] == [START_NS + 5, START_NS + 5]
    assert write(tmp_path, [quote(3, START_NS)])[0].item.known_ns == START_NS + 5


def test_one_process_writes(tmp_path: Path) -> None:
    with recorder(tmp_path), pytest.raises(RecordingFailed, match="another process"):
        Recorder(tmp_path, "made")
    with recorder(tmp_path):
        pass


def test_a_closed_recorder_writes_no_more(tmp_path: Path) -> None:
    with recorder(tmp_path) as made:
        pass
    with pytest.raises(RecordingFailed, match="closed"):
        made.append(quote())


def test_an_item_that_is_too_long_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    long = NewsItem(id="1", source="made", title="x" * LONGEST_LINE, known_at=from_ns(START_NS))
    with recorder(tmp_path) as made:
        made.append(quote())
        with pytest.raises(InvalidInput):
            made.append(Item("made", START_NS, long))
        assert made.append(quote()).offset == 1
    assert len(read(tmp_path)) == 2


def test_a_full_disk_leaves_the_recording_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.write
    room = 20

    def write_some(file: int, content: bytes) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        room -= len(content[:room])
        return whole(file, content[:20])

    with recorder(tmp_path) as made:
        made.append(quote(1))
        monkeypatch.setattr(os, "write", write_some)
        with pytest.raises(RecordingFailed, match="No space left"):
            made.append(quote(2))
        with pytest.raises(RecordingFailed):
            made.append(quote(2, START_NS + 86_400 * SECOND_NS))  # a new segment has no room either
        monkeypatch.undo()
        assert len(read(tmp_path)) == 1
        assert made.append(quote(3)).offset == 1
    assert [place.offset for place in read(tmp_path)] == [0, 1]


def test_a_failed_sync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with recorder(tmp_path) as made:
        asyncio.run(made.sync())  # nothing to do
        made.append(quote(1))
        asyncio.run(made.sync())
        made.append(quote(2))
        monkeypatch.setattr(os, "fsync", fails)
        with pytest.raises(RecordingFailed):
            asyncio.run(made.sync())
        monkeypatch.undo()
        for act in (lambda: made.append(quote(3)), lambda: asyncio.run(made.sync())):
            with pytest.raises(RecordingFailed):
                act()


def test_what_was_appended_before_a_sync_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def noted(file: int) -> None:
        synced.append(os.fstat(file).st_size)
        real(file)

    monkeypatch.setattr(os, "fsync", noted)
    with recorder(tmp_path) as made:
        made.append(quote(1))
        path = segments(made.folder)[0][1]
        asyncio.run(made.sync())
        assert synced[-1] == path.stat().st_size
        count = len(synced)
        asyncio.run(made.sync())
        assert len(synced) == count  # nothing new: the disk is not asked again


def test_recordings_are_merged_in_the_order_of_becoming_known(tmp_path: Path) -> None:
    write(tmp_path, [quote(1, START_NS), quote(2, START_NS + 2), quote(3, START_NS + 2)], "b")
    write(tmp_path, [quote(4, START_NS + 1), quote(5, START_NS + 2)], "a")
    recordings = [LiveRecording(tmp_path / name) for name in ("b", "a")]
    assert [(place.recording, place.offset) for place in merge_items(recordings)] == [
        ("b", 0),
        ("a", 0),
        ("a", 1),
        ("b", 1),
        ("b", 2),
    ]
    assert [place.recording for place in merge_items(recordings, {"b": 3})] == ["a", "a"]
    for wrong in ([recordings[0], LiveRecording(tmp_path / "b")], recordings):
        with pytest.raises(InvalidInput):
            merge_items(wrong, {"c": 0})
    with pytest.raises(InvalidInput):
        LiveRecording(tmp_path / "c")


def test_offsets_are_found_by_time_across_segments(tmp_path: Path) -> None:
    times = [START_NS + number for number in (0, 0, 2, 4, 4, 6)]
    write(tmp_path, [quote(1, known_ns) for known_ns in times], segment_bytes=400)
    recording = LiveRecording(tmp_path / "made")
    assert len(segments(tmp_path / "made")) > 1
    for time_ns in range(START_NS - 1, START_NS + 8):
        assert recording.offset_at(time_ns) == sum(known < time_ns for known in times)
    assert [place.offset for place in recording.tail(2)] == [4, 5]
    assert len(recording.tail(99)) == 6


def test_the_bars_of_one_stream_become_a_recording_for_a_backtest(tmp_path: Path) -> None:
    made = [flat("1", 0), flat("9", 0, venue="other"), flat("2", 1), flat("2", 1), flat("3", 2), flat("1", 0)]
    write(tmp_path, [*(Item("made", START_NS, bar) for bar in made), quote()])
    recording = LiveRecording(tmp_path / "made").bars("BTC/USD", "test", "1h")
    assert list(recording) == [made[0], made[2], made[4]]
    with pytest.raises(InvalidInput):
        LiveRecording(tmp_path / "made").bars("ETH/USD", "test", "1h")


def test_a_recorded_session_is_replayed_through_the_port_of_live_feeds(tmp_path: Path) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    write(tmp_path, [quote(1, START_NS), quote(2, START_NS + 3 * SECOND_NS)], "b")
    write(tmp_path, [quote(3, START_NS + SECOND_NS, "AAPL")], "a")
    recordings = [LiveRecording(tmp_path / name) for name in ("a", "b")]
    feed = RecordedFeed("again", recordings, Pace(sleep, speed=2))
    assert isinstance(feed, LiveFeed)
    assert (sorted(feed.symbols), set(feed.kinds)) == (["AAPL", "BTC/USDT"], {"quote"})

    async def collect(known: Sequence[Item] = ()) -> list[Item]:
        return [item async for item in feed.items(known)]

    items = asyncio.run(collect())
    assert [item.known_ns - START_NS for item in items] == [0, SECOND_NS, 3 * SECOND_NS]
    assert slept == [0.5, 1.0]
    assert (feed.health.state, feed.health.items) == ("ended", 3)
    assert asyncio.run(collect(items[:2])) == items[2:]
