"""Accounts: those that are open."""

from __future__ import annotations

from tickwork.service.accounts.books import AccountLine
from tickwork.service.api.operation import Call, Nothing, Page, query
from tickwork.service.operations.asking import ask_trading


@query("accounts.list", "GET /accounts", owned=True)
async def accounts_list(call: Call, args: Nothing) -> Page[AccountLine]:
    """The accounts that are open: where they trade, what they are worth, whether they are halted, what is in doubt."""
    return Page(items=await ask_trading(call, list[AccountLine], "accounts", owner=call.caller.owner))
