"""A schedule against a model of it: time passes, the process dies, people and runs do things, in any order.

``TICKWORK_EXAMPLES=2000 pytest tests/laws/test_schedules.py`` looks longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.laws.probe import _DyingWriter, records_of
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.schedule import Missed, Overlap, Schedule, ScheduleFired
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput
from tickwork.values import from_ns, timestamp_ns

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "40"))
SECOND = 1_000_000_000
STEP = 60
"""Seconds between two due times."""
BEGAN = VirtualClock().now() // SECOND
UNFINISHED = ("running", "waiting")


class Finish(Event, name="laws/schedules.finish"):
    """Ends a run."""

    run: str


def made(missed: Missed, overlap: Overlap, grace: int) -> Workflow:
    schedule = Schedule("* * * * *", missed=missed, overlap=overlap, grace=f"{grace}s")

    @workflow("work", on=schedule)
    async def work(run: Run, fired: ScheduleFired) -> None:
        await run.wait_for(Finish, where={"run": run.id})

    return work


class Model:
    """What should happen. Times in seconds."""

    def __init__(self, missed: Missed, overlap: Overlap, grace: int) -> None:
        self.missed, self.overlap, self.grace = missed, overlap, grace
        self.now = self.seen = BEGAN
        self.paused = self.skipping = False
        self.unfinished = 0
        self.queued: list[tuple[int, int]] = []
        self.fired: list[tuple[int, int]] = []
        """When it was due, and how many it stands for."""
        self.skipped = 0
        """Due times that started nothing."""

    def passes(self, seconds: int) -> None:
        """Somebody is there: what is due comes at its time."""
        for _ in range(seconds):
            self.now += 1
            if self.now % STEP == 0:
                self.looks()

    def outage(self, seconds: int) -> None:
        """Nobody is there, then somebody looks."""
        self.now += seconds
        self.looks()

    def looks(self) -> None:
        if self.paused:
            return
        due = [at for at in range(self.seen + 1, self.now + 1) if at % STEP == 0]
        late = [] if self.missed == "all" else [at for at in due if at < self.now - self.grace]
        fresh, counted = due[len(late) :], 0
        if self.missed == "once" and late:
            if not fresh:
                fresh.append(late.pop())
            counted = len(late)
        elif late:
            self.skipped += len(late)
        for number, at in enumerate(fresh):
            self.comes(at, counted if number == 0 else 0)
        self.seen = self.now

    def comes(self, at: int, counted: int) -> None:
        if self.skipping:
            self.skipping = False
            self.skipped += 1
        elif self.overlap == "allow" or not self.unfinished:
            self.starts(at, counted)
        elif self.overlap == "queue":
            self.queued.append((at, counted))
        else:
            self.skipped += 1

    def starts(self, at: int, counted: int) -> None:
        self.fired.append((at, counted))
        self.unfinished += 1

    def goes_on(self) -> None:
        while self.queued and not self.unfinished and not self.paused:
            self.starts(*self.queued.pop(0))

    def ends(self) -> None:
        self.unfinished -= 1
        self.goes_on()

    def resumes(self) -> None:
        if self.paused:
            self.skipped += sum(at % STEP == 0 for at in range(self.seen + 1, self.now + 1))
            self.seen, self.paused = self.now, False
            self.goes_on()

    def run_now(self) -> bool:
        """False when it is refused."""
        if self.overlap == "allow" or not self.unfinished:
            self.starts(self.now, 0)
        elif self.overlap == "queue":
            self.queued.append((self.now, 0))
        else:
            return False
        return True


class Machine(RuleBasedStateMachine):
    """The engine, and the model beside it."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.memory, self.clock = Memory(), VirtualClock()

    def does(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(what, 20))

    @initialize(
        missed=st.sampled_from(["skip", "once", "all"]),
        overlap=st.sampled_from(["skip", "queue", "allow"]),
        grace=st.sampled_from([1, 59, 60, 61, 200]),
    )
    def begins(self, missed: Missed, overlap: Overlap, grace: int) -> None:
        self.model = Model(missed, overlap, grace)
        self.workflows = [made(missed, overlap, grace)]
        self.does(self.opens())

    async def opens(self) -> None:
        self.engine = Engine(self.memory, workflows=self.workflows, clock=self.clock, seed=1)
        await self.engine.open()

    async def until_now(self) -> None:
        await self.engine.until(from_ns(self.model.now * SECOND))

    @rule(seconds=st.integers(1, 250))
    def time_passes(self, seconds: int) -> None:
        self.model.passes(seconds)
        self.does(self.until_now())

    @rule(seconds=st.integers(1, 250), batches=st.integers(0, 5))
    def it_dies_on_the_way_and_is_there_again_at_once(self, seconds: int, batches: int) -> None:
        self.model.passes(seconds)
        died = asyncio.Event()
        self.engine._log.writer = _DyingWriter(self.engine._log.writer, batches, died)

        async def passing() -> None:
            life, death = asyncio.ensure_future(self.until_now()), asyncio.ensure_future(died.wait())
            await asyncio.wait([life, death], return_when=asyncio.FIRST_COMPLETED)
            self.engine.kill()
            life.cancel()
            death.cancel()
            await asyncio.gather(life, death, return_exceptions=True)
            await self.opens()
            await self.until_now()

        self.does(passing())

    @rule(seconds=st.integers(0, 400))
    def it_dies_and_is_away(self, seconds: int) -> None:
        self.engine.kill()
        self.model.outage(seconds)
        self.clock.jump(self.model.now * SECOND)
        self.does(self.opens())
        self.does(self.until_now())

    @rule()
    def pause(self) -> None:
        self.model.paused = True
        self.does(self.engine.schedules.pause("work"))

    @rule()
    def resume(self) -> None:
        self.model.resumes()
        self.does(self.engine.schedules.resume("work"))

    @rule()
    def skip_next(self) -> None:
        self.model.skipping = True
        self.does(self.engine.schedules.skip_next("work"))

    @rule()
    def run_now(self) -> None:
        if self.model.run_now():
            self.does(self.engine.schedules.run_now("work"))
        else:
            with pytest.raises(InvalidInput, match="has not ended"):
                self.does(self.engine.schedules.run_now("work"))

    @precondition(lambda self: self.model.unfinished)
    @rule(which=st.integers(0, 1_000), how=st.sampled_from(["done", "cancelled"]))
    def a_run_ends(self, which: int, how: str) -> None:
        async def ends() -> None:
            runs = [run for run in await self.engine.runs(limit=10_000) if run.status in UNFINISHED]
            assert len(runs) == self.model.unfinished
            run = runs[which % len(runs)].id
            await (self.engine.emit(Finish(run=run)) if how == "done" else self.engine.cancel(run))
            await self.engine.idle()

        self.does(ends())
        self.model.ends()

    @invariant()
    def they_agree(self) -> None:
        async def compare() -> None:
            await self.engine.idle()
            (info,) = await self.engine.schedules.list()
            model = self.model
            assert (info.paused, info.skip_next, info.queued) == (model.paused, model.skipping, len(model.queued))
            following = from_ns((model.seen // STEP + 1) * STEP * SECOND)
            assert info.next_due == (None if model.paused else following)
            followed = 0 if model.overlap == "allow" else model.unfinished
            assert len(info.running) == followed
            records = [entry.record for _, entry in records_of(self.memory)]
            fired = [ScheduleFired.from_wire(bytes(r.value)) for r in records if r.name == ScheduleFired.event_name]
            assert [(timestamp_ns(one.due) // SECOND, one.missed) for one in fired] == model.fired
            assert sum(r.kind == "started" for r in records) == len(fired)
            assert self.skipped(records) == model.skipped

        if hasattr(self, "engine"):
            self.does(compare())

    @staticmethod
    def skipped(records: list[Any]) -> int:
        import msgspec

        told = [msgspec.json.decode(r.value) for r in records if r.kind == "skipped"]
        return sum(one.get("number", 1) for one in told)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.kill()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


@pytest.fixture(autouse=True)
def _quietly() -> Any:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_a_schedule_is_what_its_model_says() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=checks),
    )
