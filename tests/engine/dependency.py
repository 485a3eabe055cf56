"""What the tests of breakers share: a dependency that can be down, and what asks it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from tests.engine.support import records
from tickwork.core.breaker import Breaker
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import BreakerOpen

SECOND = 1_000_000_000
API = Breaker("api", threshold=3, window="1 minute", open_for="30 seconds", successes=1)


class Dependency:
    """An outside service that can be down, and can be made to hang."""

    def __init__(self) -> None:
        self.down = False
        self.calls: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.hold: asyncio.Event | None = None

    def ask(self, what: str = "") -> str:
        self.calls.append(what)
        if self.down:
            raise ConnectionError("down")
        return f"answer {what}"

    async def ask_slowly(self, what: str = "") -> str:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
            return self.ask(what)
        finally:
            self.at_once -= 1

    def order(self, what: str, *, key: str) -> str:
        return self.ask(f"{what} {key}")


def asking(world: Dependency, *, breaker: Breaker = API, retry: Retry | None = None, name: str = "asks") -> Workflow:
    @workflow(name)
    async def asks(run: Run, what: str) -> str:
        try:
            return await run.step("ask", world.ask, what, retry=retry, breaker=breaker)
        except (BreakerOpen, ConnectionError) as error:
            return type(error).__name__

    return asks


def changes(engine: Engine) -> list[tuple[str, str, str]]:
    """The records of breakers: name, from, to."""
    found = [(entry.record.name, msgspec.json.decode(entry.record.value)) for entry in records(engine, "breaker")]
    return [(name, value["from"], value["to"]) for name, value in found]


async def results(engine: Engine, flow: Workflow, *inputs: Any) -> list[Any]:
    return [await (await engine.start(flow, given)).result() for given in inputs]


async def standing(engine: Engine) -> tuple[str, int]:
    (info,) = await engine.breakers.list()
    return info.state, info.failures
