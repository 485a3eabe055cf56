"""Questions that wait for a person, and their answers."""

from __future__ import annotations

from pydantic import Field

from tickwork.errors import NotFound
from tickwork.service.api.operation import Args, Call, Done, Limit, Page, command, query
from tickwork.service.approvals import ApprovalLine, approval_page, owner_of
from tickwork.service.operations.asking import by
from tickwork.service.operations.paging import LongCursor, Place, cursor_of, place_of


class ApprovalsList(Args):
    """Which questions."""

    limit: Limit = 20
    cursor: LongCursor = None


class ApprovalAnswer(Args):
    """The answer to a question."""

    approval: str = Field(min_length=1, max_length=1_000, description="The id of an open question.")
    yes: bool = Field(description="Yes or no.")


@query("approvals.list", "GET /approvals", owned=True, examples=({"limit": 5},))
def approvals_list(call: Call, args: ApprovalsList) -> Page[ApprovalLine]:
    """Questions that runs ask and that wait for a person, oldest first."""
    after = place_of(args.cursor, tuple[Place, str])
    items, following = approval_page(call.queries, call.caller.owner, after, args.limit)
    return Page(items=items, next=None if following is None else cursor_of(following))


@command(
    "approvals.answer", "POST /approvals/{approval}", owned=True, again="look",
    examples=({"approval": "r12:approve-launch", "yes": True},),
)  # fmt: skip
async def approvals_answer(call: Call, args: ApprovalAnswer) -> Done:
    """Answer a question with yes or no; the run that asks hears it at once, and who said it is recorded."""
    if call.caller.owner is not None:
        whose = await call.read(lambda queries: owner_of(queries, args.approval))
        if whose != call.caller.owner:
            raise NotFound("approval", args.approval, "the id of an open question of a run of yours")
    await call.ask("approve", id=args.approval, yes=args.yes, by=by(call))
    return Done(id=args.approval, done="answered yes" if args.yes else "answered no")
