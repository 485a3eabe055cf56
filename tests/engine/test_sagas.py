"""Sagas: what is undone, in which order, and what happens when that fails."""

from __future__ import annotations

import asyncio

import pytest

from tests.engine.support import Venue, live, turns
from tickwork.core.event import Alert
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import (
    Rejected,
    RunCancelled,
    TimedOut,
)

AGAIN = Retry(limit=3, delay="1 s", backoff="fixed")


@live
async def test_undos_run_in_reverse_and_are_retried() -> None:
    log: list[str] = []
    failing = [ConnectionError(), None, None]

    def undone(result: str) -> None:
        error = failing.pop(0)
        if error is not None:
            raise error
        log.append(f"undid {result}")

    @workflow("saga")
    async def saga_flow(run: Run) -> None:
        async with run.saga() as saga:
            for name in ("a", "b"):
                await saga.step(name, lambda n=name: n, undo=undone)
            raise ValueError("no")

    async with Engine("memory:", workflows=[saga_flow]) as engine:
        with pytest.raises(ValueError, match="no"):
            await (await engine.start(saga_flow)).result()
    assert log == ["undid b", "undid a"]


@live
async def test_one_that_cannot_be_undone_is_a_dead_letter_and_an_alert() -> None:
    log: list[str] = []
    alerts: list[str] = []

    def never(result: str) -> None:
        raise Rejected("paper", "too late")

    @workflow("alarmed", on=Alert)
    async def alarmed(run: Run, alert: Alert) -> None:
        alerts.append(alert.what)

    @workflow("saga")
    async def saga_flow(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("a", lambda: "a", undo=log.append)
            await saga.step("b", lambda: "b", undo=never)
            raise ValueError("no")

    async with Engine("memory:", workflows=[saga_flow, alarmed]) as engine:
        with pytest.raises(ValueError, match="no"):
            await (await engine.start(saga_flow, id="it")).result()
        await engine.settled()
        letters = await engine.dead_letters()
        assert {(letter.kind, letter.source) for letter in letters} == {("run", "saga"), ("undo", "undo b")}
    assert log == ["a"]
    assert alerts == ["undo b", "run of 'saga' died"]


@live
async def test_a_new_attempt_does_undone_effects_anew_under_new_keys() -> None:
    bought, sold = Venue(), Venue()

    def sell(result: str, symbol: str, *, key: str) -> str:
        return sold.order(symbol, key=key)

    @workflow("saga", retry=Retry(limit=2, delay="1 s"))
    async def saga_flow(run: Run) -> str:
        async with run.saga() as saga:
            await saga.effect("buy", bought.order, "BTC", undo=sell)
            if run.attempt < 3:
                raise ConnectionError("no")
        return "done"

    async with Engine("memory:", workflows=[saga_flow]) as engine:
        assert await (await engine.start(saga_flow)).result() == "done"
    assert list(bought.done.values()) == [1, 1, 1]
    assert list(sold.done.values()) == [1, 1], "each undo is an effect of its own"


@live
async def test_cancellation_runs_undos_even_if_it_comes_while_they_run() -> None:
    log: list[str] = []
    gate = asyncio.Event()

    async def slowly(result: str) -> None:
        await gate.wait()
        log.append(result)

    @workflow("saga")
    async def saga_flow(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("a", lambda: "a", undo=log.append)
            await saga.step("b", lambda: "b", undo=slowly)
            raise ValueError("no")

    async with Engine("memory:", workflows=[saga_flow]) as engine:
        handle = await engine.start(saga_flow)
        await turns()
        await handle.cancel()
        gate.set()
        with pytest.raises((RunCancelled, ValueError)):
            await handle.result()
    assert log == ["b", "a"]


@live
async def test_a_paused_run_is_cancelled_like_any_other() -> None:
    log: list[str] = []

    @workflow("saga")
    async def saga_flow(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("a", lambda: "a", undo=log.append)
            await run.sleep("1 h")

    async with Engine("memory:", workflows=[saga_flow]) as engine:
        handle = await engine.start(saga_flow, id="it")
        await engine.idle()
        await engine.pause("it")
        await engine.cancel("it")
        with pytest.raises(RunCancelled):
            await handle.result()
    assert log == ["a"]


@live
async def test_undoing_goes_on_when_the_attempt_has_run_out_of_time() -> None:
    log: list[str] = []
    gate = asyncio.Event()

    async def slowly(result: str) -> None:
        await gate.wait()
        log.append(result)

    @workflow("saga", timeout="5 s")
    async def saga_flow(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("a", lambda: "a", undo=log.append)
            await saga.step("b", lambda: "b", undo=slowly)
            raise ValueError("no")

    async with Engine("memory:", workflows=[saga_flow]) as engine:
        handle = await engine.start(saga_flow)
        await turns()
        engine.clock.jump(engine.clock.now() + 6 * 10**9)
        engine._timers.fire_due()
        await turns()
        gate.set()
        with pytest.raises(TimedOut):
            await handle.result()
        assert [letter.kind for letter in await engine.dead_letters()] == ["run"]
    assert log == ["b", "a"]
