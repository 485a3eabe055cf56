"""Which orders have not ended, by client id: a fold of what became of them."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tickwork.core.event import Event
from tickwork.core.view import view
from tickwork.errors import InvalidInput
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled
from tickwork.values import EXACT


class Working(msgspec.Struct, frozen=True, rename="camel"):
    """An order that has not ended."""

    workflow: str
    venue: str
    left: Decimal
    """Base units not yet executed."""


@view("trading/working", on=(OrderAccepted, OrderFilled, OrderEnded), key=lambda event: event.client_order_id)
def working(state: Working | None, event: Event) -> Working | None:
    """The orders that have not ended."""
    match event:
        case OrderAccepted():
            return Working(event.workflow, event.venue, event.quantity)
        case OrderFilled():
            left = Decimal(0) if state is None else EXACT.subtract(state.left, event.quantity)
            return Working(event.workflow, event.venue, left) if left > 0 else None
        case OrderEnded():
            return None
        case _:
            raise InvalidInput("event", event.event_name, "an event of an order")
