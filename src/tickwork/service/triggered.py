"""What standing alerts and rules have told: a list for people and programs, newest first."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.market.alert_events import AlertTriggered
from tickwork.market.rule_events import RuleTriggered
from tickwork.values import plain

Sort = Literal["alert", "rule"]


class TriggeredLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An alert or a rule has come true. Figures are text."""

    seq: int
    time: datetime
    """When the price, or the position, was so."""
    sort: Sort
    id: str
    owner: str
    kind: str
    """``above``, ``below``; of rules ``price_above``, ``price_below``, ``delta_breach``, ``dte_warning``."""
    symbol: str
    threshold: str
    value: str
    message: str
    note: str
    recurring: bool
    recording: str
    offset: int | None


_EVENTS: Final[dict[str, type[AlertTriggered | RuleTriggered]]] = {"alert": AlertTriggered, "rule": RuleTriggered}


def triggered(
    queries: Queries,
    sort: Sort,
    limit: int = 50,
    *,
    owner: str | None = None,
    symbol: str = "",
    before: int | None = None,
) -> list[TriggeredLine]:
    """What has been told before a position, newest first; ``owner=None``: everybody's."""
    cls = _EVENTS[sort]
    found: list[TriggeredLine] = []
    for entry in queries.latest(cls.event_name, before=before):
        event = cls.read(entry.record.version, bytes(entry.record.value))
        assert isinstance(event, AlertTriggered | RuleTriggered)
        line = _alert(entry.seq, event) if isinstance(event, AlertTriggered) else _rule(entry.seq, event)
        if owner in (None, line.owner) and symbol in ("", line.symbol):
            found.append(line)
            if len(found) == limit:
                break
    return found


def _alert(seq: int, event: AlertTriggered) -> TriggeredLine:
    price, threshold = plain(event.current_price), plain(event.threshold)
    return TriggeredLine(
        seq=seq,
        time=event.quote_time,
        sort="alert",
        id=event.id,
        owner=event.owner,
        kind=event.condition,
        symbol=event.symbol,
        threshold=threshold,
        value=price,
        message=f"{event.symbol} is at {price}, {event.condition} {threshold}",
        note=event.note,
        recurring=event.recurring,
        recording=event.recording,
        offset=event.offset,
    )


def _rule(seq: int, event: RuleTriggered) -> TriggeredLine:
    return TriggeredLine(
        seq=seq,
        time=event.alert.timestamp,
        sort="rule",
        id=event.id,
        owner=event.owner,
        kind=event.alert.type,
        symbol=event.alert.symbol,
        threshold=plain(event.threshold),
        value=plain(event.value),
        message=event.alert.message,
        note=event.note,
        recurring=event.recurring,
        recording=event.recording,
        offset=event.offset,
    )
