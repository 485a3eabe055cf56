"""The home folder: what is in it says what is held and traded, and is for its user alone."""

from __future__ import annotations

from pathlib import Path


def make_home(home: Path) -> None:
    """Make it, where there is none. One that there is stays as open as its user has made it.

    Raises:
        OSError: it cannot be made.
    """
    if home.is_dir():
        return
    home.parent.mkdir(parents=True, exist_ok=True)
    home.mkdir(mode=0o700, exist_ok=True)
