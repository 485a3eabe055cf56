"""Schedules: workflows that start by the clock.

    @workflow("report", on=Schedule("0 9 * * 1-5", zone="America/New_York"))
    @workflow("flatten", on=Schedule(MarketClose("NYSE", minus="30 minutes"), missed="once"))

A schedule is when (``Times``: a cron text, a market's sessions, or anything else that knows its next time) and what
becomes of the times at which no run could start: because nobody was there (``missed``), or because the run before had
not ended (``overlap``).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, Protocol, get_args, runtime_checkable

from tickwork.core.cron import Cron
from tickwork.core.event import Event
from tickwork.core.run import NAME_MAX
from tickwork.core.trigger import Trigger
from tickwork.core.zone import zone_of
from tickwork.errors import InvalidInput
from tickwork.values import NS_PER_SECOND, DurationLike, duration

Missed = Literal["skip", "once", "all"]
Overlap = Literal["skip", "queue", "allow"]

_GOOD_TIMES: Final = "a cron text such as '0 9 * * 1-5', or an object with next(after_ns), e.g. MarketClose('NYSE')"


@runtime_checkable
class Times(Protocol):
    """Times of a kind, e.g. a cron text's. May have a ``zone``: the name of the one in which people read them.

    Contract: pure and monotone. Equal texts mean equal times.
    """

    def next(self, after_ns: int) -> int | None:
        """The first time after ``after_ns`` (ns since 1970 UTC), never that time itself; ``None``: there is none.

        Raises:
            InvalidInput: nobody knows (a calendar ends).
        """
        ...

    def __str__(self) -> str:
        """The times in words: a schedule whose text has changed begins anew."""
        ...


class ScheduleFired(Event, name="tickwork/schedule.fired"):
    """A schedule came due and starts a run; published each time, and the run's input where no other was given."""

    schedule: str
    """Its name."""
    due: datetime
    """When it was due. Started by hand: when that was."""
    fired_at: datetime
    """When the run was started: later than ``due`` by what the process was late, or the run before had not ended."""
    missed: int = 0
    """How many due times before this one it stands for (``missed="once"``); of more than 100, 100."""

    @property
    def happened_at(self) -> datetime:
        """A workflow's ``valid_for`` counts from when it was due."""
        return self.due


class Schedule(Trigger):
    """Starts runs by the clock.

    Args:
        times: a cron text (``core.cron``), or an object that knows its next time.
        zone: the IANA name of the zone that a cron text is meant in; of other times, in which they are shown.
        name: what people call it; by default the workflow's name, and ``name/2`` for a workflow's second one.
        input: what the runs get: an event or a plain value; by default the ``ScheduleFired``.
        missed: what becomes of due times at which the process was down, asleep or busy for longer than ``grace``:
            ``"skip"`` them; start ``"once"`` for all of them together; or for ``"all"``, one after the other (of more
            than 100, the last 100). What is skipped is recorded.
        overlap: what becomes of a due time while the run before has not ended: ``"skip"`` it, ``"queue"`` it until then
            (100 at most), or ``"allow"`` several runs at once.
        grace: how late a start is still in time; at least a second.

    Raises:
        InvalidInput: names the argument, or the field of the cron text.
    """

    kind = "schedule"
    routed = False

    def __init__(
        self,
        times: str | Times,
        zone: str | None = None,
        *,
        name: str | None = None,
        input: Any = None,
        missed: Missed = "skip",
        overlap: Overlap = "skip",
        grace: DurationLike = "1 minute",
    ) -> None:
        if not isinstance(times, str) and (isinstance(times, type) or not isinstance(times, Times)):
            raise InvalidInput("Schedule(times)", repr(times)[:80], _GOOD_TIMES)
        if not isinstance(times, str):
            zone = zone or str(getattr(times, "zone", "UTC"))
            zone_of(zone, "Schedule(zone)")
        self.times: Times = Cron(times, zone or "UTC") if isinstance(times, str) else times
        self.zone = zone or "UTC"
        self.name = None if name is None else _name(name)
        self.input = input
        self.missed: Missed = _one_of("missed", missed, Missed)
        self.overlap: Overlap = _one_of("overlap", overlap, Overlap)
        self.grace = duration(grace, "Schedule(grace)")
        if self.grace < NS_PER_SECOND:
            raise InvalidInput("Schedule(grace)", grace, "at least 1 second: no start is on the very nanosecond")

    @property
    def event(self) -> type[Event] | None:
        """What the runs get, where that is an event."""
        if self.input is None:
            return ScheduleFired
        return type(self.input) if isinstance(self.input, Event) else None

    def __str__(self) -> str:
        named = "" if self.name is None else f" as {self.name}"
        return f"schedule {self.times} in {self.zone}{named}"


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidInput("Schedule(name)", repr(name)[:80], f"a printable text of 1 to {NAME_MAX} characters")
    return name


def _one_of(what: str, given: Any, words: Any) -> Any:
    if given not in get_args(words):
        raise InvalidInput(f"Schedule({what})", given, "one of " + ", ".join(repr(word) for word in get_args(words)))
    return given
