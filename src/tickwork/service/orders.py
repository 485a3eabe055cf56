"""Orders as a tape tells of them: a line for each, whatever became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Final

import msgspec

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput
from tickwork.service.accounts.events import OrderCleared, OrderDisowned, OrderInDoubt
from tickwork.service.owners import Accounts
from tickwork.service.trading import (
    AccountOpened,
    OrderAccepted,
    OrderEnded,
    OrderFilled,
    OrderRefused,
    OrderRejected,
)
from tickwork.trading.order_life import STATES, OrderState
from tickwork.values import EXACT, from_ns, plain


class OrderLine(msgspec.Struct, rename="camel", kw_only=True):
    """One order, or one refused intent, as a line for people and programs. Money is text."""

    seq: int
    time: datetime
    account: str = ""
    run: str
    workflow: str
    symbol: str
    side: str
    quantity: str = ""
    status: OrderState
    filled: str = "0"
    price: str = ""
    """Of its last fill."""
    fee: str = "0"
    reason: str = ""
    client_order_id: str = ""


ORDER_EVENTS: Final[dict[str, type[Event]]] = {
    cls.event_name: cls
    for cls in (
        AccountOpened,
        OrderAccepted,
        OrderRefused,
        OrderRejected,
        OrderFilled,
        OrderEnded,
        OrderInDoubt,
        OrderCleared,
        OrderDisowned,
    )
}


def trading_events(queries: Queries) -> Iterator[tuple[int, int, Event]]:
    """The events of orders, in order: position, time (ns), event."""
    for entry in queries.events(*ORDER_EVENTS):
        cls = ORDER_EVENTS[entry.record.name]
        yield entry.seq, entry.record.at, cls.from_wire(bytes(entry.record.value))


def orders(
    queries: Queries,
    status: str | None = None,
    limit: int = 100,
    *,
    accounts: Accounts = None,
    symbol: str = "",
    workflow: str = "",
    before: int | None = None,
) -> list[OrderLine]:
    """Orders and refused intents on a tape, newest first; ``before``: only those whose ``seq`` is smaller.

    Raises:
        InvalidInput: an unknown status, or a limit below 1.
    """
    if status is not None and status not in STATES:
        raise InvalidInput("status", status, f"one of {', '.join(STATES)}")
    if limit < 1:
        raise InvalidInput("limit", limit, "a whole number from 1")
    chosen = (
        line
        for line in _latest(queries)
        if status in (None, line.status)
        and (accounts is None or line.account in accounts)
        and symbol in ("", line.symbol)
        and workflow in ("", line.workflow)
        and (before is None or line.seq < before)
    )
    return list(islice(chosen, limit))


_Told = tuple[int, int, Event]
"""Position, time (ns), event."""


def _latest(queries: Queries) -> Iterator[OrderLine]:
    """All lines, newest first. The tape is read backwards, and no further than lines are taken.

    What became of an order stands behind its beginning, and is kept until that is met: its acceptance, or the doubt
    that came before it.
    """
    doubts: dict[str, int] = {}
    for entry in queries.events(OrderInDoubt.event_name):
        doubts.setdefault(OrderInDoubt.from_wire(bytes(entry.record.value)).client_order_id, entry.seq)
    later: dict[str, list[_Told]] = {}
    for entry in queries.latest(*(name for name in ORDER_EVENTS if name != AccountOpened.event_name)):
        event = ORDER_EVENTS[entry.record.name].from_wire(bytes(entry.record.value))
        key = getattr(event, "client_order_id", "") or f"{entry.seq}"
        later.setdefault(key, []).append((entry.seq, entry.record.at, event))
        begins = isinstance(event, OrderAccepted | OrderRefused | OrderRejected)
        if doubts.get(key, entry.seq if begins else None) == entry.seq:
            lines: dict[str, OrderLine] = {}
            for one in reversed(later.pop(key)):
                told(lines, *one)
            yield from lines.values()


def told(lines: dict[str, OrderLine], seq: int, at: int, event: Event) -> None:
    """Book an event, at its position and time (ns), into the lines of orders; those are by client id, refused and
    rejected intents by their position."""
    match event:
        case OrderAccepted():
            # one that was in doubt keeps its place
            known = lines.get(event.client_order_id)
            lines[event.client_order_id] = _line(seq, at, event) if known is None else _found(known, at, event)
        case OrderRefused() | OrderRejected():
            lines[f"{seq}"] = _line(seq, at, event)
        case OrderInDoubt():
            lines.setdefault(event.client_order_id, _doubtful(seq, at, event))
        case OrderCleared() if not event.found:
            if event.client_order_id in lines and lines[event.client_order_id].status == "unknown":
                del lines[event.client_order_id]  # it never was; what became of its intent is told apart
        case OrderDisowned() if event.client_order_id in lines:
            lines[event.client_order_id].status = "refused"
            lines[event.client_order_id].reason = f"disowned by {event.by}: {event.reason}"
        case OrderFilled() | OrderEnded() if event.client_order_id in lines:
            _update(lines[event.client_order_id], event)
        case _:
            pass


def _doubtful(seq: int, at: int, event: OrderInDoubt) -> OrderLine:
    return OrderLine(
        seq=seq,
        time=from_ns(at),
        account=event.account,
        run="",
        workflow=event.workflow,
        symbol=event.symbol,
        side=event.side,
        quantity=plain(event.quantity),
        status="unknown",
        reason=event.why,
        client_order_id=event.client_order_id,
    )


def _found(known: OrderLine, at: int, event: OrderAccepted) -> OrderLine:
    """An order that was in doubt, and of which fills may have been told meanwhile."""
    line = _line(known.seq, at, event)
    if known.filled != "0":
        line.filled, line.price, line.fee = known.filled, known.price, known.fee
        line.status = "filled" if known.filled == line.quantity else "partially_filled"
    return line


def _line(seq: int, at: int, event: OrderAccepted | OrderRefused | OrderRejected) -> OrderLine:
    line = OrderLine(
        seq=seq,
        time=from_ns(at),
        account=event.account,
        run=event.run,
        workflow=event.workflow,
        symbol=event.symbol,
        side=event.side,
        status="acknowledged",
    )
    match event:
        case OrderAccepted():
            line.quantity, line.client_order_id = plain(event.quantity), event.client_order_id
            line.reason = event.reason
        case OrderRefused():
            line.status, line.reason = "refused", f"{event.rule}: limit {event.limit}, actual {event.actual}"
        case OrderRejected():
            line.status, line.reason = "rejected", event.reason
    return line


def _update(line: OrderLine, event: OrderFilled | OrderEnded) -> None:
    if isinstance(event, OrderEnded):
        line.status, line.reason = event.status, event.reason or line.reason
        return
    filled = EXACT.add(Decimal(line.filled), event.quantity)
    line.filled = plain(filled)
    line.fee = plain(EXACT.add(Decimal(line.fee), event.fee))
    line.price = plain(event.price)
    line.status = "filled" if filled == Decimal(line.quantity) else "partially_filled"
