"""One run as people and programs look at it: what it was given, what it came to, what it waits for, its steps."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Final

import msgspec

from tickwork.core.tape import Entry, readable
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import started
from tickwork.errors import NotFound
from tickwork.service.previews import bounded, bounded_raw
from tickwork.service.run_steps import Step, StepLine, line_of, steps_of

CHILDREN_MAX: Final = 20
"""Children that are named; all of them are listed by ``runs.list`` with ``parent``."""

WHOLE: Final = "run"
"""What stands for the run itself where a step is asked for."""


class RunShown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One run."""

    id: str
    workflow: str
    version: int
    key: str
    status: str
    attempt: int
    owner: str
    seq: int
    started_at: datetime
    changed_at: datetime
    wake_at: datetime | None
    problem: str | None
    """Why it cannot go on."""
    input: Any
    result: Any
    error: str | None
    waiting_for: list[str]
    parent: str | None
    children: list[str]
    """The first ones."""
    children_total: int
    event: int | None
    """Position of the event that started it."""
    rerun_of: str | None
    """The run whose input it was given once more."""
    forked_from: str | None
    counts: dict[str, int]
    """Steps by status."""
    steps: list[StepLine]
    """The first ones."""
    steps_total: int
    next_step: str | None
    """The cursor of the rest, for ``runs.steps``."""


class WholeStep(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a step, or a run, was given and what came of it, whole."""

    run: str
    step: str
    input: Any
    output: Any
    error: str | None


def history(queries: Queries, row: RunRow) -> list[Entry]:
    """A run's records, in order."""
    return queries.reader.history(row.tail, row.seq)


def shown(queries: Queries, row: RunRow, steps_max: int) -> RunShown:
    """A run, with its first steps."""
    info, entries = queries.info(row), history(queries, row)
    who, steps = started(entries[0]), steps_of(entries)
    result, error = queries.ending(row)
    href = f"/api/v1/runs/{info.id}/steps/{WHOLE}/io"
    event, rerun_of = _cause(queries, entries[0])
    children = queries.reader.rows(
        "SELECT seq, id FROM runs WHERE parent=? ORDER BY seq LIMIT ?", (row.seq, CHILDREN_MAX)
    )
    return RunShown(
        id=info.id,
        workflow=info.workflow,
        version=info.version,
        key=info.key,
        status=info.status,
        attempt=info.attempt,
        owner=info.owner,
        seq=info.seq,
        started_at=info.started_at,
        changed_at=info.changed_at,
        wake_at=info.wake_at,
        problem=info.problem,
        input=bounded_raw(who.input, href),
        result=bounded_raw(result, href),
        error=error,
        waiting_for=queries.waiting(row, entries),
        parent=info.parent,
        children=[id or f"r{seq}" for seq, id in children],
        children_total=queries.reader.one("SELECT count(*) FROM runs WHERE parent=?", (row.seq,)),
        event=event,
        rerun_of=rerun_of,
        forked_from=next((entry.record.name for entry in entries[:2] if entry.record.kind == "copied"), None),
        counts=dict(Counter(step.status for step in steps)),
        steps=[line_of(step, info.id) for step in steps[:steps_max]],
        steps_total=len(steps),
        next_step=str(steps_max) if len(steps) > steps_max else None,
    )


def _cause(queries: Queries, first: Entry) -> tuple[int | None, str | None]:
    """The event that started a run, or the run that it was started anew of."""
    ref = first.record.ref
    row = queries.reader.run(ref) if ref else None
    if row is not None:
        return None, row.id or f"r{row.seq}"
    return ref or None, None


def step_named(steps: list[Step], run: str, id: str) -> Step:
    """
    Raises:
        NotFound: the run has no such step.
    """
    found = next((step for step in steps if step.id == id), None)
    if found is None:
        known = ", ".join(step.id for step in steps[:10]) or "it has none"
        raise NotFound("step", id, f"the id of a step of run {run}: {known}")
    return found


def whole(queries: Queries, row: RunRow, id: str) -> WholeStep:
    """What a step was given and gave; of the run itself for ``run``.

    Raises:
        NotFound: there is no such step.
    """
    run, entries = row.id or f"r{row.seq}", history(queries, row)
    if id == WHOLE:
        result, error = queries.ending(row)
        return WholeStep(run=run, step=id, input=_value(started(entries[0]).input), output=_value(result), error=error)
    step = step_named(steps_of(entries), run, id)
    return WholeStep(run=run, step=id, input=_value(step.input), output=_value(step.output), error=step.error)


def _value(data: Any) -> Any:
    return msgspec.json.decode(bytes(data)) if bytes(data) else None


def record_lines(run: str, entries: list[Entry], *, whole: bool = False) -> list[dict[str, Any]]:
    """Records of a run as JSON objects, what they hold bounded unless ``whole``."""
    base = f"/api/v1/runs/{run}/records?limit=1&whole=true&after="
    return [bounded_record(entry, None if whole else f"{base}{entry.seq - 1}") for entry in entries]


def bounded_record(entry: Entry, href: str | None) -> dict[str, Any]:
    """A record as a JSON object, with previews of what is large in it; ``None``: whole."""
    record = readable(entry)
    if href is None:
        return record
    return {name: bounded(value, href) if name in ("value", "error") else value for name, value in record.items()}
