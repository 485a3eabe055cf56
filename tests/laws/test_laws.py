"""Laws of the core and the embedded engine, over generated programs.

``TICKWORK_EXAMPLES=2000 pytest tests/laws`` looks longer.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.laws import programs as language
from tests.laws.probe import Probe, check_engine, check_replay, check_tape, records_of, tape_of
from tests.laws.programs import Note, Program, World, make_workflows, new_world, programs
from tickwork.core.clock import VirtualClock
from tickwork.engines.embedded import Memory
from tickwork.errors import InvalidInput, RunCancelled, TapeError

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "12"))
FINISHED = ("done", "dead", "cancelled", "continued")
WORKFLOWS = make_workflows()

law = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.fixture(autouse=True)
def _quietly() -> Any:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Played:
    """What one play of a program left."""

    def __init__(self, memory: Memory, world: World, ending: Any, batches: int) -> None:
        self.memory = memory
        self.world = world
        self.ending = ending
        self.batches = batches

    @property
    def trace(self) -> Any:
        """The result without what arms share (its order is fixed by the tape, not by the program)."""
        return self.ending["trace"] if isinstance(self.ending, dict) else self.ending

    def tags(self) -> Counter[str]:
        """What was published and sent, by tag; without what tells of a time, which a step that is shaky shifts."""
        found: Counter[str] = Counter()
        for _, entry in records_of(self.memory):
            if entry.record.kind == "send":
                found[f"message {bytes(entry.record.value).decode()}"] += 1
            told = entry.record.kind in ("emit", "event") and not entry.record.due
            if told and not entry.record.name.startswith("tickwork/breaker"):
                found[bytes(entry.record.value).decode()] += 1
        return found


async def _ending(engine: Probe, id: str) -> Any:
    try:
        return await engine.handle(id).result()
    except RunCancelled:
        return "cancelled"
    except TapeError:
        raise
    except Exception as error:  # noqa: BLE001 - how the run ended is what the laws compare
        return f"{type(error).__name__}: {error}"


def _spawn(doing: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.ensure_future(doing())  # noqa: RUF006 - it ends with the loop


Meddling = list[tuple[int, str]]
"""What people do from outside, and when (s)."""


def _meddle(engine: Probe, clock: VirtualClock, meddling: Meddling, began: int) -> None:
    """Set alarms for what people will do. After a crash they try again what is past."""

    async def now(what: str) -> None:
        try:
            if what == "emit":
                engine.post(Note(tag="nobody"))
            elif what == "approve":
                for question in engine.queries.approvals()[:1]:
                    await engine.approve(question.id, True)
            else:
                await getattr(engine, what)("it")
        except (InvalidInput, TapeError):
            pass  # it is over already, or the engine is

    for seconds, what in meddling:
        # at a time of its own, so that nothing else happens at the very same
        at = began + seconds * 1_000_000_000 + 370_000_000
        engine._timers.call(max(at, clock.now()), functools.partial(_spawn, functools.partial(now, what)))


async def _play(
    kind: str,
    program: Program,
    *,
    deaths: list[int] | None = None,
    finely: bool = False,
    park: bool = False,
    meddling: Meddling | None = None,
) -> Played:
    world = new_world()
    language._tries.clear()
    memory, clock = Memory(), VirtualClock()
    began = clock.now()
    world.before_call = lambda key: _intent_is_on_disk(memory, key)
    flows = list(WORKFLOWS.values())
    for left in [*(deaths or []), None]:
        engine = Probe(
            memory, flows, clock=clock, finely=finely or left is not None, park=park, dies_after=left,
            queues=[language.BOX],
        )  # fmt: skip
        if await _live(engine, kind, program, clock, meddling or [], began):
            return await _end(engine, memory, world)
    raise AssertionError("the last engine does not die")


async def _end(engine: Probe, memory: Memory, world: World) -> Played:
    stuck = [info.id for info in await engine.runs() if info.status not in FINISHED]
    assert not stuck, f"{stuck} would wait for ever: nobody will wake them"
    ending = await _ending(engine, "it")
    await engine.close()
    return Played(memory, world, ending, engine._log.committed)


async def _live(
    engine: Probe, kind: str, program: Program, clock: VirtualClock, meddling: Meddling, began: int
) -> bool:
    """One life of an engine; True if it saw the end."""

    async def life() -> None:
        await engine.open()
        _meddle(engine, clock, meddling, began)
        await engine.start(WORKFLOWS[kind], program, id="it")
        await engine.settled()
        while paused := await engine.runs(status="paused"):
            for info in paused:
                await engine.resume(info.id)
            await engine.settled()

    living, dying = asyncio.ensure_future(life()), asyncio.ensure_future(engine.died.wait())
    await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
    if engine.died.is_set():
        living.cancel()
        if engine._opened or hasattr(engine, "_runs"):
            engine.kill()
        await asyncio.gather(living, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)
        return False
    dying.cancel()
    await living
    check_engine(engine)
    return True


def _intent_is_on_disk(memory: Memory, key: str) -> None:
    wanted = f'"key":"{key}"'.encode()
    found = [data for *_, data in tape_of(memory) if wanted in data and b'"kind":"intent"' in data]
    assert found, f"effect {key} was called before its intent was on disk"


def play(kind: str, program: Program, **options: Any) -> Played:
    """Play a program to its end, and check what must hold of any tape."""
    played = asyncio.run(_play(kind, program, **options))
    check_tape(played.memory)
    check_replay(played.memory, WORKFLOWS)
    for key in played.world.resent_safely:
        assert played.world.done[key] <= 1, f"effect {played.world.label[key]} was done twice"
    return played


_meddling = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from(["cancel", "pause", "resume", "emit", "approve"])), max_size=4
)


@law
@given(programs(), _meddling)
def test_same_seed_same_tape(drawn: tuple[str, Program], meddling: Meddling) -> None:
    first, second = play(*drawn, meddling=meddling), play(*drawn, meddling=meddling)
    assert tape_of(first.memory) == tape_of(second.memory)
    assert first.ending == second.ending


TIE: Program = [
    [
        "all",
        [
            [["step", "n0", "async"], ["wait", "nobody", 7.25, "mapping"], ["emit", "n1", 0]],
            [["wait", "n1", 7.25, "mapping"]],
        ],
    ]
]
"""Two waits run out at one instant, and the end of one would have been in time for the other."""


@law
@given(programs(), st.lists(st.integers(1, 12), min_size=1, max_size=5), st.booleans())
@example(("plain", TIE), [3], False)
@example(("plain", TIE), [3], True)
def test_crashes_change_nothing(drawn: tuple[str, Program], deaths: list[int], park: bool) -> None:
    calm = play(*drawn)
    crashed = play(*drawn, deaths=deaths, park=park)
    assert crashed.trace == calm.trace
    assert crashed.world.labels() == calm.world.labels()
    assert crashed.tags() == calm.tags()


WAIT = ["wait", "t", 7.25, "mapping"]
LONG_WAIT = ["wait", "t", 0, "text"]
STEP, SLEEP, BUY = ["step", "s", "ok"], ["sleep", 1], ["effect", "e", "after"]
EXAMPLES_OF_EVERY_KIND: dict[str, tuple[str, Program]] = {
    "steps": ("plain", [STEP, SLEEP, ["step", "x", "async"], ["until", 3]]),
    "retried": ("plain", [["step", "s", "shaky"], ["step", "x", "shaky_async"]]),
    "effects": ("plain", [BUY, ["effect", "f", "before"], ["effect", "g", "blind"], ["effect", "h", "notsent"]]),
    "events": ("plain", [["emit", "t", 0], ["emit", "u", 3], WAIT, ["wait", "u", 7.25, "text"]]),
    "messages": ("retried", [["send", "s"], STEP, ["send", "t"], ["fail", "f", 1], SLEEP, ["send", "u"]]),
    "paced": ("plain", [["emits", "t", 5, 2], ["wait", "t.4", 7.25, "mapping"], STEP]),
    "guarded": (
        "retried",
        [
            *[["guarded", f"g{n}", "broken"] for n in range(2)],
            ["insured", "i", True],
            ["insured", "j", False],
            ["guarded", "x", "broken"],
            ["guarded", "y", "async"],
            ["guarded", "z", "broken"],
            ["insured", "k", False],
        ],
    ),
    "child": ("plain", [["child", "c", "call", "plain", [SLEEP, STEP]], STEP]),
    "child that fails": ("plain", [["try", [["child", "c", "call", "both", [SLEEP, ["fail", "f", 9]]]], [STEP]]]),
    "child that goes on": ("plain", [["child", "c", "call", "plain", [SLEEP, ["again", 2, [SLEEP]]]]]),
    "child set free": ("plain", [["child", "c", "start", "plain", [SLEEP, BUY]], STEP]),
    "child that answers": ("plain", [["child", "c", "start", "plain", [SLEEP, ["emit", "t", 0]]], WAIT]),
    "child that is waited for": ("plain", [["child", "c", "start", "plain", [SLEEP, ["emit", "t", 0]]], LONG_WAIT]),
    "all": ("plain", [["all", [[SLEEP, BUY], [["step", "x", "async"], WAIT], [["emit", "t", 3]]]]]),
    "race": ("plain", [["race", [[["sleep", 9], STEP], [["sleep", 5], BUY]]]]),
    "race with an effect": ("plain", [["race", [[["effect", "f", "async_before"]], [SLEEP, STEP]]]]),
    "saga": ("retried", [["saga", [["a", "step", "well"], ["b", "after", "well"], ["c", "step", "badly"]], True]]),
    "attempts": ("both", [STEP, BUY, ["fail", "f", 1], ["effect", "g", "ok"], ["fail", "h", 9]]),
    "approval": ("plain", [["approval", "q", 5], STEP]),
    "again": ("plain", [SLEEP, ["again", 3, [["emit", "t", 0], WAIT]]]),
    "finally": ("retried", [["finally", [STEP, ["fail", "f", 2]], [SLEEP, BUY]]]),
}


PEOPLE = (["cancel"], ["pause"], ["pause", "cancel"], ["pause", "resume"], ["pause", "approve", "cancel"])


@pytest.mark.parametrize("park", [False, True])
@pytest.mark.parametrize("name", EXAMPLES_OF_EVERY_KIND)
def test_a_crash_after_every_batch_changes_nothing(name: str, park: bool) -> None:
    kind, program = EXAMPLES_OF_EVERY_KIND[name]
    calm = play(kind, program, park=park, finely=True)
    for batch in range(1, calm.batches + 1):
        for deaths in ([batch], [batch, 2, 3]):
            crashed = play(kind, program, deaths=deaths, park=park)
            assert crashed.trace == calm.trace
            assert crashed.world.labels() == calm.world.labels()
            assert crashed.tags() == calm.tags()


@pytest.mark.parametrize("name", EXAMPLES_OF_EVERY_KIND)
def test_people_at_every_moment_leave_nothing_half_done(name: str) -> None:
    kind, program = EXAMPLES_OF_EVERY_KIND[name]
    for seconds in range(12):
        for people in PEOPLE:
            meddling = [(seconds + index, what) for index, what in enumerate(people)]
            play(kind, program, meddling=meddling)
            play(kind, program, meddling=meddling, park=True)


@pytest.mark.parametrize("name", EXAMPLES_OF_EVERY_KIND)
def test_people_and_a_crash_after_every_batch(name: str) -> None:
    kind, program = EXAMPLES_OF_EVERY_KIND[name]
    for batch in range(2, 14):
        for people in PEOPLE:
            for seconds in (0, 1, 3):
                meddling = [(seconds + index, what) for index, what in enumerate(people)]
                play(kind, program, meddling=meddling, deaths=[batch], park=batch % 2 == 0)


@law
@given(programs(), st.lists(st.integers(1, 25), min_size=1, max_size=3), _meddling, st.booleans())
def test_crashes_and_people_leave_nothing_half_done(
    drawn: tuple[str, Program], deaths: list[int], meddling: Meddling, park: bool
) -> None:
    play(*drawn, deaths=deaths, meddling=meddling, park=park)


@law
@given(programs())
def test_parking_changes_nothing(drawn: tuple[str, Program]) -> None:
    hot, parked = play(*drawn, finely=True), play(*drawn, park=True)
    assert parked.trace == hot.trace
    assert parked.world.labels() == hot.world.labels()
    assert parked.tags() == hot.tags()
    assert Counter(_asked(parked)) == Counter(_asked(hot))


@law
@given(programs(), st.integers(0, 30))
def test_parking_and_cancelling(drawn: tuple[str, Program], seconds: int) -> None:
    cancel = [(seconds, "cancel")]
    hot, parked = play(*drawn, finely=True, meddling=cancel), play(*drawn, park=True, meddling=cancel)
    assert parked.trace == hot.trace
    assert parked.world.labels() == hot.world.labels()


def _asked(played: Played) -> list[tuple[Any, ...]]:
    """What was answered on the tape, without its positions."""
    return [
        (entry.record.kind, entry.record.name, entry.record.branch, entry.record.no, bytes(entry.record.error))
        for run, entry in records_of(played.memory)
        if run is not None
    ]
