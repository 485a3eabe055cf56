"""Events, waits and timers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import Ping, Pong, Venue, count, crash, live, park, records
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.engines.system_clock import SystemClock
from tickwork.errors import InvalidInput


@workflow("on-ping", on=Ping)
async def on_ping(run: Run, ping: Ping) -> int:
    return ping.n


@workflow("waits")
async def waits(run: Run, where: Any) -> Any:
    found = await run.wait_for(Ping, where, timeout="1 h")
    return found and found.n


@live
async def test_an_event_starts_runs_of_those_that_listen() -> None:
    async with Engine("memory:", workflows=[on_ping, waits]) as engine:
        await engine.emit(Ping(n=3))
        await engine.emit(Pong())
        await engine.settled()
        (info,) = await engine.runs()
        assert await engine.handle(info.id).result() == 3


@live
async def test_the_newest_version_takes_new_events() -> None:
    @workflow("on-ping", on=Ping, version=2)
    async def newer(run: Run, ping: Ping) -> str:
        return "newer"

    async with Engine("memory:", workflows=[newer, on_ping]) as engine:
        await engine.emit(Ping())
        await engine.settled()
        (info,) = await engine.runs()
        assert info.version == 2


@live
async def test_an_event_of_another_version_is_another_event() -> None:
    class PingTwo(Event, name="engine/ping", version=2):
        other: str

    class PingOne(Event, name="engine/ping"):
        name: str = "a"
        n: int = 0

    @workflow("on-one", on=PingOne)
    async def on_one(run: Run, ping: PingOne) -> int:
        return ping.n

    async with Engine("memory:", workflows=[on_one]) as engine:
        await engine.emit(PingTwo(other="x"))
        await engine.emit(PingOne(n=1))
        await engine.settled()
        assert len(await engine.runs()) == 1


@pytest.mark.parametrize("where", [{"name": "b"}, {"name": "b", "n": 5}, "name == 'b'", "name == 'b' and n > 4"])
@pytest.mark.parametrize("parked", [False, True])
def test_where_finds_the_right_event(where: Any, parked: bool) -> None:
    @live
    async def main() -> None:
        async with Engine("memory:", workflows=[waits], seed=1) as engine:
            handle = await engine.start(waits, where)
            await engine.idle()
            if parked:
                park(engine)
                assert engine.status()["inMemory"] == 0
            await engine.emit(Ping(name="a", n=5))
            await engine.emit(Ping(name="b", n=5))
            assert await handle.result() == 5
            assert count(engine, "waits") == 0

    main()


@live
async def test_the_answer_to_an_effect_cannot_slip_through() -> None:
    venue = Venue()

    async with Engine("memory:", seed=1, workflows=[]) as probe:
        await probe.idle()

    @workflow("asks")
    async def asks(run: Run) -> Any:
        await run.effect("ask", ask)
        await run.sleep("1 s")
        found = await run.wait_for(Ping, {"name": "answer"}, timeout="1 h")
        return found and found.n

    async with Engine("memory:", workflows=[asks], seed=1) as engine:

        def ask(*, key: str) -> None:
            venue.order("x", key=key)
            engine.post(Ping(name="answer", n=7))

        handle = await engine.start(asks)
        await engine.idle()
        park(engine)
        assert await handle.result() == 7


@live
async def test_a_wait_looks_back_from_a_mark() -> None:
    @workflow("marks")
    async def marks(run: Run) -> list[Any]:
        mark = run.mark()
        first = await run.wait_for(Ping)
        second = await run.wait_for(Ping)
        again = await run.wait_for(Ping, since=mark)
        return [found and found.n for found in (first, second, again)]

    async with Engine("memory:", workflows=[marks]) as engine:
        handle = await engine.start(marks)
        for n in (1, 2):
            await engine.emit(Ping(n=n))
        assert await handle.result() == [1, 2, 1]


@live
async def test_events_before_a_run_are_not_for_it() -> None:
    async with Engine("memory:", workflows=[waits]) as engine:
        await engine.emit(Ping(n=1))
        handle = await engine.start(waits, None)
        assert await handle.result() is None


@live
async def test_a_wait_looks_back_over_a_crash() -> None:
    @workflow("late")
    async def late(run: Run) -> Any:
        await run.sleep("1 h")
        found = await run.wait_for(Ping, "n == 2", timeout="1 s")
        return found and found.n

    clock = VirtualClock()
    engine = Engine("memory:", workflows=[late], clock=clock)
    await engine.open()
    await engine.start(late, id="it")
    for n in range(1200):
        engine.post(Ping(n=n))
    await engine.durable()
    async with Engine(crash(engine), workflows=[late], clock=clock) as second:
        assert await second.handle("it").result() == 2


@live
async def test_an_event_for_a_parked_run_is_not_lost_in_a_crash() -> None:
    engine = Engine("memory:", workflows=[waits])
    await engine.open()
    await engine.start(waits, {"name": "b"}, id="it")
    await engine.idle()
    park(engine)
    engine.post(Ping(name="b", n=1))
    engine._log.flush_now()
    async with Engine(crash(engine), workflows=[waits]) as second:
        assert await second.handle("it").result() == 1


@live
async def test_a_condition_that_cannot_judge_an_event_passes_it_by() -> None:
    async with Engine("memory:", workflows=[waits]) as engine:
        handle = await engine.start(waits, "10 / n == 5")
        await engine.emit(Ping(n=0))
        await engine.idle()
        park(engine)
        await engine.emit(Ping(n=0))
        await engine.emit(Ping(n=2))
        assert await handle.result() == 2


# -------------------------------------------------------------------------------------------------------------- delayed


class Later(Event, name="engine/later"):
    """Nobody listens to it by `on=`."""

    n: int = 0


@workflow("wait-later")
async def wait_later(run: Run) -> Any:
    found = await run.wait_for(Later)
    return found and found.n


@pytest.mark.parametrize("parked", [False, True])
def test_a_delayed_event_is_published_once_over_a_restart(parked: bool) -> None:
    @live
    async def main() -> None:
        clock = VirtualClock()
        began = clock.now()
        engine = Engine("memory:", workflows=[wait_later], clock=clock)
        await engine.open()
        await engine.start(wait_later, id="it")
        await engine.emit(Later(n=4), delay="1 h")
        if parked:
            await engine.idle()
            park(engine)
        async with Engine(crash(engine), workflows=[wait_later], clock=clock) as second:
            assert await second.handle("it").result() == 4
            assert clock.now() - began == 3600 * 10**9
            await second.settled()
            assert len(records(second, "event")) == 2
            assert count(second, "delayed") == 0

    main()


@live
async def test_events_at_a_time() -> None:
    async with Engine("memory:", workflows=[on_ping]) as engine:
        await engine.emit(Ping(n=1), at=datetime(2020, 1, 2, tzinfo=UTC))
        await engine.emit(Ping(n=2), at=datetime(1999, 1, 2, tzinfo=UTC))
        assert len(await engine.runs()) == 1
        await engine.settled()
        assert [info.started_at.day for info in await engine.runs()] == [2, 1]
        for wrong in (datetime(2020, 1, 1), "x"):  # noqa: DTZ001 - a naive time is the point
            with pytest.raises(InvalidInput):
                await engine.emit(Ping(), at=wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await engine.emit(Ping(), delay="-1 s")
        with pytest.raises(InvalidInput):
            await engine.emit("ping")  # type: ignore[arg-type]


@live
async def test_a_delayed_event_due_at_once_after_its_start_is_not_lost() -> None:
    @workflow("burst")
    async def burst(run: Run) -> None:
        for n in range(5):
            await run.emit(Later(n=n), delay=timedelta(microseconds=1))

    async with Engine("memory:", workflows=[burst]) as engine:
        await engine.start(burst)
        await engine.settled()
        assert len(records(engine, "event")) == 5


# --------------------------------------------------------------------------------------------------------------- timers


@workflow("sleeps")
async def sleeps(run: Run, lengths: list[str]) -> str:
    for length in lengths:
        await run.sleep(length)
    return run.now().isoformat()


@pytest.mark.parametrize("parked", [False, True])
def test_timers_hold_over_a_restart(parked: bool) -> None:
    @live
    async def main() -> None:
        clock = VirtualClock()
        engine = Engine("memory:", workflows=[sleeps], clock=clock)
        await engine.open()
        for id, lengths in (("a", ["1 h", "2 h"]), ("b", ["30 s"]), ("c", ["0 s"])):
            await engine.start(sleeps, lengths, id=id)
        await engine.idle()
        if parked:
            park(engine)
        async with Engine(crash(engine), workflows=[sleeps], clock=clock) as second:
            ended = [await second.handle(id).result() for id in "abc"]
            assert [at[11:19] for at in ended] == ["03:00:00", "00:00:30", "00:00:00"]

    main()


@live
async def test_far_timers_of_runs_in_memory_fire() -> None:
    async with Engine("memory:", workflows=[sleeps]) as engine:
        far = await engine.start(sleeps, ["200 days"])
        for n in range(30):
            await engine.start(sleeps, [f"{n + 1} h"])
        assert (await far.result())[:10] == "2020-07-19"


@live
async def test_real_time(tmp_path: Path) -> None:
    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[sleeps, waits]) as engine:
        handle = await engine.start(sleeps, ["20 ms", "30 ms"])
        await handle.result(timeout="5 s")
        handle = await engine.start(waits, None)
        await engine.idle()
        park(engine)
        await engine.emit(Ping(n=1))
        assert await handle.result(timeout="5 s") == 1


@live
async def test_a_clock_that_jumps_back_changes_no_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    real, shift = time.time_ns, 0
    monkeypatch.setattr(time, "time_ns", lambda: real() + shift)
    clock = SystemClock()
    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[sleeps], clock=clock) as engine:
        handle = await engine.start(sleeps, ["50 ms"])
        before = clock.now()
        shift = -3600 * 10**9
        assert clock.now() >= before
        await handle.result(timeout="5 s")
        times = [entry.record.at for entry in records(engine)]
        assert times == sorted(times)
    # the tape is ahead of the wall clock now: it does not go back over a restart either
    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[sleeps]) as engine:
        await (await engine.start(sleeps, ["10 ms"])).result(timeout="5 s")
        times = [entry.record.at for entry in records(engine)]
        assert times == sorted(times)


@live
async def test_a_workflow_that_listens_to_two_versions_gets_each_as_its_own_class() -> None:
    class PingOne(Event, name="engine/both"):
        n: int = 0

    class PingTwo(Event, name="engine/both", version=2):
        n: int = 0
        more: str = "x"

    @workflow("both", on=[PingTwo, PingOne])
    async def both(run: Run, ping: PingOne | PingTwo) -> str:
        await run.sleep("1 s")
        return type(ping).__name__

    engine = Engine("memory:", workflows=[both])
    await engine.open()
    await engine.emit(PingOne())
    await engine.emit(PingTwo())
    ids = [info.id for info in await engine.runs()]
    async with Engine(crash(engine), workflows=[both]) as second:
        assert [await second.handle(id).result() for id in ids] == ["PingTwo", "PingOne"]


@live
async def test_a_delayed_event_that_cannot_be_read_stops_nothing() -> None:
    class Shape(Event, name="engine/shape"):
        n: int

    clock = VirtualClock()
    engine = Engine("memory:", workflows=[on_ping], clock=clock)
    await engine.open()
    await engine.emit(Shape(n=1), delay="1 s")
    await engine.emit(Ping(n=2), delay="1 s")
    await engine.idle()

    class Changed(Event, name="engine/shape"):
        other: str

    async with Engine(crash(engine), workflows=[on_ping], clock=clock) as second:
        await second.settled()
        (info,) = await second.runs()
        assert await second.handle(info.id).result() == 2
    assert Changed.event_name == Shape.event_name
