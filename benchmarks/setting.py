"""What the subjects share: a folder on the disk under test, percentiles, children, and how large a round is."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

ROOT = Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".bench-env" / "scratch"
"""On the disk that holds the checkout, never on a memory file system."""

MARK = "RESULT "
"""Begins the line by which a child reports."""


@dataclass
class Setting:
    """How a subject is to measure, and where it puts what it found."""

    quick: bool = False
    peers: bool = True
    figures: list[Figure] = field(default_factory=list)

    def pick(self, full: int, quick: int) -> int:
        """The size of a round."""
        return quick if self.quick else full

    def add(self, figure: Figure) -> None:
        """Keep a figure and show it at once. Goals are of full rounds: a small one is not judged by them."""
        self.figures.append(replace(figure, goal=None) if self.quick else figure)
        against = "" if figure.ratio is None else f"  = {figure.ratio:.3g} x {figure.peer} ({figure.peer_value:,.4g})"
        print(f"  {figure.name:<44}{figure.value:>14,.4g} {figure.unit}{against}", flush=True)


Subject = Callable[[Setting], None]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A fresh folder on the disk under test."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, ignore_cleanup_errors=True) as path:
        yield Path(path)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return percentile(values, 0.5)


def rss_mb() -> float:
    """Memory of this process that is in RAM, in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report(result: dict[str, Any]) -> None:
    """In a child: hand the result to the parent."""
    print(MARK + json.dumps(result), flush=True)


def child(module: str, *arguments: object, python: str = sys.executable, script: Path | None = None) -> dict[str, Any]:
    """Run a module (or a script) in a process of its own and take what it reports.

    Raises:
        RuntimeError: it reported nothing.
    """
    what = [str(script)] if script is not None else ["-m", module]
    done = subprocess.run(
        [python, *what, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=1_800
    )
    for line in done.stdout.splitlines():
        if line.startswith(MARK):
            found: dict[str, Any] = json.loads(line.removeprefix(MARK))
            return found
    raise RuntimeError(f"{what} reported nothing:\n{done.stdout[-2_000:]}\n{done.stderr[-4_000:]}")
