"""DBOS on SQLite with its durable defaults, in the environment of the peers and a process of its own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import PYTHON, install
from benchmarks.setting import child, folder

VERSION = "3.4.0"


@lru_cache
def measured(quick: bool) -> dict[str, Any]:
    """What the peer reaches; measured once in a run of the benchmarks."""
    install("dbos", VERSION)
    with folder() as path:
        script = Path(__file__).with_name("dbos_peer.py")
        return child("", path, "quick" if quick else "full", python=str(PYTHON), script=script)
