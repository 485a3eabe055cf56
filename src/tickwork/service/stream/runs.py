"""Runs as a list: the newest, those that work now or come next, and those that need a person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from tickwork.core.tape import Entry
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.status import Status
from tickwork.errors import TapeCorrupt
from tickwork.service.stream.entities import Fields, Key, bounded, words
from tickwork.service.stream.part import WINDOW, Look, Part, RowPart
from tickwork.values import from_ns

DUE: Final = 50
"""Runs that work now or come next: so many are shown, beside the newest."""

STUCK: Final = 50
"""Dead, paused, stranded and diverged ones, beside the newest."""

_ENDINGS: Final = frozenset({"done", "dead", "failed", "cancelled", "again", "stale"})


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


def run_fields(reader: Reader, row: RunRow) -> Fields:
    """A run in a line."""
    id = row.id or f"r{row.seq}"
    ending = _ending(reader, row)
    return {
        "id": id,
        "workflow": row.workflow,
        "version": row.version,
        "status": Status(row.status).name.lower(),
        "attempt": row.attempt,
        "owner": row.owner,
        "key": row.key,
        "seq": row.seq,
        "parent": run_id(reader, row.parent) if row.parent else None,
        "startedAt": from_ns(row.started_at),
        "changedAt": from_ns(row.changed_at),
        "wakeAt": from_ns(row.wake_at) if row.wake_at else None,
        "problem": row.problem,
        "result": None if ending is None else bounded(ending.record.value, f"/api/v1/runs/{id}"),
        "error": None if ending is None else words(ending.record.error),
    }


def _ending(reader: Reader, row: RunRow) -> Entry | None:
    """The record of how a run ended: it is in its last chunk."""
    if not Status(row.status).finished:
        return None
    return next((one for one in reversed(reader.chunk(row.tail)) if one.record.kind in _ENDINGS), None)


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
        return run_fields(look.reader, row_at(look.reader, row[0]))


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
