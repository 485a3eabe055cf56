"""Runs: which there are, and what one wants of them."""

from __future__ import annotations

from pydantic import Field

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, NotFound
from tickwork.service.api.operation import Args, Call, Cursor, Done, Limit, Page, command, query
from tickwork.service.runs import RunLine, run_lines


class RunsList(Args):
    """Which runs."""

    status: str | None = Field(None, description="Only runs that are e.g. running, waiting, done, dead.")
    workflow: str | None = Field(None, description="Only runs of this workflow.")
    limit: Limit = 20
    cursor: Cursor = None


class OneRun(Args):
    """Which run."""

    run: str = Field(min_length=1, max_length=200, description="The id of a run.")


class RunCancel(OneRun):
    """Which run, and why."""

    reason: str = Field("", max_length=1_000, description="Why; recorded.")


@query("runs.list", "GET /runs", verb="runs", owned=True, examples=({"status": "dead", "limit": 5},))
def runs_list(call: Call, args: RunsList) -> Page[RunLine]:
    """Runs, newest first."""
    before = position(args.cursor)
    found = run_lines(call.queries, args.status, args.workflow, args.limit + 1, owner=call.caller.owner, before=before)
    more = len(found) > args.limit
    items = found[: args.limit]
    return Page(items=items, next=str(items[-1].seq) if more else None)


@command("runs.cancel", "POST /runs/{run}/cancel", verb="cancel", owned=True, examples=({"run": "r12"},))
async def runs_cancel(call: Call, args: RunCancel) -> Done:
    """Cancel a run; an effect under way is followed to its outcome first, then undos run."""
    await mine(call, args.run)
    await call.ask("cancel", run=args.run, reason=args.reason)
    return Done(id=args.run, done="cancelled")


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
    row = queries.row(run)
    if owner is not None and row.owner != owner:
        raise NotFound("run", run, "the id of a run of yours")
    return row


def position(cursor: str | None) -> int | None:
    """The position on the tape that a cursor is.

    Raises:
        InvalidInput: it is none.
    """
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 20):
        raise InvalidInput("cursor", cursor, "`next` of the page before")
    return int(cursor)
