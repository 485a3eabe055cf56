"""A small universe to be streamed, and a client that keeps what it is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tickwork import Engine, Event, Queue, Retry, Run, workflow
from tickwork.service.api.caller import Caller, local
from tickwork.service.halting import halt_lines
from tickwork.service.stream.live import Live, Message
from tickwork.service.stream.views import VIEWS

EVERYBODY = local("ws")


def bound_to(owner: str) -> Caller:
    """Somebody who sees one owner's runs."""
    return Caller(name=f"of {owner}", face="ws", scopes=frozenset({"read"}), owner=owner)


class Noted(Event, name="test/noted"):
    n: int


class Asked(Event, name="test/asked"):
    n: int


class Boxed(Event, name="test/boxed"):
    n: int


class Quick(Event, name="test/quick"):
    n: int


BOX = Queue("box", max_retries=1, message=Boxed)

_tries: dict[int, int] = {}


def flaky(n: int) -> dict[str, int]:
    """Fails the first time."""
    _tries[n] = _tries.get(n, 0) + 1
    if n % 3 == 0 and _tries[n] % 2:
        raise ValueError(f"not yet {n}")
    return {"n": n, "size": n * 1_000}


def large(n: int) -> str:
    return "x" * (n % 4 * 4_000)


def sent(n: int, *, key: str) -> str:
    return key


def never(n: int) -> int:
    raise ValueError(f"never {n}")


@workflow("steps", on=Noted)
async def steps(run: Run, noted: Noted) -> dict[str, Any]:
    found = await run.step("look", flaky, noted.n, retry=Retry(limit=3, delay="1 second"))
    await run.effect("send", sent, noted.n)
    await run.all(run.step("large", large, noted.n), run.sleep("2 seconds"))
    if noted.n % 5 == 0:
        await run.step("never", never, noted.n, retry=Retry(limit=2, delay="1 second"))
    if noted.n % 4 == 0:
        await run.call(child, noted.n)
    return found


@workflow("child")
async def child(run: Run, n: int) -> int:
    await run.sleep("3 seconds")
    return n


@workflow("asks", on=Asked)
async def asks(run: Run, asked: Asked) -> bool:
    return await run.approval(f"shall we {asked.n}?", timeout="1 hour")


@workflow("boxed", on=BOX)
async def boxed(run: Run, message: Boxed) -> None:
    await run.step("open", never if message.n % 3 == 0 else flaky, message.n * 7 + 1)


@workflow("quick", on=Quick)
async def quick(run: Run, told: Quick) -> str:
    await run.step("large", large, told.n)
    return await run.effect("send", sent, told.n)


@workflow("long")
async def long(run: Run, steps: int) -> None:
    for n in range(steps):
        await run.step(f"look {n}", large, n)
        await run.sleep("1 second")


WORKFLOWS = [steps, child, asks, boxed, quick, long]


def engine(url: Any = "memory:", seed: int = 1) -> Engine:
    return Engine(url, workflows=WORKFLOWS, views=[halt_lines], queues=[BOX], seed=seed)


def live_of(engine: Any, **more: Any) -> Live:
    said: dict[str, Any] = {"mode": "paper", "version": "0", "patient": False}
    return Live(engine, **said | more)


class Client:
    """Keeps a view as the protocol says, and sees to the protocol's promises."""

    def __init__(self) -> None:
        self.state: dict[tuple[str, str], Any] = {}
        self.seq: int | None = None
        self.snaps = 0
        self.events = 0

    def take(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "snap":
            self.snaps += 1
            self.state = flat(frame["data"])
            self.seq = frame["seq"]
            return
        assert frame["t"] == "d", frame
        assert self.seq is not None
        assert frame["f"] == self.seq + 1, "a gap, or a duplicate"
        assert frame["n"] == frame["to"] - frame["f"] + 1
        assert len(frame["tail"]) <= 12
        assert all(frame["f"] <= line["seq"] <= frame["to"] for line in frame["tail"])
        for kind, key in frame["del"]:
            self.state.pop((kind, key), None)
        for kind, key, fields in frame["set"]:
            self.state[kind, key] = fields
        self.seq = frame["to"]
        self.events += frame["n"]

    def told(self, message: Message) -> None:
        self.take(json.loads(message.frame(1)))


def flat(data: dict[str, dict[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(kind, key): fields for kind, rows in data.items() for key, fields in rows.items()}


def views(runs: Sequence[str] = ()) -> list[str]:
    """The names of all views there are of this universe."""
    return [*VIEWS, "queue:box", *(f"run:{run}" for run in runs)]
