"""Is the process really well? Its loop turns, its disk takes what is written, nothing in it has failed.

A beat is a task of the loop, so that a loop that hangs beats no more. The disk is tried with a file of its own, written
and synced in a thread: an engine that has nothing to write would not notice that its disk has gone. One try at a time:
a thread that hangs on a dead disk must not be joined by others.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tickwork.service.running.systemd import Systemd

_log = logging.getLogger("tickwork.up")

BEAT_S: Final = 5.0
"""Seconds between two beats where nobody asks for them more often."""
_FILE: Final = ".disk"
_BYTES: Final = 16


class Watchdog:
    """Beats as long as all is well.

    Args:
        home: whose disk is tried.
        fault: why the process is not well; empty: it is.
        systemd: is told.
        opening: is it still starting? Then systemd is asked for more time instead.
        well: called at each beat at which all is well.
        sleep: of the loop.
    """

    def __init__(
        self,
        home: Path,
        *,
        fault: Callable[[], str],
        systemd: Systemd,
        opening: Callable[[], bool],
        well: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._file = home / _FILE
        self._fault = fault
        self._systemd = systemd
        self._opening = opening
        self._well = well
        self._sleep = sleep
        self._trying: asyncio.Future[str] | None = None
        self.every_s = min(BEAT_S, systemd.watchdog_s / 3) if systemd.watchdog_s else BEAT_S
        self.complaint = ""
        """What was wrong at the last beat."""

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await self._sleep(self.every_s)

    async def beat(self) -> str:
        """Look once, and tell systemd if all is well; returns what is wrong."""
        if self._opening():
            self._systemd.wait(6 * self.every_s)
        complaint = self._fault() or await self._disk()
        if complaint != self.complaint:
            self.complaint = complaint
            if complaint:
                _log.critical("not well: %s", complaint)
            else:
                _log.warning("well again")
        if not complaint:
            self._systemd.well()
            self._well()
        return complaint

    async def _disk(self) -> str:
        if self._trying is None:
            self._trying = asyncio.ensure_future(asyncio.to_thread(_write, self._file))
        done, _ = await asyncio.wait({self._trying}, timeout=self.every_s)
        if not done:
            return f"the disk of {self._file.parent} does not answer"
        trying, self._trying = self._trying, None
        return trying.result()


def _write(file: Path) -> str:
    """Write, sync, read again; what is wrong with the disk."""
    wanted = os.urandom(_BYTES)
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(descriptor, wanted, 0)
            os.fsync(descriptor)
            found = os.pread(descriptor, _BYTES, 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        return f"{file.parent} cannot be written: {error.strerror}"
    return "" if found == wanted else f"{file.parent} does not keep what is written"
