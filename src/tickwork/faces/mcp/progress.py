"""Progress: a client that gave a token hears that a call goes on, and what it does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from mcp.server.context import ServerRequestContext

from tickwork.faces.mcp.answers import Answers
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import Operation

BEAT_S: Final = 1.0
FOLLOWED_S: Final = 60.0
"""How long what goes on after its answer is followed."""

FOLLOWED: Final = {"flatten": "flattens.show"}
"""Commands that are answered while what they started goes on, and the query that says how it stands."""


@dataclass(slots=True)
class Telling:
    """What the client hears at the next beat."""

    what: str
    now: str = "not answered yet"


@contextlib.asynccontextmanager
async def told_of(context: ServerRequestContext[Any, Any], what: str) -> AsyncIterator[Telling | None]:
    """Tell the client of a call that goes on: when it begins, and each second until it ends.

    ``None``: it does not care. Progress is counted in seconds, and has no total: nobody knows when a venue answers.
    """
    if "progress_token" not in (context.meta or {}):
        yield None
        return
    await context.session.report_progress(0.0, message=f"{what}: begun")
    telling = Telling(what)
    beating = asyncio.create_task(_beat(context, telling))
    try:
        yield telling
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(context: ServerRequestContext[Any, Any], telling: Telling) -> None:
    beats = 0
    while True:
        await asyncio.sleep(BEAT_S)
        beats += 1
        seconds = beats * BEAT_S
        await context.session.report_progress(seconds, message=f"{telling.what}: {seconds:g} s, {telling.now}")


async def followed(service: Answers, operation: Operation, result: Any, caller: Caller, telling: Telling) -> str:
    """Wait until what a command started has ended, for a client that hears of it; says how it stands then.

    The answer is the command's own, whatever becomes of this.
    """
    look = FOLLOWED.get(operation.name)
    if look is None or result.is_error:
        return ""
    runs = [one["run"] for one in result.structured_content["items"]]
    for _ in range(int(FOLLOWED_S / BEAT_S)):
        shown = [(await service.call(look, {"run": run}, caller)).value for run in runs]
        ended = [one for one in shown if one["done"]]
        telling.now = f"{len(ended)} of {len(shown)} accounts are done"
        if len(ended) == len(shown):
            left = [one["account"] for one in shown if not one["complete"]]
            return f"Something is left of {', '.join(left)}: see {look}." if left else "Done: no position is left."
        await asyncio.sleep(BEAT_S)
    return f"It goes on; {look} says how it stands."
