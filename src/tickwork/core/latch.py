"""Latches: what arms of one ``run.all`` wait for that another arm of the same run brings about.

    ready = run.latch()

    async def first() -> None:
        await run.step("read", read)
        ready.open()

    async def second() -> None:
        await ready
        await run.step("use", use)

    await run.all(first(), second())

A latch lives in the body alone and is not recorded. It follows from answers that are: arms go on in the same order in
every replay, so latches open in the same order too.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tickwork.core.branch import Branch
    from tickwork.core.drive import Drive


class Latch:
    """Closed until ``open()`` is called; from then on awaiting it returns at once. See ``Run.latch``."""

    __slots__ = ("_drive", "is_open", "waiting")

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self.is_open = False
        self.waiting: list[Branch] = []
        """Branches that wait for it, in the order in which they came."""

    def open(self) -> None:
        """Let everybody who waits go on, in the order in which they came; harmless when repeated."""
        if not self.is_open:
            self.is_open = True
            self._drive.opened(self)

    def __await__(self) -> Generator[Any, Any, None]:
        yield self
