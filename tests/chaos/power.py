"""Form two: the power is cut, and whatever was not synced is gone.

A *world* is a number of lives of one tape. Each life runs the workload on a disk that dies at a chosen write or sync,
or at a random moment; the next one finds the image that such a disk leaves. The outside file is outside: it loses
nothing. In the end the tape must hold everything that was acknowledged or shown: that is output commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos import outside, workload
from tests.chaos.checks import UNFINISHED, Fed, Verdict, judge
from tests.chaos.courier import Courier
from tests.chaos.lossy import LOSSES, Disk, LossyVFS
from tests.chaos.mutations import Mutation
from tests.chaos.paced import CLOCK
from tickwork import Engine, TapeError, TickworkError
from tickwork.engines.embedded import schema

SHAPES = tuple(shape for shape in workload.SHAPES if shape != "order")
LIFE = 0.08
"""Seconds that a life lasts at most, if its disk does not die before."""
SETTLED_IN = 30.0
WRONG_SETTLED_IN = 3.0
"""The same for a wrong build, which may never settle."""
UNREADABLE = "what a power cut left can be opened"
"""The check that SQLite's own promises held."""

LASTING = "80 ms"
"""A lease that outlives a restart."""

SOON = 60
"""A disk that dies at a call of its own dies within so many."""


@dataclass
class Outcome:
    """What came of it."""

    verdict: Verdict
    worlds: int = 0
    deaths: int = 0
    at_calls: int = 0
    offered: int = 0
    acknowledged: int = 0
    effects: int = 0
    messages: int = 0
    """Acknowledged by the courier."""
    lost: int = 0
    """Bytes thrown away."""
    looks: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failing: list[str] = field(default_factory=list)
    """Seeds of the worlds that failed."""

    def summary(self) -> str:
        """One line."""
        return (
            f"power: {self.deaths} cuts ({self.at_calls} in the middle of a write or sync) in {self.worlds} worlds, "
            f"{self.acknowledged} events acknowledged of {self.offered} offered, {self.effects} effects, "
            f"{self.lost / 1024:.0f} KiB of unsynced writes in doubt, look-ups {self.looks['found']} found and "
            f"{self.looks['not found']} did not, {self.messages} messages acknowledged, {self.seconds:.0f} s"
        )


