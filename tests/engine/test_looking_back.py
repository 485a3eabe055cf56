"""A wait that looks back finds the first match, however many events of its name have passed and where they are read."""

from __future__ import annotations

import asyncio

import pytest

from tickwork import Engine, Event, Memory, Run, workflow
from tickwork.engines.embedded import events


class Arrived(Event, name="lookback/arrived"):
    key: str
    n: int = 0


@workflow("late-listener")
async def late_listener(run: Run, key: str) -> int | None:
    since = run.mark()
    await run.sleep("1 hour")
    found = await run.wait_for(Arrived, where={"key": key}, since=since, timeout="1 day")
    return found.n if found else None


@workflow("listener")
async def listener(run: Run, key: str) -> int | None:
    found = await run.wait_for(Arrived, where={"key": key}, timeout="1 day")
    return found.n if found else None


@pytest.mark.parametrize("kept", [0, 3, 1_000])
def test_the_first_match_is_found(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_finds_the_first_match(kept, monkeypatch))


async def _finds_the_first_match(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RECENT_MAX", kept)
    async with Engine("memory:", workflows=[late_listener, listener]) as engine:
        early = engine.start_soon(late_listener, "wanted")  # asks when the shape is not known yet
        for n in range(20):
            await engine.emit(Arrived(key="wanted" if n in (7, 11) else "other", n=n))
        assert await early.result() == 7
        again = engine.start_soon(late_listener, "wanted")  # the shape is known: its events are filed by key
        for n in range(20, 40):
            await engine.emit(Arrived(key="wanted" if n in (27, 31) else "other", n=n))
        assert await again.result() == 27


@pytest.mark.parametrize("kept", [0, 1_000])
def test_it_is_found_after_a_crash(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(_finds_it_after_a_crash(kept, monkeypatch))


async def _finds_it_after_a_crash(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "RECENT_MAX", kept)
    memory = Memory()
    engine = Engine(memory, workflows=[late_listener, listener])
    await engine.open()
    first = await engine.start(listener, "first")
    await engine.start(late_listener, "wanted", id="late")
    for n in range(20):
        await engine.emit(Arrived(key="wanted" if n in (7, 11) else "first" if n == 3 else "other", n=n))
    assert await first.result() == 3
    engine.kill()
    async with Engine(memory, workflows=[late_listener, listener]) as reopened:
        assert await reopened.handle("late").result() == 7
        assert reopened._reader.one("SELECT count(*) FROM filed") == 20
