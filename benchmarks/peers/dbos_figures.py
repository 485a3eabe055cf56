"""DBOS on SQLite with its durable defaults, in an environment and a process of its own."""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.setting import ROOT, child, folder

VERSION = "3.4.0"
_ENVIRONMENT = ROOT / ".bench-env"
_PYTHON = _ENVIRONMENT / "bin" / "python"


def install() -> None:
    """Make the environment, once. Nothing of it reaches the product's own."""
    if not _PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(_ENVIRONMENT)], check=True)
    asked = subprocess.run([str(_PYTHON), "-c", "import dbos"], capture_output=True, check=False)
    if asked.returncode != 0:
        print("installing the peer into .bench-env ...", flush=True)
        pip = [str(_PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, f"dbos=={VERSION}"], check=True, stdout=sys.stderr)


@lru_cache
def measured(quick: bool) -> dict[str, Any]:
    """What the peer reaches; measured once in a run of the benchmarks."""
    install()
    with folder() as path:
        script = Path(__file__).with_name("dbos_peer.py")
        return child("", path, "quick" if quick else "full", python=str(_PYTHON), script=script)
