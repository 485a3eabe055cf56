"""Params that are texts of a kind, so that a document that says a wrong one is refused before it runs.

    @node("wait", category="flow")
    async def wait(run: Run, *, duration: Annotated[Duration, param("how long")]) -> None: ...

A text with references is looked at when the node runs, and then in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator

from tickwork.core.conditions import compile_condition
from tickwork.core.queue import queue_name
from tickwork.errors import InvalidInput
from tickwork.values import duration


def checked(read: Callable[[Any], object], *, empty: bool = False) -> AfterValidator:
    """Marks the type of a param: its value must be one that ``read`` takes.

    Args:
        read: raises ``InvalidInput`` where it is none.
        empty: an empty text is one too: nothing is said.
    """

    def check(value: Any) -> Any:
        if empty and value == "":
            return value
        try:
            read(value)
        except InvalidInput as error:
            raise ValueError(error.expected) from None
        return value

    return AfterValidator(check)


def _above_zero(text: str) -> None:
    if not duration(text):
        raise InvalidInput("duration", text, "a duration above zero")


def _queue(text: str) -> None:
    queue_name("queue", text)


Duration = Annotated[str, checked(duration)]
"""``5 minutes``; zero is one."""
DurationAboveZero = Annotated[str, checked(_above_zero)]
"""``5 minutes``."""
DurationOrNothing = Annotated[str, checked(duration, empty=True)]
"""``5 minutes``, or an empty text."""
ConditionOrNothing = Annotated[str, checked(compile_condition, empty=True)]
"""``symbol == 'BTC/USD'``, or an empty text."""
QueueName = Annotated[str, checked(_queue)]
"""As ``core.queue.Queue`` takes it."""
