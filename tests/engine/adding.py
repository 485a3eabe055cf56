"""What the tests of workflows that come and go share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.engine.support import Ping, Pong, records
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine

MIDNIGHT = datetime(2020, 1, 1, tzinfo=UTC)
"""Where a virtual clock begins."""


def at(text: str) -> datetime:
    """A time of the first day."""
    hour, minute = text.split(":")
    return MIDNIGHT + timedelta(hours=int(hour), minutes=int(minute))


def noting(name: str, version: int = 1, on: Any = Ping, **options: Any) -> Workflow:
    """A workflow whose runs end at once."""

    @workflow(name, version=version, on=on, **options)
    async def note(run: Run, given: Any) -> str:
        return f"{name} {version}"

    return note


def waiting(name: str, version: int = 1, on: Any = Ping, **options: Any) -> Workflow:
    """A workflow whose runs wait for a ``Pong``."""

    @workflow(name, version=version, on=on, **options)
    async def wait(run: Run, given: Any) -> str:
        await run.wait_for(Pong)
        return f"{name} {version}"

    return wait


def started(engine: Engine) -> list[tuple[str, int]]:
    """Name and version of every run there was, in order."""
    return [(entry.record.name, entry.record.version) for entry in records(engine, "started")]


async def statuses(engine: Engine) -> list[str]:
    """Of all runs, in order."""
    await engine.idle()
    return [info.status for info in reversed(await engine.runs())]
