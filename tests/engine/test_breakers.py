"""Breakers in an engine: one for all runs, kept on the tape, asked before each attempt and never by a replay."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.engine.dependency import API, SECOND, Dependency, asking, changes, results, standing
from tests.engine.support import crash, live, park, records, turns
from tests.laws.probe import check_replay, check_tape
from tickwork.core.breaker import Breaker, BreakerClosed, BreakerOpened
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.control import ask_owner
from tickwork.errors import BreakerOpen, InvalidInput, Rejected

# ------------------------------------------------------------------------------------------------------------- steps


@live
async def test_it_is_one_for_all_runs_and_its_changes_are_on_the_tape() -> None:
    world = Dependency()
    heard: list[Any] = []

    @workflow("listens", on=[BreakerOpened, BreakerClosed])
    async def listens(run: Run, event: Event) -> None:
        heard.append(event)

    flow = asking(world)
    async with Engine("memory:", workflows=[flow, listens], seed=1) as engine:
        world.down = True
        assert await results(engine, flow, "a", "b") == ["ConnectionError"] * 2
        assert await standing(engine) == ("closed", 2)
        assert await results(engine, flow, "c", "d", "e") == ["ConnectionError", "BreakerOpen", "BreakerOpen"]
        assert world.calls == ["a", "b", "c"]
        assert changes(engine) == [("api", "closed", "open")]
        assert engine.breakers.mode("api") == "open"
        (info,) = await engine.breakers.list()
        assert (info.state, info.threshold, info.why) == (
            "open",
            3,
            "3 failures in 1m, the last: ConnectionError: down",
        )
        assert info.opened_at is not None
        assert info.retry_at is not None
        assert (info.retry_at - info.opened_at).total_seconds() == 30
        world.down = False
        engine.clock.jump(engine.clock.now() + 30 * SECOND)
        assert engine.breakers.mode("api") == "closed", "a call would be let through, as a probe"
        assert await results(engine, flow, "f", "g") == ["answer f", "answer g"]
        assert changes(engine)[1:] == [("api", "open", "half-open"), ("api", "half-open", "closed")]
        await engine.settled()
    assert [type(event) for event in heard] == [BreakerOpened, BreakerClosed]
    assert heard[0].breaker == "api"
    assert not heard[0].again


@live
async def test_a_refusal_is_the_recorded_answer() -> None:
    world = Dependency()
    refusals: list[BreakerOpen] = []

    @workflow("asks")
    async def asks(run: Run) -> str:
        try:
            return await run.step("ask", world.ask, breaker=API)
        except BreakerOpen as error:
            refusals.append(error)
            await run.sleep("1 s")
            return "refused"

    memory = Memory()
    async with Engine(memory, workflows=[asks, (first := asking(world, name="first"))], seed=1) as engine:
        world.down = True
        await results(engine, first, "a", "b", "c")
        handle = await engine.start(asks)
        await engine.idle()
        assert len(records(engine, "step")) == 4
        park(engine)
        await engine.breakers.reset("api")
        assert await handle.result() == "refused"
        assert world.calls == ["a", "b", "c"]
        assert await engine.check() == {}
    assert len(refusals) == 2  # once live, once in the replay
    assert refusals[0].args == refusals[1].args
    assert refusals[0].breaker == "api"
    check_replay(memory, {"asks": asks, "first": first})


@live
async def test_a_retry_waits_until_it_may_be_tried() -> None:
    world = Dependency()
    flow = asking(world, retry=Retry(limit=2, delay="1 s"), name="patient")
    hasty = asking(world)
    async with Engine("memory:", workflows=[flow, hasty], seed=1) as engine:
        world.down = True
        await results(engine, hasty, "a", "b", "c")
        opened = engine.clock.now()
        world.down = False
        handle = await engine.start(flow, "d")
        assert await handle.result() == "answer d"
        assert engine.clock.now() == opened + 30 * SECOND
        assert world.calls == ["a", "b", "c", "d"]
        tried = [entry.record for entry in records(engine, "tried")]
        assert [record.due - opened for record in tried] == [30 * SECOND]


@live
async def test_each_attempt_counts_and_the_last_refusal_is_raised() -> None:
    """Four failures of one step open it; what is left of its attempts is refused without a call."""
    world = Dependency()
    world.down = True
    flow = asking(world, retry=Retry(limit=4, delay="1 s"))
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        began = engine.clock.now()
        assert await results(engine, flow, "a") == ["ConnectionError"]
        # 0 s, 1 s and 3 s: open until 33 s; the probes at 33 s and 63 s fail and open it again
        assert len(world.calls) == 5
        assert engine.clock.now() - began == 63 * SECOND
        assert [(before, after) for _, before, after in changes(engine)] == [
            ("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("open", "half-open"),
            ("half-open", "open"),
        ]  # fmt: skip


@live
async def test_half_open_lets_only_its_probes_through() -> None:
    world = Dependency()
    probing = Breaker("api", threshold=3, open_for="30 s", probes=2, successes=2)
    outcomes: list[list[Any]] = []

    @workflow("ten at once")
    async def ten(run: Run) -> None:
        async def one(number: int) -> str:
            try:
                return await run.step(f"ask {number}", world.ask_slowly, str(number), breaker=probing)
            except BreakerOpen:
                return "refused"

        outcomes.append(await run.all(*(one(number) for number in range(10))))

    flow = asking(world, breaker=probing)
    async with Engine("memory:", workflows=[ten, flow], seed=1) as engine:
        world.down = True
        await results(engine, flow, "a", "b", "c")
        world.down, world.hold = False, asyncio.Event()
        engine.clock.jump(engine.clock.now() + 30 * SECOND)
        handle = await engine.start(ten)
        await turns()
        assert world.at_once == 2
        world.hold.set()
        await handle.result()
        assert outcomes == [["answer 0", "answer 1", *["refused"] * 8]]
        assert world.most_at_once == 2
        assert await standing(engine) == ("closed", 0)


@live
async def test_a_restart_keeps_it_open(tmp_path: Path) -> None:
    world, clock = Dependency(), VirtualClock()
    url = f"sqlite:///{tmp_path}/tape.db"
    flow = asking(world)
    async with Engine(url, workflows=[flow], clock=clock) as engine:
        world.down = True
        await results(engine, flow, "a", "b")
    async with Engine(url, workflows=[flow], clock=clock) as engine:
        assert await standing(engine) == ("closed", 2)
        await results(engine, flow, "c")
    world.down = False
    async with Engine(url, workflows=[flow], clock=clock) as engine:
        assert (await engine.breakers.list())[0].state == "open"
        assert await results(engine, flow, "d") == ["BreakerOpen"]
        clock.jump(clock.now() + 30 * SECOND)
        assert await results(engine, flow, "e") == ["answer e"]
    assert world.calls == ["a", "b", "c", "e"]


@live
async def test_a_crash_during_the_probe_leaves_its_place_free() -> None:
    world, memory, clock = Dependency(), Memory(), VirtualClock()

    @workflow("slow")
    async def slow(run: Run, what: str) -> str:
        return await run.step("ask", world.ask_slowly, what, breaker=API)

    flows = [slow, asking(world)]
    engine = Engine(memory, workflows=flows, clock=clock, seed=1)
    await engine.open()
    world.down = True
    await results(engine, flows[1], "a", "b", "c")
    world.down, world.hold = False, asyncio.Event()
    clock.jump(clock.now() + 30 * SECOND)
    await engine.start(slow, "d", id="it")
    await turns()
    assert world.at_once == 1
    assert (await engine.breakers.list())[0].probes == 1
    crash(engine)
    await turns()
    world.hold.set()
    async with Engine(memory, workflows=flows, clock=clock, seed=1) as engine:
        assert await engine.handle("it").result() == "answer d"
        assert await standing(engine) == ("closed", 0)
    check_tape(memory)
    check_replay(memory, {flow.name: flow for flow in flows})


@live
async def test_a_cancelled_run_gives_its_probe_back() -> None:
    world = Dependency()

    @workflow("slow")
    async def slow(run: Run) -> str:
        return await run.step("ask", world.ask_slowly, breaker=API)

    flow = asking(world)
    async with Engine("memory:", workflows=[slow, flow], seed=1) as engine:
        world.down = True
        await results(engine, flow, "a", "b", "c")
        world.down, world.hold = False, asyncio.Event()
        engine.clock.jump(engine.clock.now() + 30 * SECOND)
        handle = await engine.start(slow)
        await turns()
        assert await results(engine, flow, "d") == ["BreakerOpen"]
        await engine.cancel(handle.id)
        await turns()
        assert (await engine.breakers.list())[0].probes == 0
        assert await results(engine, flow, "e") == ["answer e"]
        assert engine.breakers._permits == {}


@live
async def test_a_probe_that_hangs_is_given_up() -> None:
    world = Dependency()

    @workflow("slow")
    async def slow(run: Run) -> str:
        return await run.step("ask", world.ask_slowly, breaker=API)

    flow = asking(world)
    async with Engine("memory:", workflows=[slow, flow], seed=1) as engine:
        world.down = True
        await results(engine, flow, "a", "b", "c")
        world.down, world.hold = False, asyncio.Event()
        engine.clock.jump(engine.clock.now() + 30 * SECOND)
        handle = await engine.start(slow)
        await turns()
        engine.clock.jump(engine.clock.now() + 300 * SECOND - 1)
        assert await results(engine, flow, "d") == ["BreakerOpen"]
        engine.clock.jump(engine.clock.now() + 1)
        assert await results(engine, flow, "e") == ["answer e"]
        world.hold.set()
        assert await handle.result() == "answer "


@live
async def test_a_time_out_is_a_failure_and_a_rejection_is_not() -> None:
    world = Dependency()
    slow = Breaker("slow", threshold=1)
    strict = Breaker("strict", threshold=1)

    def reject() -> str:
        raise Rejected("venue", "no")

    @workflow("asks")
    async def asks(run: Run) -> None:
        for _ in range(3):
            with pytest.raises(Rejected):
                await run.step("reject", reject, breaker=strict)
        with pytest.raises(Exception, match=r"did not finish within 0\.05s"):
            await run.step("hang", world.ask_slowly, breaker=slow, timeout="50 ms")
        with pytest.raises(BreakerOpen, match=r"step 'hang' did not finish within 0\.05s"):
            await run.step("hang", world.ask_slowly, breaker=slow)

    world.hold = asyncio.Event()
    async with Engine("memory:", workflows=[asks], seed=1) as engine:  # an async step's time-out is the loop's
        await (await engine.start(asks)).result()
        assert [info.state for info in await engine.breakers.list()] == ["open", "closed"]


@live
async def test_a_decorated_function_is_guarded_wherever_it_is_called() -> None:
    guard = Breaker("decorated", threshold=1)

    class Client:
        calls = 0

        @guard
        def fetch(self) -> str:
            self.calls += 1
            raise ConnectionError("down")

    client = Client()

    @workflow("asks")
    async def asks(run: Run) -> None:
        with pytest.raises(ConnectionError):
            await run.step("one", client.fetch)
        with pytest.raises(BreakerOpen):
            await run.step("two", client.fetch)
        other = Breaker("other")
        with pytest.raises(ConnectionError):  # what is said at the call comes first
            await run.step("three", client.fetch, breaker=other)

    async with Engine("memory:", workflows=[asks], seed=1) as engine:
        await (await engine.start(asks)).result()
        assert client.calls == 2
        assert [info.name for info in await engine.breakers.list()] == ["decorated", "other"]


@live
async def test_one_name_is_declared_one_way() -> None:
    world = Dependency()

    @workflow("asks")
    async def asks(run: Run, threshold: int) -> str:
        return await run.step("ask", world.ask, breaker=Breaker("api", threshold=threshold))

    memory = Memory()
    async with Engine(memory, workflows=[asks], seed=1) as engine:
        assert await results(engine, asks, 4, 4) == ["answer "] * 2
        with pytest.raises(InvalidInput, match=r"breaker 'api': expected one of a name: .*threshold=4"):
            await results(engine, asks, 5)
        assert world.calls == ["", ""]
    # another build may declare it otherwise; what it counted is kept
    async with Engine(memory, workflows=[asks], seed=1) as engine:
        assert await results(engine, asks, 5) == ["answer "]
        assert (await engine.breakers.list())[0].threshold == 5


def test_a_breaker_is_a_breaker() -> None:
    async def body(run: Run) -> None:
        await run.step("ask", len, "x", breaker="api")  # type: ignore[call-overload]

    flow = workflow("asks")(body)

    async def play() -> None:
        async with Engine("memory:", workflows=[flow], seed=1) as engine:
            with pytest.raises(InvalidInput, match="breaker of 'ask'"):
                await (await engine.start(flow)).result()

    asyncio.run(play())


# ----------------------------------------------------------------------------------------------------- by hand


@live
async def test_people_open_and_close_it() -> None:
    world = Dependency()
    flow = asking(world)
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        with pytest.raises(InvalidInput, match="none has been used yet"):
            await engine.breakers.trip("api")
        await results(engine, flow, "a")
        with pytest.raises(InvalidInput, match="has used: api"):
            await engine.breakers.reset("other")
        info = await engine.breakers.trip("api", "maintenance", open_for="2 hours")
        assert (info.state, info.why) == ("open", "tripped by hand: maintenance")
        assert await results(engine, flow, "b") == ["BreakerOpen"]
        engine.clock.jump(engine.clock.now() + 3600 * SECOND)
        assert await results(engine, flow, "c") == ["BreakerOpen"]
        assert (await engine.breakers.reset("api", "they are back")).state == "closed"
        assert await results(engine, flow, "d") == ["answer d"]
        await engine.breakers.reset("api")  # of one that is closed: on the tape, and no news
        assert len(changes(engine)) == 3
        events = [entry.record.name for entry in records(engine, "event")]
        assert events == ["tickwork/breaker.opened", "tickwork/breaker.closed"]


@live
async def test_other_processes_ask_its_owner(tmp_path: Path) -> None:
    world = Dependency()
    flow = asking(world)
    tape = f"{tmp_path}/tape.db"
    async with Engine(f"sqlite:///{tape}", workflows=[flow]) as engine:
        await results(engine, flow, "a")

        async def ask(verb: str, **arguments: Any) -> Any:
            return await asyncio.to_thread(ask_owner, tape, verb, **arguments)

        assert (await ask("breakers.trip", name="api", reason="by a test"))["state"] == "open"
        (found,) = await ask("breakers")
        assert (found["name"], found["state"], found["why"]) == ("api", "open", "tripped by hand: by a test")
        assert (await ask("breakers.reset", name="api"))["state"] == "closed"
        with pytest.raises(InvalidInput, match="breaker"):
            await ask("breakers.reset", name="none")


@live
async def test_threads_and_the_loop(tmp_path: Path) -> None:
    """In real time a sync function runs in a thread, unless it is said not to; its breaker is asked on the loop."""
    main, seen = threading.get_ident(), []

    def where(fail: bool) -> str:
        seen.append(threading.get_ident() == main)
        if fail:
            raise ConnectionError("down")
        return "well"

    guard = Breaker("threads", threshold=2, open_for="1 hour")

    @workflow("asks")
    async def asks(run: Run) -> str:
        await run.step("thread", where, False, breaker=guard)
        await run.step("loop", where, False, breaker=guard, blocking=False)
        for number in range(2):
            with pytest.raises(ConnectionError):
                await run.step(f"fails {number}", where, True, breaker=guard)
        with pytest.raises(BreakerOpen):
            await run.effect("buy", lambda key: key, breaker=guard)
        return "done"

    async with Engine(f"sqlite:///{tmp_path}/tape.db", workflows=[asks]) as engine:
        assert await results(engine, asks, None) == ["done"]
    assert seen == [False, True, False, False]


@live
async def test_a_retried_step_that_may_not_block_stays_on_the_loop(tmp_path: Path) -> None:
    main, seen = threading.get_ident(), []

    def flaky() -> str:
        seen.append(threading.get_ident() == main)
        if len(seen) < 3:
            raise ConnectionError("down")
        return "well"

    @workflow("asks")
    async def asks(run: Run) -> str:
        return await run.step("ask", flaky, blocking=False, retry=Retry(limit=3, delay="1 ms"))

    async with Engine(f"sqlite:///{tmp_path}/tape.db", workflows=[asks]) as engine:
        assert await results(engine, asks, None) == ["well"]
    assert seen == [True] * 3
