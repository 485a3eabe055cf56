"""A figure: what was measured, beside what it is held against, and whether a goal was met."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Goal:
    """A bound, on the value itself or on its ratio to the peer."""

    of: str
    """``value`` or ``ratio``."""
    bound: float
    at_least: bool

    def met(self, figure: Figure) -> bool | None:
        """Is the bound kept? ``None`` when there is nothing to hold against it."""
        found = figure.value if self.of == "value" else figure.ratio
        if found is None:
            return None
        return found >= self.bound if self.at_least else found <= self.bound

    def text(self, unit: str) -> str:
        """The goal for people."""
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.bound:,g} {unit}" if self.of == "value" else f"{sign} {self.bound:,g} x peer"


def at_least(bound: float) -> Goal:
    """The value must reach ``bound``."""
    return Goal("value", bound, at_least=True)


def at_most(bound: float) -> Goal:
    """The value must stay under ``bound``."""
    return Goal("value", bound, at_least=False)


def times_peer(bound: float) -> Goal:
    """Value over peer must reach ``bound``."""
    return Goal("ratio", bound, at_least=True)


def under_peer(bound: float) -> Goal:
    """Value over peer must stay under ``bound``."""
    return Goal("ratio", bound, at_least=False)


@dataclass(frozen=True)
class Figure:
    """One measurement. ``ratio`` is value over peer's value, so for a latency less is better."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    goal: Goal | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """Value over peer's value."""
        return None if not self.peer_value else self.value / self.peer_value

    @property
    def met(self) -> bool | None:
        """Was the goal met? ``None`` without one, or without a peer to compare with."""
        return None if self.goal is None else self.goal.met(self)

    def as_json(self, command: str, machine: dict[str, Any]) -> dict[str, Any]:
        """The object in the results folder."""
        return {
            "name": self.name,
            "value": _rounded(self.value),
            "unit": self.unit,
            "peer": self.peer or None,
            "peerValue": None if self.peer_value is None else _rounded(self.peer_value),
            "ratio": None if self.ratio is None else _rounded(self.ratio),
            "goal": None if self.goal is None else self.goal.text(self.unit),
            "met": self.met,
            **({"notes": self.notes} if self.notes else {}),
            "command": command,
            "machine": machine,
        }


def save(figures: list[Figure], command: str) -> None:
    """Write each figure to a file of its own."""
    RESULTS.mkdir(exist_ok=True)
    about = machine()
    for figure in figures:
        text = json.dumps(figure.as_json(command, about), indent=2) + "\n"
        (RESULTS / f"{figure.name}.json").write_text(text)


def machine() -> dict[str, Any]:
    """Where this was measured."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memoryGiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "apsw": apsw.apsw_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if abs(value) < 10_000 else round(value)
