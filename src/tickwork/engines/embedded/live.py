"""A run in memory: its drive, and what is being done for the asks it waits for."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Raw

from tickwork.core.asks import Call, Effect
from tickwork.core.drive import PENDING, Drive, Place, Waiting
from tickwork.core.tape import Entry, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput, Refused, StepFailed

if TYPE_CHECKING:
    from tickwork.engines.embedded.runs import Runs


TURN_MAX = 500
"""Asks answered in one turn. A body that asks for more without ever waiting goes on in another turn: it may be a loop
without an end, and the loop, the disk and other runs must go on."""


class Pend:
    """What the engine does for one ask that has no answer yet."""

    __slots__ = (
        "asked_at",
        "busy",
        "doubtful",
        "due",
        "failures",
        "fire",
        "key",
        "looks",
        "lost_at",
        "place",
        "run",
        "since",
        "straggler",
        "task",
        "waiting",
    )

    def __init__(self, run: LiveRun, waiting: Waiting) -> None:
        self.run = run
        self.waiting = waiting
        self.place: Place = (waiting.branch.path, waiting.no)
        self.busy = False
        """True while something is under way in this process: then the run is not merely waiting."""
        self.due = 0
        """When ``fire`` is to be called (ns); 0: never."""
        self.fire: Any = None
        self.key: Any = None
        """The hash a wait is found by; an effect's key; an approval's id; a child's position."""
        self.failures = 0
        self.since = 0
        """When the function was called (ns)."""
        self.asked_at = 0
        """When an effect's intent was recorded (ns)."""
        self.doubtful = False
        """An effect without a look-up that may have been made."""
        self.looks = 0
        """Look-ups in a row that failed."""
        self.lost_at = 0
        """When a look-up first did not find an effect (ns)."""
        self.straggler: Future[Any] | None = None
        """An effect's call that took too long and still runs in its thread."""
        self.task: asyncio.Future[Any] | None = None


class LiveRun:
    """A run in memory. It is the driver of its own drive: it hands each live ask to the engine's answerers."""

    # defaults of the class, not set one by one in the constructor: a run is made for each event
    seq: int = 0
    changed_at: int = 0
    status: Status = Status.RUNNING
    wake_at: int | None = 0
    tail: int = 0
    attempt: int = 1
    began_at: int = 0
    """When flow control let it begin, if it had to wait (ns)."""
    course: Any = None
    drive: Drive | None = None
    queued: int = 0
    """Turns of this run in the ready queue."""
    cancelled: str | None = None
    asked: int = 0
    """Live asks of the turn under way."""
    problem: str | None = None
    """Why the run cannot go on, if it cannot."""
    paused: bool = False
    resuming: bool = False
    """Resumed while something was still under way: go on when that has ended."""
    again: Any = None
    ending: Ending | None = None
    final: Ending | None = None
    """How it ended, once that is on disk and for good: a dead run may still be redriven."""
    active: int = 0
    """ns of this attempt in which a step or an effect was under way."""
    active_since: int = 0
    """Since when something has been under way (ns); 0: nothing is. Kept only where the workflow has a time-out."""
    batch: int = 0
    """Number of the batch that holds the run's latest row."""
    chunk: list[Record] | None = None
    chunk_next: int = 0
    chunk_batch: int = 0
    """Number of the batch that holds the open chunk; not the batch itself, which would outlive its commit."""

    def __init__(
        self,
        runs: Runs,
        workflow: Workflow,
        *,
        input: Raw,
        given_id: str | None,
        owner: str,
        key: str,
        parent: int | None,
        parent_ask: str,
        since: int,
        started_at: int,
        event: str = "",
    ) -> None:
        self.runs = runs
        self.workflow = workflow
        self.input = input
        self.given_id = given_id
        self.owner = owner
        self.key = key
        self.parent = parent
        self.parent_ask = parent_ask
        self.since = since
        self.started_at = started_at
        self.event = event
        """Name of the event that started the run, if one did: its input is that event."""
        self.id = given_id or ""
        self.pends: dict[Place, Pend] = {}

    def row(self) -> RunRow:
        """The run's row as it should be on disk."""
        return RunRow(
            self.seq,
            self.given_id,
            self.workflow.name,
            self.workflow.version,
            int(self.status),
            self.wake_at,
            self.tail,
            self.parent,
            self.owner,
            self.key,
            self.started_at,
            self.changed_at,
            self.attempt,
            self.problem,
        )

    @property
    def busy(self) -> bool:
        """Is anything under way for this run in this process?"""
        return self.queued > 0 or any(pend.busy for pend in self.pends.values())

    # -- as the driver of its drive (core.drive.Driver) ------------------------------------------------------------

    def answer(self, drive: Drive, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        """Hand a live ask to the one that answers its kind; after many in one turn, put it off."""
        if not late:
            self.asked += 1
            if self.asked > TURN_MAX and not isinstance(waiting.ask, Effect | Call):  # those end a turn anyway
                self.runs.put_off(self, waiting)
                return PENDING
        try:
            return self.runs.answerers[type(waiting.ask)](self, waiting, intent, late)
        except (InvalidInput, StepFailed, Refused) as error:
            # what was asked cannot be done: that is the answer, recorded like any other
            ask: Any = waiting.ask
            raw, failure = self.runs.failure(error)
            record = Record(
                ask.kind, self.runs.clock.now(), ask.name, waiting.branch.path, waiting.no, waiting.occ, error=raw,
                late=late,
            )  # fmt: skip
            drive.note(self.runs.log.record(self, record), record.at)
            return failure

    def record(self, drive: Drive, record: Record) -> None:
        """Append a record the drive makes by itself."""
        # the drive's time stands where the last answer was given, which an earlier attempt may have done
        self.runs.log.record(self, msgspec.structs.replace(record, at=self.runs.clock.now()))

    def forget(self, drive: Drive, waiting: Waiting) -> None:
        """Stop what was done for a dropped ask."""
        self.runs.forget(self, waiting)

    def doomed(self, drive: Drive, waiting: Waiting) -> None:
        """An effect is followed to its end as it is; a called child is cancelled too."""
        self.runs.doomed(self, waiting)


class Ending:
    """How a run ended."""

    __slots__ = ("error", "next", "status", "value")

    def __init__(self, status: Status, value: Raw, error: Raw, next: str = "") -> None:
        self.status = status
        self.value = value
        self.error = error
        self.next = next
