"""Performance: how accounts, workflows and agents have done."""

from __future__ import annotations

from pydantic import Field

from tickwork.service.api.operation import Args, Call, Page, query
from tickwork.service.figures import LEAST, AccountFigures, figures
from tickwork.service.operations.orders import OnlyAccount
from tickwork.service.owners import chosen


class PerformanceOf(Args):
    """Whose."""

    account: OnlyAccount = ""
    workflow: str | None = Field(None, max_length=200, description="Only the share of this workflow.")
    agent: str | None = Field(None, max_length=200, description="Only the share of this agent, or person.")
    points: int = Field(200, ge=LEAST, le=2_000, description="Of a curve, at most so many points.")


@query(
    "performance.show", "GET /performance", tool="get_pnl", owned=True, examples=({"account": "main", "points": 50},)
)
def performance_show(call: Call, args: PerformanceOf) -> Page[AccountFigures]:
    """How accounts have done: equity, profit, drawdown, ratios and trades, and the share of each workflow and agent."""
    accounts = chosen(call.queries, call.caller.owner, args.account)
    found = figures(call.queries, accounts=accounts, workflow=args.workflow, agent=args.agent, points=args.points)
    return Page(items=found)
