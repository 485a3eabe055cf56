"""Runs: which there are, what one did step by step, and what one wants of them."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from pydantic import AwareDatetime, Field

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries, status_named
from tickwork.engines.embedded.run_pages import Wanted
from tickwork.errors import Forbidden, InvalidInput, NotFound
from tickwork.graph.versioning.versions import named
from tickwork.service import run_shown
from tickwork.service.api.operation import Args, Call, Cursor, Done, Limit, Page, command, query
from tickwork.service.documents.ids import run_id
from tickwork.service.operations.asking import check_id_of_run, id_of
from tickwork.service.previews import bounded
from tickwork.service.run_shown import RunShown, WholeStep
from tickwork.service.run_steps import StepLine, line_of, steps_of
from tickwork.service.runs import RunLine, run_page
from tickwork.values import timestamp_ns

STEPS_SHOWN = 50


class RunsList(Args):
    """Which runs."""

    status: list[str] | None = Field(
        None, max_length=12, description="Only runs that are one of these: running, waiting, done, dead ..."
    )
    workflow: str | None = Field(None, max_length=500, description="Only runs of this workflow.")
    key: str | None = Field(None, max_length=1_000, description="Only runs about this, as the workflow's key says.")
    parent: str | None = Field(None, max_length=200, description="Only runs that this run started.")
    owner: str | None = Field(None, max_length=200, description="Only runs of this owner; by default everybody's.")
    since: AwareDatetime | None = Field(None, description="Only runs started then or later.")
    until: AwareDatetime | None = Field(None, description="Only runs started before that.")
    limit: Limit = 20
    cursor: Cursor = None


class OneRun(Args):
    """Which run."""

    run: str = Field(min_length=1, max_length=200, description="The id of a run.")


class RunCancel(OneRun):
    """Which run, and why."""

    reason: str = Field("", max_length=1_000, description="Why; recorded.")


class RunSteps(OneRun):
    """Which steps of which run."""

    limit: Limit = 50
    cursor: Cursor = None


class RunIO(OneRun):
    """Which step of which run."""

    step: str = Field(min_length=1, max_length=40, description="The id of a step; `run` for the run itself.")


class RunRecords(OneRun):
    """Which records of which run."""

    after: int = Field(0, ge=0, lt=1 << 62, description="Only records after this position of the tape.")
    limit: Limit = 100
    whole: bool = Field(False, description="Show large values whole; then 10 records at most.")


class RunStart(Args):
    """What to start."""

    workflow: str = Field(min_length=1, max_length=500, description="The name of a workflow.")
    input: Any = Field(None, description="What it is given, in JSON.")
    version: int | None = Field(None, ge=1, lt=1 << 31, description="Of the workflow; by default the newest.")
    id: str | None = Field(
        None, min_length=1, max_length=120, description="An id for the run: started again with it, it is the same run."
    )


class RunRerun(OneRun):
    """Which run to start once more."""

    input: Any = Field(None, description="Instead of the input that it had.")


class RunFork(OneRun):
    """Which run to copy, up to where."""

    from_step: str = Field(
        min_length=1, max_length=300, description="The name of the step to run on from; `name#2` is the third of it."
    )
    input: Any = Field(None, description="Instead of the input that it had.")
    live: Literal[True] = Field(description="It acts for real, on the accounts of this process: that has to be said.")


class RunMade(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run that was started."""

    run: str
    """Its id."""
    id: str
    done: str


@query(
    "runs.list", "GET /runs", verb="runs", owned=True,
    examples=({"status": ["dead"], "limit": 5}, {"workflow": "listing-sniper", "since": "2026-01-05T00:00:00Z"}),
)  # fmt: skip
def runs_list(call: Call, args: RunsList) -> Page[RunLine]:
    """Runs, newest first.

    A page looks at 5,000 runs: where few of them are wanted it may be short, and `next` says where to go on.
    """
    owner = call.caller.owner
    if owner is not None and args.owner not in (None, owner):
        raise Forbidden("runs.list", call.caller.name, "a caller that is bound to no owner")
    parent = None if args.parent is None else owned_row(call.queries, args.parent, owner).seq
    wanted = Wanted(
        status=[status_named(one) for one in args.status or ()],
        workflow=args.workflow,
        owner=args.owner if owner is None else owner,
        key=args.key,
        parent=parent,
        since=None if args.since is None else timestamp_ns(args.since),
        until=None if args.until is None else timestamp_ns(args.until),
    )
    lines, following = run_page(call.queries, wanted, position(args.cursor), args.limit)
    return Page(items=[_bounded(line) for line in lines], next=None if following is None else str(following))