class World:
    """The lives of one tape."""

    def __init__(self, seed: str, folder: Path, outcome: Outcome, wrong: Mutation | None = None) -> None:
        self._rng = random.Random(seed)
        self._shapes = wrong.shapes if wrong is not None and wrong.shapes else SHAPES
        self._settled_in = SETTLED_IN if wrong is None else WRONG_SETTLED_IN
        self._folder = folder
        self._outcome = outcome
        self._outside = outside.Outside(folder, sync=False)
        self._fed = Fed()
        self._life = 0
        self._refused: list[str] = []
        self._engine: Engine
        self._courier = Courier(self._ask, self._fed.courier, random.Random(f"{seed}/courier"), LASTING)

    async def run(self, lives: int) -> Verdict:
        """All lives, then one without a death, then the judgement."""
        outside.use(self._outside)
        try:
            for _ in range(lives):
                await self._live()
        except TapeError as error:
            verdict = Verdict()
            verdict.failures.append(f"{UNREADABLE}: {type(error).__name__}: {error}")
            return verdict
        verdict = await self._settle()
        verdict.check("nothing was refused", self._refused)
        try:
            judge(self._folder, self._fed, orders=False, verdict=verdict)
        except (TickworkError, OSError, KeyError, ValueError) as error:
            verdict.failures.append(f"the tape cannot be judged: {type(error).__name__}: {error}")
        self._outcome.offered += len(self._fed.shapes)
        self._outcome.acknowledged += len(self._fed.acknowledged)
        self._outcome.effects += len(outside.lines(self._outside.path))
        self._outcome.messages += self._fed.courier.acked
        self._outcome.looks += self._outside.looks()
        return verdict

    def _made(self, tape: Path, vfs: str | None = None) -> Engine:
        self._engine = Engine(
            f"sqlite:///{tape}",
            workflows=workload.workflows(),
            queues=workload.queues(),
            hot_max=8,
            park_after="20 ms",
            vfs=vfs,
        )
        return self._engine

    async def _ask(self, verb: str, **arguments: Any) -> Any:
        """What the control socket would do and say."""
        return msgspec.to_builtins(await self._engine.queues.verbs()[verb](**arguments))

    def _here(self) -> Path:
        folder = self._folder / f"life{self._life}"
        folder.mkdir(exist_ok=True)
        return folder

    # -- one life -------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        rng = self._rng
        die_at = rng.randint(1, SOON) if rng.random() < 0.6 else 0
        disk = Disk(die_at)
        vfs = LossyVFS(f"lossy-{id(disk)}", disk)
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        disk.on_death = lambda: void(loop.call_soon_threadsafe(gone.set))
        self._outside.calls.clear()
        engine = self._made(self._here() / "tape.db", vfs.name)
        try:
            await engine.open()
        except TapeError:
            if not disk.dead:
                raise  # its disk lives: what the last one left cannot be read
        else:
            await self._feed(engine, gone, rng.uniform(0, LIFE))
        disk.die()
        await _end(engine)
        self._outcome.deaths += 1
        self._outcome.at_calls += die_at != 0 and disk.calls >= die_at
        self._outcome.lost += disk.lost
        image = disk.image(rng.choice(LOSSES), rng)
        self._life += 1
        folder = self._here()
        for name, data in image.items():
            (folder / Path(name).name).write_bytes(data)
        del vfs

    async def _feed(self, engine: Engine, gone: asyncio.Event, seconds: float) -> None:
        """Offer events a few at a time until the disk dies or the time is over."""
        offers: list[asyncio.Task[None]] = [asyncio.create_task(self._carry())]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not gone.is_set():
                    for _ in range(self._rng.randint(1, 4)):
                        offers.append(asyncio.create_task(self._offer(engine)))
                    await asyncio.sleep(self._rng.choice((0, 0.001, 0.005)))
                    if len(offers) > 30:
                        await gone.wait()
        for offer in offers:
            offer.cancel()
        ended = await asyncio.gather(*offers, return_exceptions=True)
        self._refused += [f"{type(end).__name__}: {end}" for end in ended if isinstance(end, Exception)]

    async def _carry(self) -> None:
        """Let the courier work until the disk is gone."""
        with contextlib.suppress(TapeError):
            while True:
                await self._courier.round()
                await self._engine.letters.redrive(every=True)
                await asyncio.sleep(0.002)

    async def _offer(self, engine: Engine) -> None:
        n = len(self._fed.shapes) + 1
        shape = self._shapes[n % len(self._shapes)]
        self._fed.shapes[n] = shape
        with contextlib.suppress(TapeError):
            self._fed.acknowledged[n] = await engine.emit(workload.Tick(n=n, shape=shape))
            if shape == "waiter":
                await engine.emit(workload.Answer(n=n))

    # -- the end --------------------------------------------------------------------------------------------------

    async def _settle(self) -> Verdict:
        verdict = Verdict()
        tape = self._here() / "tape.db"
        try:
            async with self._made(tape) as engine:
                for n, shape in self._fed.shapes.items():
                    if shape == "waiter":
                        engine.post(workload.Answer(n=n))
                await engine.schedules.pause(CLOCK)
                await self._quiet(engine)
                await asyncio.sleep(0.1)
                await self._quiet(engine)
        except (TickworkError, TimeoutError) as error:
            verdict.failures.append(f"it does not settle: {type(error).__name__}: {error}")
        else:
            verdict.passed += 1
        if tape.exists():
            tape.rename(self._folder / "tape.db")
        return verdict

    async def _quiet(self, engine: Engine) -> None:
        async with asyncio.timeout(self._settled_in):
            while True:
                await engine.durable()
                counts = engine.queries.counts()
                queues = await engine.queues.statuses()
                waiting = sum(queue.total + queue.delayed + queue.dead for queue in queues)
                if not waiting and not any(counts.get(status) for status in UNFINISHED):
                    return
                await engine.letters.redrive(every=True)
                await self._courier.finish()
                await asyncio.sleep(0.005)


def void(_: object) -> None:
    """For a callback whose result nobody wants."""


async def _end(engine: Engine) -> None:
    """The process is dead; its threads, which a real death would take along, are waited for."""
    calls = getattr(engine, "_calls", None)
    pool: ThreadPoolExecutor | None = getattr(calls, "_pool", None)
    if calls is not None:
        engine.kill()
    if pool is not None:
        await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


@contextlib.contextmanager
def checkpoints(pages: int) -> Iterator[None]:
    """Fold the WAL into the file more often than a user would."""
    before = schema.CHECKPOINT_PAGES
    schema.CHECKPOINT_PAGES = pages
    try:
        yield
    finally:
        schema.CHECKPOINT_PAGES = before


def run(worlds: int, seed: int, *, seconds: float = 0.0, wrong: Mutation | None = None) -> Outcome:
    """Many worlds, one after the other, each by a seed of its own; of a wrong build until it has shown itself."""
    started = time.monotonic()
    outcome = Outcome(Verdict())
    for number in range(worlds):
        if seconds and time.monotonic() - started > seconds:
            break
        one(f"{seed}/{number}", outcome, wrong)
        if wrong is not None and wrong.shown(outcome.verdict.failures):
            break
    outcome.seconds = time.monotonic() - started
    return outcome


def one(seed: str, outcome: Outcome, wrong: Mutation | None = None) -> None:
    """One world."""
    rng = random.Random(f"world {seed}")
    with tempfile.TemporaryDirectory(prefix="tickwork-power-") as folder, checkpoints(rng.choice((12, 40, 8_000))):
        verdict = asyncio.run(World(seed, Path(folder), outcome, wrong).run(rng.randint(3, 8)))
    outcome.worlds += 1
    outcome.verdict.passed += verdict.passed
    if verdict.failures:
        outcome.failing.append(seed)
        outcome.verdict.failures += [f"[world {seed}] {failure}" for failure in verdict.failures]
