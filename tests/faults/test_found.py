"""What the chaos harness found, each as the smallest case that shows it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tickwork import Engine, Event, Found, NotFound, Retry, Run, workflow
from tickwork.engines.embedded.control import ask_owner


class Ping(Event, name="faults/ping"):
    n: int


@workflow("faults-echo")
async def echo(run: Run, text: str) -> str:
    return text


@workflow("faults-parent")
async def parent(run: Run) -> tuple[str, str]:
    started = await run.start(echo, "started")
    called = await run.call(echo, "called")
    return started, called


@workflow("faults-wait")
async def wait(run: Run) -> int:
    event = await run.wait_for(Ping)
    assert event is not None
    return event.n


def test_a_started_and_a_called_child_of_one_workflow_are_two_runs() -> None:
    async def main() -> None:
        async with Engine("memory:", workflows=[parent, echo]) as engine:
            started, called = await (await engine.start(parent)).result()
            assert called == "called"
            assert await engine.handle(started).result() == "started"

    asyncio.run(main())


def test_an_event_that_is_only_waited_for_can_be_emitted_over_the_control_socket(tmp_path: Path) -> None:
    tape = tmp_path / "tape.db"

    async def main() -> None:
        async with Engine(f"sqlite:///{tape}", workflows=[wait]) as engine:
            handle = await engine.start(wait)
            await asyncio.to_thread(ask_owner, str(tape), "emit", name="faults/ping", payload={"n": 7})
            assert await handle.result(timeout="5 s") == 7

    asyncio.run(main())


def send_slowly(label: str, *, key: str) -> str:
    time.sleep(0.4)
    SENT.append(key)
    return label


def look(key: str, label: str) -> Found[str] | NotFound:
    return Found(label) if key in SENT else NotFound()


SENT: list[str] = []
OFTEN = Retry(limit=20, delay="1 ms", backoff="fixed")


@workflow("faults-slow")
async def slow(run: Run, lookup: bool) -> str:
    look_up = look if lookup else None
    return await run.effect("send", send_slowly, "x", lookup=look_up, timeout="50 ms", retry=OFTEN)


@pytest.mark.parametrize("lookup", [True, False])
def test_an_effect_that_still_runs_in_its_thread_is_not_made_again(tmp_path: Path, lookup: bool) -> None:
    async def main() -> None:
        SENT.clear()
        async with Engine(f"sqlite:///{tmp_path / 'tape.db'}", workflows=[slow]) as engine:
            assert await (await engine.start(slow, lookup)).result(timeout="20 s") == "x"
            await asyncio.sleep(0.6)
            assert len(SENT) == 1

    asyncio.run(main())
