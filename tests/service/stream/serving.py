"""The stream over a real server on loopback, and real clients."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect

from tests.service.stream.streaming import EVERYBODY, Client, live_of
from tickwork import Engine
from tickwork.faces.http.socket import socket_routes
from tickwork.service.api.caller import Caller
from tickwork.service.stream.live import Live


async def everybody(_: WebSocket) -> Caller | None:
    return EVERYBODY


@asynccontextmanager
async def served(
    engine: Engine,
    authorise: Callable[[WebSocket], Awaitable[Caller | None]] = everybody,
    **more: Any,
) -> AsyncIterator[tuple[str, Live]]:
    """The address of a server of an engine's stream, and the stream."""
    live = live_of(engine, **more)
    await live.start()
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            Starlette(routes=socket_routes(live, authorise)), log_level="critical", ws_max_size=1 << 16, lifespan="off"
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        serving = asyncio.ensure_future(server.serve([door]))
        while not server.started:  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0)
        try:
            yield f"ws://127.0.0.1:{door.getsockname()[1]}", live
        finally:
            await live.close()
            server.should_exit = True
            await serving


class Connected:
    """A client with a connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def say(self, **frame: Any) -> None:
        await self.connection.send(json.dumps(frame))

    async def hear(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.connection.recv())
        return found

    async def hear_of(self, *kinds: str) -> dict[str, Any]:
        """The next frame of these kinds."""
        while True:
            frame = await self.hear()
            if frame["t"] in kinds:
                return frame

    async def follow(self, client: Client, until: Callable[[], bool]) -> None:
        """Keep a client up to date."""
        while not until():
            frame = await self.hear_of("snap", "d")
            client.take(frame)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connected]:
    async with connect(url, max_size=None, max_queue=None, proxy=None) as connection:
        yield Connected(connection)
