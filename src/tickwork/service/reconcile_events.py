"""What the tape tells of reconciliations, and of what was said about their findings."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.trading.adoptions import Action, Adoption, Funding, Taken
from tickwork.trading.halt import HaltLevel
from tickwork.trading.orders import Order, OrderType, Side
from tickwork.trading.reconciliation import Finding, Kind, Severity
from tickwork.values import Money, Price, Quantity, from_ns, timestamp_ns

_DATA = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ReconcileAsked(Event, name="trading/reconcile.asked", version=1):
    """What a reconciliation is given."""

    account: str = ""
    """``""``: all that are open."""
    by: str = "schedule"
    orphan_orders: Literal["", "cancel", "adopt", "leave", "ask"] = ""
    """Instead of the policy's, this once; ``""``: the policy's."""
    balances: Literal["", "adopt", "leave", "ask"] = ""


class FindingLine(BaseModel):
    """A difference, and what was done about it."""

    model_config = _DATA

    id: str
    kind: Kind
    symbol: str
    key: str = ""
    difference: Money
    """Theirs less ours; of orders and fills their signed quantity."""
    value: Money | None = None
    """In the account's currency; ``None``: nobody can tell."""
    severity: Severity
    detail: str
    action: Action
    outcome: str = ""
    """Why the action did not take place."""

    @property
    def settled(self) -> bool:
        """Nothing is left for a person to do."""
        return self.action != "ask" and not self.outcome

    @classmethod
    def of(cls, found: Finding, action: Action, outcome: str = "") -> FindingLine:
        """A finding as a line."""
        return cls(
            id=found.id,
            kind=found.kind,
            symbol=found.symbol,
            key=found.key,
            difference=found.difference,
            value=found.value,
            severity=found.severity,
            detail=found.detail,
            action=action,
            outcome=outcome,
        )


class ReconciliationDone(Event, name="trading/reconciliation.done", version=1):
    """Our books were compared with a venue's."""

    run: str
    account: str
    venue: str
    by: str
    clean: bool
    """Everything was looked at, and nothing is left for a person to do."""
    findings: tuple[FindingLine, ...] = ()
    """The worst first."""
    more: int = 0
    """Findings beyond those; the next reconciliation sees to them."""
    unseen: dict[str, str] = Field(default_factory=dict)
    """What could not be looked at, and why. Nothing is known of it: that is no empty answer."""
    level: HaltLevel = "normal"
    """To what the findings that nobody has decided about have raised the halt."""


class TakenLine(BaseModel):
    """An amount that is taken into the books: see ``trading.adoptions.Taken``."""

    model_config = _DATA

    asset: str
    amount: Money
    symbol: str = ""
    price: Price | None = None
    funding: Funding = "notional"


class AdoptedOrder(BaseModel):
    """An order that counts as ours from here on."""

    model_config = _DATA

    venue: str
    client_order_id: str
    venue_order_id: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Quantity
    limit_price: Price | None = None
    reduce_only: bool = False
    filled: Quantity
    time: int


class AccountAdjusted(Event, name="trading/account.adjusted", version=1):
    """Somebody's word about a finding: it is taken into the books, or left alone."""

    id: str
    account: str
    venue: str
    action: Literal["adopt", "leave"]
    finding: str
    """Its id."""
    detail: str
    by: str
    at: datetime
    settles: str = ""
    taken: tuple[TakenLine, ...] = ()
    left: dict[str, Money] = Field(default_factory=dict)
    order: AdoptedOrder | None = None

    @classmethod
    def of(
        cls, adoption: Adoption, found: Finding, action: Literal["adopt", "leave"], *, account: str, venue: str, by: str
    ) -> AccountAdjusted:
        """The event of an adoption."""
        order = adoption.order
        return cls(
            id=adoption.id,
            account=account,
            venue=venue,
            action=action,
            finding=found.id,
            detail=found.detail,
            by=by,
            at=from_ns(adoption.time),
            settles=adoption.settles,
            taken=tuple(
                TakenLine(asset=one.asset, amount=one.amount, symbol=one.symbol, price=one.price, funding=one.funding)
                for one in adoption.taken
            ),
            left=adoption.left,
            order=None if order is None else _adopted(order),
        )

    def adoption(self) -> Adoption:
        """What it says, for ``Adoptions.apply``; its order is for ``Desk.follow``."""
        return Adoption(
            id=self.id,
            settles=self.settles,
            taken=tuple(
                Taken(asset=one.asset, amount=one.amount, symbol=one.symbol, price=one.price, funding=one.funding)
                for one in self.taken
            ),
            left=dict(self.left),
            order=None if self.order is None else _order(self.order, self.account),
            time=timestamp_ns(self.at),
        )


def _adopted(order: Order) -> AdoptedOrder:
    return AdoptedOrder(
        venue=order.venue,
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        limit_price=order.limit_price,
        reduce_only=order.reduce_only,
        filled=order.filled,
        time=order.time,
    )


def _order(told: AdoptedOrder, account: str) -> Order:
    return Order(
        venue=told.venue,
        client_order_id=told.client_order_id,
        venue_order_id=told.venue_order_id,
        account=account,
        symbol=told.symbol,
        side=told.side,
        type=told.type,
        quantity=told.quantity,
        limit_price=told.limit_price,
        reduce_only=told.reduce_only,
        filled=told.filled,
        time=told.time,
    )


def adjustments(queries: Queries, account: str) -> list[AccountAdjusted]:
    """All that was said of an account's findings, in the tape's order."""
    found = [
        AccountAdjusted.read(entry.record.version, bytes(entry.record.value))
        for entry in queries.events(AccountAdjusted.event_name)
    ]
    return [one for one in found if one.account == account]


def last_done(queries: Queries, account: str = "") -> list[ReconciliationDone]:
    """The last reconciliation of each account on a tape, or of one."""
    last: dict[str, ReconciliationDone] = {}
    for entry in queries.events(ReconciliationDone.event_name):
        done = ReconciliationDone.read(entry.record.version, bytes(entry.record.value))
        last[done.account] = done
    return [last[name] for name in sorted(last) if account in ("", name)]


def reconciliations(
    queries: Queries, limit: int = 20, *, account: str = "", before: int | None = None
) -> list[tuple[int, int, ReconciliationDone]]:
    """Reconciliations on a tape before a position, newest first: position, time (ns), what was found."""
    found: list[tuple[int, int, ReconciliationDone]] = []
    for entry in queries.latest(ReconciliationDone.event_name, before=before):
        done = ReconciliationDone.read(entry.record.version, bytes(entry.record.value))
        if account in ("", done.account):
            found.append((entry.seq, entry.record.at, done))
            if len(found) == limit:
                break
    return found
