"""Messages a second through a queue, durable: sent, leased and acknowledged; and sent and worked on by runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import uvloop

from benchmarks.figures import Figure, times_peer
from benchmarks.peers import dbos_figures as dbos
from benchmarks.peers import huey_figures as huey
from benchmarks.setting import Setting, folder, median
from benchmarks.workflows import worked, works
from tickwork import Engine, Queue
from tickwork.core.queue import Draft

BATCH = 100
GROUPS = 200
LANES = 4
"""Producers at once, and as many consumers."""

held = Queue("held", batch_size=BATCH, capacity=1_000_000)

Round = Callable[[Engine, int], Awaitable[None]]


def measure(setting: Setting) -> None:
    """All of it, beside huey and DBOS."""
    peer = huey.measured(setting.pick(4_000, 400)) if setting.peers else {}
    counts = setting.pick(40_000, 4_000), setting.pick(8_000, 800), setting.pick(8_000, 800)
    for name, count, play, goal in (
        ("queues-batches", counts[0], _batches, times_peer(7)),
        ("queues-one-by-one", counts[1], _one_by_one, None),
    ):
        rate = uvloop.run(rate_of(play, count, setting.pick(5, 2)))
        notes = {"messages": count, "batch": BATCH if play is _batches else 1, "groups": GROUPS}
        setting.add(Figure(name, rate, "messages/s", "huey on SQLite, fsync", peer.get("through"), goal, notes))
    rate = uvloop.run(rate_of(_runs, counts[2], setting.pick(5, 2)))
    through = dbos.measured(setting.quick)["queued"] if setting.peers else None
    setting.add(Figure("queues-runs", rate, "messages/s", "DBOS queue on SQLite", through, None, {"steps": 1}))


async def rate_of(play: Round, count: int, rounds: int) -> float:
    """The median rate over some rounds, each sending and finishing so many messages."""
    rates = []
    with folder() as path:
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[works], queues=[held]) as engine:
            await play(engine, count // 10)
            for _ in range(rounds):
                began = time.perf_counter()
                await play(engine, count)
                rates.append(count / (time.perf_counter() - began))
    return median(rates)


def _draft(n: int) -> Draft:
    return Draft(
        {"n": n, "symbol": "BTC/USDT", "side": "buy"}, group=f"g{n % GROUPS}", id=f"{time.perf_counter_ns()}-{n}"
    )


async def _batches(engine: Engine, count: int) -> None:
    """Sent by the hundred, leased by the hundred, acknowledged by the hundred, all at the same time."""
    queues, done = engine.queues, 0

    async def produce(lane: int) -> None:
        for first in range(lane * BATCH, count, LANES * BATCH):
            await queues.send_all(held, [_draft(n) for n in range(first, min(first + BATCH, count))])

    async def consume() -> None:
        nonlocal done
        while done < count:
            found = await queues.lease(held)
            if not found:
                await asyncio.sleep(0.0005)
                continue
            await queues.ack(*[message.lease for message in found])
            done += len(found)

    await asyncio.gather(*(produce(lane) for lane in range(LANES)), *(consume() for _ in range(LANES)))


async def _one_by_one(engine: Engine, count: int) -> None:
    """Sent and leased one at a time, by fifty producers and fifty consumers."""
    queues, done, lanes = engine.queues, 0, 50

    async def produce(lane: int) -> None:
        for n in range(lane, count, lanes):
            draft = _draft(n)
            await queues.send(held, draft.body, draft.group, draft.id)

    async def consume() -> None:
        nonlocal done
        while done < count:
            found = await queues.lease(held, max=1)
            if not found:
                await asyncio.sleep(0.0005)
                continue
            await queues.ack(found[0].lease)
            done += 1

    await asyncio.gather(*(produce(lane) for lane in range(lanes)), *(consume() for _ in range(lanes)))


async def _runs(engine: Engine, count: int) -> None:
    """Sent by the hundred; each message starts a run of one step, and the run completes it."""
    for first in range(0, count, BATCH):
        await engine.queues.send_all(worked, [_draft(n) for n in range(first, min(first + BATCH, count))])
    await engine.idle()
    status = await engine.queues.status(worked)
    assert (status.total, status.dead, status.failed_today) == (0, 0, 0)
