"""Draining: nothing begins any more, what is under way ends, and a run notices no more of it than of a long step."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import Venue, live, records
from tickwork.core.event import Event
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.draining import drain, under_way
from tickwork.errors import NotSent
from tickwork.outcome import Found, NotFound

LONG_S = 30.0
"""Seconds that no test waits: what they wait for comes."""


class Ping(Event, name="draining/ping"):
    """Its name is its own: a delayed event is read again by its name when the tape is opened."""

    n: int = 0


class Slow:
    """An outside world that answers when it is let."""

    def __init__(self) -> None:
        self.begun, self.let = asyncio.Event(), asyncio.Event()
        self.made: list[str] = []

    async def buy(self, *, key: str) -> str:
        self.made.append(key)
        self.begun.set()
        await self.let.wait()
        return "bought"

    def look(self, key: str) -> Any:
        return Found("found") if key in self.made else NotFound()


def buying(slow: Slow, after: list[str]) -> Workflow:
    @workflow("buying")
    async def body(run: Run) -> str:
        got = await run.effect("buy", slow.buy, lookup=slow.look)
        await run.step("after", lambda: after.append(got), blocking=False)
        return got

    return body


@live
async def test_an_effect_under_way_is_followed_to_its_outcome() -> None:
    slow, after, memory = Slow(), list[str](), Memory()
    flow = buying(slow, after)
    async with Engine(memory, workflows=[flow]) as engine:
        handle = await engine.start(flow)
        await slow.begun.wait()
        (one,) = under_way(engine)
        assert (one.run, one.workflow, one.kind, one.name) == (handle.id, "buying", "effect", "buy")
        draining = asyncio.create_task(drain(engine, LONG_S))
        await asyncio.sleep(0)
        assert not draining.done(), "it waits for what is under way"
        slow.let.set()
        assert await draining == []
        assert [entry.record.name for entry in records(engine, "effect")] == ["buy"], "its outcome is on the tape"
        assert after == [], "and its run takes no turn"
    async with Engine(memory, workflows=[flow]) as engine:
        assert await engine.handle(handle.id).result() == "bought", "the outcome, not a look-up"
    assert (after, len(slow.made)) == (["bought"], 1)


@live
async def test_what_does_not_end_is_parked_and_looked_for() -> None:
    slow, after, memory = Slow(), list[str](), Memory()
    flow = buying(slow, after)
    async with Engine(memory, workflows=[flow]) as engine:
        handle = await engine.start(flow)
        await slow.begun.wait()
        assert [one.name for one in await drain(engine, 0.0)] == ["buy"]
    async with Engine(memory, workflows=[flow]) as engine:
        assert await engine.handle(handle.id).result() == "found"
    assert (after, len(slow.made)) == (["found"], 1)


@live
async def test_what_comes_meanwhile_is_kept_and_begins_at_the_next_opening() -> None:
    begun: list[int] = []

    @workflow("pinged", on=Ping)
    async def pinged(run: Run, ping: Ping) -> int:
        await run.step("begin", lambda: begun.append(ping.n), blocking=False)
        await run.sleep("1 hour")
        return ping.n

    @workflow("waits")
    async def waits(run: Run) -> int:
        ping = await run.wait_for(Ping, timeout="1 day")
        return -1 if ping is None else ping.n

    memory = Memory()
    async with Engine(memory, workflows=[pinged, waits]) as engine:
        waiting = await engine.start(waits)
        await engine.idle()
        assert await drain(engine, LONG_S) == []
        await engine.emit(Ping(n=7))
        started = await engine.start(waits, id="later")
        for _ in range(50):
            await asyncio.sleep(0)
        assert begun == [] and (await engine.show(waiting.id)).info.status != "done"
    async with Engine(memory, workflows=[pinged, waits]) as engine:
        assert await engine.handle(waiting.id).result() == 7
        await engine.idle()
        assert begun == [7]
        await engine.emit(Ping(n=8))
        assert await engine.handle(started.id).result() == 8


@live
async def test_an_attempt_that_only_waits_to_be_made_again_holds_nothing_up() -> None:
    venue = Venue()
    venue.raising = [NotSent("closed")]

    @workflow("again")
    async def again(run: Run) -> str:
        return await run.effect("buy", venue.order, "BTC", retry=Retry(limit=3, delay="1 hour"))

    memory = Memory()
    async with Engine(memory, workflows=[again]) as engine:
        await engine.start(again)
        await engine.idle()
        assert venue.raising == []
        assert await drain(engine, LONG_S) == []


Op = Literal["step", "effect", "sleep", "wait", "emit"]


def program(ops: list[Op], venue: Venue) -> Workflow:
    @workflow("program")
    async def body(run: Run, number: int) -> list[Any]:
        told: list[Any] = []
        for place, op in enumerate(ops):
            match op:
                case "step":
                    told.append(await run.step(f"s{place}", lambda place=place: place, blocking=False))
                case "effect":
                    told.append(await run.effect(f"e{place}", venue.order, f"{number}.{place}", lookup=venue.look))
                case "sleep":
                    await run.sleep("1 s")
                case "wait":
                    ping = await run.wait_for(Ping, where={"n": number}, timeout="3 s")
                    told.append(None if ping is None else ping.n)
                case "emit":
                    await run.emit(Ping(n=number), delay="500 ms")
        return told

    return body


@given(
    ops=st.lists(st.sampled_from(["step", "effect", "sleep", "wait", "emit"]), min_size=1, max_size=6),
    hops=st.lists(st.integers(0, 12), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_runs_end_the_same_however_often_they_are_drained(ops: list[Op], hops: list[int]) -> None:
    async def played(stops: list[int]) -> tuple[list[Any], dict[str, int]]:
        venue, memory = Venue(), Memory()
        flow = program(ops, venue)
        for stop in stops:
            async with Engine(memory, workflows=[flow], seed=1) as engine:
                if engine._runs.find("p0") is None:
                    for number in range(3):
                        await engine.start(flow, number, id=f"p{number}")
                for _ in range(stop):
                    engine._crank.pump()
                    await engine.durable()
                    await asyncio.sleep(0)
                assert await drain(engine, LONG_S) == []
        async with Engine(memory, workflows=[flow], seed=1) as engine:
            if engine._runs.find("p0") is None:
                for number in range(3):
                    await engine.start(flow, number, id=f"p{number}")
            found = [await engine.handle(f"p{number}").result() for number in range(3)]
        return found, dict(venue.done)

    plain, _ = asyncio.run(played([]))
    drained, done = asyncio.run(played(hops))
    assert drained == plain
    assert set(done.values()) <= {1}, "every effect happened once"
