"""huey on SQLite with fsync, in the environment of the other peers and a process of its own."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.peers import dbos_figures as peers
from benchmarks.setting import child, folder

VERSION = "3.5.4"


@lru_cache
def measured(count: int) -> dict[str, Any]:
    """What huey reaches with so many messages; measured once in a run of the benchmarks."""
    peers.install()
    if not peers.runs("-c", "import huey"):
        pip = [str(peers.PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"huey=={VERSION}"], check=True, stdout=sys.stderr)
    with folder() as path:
        script = Path(__file__).with_name("huey_peer.py")
        return child("", path, count, python=str(peers.PYTHON), script=script)
