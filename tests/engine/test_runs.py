"""Runs: started once, followed, continued, versioned, forked; steps of every kind."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import Ping, Venue, count, crash, live, park, records, turns
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Alert
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.live import TURN_MAX
from tickwork.errors import InvalidInput, NonDeterministic, StepFailed, TapeError, TimedOut


@workflow("double")
async def double(run: Run, number: int) -> int:
    return await run.step("double", lambda n: n * 2, number)


@live
async def test_start_is_idempotent_by_id() -> None:
    async with Engine("memory:", workflows=[double]) as engine:
        one, two = await asyncio.gather(engine.start(double, 4, id="it"), engine.start(double, 4, id="it"))
        assert await one.result() == await two.result() == 8
        assert await (await engine.start(double, 4, id="it")).result() == 8  # finished, and the same
        assert len(await engine.runs()) == 1
        with pytest.raises(InvalidInput) as refused:
            await engine.start(double, 5, id="it")
        assert "another id" in str(refused.value)


@live
async def test_start_is_idempotent_over_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    async with Engine(url, workflows=[double]) as engine:
        await (await engine.start(double, 4, id="it")).result()
    async with Engine(url, workflows=[double]) as engine:
        assert await (await engine.start(double, 4, id="it")).result() == 8
        with pytest.raises(InvalidInput):
            await engine.start(double, 5, id="it")


@pytest.mark.parametrize("id", ["", "a b", "a/b", "r12", "x" * 201, "a\n", "a?b", 5])
def test_wrong_ids_are_refused(id: Any) -> None:
    @live
    async def main() -> None:
        async with Engine("memory:", workflows=[double]) as engine:
            with pytest.raises(InvalidInput):
                await engine.start(double, 1, id=id)

    main()


@live
async def test_wrong_starts_are_refused() -> None:
    @workflow("stranger")
    async def stranger(run: Run) -> None: ...

    async with Engine("memory:", workflows=[double]) as engine:
        for wrong in (stranger, "double", double.fn):
            with pytest.raises(InvalidInput):
                await engine.start(wrong, 1)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await engine.start(double, "four")
        with pytest.raises(InvalidInput):
            engine.handle("nobody")
    with pytest.raises(TapeError):
        await engine.start(double, 1)


def test_workflows_are_unique_by_name_and_version() -> None:
    @workflow("double")
    async def other(run: Run) -> None: ...

    with pytest.raises(InvalidInput) as refused:
        Engine("memory:", workflows=[double, other])
    assert "another version" in str(refused.value)
    with pytest.raises(InvalidInput):
        Engine("memory:", workflows=[double.fn])  # type: ignore[list-item]


@live
async def test_a_result_that_takes_too_long() -> None:
    @workflow("long")
    async def long(run: Run) -> str:
        await run.sleep("1 h")
        return "there"

    async with Engine("memory:", workflows=[long]) as engine:
        handle = await engine.start(long)
        with pytest.raises(TimedOut):
            await handle.result(timeout="1 min")
        assert await handle.result() == "there"


@live
async def test_many_runs_at_once_in_virtual_time() -> None:
    async with Engine("memory:", workflows=[double]) as engine:
        handles = [engine.start_soon(double, n) for n in range(25_000)]
        await engine.settled()
        assert await handles[-1].result() == 49_998
        assert engine.status()["inMemory"] == 0


def test_the_tape_does_not_depend_on_how_long_anything_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    from tickwork.engines.embedded import log, runs

    tapes = []

    async def main() -> None:
        @workflow("busy")
        async def busy(run: Run, number: int) -> None:
            await run.step("a", lambda: time.sleep(0.0002))
            await run.step("b", asyncio.sleep, 0)
            await run.emit(Ping(n=number))

        async with Engine("memory:", workflows=[busy, double], seed=5) as engine:
            for number in range(200):
                engine.start_soon(busy, number)
            await engine.settled()
            tapes.append(list(engine._read_connection.execute("SELECT * FROM tape")))

    asyncio.run(main())
    monkeypatch.setattr(runs, "SLICE", 0.0)
    monkeypatch.setattr(log, "LINGER", 0.0)
    asyncio.run(main())
    assert tapes[0] == tapes[1]


# ---------------------------------------------------------------------------------------------------------------- steps


@live
async def test_a_step_does_not_run_again() -> None:
    calls: list[str] = []

    def note() -> Decimal:
        calls.append("x")
        return Decimal("1.10")

    @workflow("once")
    async def once(run: Run) -> list[Any]:
        first = await run.step("a", note)
        await run.sleep("1 s")
        return [str(first), type(first).__name__]

    engine = Engine("memory:", workflows=[once])
    await engine.open()
    await engine.start(once, id="it")
    async with Engine(crash(engine), workflows=[once]) as second:
        assert await second.handle("it").result() == ["1.10", "Decimal"]
    assert calls == ["x"]


@live
async def test_retries_hold_over_crashes_and_parking() -> None:
    calls: list[int] = []

    def fails() -> int:
        calls.append(1)
        raise ConnectionError("no")

    @workflow("retries")
    async def retries(run: Run) -> Any:
        return await run.step("a", fails, retry=Retry(limit=3, delay="10 s", backoff="fixed"))

    clock = VirtualClock()
    began = clock.now()
    engine = Engine("memory:", workflows=[retries], clock=clock)
    await engine.open()
    await engine.start(retries, id="it")
    async with Engine(crash(engine), workflows=[retries], clock=clock) as second:
        await second.idle()
        park(second)
        with pytest.raises(ConnectionError):
            await second.handle("it").result()
    assert len(calls) == 4
    assert clock.now() - began == 30 * 10**9


@live
async def test_steps_that_take_too_long() -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    @workflow("slow")
    async def slowly(run: Run) -> Any:
        return await run.step("a", slow, timeout="10 ms")

    async with Engine("memory:", workflows=[slowly]) as engine:
        with pytest.raises(TimedOut):
            await (await engine.start(slowly)).result()


@live
async def test_threads(tmp_path: Path) -> None:
    import threading

    def where() -> str:
        return threading.current_thread().name

    def blocks() -> None:
        time.sleep(0.2)

    @workflow("threads")
    async def threads(run: Run) -> list[Any]:
        found = [await run.step("a", where, blocking=True), await run.step("b", where, blocking=False)]
        try:
            await run.step("c", blocks, timeout="10 ms", retry=Retry(limit=5, delay="1 ms"))
        except TimedOut as error:
            found.append(str(error))
        return found

    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[threads]) as engine:
        found = await (await engine.start(threads)).result(timeout="5 s")
        assert found[0].startswith("tickwork-step")
        assert found[1] == "MainThread"
        assert "cannot be stopped" in found[2]


@live
async def test_a_result_over_the_limit_fails_the_step() -> None:
    @workflow("big")
    async def big(run: Run) -> str:
        try:
            await run.step("a", lambda: "x" * (2 << 20))
        except InvalidInput as error:
            return error.expected[:30]
        return "accepted"

    async with Engine("memory:", workflows=[big]) as engine:
        handle = await engine.start(big)
        assert "1,048,576" in await handle.result()


@live
async def test_an_exception_is_the_same_at_once_and_in_replay() -> None:
    class Local(Exception):
        pass

    def fails() -> None:
        raise Local("x")

    @workflow("normal")
    async def normal(run: Run) -> list[str]:
        seen = []
        for _ in range(2):
            try:
                await run.step("a", fails)
            except StepFailed as error:
                seen.append(f"{type(error).__name__} {error.args[1]}")
            await run.sleep("1 s")
        return seen

    engine = Engine("memory:", workflows=[normal])
    await engine.open()
    await engine.start(normal, id="it")
    async with Engine(crash(engine), workflows=[normal]) as second:
        assert await second.handle("it").result() == ["StepFailed x"] * 2


@live
async def test_a_result_that_does_not_fit_kills_the_run() -> None:
    @workflow("wrong")
    async def wrong(run: Run) -> int:
        return "five"  # type: ignore[return-value]

    async with Engine("memory:", workflows=[wrong]) as engine:
        with pytest.raises(InvalidInput):
            await (await engine.start(wrong)).result()


@live
async def test_a_verb_never_awaited_fails_the_run() -> None:
    @workflow("forgets")
    async def forgets(run: Run) -> str:
        run.step("lost", lambda: 1)
        run.emit(Ping())
        return "done"

    async with Engine("memory:", workflows=[forgets]) as engine:
        with pytest.raises(InvalidInput, match=r"emit 'engine/ping'"):
            await (await engine.start(forgets)).result()
        assert records(engine, "step", "emit") == []


# ---------------------------------------------------------------------------------------------------------------- again


@pytest.mark.parametrize("parked", [False, True])
def test_again_loses_no_event_and_is_followed(parked: bool) -> None:
    @workflow("counts")
    async def counts(run: Run, seen: list[int]) -> Any:
        if len(seen) == 5:
            return seen
        ping = await run.wait_for(Ping, {"name": "tick"})
        assert ping is not None
        return await run.again([*seen, ping.n])

    @live
    async def main() -> None:
        async with Engine("memory:", workflows=[counts]) as engine:
            handle = await engine.start(counts, [], id="it")
            for n in range(5):
                engine.post(Ping(name="tick", n=n))
                if parked:
                    await engine.idle()
                    park(engine)
            assert await handle.result() == [0, 1, 2, 3, 4]
            assert [info.id for info in await engine.runs()] == ["it+5", "it+4", "it+3", "it+2", "it+1", "it"]
            assert await handle.status() == "continued"
            assert count(engine, "waits") == 0

    main()


@live
async def test_a_continuation_takes_no_other_runs_id() -> None:
    @workflow("goes-on")
    async def goes_on(run: Run, left: int) -> Any:
        return run.id if left == 0 else await run.again(left - 1)

    async with Engine("memory:", workflows=[goes_on]) as engine:
        await engine.start(goes_on, 0, id="it+1")
        assert await (await engine.start(goes_on, 2, id="it")).result() == "it+3"


@live
async def test_again_with_a_wrong_input_is_raised_in_the_body() -> None:
    @workflow("again-wrong")
    async def again_wrong(run: Run, left: int) -> Any:
        try:
            return await run.again("x")
        except InvalidInput:
            await run.sleep("1 s")
            return "caught"

    engine = Engine("memory:", workflows=[again_wrong])
    await engine.open()
    await engine.start(again_wrong, 1, id="it")
    async with Engine(crash(engine), workflows=[again_wrong]) as second:
        assert await second.handle("it").result() == "caught"


# ------------------------------------------------------------------------------------------------- versions, divergence


@live
async def test_stranded_runs_wait_for_their_version() -> None:
    @workflow("v", version=1)
    async def first(run: Run) -> str:
        await run.sleep("1 h")
        return "first"

    @workflow("v", version=2)
    async def second(run: Run) -> str:
        return "second"

    engine = Engine("memory:", workflows=[first])
    await engine.open()
    await engine.start(first, id="it")
    await engine.idle()
    tape = crash(engine)
    async with Engine(tape, workflows=[second]) as engine:
        await engine.settled()
        assert [info.id for info in await engine.stranded()] == ["it"]
        with pytest.raises(InvalidInput):
            await engine.pause("it")
    async with Engine(tape, workflows=[second, first]) as engine:
        assert await engine.handle("it").result() == "first"
        assert await engine.stranded() == []


@live
async def test_a_diverged_run_is_untouched_and_goes_on_under_the_old_code() -> None:
    @workflow("d")
    async def old(run: Run) -> str:
        await run.step("a", lambda: 1)
        await run.sleep("1 h")
        return "old"

    @workflow("d")
    async def new(run: Run) -> str:
        await run.step("b", lambda: 1)
        return "new"

    engine = Engine("memory:", workflows=[old])
    await engine.open()
    await engine.start(old, id="it")
    tape = crash(engine)
    async with Engine(tape, workflows=[new]) as engine:
        with pytest.raises(NonDeterministic):
            await engine.handle("it").result()
        (info,) = await engine.runs(status="diverged")
        assert info.id == "it"
    async with Engine(tape, workflows=[old]) as engine:
        assert await engine.handle("it").result() == "old"


# ----------------------------------------------------------------------------------------------------------------- fork


@live
async def test_a_fork_takes_what_still_fits_and_has_new_keys() -> None:
    venue, simulated = Venue(), Venue()
    here = {"venue": venue}

    def order(symbol: str, *, key: str) -> str:
        return here["venue"].order(symbol, key=key)

    calls: list[str] = []

    def think(symbol: str) -> str:
        calls.append(symbol)
        return symbol

    @workflow("trade")
    async def trade(run: Run, symbol: str) -> list[str]:
        quiet = await run.step("calm", lambda: "calm")
        thought = await run.step("think", think, symbol)
        return [quiet, thought, await run.effect("order", order, symbol)]

    async with Engine("memory:", workflows=[trade], seed=1) as engine, Engine("memory:", workflows=[trade]) as world:
        await (await engine.start(trade, "BTC", id="it")).result()
        here["venue"] = simulated
        fork = await engine.fork("it", "order", into=world)
        assert await fork.result() == ["calm", "BTC", "order BTC"]
        assert calls == ["BTC"]
        changed = await engine.fork("it", "order", "ETH", into=world, new_id="what-if")
        assert await changed.result() == ["calm", "ETH", "order ETH"]
        assert calls == ["BTC", "ETH"]
        assert len(venue.done) == 1
        assert len(simulated.done) == 2
        assert not set(venue.done) & set(simulated.done)
        for wrong in ({"from_step": "nope", "into": world}, {"from_step": "order"}):
            with pytest.raises(InvalidInput):
                await engine.fork("it", **wrong)
        with pytest.raises(InvalidInput):
            await engine.fork("it", "order", into=world, new_id="what-if")


@live
async def test_a_fork_survives_a_crash() -> None:
    @workflow("forked")
    async def forked(run: Run) -> list[float]:
        first = await run.step("a", time.perf_counter)
        await run.sleep("1 s")
        return [first, await run.step("b", time.perf_counter)]

    engine = Engine("memory:", workflows=[forked])
    await engine.open()
    original = await (await engine.start(forked, id="it")).result()
    await engine.fork("it", "b", live=True, new_id="fork")
    async with Engine(crash(engine), workflows=[forked]) as second:
        again = await second.handle("fork").result()
        assert again[0] == original[0]
        assert again[1] != original[1]


@live
async def test_closing_keeps_what_runs(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def never() -> None:
        started.set()
        await asyncio.sleep(60)

    @workflow("works")
    async def works(run: Run, fast: bool) -> str:
        await run.step("a", never if not done else turns)
        return "done"

    done: list[bool] = []
    url = f"sqlite:///{tmp_path}/t.db"
    async with Engine(url, workflows=[works]) as engine:
        handle = await engine.start(works, True, id="it")
        await started.wait()
        waiting = asyncio.ensure_future(handle.result())
        await turns()
    with pytest.raises(TapeError):
        await waiting


def counted(number: int) -> int:
    return number + 1


@pytest.mark.parametrize("verb", ["step", "sleep", "emit"])
@live
async def test_a_body_that_never_waits_leaves_everybody_else_a_turn(verb: str) -> None:
    """Its turn is cut off after so many asks; the cut is on the tape like any late answer, so it replays."""

    @workflow("greedy")
    async def greedy(run: Run, rounds: int) -> int:
        number = 0
        for _ in range(rounds):
            if verb == "step":
                number = await run.step("n", counted, number)
            elif verb == "sleep":
                await run.sleep("0 seconds")
            else:
                await run.emit(Alert(run=run.id, what="x", detail=""))
        return number

    @workflow("modest")
    async def modest(run: Run) -> str:
        return await run.step("s", str, "done")

    tape = Memory()
    rounds = 3 * TURN_MAX
    async with Engine(tape, workflows=[greedy, modest], seed=1) as engine:
        first = engine.start_soon(greedy, rounds)
        second = engine.start_soon(modest)
        assert await second.result() == "done"
        assert await first.result() in (rounds, 0)
        records = (await engine.show(first.id)).records
        assert 0 < sum(record.get("late", False) for record in records) < 10
        ended = {info.id: info.seq for info in await engine.runs()}
        assert len(ended) == 2


@live
async def test_an_engine_on_a_file_settles(tmp_path: Path) -> None:
    @workflow("nap")
    async def nap(run: Run) -> None:
        await run.sleep("20 ms")

    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[nap]) as engine:
        await engine.start(nap)
        await asyncio.wait_for(engine.settled(), 5)
        assert engine.queries.counts() == {"done": 1}
