"""A look-up says what it gives in the natural way: ``Found[MyStruct] | NotFound``."""

from __future__ import annotations

import msgspec

from tests.engine.support import live
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.outcome import Found, NotFound


class Done(msgspec.Struct, frozen=True):
    """What the effect gave."""

    n: int


made: list[str] = []


async def look(key: str) -> Found[Done] | NotFound:
    """Was it made?"""
    return Found(Done(len(made))) if made else NotFound()


@live
async def test_it_is_asked_after_a_crash() -> None:
    memory = Memory()

    async def order(*, key: str) -> Done:
        made.append(key)
        if len(made) == 1:
            engine.kill()
        return Done(0)

    @workflow("buys")
    async def buys(run: Run) -> int:
        done: Done = await run.effect("buy", order, lookup=look)
        return done.n

    engine = Engine(memory, workflows=[buys], seed=1)
    await engine.open()
    engine.start_soon(buys, id="it")
    try:
        await engine.idle()
    except Exception as error:  # noqa: BLE001 - the engine was killed
        assert "not open" in str(error)
    async with Engine(memory, workflows=[buys], seed=1) as engine:
        assert await engine.handle("it").result() == 1
    assert len(made) == 1
