"""Fills as a tape tells of them, newest first."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.service.owners import Accounts
from tickwork.service.trading import OrderFilled
from tickwork.values import EXACT, plain


class FillLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One execution. Quantities are base units, prices and notional quote currency, all as text."""

    seq: int
    time: datetime
    """By the venue."""
    known_at: datetime
    account: str
    venue: str
    workflow: str
    symbol: str
    side: str
    quantity: str
    price: str
    notional: str
    fee: str
    fee_currency: str
    client_order_id: str
    venue_order_id: str
    fill_id: str


def fills(
    queries: Queries,
    limit: int = 100,
    *,
    accounts: Accounts = None,
    symbol: str = "",
    workflow: str = "",
    order: str = "",
    before: int | None = None,
) -> list[FillLine]:
    """The fills on a tape, newest first; ``before``: only those whose ``seq`` is smaller. ``order``: a client id."""
    found: list[FillLine] = []
    for entry in queries.latest(OrderFilled.event_name, before=before):
        event = OrderFilled.read(entry.record.version, bytes(entry.record.value))
        if (
            (accounts is None or event.account in accounts)
            and symbol in ("", event.symbol)
            and workflow in ("", event.workflow)
            and order in ("", event.client_order_id)
        ):
            found.append(fill_line(entry.seq, event))
            if len(found) == limit:
                break
    return found


def fill_line(seq: int, event: OrderFilled) -> FillLine:
    """A fill, and where it stands on the tape."""
    return FillLine(
        seq=seq,
        time=event.time,
        known_at=event.known_at,
        account=event.account,
        venue=event.venue,
        workflow=event.workflow,
        symbol=event.symbol,
        side=event.side,
        quantity=plain(event.quantity),
        price=plain(event.price),
        notional=plain(EXACT.multiply(event.price, event.quantity)),
        fee=plain(event.fee),
        fee_currency=event.fee_currency,
        client_order_id=event.client_order_id,
        venue_order_id=event.venue_order_id,
        fill_id=event.fill_id,
    )
