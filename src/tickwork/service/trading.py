"""Trading as the tape tells it: the events of orders and fills, and what follows from them.

Theory of operation. ``trading`` computes and knows no tape; here its results become events. ``place`` takes an intent
through the desk and publishes how it ended. Fills come from the venue and are published by whoever polls it, each
exactly once. Everything else on this page is a reading of those events: the list of orders, and
the view ``holdings``, which says what each workflow itself has bought and what it still has on its way. Workflows that
share an account and a symbol sell only their own.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final, Literal, cast

import msgspec
from pydantic import BeforeValidator

from tickwork.core.event import Event
from tickwork.core.run import Run
from tickwork.core.view import view
from tickwork.errors import InvalidInput, NotSent
from tickwork.trading.desk import Desk, Placement
from tickwork.trading.ledger import BASIS_STEP
from tickwork.trading.orders import ZERO, Fill, Order, OrderIntent, Side
from tickwork.values import EXACT, Money, Price, Quantity, Symbol, base_of, from_ns, ratio, rounded_down, timestamp_ns

EndedAs = Literal["filled", "cancelled", "partially_cancelled", "rejected", "expired"]


class AccountOpened(Event, name="trading/account.opened", version=1):
    """An account and what was paid into it."""

    account: str
    venue: str
    currency: str
    amount: Money


class OrderAccepted(Event, name="trading/order.accepted", version=1):
    """The venue has the order."""

    account: str
    run: str
    workflow: str
    venue: str
    client_order_id: str
    venue_order_id: str
    symbol: Symbol
    side: Side
    type: Literal["market", "limit"]
    quantity: Quantity
    """What the gate let through."""
    limit_price: Price | None = None
    reduce_only: bool
    agent: str = ""
    """Who decided it, where that is not the workflow."""
    reason: str
    quote_price: Price | None = None
    """The price it was judged by, and whence that came."""
    quote_time: datetime
    recording: str
    offset: int | None = None


class OrderRefused(Event, name="trading/order.refused", version=1):
    """Our own gate said no; the venue never heard of it."""

    account: str
    run: str
    workflow: str
    symbol: Symbol
    side: Side
    rule: str
    limit: str
    actual: str


class OrderRejected(Event, name="trading/order.rejected", version=1):
    """The venue said no."""

    account: str
    run: str
    workflow: str
    symbol: Symbol
    side: Side
    reason: str


class OrderFilled(Event, name="trading/order.filled", version=1):
    """One execution, as the venue numbered it."""

    account: str
    workflow: str
    venue: str
    fill_id: Annotated[str, BeforeValidator(str)]
    """A number on old tapes."""
    client_order_id: str
    venue_order_id: str
    symbol: Symbol
    side: Side
    price: Price
    quantity: Quantity
    fee: Money
    fee_currency: str
    time: datetime
    """By the venue; on a recording, the start of the bar it traded on."""
    known_at: datetime
    """When we heard of it; on a recording, the end of that bar."""
    recording: str = ""
    offset: int | None = None
    """Of that bar in its recording."""

    @classmethod
    def of(cls, fill: Fill, workflow: str, recording: str, known_at: datetime) -> OrderFilled:
        """The event of a fill. ``recording``: of the bar it traded on; ``""`` for one that a venue told of."""
        return cls(
            account=fill.account,
            workflow=workflow,
            venue=fill.venue,
            fill_id=fill.fill_id,
            client_order_id=fill.client_order_id,
            venue_order_id=fill.venue_order_id,
            symbol=fill.symbol,
            side=fill.side,
            price=fill.price,
            quantity=fill.quantity,
            fee=fill.fee,
            fee_currency=fill.fee_currency,
            time=from_ns(fill.time),
            known_at=known_at,
            recording=recording,
            offset=fill.offset,
        )

    def fill(self) -> Fill:
        """The fill it tells of."""
        return Fill(
            venue=self.venue,
            fill_id=self.fill_id,
            client_order_id=self.client_order_id,
            venue_order_id=self.venue_order_id,
            account=self.account,
            symbol=self.symbol,
            side=self.side,
            price=self.price,
            quantity=self.quantity,
            fee=self.fee,
            fee_currency=self.fee_currency,
            time=timestamp_ns(self.time),
            offset=self.offset,
        )


class OrderEnded(Event, name="trading/order.ended", version=1):
    """An order has ended: before it was filled whole, or, as a venue in real time tells, because it was."""

    account: str
    workflow: str
    client_order_id: str
    symbol: Symbol
    status: Annotated[EndedAs, BeforeValidator(lambda found: "cancelled" if found == "canceled" else found)]
    """Spelt otherwise on old tapes."""
    reason: str
    known_at: datetime

    @classmethod
    def of(cls, order: Order, workflow: str, known_at: datetime) -> OrderEnded:
        """The event of an order that has ended."""
        return cls(
            account=order.account,
            workflow=workflow,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            status=cast("EndedAs", order.status),
            reason=order.reason,
            known_at=known_at,
        )


# ------------------------------------------------------------------------------------------------------- placing


async def place(run: Run, desk: Desk, intent: OrderIntent) -> Placement:
    """Take an intent through gate and desk, exactly once, and publish how that ended.

    Raises:
        NotSent: it could not be sent, often enough tried; there is no order.
        TimedOut: nobody knows, and the engine gave up looking; the desk and its account go on.
    """
    placement = await _placed(run, desk, intent)
    ack, approval = placement.ack, placement.approval
    if ack is not None and approval is not None:
        accepted = OrderAccepted(
            account=intent.account,
            run=run.id,
            workflow=intent.workflow,
            venue=ack.venue,
            client_order_id=ack.client_order_id,
            venue_order_id=ack.venue_order_id,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            quantity=approval.quantity,
            limit_price=approval.limit_price,
            reduce_only=intent.reduce_only,
            agent=intent.agent,
            reason=intent.reason,
            quote_price=approval.quote_price,
            quote_time=from_ns(approval.quote_time),
            recording=intent.reference_source,
            offset=intent.reference_offset,
        )
        await run.emit(accepted)
    elif placement.refusal is not None:
        no = placement.refusal
        refused = OrderRefused(
            account=intent.account,
            run=run.id,
            workflow=intent.workflow,
            symbol=intent.symbol,
            side=intent.side,
            rule=no.rule,
            limit=no.limit,
            actual=no.actual,
        )
        await run.emit(refused)
    else:
        rejected = OrderRejected(
            account=intent.account,
            run=run.id,
            workflow=intent.workflow,
            symbol=intent.symbol,
            side=intent.side,
            reason=placement.rejection,
        )
        await run.emit(rejected)
    return placement


_FIRST_PAUSE: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = timedelta(seconds=5)
_TRIES: Final = 4
"""How often an order is sent that certainly did not reach the venue."""


async def _placed(run: Run, desk: Desk, intent: OrderIntent) -> Placement:
    """Place it; again while the venue says "not yet" and the intent has time, or while it cannot be sent.

    Each try is an order of its own, judged by the gate anew: of the one before it is certain that it does not exist.
    """
    pause, unsent = _FIRST_PAUSE, 0
    while True:
        try:
            placement = await desk.place(run, intent)
        except NotSent:
            unsent += 1
            if unsent == _TRIES:
                raise
        else:
            end = intent.retry_until
            if not placement.not_yet or end is None or timestamp_ns(run.now() + pause) > end:
                return placement
        await run.sleep(pause)
        pause = min(pause * 3 / 2, _LONGEST_PAUSE)


# ------------------------------------------------------------------------------------------------------ holdings


class Holding(msgspec.Struct, frozen=True, rename="camel"):
    """What one workflow has of one symbol."""

    quantity: Decimal = ZERO
    """Base units it has bought and not sold."""
    open: dict[str, Decimal] = {}
    """Its orders still at the venue: client id -> base units not yet executed."""


def holding_key(workflow: str, symbol: str) -> str:
    """Under which key ``holdings`` keeps a workflow's holding of a symbol."""
    return f"{workflow} {symbol}"


