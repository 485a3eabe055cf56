"""Small prices: a hop to a thread beside a call on the loop, a fingerprint, a value to bytes and back."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from decimal import Decimal

import uvloop

from benchmarks.figures import Figure
from benchmarks.setting import Setting, folder, median
from benchmarks.workflows import Go, add_one
from tickwork import Engine, Run, workflow
from tickwork.core.codec import codec_for, fingerprint
from tickwork.core.tape import Raw, Record, encode_chunk

STEPS = 200


@workflow("bench-inline")
async def inline(run: Run) -> None:
    """Steps on the loop."""
    for n in range(STEPS):
        await run.step("add-one", add_one, n, blocking=False)


@workflow("bench-threads")
async def threads(run: Run) -> None:
    """The same steps, each in a thread."""
    for n in range(STEPS):
        await run.step("add-one", add_one, n, blocking=True)


def measure(setting: Setting) -> None:
    """Microseconds each."""
    on_loop, in_thread = uvloop.run(hops(setting.pick(20, 5)))
    setting.add(Figure("step-on-the-loop", on_loop, "us"))
    setting.add(Figure("step-in-a-thread", in_thread, "us", "on the loop", on_loop))
    record = Record("step", 1_700_000_000_000_000_000, "score", "", 3, 3, "bench.score", 123, Raw(b"1"))
    money = codec_for(Decimal)
    for name, call in (
        ("fingerprint", lambda: fingerprint(("BTC/USDT", 60_000.5, 3))),
        ("codec-int", lambda: codec_for(int).round_trip(7, "x")),
        ("codec-decimal", lambda: money.round_trip(Decimal("1.25"), "x")),
        ("codec-event", lambda: codec_for(Go).round_trip(GO, "x")),
        ("record-to-bytes", lambda: encode_chunk([record])),
    ):
        setting.add(Figure(f"micro-{name}", _each(call), "us"))


GO = Go(n=1)


def _each(call: Callable[[], object]) -> float:
    return min(timeit.repeat(call, number=2_000, repeat=7)) / 2_000 * 1e6


async def hops(rounds: int) -> tuple[float, float]:
    """Microseconds a step, on the loop and in a thread; all the steps of a run share its one wait for the disk."""
    found = []
    with folder() as path:
        async with Engine(f"sqlite:///{path}/tape.db", workflows=[inline, threads]) as engine:
            for which in (inline, threads):
                taken = []
                for _ in range(rounds):
                    began = time.perf_counter()
                    await engine.start_soon(which).result()
                    taken.append((time.perf_counter() - began) / STEPS * 1e6)
                found.append(median(taken))
    return found[0], found[1]
