"""A run that cannot go on can be cancelled: it is recorded, told, and holds nothing any more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.support import Ping, count, crash, live
from tickwork.core.event import Alert
from tickwork.core.flow import Concurrency
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput, RunCancelled

heard: list[Alert] = []


@workflow("alerts", on=[Alert])
async def alerts(run: Run, alert: Alert) -> None:
    """Hears them."""
    heard.append(alert)


def nothing() -> None:
    """A step."""


def waiting(first: str = "first", **options: Any) -> Workflow:
    @workflow("w", **options)
    async def body(run: Run, input: str = "") -> str:
        await run.step(first, nothing)
        ping = await run.wait_for(Ping, where={"name": "go"})
        return "done" if ping is None else ping.name

    return body


async def stuck_on(memory: Memory, *workflows: Workflow, ids: tuple[str, ...] = ("it",)) -> None:
    engine = Engine(memory, workflows=workflows, seed=1)
    await engine.open()
    for id in ids:
        await engine.start(workflows[0], id=id)
    await engine.idle()
    engine.kill()


@pytest.mark.parametrize("looked_at", [True, False])
@live
async def test_a_stranded_run(looked_at: bool) -> None:
    heard.clear()
    memory = Memory()
    await stuck_on(memory, waiting())
    async with Engine(memory, workflows=[alerts], seed=1) as engine:
        if looked_at:
            await engine.emit(Ping(name="go"))
            await engine.idle()
            assert [info.id for info in await engine.stranded()] == ["it"]
        handle = engine.handle("it")
        await engine.cancel("it", "not wanted")
        assert (await engine.show("it")).info.status == "cancelled"
        with pytest.raises(RunCancelled):
            await handle.result()
        await engine.idle()
        assert [(alert.run, alert.what) for alert in heard] == [("it", "run of 'w' was cancelled as it stood")]
        assert "not wanted (cancelled as it stood because its workflow is not registered" in heard[0].detail
        assert "none of its undos were made" in heard[0].detail
        assert await engine.stranded() == []
        assert count(engine, "waits") == 0
        with pytest.raises(InvalidInput, match="an unfinished run"):
            await engine.cancel("it")
        memory = crash(engine)
    async with Engine(memory, workflows=[waiting(), alerts], seed=1) as engine:  # it does not come back with its code
        await engine.emit(Ping(name="go"))
        await engine.idle()
        assert [info.status for info in await engine.runs(workflow="w")] == ["cancelled"]


@pytest.mark.parametrize("looked_at", [True, False])
@live
async def test_a_diverged_run(looked_at: bool) -> None:
    heard.clear()
    memory = Memory()
    await stuck_on(memory, waiting())
    async with Engine(memory, workflows=[waiting("another"), alerts], seed=1) as engine:
        if looked_at:
            await engine.emit(Ping(name="go"))
            await engine.idle()
            assert (await engine.show("it")).info.status == "diverged"
        await engine.cancel("it")
        assert (await engine.show("it")).info.status == "cancelled"
        await engine.idle()
        assert "its code and its records disagree" in heard[0].detail
        assert await engine.check() == {}


@live
async def test_it_gives_up_its_turn() -> None:
    memory, flow = Memory(), waiting(concurrency=Concurrency(total=1))
    await stuck_on(memory, flow, ids=("a", "b", "c"))
    async with Engine(memory, workflows=[alerts], seed=1) as engine:
        await engine.cancel("a")
        await engine.cancel("b")
        memory = crash(engine)
    async with Engine(memory, workflows=[flow], seed=1) as engine:
        await engine.idle()
        assert [(one.running, one.waiting) for one in engine.flow.status()] == [(1, 0)]
        await engine.emit(Ping(name="go"))
        assert await engine.handle("c").result() == "go"


@live
async def test_in_the_same_opening_too() -> None:
    memory, flow = Memory(), waiting(concurrency=Concurrency(total=1))
    await stuck_on(memory, flow, ids=("a", "b"))
    async with Engine(memory, workflows=[alerts], seed=1) as engine:
        await engine.cancel("a")
        await engine.add(flow)
        await engine.emit(Ping(name="go"))
        await engine.idle()
        await engine.emit(Ping(name="go"))
        assert await engine.handle("b").result() == "go"


def family(child: Workflow) -> Workflow:
    @workflow("parent")
    async def parent(run: Run) -> str:
        try:
            return str(await run.call(child, "x", id="child"))
        except RunCancelled:
            return "the child was cancelled"

    return parent


@live
async def test_its_parent_hears_of_it() -> None:
    memory, child = Memory(), waiting()
    parent = family(child)
    await stuck_on(memory, parent, child)
    async with Engine(memory, workflows=[parent], seed=1) as engine:
        await engine.cancel("child")
        # the parent's code names the child's workflow, which is not here: it is told on the tape all the same
        assert (await engine.show("child")).info.status == "cancelled"


@live
async def test_a_cancelled_parent_takes_a_stranded_child_with_it_and_a_stranded_parent_its_child() -> None:
    child = waiting()
    parent = family(child)
    for gone in ("parent", "both"):
        memory = Memory()
        await stuck_on(memory, parent, child)
        async with Engine(memory, workflows=[child] if gone == "parent" else [], seed=1) as engine:
            await engine.cancel("it")
            await engine.idle()
            assert {info.status for info in await engine.runs()} == {"cancelled"}


@live
async def test_effects_in_the_dark_are_named() -> None:
    heard.clear()
    memory = Memory()

    async def order(*, key: str) -> None:
        engine.kill()

    @workflow("buys")
    async def buys(run: Run) -> None:
        await run.effect("buy", order)

    engine = Engine(memory, workflows=[buys], seed=1)
    await engine.open()
    engine.start_soon(buys, id="it")
    with pytest.raises(Exception, match="not open"):
        await engine.idle()
    async with Engine(memory, workflows=[alerts], seed=1) as second:
        await second.cancel("it")
        await second.idle()
        assert "nobody knows whether these effects were made: 'buy'" in heard[0].detail