def _bounded(line: RunLine) -> RunLine:
    fields = {name: getattr(line, name) for name in RunLine.__struct_fields__}
    return RunLine(**fields | {"result": bounded(line.result, f"/api/v1/runs/{line.id}/steps/run/io")})


@query("runs.show", "GET /runs/{run}", verb="show", owned=True, examples=({"run": "r12"},))
def runs_show(call: Call, args: OneRun) -> RunShown:
    """One run: its input and result, what it waits for, its first steps with their attempts."""
    return run_shown.shown(call.queries, owned_row(call.queries, args.run, call.caller.owner), STEPS_SHOWN)


@query("runs.steps", "GET /runs/{run}/steps", verb="show", owned=True, examples=({"run": "r12", "limit": 20},))
def runs_steps(call: Call, args: RunSteps) -> Page[StepLine]:
    """The steps of a run, in the order in which they began."""
    row = owned_row(call.queries, args.run, call.caller.owner)
    first = position(args.cursor) or 0
    steps = steps_of(run_shown.history(call.queries, row))
    end = first + args.limit
    items = [line_of(step, args.run) for step in steps[first:end]]
    return Page(items=items, next=str(end) if end < len(steps) else None)


@query("runs.io", "GET /runs/{run}/steps/{step}/io", verb="show", owned=True, examples=({"run": "r12", "step": "14"},))
def runs_io(call: Call, args: RunIO) -> WholeStep:
    """What a step was given and what came of it, whole; of the run itself for `run`."""
    return run_shown.whole(call.queries, owned_row(call.queries, args.run, call.caller.owner), args.step)


@query("runs.records", "GET /runs/{run}/records", verb="show", owned=True, examples=({"run": "r12"},))
def runs_records(call: Call, args: RunRecords) -> Page[dict[str, Any]]:
    """The records of a run as they are on the tape, in order."""
    row = owned_row(call.queries, args.run, call.caller.owner)
    entries = [one for one in run_shown.history(call.queries, row) if one.seq > args.after]
    limit = min(args.limit, 10) if args.whole else args.limit
    items = run_shown.record_lines(args.run, entries[:limit], whole=args.whole)
    return Page(items=items, next=str(entries[limit - 1].seq) if len(entries) > limit else None)


@command(
    "runs.start", "POST /runs", verb="run", owned=True, status=201,
    examples=({"workflow": "listing-sniper", "input": {"symbol": "ABC/USDT"}},),
)  # fmt: skip
async def runs_start(call: Call, args: RunStart) -> RunMade:
    """Start a run of a workflow. With an id, or an idempotency key, started again it is the same run."""
    _may_start(call, args.workflow)
    if named(args.workflow) is not None:
        expected = "a workflow in Python: one that is a document is started by workflows.execute"
        raise InvalidInput("workflow", args.workflow, expected)
    if args.id is not None:
        check_id_of_run(args.id, "id")
    owner = call.caller.owner
    id = args.id if args.id is None or owner is None else run_id(owner, args.id)
    found = await call.ask(
        "start", workflow=args.workflow, input=args.input, id=id or id_of(call, "run"), version=args.version,
        owner=call.owner,
    )  # fmt: skip
    return RunMade(id=found, run=found, done="started")


@command("runs.cancel", "POST /runs/{run}/cancel", verb="cancel", owned=True, examples=({"run": "r12"},))
async def runs_cancel(call: Call, args: RunCancel) -> Done:
    """Cancel a run; an effect under way is followed to its outcome first, then undos run."""
    await mine(call, args.run)
    await call.ask("cancel", run=args.run, reason=args.reason)
    return Done(id=args.run, done="cancelled")


@command("runs.pause", "POST /runs/{run}/pause", verb="pause", owned=True, examples=({"run": "r12"},))
async def runs_pause(call: Call, args: OneRun) -> Done:
    """Let a run rest: it takes no more steps until it is resumed; effects under way are followed to their outcome."""
    await mine(call, args.run)
    await call.ask("pause", run=args.run)
    return Done(id=args.run, done="paused")


