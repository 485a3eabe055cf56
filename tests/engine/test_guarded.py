"""Effects that a breaker guards, and crashes at every moment."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tests.engine.dependency import API, SECOND, Dependency, asking, changes, results, standing
from tests.engine.support import Venue, crash, live, records, turns
from tests.laws.probe import Probe, check_replay, check_tape, records_of
from tickwork.core.breaker import Breaker
from tickwork.core.clock import VirtualClock
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import BreakerOpen, NotSent

# ----------------------------------------------------------------------------------------------------------- effects


@live
async def test_a_refused_effect_has_certainly_not_happened() -> None:
    """No intent, no call; and a new attempt of the run makes it under a key of its own."""
    world = Dependency()
    flow = asking(world)

    @workflow("buys", retry=Retry(limit=1, delay="60 s"))
    async def buys(run: Run) -> str:
        return await run.effect("buy", world.order, "it", breaker=API)

    async with Engine("memory:", workflows=[flow, buys], seed=1) as engine:
        world.down = True
        await results(engine, flow, "a", "b", "c")
        world.down = False
        handle = await engine.start(buys)
        await engine.idle()
        assert records(engine, "intent") == []
        (refused,) = records(engine, "effect")
        assert "BreakerOpen" in bytes(refused.record.error).decode()
        assert (await handle.result()).startswith("answer it")
        (intent,) = records(engine, "intent")
        assert world.calls == ["a", "b", "c", f"it {intent.record.key}"]


@live
async def test_a_refused_effect_with_a_retry_waits_and_is_made_once() -> None:
    world, memory, clock = Dependency(), Memory(), VirtualClock()
    flow = asking(world)

    @workflow("buys")
    async def buys(run: Run) -> str:
        return await run.effect("buy", world.order, "it", breaker=API, retry=Retry(limit=1, delay="1 s"))

    flows = [flow, buys]
    engine = Engine(memory, workflows=flows, clock=clock, seed=1)
    await engine.open()
    world.down = True
    await results(engine, flow, "a", "b", "c")
    world.down = False
    opened = clock.now()
    await engine.start(buys, id="it")
    await engine.idle()
    assert [entry.record.kind for entry in records(engine, "tried", "intent")] == ["tried"]
    crash(engine)  # it still waits after a crash
    async with Engine(memory, workflows=flows, clock=clock, seed=1) as engine:
        assert (await engine.handle("it").result()).startswith("answer it")
        assert clock.now() == opened + 30 * SECOND
        assert len(world.calls) == 4
        assert engine.breakers._permits == {}
    check_replay(memory, {one.name: one for one in flows})


@live
async def test_an_effect_that_was_cut_off_is_looked_for_whatever_the_breaker_says() -> None:
    venue, memory, clock = Venue(), Memory(), VirtualClock()
    guard = Breaker("venue", threshold=1, open_for="1 hour")

    @workflow("buys")
    async def buys(run: Run) -> str:
        return await run.effect("buy", venue.order, "BTC/USDT", lookup=venue.look, breaker=guard)

    venue.raising = [ConnectionError("lost after it was done")]
    async with Engine(memory, workflows=[buys], clock=clock, seed=1) as engine:
        began = clock.now()
        assert await (await engine.start(buys)).result() == "order BTC/USDT"
        assert await standing(engine) == ("open", 0)
        assert clock.now() == began
    assert len(venue.calls) == 1


@live
async def test_an_effect_that_may_have_happened_is_delayed_and_never_refused() -> None:
    """It has no look-up, and its process died: to answer BreakerOpen would be to say that it has not happened."""
    world, memory, clock = Dependency(), Memory(), VirtualClock()
    flow = asking(world)

    async def order_slowly(what: str, *, key: str) -> str:
        return await world.ask_slowly(f"{what} {key}")

    @workflow("buys")
    async def buys(run: Run) -> str:
        return await run.effect("buy", order_slowly, "it", breaker=API)

    flows = [flow, buys]
    engine = Engine(memory, workflows=flows, clock=clock, seed=1)
    await engine.open()
    world.hold = asyncio.Event()
    await engine.start(buys, id="it")
    await turns()
    assert world.at_once == 1
    world.down = True
    await results(engine, flow, "a", "b", "c")
    world.down = False
    opened = clock.now()
    crash(engine)
    await turns()
    world.hold.set()
    async with Engine(memory, workflows=flows, clock=clock, seed=1) as engine:
        handle = engine.handle("it")
        assert (await handle.result()).startswith("answer it")
        assert clock.now() == opened + 30 * SECOND
    keys = {call for call in world.calls if call.startswith("it")}
    assert len(keys) == 1


@live
async def test_a_doubtful_effect_is_looked_for_again_before_it_is_made() -> None:
    """It was lost on the way; until the breaker lets it be sent again it may turn up."""
    venue, memory, clock = Venue(), Memory(), VirtualClock()
    guard = Breaker("venue", threshold=1, open_for="1 hour", successes=1)
    seen: list[int] = []

    def look(key: str, symbol: str) -> Any:
        seen.append(clock.now())
        if len(seen) > 1:
            venue.done[key] = 1  # it shows late
        return venue.look(key, symbol)

    def order(symbol: str, *, key: str) -> str:
        venue.calls.append(key)
        raise ConnectionError("lost")

    @workflow("buys")
    async def buys(run: Run) -> str:
        return await run.effect("buy", order, "BTC/USDT", lookup=look, breaker=guard)

    async with Engine(memory, workflows=[buys], clock=clock, seed=1) as engine:
        began = clock.now()
        assert await (await engine.start(buys)).result() == "order BTC/USDT"
        assert [at - began for at in seen] == [0, 3600 * SECOND]
    assert len(venue.calls) == 1


@live
async def test_certainly_unsent_effects_are_refused_after_their_retries() -> None:
    calls: list[str] = []
    guard = Breaker("venue", threshold=2, open_for="1 hour")

    def order(*, key: str) -> str:
        calls.append(key)
        raise NotSent("no connection")

    @workflow("buys")
    async def buys(run: Run) -> str:
        try:
            return await run.effect("buy", order, breaker=guard, retry=Retry(limit=5, delay="1 s", cap="1 s"))
        except NotSent as error:
            return type(error).__name__

    async with Engine("memory:", workflows=[buys], seed=1) as engine:
        began = engine.clock.now()
        assert await results(engine, buys, None) == ["NotSent"]
        # open after two; then one probe each hour, refused never, because each retry waits until it may be tried
        assert engine.clock.now() - began == 1 * SECOND + 4 * 3600 * SECOND
        assert len(set(calls)) == 1
        assert len(calls) == 6


@live
async def test_a_run_that_is_cancelled_while_its_effect_rests_sends_nothing() -> None:
    world = Dependency()
    flow = asking(world)

    @workflow("buys")
    async def buys(run: Run) -> str:
        return await run.effect("buy", world.order, "it", breaker=API, retry=Retry(limit=9, delay="1 s"))

    async with Engine("memory:", workflows=[flow, buys], seed=1) as engine:
        world.down = True
        await results(engine, flow, "a", "b", "c")
        world.down = False
        handle = await engine.start(buys)
        await engine.idle()
        opened = engine.clock.now()
        await engine.cancel(handle.id)
        await engine.idle()
        assert "was cancelled before it was sent" in str((await engine.show(handle.id)).error)
        assert engine.clock.now() == opened
        await engine.settled()
    assert world.calls == ["a", "b", "c"]


@live
async def test_an_undo_is_guarded_by_its_decoration_and_tried_again() -> None:
    guard = Breaker("undoes", threshold=1, open_for="30 s", successes=1)
    undone: list[str] = []
    down = True

    @guard
    def undo(result: str) -> str:
        if down:
            raise ConnectionError("down")
        undone.append(result)
        return result

    @workflow("saga")
    async def saga(run: Run) -> None:
        async with run.saga() as steps:
            await steps.step("one", lambda: "one", undo=undo)
            raise ValueError("no")

    async with Engine("memory:", workflows=[saga], seed=1) as engine:
        handle = await engine.start(saga)
        await engine.idle()
        down = False
        with pytest.raises(ValueError, match="no"):
            await handle.result()
        assert undone == ["one"]
        assert [to for _, _, to in changes(engine)] == ["open", "half-open", "closed"]


# ------------------------------------------------------------------------------------------------------ after a crash


def make_flow(world: Dependency) -> Workflow:
    guard = Breaker("crashes", threshold=2, open_for="10 s", successes=1)

    def ask(what: str) -> str:
        if what == "down":
            raise ConnectionError("down")
        return what

    def order(what: str, *, key: str) -> str:
        world.calls.append(key)
        return what

    @workflow("asks")
    async def asks(run: Run) -> list[str]:
        trace = []
        for number, what in enumerate(["up", "down", "down", "up", "up", "down", "up", "up", "up"]):
            try:
                trace.append(await run.step(f"ask {number}", ask, what, breaker=guard))
            except (BreakerOpen, ConnectionError) as error:
                trace.append(type(error).__name__)
            try:
                trace.append(await run.effect(f"buy {number}", order, "bought", breaker=guard))
            except BreakerOpen:
                trace.append("not bought")
            await run.sleep("4 s")
        return trace

    return asks


async def play(deaths: list[int], *, park: bool) -> tuple[Any, Memory, list[str], int]:
    world, memory, clock = Dependency(), Memory(), VirtualClock()
    flow = make_flow(world)
    for left in [*deaths, None]:
        engine = Probe(memory, [flow], clock=clock, finely=True, park=park, dies_after=left)

        async def life(engine: Probe = engine) -> Any:
            await engine.open()
            return await (await engine.start(flow, id="it")).result()

        living, dying = asyncio.ensure_future(life()), asyncio.ensure_future(engine.died.wait())
        await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
        if engine.died.is_set():
            living.cancel()
            engine.kill()
            await asyncio.gather(living, return_exceptions=True)
            continue
        dying.cancel()
        trace = await living
        await engine.close()
        check_tape(memory)
        check_replay(memory, {"asks": flow})
        return trace, memory, world.calls, engine._log.committed
    raise AssertionError("the last engine does not die")


def test_a_crash_after_every_batch_changes_nothing() -> None:
    """Not what is refused, not what is bought, not when the breaker opens and closes."""
    trace, memory, bought, batches = asyncio.run(play([], park=False))
    assert trace == [
        "up", "bought", "ConnectionError", "bought", "ConnectionError", "not bought", "BreakerOpen", "not bought",
        "BreakerOpen", "not bought", "ConnectionError", "not bought", "BreakerOpen", "not bought",
        "BreakerOpen", "not bought", "up", "bought",
    ]  # fmt: skip
    told = _changes(memory)
    for death in range(1, batches + 1):
        for park_too in (False, True):
            crashed, after, again, _ = asyncio.run(play([death, 2], park=park_too))
            assert crashed == trace
            assert _changes(after) == told
            assert len(set(again)) == len(set(bought))


def _changes(memory: Memory) -> list[Any]:
    return [msgspec.json.decode(e.record.value)["to"] for _, e in records_of(memory) if e.record.kind == "breaker"]
