"""Laws of the core and the embedded engine, over generated programs.

``TICKWORK_EXAMPLES=2000 pytest tests/laws`` looks longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.laws import programs as language
from tests.laws.probe import Probe, check_engine, check_replay, check_tape, records_of, tape_of
from tests.laws.programs import Program, World, make_workflows, new_world, programs
from tickwork.core.clock import VirtualClock
from tickwork.engines.embedded import Memory
from tickwork.errors import RunCancelled, TapeError

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "40"))
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

    def __init__(self, memory: Memory, world: World, ending: Any, engine: Probe) -> None:
        self.memory = memory
        self.world = world
        self.ending = ending
        self.engine = engine

    @property
    def trace(self) -> Any:
        """The result without what arms share (its order is fixed by the tape, not by the program)."""
        return self.ending["trace"] if isinstance(self.ending, dict) else self.ending

    def tags(self) -> Counter[str]:
        """What was published, by tag."""
        found: Counter[str] = Counter()
        for _, entry in records_of(self.memory):
            if entry.record.kind in ("emit", "event") and not entry.record.due:
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


def _cancel_at(engine: Probe, clock: VirtualClock, cancel: int | None, began: int) -> None:
    if cancel is None:
        return

    def now() -> None:
        seq = engine._runs.find("it")
        if seq is not None:
            engine._family.cancel(seq, "a law says so")

    engine._timers.call(max(began + cancel * 1_000_000_000 + 370_000_000, clock.now()), now)


async def _play(
    kind: str,
    program: Program,
    *,
    deaths: list[int] | None = None,
    finely: bool = False,
    park: bool = False,
    cancel: int | None = None,
) -> Played:
    world = new_world()
    language._tries.clear()
    memory, clock = Memory(), VirtualClock()
    began = clock.now()
    world.before_call = lambda key: _intent_is_on_disk(memory, key)
    flows = list(WORKFLOWS.values())
    for left in [*(deaths or []), None]:
        engine = Probe(memory, flows, clock=clock, finely=finely or left is not None, park=park, dies_after=left)
        if await _live(engine, kind, program, clock, cancel, began):
            break
    ending = await _ending(engine, "it")
    played = Played(memory, world, ending, engine)
    await engine.close()
    return played


async def _live(
    engine: Probe, kind: str, program: Program, clock: VirtualClock, cancel: int | None, began: int
) -> bool:
    """One life of an engine; True if it saw the end."""

    async def life() -> None:
        await engine.open()
        _cancel_at(engine, clock, cancel, began)
        await engine.start(WORKFLOWS[kind], program, id="it")
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


@law
@given(programs(), st.none() | st.integers(0, 30))
def test_same_seed_same_tape(drawn: tuple[str, Program], cancel: int | None) -> None:
    first, second = play(*drawn, cancel=cancel), play(*drawn, cancel=cancel)
    assert tape_of(first.memory) == tape_of(second.memory)
    assert first.ending == second.ending


@law
@given(programs(), st.lists(st.integers(1, 25), min_size=1, max_size=4))
def test_crashes_change_nothing(drawn: tuple[str, Program], deaths: list[int]) -> None:
    calm = play(*drawn)
    crashed = play(*drawn, deaths=deaths)
    assert _without_chance(crashed.trace) == _without_chance(calm.trace)
    assert crashed.world.labels() == calm.world.labels()
    assert crashed.tags() == calm.tags()


@law
@given(programs(), st.lists(st.integers(1, 25), min_size=1, max_size=3), st.integers(0, 30))
def test_crashes_and_a_cancellation_leave_nothing_half_done(
    drawn: tuple[str, Program], deaths: list[int], cancel: int
) -> None:
    play(*drawn, deaths=deaths, cancel=cancel)


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
def test_parking_and_cancelling(drawn: tuple[str, Program], cancel: int) -> None:
    hot, parked = play(*drawn, finely=True, cancel=cancel), play(*drawn, park=True, cancel=cancel)
    assert parked.trace == hot.trace
    assert parked.world.labels() == hot.world.labels()


def _asked(played: Played) -> list[tuple[Any, ...]]:
    """What was answered on the tape, without its positions."""
    return [
        (entry.record.kind, entry.record.name, entry.record.branch, entry.record.no, bytes(entry.record.error))
        for run, entry in records_of(played.memory)
        if run is not None
    ]


def _without_chance(trace: Any) -> Any:
    return trace
