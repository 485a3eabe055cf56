"""What a run is made of: from its row and its records, and the words about it that several parts use."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from tickwork.core.codec import MAX_VALUE, said
from tickwork.core.drive import Waiting
from tickwork.core.event import Event
from tickwork.core.replay import Course
from tickwork.core.run import Run
from tickwork.core.tape import Entry, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput

if TYPE_CHECKING:
    from tickwork.engines.embedded.runs import Runs


def revived(runs: Runs, workflow: Workflow, row: RunRow, entries: list[Entry]) -> LiveRun:
    """A run as its row and its records have it."""
    who = started(entries[0])
    run = LiveRun(
        runs,
        workflow,
        input=Raw(bytes(who.input)),
        given_id=row.id,
        owner=row.owner,
        key=row.key,
        parent=row.parent,
        parent_ask=who.parent_ask,
        since=who.since,
        started_at=row.started_at,
        event=who.event,
    )
    run.seq, run.tail, run.attempt = row.seq, row.tail, row.attempt
    run.id = row.id or f"r{row.seq}"
    run.paused = row.status == Status.PAUSED
    run.status = Status(row.status)
    run.wake_at = row.wake_at
    run.course = Course(entries, who.since)
    run.cancelled = run.course.cancelled
    return run


def approval_id(run: LiveRun, waiting: Waiting) -> str:
    """What a person answers to."""
    return f"{run.id}:{waiting.branch.path}{waiting.no}"


def body_of(workflow: Workflow, input: Raw, event: str, course: Course) -> Callable[[Run], Coroutine[Any, Any, Any]]:
    """What a run executes now: its workflow's body, or the handler of its failure.

    Raises:
        InvalidInput: the workflow cannot read its input any more.
    """
    given = workflow.decode_input(input, event)
    handler, failing = workflow.on_failure, course.failing
    if failing is not None and handler is not None:
        return lambda verbs: handler(verbs, given, failing)
    return lambda verbs: workflow.body(verbs, given)


def unregistered(workflow: str, version: int) -> str:
    """Why a run is stranded."""
    return (
        f"workflow {workflow!r} version {version} is not registered: the code or the document that the run was started "
        "with is not here, or cannot be used. Give it back (code: Engine(workflows=[...])) and the run goes on; or "
        "cancel the run"
    )


def event_record(event: Event, kind: str, at: int, **fields: Any) -> Record:
    """The record that publishes an event.

    Raises:
        InvalidInput: it cannot be put on the tape, or is too large.
    """
    try:
        wire = event.to_wire()
    except ValueError as error:  # pydantic's: a field of any type holds what is no JSON
        expected = f"values that JSON can hold ({said(error)})"
        raise InvalidInput(f"event {event.event_name!r}", type(event).__name__, expected) from None
    if len(wire) > MAX_VALUE:
        raise InvalidInput(
            f"event {event.event_name!r}",
            f"{len(wire):,} bytes",
            f"at most {MAX_VALUE:,} bytes of JSON; store it elsewhere (a file, a table, a recording) and publish its "
            "path or key",
        )
    return Record(kind, at, event.event_name, value=Raw(wire), version=event.event_version, **fields)
