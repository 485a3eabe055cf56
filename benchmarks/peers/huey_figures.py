"""huey on SQLite with fsync, in the environment of the peers and a process of its own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import PYTHON, install
from benchmarks.setting import child, folder

VERSION = "3.5.4"


@lru_cache
def measured(count: int) -> dict[str, Any]:
    """What huey reaches with so many messages; measured once in a run of the benchmarks."""
    install("huey", VERSION)
    with folder() as path:
        return child("", path, count, python=str(PYTHON), script=Path(__file__).with_name("huey_peer.py"))
