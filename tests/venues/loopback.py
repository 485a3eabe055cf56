"""A broker on the loopback: what goes wrong on its wire, on demand."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Fault:
    """What happens to one request instead of its answer."""

    before: bool = False
    """The request is lost before it is acted on; else after, and only the answer is."""
    drop: bool = False
    late: int = 0
    """The connection breaks, and the request is acted on after so many others have come."""
    stall: bool = False
    pause: bool = False
    """The answer waits, and then comes."""
    status: int = 0
    body: str = ""
    """With ``status``: the answer that is given instead."""
    kind: str = "application/json"


@dataclass
class Line:
    """Requests as they arrived, and the faults that wait for them, by method and a part of the path or body."""

    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    faults: list[tuple[str, str, Fault]] = field(default_factory=list)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    """Stalled answers wait for it."""
    struck: tuple[Fault, Callable[[str], bool]] | None = None
    """What every request meets whose path and body are of a kind."""
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    """One waits."""
    waiting: list[tuple[int, web.Request, Handler]] = field(default_factory=list)
    """Late requests, and when they will be acted on."""

    def fail(self, method: str, part: str, **fault: Any) -> None:
        """The next request of this kind goes wrong."""
        self.faults.append((method, part, Fault(**fault)))

    def strike(self, meets: Callable[[str], bool], **fault: Any) -> None:
        """Every request goes wrong that ``meets`` says yes to."""
        self.struck = (Fault(**fault), meets)

    def count(self, method: str, part: str) -> int:
        """How many requests of this kind came."""
        return sum(1 for asked, path, body in self.asked if asked == method and part in f"{path} {body}")

    def _due(self, method: str, text: str) -> Fault | None:
        for index, (wanted, part, fault) in enumerate(self.faults):
            if wanted == method and part in text:
                del self.faults[index]
                return fault
        if self.struck is not None and self.struck[1](f"{method} {text}"):
            return self.struck[0]
        return None

    async def handle(self, request: web.Request, answer: Handler) -> web.StreamResponse:
        """Answer, or fail as was asked for."""
        body = await request.text()
        self.asked.append((request.method, request.path, body))
        await self.deliver()
        fault = self._due(request.method, f"{request.path} {body}")
        if fault is not None and fault.late:
            self.waiting.append((len(self.asked) + fault.late, request, answer))
            fault = Fault(before=True, drop=True)
        if fault is not None and fault.before:
            return await self._act(request, fault)
        given = await answer(request)
        if fault is not None and fault.pause:
            self.stalled.set()
            await self.held.wait()
            return given
        return given if fault is None else await self._act(request, fault)

    async def deliver(self, everything: bool = False) -> None:
        """Act on late requests whose time has come."""
        due = [one for one in self.waiting if everything or one[0] <= len(self.asked)]
        self.waiting = [one for one in self.waiting if one not in due]
        for _, request, answer in due:
            await answer(request)

    async def _act(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.stall:
            self.stalled.set()
            await self.held.wait()
        if fault.drop or fault.stall:
            assert request.transport is not None
            request.transport.abort()
            return web.Response(status=500)
        return web.Response(status=fault.status, text=fault.body, content_type=fault.kind)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The address of a server for a while."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)  # type: ignore[arg-type]
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        assert site._server is not None
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    finally:
        await runner.cleanup()


Test = Callable[..., Awaitable[None]]


def staging(staged: Callable[..., AbstractAsyncContextManager[Any]]) -> Callable[..., Callable[[Test], Any]]:
    """A decorator of tests: the first argument is a fresh stage, made with what the decorator is given."""

    def on_stage(**given: Any) -> Callable[[Test], Any]:
        def wrap(test: Test) -> Any:
            @functools.wraps(test)
            def run(**parameters: Any) -> None:
                async def play() -> None:
                    async with staged(**given) as stage:
                        await test(stage, **parameters)

                asyncio.run(play())

            signature = inspect.signature(test)  # pytest gives what is named in it
            rest = list(signature.parameters.values())[1:]
            run.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
            return run

        return wrap

    return on_stage
