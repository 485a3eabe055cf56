"""What the engine's tests share."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tickwork.core.event import Event
from tickwork.core.tape import Entry
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.reader import Reader

P = ParamSpec("P")


class Ping(Event, name="engine/ping"):
    """What these tests emit and wait for."""

    name: str = "a"
    n: int = 0


class Pong(Event, name="engine/pong"):
    """Another one."""

    n: int = 0


def live(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own, for ten seconds at most."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 10))

    return run


def crash(engine: Engine) -> Memory:
    """Let an engine die as it stands; returns its tape."""
    assert engine._memory is not None
    engine.kill()
    return engine._memory


def park(engine: Engine) -> None:
    """Drop every run that merely waits."""
    engine._runs.park_idle(engine.clock.now() + 1)


def records(engine: Engine, *kinds: str) -> list[Entry]:
    """What is on disk, of some kinds."""
    return [entry for _, entry in Reader(engine._read_connection).tape() if not kinds or entry.record.kind in kinds]


def count(engine: Engine, table: str) -> int:
    """Rows of a table."""
    found: int = engine._reader.one(f"SELECT count(*) FROM {table}")
    return found


class Venue:
    """An outside world that counts."""

    def __init__(self) -> None:
        self.done: dict[str, int] = {}
        self.calls: list[str] = []
        self.raising: list[BaseException | None] = []
        """What the next calls raise, after having done it."""
        self.hold: asyncio.Event | None = None

    def order(self, symbol: str, *, key: str) -> str:
        self.calls.append(key)
        self.done[key] = self.done.get(key, 0) + 1
        error = self.raising.pop(0) if self.raising else None
        if error is not None:
            raise error
        return f"order {symbol}"

    async def slow_order(self, symbol: str, *, key: str) -> str:
        assert self.hold is not None
        await self.hold.wait()
        return self.order(symbol, key=key)

    def look(self, key: str, symbol: str) -> Any:
        from tickwork.outcome import Found, NotFound

        return Found(f"order {symbol}") if key in self.done else NotFound()


async def turns(number: int = 20) -> None:
    """Let the loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)