@view(
    "holdings",
    on=(OrderAccepted, OrderFilled, OrderEnded),
    key=lambda event: holding_key(event.workflow, event.symbol),
)
def holdings(state: Holding | None, event: Event) -> Holding:
    """What each workflow holds and has on its way, by ``holding_key``."""
    held = state or Holding()
    still = dict(held.open)
    quantity = held.quantity
    match event:
        case OrderAccepted():
            still[event.client_order_id] = event.quantity
        case OrderFilled():
            signed = event.quantity if event.side == "buy" else EXACT.minus(event.quantity)
            quantity = EXACT.add(quantity, signed)
            left = EXACT.subtract(still.pop(event.client_order_id, event.quantity), event.quantity)
            if left > 0:
                still[event.client_order_id] = left
        case OrderEnded():
            still.pop(event.client_order_id, None)
        case _:
            raise InvalidInput("event", event.event_name, "an event of an order")
    return Holding(quantity, still)


class Executed(msgspec.Struct, frozen=True, rename="camel"):
    """What one order has come to."""

    quantity: Decimal = ZERO
    """Base units executed."""
    notional: Decimal = ZERO
    """Sum of price times quantity, quote currency."""
    base_fee: Decimal = ZERO
    """Fees taken in the bought coin itself: so much less of it is there."""

    @property
    def average_price(self) -> Decimal | None:
        """Of its fills, cut at 12 digits; ``None`` where there is none."""
        return rounded_down(ratio(self.notional, self.quantity), BASIS_STEP) if self.quantity else None


@view("trading/executed", on=OrderFilled, key=lambda event: event.client_order_id)
def executed(state: Executed | None, event: Event) -> Executed:
    """What each order has come to, by client id."""
    if not isinstance(event, OrderFilled):
        raise InvalidInput("event", event.event_name, "a fill")
    so_far = state or Executed()
    in_base = event.side == "buy" and ":" not in event.symbol and event.fee_currency == base_of(event.symbol)
    return Executed(
        EXACT.add(so_far.quantity, event.quantity),
        EXACT.add(so_far.notional, EXACT.multiply(event.price, event.quantity)),
        EXACT.add(so_far.base_fee, event.fee) if in_base else so_far.base_fee,
    )
