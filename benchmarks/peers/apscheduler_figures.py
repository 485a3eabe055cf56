"""APScheduler in memory, in the environment of the peers and a process of its own: a scheduler that keeps nothing."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.peers.environment import PYTHON, install
from benchmarks.setting import child

VERSION = "3.11.0"


@lru_cache
def measured(count: int) -> dict[str, Any]:
    """What it reaches with so many schedules; measured once in a run of the benchmarks."""
    install("apscheduler", VERSION)
    return child("", count, python=str(PYTHON), script=Path(__file__).with_name("apscheduler_peer.py"))
