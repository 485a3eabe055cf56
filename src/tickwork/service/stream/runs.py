"""Runs as a list: the newest, those that work now or come next, and those that need a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.status import Status
from tickwork.errors import TapeCorrupt
from tickwork.service.run_shown import WHOLE
from tickwork.service.stream.entities import Fields, Key, bounded, cut
from tickwork.service.stream.part import WINDOW, Look, Part, RowPart

DUE: Final = 50
"""Runs that work now or come next: so many are shown, beside the newest."""

STUCK: Final = 50
"""Dead, paused, stranded and diverged ones, beside the newest."""


def run_id(reader: Reader, seq: int) -> str:
    """The id of the run at a position."""
    row = reader.run(seq)
    return (row.id if row is not None else None) or f"r{seq}"


def row_at(reader: Reader, seq: int) -> RunRow:
    """The row of a run that there is.

    Raises:
        TapeCorrupt: there is none.
    """
    row = reader.run(seq)
    if row is None:
        raise TapeCorrupt(f"run {seq} is missing from the tape: restore it from a backup")
    return row


def run_fields(queries: Queries, row: RunRow) -> Fields:
    """A run in a line."""
    info = queries.info(row)
    result, error = queries.ending(row)
    return {
        "id": info.id,
        "workflow": info.workflow,
        "version": info.version,
        "status": info.status,
        "attempt": info.attempt,
        "owner": info.owner,
        "key": info.key,
        "seq": info.seq,
        "parent": info.parent,
        "startedAt": info.started_at,
        "changedAt": info.changed_at,
        "wakeAt": info.wake_at,
        "problem": info.problem,
        "result": bounded(result, f"/api/v1/runs/{info.id}/steps/{WHOLE}/io"),
        "error": None if error is None else cut(error),
    }


class Runs(RowPart):
    """Runs; of one owner, or of everybody."""

    kinds: ClassVar = ("run",)

    def __init__(self, owner: str | None = None) -> None:
        super().__init__()
        self._owner = owner

    @property
    def scans(self) -> bool:  # type: ignore[override]
        """Those of an owner may lie far apart."""
        return self._owner is not None

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """Each once."""
        rows = look.reader.rows
        if self._owner is not None:
            found = rows("SELECT * FROM runs WHERE owner=? ORDER BY seq DESC LIMIT ?", (self._owner, WINDOW))
        else:
            found = rows("SELECT * FROM runs ORDER BY seq DESC LIMIT ?", (WINDOW,))
            found += rows("SELECT * FROM runs WHERE wake_at IS NOT NULL ORDER BY wake_at, seq LIMIT ?", (DUE,))
            found += rows(
                "SELECT * FROM runs WHERE status BETWEEN 2 AND 4 OR status = 11 ORDER BY seq DESC LIMIT ?", (STUCK,)
            )
        return [(("run", row[1] or f"r{row[0]}"), row) for row in found]

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """A line."""
        return run_fields(look.queries, row_at(look.reader, row[0]))


class Counts(Part):
    """How many runs there are in each status, and how much needs a person."""

    kinds: ClassVar = ("count",)
    scans: ClassVar = True

    def __init__(self, owner: str | None = None) -> None:
        super().__init__()
        self._owner = owner

    def entities(self, look: Look) -> dict[Key, Fields]:
        """By what is counted."""
        reader = look.reader
        if self._owner is None:
            counted = reader.rows("SELECT status, count(*) FROM runs GROUP BY status")
        else:
            counted = reader.rows("SELECT status, count(*) FROM runs WHERE owner=? GROUP BY status", (self._owner,))
        statuses = {status.name.lower(): 0 for status in Status}
        statuses |= {Status(status).name.lower(): number for status, number in counted}
        found: dict[Key, Fields] = {("count", "runs"): statuses}
        if self._owner is None:
            dead = reader.one("SELECT count(*) FROM messages WHERE stage=20 AND stage>=10 AND queue IN "
                              "(SELECT name FROM queues)")  # fmt: skip
            found["count", "letters"] = {"open": reader.one("SELECT count(*) FROM letters WHERE status=0") + dead}
            found["count", "approvals"] = {"open": reader.one("SELECT count(*) FROM approvals")}
        return found
