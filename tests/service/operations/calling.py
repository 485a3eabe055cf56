"""An engine with a little of everything on it, and calls of operations on it, from here and from elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest

from tickwork import Engine
from tickwork.core.breaker import Breaker
from tickwork.core.event import Event
from tickwork.core.queue import Queue
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule
from tickwork.core.view import view
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.schema import connect
from tickwork.service.api.caller import SCOPES, Caller, local
from tickwork.service.api.here import Service
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.api.there import Remote
from tickwork.service.operations import all as every

assert every.CATALOGUE is CATALOGUE

HERE = local("http")


def owned(owner: str, *scopes: str) -> Caller:
    """A caller that is bound to an owner."""
    return Caller(name=f"token of {owner}", face="http", scopes=frozenset(scopes or SCOPES), owner=owner)


class Ping(Event, name="ops/ping"):
    """What these tests publish."""

    n: int = 0
    text: str = ""


class Told(Event, name="ops/told"):
    """What the workflow tells."""

    n: int


@view("ops-last", on=Ping, key=lambda event: f"key/{event.n % 10}")
def last(known: int | None, event: Ping) -> int:
    """The last of each."""
    return event.n


FAILING: set[str] = set()
"""Inputs with which ``fails`` fails."""


@workflow("hears", on=Ping)
async def hears(run: Run, ping: Ping) -> dict[str, Any]:
    """Hears a ping, and tells of it."""
    doubled = await run.step("double", lambda n: 2 * n, ping.n)
    await run.emit(Told(n=doubled))
    return {"doubled": doubled}


@workflow("waits")
async def waits(run: Run, given: dict[str, Any]) -> bool:
    """Waits for a person."""
    first = await run.step("first", lambda: 1)
    return await run.approval(f"go on after {first}?", timeout="30 days")


@workflow("fails")
async def fails(run: Run, given: dict[str, Any]) -> str:
    """Fails as long as it is told to."""
    name = given["name"]

    def work() -> str:
        if name in FAILING:
            raise ValueError(f"{name} is no good")
        return str(name)

    await run.step("kept", lambda: 1)
    return str(await run.step("work", work))


@workflow("reports", on=Schedule("0 9 * * *", name="report"))
async def reports(run: Run) -> int:
    """Once a day."""
    return 1


async def paid(amount: int, *, key: str) -> dict[str, Any]:
    return {"paid": amount, "key": key}


async def paid_back(result: dict[str, Any], amount: int, *, key: str) -> None:
    return None


@workflow("adds")
async def adds(run: Run, n: int) -> int:
    """A child."""
    return n + 1


@workflow("guarded")
async def guarded(run: Run, given: dict[str, Any]) -> int:
    """Depends on others."""
    await run.step("news", lambda: 1, breaker=Breaker("news"))
    return await run.step("zebra", lambda: 2, breaker=Breaker("zebra"))


TRIES: list[int] = []


@workflow("much")
async def much(run: Run, size: int) -> str:
    """A bit of everything."""

    def flaky() -> int:
        TRIES.append(1)
        if len(TRIES) < 3:
            raise ValueError("not yet")
        return len(TRIES)

    await run.step("flaky", flaky, retry=Retry(limit=3, delay="1 ms"))
    await run.all(run.step("left", lambda: "l"), run.call(adds, 1))
    try:
        async with run.saga() as saga:
            await saga.effect("pay", paid, 5, undo=paid_back)
            raise ValueError("no")
    except ValueError:
        pass
    return await run.step("large", lambda: "x" * size)


WORKFLOWS: Sequence[Workflow] = (hears, waits, fails, reports, adds, much, guarded)
QUEUES = (Queue("inbox", max_retries=1), Queue("orders", ordering="standard"))


class Calls:
    """Calls of operations on one open engine."""

    def __init__(self, engine: Engine, service: Service, path: Path) -> None:
        self.engine = engine
        self.service = service
        self.remote = Remote(str(path))

    async def __call__(self, name: str, /, who: Caller = HERE, key: str = "", **given: Any) -> Any:
        return (await self.service.call(name, given, who, key)).value

    async def from_elsewhere(self, name: str, /, who: Caller = HERE, key: str = "", **given: Any) -> Any:
        """The same, as another process does."""
        return (await self.remote.call(name, given, who, key)).value

    async def pages(self, name: str, /, who: Caller = HERE, **given: Any) -> list[Any]:
        """All items of a list, page by page; each page is asked for both ways."""
        items: list[Any] = []
        seen: set[str] = set()
        field = "cursor" if "cursor" in CATALOGUE[name].args.model_fields else "after"
        more: dict[str, Any] = {}
        while True:
            page = await self(name, who, **given, **more)
            assert len(page["items"]) <= given.get("limit", 1_000)
            items += page["items"]
            if page["next"] is None:
                return items
            assert page["next"] not in seen, "it goes on"
            seen.add(page["next"])
            more = {field: page["next"]}


@asynccontextmanager
async def calls(path: Path, workflows: Sequence[Workflow] = WORKFLOWS) -> AsyncIterator[Calls]:
    """The engine opened, with the service for here and for elsewhere."""
    FAILING.clear()
    TRIES.clear()
    async with Engine(f"sqlite:///{path}", workflows=workflows, views=[last], queues=QUEUES) as engine:
        service = Service(engine)
        service.open()
        found = Calls(engine, service, path)
        try:
            yield found
        finally:
            found.remote.close()
            service.close()


def law(test: Callable[..., Coroutine[Any, Any, None]], path: Path) -> None:
    """Run a test of an open engine on a loop of its own, for a minute at most."""

    async def run() -> None:
        async with calls(path) as found:
            await test(found)

    asyncio.run(asyncio.wait_for(run(), timedelta(minutes=1).total_seconds()))


class _Counting(Reader):
    """Counts what it reads."""

    read = 0

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        found = super().rows(sql, values)
        self.read += len(found)
        return found


class Cost:
    """What questions cost: steps of SQLite's machine, and rows that came out of it."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(str(path), read_only=True)
        self.steps = 0

    def rows(self, ask: Callable[[Queries], Any]) -> int:
        """Rows that a question reads."""
        reader = _Counting(self._connection)
        ask(Queries(reader))
        assert reader.read > 0, "nothing was counted"
        return reader.read

    def of(self, ask: Callable[[Queries], Any]) -> int:
        """Steps that a question takes."""
        self.steps = 0

        def told(event: dict[str, Any]) -> None:
            self.steps += event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]

        self._connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, told)
        ask(Queries(Reader(self._connection)))
        self._connection.trace_v2(0, None)
        assert self.steps > 0, "nothing was counted"
        return self.steps

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()


async def failure(asking: Coroutine[Any, Any, Any], kind: type[Exception]) -> Exception:
    """The error that a call comes to."""
    with pytest.raises(kind) as caught:
        await asking
    return caught.value
