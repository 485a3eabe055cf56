"""The loop every live feed shares: pauses that grow, health that tells the truth, a close that leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.feeds.support import START_NS, Time, live, take
from tickwork.errors import InvalidInput, TimedOut
from tickwork.market.bars import Quote
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused, Item, Kind, LiveFeed, What
from tickwork.venues.feeds.reconnecting import LONGEST_LIMIT_S, Backoff, Polling, Reconnecting

QUOTE = Quote("BTC/USDT", "v", 1, Decimal(1), Decimal(2))


class Scripted(Reconnecting):
    """Does what it is told, one session after the other: a quote, a contact without one, an error, an end."""

    kinds = ("quote",)

    def __init__(self, time: Time, *sessions: Sequence[object]) -> None:
        super().__init__("made", ["BTC/USDT"], time.setting())
        self.sessions = list(sessions)
        self.known: Sequence[Item] = ()
        self.closed = 0
        self.ended = 0

    def _resume(self, known: Sequence[Item]) -> None:
        self.known = known

    async def _session(self) -> AsyncGenerator[What, None]:
        try:
            for act in self.sessions.pop(0):
                if isinstance(act, Exception):
                    raise act
                if isinstance(act, Quote):
                    yield act
                elif act == "heard":
                    self._heard()
                else:
                    await asyncio.Event().wait()
        finally:
            self.ended += 1

    async def _close(self) -> None:
        self.closed += 1


FAILED = FeedFailed("made", "no")


@live
async def test_failures_in_a_row_pause_longer_each_time_and_contact_starts_anew() -> None:
    time = Time()
    errors = [FAILED, InvalidInput("a", 1, "b"), TimedOut("a", "1s"), *[FAILED] * 5]
    feed = Scripted(time, *([error] for error in errors), ["heard", FAILED], [FAILED], [QUOTE, FAILED], [QUOTE])
    assert isinstance(feed, LiveFeed)
    assert feed.health.state == "idle"
    items = [item async for item in feed.items()]
    assert time.slept == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2, 1]
    assert [item.what for item in items] == [QUOTE, QUOTE]
    assert (feed.health.state, feed.health.errors, feed.health.reconnects) == ("ended", 11, 11)
    assert feed.closed == 1


@live
async def test_a_limit_is_given_what_it_asks_for_up_to_an_hour() -> None:
    time = Time()
    feed = Scripted(time, [FeedLimited("made", 7.5)], [FeedLimited("made", 1e9)], [FeedLimited("made", 0)], [QUOTE])
    await take(feed, 1)
    assert time.slept == [7.5, LONGEST_LIMIT_S, 4.0]


@live
async def test_a_refusal_ends_the_feed_with_its_reason() -> None:
    time = Time()
    feed = Scripted(time, [QUOTE, FeedRefused("made", "a wrong key")])
    with pytest.raises(FeedRefused):
        await take(feed, 2)
    assert (feed.health.state, feed.health.errors, time.slept, feed.closed) == ("failed", 1, [], 1)
    assert "a wrong key" in feed.health.last_error


@live
async def test_health_says_when_it_will_try_again() -> None:
    time = Time()
    feed = Scripted(time, [FAILED], [QUOTE])
    seen: list[tuple[str, int | None]] = []

    async def looks(seconds: float) -> None:
        seen.append((feed.health.state, feed.health.retry_ns))

    feed.setting = type(feed.setting)(now=time.now, sleep=looks, random=lambda: 0.5)
    await take(feed, 1)
    assert seen == [("waiting", START_NS + 750_000_000)]
    assert (feed.health.state, feed.health.retry_ns) == ("live", None)


@live
async def test_what_is_known_is_told_before_anything_is_asked() -> None:
    feed = Scripted(Time(), [QUOTE])
    known = [Item("made", 1, QUOTE)]
    await take(feed, 1, known)
    assert feed.known == known


@live
async def test_cancelling_and_closing_leave_nothing_behind() -> None:
    others = asyncio.all_tasks()
    for cancels in (True, False):
        feed = Scripted(Time(), [QUOTE, "hang"])
        got = asyncio.Event()

        async def read(feed: Scripted = feed, got: asyncio.Event = got) -> None:
            async with aclosing(feed.items()) as items:
                async for _ in items:
                    got.set()

        if cancels:
            task = asyncio.ensure_future(read())
            await got.wait()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await take(feed, 1)
        assert (feed.closed, feed.ended) == (1, 1)
        assert asyncio.all_tasks() == others


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_is_bounded_and_chance_only_shortens_it(failures: int, chance: float) -> None:
    backoff = Backoff()
    wait_s = backoff.wait_s(failures, lambda: chance)
    assert 0.5 <= wait_s <= backoff.cap_s
    assert wait_s <= backoff.wait_s(failures, lambda: 0.0) <= backoff.wait_s(failures + 1, lambda: 0.0)


def test_a_feed_without_a_name_or_with_no_symbol_is_refused() -> None:
    class Named(Scripted):
        def __init__(self, name: str, symbol: str) -> None:
            Reconnecting.__init__(self, name, [symbol], Time().setting())

    for name, symbol in (("", "AAPL"), ("x", "btc_usdt")):
        with pytest.raises(InvalidInput):
            Named(name, symbol)


@live
async def test_the_first_of_a_run_of_errors_is_logged_and_the_next_run_anew(caplog: pytest.LogCaptureFixture) -> None:
    moods = list("xxx..xx..o")

    class Moody(Polling):
        kinds: tuple[Kind, ...] = ("quote",)

        async def _poll(self) -> Sequence[What]:
            mood = moods.pop(0)
            if mood == "x":
                raise FeedFailed(self.name, "no answer")
            return [QUOTE] if mood == "o" else []

    await take(Moody("moody", ["BTC/USDT"], Time().setting(), every="1s"), 1)
    assert caplog.text.count("no answer") == 2
