"""An account as halting, flattening and reconciling see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tickwork.errors import NotFound
from tickwork.trading.adoptions import Adoptions, Policy
from tickwork.trading.desk import Desk
from tickwork.trading.orders import Fill, Order
from tickwork.trading.venue import VenuePort


def _nobody(_: str) -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardedAccount:
    """One account at one venue, open. Whoever opens accounts makes it."""

    name: str
    owner: str
    currency: str
    """What it is kept in; severities are counted in it."""
    desk: Desk
    venue: VenuePort
    """For reading: orders go through the desk."""
    clock: Callable[[], int]
    """ns since 1970 UTC."""
    pull: Callable[[], Awaitable[object]]
    """Ask the venue for news once, publish and book it: one turn of the account's own loop.

    It takes turns with that loop, and raises what the venue raises.
    """
    book: Callable[[Sequence[Fill], Sequence[Order]], Awaitable[None]]
    """Publish and book fills and ended orders, as news are; what is booked already is left out."""
    adoptions: Adoptions
    """What was taken over on somebody's word; made again from the tape when the account is opened."""
    mark: Callable[[str], Decimal | None] = _nobody
    """The last price of a symbol; ``None``: not known, or too old."""
    workflow_of: Callable[[str], str | None] = _nobody
    """Which workflow placed the order of a client id, however long ago; ``None``: it is none of ours."""
    fills_since: Callable[[int], Sequence[Fill]] = field(default=lambda _: ())
    """The fills on the tape at or after a time (ns); fees are compared with the venue's by them."""
    symbols: Collection[str] = ()
    """What it trades, besides what it holds and has orders in: fills are looked for there."""
    opened_at: int = 0
    """When it was opened, ns: what was traded before is not ours."""
    policy: Policy = field(default_factory=Policy)
    """What is done about findings of a reconciliation."""
    margined: bool = False
    """Do contracts at this venue move only profit and fees, and not the whole notional, in the currency's balance?"""

    def known_symbols(self) -> set[str]:
        """What it trades, holds or has orders in."""
        return {*self.symbols, *self.desk.ledger.positions(), *self.desk.reservations.symbols()}

    def is_ours(self, key: str) -> bool:
        """Was the order of this client id placed here?"""
        held = self.desk.reservations
        return bool(key) and (
            held.state_of(key) is not None or held.filled(key) > 0 or self.workflow_of(key) is not None
        )


def account_named(accounts: Mapping[str, GuardedAccount], name: str) -> GuardedAccount:
    """
    Raises:
        InvalidInput: no account of this name is open.
    """
    found = accounts.get(name)
    if found is None:
        raise NotFound("account", name, f"an account that is open here: {', '.join(sorted(accounts)) or 'none is'}")
    return found
