"""Many worlds: in one process or several, with what became of them added up."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.worlds.mutations import MUTATIONS, applied
from tests.worlds.world import Story, run

SHOWN = ("submissions", "orders", "fills", "found", "absent", "crashes", "open at a restart", "halts", "disowned")


@dataclass(slots=True)
class Tally:
    """What came of some worlds."""

    worlds: int = 0
    failing: dict[str, list[str]] = field(default_factory=dict)
    """Seed -> what is broken."""
    counts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def note(self, story: Story) -> None:
        """One world is over."""
        self.worlds += 1
        self.counts.update(story.counts)
        self.faults.update(story.faults)
        if story.failures:
            self.failing[story.seed] = story.failures

    def add(self, other: Tally) -> None:
        """What another process has seen."""
        self.worlds += other.worlds
        self.counts.update(other.counts)
        self.faults.update(other.faults)
        self.failing.update(other.failing)

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "worlds": self.worlds,
            "failing": self.failing,
            "seconds": round(self.seconds, 1),
            "worldsPerSecond": round(self.worlds / self.seconds, 1) if self.seconds else None,
            "counts": dict(sorted(self.counts.items())),
            "faults": dict(sorted(self.faults.items())),
        }

    def summary(self) -> str:
        """For people."""
        faults = ", ".join(f"{name} {count}" for name, count in self.faults.most_common())
        counts = ", ".join(f"{name} {self.counts[name]}" for name in SHOWN)
        pace = f"{self.worlds / self.seconds:.1f} a second" if self.seconds else ""
        return (
            f"worlds: {self.worlds} in {self.seconds:.1f} s ({pace}), {len(self.failing)} failed\n"
            f"  {counts}\n  faults {sum(self.faults.values())}: {faults}"
        )


def quiet() -> None:
    """What the product logs is no news here."""
    logging.getLogger("tickwork").setLevel(logging.CRITICAL + 1)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)


def told(seed: int | str, *, trace: bool = False, mutation: str = "") -> Story:
    """One world; an error of the world's own is a failure too."""
    try:
        with applied(mutation):
            return run(seed, trace=trace)
    except Exception as error:  # noqa: BLE001 # one world must not end the others
        return Story(str(seed), failures=[f"it runs: {type(error).__name__}: {error}"])


def several(seeds: Sequence[int], *, mutation: str = "") -> Tally:
    """These worlds, one after the other."""
    tally, begun = Tally(), time.monotonic()
    for seed in seeds:
        tally.note(told(seed, mutation=mutation))
    tally.seconds = time.monotonic() - begun
    return tally


def spread(seeds: Sequence[int], jobs: int) -> Tally:
    """These worlds, in several processes at once."""
    if jobs == 1 or len(seeds) < 2 * jobs:
        return several(seeds)
    tally, begun = Tally(), time.monotonic()
    children = [_child(seeds[0] + at, len(seeds[at::jobs]), jobs) for at in range(jobs)]
    for child in children:
        said, _ = child.communicate()
        if child.returncode:
            raise RuntimeError(f"a child ended with {child.returncode}")
        found = msgspec.json.decode(said)
        part = Tally(found["worlds"], found["failing"], Counter(found["counts"]), Counter(found["faults"]))
        tally.add(part)
    tally.seconds = time.monotonic() - begun
    return tally


def _child(first: int, worlds: int, step: int) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "tests.worlds", "--seed", str(first), "--worlds", str(worlds), "--step", str(step)]
    # another hash seed in each: what a world does may not depend on it
    return subprocess.Popen([*line, "--jobs", "1", "--json"], stdout=subprocess.PIPE, env=_env(str(first)))


def _env(hash_seed: str) -> dict[str, str]:
    return {**os.environ, "PYTHONHASHSEED": hash_seed}


def caught(name: str, first: int = 1) -> tuple[int, str]:
    """How many seeds a wrong build needs to be caught, and by what; 0: it was not."""
    mutation = MUTATIONS[name]
    for n, seed in enumerate(range(first, first + mutation.within), 1):
        shown = mutation.shown(told(seed, mutation=name).failures)
        if shown:
            return n, shown
    return 0, ""


def digests(seeds: Sequence[int]) -> Iterator[str]:
    """Of tape and book of each world."""
    for seed in seeds:
        yield told(seed).digest


def digests_elsewhere(seeds: Sequence[int], hash_seed: int) -> list[str]:
    """The same in a process of its own, whose hashes are others."""
    line = [sys.executable, "-m", "tests.worlds", "--digests", *map(str, seeds)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=_env(str(hash_seed)))
    return done.stdout.split()
