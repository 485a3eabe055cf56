"""Effects and attempts: what happens once, what keeps its key, what comes too late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support import Venue, crash, live, park, records, turns
from tickwork.core.clock import VirtualClock
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import (
    Cancelled,
    Fatal,
    InvalidInput,
    NotSent,
    Rejected,
    RunCancelled,
    Stale,
    TimedOut,
    Unknown,
)
from tickwork.outcome import Found, NotFound

AGAIN = Retry(limit=3, delay="1 s", backoff="fixed")


def buys(venue: Venue, *, lookup: bool = True, **options: Any) -> Workflow:
    """A workflow that buys once."""

    @workflow("buys", **options)
    async def flow(run: Run) -> str:
        return await run.effect("buy", venue.order, "BTC", lookup=venue.look if lookup else None, grace="2 s")

    return flow


@live
async def test_the_intent_is_on_disk_before_the_call() -> None:
    seen: list[list[str]] = []

    @workflow("looks")
    async def looks(run: Run) -> None:
        await run.effect("act", act)

    async with Engine("memory:", workflows=[looks]) as engine:

        def act(*, key: str) -> None:
            seen.append([entry.record.key for entry in records(engine, "intent")])
            assert seen[-1] == [key]

        await (await engine.start(looks)).result()
    assert len(seen) == 1


@pytest.mark.parametrize("error", [ConnectionError("lost"), TimeoutError(), RuntimeError("?")])
def test_an_unknown_outcome_is_looked_up(error: Exception) -> None:
    @live
    async def main() -> None:
        venue = Venue()
        venue.raising = [error]
        async with Engine("memory:", workflows=[flow := buys(venue)]) as engine:
            assert await (await engine.start(flow)).result() == "order BTC"
        assert list(venue.done.values()) == [1]

    main()


@pytest.mark.parametrize("error", [Rejected("paper", "no"), Fatal("no"), InvalidInput("a", 1, "b")])
def test_a_certain_error_is_not_looked_up(error: Exception) -> None:
    @live
    async def main() -> None:
        venue = Venue()
        venue.raising = [error]
        async with Engine("memory:", workflows=[flow := buys(venue)]) as engine:
            with pytest.raises(type(error)):
                await (await engine.start(flow)).result()
        assert len(venue.calls) == 1

    main()


@live
async def test_what_was_not_sent_is_sent_again_with_the_same_key() -> None:
    tries: list[str] = []

    def send(*, key: str) -> str:
        tries.append(key)
        if len(tries) < 3:
            raise NotSent("offline")
        return "sent"

    @workflow("sends")
    async def sends(run: Run) -> str:
        return await run.effect("send", send, retry=AGAIN)

    async with Engine("memory:", workflows=[sends]) as engine:
        assert await (await engine.start(sends)).result() == "sent"
    assert len(tries) == 3
    assert len(set(tries)) == 1


@live
async def test_not_found_must_hold_for_the_grace() -> None:
    clock = VirtualClock()
    looks: list[int] = []
    calls: list[int] = []

    def act(*, key: str) -> str:
        calls.append(clock.now())
        if len(calls) == 1:
            raise ConnectionError
        return "done"

    def look(key: str) -> NotFound:
        looks.append(clock.now())
        return NotFound()

    @workflow("grace")
    async def grace(run: Run) -> str:
        return await run.effect("act", act, lookup=look, grace="2 s")

    async with Engine("memory:", workflows=[grace], clock=clock) as engine:
        assert await (await engine.start(grace)).result() == "done"
    assert calls[1] - calls[0] >= 2 * 10**9
    assert len(looks) > 2


@live
async def test_a_look_up_that_fails_is_asked_again_for_ever() -> None:
    looks: list[int] = []

    def act(*, key: str) -> str:
        raise ConnectionError

    def look(key: str) -> Any:
        looks.append(1)
        if len(looks) < 20:
            raise ConnectionError
        return Found("seen")

    @workflow("blind")
    async def blind(run: Run) -> str:
        return await run.effect("act", act, lookup=look)

    async with Engine("memory:", workflows=[blind]) as engine:
        assert await (await engine.start(blind)).result() == "seen"


@live
async def test_after_a_crash_it_is_looked_for_before_anything_else() -> None:
    venue = Venue()
    venue.hold = asyncio.Event()
    venue.hold.set()
    told: list[bool] = []

    async def act(symbol: str, *, key: str) -> str:
        venue.order(symbol, key=key)
        await asyncio.sleep(60)
        return "never heard"

    def look(key: str, symbol: str) -> Any:
        told.append(key in venue.done)
        return venue.look(key, symbol)

    @workflow("acts")
    async def acts(run: Run) -> str:
        return await run.effect("act", act, "BTC", lookup=look)

    engine = Engine("memory:", workflows=[acts])
    await engine.open()
    await engine.start(acts, id="it")
    await turns()
    async with Engine(crash(engine), workflows=[acts]) as second:
        assert await second.handle("it").result() == "order BTC"
    assert told == [True]
    assert list(venue.done.values()) == [1]


@live
async def test_without_a_look_up_it_happens_at_least_once_with_one_key() -> None:
    keys: list[str] = []

    async def act(*, key: str) -> str:
        keys.append(key)
        if len(keys) == 1:
            await asyncio.sleep(60)
        return "done"

    @workflow("acts")
    async def acts(run: Run) -> str:
        return await run.effect("act", act)

    engine = Engine("memory:", workflows=[acts])
    await engine.open()
    await engine.start(acts, id="it")
    await turns()
    async with Engine(crash(engine), workflows=[acts]) as second:
        assert await second.handle("it").result() == "done"
    assert len(keys) == 2
    assert len(set(keys)) == 1


# ------------------------------------------------------------------------------------------------------------- attempts


@live
async def test_a_new_attempt_keeps_steps_and_effects() -> None:
    venue = Venue()
    calls: list[str] = []

    def think() -> str:
        calls.append("think")
        return "x"

    @workflow("tries", retry=Retry(limit=2, delay="10 s", backoff="fixed"))
    async def tries(run: Run) -> list[Any]:
        found = [await run.step("think", think), await run.effect("buy", venue.order, "BTC")]
        if run.attempt < 3:
            raise ConnectionError(f"attempt {run.attempt}")
        return [*found, run.attempt]

    async with Engine("memory:", workflows=[tries]) as engine:
        handle = await engine.start(tries, id="it")
        await engine.idle()
        park(engine)
        assert await handle.result() == ["x", "order BTC", 3]
    assert calls == ["think"]
    assert list(venue.done.values()) == [1]


@live
async def test_an_effect_given_up_without_knowing_is_looked_for_by_the_next_attempt() -> None:
    venue = Venue()
    venue.raising = [ConnectionError("lost")]

    @workflow("tries", retry=Retry(limit=2, delay="10 s"))
    async def tries(run: Run) -> str:
        return await run.effect("buy", venue.order, "BTC")

    clock = VirtualClock()
    engine = Engine("memory:", workflows=[tries], clock=clock)
    await engine.open()
    await engine.start(tries, id="it")
    await engine.idle()
    async with Engine(crash(engine), workflows=[tries], clock=clock) as second:  # another opening, another nonce
        assert await second.handle("it").result() == "order BTC"
    assert len(set(venue.calls)) == 1, "at least once, but always with the same key"


@live
async def test_an_effect_that_cannot_be_found_keeps_its_key_too() -> None:
    keys: list[str] = []
    seen = False

    def act(*, key: str) -> str:
        keys.append(key)
        raise ConnectionError

    def look(key: str) -> Any:
        return Found("late, but there") if seen else NotFound()

    @workflow("tries", retry=Retry(limit=1, delay="1 h", cap="1 h"))
    async def tries(run: Run) -> str:
        return await run.effect("act", act, lookup=look)

    async with Engine("memory:", workflows=[tries]) as engine:
        handle = await engine.start(tries)
        with pytest.raises(TimedOut):
            await handle.result(timeout="30 min")
        before = len(keys)
        seen = True
        assert await handle.result() == "late, but there"
    assert len(set(keys)) == 1
    assert len(keys) == before


@live
async def test_a_certain_failure_gets_a_new_key() -> None:
    venue = Venue()
    venue.raising = [NotSent("offline")]

    @workflow("tries", retry=Retry(limit=1, delay="1 s"))
    async def tries(run: Run) -> str:
        return await run.effect("buy", venue.order, "BTC")

    async with Engine("memory:", workflows=[tries]) as engine:
        assert await (await engine.start(tries)).result() == "order BTC"
    assert len(set(venue.calls)) == 2


@live
async def test_an_effect_whose_result_is_lost_is_not_made_again() -> None:
    venue = Venue()

    def act(*, key: str) -> Any:
        venue.order("x", key=key)
        return object()

    @workflow("loses", retry=Retry(limit=2, delay="1 s", fatal=()))
    async def loses(run: Run) -> Any:
        try:
            return await run.effect("act", act)
        except InvalidInput:
            raise ConnectionError("try the whole thing again") from None

    async with Engine("memory:", workflows=[loses]) as engine:
        with pytest.raises(ConnectionError):
            await (await engine.start(loses)).result()
    assert len(venue.calls) == 1


@live
async def test_a_cancelled_run_is_not_tried_again() -> None:
    attempts: list[int] = []

    @workflow("clumsy", retry=Retry(limit=5, delay="1 s"))
    async def clumsy(run: Run) -> None:
        attempts.append(run.attempt)
        try:
            await run.sleep("1 h")
        except Cancelled:
            raise ConnectionError("cleaning up failed") from None

    async with Engine("memory:", workflows=[clumsy]) as engine:
        handle = await engine.start(clumsy)
        await engine.idle()
        await handle.cancel()
        with pytest.raises((ConnectionError, RunCancelled)):
            await handle.result()
        await engine.settled()
    assert attempts == [1]


@live
async def test_an_attempt_does_not_begin_before_its_time() -> None:
    clock = VirtualClock()
    began: list[int] = []

    @workflow("patient", retry=Retry(limit=1, delay="1 h", backoff="fixed", cap="1 h"))
    async def patient(run: Run) -> str:
        await run.step("note", lambda attempt: began.append(clock.now()), run.attempt)
        if run.attempt == 1:
            raise ConnectionError
        return "done"

    async with Engine("memory:", workflows=[patient], clock=clock) as engine:
        handle = await engine.start(patient, id="it")
        await engine.idle()
        await engine.pause("it")
        await engine.resume("it")
        await engine.idle()
        assert await handle.result() == "done"
    assert began[1] - began[0] == 3600 * 10**9


@live
async def test_a_run_can_be_cancelled_between_two_attempts() -> None:
    @workflow("patient", retry=Retry(limit=1, delay="1 h", cap="1 h"))
    async def patient(run: Run) -> str:
        raise ConnectionError

    async with Engine("memory:", workflows=[patient]) as engine:
        handle = await engine.start(patient, id="it")
        await engine.idle()
        await handle.cancel()
        with pytest.raises(RunCancelled):
            await handle.result()
        assert len(records(engine, "failed")) == 1


@live
async def test_on_failure_runs_and_a_redrive_keeps_what_was_done() -> None:
    venue = Venue()
    told: list[str] = []
    broken = True

    async def mourn(run: Run, input: Any, error: BaseException) -> None:
        await run.effect("tell", lambda text, *, key: told.append(key), f"{error}")

    def flaky() -> str:
        if broken:
            raise ConnectionError("down")
        return "up"

    @workflow("buys-then-fails", on_failure=mourn)
    async def flow(run: Run) -> list[str]:
        return [await run.effect("buy", venue.order, "BTC"), await run.step("flaky", flaky)]

    async with Engine("memory:", workflows=[flow]) as engine:
        handle = await engine.start(flow, id="it")
        with pytest.raises(ConnectionError):
            await handle.result()
        (letter,) = await engine.dead_letters()
        assert (letter.run, letter.kind) == ("it", "run")
        assert len(told) == 1
        await engine.redrive("it")
        with pytest.raises(ConnectionError):
            await handle.result()
        assert len(set(told)) == 2  # it failed once more, and that was told once more
        broken = False
        await engine.redrive("it")
        assert await handle.result() == ["order BTC", "up"]
        with pytest.raises(InvalidInput):
            await engine.redrive("it")
    assert list(venue.done.values()) == [1]


@live
async def test_on_failure_that_fails_says_so() -> None:
    async def mourn(run: Run, input: Any, error: BaseException) -> None:
        raise RuntimeError("worse")

    @workflow("fails", on_failure=mourn)
    async def fails(run: Run) -> None:
        raise ValueError("first")

    async with Engine("memory:", workflows=[fails]) as engine:
        with pytest.raises(ValueError, match="first"):
            await (await engine.start(fails)).result()
        assert "worse" in records(engine, "dead")[0].record.name


# ---------------------------------------------------------------------------------------------------------------- sagas


# -------------------------------------------------------------------------------------------------- pausing, cancelling


@live
async def test_cancellation_waits_for_the_effect_in_flight() -> None:
    venue = Venue()
    venue.hold = asyncio.Event()
    log: list[str] = []

    @workflow("buys")
    async def flow(run: Run) -> None:
        try:
            await run.effect("buy", venue.slow_order, "BTC")
            await run.step("never", lambda: log.append("never"))
        except Cancelled:
            await run.step("clean", lambda: log.append("clean"))
            raise

    async with Engine("memory:", workflows=[flow]) as engine:
        handle = await engine.start(flow)
        await turns()
        await handle.cancel("enough")
        assert log == []
        venue.hold.set()
        with pytest.raises(RunCancelled):
            await handle.result()
    assert log == ["clean"]
    assert list(venue.done.values()) == [1]


@live
async def test_a_losing_effect_is_followed_before_the_race_returns() -> None:
    venue = Venue()
    venue.hold = asyncio.Event()

    @workflow("races")
    async def races(run: Run) -> list[Any]:
        won = await run.race(run.effect("buy", venue.slow_order, "BTC"), run.sleep("1 s"))
        return [*won, len(venue.done)]

    async with Engine("memory:", workflows=[races]) as engine:
        handle = await engine.start(races)
        waiting = asyncio.ensure_future(handle.result())
        await turns()
        assert not waiting.done()
        engine.clock.jump(engine.clock.now() + 2 * 10**9)
        engine._timers.fire_due()
        await turns()
        assert not waiting.done()  # the sleep has won, but the order is still out
        venue.hold.set()
        assert await waiting == [1, None, 1]


@live
async def test_pausing_follows_the_effect_and_takes_no_turn() -> None:
    venue = Venue()
    venue.hold = asyncio.Event()
    log: list[str] = []

    @workflow("buys")
    async def flow(run: Run) -> str:
        await run.effect("buy", venue.slow_order, "BTC")
        await run.step("next", lambda: log.append("next"))
        return "done"

    async with Engine("memory:", workflows=[flow]) as engine:
        handle = await engine.start(flow, id="it")
        await turns()
        await engine.pause("it")
        venue.hold.set()
        await engine.idle()
        assert await handle.status() == "paused"
        assert len(records(engine, "effect")) == 1
        assert log == []
        await engine.resume("it")
        assert await handle.result() == "done"
    assert list(venue.done.values()) == [1]


@live
async def test_a_paused_run_stays_paused_over_a_restart() -> None:
    @workflow("sleeps")
    async def sleeps(run: Run) -> str:
        await run.sleep("1 s")
        return "done"

    engine = Engine("memory:", workflows=[sleeps])
    await engine.open()
    await engine.start(sleeps, id="it")
    await engine.pause("it")
    async with Engine(crash(engine), workflows=[sleeps]) as second:
        await second.settled()
        assert await second.handle("it").status() == "paused"
        await second.resume("it")
        assert await second.handle("it").result() == "done"


@live
async def test_pausing_and_resuming_in_one_breath(tmp_path: Any) -> None:
    @workflow("sleeps")
    async def sleeps(run: Run) -> str:
        await run.sleep("10 ms")
        return "done"

    async with Engine(f"sqlite:///{tmp_path}/t.db", workflows=[sleeps]) as engine:
        for number in range(10):
            handle = await engine.start(sleeps, id=f"it{number}")
            await asyncio.gather(engine.pause(handle.id), engine.resume(handle.id))
            assert await handle.result(timeout="5 s") == "done"


@live
async def test_an_attempt_that_takes_too_long_is_interrupted_and_tried_again() -> None:
    gate = asyncio.Event()
    attempts: list[int] = []

    async def work(attempt: int) -> int:
        attempts.append(attempt)
        if attempt == 1:
            await gate.wait()
        return attempt

    @workflow("long", timeout="5 s", retry=Retry(limit=1, delay="1 s"))
    async def long(run: Run) -> int:
        await run.sleep("1 h")
        return await run.step("work", work, run.attempt)

    async with Engine("memory:", workflows=[long]) as engine:
        handle = await engine.start(long)
        for seconds in (3601, 6):
            await turns()
            engine.clock.jump(engine.clock.now() + seconds * 10**9)
            engine._timers.fire_due()
            await engine._log.durable()
        assert await handle.result() == 2
    assert attempts == [1, 2]


@live
async def test_an_attempt_that_was_not_sent_says_nothing_of_the_one_before() -> None:
    errors: list[BaseException] = [ConnectionError("lost"), NotSent("no line"), NotSent("no line")]

    def send(*, key: str) -> None:
        raise errors.pop(0)

    @workflow("flow")
    async def flow(run: Run) -> None:
        await run.effect("send", send, retry=Retry(limit=2, delay="1 s"))

    async with Engine("memory:", workflows=[flow]) as engine:
        with pytest.raises(Unknown, match="one before may be"):
            await (await engine.start(flow)).result()


@live
async def test_a_cancelled_run_whose_effect_fails_for_certain_is_cancelled() -> None:
    gate = asyncio.Event()

    async def send(*, key: str) -> None:
        await gate.wait()
        raise Rejected("venue", "no")

    @workflow("flow")
    async def flow(run: Run) -> None:
        await run.effect("send", send)

    async with Engine("memory:", workflows=[flow]) as engine:
        handle = await engine.start(flow, id="it")
        await turns()
        await engine.cancel("it", "enough")
        gate.set()
        with pytest.raises(RunCancelled):
            await handle.result()
        (record,) = records(engine, "cancelled")
        assert (record.record.name, b"Rejected" in bytes(record.record.error)) == ("enough", True)
        assert await engine.dead_letters() == []


@live
async def test_an_effect_that_was_not_made_in_time_is_not_made() -> None:
    venue = Venue()
    venue.raising = [NotSent("no line")]

    @workflow("flow")
    async def flow(run: Run, looks: bool) -> str:
        lookup = venue.look if looks else None
        retry = Retry(limit=5, delay="10 s", backoff="fixed")
        return await run.effect("order", _unsent(venue), "BTC", lookup=lookup, retry=retry, valid_for="5 s")

    async with Engine("memory:", workflows=[flow]) as engine:
        with pytest.raises(Stale, match="effect 'order' is 10s old and was valid for 5s"):
            await (await engine.start(flow, False)).result()
    assert venue.done == {}


def _unsent(venue: Venue) -> Any:
    def send(symbol: str, *, key: str) -> str:
        if venue.raising:
            error = venue.raising.pop(0)
            assert error is not None
            raise error
        return venue.order(symbol, key=key)

    return send


@pytest.mark.parametrize(("looks", "error"), [(True, Stale), (False, Unknown)])
def test_after_an_outage_an_old_effect_is_not_made(looks: bool, error: type[Exception]) -> None:
    venue = Venue()

    @workflow("flow")
    async def flow(run: Run) -> str:
        return await run.effect("order", venue.slow_order, "BTC", lookup=venue.look if looks else None, valid_for="5 s")

    @live
    async def play() -> None:
        venue.hold = asyncio.Event()
        engine = Engine("memory:", workflows=[flow])
        await engine.open()
        await engine.start(flow, id="it")
        await turns()
        clock, memory = engine.clock, crash(engine)
        clock.jump(clock.now() + 3_600 * 10**9)
        async with Engine(memory, workflows=[flow], clock=clock) as again:
            with pytest.raises(error):
                await again.handle("it").result()

    play()
    assert venue.done == {}
