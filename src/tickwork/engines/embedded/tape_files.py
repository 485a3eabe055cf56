"""The files of a tape that is open: are those of that name still the ones that are written to?

A file that is deleted, or replaced by another (a backup moved over it, a folder swept clean), stays writable for
whoever has it open, and every commit to it succeeds; at the end of the process all of that is gone. Only its name
tells.
"""

from __future__ import annotations

import os
from typing import Final

from tickwork.errors import TapeError

_PARTS: Final = ("", "-wal")


class TapeFiles:
    """The files as they are now.

    Args:
        path: of the tape; empty, or of nothing on disk: there is nothing to look at.
    """

    def __init__(self, path: str) -> None:
        names = [path + part for part in _PARTS] if path else []
        self._were = {name: found for name in names if (found := _identity(name)) is not None}

    def check(self) -> None:
        """Look whether they are still there; two looks at a folder, far cheaper than a commit.

        Raises:
            TapeError: one was deleted, moved or replaced.
        """
        for name, was in self._were.items():
            if _identity(name) != was:
                raise TapeError(
                    f"{name} was deleted, moved or replaced while it was in use. The engine has stopped: what it "
                    "writes would be lost. Put the file back if there is one, see what the venues have, and start again"
                )


def _identity(name: str) -> tuple[int, int] | None:
    try:
        found = os.stat(name)  # noqa: PTH116 - twice as fast, and asked at each commit
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
