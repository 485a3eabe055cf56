"""What the tests of queues share."""

from __future__ import annotations

from typing import Any

from tickwork.core.event import Event
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.queue_tables import QueueStatus, QueueTables
from tickwork.errors import InvalidInput, QueueFull, Rejected

SECOND = 1_000_000_000


class Order(Event, name="queues/order"):
    symbol: str
    n: int = 0


class Other(Event, name="queues/other"):
    n: int = 0


class Known(Event, name="queues/known", version=1):
    n: int


def engine(*queues: Queue, memory: Memory | None = None, workflows: list[Workflow] | None = None) -> Engine:
    return Engine(memory or "memory:", queues=queues, workflows=workflows or [], seed=1)


async def wait(engine: Engine, seconds: float) -> None:
    """Let so much time pass, and what is due in it happen."""
    await engine.idle()
    until = engine.clock.now() + int(seconds * SECOND)
    while (due := engine._timers.next_due()) is not None and due <= until:
        engine.clock.jump(due)
        engine._timers.fire_due()
        await engine.idle()
    engine.clock.jump(until)
    engine._timers.fire_due()
    await engine.idle()


def counts(status: QueueStatus) -> tuple[int, int, int, int]:
    assert status.total == status.available + status.in_flight
    return status.available, status.delayed, status.in_flight, status.dead


async def same_on_disk(engine: Engine, name: str = "q") -> QueueStatus:
    """The status, which must be what the rows come to."""
    told = await engine.queues.status(name)
    assert QueueTables(engine._reader).status(name, engine.clock.now()) == told
    return told


async def bodies(engine: Engine, name: str = "q", max: int = 10) -> list[Any]:
    return [message.body for message in await engine.queues.lease(name, max=max)]


done: list[Any] = []
"""Messages that runs have worked on, in order."""


def consumer(queue: Queue, **options: Any) -> Workflow:
    """Works on any JSON; a body ``{"fail": n}`` fails n times."""

    @workflow("consumer", on=queue, **options)
    async def body(run: Run, message: Any) -> Any:
        await run.sleep("1s")
        tries = sum(one == message for one in done)
        done.append(message)
        if isinstance(message, dict) and tries < message.get("fail", 0):
            raise ValueError("not today")
        if isinstance(message, dict) and message.get("fatal"):
            raise Rejected("venue", "no")
        return message

    return body


batches: list[list[Any]] = []
"""What runs got, that take lists."""


def batch_consumer(queue: Queue) -> Workflow:
    @workflow("batches", on=queue)
    async def body(run: Run, messages: list[Any]) -> int:
        await run.sleep("1s")
        batches.append(messages)
        if any(message == "poison" for message in messages):
            raise ValueError("poisoned")
        return len(messages)

    return body


@workflow("producer")
async def producer(run: Run, bodies: list[Any]) -> list[Any]:
    told: list[Any] = []
    for body in bodies:
        try:
            told.append(await run.send("q", body, group="g", id=f"{body}", priority=2))
        except QueueFull as full:
            told.append(str(full.capacity))
        except InvalidInput as error:
            told.append(error.path)
    await run.sleep("1s")
    return told
