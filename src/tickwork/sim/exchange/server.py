"""The exchange behind a socket: real HTTP, for real clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tickwork.errors import InvalidInput
from tickwork.sim.exchange.api import VenueApi
from tickwork.sim.exchange.http import Delayed, Dropped, Request


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    url: str
    """Without a slash at its end, e.g. ``http://127.0.0.1:39127``."""
    api: VenueApi


def _aiohttp() -> Any:
    try:
        from aiohttp import web  # noqa: PLC0415 # an extra
    except ImportError:
        raise InvalidInput("exchange server", "no aiohttp", "a server library: pip install 'tickwork[ccxt]'") from None
    return web


@asynccontextmanager
async def serving(api: VenueApi, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Server]:
    """Serve a venue's routes, until the end of the block.

    Args:
        port: 0 takes one that is free.

    Raises:
        InvalidInput: aiohttp is not installed.
        OSError: the address is taken.
    """
    web = _aiohttp()

    async def handler(request: Any) -> Any:
        body = (await request.read()).decode(errors="replace") if request.can_read_body else ""
        headers = {name.lower(): value for name, value in request.headers.items()}
        path, _, query = request.raw_path.partition("?")  # untouched: signatures are over these very letters
        outcome = api.handle(Request(request.method, path, query, headers, body))
        if isinstance(outcome, Delayed):
            await asyncio.sleep(outcome.seconds)
            outcome = outcome.answer()
        if isinstance(outcome, Dropped):
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # to nobody: the line is cut
        return web.Response(body=outcome.body, status=outcome.status, headers=outcome.headers)

    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        address = runner.addresses[0]
        yield Server(f"http://{address[0]}:{address[1]}", api)
    finally:
        await runner.cleanup()
