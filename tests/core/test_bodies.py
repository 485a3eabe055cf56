"""What a body may not do, and what being parked does to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.core.driving import Tape, one
from tickwork.core.branch import STUBBORN_MAX
from tickwork.core.drive import FOREIGN_MAX
from tickwork.core.run import Run
from tickwork.errors import ForeignAwait, InvalidInput


async def sleeps(run: Run) -> None:
    await asyncio.sleep(0.01)


async def yields(run: Run) -> None:
    await asyncio.sleep(0)


async def awaits_a_future(run: Run) -> None:
    await asyncio.get_running_loop().create_future()


async def gathers(run: Run) -> None:
    await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))


async def awaits_a_task(run: Run) -> None:
    await asyncio.ensure_future(asyncio.sleep(0))


async def awaits_an_event(run: Run) -> None:
    await asyncio.Event().wait()


async def _refused(body: Any) -> None:
    drive = Tape().drive(body)
    assert drive.outcome is not None
    error = drive.outcome[1]
    assert isinstance(error, ForeignAwait)
    assert "put the call inside a step" in str(error)
    assert "test_bodies.py" in str(error)
    await asyncio.sleep(0.02)  # tasks that the body made must be able to end


@pytest.mark.parametrize("body", [sleeps, yields, awaits_a_future, gathers, awaits_a_task, awaits_an_event])
def test_awaiting_anything_but_a_verb_is_refused_at_once(body: Any) -> None:
    asyncio.run(_refused(body))


def test_a_loop_that_catches_the_refusal_is_bounded() -> None:
    tries: list[int] = []

    async def body(run: Run) -> None:
        while True:
            try:
                await asyncio.sleep(0)
            except Exception:  # noqa: BLE001 - that is the trap
                tries.append(1)

    with pytest.raises(ForeignAwait):
        Tape().drive(body)
    assert len(tries) == FOREIGN_MAX


def test_a_body_may_catch_the_refusal_and_go_on() -> None:
    async def body(run: Run) -> int:
        try:
            await asyncio.sleep(0)
        except ForeignAwait:
            return await run.step("a", one)
        return 0

    assert Tape().drive(body).outcome == (1, None)


def test_a_foreign_await_in_an_arm_fails_the_arm() -> None:
    async def arm() -> None:
        await asyncio.sleep(0)

    async def body(run: Run) -> None:
        await run.all(run.sleep("1 h"), arm())

    drive = Tape().drive(body)
    assert drive.outcome is not None
    assert isinstance(drive.outcome[1], ForeignAwait)


# -------------------------------------------------------------------------------------------------------------- parking


def parked(body: Any) -> Tape:
    """Drive a body to its first wait and drop it."""
    tape = Tape()
    tape.drive(body).close()
    return tape


def test_verbs_in_a_finally_do_not_run_when_parked() -> None:
    plain: list[str] = []

    async def body(run: Run) -> None:
        try:
            await run.sleep("1 h")
        finally:
            plain.append("ran")
            await run.step("never", one)
            plain.append("not here")

    tape = parked(body)
    assert tape.asked == ["sleep sleep"]
    assert plain == ["ran"]


def test_undos_do_not_run_when_parked() -> None:
    undone: list[int] = []

    async def body(run: Run) -> None:
        async with run.saga() as saga:
            await saga.step("a", one, undo=undone.append)
            try:
                await run.sleep("1 h")
            finally:
                raise ValueError("a body that makes things worse")

    tape = parked(body)
    assert tape.asked == ["step a", "sleep sleep"]
    assert undone == []


def test_a_body_that_swallows_the_end_in_a_loop_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    async def body(run: Run) -> None:
        while len(tries) < 10 * STUBBORN_MAX:
            try:
                await run.sleep("1 h")
            except BaseException:  # noqa: BLE001 - that is the trap
                tries.append(1)

    # each verb raises again at once while the body is being closed: it never yields, so it must end by itself
    parked(body)
    assert len(tries) == 10 * STUBBORN_MAX


def test_a_body_that_yields_while_it_is_closed_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async def body(run: Run) -> None:
        ask = run.sleep("1 h")
        while True:
            with contextlib.suppress(GeneratorExit):
                await ask

    tape = Tape()
    drive = tape.drive(body)
    drive.close()
    assert "cannot be parked" in caplog.text
    assert tape.asked == ["sleep sleep"]


def test_an_async_generator_in_a_body() -> None:
    closed: list[str] = []

    async def body(run: Run) -> int:
        async def numbers() -> AsyncIterator[int]:
            try:
                for _ in range(3):
                    yield await run.step("a", one)
                    await run.sleep("1 s")
            finally:
                closed.append("closed")

        return sum([n async for n in numbers()])

    tape = Tape()
    drive = tape.drive(body)
    for no in (1, 3, 5):
        tape.deliver(drive, "", no)
    assert drive.outcome == (3, None)
    assert closed == ["closed"]
    assert Tape(tape.entries).drive(body).outcome == (3, None)
    parked(body)


def test_a_verb_never_awaited_fails_the_run() -> None:
    async def forgets_a_step(run: Run) -> str:
        run.step("lost", one)
        return "done"

    async def forgets_an_effect(run: Run) -> int:
        await run.all(run.step("a", one), run.step("b", one))
        run.effect("sell", one)
        return await run.step("c", one)

    for body, named in ((forgets_a_step, "1 step"), (forgets_an_effect, "effect 'sell'")):
        tape = Tape()
        outcome = tape.drive(body).outcome
        assert outcome is not None
        assert isinstance(outcome[1], InvalidInput)
        assert named in str(outcome[1])
        assert "await" in str(outcome[1])


def test_log_is_silent_in_replay(caplog: pytest.LogCaptureFixture) -> None:
    async def body(run: Run) -> None:
        run.log.error("before")
        await run.step("a", one)
        run.log.error("after")

    tape = Tape([*Tape().entries])
    tape.drive(body)
    caplog.clear()
    Tape(tape.entries).drive(body)
    assert "before" not in caplog.text
