"""Replay: a run's records through its body again, without the disk; and a parked run woken from it."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.figures import Figure
from benchmarks.setting import Setting, median
from benchmarks.workflows import add_one
from tickwork import Run
from tickwork.core.codec import fingerprint
from tickwork.core.drive import PENDING, Drive
from tickwork.core.functions import function_of
from tickwork.core.replay import Course
from tickwork.core.tape import NOTHING, Entry, Raw, Record, decode_chunk, encode_chunk


class NoDriver:
    """Answers nothing: the history is meant to be complete."""

    def answer(self, *_: Any) -> Any:
        """The run has caught up."""
        return PENDING

    def record(self, *_: Any) -> None:
        """Nothing is recorded."""


def measure(setting: Setting) -> None:
    """Steps a second from bytes to the end of the body."""
    count = setting.pick(20_000, 5_000)
    chunk = encode_chunk(history(count))
    rates = [count / replay(chunk, count) for _ in range(setting.pick(7, 3))]
    setting.add(Figure("replay", median(rates), "steps/s", notes={"steps": count}))


def history(count: int) -> list[Record]:
    """The records of a run of that many steps."""
    name = function_of(add_one).name
    steps = [
        Record("step", 1, "add-one", "", n, n, name, fingerprint((n,)), Raw(str(n + 1).encode()), NOTHING)
        for n in range(count)
    ]
    return [Record("started", 0, "bench"), *steps]


def replay(chunk: bytes, count: int) -> float:
    """Seconds to read the records and to drive the body through them."""

    async def body(run: Run) -> int:
        n = 0
        for _ in range(count):
            n = await run.step("add-one", add_one, n)
        return n

    began = time.perf_counter()
    entries = [Entry(seq, record) for seq, record in enumerate(decode_chunk(chunk), 1)]
    drive = Drive(body, "r1", "", b"", NoDriver(), Course(entries))  # type: ignore[arg-type]
    drive.start()
    took = time.perf_counter() - began
    assert drive.outcome == (count, None)
    return took
