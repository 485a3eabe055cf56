"""What the tests of live feeds share: a server that speaks real HTTP on the loopback, and a time that stands still."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, ParamSpec

from aiohttp import web

from tickwork.market.live import Item
from tickwork.venues.feeds.reconnecting import Reconnecting, Setting

P = ParamSpec("P")
START_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""


class Time:
    """A clock that moves only when somebody sleeps, and remembers who slept how long."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self.now_ns = now_ns
        self.slept: list[float] = []

    def now(self) -> int:
        return self.now_ns

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_ns += round(seconds * 1e9)
        await asyncio.sleep(0)

    def setting(self, **environ: str) -> Setting:
        return Setting(now=self.now, sleep=self.sleep, random=lambda: 0.0, environ=environ)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Answers GETs: each path by a handler, or by a list of answers of which the last stays."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.url = ""
        self._answers: dict[str, list[web.Response | Exception] | Handler] = {}
        self.sockets: list[web.WebSocketResponse] = []

    def on(self, path: str, *answers: web.Response | Exception | Handler) -> None:
        if len(answers) == 1 and callable(answers[0]) and not isinstance(answers[0], web.Response | Exception):
            self._answers[path] = answers[0]
        else:
            self._answers[path] = list(answers)  # type: ignore[arg-type]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        answers = self._answers.get(request.path)
        if answers is None:
            return web.Response(status=404, text="no such page")
        if not isinstance(answers, list):
            return await answers(request)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            assert request.transport is not None
            request.transport.abort()  # as a server that dies
            raise answer
        return again(answer)


def again(answer: web.Response) -> web.Response:
    """A response can be sent once; this is the same one, anew."""
    return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def dropped() -> Exception:
    """The connection dies in the middle of the question."""
    return ConnectionResetError()


def answer(body: str | bytes = b"", status: int = 200, **headers: str) -> web.Response:
    """An answer; ``retry_after="3"`` makes a header."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.Response(status=status, body=body.encode() if isinstance(body, str) else body, headers=named)


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server on a free port of the loopback."""
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        for socket in server.sockets:
            await socket.close()
        await runner.cleanup()


def live(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own, for twenty seconds at most."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 20))

    return run


async def take(feed: Reconnecting, count: int, known: Sequence[Item] = ()) -> list[Item]:
    """The first items of a feed."""
    found: list[Item] = []
    async with aclosing(feed.items(known)) as items:
        async for item in items:
            found.append(item)
            if len(found) == count:
                break
    return found


async def polls(feed: Any, count: int) -> list[Any]:
    """What so many questions give, one after the other; then everything is let go."""
    try:
        return [list(await feed._poll()) for _ in range(count)]
    finally:
        await feed._close()


def query(request: web.Request) -> Mapping[str, str]:
    """The parameters of a question."""
    return dict(request.query)
