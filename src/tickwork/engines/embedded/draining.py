"""Draining: an engine that is about to be closed begins nothing, and follows what it has begun.

From ``drain`` on no run takes a turn. A step or an effect that is under way ends as it would have; its outcome goes on
the tape, and its run hears of it when the tape is opened again. So a stop of the process looks to every run like one
long step. What comes in meanwhile (events, messages, timers) is kept on the tape and begins then too.

What is still under way when the time is up is *parked*: nothing is done about it. Its intent is on disk, and whoever
opens the tape next looks for it, exactly as after a kill.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Final

import msgspec

from tickwork.core.asks import Call, Effect
from tickwork.engines.embedded.effects import Effects
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.live import Pend
from tickwork.values import from_ns

_LOOK_S: Final = 0.02


class UnderWay(msgspec.Struct, frozen=True, rename="camel"):
    """A step or an effect that has begun and has not ended."""

    run: str
    workflow: str
    kind: str
    """``step`` or ``effect``."""
    name: str
    since: datetime | None
    """When it was last called; ``None``: it is about to be."""


def under_way(engine: Engine) -> list[UnderWay]:
    """What an engine is doing for its runs just now, the longest first."""
    found = [
        UnderWay(
            run=pend.run.id,
            workflow=pend.run.workflow.name,
            kind="effect" if isinstance(pend.waiting.ask, Effect) else "step",
            name=getattr(pend.waiting.ask, "name", ""),
            since=from_ns(pend.since) if pend.since else None,
        )
        for run in engine._runs.hot.values()
        for pend in run.pends.values()
        if _has_begun(pend)
    ]
    return sorted(found, key=lambda one: (one.since is None, one.since))


def _has_begun(pend: Pend) -> bool:
    if isinstance(pend.waiting.ask, Call):
        return False
    if pend.task is not None and not pend.task.done():
        return True
    if not isinstance(pend.waiting.ask, Effect) or not pend.busy:
        return False
    # between two attempts it is certain that nothing has happened, unless somebody looks for it
    resting = pend.due and getattr(pend.fire, "__name__", "") == Effects._launch.__name__ and not pend.doubtful
    return not resting


async def drain(engine: Engine, within: float) -> list[UnderWay]:
    """Begin nothing any more, and wait for what is under way; returns what had not ended after ``within`` seconds.

    There is no way back: the engine is to be closed then.

    Raises:
        TapeError: the disk failed.
    """
    engine._runs.draining = True
    limit = time.perf_counter() + within
    left = under_way(engine)
    while left and engine.fault is None and time.perf_counter() < limit:
        await asyncio.sleep(_LOOK_S)
        left = under_way(engine)
    await engine.durable()
    return left
