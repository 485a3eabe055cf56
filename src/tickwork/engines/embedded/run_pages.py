"""Runs by page, newest first, at a cost that is bounded however few of them are wanted.

Runs are found by their position; there is no index on what else one may ask of them, because each would be paid for by
every run. So a page looks at a window of runs, and where that holds too few of those that are wanted, says where the
next page goes on: pages may be short, or empty, before the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.status import Status

WINDOW: Final = 5_000
"""Runs that one page looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which runs."""

    status: Sequence[Status] = ()
    workflow: str | None = None
    owner: str | None = None
    key: str | None = None
    parent: int | None = None
    """Position of the run whose children are wanted."""
    since: int | None = None
    """Started then (ns) or later."""
    until: int | None = None
    """Started before that."""


def page(reader: Reader, wanted: Wanted, before: int | None, limit: int) -> tuple[list[RunRow], int | None]:
    """Up to ``limit`` runs, newest first, and before which position the next page begins; ``None``: there is none."""
    top = _top(reader, wanted, before)
    floor = 0 if wanted.since is None else first_since(reader, wanted.since)
    base, bound = _base(wanted)
    clauses, values = _clauses(wanted)
    window = f"SELECT * FROM runs WHERE {base}seq<? AND seq>=? ORDER BY seq DESC LIMIT {WINDOW}"
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    rows = reader.rows(f"SELECT * FROM ({window}){where} LIMIT ?", (*bound, top, floor, *values, limit + 1))
    found = [reader._row(row) for row in rows]
    if len(found) > limit:
        return found[:limit], found[limit - 1].seq
    lowest = reader.rows(f"SELECT count(*), min(seq) FROM ({window.replace('*', 'seq', 1)})", (*bound, top, floor))
    looked, last = lowest[0]
    return found, last if looked == WINDOW else None


def _top(reader: Reader, wanted: Wanted, before: int | None) -> int:
    """The position below which all that are wanted are."""
    tops = [] if before is None else [before]
    if wanted.until is not None:
        tops.append(first_since(reader, wanted.until))
    return min(tops, default=1 << 62)


def _base(wanted: Wanted) -> tuple[str, list[Any]]:
    """What an index finds, if there is one for what is wanted."""
    if wanted.parent is not None:
        return "parent=? AND ", [wanted.parent]
    if wanted.workflow is not None and wanted.workflow.startswith("doc/"):
        return "workflow=? AND substr(workflow, 1, 4) = 'doc/' AND ", [wanted.workflow]
    return "", []


def _clauses(wanted: Wanted) -> tuple[list[str], list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    if wanted.status:
        clauses.append(f"status IN ({','.join('?' * len(wanted.status))})")
        values += map(int, wanted.status)
    for column in ("workflow", "owner", "key"):
        value = getattr(wanted, column)
        if value is not None:
            clauses.append(f"{column}=?")
            values.append(value)
    return clauses, values


def first_since(reader: Reader, time: int) -> int:
    """The position from which on all runs were started at a time (ns) or later: runs are in the order of their time."""
    low, high = 0, (reader.one("SELECT max(seq) FROM runs") or 0) + 1
    while low < high:
        middle = (low + high) // 2
        rows = reader.rows("SELECT seq, started_at FROM runs WHERE seq>=? ORDER BY seq LIMIT 1", (middle,))
        if not rows or rows[0][1] >= time:
            high = middle
        else:
            low = rows[0][0] + 1
    return low
