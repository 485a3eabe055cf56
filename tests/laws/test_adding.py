"""Law: adding and retiring workflows in an open engine comes to what opening it again with these workflows comes to.

``TICKWORK_EXAMPLES=2000 pytest tests/laws/test_adding.py`` looks longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws.probe import records_of
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.flow import Batch, Concurrency, Debounce, RateLimit, Throttle
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule
from tickwork.core.trigger import When
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import Refused
from tickwork.values import from_ns

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "40"))
law = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
NAMES = ("a", "b", "c")
GATHERS = ("batch", "debounce")


class Tick(Event, name="laws/adding.tick"):
    """Something happened."""

    n: int


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def off_grid(minutes: int, thousandths: int) -> timedelta:
    """A time that ends with nothing else: what is due at one instant comes in the order in which it was set."""
    return timedelta(minutes=minutes, milliseconds=thousandths)


# -- what can be registered -------------------------------------------------------------------------------------------

TRIGGERS: dict[str, Any] = {
    "all": lambda name: Tick,
    "fields": lambda name: When(Tick, {"n": 1}),
    "other fields": lambda name: When(Tick, {"n": 2}),
    "text": lambda name: When(Tick, "n > 1"),
    "skip": lambda name: Schedule("*/7 * * * *"),
    "once": lambda name: Schedule("*/5 * * * *", name=f"{name}-once", missed="once", overlap="queue"),
    "every": lambda name: Schedule("*/9 * * * *", name=f"{name}-every", missed="all", overlap="allow"),
    "queue": lambda name: Queue(f"q-{name}"),
}
FLOWS: dict[str, dict[str, Any]] = {
    "total": {"concurrency": 1},
    "keyed": {"concurrency": Concurrency(total=2), "key": lambda given: str(getattr(given, "n", 0))},
    "throttle": {"throttle": Throttle(1, off_grid(4, 1009))},
    "rate": {"rate_limit": RateLimit(2, off_grid(15, 2003))},
    "higher rate": {"rate_limit": RateLimit(3, off_grid(10, 3001))},
    "skip": {"singleton": "skip"},
    "cancel": {"singleton": "cancel", "key": lambda given: str(getattr(given, "n", 0))},
    "once": {"idempotency": lambda given: str(getattr(given, "n", 0))},
    "batch": {"batch": Batch(3, off_grid(8, 4001))},
    "debounce": {"debounce": Debounce(off_grid(3, 5003), off_grid(10, 6007))},
}
ALIKE = (("rate", "higher rate"), ("total", "keyed", "throttle"), ("skip", "cancel", "total"))
ANY = tuple(flow for flow in ("", *FLOWS) if flow not in GATHERS)
FOR_QUEUES = ("", "total", "keyed", "throttle")


@dataclass(frozen=True)
class Form:
    """A version of a workflow."""

    name: str
    version: int
    triggers: tuple[str, ...]
    flow: str
    minutes: int

    def made(self, *, bare: bool = False) -> Workflow:
        """``bare``: nothing starts it by itself."""
        on = () if bare else [TRIGGERS[trigger](self.name) for trigger in self.triggers]
        options = FLOWS.get(self.flow, {})
        minutes = self.minutes

        async def one(run: Run, given: Any) -> None:
            if minutes:
                await run.sleep(off_grid(minutes, 7001))

        async def many(run: Run, given: list[Any]) -> None:
            await one(run, given)

        return workflow(self.name, version=self.version, on=on, **options)(many if self.flow == "batch" else one)


@st.composite
def forms(draw: st.DrawFn) -> dict[tuple[str, int], Form]:
    """Three versions of three workflows, whose flow control is mostly alike.

    Only one gathers, in all its versions: two that are due at once come in the order in which they were set.
    """
    found = {}
    for name in NAMES:
        flows = draw(st.sampled_from([*ALIKE, *((flow,) for flow in ANY), ANY]))
        if name == "c" and draw(st.booleans()):
            flows = draw(st.sampled_from([GATHERS, ("batch",), ("debounce",)]))
        for version in (1, 2, 3):
            triggers = draw(st.lists(st.sampled_from(sorted(TRIGGERS)), min_size=1, max_size=3, unique=True))
            flow = draw(st.sampled_from(flows))
            if flow not in FOR_QUEUES:
                triggers = [trigger for trigger in triggers if trigger != "queue"]
            found[name, version] = Form(name, version, tuple(triggers), flow, draw(MINUTES))
    return found


MINUTES = st.sampled_from([0, 1, 6, 20])
VERSIONED = st.tuples(st.sampled_from(NAMES), st.integers(1, 3))
ACTS = st.one_of(
    st.tuples(st.just("add"), VERSIONED),
    st.tuples(st.just("add"), VERSIONED),
    st.tuples(st.just("emit"), st.integers(0, 3)),
    st.tuples(st.just("retire"), st.sampled_from(NAMES)),
    st.tuples(st.just("emit"), st.integers(0, 3)),
    st.tuples(st.just("start"), VERSIONED),
    st.tuples(st.just("send"), st.sampled_from(NAMES)),
    st.tuples(st.just("pass"), st.integers(1, 25)),
)


# -- two worlds -------------------------------------------------------------------------------------------------------


@dataclass
class World:
    """A tape on which things are done, one after the other."""

    forms: dict[tuple[str, int], Form]
    given: dict[tuple[str, int], Workflow] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    refused: int = 0
    memory: Memory = field(default_factory=Memory)
    clock: VirtualClock = field(default_factory=VirtualClock)
    engine: Engine = field(init=False)

    async def open(self, workflows: list[Workflow]) -> None:
        queues = [Queue(f"q-{name}") for name in NAMES]
        self.engine = Engine(self.memory, workflows=workflows, queues=queues, clock=self.clock, seed=1)
        await self.engine.open()

    def newest(self, name: str) -> tuple[str, int] | None:
        return max((key for key in self.given if key[0] == name), default=None)

    async def play(self, acts: list[tuple[str, Any]]) -> None:
        await self.open([])
        for act, what in acts:
            await getattr(self, f"do_{act}")(what)
            await self.engine.until(from_ns(self.clock.now()))
        self.engine.kill()

    async def do_add(self, key: tuple[str, int]) -> None:
        """A workflow; or the same one again."""
        if key not in self.given:
            self.given[key] = self.forms[key].made()
            newer = self.newest(key[0]) == key
        else:
            newer = self.newest(key[0]) == key and key[0] in self.retired
        if newer:
            self.retired.discard(key[0])
        await self.changed(key)

    async def do_retire(self, name: str) -> None:
        key = self.newest(name)
        if key is not None and self.forms[key].flow not in GATHERS:
            self.retired.add(name)
            await self.left(name)

    async def do_emit(self, n: int) -> None:
        await self.engine.emit(Tick(n=n))

    async def do_send(self, name: str) -> None:
        await self.engine.queues.send(f"q-{name}", {"n": 1})

    async def do_start(self, key: tuple[str, int]) -> None:
        known = {(one.name, one.version): one for one in self.engine.workflows}
        if key in known:
            try:
                await self.engine.start(known[key], [] if self.forms[key].flow == "batch" else {})
            except Refused:
                self.refused += 1

    async def do_pass(self, minutes: int) -> None:
        await self.engine.until(from_ns(self.clock.now()) + off_grid(minutes, 1))

    async def changed(self, key: tuple[str, int]) -> None:
        await self.engine.add(self.given[key])

    async def left(self, name: str) -> None:
        await self.engine.retire(name)

    def runs(self) -> list[tuple[Any, ...]]:
        """Every run: when it was started, of which version, with what."""
        found = []
        for _, entry in records_of(self.memory):
            if entry.record.kind == "started":
                value = msgspec.json.decode(entry.record.value)
                found.append((entry.record.at, entry.record.name, entry.record.version, value))
        return [(at, name, version, value.get("input")) for at, name, version, value in found]

    def rows(self) -> list[tuple[Any, ...]]:
        """How all runs stand."""
        sql = "SELECT workflow, version, status, key, started_at FROM runs ORDER BY seq"
        return list(self.memory.connection.execute(sql))


class Reopened(World):
    """The same, in an engine that is opened again at each change. One that has retired has nothing that starts it."""

    async def changed(self, key: tuple[str, int]) -> None:
        await self.again()

    async def left(self, name: str) -> None:
        await self.again()

    async def again(self) -> None:
        self.engine.kill()
        newest = {self.newest(name) for name in self.retired}
        await self.open([self.forms[key].made(bare=True) if key in newest else one for key, one in self.given.items()])


def _play(world: World, acts: list[tuple[str, Any]]) -> World:
    asyncio.run(asyncio.wait_for(world.play(acts), 60))
    return world


@law
@given(forms(), st.lists(VERSIONED, max_size=4), st.lists(ACTS, min_size=10, max_size=40))
def test_adding_is_opening_again(
    known: dict[tuple[str, int], Form], first: list[tuple[str, int]], then: list[tuple[str, Any]]
) -> None:
    acts = [*(("add", key) for key in first), *then]
    live, reopened = _play(World(known), acts), _play(Reopened(known), acts)
    assert live.runs() == reopened.runs()
    assert live.rows() == reopened.rows()
    assert live.refused == reopened.refused
