"""Errors that cannot be put into words, and cancellations that nobody asked for, are the failure of their step."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support import live
from tickwork.core.breaker import Breaker
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import StepFailed


class Mute(Exception):
    """Cannot be put into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


ERRORS = [Mute(1), ValueError("half \ud800"), asyncio.CancelledError("mine")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("how", ["task", "timed task", "thread", "loop", "lambda"])
@pytest.mark.parametrize("verb", ["step", "effect", "guarded", "retried"])
@pytest.mark.parametrize("url", ["memory:", "file"])
def test_it_is_the_failure_of_the_step(error: BaseException, how: str, verb: str, url: str, tmp_path: Any) -> None:
    async def failing(**_: Any) -> str:
        raise error

    def failing_at_once(**_: Any) -> str:
        raise error

    fn: Any = failing if "task" in how else (lambda **_: failing()) if how == "lambda" else failing_at_once
    options: dict[str, Any] = {"timeout": "9 s"} if how == "timed task" else {}
    if how == "loop" and verb != "effect":
        options["blocking"] = False
    if verb == "guarded":
        options["breaker"] = Breaker("odd", threshold=1)
    if verb == "retried":
        options["retry"] = Retry(limit=1, delay="1 ms")

    @workflow("odd")
    async def odd(run: Run) -> str:
        try:
            await (run.effect if verb == "effect" else run.step)("it", fn, **options)
        except StepFailed as failed:
            return failed.type
        return "nothing"

    async def play() -> None:
        async with Engine(
            "memory:" if url == "memory:" else f"sqlite:///{tmp_path / 't.db'}", workflows=[odd]
        ) as engine:
            assert (await (await engine.start(odd)).result()).endswith(type(error).__name__)

    asyncio.run(asyncio.wait_for(play(), 10))


@pytest.mark.parametrize("error", ERRORS[:2], ids=lambda error: type(error).__name__)
@live
async def test_so_is_that_of_a_body(error: Exception) -> None:
    @workflow("odd")
    async def odd(run: Run) -> None:
        raise error

    async with Engine("memory:", workflows=[odd]) as engine:
        with pytest.raises(StepFailed):
            await (await engine.start(odd)).result()
        assert len(await engine.dead_letters()) == 1


@live
async def test_a_step_that_is_cancelled_on_purpose_is_still_dropped() -> None:
    gone: list[str] = []

    async def long() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.append("long")

    async def quick() -> str:
        await asyncio.sleep(0)
        return "quick"

    @workflow("races")
    async def races(run: Run) -> Any:
        won = await run.race(run.step("long", long), run.step("quick", quick))
        return won.value

    async with Engine("memory:", workflows=[races]) as engine:
        assert await (await engine.start(races)).result() == "quick"
        await engine.idle()
    assert gone == ["long"]
