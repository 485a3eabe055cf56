"""A replay feed gives what a live one would, at the pace it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import inf, nan

import pytest

from tests.market.support import closes, flat
from tickwork.errors import InvalidInput
from tickwork.market.feed import Feed, ReplayFeed
from tickwork.market.recording import Recording, Tick


class Waits:
    """A sleep that only remembers."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def read(feed: Feed, begin: Mapping[str, int] | None = None) -> list[Tick]:
    async def collect() -> list[Tick]:
        return [tick async for tick in feed.ticks(begin)]

    return asyncio.run(collect())


def test_a_replay_waits_as_long_as_the_market_did_divided_by_the_speed() -> None:
    sleep = Waits()
    recording = Recording.from_bars([flat("1", 0), flat("1", 1), flat("1", 4)], name="made")
    assert [tick.offset for tick in read(ReplayFeed([recording], sleep=sleep, speed=3600))] == [0, 1, 2]
    assert sleep.seconds == [1.0, 3.0]


def test_long_waits_can_be_cut() -> None:
    sleep = Waits()
    recording = Recording.from_bars([flat("1", 0), flat("1", 1), flat("1", 60)], name="made")
    read(ReplayFeed([recording], sleep=sleep, speed=3600, longest_wait_s=2.0))
    assert sleep.seconds == [1.0, 2.0]


def test_ticks_of_one_moment_come_together() -> None:
    sleep = Waits()
    made = [Recording.from_bars(closes("1", "2"), name=name) for name in ("b", "a")]
    ticks = read(ReplayFeed(made, sleep=sleep, speed=1))
    assert [(tick.recording, tick.offset) for tick in ticks] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert sleep.seconds == [3600.0]


def test_an_unpaced_replay_lets_others_run_now_and_then() -> None:
    sleep = Waits()
    ticks = read(ReplayFeed([Recording.open("aapl-1m")], sleep=sleep))
    assert len(ticks) == 2_381
    assert set(sleep.seconds) == {0}
    assert len(sleep.seconds) == 2_381 // 256


def test_a_replay_begins_where_it_is_told() -> None:
    recording = Recording.from_bars(closes("1", "2", "3"), name="made")
    feed = ReplayFeed([recording], sleep=Waits())
    assert [tick.offset for tick in read(feed, {"made": 1})] == [1, 2]
    assert read(feed, {"made": 3}) == []
    assert len(read(feed)) == 3
    with pytest.raises(InvalidInput):
        read(feed, {"other": 1})


@pytest.mark.parametrize("speed", [0.0, -1.0, nan, inf])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(InvalidInput):
        ReplayFeed([], sleep=Waits(), speed=speed)
    with pytest.raises(InvalidInput):
        ReplayFeed([], sleep=Waits(), longest_wait_s=-1.0 if speed == 0 else nan)


def test_a_replay_feed_is_a_feed() -> None:
    assert isinstance(ReplayFeed([], sleep=Waits()), Feed)
