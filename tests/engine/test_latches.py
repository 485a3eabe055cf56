"""Latches: arms of one run that wait for each other, live, parked and after a crash."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.support import live
from tickwork import Engine, Run, workflow
from tickwork.engines.embedded.assembly import Memory
from tickwork.errors import InvalidInput, StepFailed


def text(value: str) -> str:
    return value


def fail(value: str) -> str:
    raise ValueError(value)


@workflow("diamond")
async def diamond(run: Run) -> list[str]:
    """a, then b and c at once, then d; e beside them all."""
    done: list[str] = []
    latches = {name: run.latch() for name in "abcde"}
    waits = {"a": "", "b": "a", "c": "a", "d": "bc", "e": ""}

    async def arm(name: str) -> None:
        for before in waits[name]:
            await latches[before]
        if name in "ce":
            await run.sleep("1 minute")
        done.append(await run.step(name, text, name))
        latches[name].open()

    await run.all(*(arm(name) for name in reversed("abcde")))
    return done


@workflow("stuck")
async def stuck(run: Run) -> str:
    never = run.latch()

    async def arm() -> None:
        await never

    try:
        await run.all(arm(), arm())
    except InvalidInput as error:
        return error.path
    return "went on"


@workflow("failing")
async def failing(run: Run) -> list[str]:
    never, heard = run.latch(), []

    async def waits() -> None:
        try:
            await never
        finally:
            heard.append("interrupted")

    async def fails() -> None:
        await run.sleep("1 minute")
        await run.step("fail", fail, "no")

    try:
        await run.all(waits(), fails())
    except (ValueError, StepFailed):
        heard.append("failed")
    return heard


async def one(flow: Any, crash: bool) -> Any:
    memory = Memory()
    engine = Engine(memory, workflows=[diamond, stuck, failing], seed=1)
    await engine.open()
    handle = await engine.start(flow, id="one")
    if crash:
        engine.kill()
        engine = Engine(memory, workflows=[diamond, stuck, failing], seed=1)
        await engine.open()
        handle = engine.handle("one")
    found = await handle.result()
    await engine.close()
    return found


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize(
    ("flow", "found"),
    [(diamond, ["a", "b", "e", "c", "d"]), (stuck, "latch"), (failing, ["interrupted", "failed"])],
)
@live
async def test_a_latch(flow: Any, found: Any, crash: bool) -> None:
    assert await one(flow, crash) == found
