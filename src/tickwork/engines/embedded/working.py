"""What a piece of code works for: the run and the step or effect whose function is being called just now.

It is for logs. It is set where a call becomes a task or goes to a thread, which costs many times more than that; what
runs inside a turn (a step that has earned the loop, the body itself) is not marked, because that would cost the turn.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple


class Work(NamedTuple):
    """A run and what is done for it."""

    run: str
    step: str


WORKING: Final[ContextVar[Work | None]] = ContextVar("tickwork.working", default=None)
"""Of the task or the thread that asks."""
