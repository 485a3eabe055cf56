"""The states of a run, as a table: which may follow which.

Numbers below 10 are unfinished; the file's partial indexes rely on 2 to 4 and 11.
"""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Where a run stands."""

    RUNNING = 0  #: The engine has work to do for it.
    WAITING = 1  #: It waits for a time, an event, a child or a person.
    PAUSED = 2  #: A person paused it; it keeps its place.
    STRANDED = 3  #: Its workflow, or its version of it, is not registered.
    DIVERGED = 4  #: Code and tape disagree; recoverable under the old code.
    QUEUED = 5  #: Flow control has not let it begin yet.
    DONE = 10  #: It returned a result.
    DEAD = 11  #: Its last attempt failed: a dead letter. It can be redriven.
    CANCELLED = 12
    CONTINUED = 13  #: It continues as another run (``run.again``).
    FAILED = 14  #: A failed delivery of a message; its queue decides what follows.
    STALE = 15  #: It could not begin while what it is about was valid (``valid_for``), and was dropped.

    @property
    def finished(self) -> bool:
        """Is there nothing more to come?"""
        return self >= Status.DONE


UNFINISHED = tuple(status for status in Status if not status.finished)
