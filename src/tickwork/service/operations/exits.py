"""Exit plans: which positions are protected and where their stops stand; one closed or resized by hand."""

from __future__ import annotations

from typing import Any, cast

from pydantic import Field

from tickwork.errors import Conflict, NotRunning
from tickwork.service.api.operation import Args, Call, Done, Page, command, query
from tickwork.service.exits_lines import ExitLine, exit_lines
from tickwork.service.operations.asking import ask_trading, check_account
from tickwork.service.operations.orders import OnlyAccount
from tickwork.values import Quantity

Resized = cast("type[dict[str, Any] | None]", dict[str, Any] | None)


class ExitsList(Args):
    """Which plans."""

    account: OnlyAccount = ""


class OnePlan(Args):
    """Which plan."""

    plan: str = Field(min_length=1, max_length=300, description="A plan's id.")


class ExitCancel(OnePlan):
    """Which plan, and why."""

    reason: str = Field(min_length=1, max_length=1_000, description="Why; recorded.")


class ExitResize(OnePlan):
    """Which plan, and how large its position is."""

    quantity: Quantity = Field(description="What is held now, base units; 0 ends the plan.")


@query("exits.list", "GET /exits", verb="exits", examples=({"account": "main"},))
async def exits_list(call: Call, args: ExitsList) -> Page[ExitLine]:
    """Open exit plans, the oldest first: of the process that trades, else as the tape has them."""
    try:
        return Page(items=await ask_trading(call, list[ExitLine], "exits", account=args.account))
    except (NotRunning, Conflict):
        return Page(items=await call.read(lambda queries: exit_lines(queries, args.account)))


@command(
    "exits.cancel",
    "POST /exits/{plan}/cancel",
    verb="exits",
    scope="trade",
    examples=({"plan": "r12.exits", "reason": "by hand"},),
)
async def exits_cancel(call: Call, args: ExitCancel) -> Done:
    """End a plan: exits on their way are cancelled, and nothing sells the position any more."""
    await _check(call, "exits.cancel", args.plan)
    await ask_trading(call, dict, "exits.close", plan=args.plan, reason=args.reason)
    return Done(id=args.plan, done="closed")


@command(
    "exits.resize",
    "POST /exits/{plan}/resize",
    verb="exits",
    scope="trade",
    examples=({"plan": "r12.exits", "quantity": "0.5"},),
)
async def exits_resize(call: Call, args: ExitResize) -> Done:
    """Say that a plan's position is of another size now; what is on its way for more than that is cancelled."""
    await _check(call, "exits.resize", args.plan)
    found = await ask_trading(call, Resized, "exits.resize", plan=args.plan, quantity=str(args.quantity))
    return Done(id=args.plan, done=f"{found['left']} left" if found else "closed: nothing is left of it")


async def _check(call: Call, operation: str, plan: str) -> None:
    """
    Raises:
        Forbidden: the plan is on an account that the caller may not trade.
    """
    if call.caller.accounts is None:
        return
    for line in await ask_trading(call, list[ExitLine], "exits", account=""):
        if line.plan == plan:
            check_account(call, operation, line.account)
