"""APScheduler in memory, in an environment and a process of its own: a scheduler that keeps nothing."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.peers.dbos_figures import make_environment, runs
from benchmarks.setting import ROOT, child

VERSION = "3.11.0"
_PYTHON = ROOT / ".bench-env" / "bin" / "python"


def install() -> None:
    """Put it into the environment of the peers, once."""
    if runs("-c", "import apscheduler"):
        return
    if not runs("-m", "pip", "--version"):
        make_environment()
    print("installing APScheduler into .bench-env ...", flush=True)
    pip = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"apscheduler=={VERSION}"], check=True, stdout=sys.stderr)


@lru_cache
def measured(count: int) -> dict[str, Any]:
    """What it reaches with so many schedules; measured once in a run of the benchmarks."""
    install()
    script = Path(__file__).with_name("apscheduler_peer.py")
    return child("", count, python=str(_PYTHON), script=script)
