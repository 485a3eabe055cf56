"""Orders, fills, positions and what the accounts are worth, folded from the events of trading."""

from __future__ import annotations

from collections import deque
from typing import ClassVar, Final

import msgspec

from tickwork.core.event import Event
from tickwork.service.orders import ORDER_EVENTS, OrderLine, told
from tickwork.service.positions import BOOKED, PRICED, Books, Marks
from tickwork.service.stream.entities import Fields, Key
from tickwork.service.stream.part import WINDOW, Change, Look, Part
from tickwork.service.trading import AccountOpened, OrderFilled
from tickwork.trading.order_life import FINAL
from tickwork.values import plain

_EVENTS: Final[dict[str, type[Event]]] = {**ORDER_EVENTS, **BOOKED, **PRICED}

KEPT: Final = 1_000
"""Orders that have ended, the newest: so many are remembered, for what may still be told of them."""


class Trading(Part):
    """All accounts."""

    kinds: ClassVar = ("order", "fill", "position", "account")

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._lines: dict[str, OrderLine] = {}
        self._books: Books | None = None
        self._marks = Marks()
        self._fills: deque[tuple[int, OrderFilled]] = deque(maxlen=WINDOW)

    def refresh(self, look: Look) -> Change:
        """Book what is new."""
        fresh = look.queries.events(*_EVENTS, after=self._at)
        self._at = look.seq
        for entry in fresh:
            event = _EVENTS[entry.record.name].read(entry.record.version, bytes(entry.record.value))
            self._take(entry.seq, entry.record.at, event)
        if not fresh and not self._new:
            return Change({}, [], None)
        self._prune()
        return super().refresh(look)

    def _take(self, seq: int, at: int, event: Event) -> None:
        self._marks.take(event)
        told(self._lines, seq, at, event)
        if self._books is None and isinstance(event, AccountOpened):
            self._books = Books(event)
        if self._books is not None:
            self._books.take(event)
        if isinstance(event, OrderFilled):
            self._fills.append((seq, event))

    def _prune(self) -> None:
        if len(self._lines) < 2 * KEPT:
            return
        ended = [key for key, line in self._lines.items() if line.status in FINAL]
        for key in ended[: max(len(ended) - KEPT, 0)]:
            del self._lines[key]

    def entities(self, look: Look) -> dict[Key, Fields]:
        """Orders that are open and the newest others; the newest fills; all positions."""
        found: dict[Key, Fields] = {}
        latest = list(self._lines)[-WINDOW:]
        shown = {key: self._lines[key] for key in latest}
        shown |= {key: line for key, line in self._lines.items() if line.status not in FINAL}
        found |= {("order", key): msgspec.to_builtins(line) for key, line in shown.items()}
        for seq, fill in self._fills:
            found["fill", f"{fill.venue}/{fill.symbol}/{fill.fill_id}"] = _fill(seq, fill)
        if self._books is not None:
            worth: Fields = msgspec.to_builtins(self._books.worth(self._marks))
            for line in worth.pop("positions"):
                found["position", f"{line['account']}/{line['venue']}/{line['symbol']}"] = line
            found["account", "all"] = worth
        return found


def _fill(seq: int, fill: OrderFilled) -> Fields:
    return {
        "seq": seq,
        "account": fill.account,
        "workflow": fill.workflow,
        "venue": fill.venue,
        "fillId": fill.fill_id,
        "clientOrderId": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side,
        "price": plain(fill.price),
        "quantity": plain(fill.quantity),
        "fee": plain(fill.fee),
        "feeCurrency": fill.fee_currency,
        "time": fill.time,
        "knownAt": fill.known_at,
    }
