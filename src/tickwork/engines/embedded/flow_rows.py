"""What flow control keeps of a workflow: its rows on the tape, and the same while another version takes it over."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from msgspec import Raw

from tickwork.core.flow import Place
from tickwork.engines.embedded.reader import Reader


@dataclass(slots=True)
class Gathering:
    """Events that will be the input of one run."""

    first: int
    """When the first came (ns)."""
    due: int
    seqs: list[int]
    tag: str = ""
    once: list[tuple[str, str]] = field(default_factory=list)
    """Idempotency keys that will stand for that run."""
    payloads: dict[int, Raw] = field(default_factory=dict)
    """Those not yet read from the tape."""


@dataclass(slots=True)
class Kept:
    """What is kept of one workflow."""

    held: list[tuple[int, str]] = field(default_factory=list)
    """Runs that have begun and not ended, with their keys."""
    places: list[Place] = field(default_factory=list)
    """Runs that wait, those that came first first."""
    windows: list[tuple[str, str, tuple[int, ...]]] = field(default_factory=list)
    """``"rate"`` or ``"throttle"``, the key, the times of the last ones."""
    gathers: dict[str, Gathering] = field(default_factory=dict)


def read_kept(reader: Reader) -> dict[str, Kept]:
    """What a tape holds of all workflows, by name."""
    found: dict[str, Kept] = {}
    for seq, name, key, priority, place, held in reader.rows("SELECT * FROM flow ORDER BY place"):
        kept = found.setdefault(name, Kept())
        if held:
            kept.held.append((seq, key))
        else:
            kept.places.append(Place(seq, key, priority, place))
    for name, kind, key, times in reader.rows("SELECT * FROM limits"):
        found.setdefault(name, Kept()).windows.append((kind, key, tuple(json.loads(times))))
    for name, key, first, due, seqs in reader.rows("SELECT * FROM gathers"):
        found.setdefault(name, Kept()).gathers[key] = Gathering(first, due, json.loads(seqs))
    return found
