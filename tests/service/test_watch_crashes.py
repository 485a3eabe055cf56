"""Killed at any point, or robbed of what the disk had not yet: every firing is told once, none is lost."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import turns
from tests.service.watching import START_NS, Desk, Fed, bar, fired_by, listening
from tickwork.market.bars import Bar
from tickwork.market.live_codec import read_head
from tickwork.market.live_recording import LiveRecording, segments
from tickwork.market.news import NewsItem
from tickwork.market.triggers import PriceChange, PriceChanged, PriceCross, PriceCrossed
from tickwork.values import from_ns, timestamp_ns
from tickwork.venues.feeds.recorder import Recorder

CHANGE = PriceChange("BTC/USDT", "0.02", window=2)
CROSS = PriceCross("ETH/USDT", 102, hysteresis="0.01")

Session = tuple[int, int | None, bool, bool, int]
"""How many turns it lives, after how many of them a checkpoint begins, whether the tape gets all of it, whether the
power goes, and a seed for what that takes of the recordings."""

prices = st.lists(st.sampled_from([98, 100, 101, 103, 105]), min_size=1, max_size=12)
sessions = st.lists(
    st.tuples(st.integers(0, 40), st.none() | st.integers(0, 40), st.booleans(), st.booleans(), st.integers(0, 2**16)),
    max_size=5,
)


@contextmanager
def folder() -> Iterator[Path]:
    memory = Path("/dev/shm")  # a law asks for many syncs, and not of the disk
    made = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)


async def at_once(function: Callable[..., Any], *args: Any) -> Any:
    """A thread as an example sees it: the same turns each time."""
    await turns(2)
    result = function(*args)
    await turns(1)
    return result


def lose(recorder: Recorder, seed: int) -> None:
    """What was not synced is gone, or half gone: the lines after it from a random byte on."""
    parts = segments(recorder.folder)
    if not parts or recorder._synced == recorder.end:
        return
    first, path = parts[-1]
    content = path.read_bytes()
    _, at = read_head(content, path.name)
    for _ in range(recorder._synced - first):
        at = content.index(b"\n", at) + 1
    path.write_bytes(content[: random.Random(seed).randint(at, len(content))])


async def play(desk: Desk, plan: Sequence[Session]) -> None:
    """Live each session to its death, then one to the end."""
    for lives, checkpoint_after, taped, power, seed in plan:
        watch = await desk.open()
        writing: asyncio.Future[None] | None = None
        for turn in range(lives):
            if turn == checkpoint_after:
                writing = asyncio.ensure_future(watch.checkpoint())
            await asyncio.sleep(0)
        if taped:
            desk.engine._log.flush_now()
        recorders = list(watch._recorders.values())
        await desk.stop(kill=True)
        if writing is not None:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        if power:
            for recorder in recorders:
                lose(recorder, seed)
    await desk.open()
    await desk.settle()


@settings(max_examples=120)
@given(prices, prices, st.integers(0, 4), sessions)
def test_every_firing_is_told_once_whatever_kills_the_process(
    btc: list[int], eth: list[int], texts: int, plan: list[Session]
) -> None:
    btc_bars = [bar(number, price) for number, price in enumerate(btc)]
    eth_bars = [bar(number, price, "ETH/USDT") for number, price in enumerate(eth)]
    news = [NewsItem(id=f"n{number}", source="wire", title="t", known_at=from_ns(START_NS)) for number in range(texts)]

    async def law(home: Path) -> None:
        feeds = [
            Fed("btc", btc_bars),
            Fed("eth", eth_bars, symbols=["ETH/USDT"]),
            Fed("wire", news, symbols=[], kinds=["news"]),
        ]
        desk = Desk(home, feeds, [listening(CHANGE, CROSS)])
        await play(desk, plan)
        told = {kind: desk.events(kind) for kind in (PriceChanged, PriceCrossed, NewsItem)}
        assert starts(told[PriceChanged]) == fired_by(CHANGE, btc_bars)
        assert starts(told[PriceCrossed]) == fired_by(CROSS, eth_bars)
        assert [event.id for event in told[NewsItem]] == [one.id for one in news]
        for events in told.values():
            for event in events:
                recording = LiveRecording(home / event.recording)
                (placed,) = recording.items(event.offset, event.offset + 1)
                assert_same(event, placed.item.what)
        await desk.stop()

    with folder() as home, patch("asyncio.to_thread", at_once):
        asyncio.run(law(home))


def starts(events: list[Any]) -> list[int]:
    return [timestamp_ns(event.bar_time) for event in events]


def assert_same(event: Any, what: object) -> None:
    """The place that an event names holds what it tells of."""
    if isinstance(what, Bar):
        assert timestamp_ns(event.bar_time) == what.start_ns
    else:
        assert isinstance(what, NewsItem)
        assert event.id == what.id


@pytest.mark.slow
def test_the_law_would_see_a_firing_that_is_lost_or_doubled() -> None:
    """The same plays with a watch made wrong on purpose."""
    bars = [bar(number, 100 if number % 4 < 2 else 110) for number in range(8)]
    plans: list[list[Session]] = [
        [(lives, None, taped, power, lives)]
        for lives in range(1, 40)
        for taped in (True, False)
        for power in (True, False)
    ]

    async def told(home: Path, plan: list[Session]) -> list[tuple[int, object]]:
        desk = Desk(home, [Fed("btc", bars)], [listening(CHANGE)])
        await play(desk, plan)
        events = desk.events(PriceChanged)
        recording = LiveRecording(home / "btc")
        places = [[placed.item.what for placed in recording.items(at.offset, at.offset + 1)] for at in events]
        await desk.stop()
        return list(zip(starts(events), places, strict=True))

    async def no_sync(_: Recorder) -> None:
        pass

    right = [(one.start_ns, [one]) for one in bars if one.start_ns in fired_by(CHANGE, bars)]
    wrong: dict[str, Any] = {
        "nothing is left out": patch("tickwork.service.watch.fired_until", lambda *_: {}),
        "nothing is read again": patch("tickwork.service.watch._place", lambda recording, *_: recording.end),
        "nothing is synced": patch.object(Recorder, "sync", no_sync),
    }
    for name, mistake in [("", nullcontext()), *wrong.items()]:
        seen = 0
        with mistake, patch("asyncio.to_thread", at_once):
            for plan in plans:
                with folder() as home:
                    seen += asyncio.run(told(home, plan)) != right
        assert bool(seen) == bool(name), name
