"""One name, one breaker: a newer declaration brings its settings, and the state stays."""

from __future__ import annotations

import pytest

from tests.engine.dependency import Dependency, results
from tests.engine.support import Ping, live
from tickwork.core.breaker import Breaker
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput

WORLD = Dependency()


def asking(threshold: int, version: int = 1, name: str = "asks") -> Workflow:
    @workflow(name, version=version)
    async def asks(run: Run, what: str) -> str:
        if what == "wait":
            await run.wait_for(Ping)
        guard = Breaker("api", threshold=threshold)
        try:
            return await run.step("ask", WORLD.ask, what, breaker=guard)
        except ConnectionError:
            return "down"

    return asks


async def settings(engine: Engine) -> tuple[int, int]:
    (info,) = await engine.breakers.list()
    return info.threshold, info.failures


@live
async def test_a_newer_version_takes_over_and_an_older_one_uses_what_is_there() -> None:
    one, two, three = asking(4), asking(6, 2), asking(4, 3)
    memory = Memory()
    async with Engine(memory, workflows=[one], seed=1) as engine:
        WORLD.down = True
        assert await results(engine, one, "a") == ["down"]
        WORLD.down = False
        late = await engine.start(one, "wait")
        assert await settings(engine) == (4, 1)
        await engine.add(two)
        assert await results(engine, two, "b") == ["answer b"]
        assert await settings(engine) == (6, 1)
        await engine.emit(Ping())
        assert await late.result() == "answer wait"
        assert await results(engine, one, "c") == ["answer c"]
        assert await settings(engine) == (6, 1)
        await engine.add(three)  # back to the settings of before
        assert await results(engine, three, "d") == ["answer d"]
        assert await settings(engine) == (4, 1)
        assert await results(engine, two, "e") == ["answer e"]
        assert await settings(engine) == (4, 1)
    async with Engine(memory, workflows=[one, two], seed=1) as engine:  # as the tape has it, whoever declares first
        assert await results(engine, two, "f") == ["answer f"]
        assert await results(engine, one, "g") == ["answer g"]
        assert (await settings(engine))[0] == 6


@live
async def test_so_does_a_workflow_that_is_added() -> None:
    one, other = asking(4), asking(6, name="other")
    async with Engine("memory:", workflows=[one], seed=1) as engine:
        assert await results(engine, one, "a") == ["answer a"]
        await engine.add(other)
        assert await results(engine, other, "b") == ["answer b"]
        assert (await settings(engine))[0] == 6
        assert await results(engine, one, "c") == ["answer c"]
        assert (await settings(engine))[0] == 6


@live
async def test_two_that_were_given_at_opening_must_agree() -> None:
    one, other = asking(4), asking(6, name="other")
    async with Engine("memory:", workflows=[one, other], seed=1) as engine:
        assert await results(engine, one, "a") == ["answer a"]
        with pytest.raises(InvalidInput, match="expected one of a name"):
            await results(engine, other, "b")


@live
async def test_the_settings_in_force_decide_for_all_runs() -> None:
    one, two = asking(1), asking(3, 2)
    async with Engine("memory:", workflows=[one], seed=1) as engine:
        assert await results(engine, one, "a") == ["answer a"]
        await engine.add(two)
        assert await results(engine, two, "b") == ["answer b"]
        WORLD.down = True
        assert await results(engine, one, "c", "d") == ["down", "down"]  # one failure would have opened its own
        WORLD.down = False
        assert (await engine.breakers.list())[0].state == "closed"
