"""Run by the Python of ``.bench-env``: the same workflows on DBOS, SQLite, its defaults. Prints one line of JSON.

It imports nothing of tickwork. The workflow of ten trivial steps is the one in ``benchmarks/workflows.py``.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from importlib.metadata import version

from dbos import DBOS

marks: list[float] = []


@DBOS.step()
def add_one(n: int) -> int:
    """The step."""
    return n + 1


@DBOS.workflow()
def ten_steps(n: int) -> int:
    """Ten steps, one after the other."""
    for _ in range(10):
        n = add_one(n)
    return n


@DBOS.step()
def mark(n: int) -> int:
    """Tells when it was reached."""
    marks.append(time.perf_counter())
    return n


@DBOS.workflow()
def one_step(n: int) -> int:
    """As soon as possible to its first step."""
    return mark(n)


def single(count: int) -> list[float]:
    """Seconds of each run of ten steps, one after the other, called directly (its fastest way)."""
    taken = []
    for n in range(count):
        began = time.perf_counter()
        ten_steps(n)
        taken.append(time.perf_counter() - began)
    return taken


def at_once(count: int) -> float:
    """Steps a second of that many runs."""
    began = time.perf_counter()
    handles = [DBOS.start_workflow(ten_steps, n) for n in range(count)]
    for handle in handles:
        handle.get_result()
    return count * 10 / (time.perf_counter() - began)


def to_first_step(count: int, *, queued: bool) -> list[float]:
    """Seconds from asking for a run to its first step running."""
    taken = []
    for n in range(count):
        began = time.perf_counter()
        handle = DBOS.enqueue_workflow("bench", one_step, n) if queued else DBOS.start_workflow(one_step, n)
        handle.get_result()
        taken.append(marks[-1] - began)
    return taken


def through_queue(count: int) -> float:
    """Messages a second: that many runs of one step enqueued at once, until the last has ended."""
    began = time.perf_counter()
    handles = [DBOS.enqueue_workflow("bench", one_step, n) for n in range(count)]
    for handle in handles:
        handle.get_result()
    return count / (time.perf_counter() - began)


def middle(values: list[float]) -> float:
    """The median."""
    return sorted(values)[len(values) // 2]


def main(folder: str, quick: bool) -> None:
    """Measure and print."""
    logging.disable(logging.CRITICAL)
    DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{folder}/dbos.sqlite"})
    DBOS.launch()
    DBOS.register_queue("bench")
    DBOS.enqueue_workflow("bench", one_step, 0).get_result()
    single(5)
    alone = single(20 if quick else 100)
    result = {
        "version": version("dbos"),
        "one_run_p50": middle(alone),
        "one_run_p99": sorted(alone)[int(len(alone) * 0.99)],
        "steps_1": 10 / middle(alone),
        "steps_100": at_once(30 if quick else 100),
        "steps_1000": at_once(100 if quick else 1_000),
        "first_step_p50": middle(to_first_step(10 if quick else 50, queued=False)),
        "queued": through_queue(50 if quick else 500),
        "queued_first_step_p50": middle(to_first_step(2 if quick else 5, queued=True)),
    }
    print("RESULT " + json.dumps(result), flush=True)
    DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "quick")
