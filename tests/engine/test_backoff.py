"""The exact waits, through a real engine in virtual time."""

from __future__ import annotations

import itertools

import pytest

from tests.engine.dependency import SECOND
from tests.engine.support import live
from tickwork.core.backoff import backoff, with_retry
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory

# --------------------------------------------------------------------------------------------------------- the waits


@live
async def test_with_retry_waits_one_and_two_seconds() -> None:
    clock = VirtualClock()
    times: list[int] = []

    def fails() -> str:
        times.append(clock.now())
        raise ConnectionError("down")

    @workflow("asks")
    async def asks(run: Run) -> str:
        return await run.step("ask", fails, retry=with_retry())

    async with Engine(Memory(), workflows=[asks], clock=clock, seed=1) as engine:
        with pytest.raises(ConnectionError):
            await (await engine.start(asks)).result()
        assert clock.now() == times[-1]  # none after the last
    assert [time - times[0] for time in times] == [0, 1 * SECOND, 3 * SECOND]


class Watch(Event, name="breakers/watch"):
    """A listing that is looked at again and again."""

    attempt: int = 1


@live
async def test_rechecks_come_after_their_backoff() -> None:
    times: list[int] = []

    @workflow("watch", on=Watch)
    async def watch(run: Run, event: Watch) -> str:
        times.append(engine.clock.now())
        if event.attempt == 10:
            return "max_attempts_reached"
        await run.emit(event.replace(attempt=event.attempt + 1), delay=backoff(event.attempt))
        return "recheck_scheduled"

    engine = Engine("memory:", workflows=[watch], seed=1)
    async with engine:
        await engine.emit(Watch())
        await engine.settled()
    gaps = [(after - before) // SECOND for before, after in itertools.pairwise(times)]
    assert gaps == [2, 4, 8, 16, 32, 64, 128, 256, 300]