@command("runs.resume", "POST /runs/{run}/resume", verb="resume", owned=True, examples=({"run": "r12"},))
async def runs_resume(call: Call, args: OneRun) -> Done:
    """Let a paused run go on."""
    await mine(call, args.run)
    await call.ask("resume", run=args.run)
    return Done(id=args.run, done="resumed")


@command("runs.rerun", "POST /runs/{run}/rerun", owned=True, status=201, examples=({"run": "r12"},))
async def runs_rerun(call: Call, args: RunRerun) -> RunMade:
    """Start a run once more, with its input or another: a new run of the newest version, which does everything anew."""
    await _may_start_anew(call, args.run)
    found = await call.ask("rerun", run=args.run, input=args.input, id=id_of(call, "rerun"))
    return RunMade(id=found, run=found, done="started")


@command(
    "runs.fork", "POST /runs/{run}/fork", verb="fork", scope="trade", defines=True, owned=True, status=201,
    examples=({"run": "r12", "fromStep": "analyse", "live": True},),
)  # fmt: skip
async def runs_fork(call: Call, args: RunFork) -> RunMade:
    """Copy a run up to a step, and run on from there: a new run, which acts for real, with keys of its own.

    What was done before the step is taken over where its arguments are still the same.
    """
    await _may_start_anew(call, args.run)
    found = await call.ask(
        "fork", run=args.run, from_step=args.from_step, input=args.input, id=id_of(call, "fork"), live=args.live
    )
    return RunMade(id=found, run=found, done="forked")


@command("runs.redrive", "POST /runs/{run}/redrive", verb="redrive", owned=True, examples=({"run": "r12"},))
async def runs_redrive(call: Call, args: OneRun) -> Done:
    """A new attempt of a dead run; completed steps are kept."""
    await mine(call, args.run)
    await call.ask("redrive", run=args.run)
    return Done(id=args.run, done="redriven")


# ------------------------------------------------------------------------------------------------------- whose, where


_OURS: Final = frozenset({"exit", "flatten", "halt", "reconcile"})
"""Workflows that, besides those of ``tickwork/``, act on accounts for whoever asks by the operation that is for it."""


def is_ours(workflow: str) -> bool:
    """Is it one that only its own operation may start, because that says who may and on which account?"""
    return workflow.startswith("tickwork/") or workflow in _OURS


def _may_start(call: Call, workflow: str) -> None:
    """
    Raises:
        NotFound: a workflow of a document of somebody else's.
        Forbidden: one that trades for an operation that says on which account; its own operation is the way to it.
    """
    whose, owner = named(workflow), call.caller.owner
    if owner is not None and whose is not None and whose.owner != owner:
        raise NotFound("workflow", workflow, "the name of a workflow of yours")
    if is_ours(workflow):
        needs = "the operation that starts it, such as orders.place"
        raise Forbidden(f"a run of {workflow!r}", call.caller.name, needs)


async def _may_start_anew(call: Call, run: str) -> None:
    """
    Raises:
        NotFound: there is no such run for the caller. Forbidden: as ``_may_start``.
    """
    row = await call.read(lambda queries: owned_row(queries, run, call.caller.owner))
    _may_start(call, row.workflow)


async def mine(call: Call, run: str) -> None:
    """
    Raises:
        NotFound: there is no such run, or it is somebody else's: then it is one that is not there.
    """
    if call.caller.owner is not None:
        await call.read(lambda queries: owned_row(queries, run, call.caller.owner))


def owned_row(queries: Queries, run: str, owner: str | None) -> RunRow:
    """A run's row, if it is the owner's; ``None``: everybody's are.

    Raises:
        NotFound: there is no such run for that owner.
    """
    if owner is None:
        return queries.row(run)
    row = queries.reader.run_named(run)
    if row is None or row.owner != owner:
        raise NotFound("run", run, "the id of a run of yours")
    return row


def position(cursor: str | None) -> int | None:
    """The position on the tape that a cursor is.

    Raises:
        InvalidInput: it is none.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise InvalidInput("cursor", cursor, "`next` of the page before")
    return int(cursor)
