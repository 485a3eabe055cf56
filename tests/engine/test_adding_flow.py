"""Queues and flow control of workflows that are added and retired while the engine is open."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.engine.adding import MIDNIGHT, noting, started, statuses, waiting
from tests.engine.support import Ping, Pong, count, crash, live
from tickwork.core.flow import Batch, Concurrency, RateLimit
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput, Refused


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    logging.getLogger("tickwork.engine").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tickwork.engine").setLevel(logging.NOTSET)


# -- queues -----------------------------------------------------------------------------------------------------------


@live
async def test_queues() -> None:
    orders = Queue("orders")
    async with Engine("memory:", queues=[orders]) as engine:
        await engine.queues.send(orders, {"n": 1})
        await engine.add(waiting("execute", on=orders))
        await engine.idle()
        await engine.add(noting("execute", 2, on=orders))
        await engine.queues.send(orders, {"n": 2}, group="other")
        await engine.idle()
        assert started(engine) == [("execute", 1), ("execute", 2)]
        await engine.retire("execute")
        await engine.queues.send(orders, {"n": 3})
        await engine.emit(Pong())
        await engine.idle()
        assert await statuses(engine) == ["done", "done"]
        assert (await engine.queues.status(orders)).available == 1
        await engine.add(engine.registry._newest["execute"])
        await engine.idle()
        assert started(engine)[2:] == [("execute", 2)]
        status = await engine.queues.status(orders)
        assert (status.available, status.completed_today) == (0, 3)


@live
async def test_a_queue_comes_with_its_workflow_and_goes_with_it() -> None:
    async with Engine("memory:") as engine:
        await engine.add(waiting("execute", on=Queue("orders", consumers=1, ordering="standard")))
        for number in range(4):
            await engine.queues.send("orders", {"n": number})
        await engine.idle()
        assert started(engine) == [("execute", 1)]
        await engine.add(waiting("execute", 2, on=Queue("orders", consumers=3, ordering="FIFO")))
        await engine.idle()
        assert started(engine) == [("execute", 1)], "one group, in order"
        await engine.emit(Pong())
        assert await statuses(engine) == ["done", "waiting"]
        await engine.retire("execute")
        await engine.queues.send("orders", {"n": 4})
        await engine.add(waiting("other", on=Queue("orders", consumers=7, ordering="standard")))
        await engine.idle()
        assert started(engine) == [("execute", 1), ("execute", 2), *[("other", 1)] * 3]
        await engine.add(noting("other", 2, on=Ping))
        assert engine.queues.names == ["orders"], "the retired one holds it open"
        await engine.add(noting("execute", 3, on=Ping))
        assert engine.queues.names == []
        with pytest.raises(InvalidInput, match="a queue that the engine was given"):
            await engine.queues.send("orders", {"n": 5})
        await engine.emit(Pong())
        assert set(await statuses(engine)) == {"done"}
        await engine.add(noting("execute", 4, on=Queue("orders")))
        assert (await engine.queues.status("orders")).completed_today == 5


@live
async def test_messages_of_a_queue_that_nobody_declared_go_to_the_workflow_that_is_added() -> None:
    memory, execute = Memory(), noting("execute", on=Queue("orders", batch_size=2))
    engine = Engine(memory, queues=[Queue("orders")])
    await engine.open()
    await engine.queues.send_all("orders", [{"n": 1}, {"n": 2}])
    crash(engine)
    async with Engine(memory) as engine:
        assert engine.queues.names == []
        await engine.add(execute)
        await engine.idle()
        assert started(engine) == [("execute", 1)] * 2


# -- flow control -----------------------------------------------------------------------------------------------------


@live
async def test_runs_of_both_versions_count_together() -> None:
    one = waiting("watch", concurrency=Concurrency(total=2))
    async with Engine("memory:", workflows=[one]) as engine:
        for _ in range(4):
            await engine.emit(Ping())
        await engine.add(waiting("watch", 2, concurrency=Concurrency(total=3)))
        await engine.emit(Ping())
        assert await statuses(engine) == ["waiting", "waiting", "waiting", "queued", "queued"]
        await engine.emit(Pong())
        assert await statuses(engine) == ["done"] * 5
        assert count(engine, "flow") == 0
        assert started(engine) == [("watch", 1)] * 4 + [("watch", 2)]


@live
async def test_a_newer_version_without_flow_control_lets_all_begin() -> None:
    async with Engine("memory:", workflows=[waiting("watch", concurrency=1)]) as engine:
        for _ in range(3):
            await engine.emit(Ping())
        await engine.add(waiting("watch", 2))
        assert await statuses(engine) == ["waiting"] * 3
        assert count(engine, "flow") == 0


@live
async def test_rate_limits_remember_what_came_before() -> None:
    one = noting("watch", rate_limit=RateLimit(2, "1 hour"))
    async with Engine("memory:", workflows=[one]) as engine:
        for _ in range(3):
            await engine.emit(Ping())
        two = noting("watch", 2, rate_limit=RateLimit(3, "1 hour"))
        await engine.add(two)
        for _ in range(3):
            await engine.emit(Ping())
        await engine.idle()
        assert started(engine) == [("watch", 1)] * 2 + [("watch", 2)]
        with pytest.raises(Refused, match="3 in 1h"):
            await engine.start(two, {})


@live
async def test_what_waits_of_a_workflow_that_was_not_there_goes_on() -> None:
    memory = Memory()
    one = waiting("watch", concurrency=1, rate_limit=RateLimit(2, "1 hour"))
    batch = _batching("gather", Batch(3, "1 hour"))
    engine = Engine(memory, workflows=[one, batch])
    await engine.open()
    for _ in range(2):
        await engine.emit(Ping())
    await engine.idle()
    crash(engine)
    async with Engine(memory) as engine:
        await engine.emit(Pong())
        assert await statuses(engine) == ["stranded", "queued"]
        await engine.add(one)
        await engine.add(batch)
        await engine.emit(Pong())
        await engine.idle()
        assert await statuses(engine) == ["done", "done"]
        await engine.emit(Ping())
        await engine.idle()
        assert started(engine) == [("watch", 1)] * 2 + [("gather", 1)]


def _batching(name: str, batch: Batch, version: int = 1) -> Workflow:
    @workflow(name, version=version, on=Ping, batch=batch)
    async def gather(run: Run, pings: list[Ping]) -> list[int]:
        return [ping.n for ping in pings]

    return gather


@live
async def test_what_is_gathered_goes_to_the_newer_version() -> None:
    async with Engine("memory:", workflows=[_batching("gather", Batch(3, "1 hour"))]) as engine:
        await engine.emit(Ping(n=1))
        await engine.emit(Ping(n=2))
        await engine.add(_batching("gather", Batch(4, "1 hour"), 2))
        await engine.emit(Ping(n=3))
        await engine.settled()
        (info,) = await engine.runs()
        assert info.version == 2
        assert await engine.handle(info.id).result() == [1, 2, 3]
        await engine.emit(Ping(n=4))
        await engine.emit(Ping(n=5))
        await engine.add(noting("gather", 3, priority=1))
        await engine.idle()
        assert started(engine)[1:] == [("gather", 3)] * 2, "it gathers no more: each starts a run of its own"
        assert count(engine, "gathers") == 0


@live
async def test_what_a_retired_one_has_gathered_starts_its_run_now() -> None:
    async with Engine("memory:", workflows=[_batching("gather", Batch(3, "1 hour"))]) as engine:
        await engine.emit(Ping(n=1))
        await engine.retire("gather")
        await engine.emit(Ping(n=2))
        await engine.idle()
        assert count(engine, "gathers") == 0
        await engine.settled()
        (info,) = await engine.runs()
        assert (info.started_at, await engine.handle(info.id).result()) == (MIDNIGHT, [1])
