"""Risk: how the limits of accounts stand, and what accounts are exposed to."""

from __future__ import annotations

from tickwork.service.accounts.books import AccountExposure, LimitLine
from tickwork.service.api.operation import Args, Call, Page, query
from tickwork.service.operations.asking import ask_trading
from tickwork.service.operations.orders import OnlyAccount


class RiskOf(Args):
    """Whose."""

    account: OnlyAccount = ""


@query("risk.limits", "GET /risk/limits", owned=True, examples=({"account": "main"},))
async def risk_limits(call: Call, args: RiskOf) -> Page[LimitLine]:
    """How every limit of account, workflow and symbol stands now: the limit, the actual figure, how much of it is used.

    Those that only an order can be held against, such as the largest order, are not among them.
    """
    asked = ask_trading(call, list[LimitLine], "risk.limits", account=args.account, owner=call.caller.owner)
    return Page(items=await asked)


@query("risk.exposure", "GET /risk/exposure", owned=True, examples=({"account": "main"},))
async def risk_exposure(call: Call, args: RiskOf) -> Page[AccountExposure]:
    """What accounts are exposed to, as their limits count it: the worst case of what is held and on its way."""
    asked = ask_trading(call, list[AccountExposure], "risk.exposure", account=args.account, owner=call.caller.owner)
    return Page(items=await asked)
