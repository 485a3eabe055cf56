"""Whose the accounts of a tape are: what somebody who is bound to an owner may see of it."""

from __future__ import annotations

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import NotFound
from tickwork.service.accounts.events import AccountOwned

Accounts = frozenset[str] | None
"""Names; ``None``: all."""


def owners_on(queries: Queries) -> dict[str, str]:
    """By account: whose it is, as the tape last said. Those of which it says nothing are nobody's in particular."""
    found: dict[str, str] = {}
    for entry in queries.events(AccountOwned.event_name):
        event = AccountOwned.read(entry.record.version, bytes(entry.record.value))
        found[event.account] = event.owner
    return found


def chosen(queries: Queries, owner: str | None, account: str = "") -> Accounts:
    """The accounts that are meant: of an owner (``None``: everybody's) the one that is named, or all.

    Raises:
        NotFound: it is another owner's.
    """
    if owner is None:
        return frozenset({account}) if account else None
    mine = frozenset(name for name, whose in owners_on(queries).items() if whose == owner)
    if not account:
        return mine
    if account not in mine:
        raise NotFound("account", account, "an account of yours")
    return frozenset({account})
