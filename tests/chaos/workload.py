"""The workload: one event starts one run, whose shape exercises one group of verbs; ``expected`` says what it leaves.

Every run's traces outside are labels ``n:what`` or ``n:what:value``; a value is what a step drew at random, so that a
step whose record was lost after it had shown itself outside gives itself away.
"""

from __future__ import annotations

import secrets
from collections import Counter
from typing import Any

from tests.chaos import paced
from tests.chaos.outside import append, append_async, append_flaky, append_lost, append_unsent, find, take_back, world
from tickwork import Event, Retry, Run, Workflow, workflow
from tickwork.core.queue import Queue

OFTEN = Retry(limit=200, delay="1 ms", backoff="fixed")


class Tick(Event, name="chaos/tick"):
    """Starts a run of a shape."""

    n: int
    shape: str


class Answer(Event, name="chaos/answer"):
    """What some runs wait for."""

    n: int


class Follow(Event, name="chaos/follow"):
    """What some runs emit."""

    n: int
    late: bool


class FillSeen(Event, name="chaos/fill"):
    """A fill of the paper venue, as JSON."""

    fill: str


def draw() -> int:
    """A number that no second run of this step would draw."""
    return secrets.randbits(60)


async def draw_slowly() -> int:
    """The same, off the loop's turn."""
    return secrets.randbits(60)


def draw_flaky(n: int) -> int:
    """Fails the first time it is called in a process."""
    if world().called(f"step {n}") == 1:
        raise ConnectionError("try again")
    return secrets.randbits(60)


def same(value: int) -> int:
    """Reads back what was drawn."""
    return value


async def plain(run: Run, n: int) -> None:
    """Steps and effects in turn; both effects must have seen the same draw."""
    value = await run.step("draw", draw)
    await run.effect("write", append, f"{n}:one:{value}", lookup=find)
    await run.step("same", same, value)
    await run.effect("write", append_async, f"{n}:two:{value}", lookup=find)


async def sleepy(run: Run, n: int) -> None:
    """Sleeps longer than it may stay in memory."""
    value = await run.step("draw", draw_slowly)
    await run.sleep("80 ms")
    await run.effect("write", append, f"{n}:one:{value}", lookup=find)
    await run.sleep("5 ms")


async def waiter(run: Run, n: int) -> None:
    """Waits for the harness's answer."""
    value = await run.step("draw", draw, blocking=True)
    answer = await run.wait_for(Answer, where={"n": n})
    assert answer is not None
    await run.effect("write", append, f"{answer.n}:one:{value}", lookup=find)


@workflow("chaos-child")
async def child(run: Run, label: str) -> int:
    """Works for a parent."""
    value = await run.step("draw", draw)
    await run.sleep("3 ms")
    await run.effect("write", append_async, f"{label}:{value}", lookup=find)
    return value


async def parent(run: Run, n: int) -> None:
    """Its effect shows what the child gave."""
    await run.start(child, f"{n}:loose")
    value = await run.call(child, f"{n}:child")
    await run.effect("write", append, f"{n}:after:{value}", lookup=find)


async def saga(run: Run, n: int) -> None:
    """The first attempt is undone, the second does it anew."""
    async with run.saga() as undoing:
        for part in ("a", "b"):
            label = f"{n}:{part}{run.attempt}"
            await undoing.effect(part, append, label, undo=take_back, lookup=find)
        if run.attempt == 1:
            raise ConnectionError("the first attempt fails")
    await run.effect("write", append, f"{n}:kept", lookup=find)


async def together(run: Run, n: int) -> None:
    """Arms of ``all`` and of ``race``, effects in both."""
    await run.all(
        run.effect("left", append, f"{n}:left", lookup=find),
        run.effect("right", append_async, f"{n}:right", lookup=find),
        run.sleep("10 ms"),
    )
    won = await run.race(run.wait_for(Answer, where={"n": -n}), run.sleep("15 ms"))
    await run.effect("write", append, f"{n}:won:{won.index}", lookup=find)


async def flaky(run: Run, n: int) -> None:
    """Everything that can go wrong on the wire, once."""
    value = await run.step("draw", draw_flaky, n, retry=OFTEN)
    await run.effect("flaky", append_flaky, f"{n}:flaky:{value}", lookup=find, retry=OFTEN)
    await run.effect("lost", append_lost, f"{n}:lost:{value}", lookup=find, retry=OFTEN)
    await run.effect("unsent", append_unsent, f"{n}:unsent:{value}", lookup=find, retry=OFTEN)


