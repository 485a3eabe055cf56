"""Runs started anew by hand: a run's input once more, or another; and a fork that was asked for before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw

from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.family import check_id, same_input
from tickwork.engines.embedded.handle import Handle
from tickwork.engines.embedded.reader import started
from tickwork.errors import Conflict

if TYPE_CHECKING:
    from tickwork.engines.embedded.engine import Engine


async def rerun(engine: Engine, id: str, input: Any = None, new_id: str | None = None) -> Handle:
    """Start a new run of a run's workflow, in its newest version, with its input or another.

    It does everything anew. What flow control says of runs that are not to be (``singleton``, ``idempotency``) is not
    asked: a person wants this one. Asked for again with the same ``new_id`` it is the run of then.

    Raises:
        NotFound: no such run. Conflict: nobody here has its workflow. InvalidInput: the input, or an id that is taken.
    """
    await engine.durable()
    row = engine.queries.row(id)
    known = [one for one in engine.workflows if one.name == row.workflow]
    if not known:
        raise Conflict("run", id, f"a run whose workflow is registered ({row.workflow!r})")
    workflow = max(known, key=lambda one: one.version)
    entry = engine.queries.reader.record(row.seq)
    assert entry is not None
    who = started(entry)
    encoded, event = (who.input, who.event) if input is None else (workflow.encode_input(input), "")
    if new_id is not None:
        check_id(new_id)
        found = engine._runs.find(new_id)
        if found is not None:
            same_input(engine._runs, found, new_id, workflow, Raw(bytes(encoded)))
            return Handle(engine, new_id, found, workflow)
    return await _start(engine, workflow, encoded, row.owner, row.seq, event, new_id)


async def _start(
    engine: Engine, workflow: Workflow, input: Raw, owner: str, of: int, event: str, new_id: str | None
) -> Handle:
    with engine._crank:
        run = engine._runs.start(workflow, Raw(bytes(input)), given_id=new_id, owner=owner, ref=of, event=event)
    await engine.durable()
    return Handle(engine, run.id, run.seq, workflow, run)


async def forked(engine: Engine, id: str, new_id: str) -> bool:
    """Was this run forked into one of the new id?

    Raises:
        Conflict: the new id is that of another run.
    """
    check_id(new_id)
    if engine._runs.find(new_id) is None:
        return False
    await engine.durable()
    row = engine.queries.row(new_id)
    records = engine.queries.reader.chunk(row.seq)
    if not any(entry.record.kind == "copied" and entry.record.name == id for entry in records):
        raise Conflict("run id", new_id, f"an id that no run has but a fork of {id}")
    return True
