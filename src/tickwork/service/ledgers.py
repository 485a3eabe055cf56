"""The ledgers of a tape by double entry: every booking with its postings, and the trial balance they come to."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.service.owners import Accounts
from tickwork.service.positions import BOOKED, Books, books_on
from tickwork.service.reconcile_events import AccountAdjusted
from tickwork.service.trading import AccountOpened, OrderFilled
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, from_ns, plain


class PostingLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """An amount into an account of a ledger, as text."""

    posted_to: str
    """``cash``, ``position:SYMBOL`` (its cost), ``fees``, ``realised``, ``capital``."""
    currency: str
    amount: str
    """Those of one booking sum to zero in each currency; ``realised`` and ``capital`` have the sign of income."""


class BookingLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Something that changed the books."""

    seq: int
    time: datetime
    account: str
    venue: str
    what: str
    """``opened``, ``fill``, ``adjusted``."""
    about: str
    """The order's client id, or what was taken over and why."""
    workflow: str
    postings: list[PostingLine]


class TrialLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What a ledger's account comes to, as text; those of one book sum to zero in each currency."""

    account: str
    venue: str
    posted_to: str
    currency: str
    amount: str


_NAMES: Final = {AccountOpened: "opened", OrderFilled: "fill", AccountAdjusted: "adjusted"}

_Balances = dict[tuple[str, str], Decimal]


def bookings(queries: Queries, limit: int = 100, *, accounts: Accounts = None, after: int = 0) -> list[BookingLine]:
    """What changed the books after a position, oldest first, each with its postings.

    All that was before is booked too, because what a fill costs and earns depends on it.
    """
    books: Books | None = None
    found: list[BookingLine] = []
    for entry in queries.events(*BOOKED):
        event = BOOKED[entry.record.name].read(entry.record.version, bytes(entry.record.value))
        if books is None:
            if not isinstance(event, AccountOpened):
                continue
            books = Books(event)
        told = entry.seq > after and (accounts is None or _of(event)[0] in accounts)
        before = _balances(books, event) if told else {}
        books.take(event)
        postings = _changes(before, _balances(books, event)) if told else []
        if not told or not postings:
            continue
        found.append(_line(entry.seq, entry.record.at, event, postings))
        if len(found) == limit:
            break
    return found


def trial_balance(queries: Queries, accounts: Accounts = None) -> list[TrialLine]:
    """What every account of every ledger comes to; checked to balance.

    Raises:
        NotFound: no such account on this tape, or none at all. TickworkError: a ledger does not balance.
    """
    lines: list[TrialLine] = []
    for (name, venue), ledger in _ledgers(queries, accounts).items():
        ledger.check()
        lines += [
            TrialLine(account=name, venue=venue, posted_to=to, currency=currency, amount=plain(amount))
            for (to, currency), amount in sorted(_sums(ledger).items())
            if amount
        ]
    return lines


def cash_on(queries: Queries, accounts: Accounts = None) -> list[tuple[str, str, str, Decimal]]:
    """Account, venue, currency and cash, as the tape has it.

    Raises:
        NotFound: no such account on this tape, or none at all.
    """
    return [
        (name, venue, currency, ledger.cash(currency))
        for (name, venue), ledger in _ledgers(queries, accounts).items()
        for currency in ledger.currencies()
        if ledger.cash(currency) or ledger.capital(currency)
    ]


def _ledgers(queries: Queries, accounts: Accounts) -> dict[tuple[str, str], Ledger]:
    return books_on(queries, accounts).ledgers


def _of(event: Event) -> tuple[str, str]:
    assert isinstance(event, AccountOpened | OrderFilled | AccountAdjusted)
    return event.account, event.venue


def _balances(books: Books, event: Event) -> _Balances:
    ledger = books.ledgers.get(_of(event))
    return {} if ledger is None else _sums(ledger)


def _sums(ledger: Ledger) -> _Balances:
    sums: _Balances = {}
    for one in ledger.postings():
        key = (one.account, one.currency)
        sums[key] = EXACT.add(sums.get(key, ZERO), one.amount)
    return sums


def _changes(before: _Balances, after: _Balances) -> list[PostingLine]:
    changes = {key: EXACT.subtract(amount, before.get(key, ZERO)) for key, amount in after.items()}
    return [
        PostingLine(posted_to=to, currency=currency, amount=plain(amount))
        for (to, currency), amount in sorted(changes.items())
        if amount
    ]


def _line(seq: int, at: int, event: Event, postings: list[PostingLine]) -> BookingLine:
    account, venue = _of(event)
    about, workflow = "", ""
    match event:
        case OrderFilled():
            about, workflow = event.client_order_id, event.workflow
        case AccountAdjusted():
            about = f"{event.action}, by {event.by}: {event.detail}"
        case _:
            pass
    return BookingLine(
        seq=seq,
        time=from_ns(at),
        account=account,
        venue=venue,
        what=_NAMES[type(event)],
        about=about,
        workflow=workflow,
        postings=postings,
    )
