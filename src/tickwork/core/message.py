"""A message of a queue, and the stages it goes through."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Stage(IntEnum):
    """Where a message stands. Below 10 it is not done."""

    WAITING = 0  #: In line: to be taken, behind another of its group, or at rest between two deliveries.
    DELAYED = 1  #: Not yet in line.
    IN_FLIGHT = 2  #: A consumer has a lease on it, or a run works on it.
    COMPLETED = 10
    DISCARDED = 11  #: It was a dead letter and was put away.
    DEAD = 20  #: A dead letter: it can be redriven or discarded.

    @property
    def open(self) -> bool:
        """Is it still to be done?"""
        return self < Stage.COMPLETED


MOVES: dict[Stage, frozenset[Stage]] = {
    Stage.DELAYED: frozenset({Stage.WAITING}),
    Stage.WAITING: frozenset({Stage.IN_FLIGHT, Stage.DEAD}),
    Stage.IN_FLIGHT: frozenset({Stage.WAITING, Stage.COMPLETED, Stage.DEAD}),
    Stage.COMPLETED: frozenset(),
    Stage.DEAD: frozenset({Stage.WAITING, Stage.DELAYED, Stage.DISCARDED}),
    Stage.DISCARDED: frozenset(),
}


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """A delivery that failed, or why a message died."""

    at: int
    """ns."""
    why: str
    """``rejected``, ``lapsed``, ``failed`` (its run), ``cancelled`` (its run), ``expired``, ``unreadable``."""
    code: str
    error: str = ""
    """The error's class, or the code a consumer gave."""
    detail: str = ""
    run: int = 0
    """Position of the run that had it."""
    consumer: str = ""


class Item:
    """A message in a line. Its body is on the tape, at ``body``."""

    __slots__ = (
        "at", "attempts", "body", "consumer", "ended_at", "failures", "group", "id", "joins_at", "lease", "lease_until",
        "leased_at", "next", "place", "priority", "redrives", "run", "seq", "stage", "visible_at",
    )  # fmt: skip

    def __init__(
        self,
        seq: int,
        at: int,
        *,
        group: str = "",
        id: str = "",
        priority: int = 0,
        joins_at: int = 0,
        place: int = 0,
        body: int = 0,
        redrives: int = 0,
        failures: tuple[Failure, ...] = (),
    ) -> None:
        self.seq = seq
        self.at = at
        """When it was sent (ns)."""
        self.group = group
        self.id = id
        self.priority = priority
        self.joins_at = joins_at or at
        """When it joins the line (ns)."""
        self.place = place or seq
        """What was recorded when it was put in line: with ``joins_at``, its place."""
        self.body = body or seq
        self.visible_at = self.joins_at
        """Not to be taken before (ns)."""
        self.stage = Stage.DELAYED
        self.attempts = 0
        self.lease = 0
        """Position of the lease it is, or was last, under; 0: a run's."""
        self.leased_at = 0
        self.lease_until = 0
        self.consumer = ""
        self.run = 0
        """Position of the run that works on it, or did last."""
        self.ended_at = 0
        self.redrives = redrives
        """How often its queue's policy has redriven it."""
        self.failures = failures
        self.next: Item | None = None
        """The one behind it in its group."""

    def __lt__(self, other: Item) -> bool:
        # asked by heaps, where two entries are of one time: a lease given anew may end when the one before would have
        return self.seq < other.seq

    @property
    def rank(self) -> tuple[int, int, int]:
        """Its place in line: who joined first, and of those who joined at one time, who was recorded first."""
        return self.joins_at, self.place, self.seq
