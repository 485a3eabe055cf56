"""The tape that is meant, as it is now: a server of MCP outlives many of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tickwork.errors import TapeError
from tickwork.service.api.caller import Caller
from tickwork.service.api.here import Answer
from tickwork.service.api.there import Remote


class Tapes:
    """Answers like ``Remote``, of whatever tape is meant at the time of the call.

    Args:
        meant: the tape that is meant now.
    """

    def __init__(self, meant: Callable[[], Path]) -> None:
        self._meant = meant
        self._open: tuple[Path, int, Remote] | None = None

    async def call(self, name: str, given: object, caller: Caller, key: str = "") -> Answer:
        """Do what is asked for; see ``Remote.call``.

        Raises:
            TapeError: there is no tape.
        """
        return await self._remote().call(name, given, caller, key)

    def _remote(self) -> Remote:
        path = self._meant()
        try:
            file = path.stat().st_ino
        except OSError:
            raise TapeError(f"there is no tape at {path}: start `tickwork up`, or give --tape or --home") from None
        if self._open is None or self._open[:2] != (path, file):
            self.close()
            self._open = path, file, Remote(str(path))
        return self._open[2]

    def close(self) -> None:
        """Let the tape's file go."""
        if self._open is not None:
            self._open[2].close()
            self._open = None
