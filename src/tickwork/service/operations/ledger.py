"""The ledger: every booking by double entry, and what its accounts come to."""

from __future__ import annotations

from pydantic import Field

from tickwork.service.api.operation import Args, Call, Cursor, Limit, Page, query
from tickwork.service.ledgers import BookingLine, TrialLine, bookings, trial_balance
from tickwork.service.operations.orders import OnlyAccount
from tickwork.service.operations.runs import position
from tickwork.service.owners import chosen


class LedgerList(Args):
    """Which bookings."""

    account: OnlyAccount = ""
    limit: Limit = 50
    cursor: Cursor = None


class LedgerOf(Args):
    """Whose ledger."""

    account: str = Field("", max_length=100, description="Only of this account.")


@query("ledger.list", "GET /ledger", owned=True, examples=({"account": "main", "limit": 5},))
def ledger_list(call: Call, args: LedgerList) -> Page[BookingLine]:
    """What changed the books, oldest first: each booking with its postings, which sum to zero in each currency."""
    accounts = chosen(call.queries, call.caller.owner, args.account)
    found = bookings(call.queries, args.limit + 1, accounts=accounts, after=position(args.cursor) or 0)
    items = found[: args.limit]
    return Page(items=items, next=str(items[-1].seq) if len(found) > args.limit else None)


@query("ledger.balances", "GET /ledger/balances", owned=True, examples=({"account": "main"},))
def ledger_balances(call: Call, args: LedgerOf) -> Page[TrialLine]:
    """The trial balance: what cash, cost of positions, fees, profit and capital come to. It sums to zero."""
    return Page(items=trial_balance(call.queries, chosen(call.queries, call.caller.owner, args.account)))
