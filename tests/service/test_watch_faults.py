"""A watch that stops, hears nothing, or is fed by two says so: nothing goes deaf in silence."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
from decimal import Decimal
from pathlib import Path

import pytest

from tests.service.watching import MINUTE_NS, SECOND_NS, START_NS, Desk, Fed, bar, listening, live, quote, until
from tickwork.core.event import Alert, Event
from tickwork.engines.embedded import Engine
from tickwork.errors import TapeError
from tickwork.market.alert_events import AlertTriggered
from tickwork.market.alerts import PriceAlert
from tickwork.market.bars import Bar
from tickwork.market.feed import Pace
from tickwork.market.live import FeedRefused, Item
from tickwork.market.live_recording import LiveRecording
from tickwork.market.live_replay import RecordedFeed
from tickwork.market.standing import StandingTriggers
from tickwork.market.triggers import PriceCross, PriceCrossed
from tickwork.market.triggers.base import Fired
from tickwork.service.alerts import Alerts
from tickwork.service.watch import WATCH_VIEWS, Watch
from tickwork.venues.feeds.reconnecting import Setting
from tickwork.venues.feeds.recorder import Recorder, RecordingFailed

CROSS = PriceCross("BTC/USDT", 100)


class Broken(PriceCross):
    """Cannot read a certain price."""

    kind = "broken"

    def _read(self, bar: Bar) -> Fired | None:
        if bar.close == 102:
            raise ZeroDivisionError("a mistake")
        return super()._read(bar)


def quotes(name: str = "desk", *prices: int, at_ns: int = START_NS, step_ns: int = 1) -> Fed:
    """A feed of quotes; its venue is its name, as with feeds from HTTP."""
    made = [quote(at_ns + n * step_ns, price, venue=name) for n, price in enumerate(prices)]
    return Fed(name, made, kinds=["quote"])


def more(feed: Fed, at_ns: int, *prices: int) -> None:
    feed.hand(*(quote(at_ns + n, price, venue=feed.name) for n, price in enumerate(prices)))


# ------------------------------------------------------------------------------------------------------- a watch's end


@live
async def test_a_watch_that_stops_says_so_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine("memory:", workflows=[listening(CROSS)], views=WATCH_VIEWS) as engine:
        posted: list[Event] = []
        post = engine.post

        def spied(event: Event) -> int:
            posted.append(event)
            return post(event)

        monkeypatch.setattr(engine, "post", spied)
        setting = Setting(now=engine.clock.now, sleep=lambda _: asyncio.Event().wait(), random=lambda: 0.0)
        feed = quotes("desk", 99, 101, at_ns=engine.clock.now())
        with pytest.raises(RecordingFailed):
            async with Watch(engine, [feed], home=tmp_path, setting=setting) as watch:
                await until(lambda: watch.status()[0].recorded == 2)
                assert watch.fault is None
                real = os.fsync

                def fails(file: int) -> None:
                    raise OSError(errno.EIO, "Input/output error")

                monkeypatch.setattr(os, "fsync", fails)
                more(feed, engine.clock.now(), 99, 101)
                with pytest.raises(RecordingFailed, match="Input/output"):
                    await watch.serve()
                monkeypatch.setattr(os, "fsync", real)
                assert isinstance(watch.fault, RecordingFailed)
                with pytest.raises(RecordingFailed):
                    await watch.wait()
    (record,) = [one for one in caplog.records if one.levelno == logging.CRITICAL]
    assert "Input/output error" in record.getMessage()
    (alert,) = [event for event in posted if isinstance(event, Alert)]
    assert (alert.what, "Input/output error" in alert.detail) == ("watch stopped", True)


@live
async def test_serving_ends_with_a_signal_and_with_the_engines_fault(tmp_path: Path) -> None:
    async with Engine("memory:", views=WATCH_VIEWS) as engine:
        setting = Setting(now=engine.clock.now, sleep=lambda _: asyncio.Event().wait(), random=lambda: 0.0)
        async with Watch(engine, [quotes("desk", 1)], home=tmp_path, setting=setting) as watch:
            asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
            await watch.serve()
            assert watch.fault is None
        with pytest.raises(TapeError):
            async with Watch(engine, [quotes("desk", 1)], home=tmp_path, setting=setting) as watch:
                engine._log.fault = TapeError("the disk is gone")
                engine._crank.failed.set()
                await watch.serve()
        engine._log.fault = None


@live
async def test_a_feed_that_rests_for_a_full_disk_says_until_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = quotes("desk", 99)
    desk = Desk(tmp_path, [feed], [listening(CROSS)])
    watch = await desk.open()
    await desk.settle()

    def full(file: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    more(feed, START_NS + 5, 101)
    await until(lambda: watch.status()[0].errors)
    status = watch.status()[0]
    assert status.state == "waiting"
    assert status.retry_at is not None
    monkeypatch.undo()
    await desk.stop()


# -------------------------------------------------------------------------------------------------------------- dates


@live
async def test_a_quote_from_the_future_decides_nothing_and_deafens_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    year_ns = 365 * 24 * 60 * MINUTE_NS
    feed = quotes("desk", 99)
    feed.whats += [quote(START_NS + year_ns, 99, venue="desk"), quote(START_NS + 2, 101, venue="desk")]
    desk = Desk(tmp_path, [feed], [listening(CROSS)])
    watch = await desk.open()
    await desk.settle()
    assert [event.offset for event in desk.events(PriceCrossed)] == [2]
    assert (watch.status()[0].unheard, "ahead" in watch.problems["desk"]) == (1, True)
    assert caplog.text.count("s ahead") == 1
    await desk.stop(kill=True)
    await desk.open()
    more(feed, START_NS + 3, 99, 101)
    await desk.settle()
    assert [event.offset for event in desk.events(PriceCrossed)] == [2, 3, 4]
    await desk.stop()


@live
async def test_an_old_quote_decides_nothing_unless_its_feed_is_late_by_design(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late, by_design = (quotes("desk", 99, 101, 99, at_ns=START_NS - 61 * SECOND_NS) for _ in range(2))
    by_design.delay_ns = MINUTE_NS  # type: ignore[attr-defined]
    for home, feed, fired in ((tmp_path / "a", late, 0), (tmp_path / "b", by_design, 2)):
        desk = Desk(home, [feed], [listening(CROSS)])
        watch = await desk.open()
        await desk.settle()
        assert len(desk.events(PriceCrossed)) == fired
        assert watch.status()[0].unheard == (0 if fired else 3)
        assert bool(watch.status()[0].problem) == (not fired)
        await desk.stop()
    assert caplog.text.count("older than price_age=1m") == 1


@live
async def test_alerts_that_hear_no_prices_say_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    feed = Fed("bars", [], kinds=["bar"])
    desk = Desk(tmp_path, [feed], [listening(CROSS)])
    watch = await desk.open()
    watch._alerts = alerts = Alerts(desk.engine)
    await alerts.set(PriceAlert("a", "me", "BTC/USDT", "above", Decimal(100)))
    feed.hand(bar(50, 99), bar(51, 101))
    await desk.settle()
    assert len(desk.events(PriceCrossed)) == 1  # bars of an outage are read late
    assert desk.events(AlertTriggered) == []
    assert caplog.text.count("alerts do not hear them") == 1
    assert watch.status()[0].unheard == 2
    await desk.stop()


@live
async def test_quotes_of_one_time_are_read_in_their_order(tmp_path: Path) -> None:
    feed = quotes("desk", 99, 101, 99, 101, step_ns=0)
    desk = Desk(tmp_path, [feed], [listening(CROSS)])
    watch = await desk.open()
    await desk.settle()
    assert [event.offset for event in desk.events(PriceCrossed)] == [1, 2, 3]
    assert watch.problems == {}
    more(feed, START_NS - 1, 99)
    await desk.settle()
    assert len(desk.events(PriceCrossed)) == 3
    assert "out of order" in watch.problems[str(CROSS)]
    await desk.stop()


# ------------------------------------------------------------------------------------------------------------- streams


@live
async def test_a_renamed_feed_is_heard(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path, [quotes("desk", 99, 101)], [listening(CROSS)])
    await desk.open()
    await desk.settle()
    await desk.stop()
    desk.feeds = [quotes("other", 99, 101, 99, at_ns=START_NS + 9)]
    watch = await desk.open()
    await desk.settle()
    fired = [(event.recording, event.offset) for event in desk.events(PriceCrossed)]
    assert fired == [("desk", 1), ("other", 1), ("other", 2)]
    assert caplog.text.count("is now read from") == 1
    assert "feed other" in watch.problems[str(CROSS)]
    await desk.stop()


@live
async def test_another_length_of_bars_is_heard_after_a_restart(tmp_path: Path) -> None:
    feed = Fed("bars", [bar(0, 99), bar(1, 101)])
    desk = Desk(tmp_path, [feed], [listening(CROSS)])
    await desk.open()
    await desk.settle()
    await desk.stop()
    one, start = Decimal(1), START_NS - 60 * MINUTE_NS
    for n, price in enumerate([99, 101]):
        close = one * price
        long = Bar("BTC/USDT", "made", start + n * 5 * MINUTE_NS, 5 * MINUTE_NS, close, close, close, close, one)
        feed.whats.append(long)
    watch = await desk.open()
    await desk.settle()
    assert [event.offset for event in desk.events(PriceCrossed)] == [1, 3]
    assert "bars of 5m" in watch.problems[str(CROSS)]
    # a crash that makes it read them again changes nothing
    await desk.stop(kill=True)
    await desk.open()
    await desk.settle()
    assert [event.offset for event in desk.events(PriceCrossed)] == [1, 3]
    await desk.stop()


@live
async def test_of_two_feeds_the_first_is_heard_and_the_second_when_it_dies(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = quotes("first", 99), quotes("second")
    desk = Desk(tmp_path, [first, second], [listening(CROSS)])
    await desk.open()
    assert "is read from feed first; when that falls silent, from second" in caplog.text
    await desk.settle()
    more(second, START_NS + 1, 98, 101)  # not heard while the first is
    await desk.settle()
    assert desk.events(PriceCrossed) == []
    desk.engine.clock.jump(START_NS + 2 * MINUTE_NS)
    more(second, START_NS + 2 * MINUTE_NS, 99, 101)
    await desk.settle()
    assert [event.recording for event in desk.events(PriceCrossed)] == ["second"]
    await desk.stop()


@live
async def test_of_two_feeds_the_second_is_heard_at_once_when_the_first_is_refused(tmp_path: Path) -> None:
    first, second = quotes("first"), quotes("second")
    first.fails = [FeedRefused("first", "a wrong key")]
    desk = Desk(tmp_path, [first, second], [listening(CROSS)])
    await desk.open()
    await until(lambda: first.begun)
    await until(lambda: "first" in next(iter(desk.watch._standing._readers.values()))._gone)
    more(second, START_NS, 99, 101)
    await desk.settle()
    assert [event.recording for event in desk.events(PriceCrossed)] == ["second"]
    await desk.stop()


def test_a_replay_of_several_recordings_feeds_each_trigger_what_there_is(tmp_path: Path) -> None:
    items = {"b": Item("b", START_NS, bar(0, 5, "ETH/USDT")), "q": Item("q", START_NS, quote(START_NS, 99))}
    for name, item in items.items():
        recorder = Recorder(tmp_path, name)
        recorder.append(item)
        recorder.close()

    async def sleep(seconds: float) -> None: ...

    feed = RecordedFeed("replay", [LiveRecording(tmp_path / name) for name in items], Pace(sleep))
    standing = StandingTriggers([CROSS, PriceCross("ETH/USDT", 5)], [feed])
    assert standing.unfed() == []
    assert {name: reader.kind for name, reader in standing._readers.items()} == {
        str(CROSS): "quote",
        str(PriceCross("ETH/USDT", 5)): "bar",
    }


# ------------------------------------------------------------------------------------------- triggers of one's own make


@live
async def test_a_trigger_that_fails_is_set_aside_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken("BTC/USDT", 7)
    feed = quotes("desk", 99, 102, 99, 101)
    desk = Desk(tmp_path, [feed], [listening(broken, CROSS)])
    for fired in (3, 5):
        watch = await desk.open()
        await desk.settle()
        assert len([event for event in desk.events(PriceCrossed) if event.trigger == str(CROSS)]) == fired
        assert feed.begun == 1 + (fired == 5)
        assert "set aside" in watch.problems[str(broken)]
        assert "a mistake" in watch.problems[str(broken)]
        more(feed, START_NS + 10, 99, 101) if fired == 3 else None
        await desk.stop(kill=True)
    assert "a mistake" in caplog.text


@live
async def test_whoever_waits_for_a_watch_learns_of_its_end(tmp_path: Path) -> None:
    async with Engine("memory:", views=WATCH_VIEWS) as engine:
        setting = Setting(now=engine.clock.now, sleep=lambda _: asyncio.Event().wait(), random=lambda: 0.0)
        async with Watch(engine, [quotes("desk", 1)], home=tmp_path, setting=setting) as watch:
            waiting = asyncio.ensure_future(watch.wait())
            await asyncio.sleep(0)
        await waiting
        assert watch.fault is None
