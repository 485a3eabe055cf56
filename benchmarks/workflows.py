"""The workflows that are measured: as trivial as possible, so that the engine is what takes the time."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

from tickwork import Event, NotFound, Queue, Run, workflow


class Go(Event, name="bench/go"):
    """Starts a run."""

    n: int


class Signal(Event, name="bench/signal"):
    """Starts a decision."""

    symbol: str
    price: float


class Answer(Event, name="bench/answer"):
    """What a waiting run waits for."""

    key: str


class Asleep(Event, name="bench/asleep"):
    """The input of a run that sleeps."""

    until: datetime


marks: list[float] = []
"""When something was reached (``time.perf_counter``)."""

lost: list[bool] = []
"""Not empty: orders get no answer."""


def add_one(n: int) -> int:
    """The step."""
    return n + 1


def mark(n: int) -> int:
    """A step that tells when it was reached."""
    marks.append(time.perf_counter())
    return n


async def send(n: int, *, key: str) -> int:
    """An effect that tells when it was called."""
    marks.append(time.perf_counter())
    return n


async def send_order(n: int, *, key: str) -> int:
    """An effect whose answer never comes while the process is the one that will die (see ``recovery``)."""
    marks.append(time.perf_counter())
    if lost:
        await asyncio.Event().wait()
    return n


async def look(key: str, n: int) -> NotFound:
    """The look-up of an effect that never arrived."""
    return NotFound()


@workflow("bench-ten-steps")
async def ten_steps(run: Run, go: Go) -> int:
    """Ten steps, one after the other."""
    n = go.n
    for _ in range(10):
        n = await run.step("add-one", add_one, n)
    return n


@workflow("bench-first-step", on=Go)
async def first_step(run: Run, go: Go) -> int:
    """As soon as possible to its first step."""
    return await run.step("mark", mark, go.n)


@workflow("bench-effect", on=Go)
async def one_effect(run: Run, go: Go) -> int:
    """As soon as possible to its effect."""
    return await run.effect("send", send, go.n)


@workflow("bench-decision", on=Signal)
async def decision(run: Run, signal: Signal) -> float:
    """Four steps, then the moment at which an order would be handed to the barrier."""
    price = await run.step("features", features, signal.price)
    score = await run.step("score", score_of, price)
    side = await run.step("side", side_of, score)
    size = await run.step("size", size_of, side, score)
    marks.append(time.perf_counter())
    return size


def features(price: float) -> float:
    """A step of the decision."""
    return price * 1.01


def score_of(price: float) -> float:
    """A step of the decision."""
    return price / 100


def side_of(score: float) -> str:
    """A step of the decision."""
    return "buy" if score > 0 else "sell"


def size_of(side: str, score: float) -> float:
    """A step of the decision."""
    return score if side == "buy" else -score


@workflow("bench-sleeper")
async def sleeper(run: Run, asleep: Asleep) -> None:
    """Sleeps, and tells when it woke up."""
    await run.sleep_until(asleep.until)
    await run.step("mark", mark, 0)


@workflow("bench-waiter")
async def waiter(run: Run, answer: Answer) -> str | None:
    """Waits for the event that has its key, and tells when it arrived."""
    found = await run.wait_for(Answer, where={"key": answer.key})
    await run.step("mark", mark, 0)
    return found.key if found else None


@workflow("bench-order")
async def order(run: Run, go: Go) -> int:
    """Decides, then is caught by the crash in the middle of its order."""
    n = await run.step("add-one", add_one, go.n)
    return await run.effect("send", send_order, n, lookup=look, grace="0s")


worked = Queue("worked", ordering="standard", capacity=1_000_000, consumers=100)
"""Its messages start runs."""


@workflow("works", on=worked)
async def works(run: Run, message: dict[str, Any]) -> int:
    """One step about a message."""
    return await run.step("n", add_one, message["n"])
