"""Progress: a client that gave a token hears that a call goes on, and what it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from mcp.server.context import ServerRequestContext

BEAT_S: Final = 1.0


@contextlib.asynccontextmanager
async def told_of(context: ServerRequestContext[Any, Any], what: str) -> AsyncIterator[None]:
    """Tell the client of a call that goes on: when it begins, and each second until it ends.

    Progress is counted in seconds, and has no total: nobody knows when a venue answers.
    """
    if "progress_token" not in (context.meta or {}):
        yield
        return
    await context.session.report_progress(0.0, message=f"{what}: begun")
    beating = asyncio.create_task(_beat(context, what))
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(context: ServerRequestContext[Any, Any], what: str) -> None:
    beats = 0
    while True:
        await asyncio.sleep(BEAT_S)
        beats += 1
        seconds = beats * BEAT_S
        await context.session.report_progress(seconds, message=f"{what}: {seconds:g} s, and not answered yet")
