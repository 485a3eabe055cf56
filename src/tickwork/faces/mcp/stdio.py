"""MCP over stdin and stdout: one client, which started this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from anyio import BrokenResourceError
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from tickwork.faces.mcp.answers import Answers
from tickwork.faces.mcp.lines import Lines
from tickwork.faces.mcp.server import make_server
from tickwork.service.api.caller import Caller


def serve(service: Answers, who: Callable[[], Caller]) -> NoReturn:
    """Serve until stdin ends, Ctrl-C or SIGTERM; then the process ends."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(_serve(service, who))
    sys.stderr.flush()
    # The thread that reads stdin, and one that waits for the owner of a tape, cannot be told to stop: what was asked of
    # the owner is done or not, whether anybody waits for it.
    os._exit(0)


async def _serve(service: Answers, who: Callable[[], Caller]) -> None:
    server = make_server(service, lambda _: who())
    lines = Lines()
    serving = asyncio.current_task()
    assert serving is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):  # told to end: nothing is half done here
        await _served(server, lines)


async def _served(server: Server[Any], lines: Lines) -> None:
    try:
        async with stdio_server(stdin=lines) as (read, write):  # type: ignore[arg-type]  # it reads lines, and no more
            lines.out = write
            await server.run(read, write, server.create_initialization_options())
    except* (BrokenPipeError, BrokenResourceError):
        pass  # the client has gone, and with it whoever could be told
