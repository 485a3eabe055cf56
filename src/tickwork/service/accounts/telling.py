"""What happens to orders and halts, in lines for a person who watches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tickwork.core.event import Alert, Event
from tickwork.engines.embedded.queries import Queries
from tickwork.service.accounts.events import OrderCleared, OrderDisowned, OrderInDoubt, OrderMissing
from tickwork.service.halting import HaltCleared, HaltRaised
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled, OrderRefused, OrderRejected
from tickwork.values import from_ns, plain

_TOLD: Final[dict[str, type[Event]]] = {
    cls.event_name: cls
    for cls in (
        OrderAccepted,
        OrderRefused,
        OrderRejected,
        OrderFilled,
        OrderEnded,
        OrderInDoubt,
        OrderCleared,
        OrderDisowned,
        OrderMissing,
        HaltRaised,
        HaltCleared,
        Alert,
    )
}


def lines_after(queries: Queries, seq: int) -> Iterator[tuple[int, str]]:
    """What happened after a position of the tape: position and line."""
    for entry in queries.events(*_TOLD, after=seq):
        event = _TOLD[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        line = _line(event)
        if line:
            yield entry.seq, f"{from_ns(entry.record.at):%H:%M:%S} {line}"


def _line(event: Event) -> str:
    match event:
        case OrderAccepted():
            at = "" if event.limit_price is None else f" at {plain(event.limit_price)}"
            said = f"{event.workflow}: {event.side} {plain(event.quantity)} {event.symbol}{at} is at {event.venue}"
        case OrderRefused():
            said = f"{event.workflow}: {event.side} {event.symbol} refused by {event.rule}: limit {event.limit}, "
            said += f"actual {event.actual}"
        case OrderRejected():
            said = f"{event.workflow}: {event.side} {event.symbol} rejected: {event.reason}"
        case OrderFilled():
            said = (
                f"{event.workflow}: {event.side} {plain(event.quantity)} {event.symbol} filled at {plain(event.price)}"
            )
        case OrderEnded() if event.status != "filled":
            said = f"{event.workflow}: order {event.client_order_id} in {event.symbol} {event.status.replace('_', ' ')}"
        case OrderInDoubt():
            said = f"order {event.client_order_id} in {event.symbol} is in doubt: {event.why}"
        case OrderCleared():
            said = (
                f"order {event.client_order_id} is {'there: ' + event.state if event.found else 'certainly not there'}"
            )
        case OrderDisowned():
            said = f"order {event.client_order_id} was disowned by {event.by}: {event.reason}"
        case OrderMissing():
            said = f"order {event.client_order_id} in {event.symbol} is not shown any more"
        case HaltRaised():
            said = f"{event.account or 'every account'}: {event.level} by {event.by}: {event.reason}"
        case HaltCleared():
            said = f"{event.account or 'every account'}: normal again, by {event.by}: {event.reason}"
        case Alert():
            said = f"ALERT {event.what}: {event.detail}"
        case _:
            said = ""
    return said
