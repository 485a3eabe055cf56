"""One order as a tape tells of it: what was wanted, what became of it and when, its fills."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import NotFound
from tickwork.service.accounts.events import OrderCleared, OrderDisowned, OrderInDoubt, OrderMissing
from tickwork.service.fills import FillLine, fill_line
from tickwork.service.orders import OrderLine, told
from tickwork.service.sweeping import HaltAcknowledged
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled
from tickwork.values import from_ns, plain


class LifeLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something that happened to an order."""

    seq: int
    at: datetime
    what: str
    """``accepted``, ``filled``, ``ended``, ``in doubt``, ``cleared``, ``disowned``, ``missing``, ``swept``."""
    detail: str = ""


class OrderShown(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An order, its life and its fills."""

    order: OrderLine
    type: str
    limit_price: str
    """``""``: it has none, or the venue never acknowledged it."""
    reduce_only: bool
    venue: str
    venue_order_id: str
    agent: str
    """Who decided it, where that is not the workflow."""
    life: list[LifeLine]
    fills: list[FillLine]


_TOLD: Final[dict[str, type[Event]]] = {
    cls.event_name: cls
    for cls in (
        OrderAccepted,
        OrderFilled,
        OrderEnded,
        OrderInDoubt,
        OrderCleared,
        OrderDisowned,
        OrderMissing,
        HaltAcknowledged,
    )
}


def order_shown(queries: Queries, client_order_id: str) -> OrderShown:
    """An order by its client id.

    Raises:
        NotFound: the tape knows of none.
    """
    lines: dict[str, OrderLine] = {}
    life: list[LifeLine] = []
    fills: list[FillLine] = []
    accepted: OrderAccepted | None = None
    needle = client_order_id.encode()
    for entry in queries.events(*_TOLD):
        if needle not in bytes(entry.record.value):
            continue
        event = _TOLD[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        if getattr(event, "client_order_id", "") != client_order_id:
            continue
        told(lines, entry.seq, entry.record.at, event)
        what, detail = _said(event)
        life.append(LifeLine(seq=entry.seq, at=from_ns(entry.record.at), what=what, detail=detail))
        if isinstance(event, OrderAccepted):
            accepted = event
        if isinstance(event, OrderFilled):
            fills.append(fill_line(entry.seq, event))
    line = lines.get(client_order_id)
    if line is None:
        raise NotFound(
            "order", client_order_id, "the client id of an order on this tape, as `tickwork orders` shows it"
        )
    return _shown(line, accepted, life, fills)


def _shown(line: OrderLine, accepted: OrderAccepted | None, life: list[LifeLine], fills: list[FillLine]) -> OrderShown:
    return OrderShown(
        order=line,
        type=accepted.type if accepted else "",
        limit_price=plain(accepted.limit_price) if accepted and accepted.limit_price is not None else "",
        reduce_only=accepted.reduce_only if accepted else False,
        venue=accepted.venue if accepted else "",
        venue_order_id=accepted.venue_order_id if accepted else "",
        agent=accepted.agent if accepted else "",
        life=life,
        fills=fills,
    )


def _said(event: Event) -> tuple[str, str]:
    """What an event says of an order, and more in words."""
    match event:
        case OrderAccepted():
            return "accepted", f"{event.venue} knows it as {event.venue_order_id}"
        case OrderFilled():
            return (
                "filled",
                f"{plain(event.quantity)} at {plain(event.price)}, fee {plain(event.fee)} {event.fee_currency}",
            )
        case OrderEnded():
            return "ended", f"{event.status}: {event.reason}" if event.reason else event.status
        case OrderInDoubt():
            return "in doubt", event.why
        case OrderCleared():
            return "cleared", f"found: {event.state}" if event.found else "certain not to exist"
        case OrderDisowned():
            return "disowned", f"by {event.by}: {event.reason}"
        case HaltAcknowledged():
            return "swept", f"{event.outcome}: {event.reason}" if event.reason else event.outcome
        case _:
            return "missing", "the venue does not show it, and had acknowledged it"
