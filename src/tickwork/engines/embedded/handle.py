"""A handle on a run: its id, its result, its cancellation."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tickwork.core.codec import ANY, decode_error
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.live import Ending, LiveRun
from tickwork.engines.embedded.status import Status
from tickwork.errors import RunCancelled, TimedOut
from tickwork.values import duration

if TYPE_CHECKING:
    from tickwork.engines.embedded.engine import Engine


class Handle:
    """A run of an open engine."""

    __slots__ = ("_engine", "_run", "_seq", "_workflow", "id")

    def __init__(
        self, engine: Engine, id: str, seq: int, workflow: Workflow | None, run: LiveRun | None = None
    ) -> None:
        self._engine = engine
        self._run = run
        """The run as it was started here; its end need not be read back then."""
        self._seq = seq
        self._workflow = workflow
        self.id = id
        """The run's id."""

    async def result(self, timeout: str | None = None) -> Any:
        """What the run returned, once that is on disk. A run that continued (``run.again``) is followed.

        Raises:
            RunCancelled: it was cancelled.
            TimedOut: it has no result yet after ``timeout``; it goes on.
            Exception: what the run died of, by its own class if it round-trips.
        """
        if self._run is not None and self._run.final is not None and self._run.final.status is not Status.CONTINUED:
            return self._open(self._run.final)
        seq = self._seq
        limit = None if timeout is None else duration(timeout)
        deadline = None if limit is None else self._engine.clock.now() + limit
        while True:
            ending = await self._ending(seq, deadline, timeout or "")
            if ending.status is not Status.CONTINUED:
                return self._open(ending)
            found = self._engine.handle(ending.next)
            seq = found._seq

    async def _ending(self, seq: int, deadline: int | None, timeout: str) -> Ending:
        future = self._engine.watch(seq)
        if deadline is None:
            return await future
        expired = asyncio.get_running_loop().create_future()
        self._engine.at(deadline, expired)
        await asyncio.wait({future, expired}, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            expired.cancel()
            return future.result()
        future.cancel()
        raise TimedOut(f"run {self.id}", timeout, "it goes on; ask again later")

    def _open(self, ending: Ending) -> Any:
        if ending.status is Status.DONE:
            codec = ANY if self._workflow is None else self._workflow.result
            return codec.decode(ending.value, f"result of {self.id}")
        if ending.status is Status.CANCELLED:
            raise RunCancelled(self.id)
        raise decode_error(ending.error)

    async def cancel(self, reason: str = "") -> None:
        """See ``Engine.cancel``."""
        await self._engine.cancel(self.id, reason)

    async def status(self) -> str:
        """Where the run stands, as ``RunInfo.status`` spells it."""
        return (await self._engine.show(self.id)).info.status

    def __repr__(self) -> str:
        return f"<run {self.id}>"
