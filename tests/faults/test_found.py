"""What the chaos harness found, each as the smallest case that shows it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tickwork import Engine, Event, Run, workflow
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
