"""Runs, as a list for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from tickwork.engines.embedded import run_pages
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries, RunInfo
from tickwork.engines.embedded.run_pages import Wanted


class RunLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One run in a line."""

    id: str
    workflow: str
    version: int
    key: str
    status: str
    attempt: int
    owner: str
    seq: int
    parent: str | None
    started_at: datetime
    changed_at: datetime
    wake_at: datetime | None
    result: Any
    error: str | None


def run_lines(
    queries: Queries,
    status: Sequence[str] | str | None = None,
    workflow: str | None = None,
    limit: int = 20,
) -> list[RunLine]:
    """Runs with what they came to, newest first.

    Raises:
        InvalidInput: an unknown status, or a limit below 1.
    """
    return [_line(queries, info) for info in queries.runs(status, workflow, limit=limit)]


def run_page(queries: Queries, wanted: Wanted, before: int | None, limit: int) -> tuple[list[RunLine], int | None]:
    """Runs with what they came to, newest first, and where the next page begins (see ``engines.embedded.run_pages``).

    One line costs three reads at most, however long its run is.
    """
    rows, following = run_pages.page(queries.reader, wanted, before, limit)
    return [_line(queries, queries.info(row), row) for row in rows], following


def _line(queries: Queries, info: RunInfo, row: RunRow | None = None) -> RunLine:
    row = row or queries.row(info.id)
    result, error = queries.ending(row)
    return RunLine(
        id=info.id,
        workflow=info.workflow,
        version=info.version,
        key=info.key,
        status=info.status,
        attempt=info.attempt,
        owner=info.owner,
        seq=info.seq,
        parent=info.parent,
        started_at=info.started_at,
        changed_at=info.changed_at,
        wake_at=info.wake_at,
        result=msgspec.json.decode(result) if bytes(result) else None,
        error=error,
    )


def workflows(queries: Queries) -> str:
    """The names of the workflows that have runs on a tape, for people."""
    rows = queries.reader.rows("SELECT DISTINCT workflow FROM runs ORDER BY workflow")
    return ", ".join(name for (name,) in rows) or "no runs"


def outcome(line: RunLine) -> tuple[str, str]:
    """What a run came to, in two words and a half: its action, or its status; and why."""
    if isinstance(line.result, dict) and "action" in line.result:
        return str(line.result["action"]), str(line.result.get("reason") or "")
    if line.error is not None:
        return line.status, line.error
    return line.status, "" if line.result is None else msgspec.json.encode(line.result).decode()
