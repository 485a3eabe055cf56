"""``run.emit_all``: many events, batch by batch, each exactly once whatever dies in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support import Ping, Pong, live, park, records
from tests.laws.probe import Probe, check_replay, check_tape, records_of
from tickwork.core.clock import VirtualClock
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput

MS = 1_000_000


def sending(number: int, batch: int = 10, pause: str = "100 ms") -> Workflow:
    @workflow("sends")
    async def sends(run: Run) -> list[int]:
        return await run.emit_all((Ping(n=n) for n in range(number)), batch, pause)

    return sends


def published(memory: Memory) -> list[tuple[int, str, int]]:
    """Every event on the tape: position, wire form, when."""
    return [
        (entry.seq, bytes(entry.record.value).decode(), entry.record.at)
        for _, entry in records_of(memory)
        if entry.record.kind == "emit"
    ]


@live
async def test_ten_then_a_tenth_of_a_second() -> None:
    memory, flow = Memory(), sending(25)
    async with Engine(memory, workflows=[flow], seed=1) as engine:
        began = engine.clock.now()
        positions = await (await engine.start(flow)).result()
        assert engine.clock.now() - began == 200 * MS  # two pauses, and none after the last batch
        assert len(records(engine, "sleep")) == 2
    found = published(memory)
    assert [seq for seq, _, _ in found] == positions
    assert [wire for _, wire, _ in found] == [Ping(n=n).to_wire().decode() for n in range(25)]
    assert [(at - began) // MS for _, _, at in found] == [0] * 10 + [100] * 10 + [200] * 5


@pytest.mark.parametrize(("number", "pauses"), [(0, 0), (1, 0), (10, 0), (11, 1), (20, 1), (21, 2)])
def test_a_pause_only_between_two_batches(number: int, pauses: int) -> None:
    flow = sending(number)

    async def play() -> None:
        async with Engine("memory:", workflows=[flow], seed=1) as engine:
            assert len(await (await engine.start(flow)).result()) == number
            assert len(records(engine, "sleep")) == pauses

    asyncio.run(play())


async def lives(deaths: list[int]) -> tuple[list[int], Memory, int]:
    memory, clock, flow = Memory(), VirtualClock(), sending(7, 2, "1 s")
    for left in [*deaths, None]:
        engine = Probe(memory, [flow], clock=clock, finely=True, dies_after=left)

        async def life(engine: Probe = engine) -> Any:
            await engine.open()
            return await (await engine.start(flow, id="it")).result()

        living, dying = asyncio.ensure_future(life()), asyncio.ensure_future(engine.died.wait())
        await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not engine.died.is_set():
            positions = await living
            await engine.close()
            check_tape(memory)
            check_replay(memory, {"sends": flow})
            return positions, memory, engine._log.committed
        living.cancel()
        engine.kill()
        await asyncio.gather(living, return_exceptions=True)
    raise AssertionError("the last engine does not die")


def test_killed_at_every_batch_nothing_is_lost_and_nothing_comes_twice() -> None:
    _, calm, batches = asyncio.run(lives([]))
    assert batches > 4
    for death in range(1, batches + 1):
        for second in ([], [1], [2]):
            positions, memory, _ = asyncio.run(lives([death, *second]))
            found = published(memory)
            assert [seq for seq, _, _ in found] == positions
            # in order, at the same times as if nothing had happened
            assert [event[1:] for event in found] == [event[1:] for event in published(calm)]


@live
async def test_it_goes_on_after_it_was_parked() -> None:
    flow = sending(3, 1, "1 hour")
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        handle = await engine.start(flow)
        await engine.idle()
        park(engine)
        assert len(engine._runs.hot) == 0
        assert len(await handle.result()) == 3
        assert len(records(engine, "emit")) == 3


@live
async def test_two_at_once_as_arms() -> None:
    @workflow("sends")
    async def sends(run: Run) -> Any:
        slow = run.emit_all([Pong(n=n) for n in range(3)], 1, "10 s")
        return await run.all(run.emit_all([Ping(n=n) for n in range(3)], 1, "1 s"), slow)

    memory = Memory()
    async with Engine(memory, workflows=[sends], seed=1) as engine:
        pings, pongs = await (await engine.start(sends)).result()
        kinds = {entry.seq: entry.record.name for entry in records(engine, "emit")}
        assert [kinds[seq] for seq in pings] == ["engine/ping"] * 3
        assert [kinds[seq] for seq in pongs] == ["engine/pong"] * 3
        assert pings[-1] < pongs[1]
    check_replay(memory, {"sends": sends})


@live
async def test_the_loser_of_a_race_stops_where_it_is() -> None:
    @workflow("sends")
    async def sends(run: Run) -> Any:
        won = await run.race(run.emit_all([Ping(n=n) for n in range(9)], 1, "2 s"), run.sleep("5 s"))
        return won.index

    async with Engine("memory:", workflows=[sends], seed=1) as engine:
        assert await (await engine.start(sends)).result() == 1
        assert len(records(engine, "emit")) == 3


@live
async def test_made_and_never_awaited_it_fails_the_run() -> None:
    @workflow("sends")
    async def sends(run: Run) -> str:
        run.emit_all([Ping()])  # the mistake that is meant
        return "done"

    async with Engine("memory:", workflows=[sends], seed=1) as engine:
        with pytest.raises(InvalidInput, match=r"'emit_all', made and never awaited, so never done"):
            await (await engine.start(sends)).result()
        assert records(engine, "emit") == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([Ping(), "no event"],), r"emit_all\[1\]"),
        (([Ping()], 0), "batch="),
        (([Ping()], True), "batch="),
        (([Ping()], 1.5), "batch="),
        (([Ping()], 1, 5), "pause="),
        (([Ping()], 1, "soon"), "pause="),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_sent(arguments: tuple[Any, ...], named: str) -> None:
    @workflow("sends")
    async def sends(run: Run) -> None:
        await run.emit_all(*arguments)

    async def play() -> None:
        async with Engine("memory:", workflows=[sends], seed=1) as engine:
            with pytest.raises(InvalidInput, match=named):
                await (await engine.start(sends)).result()
            assert records(engine, "emit") == []

    asyncio.run(play())
