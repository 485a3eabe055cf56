"""The environment of the peers: their own Python in ``.bench-env``, so that nothing of them reaches the product's."""

from __future__ import annotations

import shutil
import subprocess
import sys

from benchmarks.setting import ROOT

ENVIRONMENT = ROOT / ".bench-env"
PYTHON = ENVIRONMENT / "bin" / "python"


def install(package: str, version: str) -> None:
    """Install a package, once; the environment is made anew where it is broken."""
    if runs("-c", f"import {package}"):
        return
    if not runs("-m", "pip", "--version"):
        make()
    print(f"installing {package} into .bench-env ...", flush=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"{package}=={version}"], check=True, stdout=sys.stderr)


def runs(*arguments: str) -> bool:
    """Does the environment's Python run, and do this well?"""
    try:
        return subprocess.run([str(PYTHON), *arguments], capture_output=True, check=False).returncode == 0
    except OSError:  # not there, of another machine, or a link to nowhere
        return False


def make() -> None:
    """Build it in the place of whatever was there; the scratch folder beside it stays."""
    for name in ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg"):
        path = ENVIRONMENT / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
