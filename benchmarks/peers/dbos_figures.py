"""DBOS on SQLite with its durable defaults, in an environment and a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.setting import ROOT, child, folder

VERSION = "3.4.0"
_ENVIRONMENT = ROOT / ".bench-env"
PYTHON = _ENVIRONMENT / "bin" / "python"


def install() -> None:
    """Make the environment, once, or anew where it is broken. Nothing of it reaches the product's own."""
    if runs("-c", "import dbos"):
        return
    if not runs("-m", "pip", "--version"):
        make_environment()
    print("installing the peer into .bench-env ...", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"dbos=={VERSION}"], check=True, stdout=sys.stderr)


def runs(*arguments: str) -> bool:
    """Does the environment's Python run, and do this well?"""
    try:
        return subprocess.run([str(PYTHON), *arguments], capture_output=True, check=False).returncode == 0
    except OSError:  # not there, of another machine, or a link to nowhere
        return False


def make_environment() -> None:
    """Build it in the place of whatever was there; the scratch folder beside it stays."""
    for name in ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg"):
        path = _ENVIRONMENT / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(_ENVIRONMENT)], check=True)


@lru_cache
def measured(quick: bool) -> dict[str, Any]:
    """What the peer reaches; measured once in a run of the benchmarks."""
    install()
    with folder() as path:
        script = Path(__file__).with_name("dbos_peer.py")
        return child("", path, "quick" if quick else "full", python=str(PYTHON), script=script)