async def emitter(run: Run, n: int) -> None:
    """Emits now and later."""
    await run.emit(Follow(n=n, late=True), delay="60 ms")
    await run.emit(Follow(n=n, late=False))
    await run.effect("write", append, f"{n}:emitted", lookup=find)


@workflow("chaos-follow", on=Follow)
async def follow(run: Run, event: Follow) -> None:
    """Started by what a run emitted."""
    await run.effect("write", append_async, f"{event.n}:{'late' if event.late else 'now'}", lookup=find)


@workflow("chaos-loop")
async def loop(run: Run, at: tuple[int, int]) -> int:
    """Three runs in a row."""
    n, round = at
    await run.effect("write", append, f"{n}:round{round}", lookup=find)
    if round < 3:
        await run.again((n, round + 1))
    return round


async def looper(run: Run, n: int) -> None:
    """Follows a child that continues as another run."""
    rounds = await run.call(loop, (n, 1))
    await run.effect("write", append, f"{n}:looped:{rounds}", lookup=find)


SHAPES: dict[str, Any] = {
    "plain": plain,
    "sleepy": sleepy,
    "waiter": waiter,
    "parent": parent,
    "saga": saga,
    "together": together,
    "flaky": flaky,
    "emitter": emitter,
    "looper": looper,
    "sender": paced.sender,
    "parcel": paced.parcel,
    "frail": paced.frail,
    "turn": paced.turns,
    "gathered": paced.gathered,
    "guarded": paced.guarded,
}

LABELS: dict[str, tuple[str, ...]] = {
    "plain": ("one", "two"),
    "sleepy": ("one",),
    "waiter": ("one",),
    "parent": ("loose", "child", "after"),
    "saga": ("a1", "b1", "undo-a1", "undo-b1", "a2", "b2", "kept"),
    "together": ("left", "right", "won"),
    "flaky": ("flaky", "lost", "unsent"),
    "emitter": ("late", "now", "emitted"),
    "looper": ("round1", "round2", "round3", "looped"),
    "order": (),
    "sender": ("sent", "same", "job1", "job2"),
    "parcel": (),
    "frail": ("frail1", "frail2"),
    "turn": ("begin1", "end1", "begin2", "end2", "same"),
    "gathered": ("piece1", "piece2", "piece3"),
    "guarded": ("lost", "unsent"),
}

REDELIVERED = (paced.job.name, paced.breaking.name)
"""Workflows whose runs may fail: their queue delivers again."""


@workflow("chaos-tick", on=Tick, retry=Retry(limit=1, delay="10 ms"))
async def tick(run: Run, event: Tick) -> int:
    """One run for one event."""
    await SHAPES[event.shape](run, event.n)
    return event.n


@workflow("chaos-doomed")
async def doomed(run: Run, n: int) -> None:
    """Waits for what never comes, until it is cancelled; then it takes back what it did."""
    async with run.saga() as undoing:
        await undoing.effect("write", append, f"{n}:doomed", undo=take_back, lookup=find)
        await run.wait_for(Answer, where={"n": -n})


@workflow("chaos-asked")
async def asked(run: Run, n: int) -> None:
    """Waits for a person."""
    yes = await run.approval("go on?")
    assert yes
    await run.effect("write", append_async, f"{n}:asked", lookup=find)


@workflow("chaos-paused")
async def paused(run: Run, n: int) -> None:
    """Is paused somewhere, and resumed."""
    value = await run.step("draw", draw)
    await run.effect("write", append, f"{n}:early:{value}", lookup=find)
    await run.sleep("30 ms")
    await run.effect("write", append, f"{n}:later:{value}", lookup=find)


COMMANDED: dict[str, tuple[Workflow, tuple[str, ...]]] = {
    "doomed": (doomed, ()),
    "asked": (asked, ("asked",)),
    "paused": (paused, ("early", "later")),
    "mortal": (paced.mortal, ("before", "after")),
}
"""Runs that the harness starts by id and then commands, with the labels they leave. A doomed one leaves what it did and
its undo, or nothing."""


def workflows() -> list[Workflow]:
    """All of them."""
    return [tick, child, follow, loop, doomed, asked, paused, *paced.workflows()]


def queues() -> list[Queue]:
    """Those that no workflow works on."""
    return paced.queues()


def expected(shapes: dict[int, str]) -> Counter[str]:
    """The labels that these events leave outside, without values."""
    return Counter(f"{n}:{what}" for n, shape in shapes.items() for what in LABELS[shape])
