"""Positions and money: what is held, and whose."""

from __future__ import annotations

from pydantic import Field

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import NotRunning
from tickwork.service.accounts.books import BalanceLine
from tickwork.service.api.operation import Args, Call, Page, query
from tickwork.service.ledgers import cash_on
from tickwork.service.operations.asking import ask_trading
from tickwork.service.operations.orders import OnlyAccount
from tickwork.service.owners import Accounts, chosen
from tickwork.service.positions import Positions, last_marks, positions
from tickwork.values import plain


class PositionsOf(Args):
    """Which positions."""

    account: OnlyAccount = ""
    symbol: str = Field("", max_length=60, description="Only in this symbol.")


class OfAccount(Args):
    """Which account."""

    account: OnlyAccount = ""


@query(
    "positions.list",
    "GET /positions",
    tool="get_positions",
    verb="positions",
    owned=True,
    examples=({"account": "main"},),
)
def positions_list(call: Call, args: PositionsOf) -> Positions:
    """What accounts hold, whose it is, and what it is worth at the last known prices.

    The sums are over the accounts that are asked for; `symbol` only chooses which positions are listed.
    """
    accounts = chosen(call.queries, call.caller.owner, args.account)
    found = positions(call.queries, last_marks(call.queries), accounts)
    found.positions = [
        line for line in found.positions if args.account in ("", line.account) and args.symbol in ("", line.symbol)
    ]
    return found


@query("balances.list", "GET /balances", tool="get_balances", owned=True, examples=({"account": "main"},))
async def balances_list(call: Call, args: OfAccount) -> Page[BalanceLine]:
    """Cash by account and currency: what there is, what orders on their way may need, what is free.

    Where no process trades it is what the tape says, and what orders may need is not known.
    """
    try:
        found = await ask_trading(call, list[BalanceLine], "balances", account=args.account, owner=call.caller.owner)
    except NotRunning:
        found = await call.read(lambda queries: _balances(queries, chosen(queries, call.caller.owner, args.account)))
    return Page(items=found)


def _balances(queries: Queries, accounts: Accounts) -> list[BalanceLine]:
    return [
        BalanceLine(account=name, venue=venue, currency=currency, cash=plain(cash), reserved=None, free=None)
        for name, venue, currency, cash in cash_on(queries, accounts)
    ]
