"""The watch: what comes in is recorded, fires triggers and alerts once, and silence is noticed."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.service.watching import (
    MINUTE_NS,
    SECOND_NS,
    START_NS,
    Desk,
    Fed,
    bar,
    fired_by,
    listening,
    live,
    quote,
    until,
)
from tickwork.core.event import Event
from tickwork.core.trigger import When
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, TapeError
from tickwork.market.alert_events import AlertTriggered
from tickwork.market.alerts import PriceAlert
from tickwork.market.live import FeedRefused, Placed
from tickwork.market.live_recording import LiveRecording
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.sentiment import scored
from tickwork.market.staleness import FeedResumed, FeedSilent
from tickwork.market.standing import firings
from tickwork.market.triggers import (
    NewsSentiment,
    PriceChange,
    PriceChanged,
    PriceCross,
    PriceCrossed,
    Volatility,
    VolatilityRose,
    VolumeSpike,
)
from tickwork.service.alerts import Alerts
from tickwork.values import from_ns, timestamp_ns
from tickwork.venues.feeds.recorder import RecordingFailed

CHANGE = PriceChange("BTC/USDT", "0.02")
BARS = [bar(number, close) for number, close in enumerate([100, 100, 103, 103, 100, 100, 103])]


def news(number: int, title: str = "BTC rallies to a record high") -> NewsItem:
    return NewsItem(id=f"n{number}", source="wire", title=title, known_at=from_ns(START_NS))


def post(number: int) -> SocialPost:
    return SocialPost(id=str(number), source="x", author="alice", text="gm", known_at=from_ns(START_NS))


@live
async def test_what_comes_in_is_recorded_and_what_it_fires_is_published(tmp_path: Path) -> None:
    desk = Desk(tmp_path, [Fed("made", BARS)], [listening(CHANGE, VolumeSpike("BTC/USDT", 3))])
    heard: list[Placed] = []
    watch = await desk.open(listeners=[heard.append])
    await desk.settle()
    events = desk.events(PriceChanged)
    assert [timestamp_ns(event.bar_time) for event in events] == fired_by(CHANGE, BARS)
    recorded = list(LiveRecording(tmp_path / "made").items())
    assert recorded == heard
    for event in events:
        placed = recorded[event.offset]
        assert (event.recording, event.trigger) == ("made", str(CHANGE))
        assert placed.item.what == BARS[event.offset]
    stamps = [placed.item.known_ns for placed in recorded]
    assert stamps == sorted(set(stamps))
    (info,) = watch.status()
    assert (info.name, info.state, info.items, info.recorded, info.stale) == ("made", "live", 7, 7, False)
    assert len(await desk.engine.runs(workflow="listens")) == len(events)
    await desk.stop()


@live
async def test_a_trigger_of_two_workflows_is_fed_once(tmp_path: Path) -> None:
    from tickwork.core.run import Run
    from tickwork.core.workflow import workflow

    @workflow("second", on=PriceChange("BTC/USDT", "0.020"))
    async def second(run: Run) -> None:
        pass

    desk = Desk(tmp_path, [Fed("made", BARS)], [listening(CHANGE), second])
    await desk.open()
    await desk.settle()
    fired = fired_by(CHANGE, BARS)
    assert len(desk.events(PriceChanged)) == len(fired)
    assert len(await desk.engine.runs(workflow="second")) == len(fired)
    await desk.stop()


@live
async def test_triggers_read_bars_where_there_are_bars_and_else_quotes(tmp_path: Path) -> None:
    crosses = PriceCross("BTC/USDT", 101)
    index = Volatility(index="VIX", above=30)
    quotes = Fed("quotes", [quote(START_NS + 1, 90), quote(START_NS + 2, 110)])
    vix = Fed("vix", [quote(START_NS + 1, 20, "VIX"), quote(START_NS + 2, 31, "VIX")], symbols=["VIX"])
    desk = Desk(tmp_path, [quotes, vix], [listening(crosses, index)])
    await desk.open()
    await desk.settle()
    (crossed,) = desk.events(PriceCrossed)
    (rose,) = desk.events(VolatilityRose)
    assert (crossed.recording, crossed.offset, rose.recording, rose.offset) == ("quotes", 1, "vix", 1)
    await desk.stop()
    bars = Fed("bars", [bar(0, 90), bar(1, 110)])
    both = Desk(tmp_path / "both", [quotes, vix, bars], [listening(crosses, index)])
    watch = await both.open()
    await both.settle()
    assert [event.recording for event in both.events(PriceCrossed)] == ["bars"]
    assert watch.problems == {}
    await both.stop()


@live
async def test_streams_that_mix_are_a_complaint_and_not_the_end(tmp_path: Path) -> None:
    mixed = Fed("made", [bar(0, 100), bar(1, 100, venue="other"), bar(1, 103)])
    desk = Desk(tmp_path, [mixed], [listening(CHANGE)])
    watch = await desk.open()
    await desk.settle()
    assert len(desk.events(PriceChanged)) == 1
    assert "venue=" in watch.problems[str(CHANGE)]
    await desk.stop()


@live
async def test_texts_are_events_with_their_place_and_can_be_judged_first(tmp_path: Path) -> None:
    wire = Fed("wire", [news(1), news(2, "Nothing of note")], symbols=[])
    posts = Fed("x", [post(1)], symbols=[])
    trigger = NewsSentiment(["btc"], "0.3")
    desk = Desk(tmp_path, [wire, posts], [listening(trigger, When(SocialPost, "author == 'alice'"))])
    await desk.open(judge=scored)
    await desk.settle()
    first, second = desk.events(NewsItem)
    assert (first.recording, first.offset, first.id) == ("wire", 0, "n1")
    assert first.sentiment is not None
    assert first.sentiment > 0.3
    assert second.offset == 1
    assert [event.id for event in desk.events(SocialPost)] == ["1"]
    assert len(await desk.engine.runs(workflow="listens")) == 2
    await desk.stop()
    await desk.open(judge=scored)
    await desk.settle()
    assert len(desk.events(NewsItem, SocialPost)) == 3  # none is told twice
    await desk.stop()


# ------------------------------------------------------------------------------------------------------------ restarts


@live
async def test_a_restart_fires_nothing_twice_and_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    feed = Fed("made", BARS[:3])
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    await desk.open()
    await desk.settle()
    await desk.stop()
    await desk.open()
    feed.hand(*BARS[3:])
    await desk.settle()
    assert [timestamp_ns(event.bar_time) for event in desk.events(PriceChanged)] == fired_by(CHANGE, BARS)
    await desk.stop()


@pytest.mark.parametrize("lose", ["nothing", "checkpoint", "damaged"])
@live
async def test_what_was_recorded_and_not_published_is_published_after_a_crash(tmp_path: Path, lose: str) -> None:
    feed = Fed("made", BARS[:3])
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    await desk.open()
    await desk.settle()
    assert len(desk.events(PriceChanged)) == 1
    # the next firings are recorded, and the process dies before they are published
    async with desk.watch._publishing:
        feed.hand(*BARS[3:])
        await until(lambda: desk.watch._recorders["made"].end == len(BARS))
        assert len(desk.watch._outbox) == 2
        await desk.stop(kill=True)
    if lose == "checkpoint":
        (tmp_path / "watch.json").unlink()
    elif lose == "damaged":
        (tmp_path / "watch.json").write_text("{")
    await desk.open()
    await desk.settle()
    assert [timestamp_ns(event.bar_time) for event in desk.events(PriceChanged)] == fired_by(CHANGE, BARS)
    await desk.stop()


@pytest.mark.parametrize("kill", [False, True])
@live
async def test_a_new_trigger_learns_from_the_past_and_fires_nothing_from_it(tmp_path: Path, kill: bool) -> None:
    feed = Fed("made", BARS[:4])
    desk = Desk(tmp_path, [feed], [])
    await desk.open()
    await desk.settle()
    await desk.stop(kill=kill)
    spread = PriceChange("BTC/USDT", "0.02", window=2)
    desk.workflows = [listening(spread)]
    await desk.open()
    assert desk.events(PriceChanged) == []
    feed.hand(BARS[4])  # held against the close of two bars before: it needs the past to know
    await desk.settle()
    assert fired_by(spread, BARS[:5]) == [BARS[2].start_ns, BARS[4].start_ns]
    assert [timestamp_ns(event.bar_time) for event in desk.events(PriceChanged)] == [BARS[4].start_ns]
    await desk.stop()


@live
async def test_recordings_that_were_removed_do_not_give_an_offset_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Fed("made", BARS[:4])
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    await desk.open()
    await desk.settle()
    await desk.stop()
    for path in (tmp_path / "made").iterdir():
        path.unlink()
    feed.whats = [*BARS[4:]]
    watch = await desk.open()
    assert "lacks 4 items" in caplog.text
    await until(lambda: watch._recorders["made"].end == 4 + 3)
    async with watch._publishing:
        await desk.stop(kill=True)
    await desk.open()
    await desk.engine.durable()
    offsets = [event.offset for event in desk.events(PriceChanged)]
    assert offsets == [2, 4, 6]
    await desk.stop()


# -------------------------------------------------------------------------------------------------------------- alerts


@live
async def test_alerts_hear_fresh_prices_of_one_feed_and_fire_once(tmp_path: Path) -> None:
    quotes = Fed("quotes", [], kinds=["quote"])
    other = Fed("other", [], kinds=["quote"])
    bars = Fed("bars", [], kinds=["bar"])
    desk = Desk(tmp_path, [bars, quotes, other])
    watch = await desk.open()
    alerts = Alerts(desk.engine)
    watch._alerts = alerts
    await alerts.set(PriceAlert("a", "me", "BTC/USDT", "above", Decimal(100)))
    now = desk.engine.clock.now()
    other.hand(quote(now, 200))  # not where the symbol's prices come from
    bars.hand(bar(99, 200))
    quotes.hand(quote(now - 61 * SECOND_NS, 200), quote(now + 61 * SECOND_NS, 200))  # stale; from the future
    await desk.settle()
    assert desk.events(AlertTriggered) == []
    quotes.hand(quote(now, 100))
    await desk.settle()
    (fired,) = desk.events(AlertTriggered)
    assert (fired.recording, fired.offset, fired.current_price) == ("quotes", 2, 100)
    await desk.stop(kill=True)
    watch = await desk.open()
    watch._alerts = Alerts(desk.engine)
    quotes.hand(quote(now + 1, 101))
    await desk.settle()
    assert len(desk.events(AlertTriggered)) == 1
    assert list(watch.fed) == ["BTC/USDT"]
    await desk.stop()


@live
async def test_a_quote_whose_feed_is_silent_is_none(tmp_path: Path) -> None:
    quotes = Fed("quotes", [quote(START_NS, 5)])
    desk = Desk(tmp_path, [quotes])
    watch = await desk.open()
    assert watch.quote("BTC/USDT") is None
    await desk.settle()
    assert watch.quote("BTC/USDT") == quote(START_NS, 5)
    assert watch.quote("ETH/USDT") is None
    desk.engine.clock.jump(START_NS + 61 * SECOND_NS)
    assert watch.quote("BTC/USDT") is None
    await desk.stop()


# ------------------------------------------------------------------------------------------------------------- silence


@live
async def test_silence_is_told_once_and_its_end_too_also_across_a_restart(tmp_path: Path) -> None:
    quotes = Fed("quotes", [quote(START_NS, 1)], symbols=["BTC/USDT", "ETH/USDT"])
    wire = Fed("wire", [], symbols=[], kinds=["news"])
    desk = Desk(tmp_path, [quotes, wire], silence="1 minute", silence_of={"wire": "5 minutes"})
    watch = await desk.open()
    await desk.settle()
    clock = desk.engine.clock
    clock.jump(START_NS + 2 * MINUTE_NS)
    wire.health.heard(clock.now())
    for _ in range(3):
        await desk.wake()
        await desk.settle()
    (silent,) = desk.events(FeedSilent)
    assert (silent.source, silent.symbols) == ("quotes", ("BTC/USDT", "ETH/USDT"))
    assert silent.last_at is not None
    assert (watch.status()[0].stale, watch.status()[0].silent) == (True, ["BTC/USDT", "ETH/USDT"])
    assert watch.status()[0].silence == "2m"
    await desk.stop(kill=True)
    await desk.open()
    clock = desk.engine.clock
    quotes.hand(quote(START_NS, 2))
    await desk.settle()
    clock.jump(clock.now() + 5 * MINUTE_NS)
    quotes.hand(quote(START_NS, 3))
    await desk.settle()
    await desk.wake()
    await desk.settle()
    resumed = desk.events(FeedResumed)
    assert [(event.source, event.symbols) for event in resumed] == [("quotes", ("BTC/USDT",))]
    # a source of texts is heard when it answers, not when it has news: it answered before, and now no more
    assert [event.source for event in desk.events(FeedSilent)] == ["quotes"]
    clock.jump(clock.now() + 1)
    await desk.wake()
    await desk.settle()
    assert [(event.source, event.symbols) for event in desk.events(FeedSilent)][1:] == [("wire", ("",))]
    await desk.stop()


@live
async def test_what_a_trigger_waits_for_in_vain_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    triggers: list[Any] = [
        PriceChange("ETH/USDT", "0.1"),
        PriceCross("DOGE/USDT", 1, interval="1h"),
        VolumeSpike("BTC/USDT", 2),
        NewsSentiment(["x"]),
    ]
    desk = Desk(tmp_path, [Fed("quotes", [quote(START_NS, 1)])], [listening(*triggers)])
    caplog.set_level(logging.WARNING)
    watch = await desk.open()
    unfed = {info.trigger: info.needs for info in watch.unfed()}
    assert unfed == {
        str(triggers[0]): "bars of ETH/USDT" if not triggers[0].reads_quotes else "quotes or bars of ETH/USDT",
        str(triggers[1]): "bars of DOGE/USDT",
        str(triggers[2]): "bars of BTC/USDT",
        str(triggers[3]): "news",
    }
    assert all(trigger in caplog.text for trigger in unfed)
    await desk.stop()


# -------------------------------------------------------------------------------------------------------------- faults


@live
async def test_a_feed_that_is_refused_ends_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    refused, good = Fed("refused", [], kinds=["bar"]), Fed("made", BARS)
    refused.fails = [FeedRefused("refused", "a wrong key")]
    desk = Desk(tmp_path, [good, refused], [listening(CHANGE)])
    await desk.open()
    await desk.settle()
    assert len(desk.events(PriceChanged)) == len(fired_by(CHANGE, BARS))
    assert refused.begun == 1
    assert "a wrong key" in caplog.text
    await desk.stop()


@live
async def test_a_feed_with_a_mistake_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    feed = Fed("made", BARS)
    feed.fails = [ZeroDivisionError("a mistake")]
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    watch = await desk.open()
    await until(lambda: len(desk.slept) == 2)
    assert (watch.status()[0].state, watch.status()[0].errors) == ("waiting", 1)
    assert "a mistake" in caplog.text
    await desk.wake()
    await desk.settle()
    assert len(desk.events(PriceChanged)) == len(fired_by(CHANGE, BARS))
    await desk.stop()


@live
async def test_a_full_disk_keeps_out_what_comes_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Fed("made", BARS[:2])
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    watch = await desk.open()
    await desk.settle()

    def full(file: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    feed.hand(*BARS[2:])
    await until(lambda: watch.status()[0].errors == 1)
    assert "No space left" in watch.status()[0].last_error
    monkeypatch.undo()
    await until(lambda: len(desk.slept) == 2)
    await desk.wake()
    await desk.settle()
    assert [timestamp_ns(event.bar_time) for event in desk.events(PriceChanged)] == fired_by(CHANGE, BARS)
    await desk.stop()


@live
async def test_a_failed_sync_stops_the_watch_and_publishes_nothing_that_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Fed("made", BARS[:2])
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    await desk.open()
    await desk.settle()

    def fails(file: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    feed.hand(*BARS[2:])
    with pytest.raises(RecordingFailed):
        await desk.running
    monkeypatch.undo()
    assert desk.events(PriceChanged) == []
    await desk.stop(kill=True)


@live
async def test_a_stopped_tape_stops_the_watch(tmp_path: Path) -> None:
    feed = Fed("made", BARS[:2])
    desk = Desk(tmp_path, [feed], [listening(CHANGE)])
    await desk.open()
    await desk.settle()
    desk.engine.kill()
    feed.hand(*BARS[2:])
    with pytest.raises(TapeError):
        await desk.running
    desk.watch.kill()


@live
async def test_used_as_a_context_it_runs_in_the_background_and_says_what_stopped_it(tmp_path: Path) -> None:
    from tickwork.service.watch import WATCH_VIEWS, Watch
    from tickwork.venues.feeds.reconnecting import Setting

    async with Engine("memory:", workflows=[listening(CHANGE)], views=WATCH_VIEWS) as engine:
        setting = Setting(now=engine.clock.now, sleep=lambda _: asyncio.Event().wait(), random=lambda: 0.0)
        feed = Fed("made", BARS)
        async with Watch(engine, [feed], home=tmp_path, setting=setting) as watch:
            await until(lambda: watch.status()[0].recorded == len(BARS))
        runs = await engine.runs(workflow="listens")
        assert len(runs) == len(fired_by(CHANGE, BARS))
        with pytest.raises(TapeError):
            async with Watch(engine, [feed], home=tmp_path, setting=setting) as watch:
                engine._log.fault = TapeError("the disk is gone")
                feed.hand(bar(7, 50))
                await watch.wait()
        engine._log.fault = None


@live
async def test_a_watch_that_could_not_work_is_refused(tmp_path: Path) -> None:
    class Mine(Event, name="mine/fired"):
        symbol: str
        recording: str
        offset: int
        trigger: str = ""

    class MyTrigger(PriceChange):
        kind = "mine"
        makes = Mine  # type: ignore[assignment]

    twice = Desk(tmp_path, [Fed("a", BARS), Fed("a", BARS)])
    with pytest.raises(InvalidInput):
        await twice.open()
    mine = MyTrigger("BTC/USDT", "0.1")
    desk = Desk(tmp_path, [Fed("a", BARS)], [listening(mine)])
    with pytest.raises(InvalidInput, match="firings"):
        await desk.open()
    assert Mine in firings([mine, CHANGE]).on
    assert firings([CHANGE]).on == firings().on  # so that the view need not be folded anew
