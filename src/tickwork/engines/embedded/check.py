"""Can the code of today go on with the runs of yesterday? Every unfinished run is replayed, and nothing is changed."""

from __future__ import annotations

from typing import Any

from tickwork.core.drive import PENDING, Drive, Waiting
from tickwork.core.replay import Course
from tickwork.core.tape import Entry, Record
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.making import body_of, unregistered
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.status import UNFINISHED
from tickwork.errors import InvalidInput, NonDeterministic

PAGE = 500


class _Onlooker:
    """Drives to where the records end, and answers nothing."""

    def answer(self, drive: Drive, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        return PENDING

    def record(self, drive: Drive, record: Record) -> None:
        """Records nothing."""

    def forget(self, drive: Drive, waiting: Waiting) -> None:
        """Nothing is under way."""

    def doomed(self, drive: Drive, waiting: Waiting) -> None:
        """Nothing is under way."""


def problems(runs: Runs) -> dict[str, str]:
    """Unfinished runs that this code cannot go on with: id -> why."""
    found: dict[str, str] = {}
    before: int | None = None
    while rows := runs.reader.runs(UNFINISHED, None, None, before, PAGE):
        for row in rows:
            why = _problem(runs, row)
            if why is not None:
                found[row.id or f"r{row.seq}"] = why
        before = rows[-1].seq
    return found


def _problem(runs: Runs, row: RunRow) -> str | None:
    workflow = runs.workflows.get((row.workflow, row.version))
    if workflow is None:
        return unregistered(row.workflow, row.version)
    entries = runs.reader.history(row.tail)
    who = started(entries[0])
    course = Course(entries, who.since)
    id = row.id or f"r{row.seq}"
    drive: Drive | None = None
    try:
        body = body_of(workflow, who.input, who.event, course)
        drive = Drive(body, id, row.owner, runs.names.seed(row.seq, id), _Onlooker(), course)
        drive.start()
    except (NonDeterministic, InvalidInput) as error:
        return str(error)
    finally:
        if drive is not None:
            drive.close()
    return None
