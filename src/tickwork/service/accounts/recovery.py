"""An account as its tape remembers it: what a desk is rebuilt from after a restart.

Orders are read off the submissions themselves (the intents and outcomes of the effect ``submit``), not off the events
that tell of them: an event comes a turn later, and a run that died in between has never emitted it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.core.codec import decode_error
from tickwork.core.event import Event
from tickwork.core.functions import function_of
from tickwork.core.tape import Record
from tickwork.engines.embedded.queries import Queries
from tickwork.service.accounts.events import AccountOwned, EquityMarked, OrderDisowned, OrderInDoubt
from tickwork.service.reconcile_events import AccountAdjusted
from tickwork.service.trading import AccountOpened, OrderEnded, OrderFilled, OrderRejected
from tickwork.trading.desk import CERTAIN, SUBMIT, Desk, OpenIntent
from tickwork.trading.orders import Ack, Approval, Fill, Order
from tickwork.values import EXACT, NS_PER_SECOND

_EVENTS = {
    cls.event_name: cls
    for cls in (
        AccountOpened,
        AccountOwned,
        OrderFilled,
        OrderEnded,
        OrderDisowned,
        AccountAdjusted,
        EquityMarked,
        OrderRejected,
        OrderInDoubt,
    )
}

DAY_NS: Final = 86_400 * NS_PER_SECOND

_SUBMISSION: Final = function_of(Desk._submit).name
"""Other effects may have the same name."""


@dataclass(slots=True)
class Past:
    """What a tape knows of one account."""

    opened: AccountOpened | None = None
    opened_at: int = 0
    """In ns."""
    owner: str = ""
    paid_in: dict[str, Decimal] = field(default_factory=dict)
    """By currency."""
    fills: list[Fill] = field(default_factory=list)
    """In tape order."""
    holders: dict[str, str] = field(default_factory=dict)
    """Client id -> the workflow whose order it is, of every order that was filled."""
    working: list[Order] = field(default_factory=list)
    """Orders the venue had acknowledged and of which the tape knows no end, as they were acknowledged."""
    untold: dict[str, Approval] = field(default_factory=dict)
    """Of orders that were filled whole and of which the tape does not tell that they have ended, by client id."""
    approvals: dict[str, Approval] = field(default_factory=dict)
    """What the gate said, by client id: of orders that have not ended, and of those of the last day."""
    doubtful: list[OpenIntent] = field(default_factory=list)
    """Submissions without an outcome."""
    disowned: set[str] = field(default_factory=set)
    adjusted: list[AccountAdjusted] = field(default_factory=list)
    """What was said of findings, in tape order."""
    marks: list[EquityMarked] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    """When (ns) submissions were rejected or came in doubt."""


def recall(queries: Queries, account: str) -> Past:
    """Read the tape of an account."""
    past, ended = Past(), set[str]()
    for at, event in _events(queries, account):
        match event:
            case AccountOpened():
                if past.opened is None:
                    past.opened, past.opened_at = event, at
                before = past.paid_in.get(event.currency, Decimal(0))
                past.paid_in[event.currency] = EXACT.add(before, event.amount)
            case AccountOwned():
                past.owner = event.owner
            case OrderFilled():
                past.fills.append(event.fill())
                past.holders[event.client_order_id] = event.workflow
            case OrderEnded():
                ended.add(event.client_order_id)
            case OrderDisowned():
                past.disowned.add(event.client_order_id)
            case AccountAdjusted():
                past.adjusted.append(event)
            case EquityMarked():
                past.marks.append(event)
            case OrderRejected():
                past.failures.append(at)
            case OrderInDoubt() if not event.stuck:
                past.failures.append(at)
            case _:
                pass
    filled: dict[str, Decimal] = {}
    for fill in past.fills:
        filled[fill.client_order_id] = EXACT.add(filled.get(fill.client_order_id, Decimal(0)), fill.quantity)
    _submissions(queries, account, past, ended, filled)
    return past


def _events(queries: Queries, account: str) -> Iterator[tuple[int, Event]]:
    for entry in queries.events(*_EVENTS):
        event = _EVENTS[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        if event.account == account:
            yield entry.record.at, event


def _submissions(queries: Queries, account: str, past: Past, ended: set[str], filled: dict[str, Decimal]) -> None:
    """Sort the submissions of an account by what became of them."""
    _, now = queries.reader.end()
    for key, (arguments, outcome) in _by_key(queries).items():
        intent = OpenIntent.read(key, arguments)
        if intent.approval.intent.account != account:
            continue
        if intent.approval.approved_at > now - DAY_NS:
            past.approvals[key] = intent.approval
        if outcome is None:
            past.doubtful.append(intent)
            past.approvals[key] = intent.approval
        elif not bytes(outcome.error):
            ack = msgspec.json.decode(outcome.value, type=Ack)
            if key in ended:
                continue
            if filled.get(key, Decimal(0)) < intent.approval.quantity:
                past.working.append(Order.acknowledged(intent.approval, ack))
                past.approvals[key] = intent.approval
            else:
                past.untold[key] = intent.approval


def _by_key(queries: Queries) -> dict[str, tuple[bytes, Record | None]]:
    """Every submission on a tape: its client id, its arguments, and its certain outcome where it has one."""
    found: dict[str, tuple[bytes, Record | None]] = {}
    for entry in queries.effects(SUBMIT):
        record = entry.record
        if record.kind == "intent" and record.fn == _SUBMISSION:
            found[record.key] = (bytes(record.value), None)
        elif record.key in found and _is_certain(record):
            found[record.key] = (found[record.key][0], record)
    return found


def _is_certain(outcome: Record) -> bool:
    """Does it say what became of the order? The engine giving up on it (``TimedOut``) does not."""
    return not bytes(outcome.error) or isinstance(decode_error(outcome.error), CERTAIN)
