"""Triggers: declarations of what starts a workflow's runs.

``@workflow(on=...)`` takes classes of events and triggers, one or several. A trigger names the event that starts the
run and which of these events it means; what makes the event happen (a feed, a clock, a queue) is other rooms' business:

    @workflow("watch", on=When(SymbolWatch, "attempt < 10"))
    @workflow("report", on=Schedule("0 9 * * 1-5", zone="America/New_York"))
    @workflow("momentum", on=PriceChange("BTC/USDT", "0.02"))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tickwork.core.conditions import Where
from tickwork.core.event import Event, event_tag
from tickwork.errors import InvalidInput


class Trigger:
    """Base class of everything that ``on=`` takes besides classes of events."""

    kind: ClassVar[str] = ""
    """What documents and faces call it, e.g. ``price_change``."""
    routed: ClassVar[bool] = True
    """Does publishing the event start the run? ``False``: a part of the engine does, for the very trigger."""

    @property
    def event(self) -> type[Event] | None:
        """The event that starts a run; ``None`` when no event does (a queue's message, a person)."""
        return None

    @property
    def where(self) -> Where | None:
        """Which of these events start one; ``None``: all."""
        return None

    def matches(self, event: Event) -> bool:
        """Does this event, one of the trigger's class, start a run?

        Raises:
            InvalidInput: the condition cannot judge the event.
        """
        return self.where is None or self.where.matches(event)

    def __str__(self) -> str:
        """A text that is equal for equal declarations and differs for others: the trigger's name in events."""
        return self.kind


class When(Trigger):
    """An event, and only where a condition holds: a mapping of fields, or a condition text.

    Raises:
        InvalidInput: not a class of events, an unknown field, or a text that is no condition.
    """

    kind = "event"

    def __init__(self, event: type[Event], where: Mapping[str, Any] | str | None = None) -> None:
        if not (isinstance(event, type) and issubclass(event, Event) and event.event_name):
            raise InvalidInput("When(event)", event, "a class of events")
        self._event = event
        self._where = None if where is None else Where(event, where)

    @property
    def event(self) -> type[Event]:
        """The class of events."""
        return self._event

    @property
    def where(self) -> Where | None:
        """Which of them."""
        return self._where

    def __str__(self) -> str:
        where = self._where
        if where is None:
            return event_tag(self._event)
        told = where.text or ", ".join(f"{f} = {v[1:]}" for f, v in zip(where.fields, where.values, strict=True))
        return f"{event_tag(self._event)} where {told}"


class Manual(Trigger):
    """Started by hand alone: ``engine.start``, ``run.start``, a face."""

    kind = "manual"
