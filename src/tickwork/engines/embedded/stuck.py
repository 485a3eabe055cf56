"""Runs that cannot go on, because their workflow is gone or their code and tape disagree: cancelled as they stand.

There is no body to throw ``Cancelled`` into, so nothing that it would do about that is done: its ``finally`` blocks and
the undos of its sagas. The record and an alert say so, with the effects of which nobody knows what became.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.making import revived
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.status import Status
from tickwork.errors import Cancelled

if TYPE_CHECKING:
    from tickwork.engines.embedded.runs import Runs


def cancel_stuck(runs: Runs, seq: int, reason: str) -> bool:
    """Record that a run which cannot go on is cancelled. False: it can go on, or is over.

    To be called when all that has happened so far is on disk.
    """
    row = None if seq in runs.hot else runs.reader.run(seq)
    if row is None or Status(row.status).finished:
        return False
    known = runs.workflows.get((row.workflow, row.version))
    if known is not None and seq not in runs.stuck:
        return False
    run = revived(runs, known or _absent(row), row, runs.reader.history(row.tail, seq))
    runs.hot[seq] = run
    if row.id is not None:
        runs.ids[row.id] = seq
    runs.stuck.pop(seq, None)
    runs.stranded.get((row.workflow, row.version), set()).discard(seq)
    _let_go(runs, run)
    run.problem = _told(run, reason, gone=known is None)
    runs.endings.cancelled(run, run.problem)
    runs.letters.alert(run.id, f"run of {row.workflow!r} was cancelled as it stood", Cancelled(run.problem))
    return True


def _absent(row: RunRow) -> Workflow:
    """Stands for a workflow that is not there: what hears of the end asks for no more than its name."""

    async def absent(run: Run, input: Any) -> None:
        """Is never run."""

    return workflow(row.workflow, version=row.version)(absent)


def _told(run: LiveRun, reason: str, *, gone: bool) -> str:
    why = "its workflow is not registered" if gone else "its code and its records disagree"
    text = f"{reason} (cancelled as it stood because {why}: its body did not hear of it, none of its undos were made"
    effects = sorted(intent.record.name for intent in run.course.open.values())
    if effects:
        text += f"; nobody knows whether these effects were made: {', '.join(map(repr, effects))}"
    return text + ")"


def _let_go(runs: Runs, run: LiveRun) -> None:
    """Take away what it waited for: events, answers of people, children."""
    batch, reader = runs.log.batch, runs.reader
    batch.waits_done.update(
        (key, run.seq, place) for key, place in reader.rows("SELECT key, place FROM waits WHERE run=?", (run.seq,))
    )
    for (question,) in reader.rows("SELECT id FROM approvals WHERE run=?", (run.seq,)):
        batch.put("approvals", (question,), None)
    unfinished = "SELECT seq FROM runs WHERE parent=? AND status<?"
    for (child,) in reader.rows(unfinished, (run.seq, int(Status.DONE))):
        entry = reader.record(child)
        if entry is not None and started(entry).parent_ask:
            _cancel_later(runs, child, f"its parent {run.id} was cancelled")


def _cancel_later(runs: Runs, seq: int, reason: str) -> None:
    runs.outbox.append(lambda: runs.cancel_seq(seq, reason))
