"""``/healthz``: the process answers. ``/readyz``: it can work. ``/metrics``: figures."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from tickwork.errors import Forbidden, TickworkError
from tickwork.faces.http import replies
from tickwork.faces.http.around import Around
from tickwork.faces.http.metrics import Metrics
from tickwork.faces.http.visit import caller_of, visit_of
from tickwork.service.api.here import Service

PATIENCE_S: Final = 5.0
"""After so long a disk that has not answered is not ready."""
_TEXT: Final = b"text/plain; version=0.0.4; charset=utf-8"


class Health:
    """Answers for the process."""

    def __init__(self, service: Service, metrics: Metrics, around: Around) -> None:
        self._service = service
        self._metrics = metrics
        self._around = around

    async def alive(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The process answers; it says nothing else."""
        await replies.send_json(send, 200, {"ok": True})

    async def ready(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Can it work? What cannot is told to whoever may look."""
        problems = await self.problems()
        answer: dict[str, Any] = {"ready": not problems}
        caller = visit_of(scope).caller
        if caller is not None and caller.may("read") and caller.owner is None:
            answer["problems"] = problems
        await replies.send_json(send, 503 if problems else 200, answer)

    async def problems(self) -> list[dict[str, str]]:
        """What is not well, by name."""
        found = {"tape": await self._tape()}
        for feed in self._around.feeds():
            if feed.stale:
                silent = ", ".join(feed.silent)
                found[f"feed {feed.name}"] = f"nothing has come for too long{': ' if silent else ''}{silent}"
        for name, check in self._around.checks:
            found[name] = await check()
        return [{"what": what, "detail": detail} for what, detail in found.items() if detail]

    async def _tape(self) -> str:
        """Why the tape cannot be written, if it cannot: the engine, the disk, and the file as others see it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._service.engine.durable()
                await self._service.read(lambda queries: queries.reader.end())
        except TimeoutError:
            return f"the disk has not answered within {PATIENCE_S:g} s"
        except TickworkError as error:
            return str(error)
        return ""

    async def figures(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Prometheus's.

        Raises:
            Forbidden: who asks sees only one owner's things; the figures are everybody's.
        """
        caller = caller_of(scope)
        if caller.owner is not None:
            raise Forbidden("metrics", caller.name, "a caller that is bound to no owner")
        await replies.send_bytes(send, 200, await self._metrics.text(), _TEXT)
