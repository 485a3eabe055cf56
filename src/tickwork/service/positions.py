"""What the accounts of a tape hold, and what that is worth at the newest prices on it.

A reading of the fills, and of what was taken into the books on somebody's word: the ledgers are those of the gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput, NotFound
from tickwork.market.triggers import PriceChanged, PriceCrossed, VolumeSpiked
from tickwork.service.accounts.events import EquityMarked
from tickwork.service.demo_tape import DemoFinished
from tickwork.service.owners import Accounts
from tickwork.service.paper_tape import PaperFinished
from tickwork.service.reconcile_events import AccountAdjusted
from tickwork.service.trading import AccountOpened, OrderFilled
from tickwork.trading.adoptions import Adoptions
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, plain

Book = tuple[str, str]
"""Account and venue."""


class PositionLine(msgspec.Struct, rename="camel", kw_only=True):
    """One symbol's position of one account at one venue."""

    account: str
    symbol: str
    venue: str
    quantity: str
    average_price: str
    cost: str
    price: str | None
    """The last one that is known; ``None`` where none is."""
    value: str | None
    """At that price."""
    workflows: dict[str, str]
    """Which workflow holds how much of it; what was taken over is nobody's."""


class Positions(msgspec.Struct, rename="camel", kw_only=True):
    """What accounts hold, folded from a tape. Money is in ``currency``, over all accounts and venues."""

    account: str
    """The first of them, whose currency it is; which position is whose is in the lines."""
    currency: str
    capital: str
    """Money that was paid in; coins that were are in ``coins``."""
    cash: str
    fees: str
    realised: str
    """Profit of what was sold, before fees."""
    coins: dict[str, str]
    """Coins that were paid in, by name. What was bought and sold since is in the positions, which they cover."""
    value: str | None
    """Of all positions and those coins at their last known prices; ``None`` where a price is missing."""
    equity: str | None
    """Cash and that value."""
    priced_at: datetime | None
    """The latest of those prices."""
    positions: list[PositionLine]


@dataclass(slots=True)
class Marks:
    """The last known prices."""

    prices: dict[str, Decimal] = field(default_factory=dict)
    """The newest of each symbol, whoever said it."""
    at_venues: dict[str, dict[str, Decimal]] = field(default_factory=dict)
    """By venue and symbol: the last closes of a session that has come to its end. They count before the others."""
    at: datetime | None = None
    """When the latest of them was known."""

    def of(self, venue: str) -> dict[str, Decimal]:
        """By symbol: what counts at a venue."""
        return self.prices | self.at_venues.get(venue, {})

    def take(self, event: Event) -> None:
        """Note the prices that an event tells; of other events, nothing."""
        match event:
            case PriceChanged() | PriceCrossed() | VolumeSpiked() | OrderFilled():
                self.prices[event.symbol] = event.price
                self.at = event.known_at
            case EquityMarked() if event.prices:
                self.prices |= event.prices
                self.at = event.at
            case DemoFinished() if event.marks:
                self.prices |= event.marks
                self.at = event.at
            case PaperFinished() if event.marks:
                self.at_venues = event.marks
                self.at = event.at
            case _:
                pass


PRICED: Final[dict[str, type[Event]]] = {
    cls.event_name: cls
    for cls in (PriceChanged, PriceCrossed, VolumeSpiked, OrderFilled, EquityMarked, DemoFinished, PaperFinished)
}


def last_marks(queries: Queries) -> Marks:
    """The last prices that a tape knows: of a finished demo or session the last closes, else those of the last events.

    Of each symbol the newest counts, so a session that was interrupted is priced at different times.
    """
    marks = Marks()
    for entry in queries.events(*PRICED):
        marks.take(PRICED[entry.record.name].from_wire(bytes(entry.record.value)))
    return marks


def equity_of(ledger: Ledger, marks: Mapping[str, Decimal], currency: str) -> Decimal:
    """Cash, positions and coins in ``currency``; what is in another at the mark of ``OTHER/currency``.

    Raises:
        InvalidInput: a mark is missing.
    """
    total = ZERO
    for other in ledger.currencies():
        worth = ledger.equity(marks, other)
        if other != currency and worth:
            rate = marks.get(f"{other}/{currency}")
            if rate is None:
                raise InvalidInput(f"marks[{other}/{currency}]", rate, f"a price of the {other} that is held")
            worth = EXACT.multiply(worth, rate)
        total = EXACT.add(total, worth)
    return total


@dataclass(slots=True)
class Books:
    """The accounts on a tape: a ledger for each, at each venue."""

    opened: AccountOpened
    """The first of them: its currency is that of the sums."""
    ledgers: dict[Book, Ledger] = field(default_factory=dict)
    adoptions: dict[Book, Adoptions] = field(default_factory=dict)
    held: dict[tuple[Book, str], dict[str, Decimal]] = field(default_factory=dict)
    """By book and symbol, then by workflow."""

    def take(self, event: Event) -> None:
        match event:
            case AccountOpened():
                self._ledger((event.account, event.venue)).deposit(event.currency, event.amount)
            case OrderFilled():
                fill, book = event.fill(), (event.account, event.venue)
                if self._ledger(book).apply(fill):
                    mine = self.held.setdefault((book, event.symbol), {})
                    mine[event.workflow] = EXACT.add(mine.get(event.workflow, ZERO), fill.signed_quantity)
            case AccountAdjusted():
                self._ledger((event.account, event.venue))
                self.adoptions[event.account, event.venue].apply(event.adoption())
            case _:
                pass

    def _ledger(self, book: Book) -> Ledger:
        if book not in self.ledgers:
            self.ledgers[book] = Ledger()
            self.adoptions[book] = Adoptions(*book, self.ledgers[book])
        return self.ledgers[book]

    def lines(self, marks: Marks) -> list[PositionLine]:
        found = [
            (symbol, book, position, marks.of(book[1]).get(symbol))
            for book, ledger in self.ledgers.items()
            for symbol, position in ledger.positions().items()
        ]
        return [
            PositionLine(
                account=book[0],
                symbol=symbol,
                venue=book[1],
                quantity=plain(position.quantity),
                average_price=plain(position.average_price or ZERO),
                cost=plain(position.cost),
                price=_text(price),
                value=_text(None if price is None else EXACT.multiply(position.quantity, price)),
                workflows={
                    name: plain(held) for name, held in sorted(self.held.get((book, symbol), {}).items()) if held
                },
            )
            for symbol, book, position, price in sorted(found, key=lambda one: (one[1][0], one[0], one[1][1]))
        ]

    def equity(self, marks: Marks) -> Decimal | None:
        total = ZERO
        for (_, venue), ledger in self.ledgers.items():
            try:
                total = EXACT.add(total, equity_of(ledger, marks.of(venue), self.opened.currency))
            except InvalidInput:  # a price is missing: then nobody knows
                return None
        return total

    def sum(self, of: str) -> Decimal:
        """Of ``cash``, ``capital``, ``fees`` or ``realised``, in the account's currency."""
        total = ZERO
        for ledger in self.ledgers.values():
            total = EXACT.add(total, getattr(ledger, of)(self.opened.currency))
        return total

    def coins(self) -> dict[str, str]:
        found: dict[str, Decimal] = {}
        for ledger in self.ledgers.values():
            for name in ledger.currencies():
                if name != self.opened.currency and ledger.capital(name):
                    found[name] = EXACT.add(found.get(name, ZERO), ledger.capital(name))
        return {name: plain(amount) for name, amount in sorted(found.items())}

    def worth(self, marks: Marks) -> Positions:
        """All of it, at these prices."""
        lines, coins, cash, equity = self.lines(marks), self.coins(), self.sum("cash"), self.equity(marks)
        return Positions(
            account=self.opened.account,
            currency=self.opened.currency,
            capital=plain(self.sum("capital")),
            cash=plain(cash),
            fees=plain(self.sum("fees")),
            realised=plain(self.sum("realised")),
            coins=coins,
            value=_text(None if equity is None else EXACT.subtract(equity, cash)),
            equity=_text(equity),
            priced_at=marks.at if (lines or coins) and equity is not None else None,
            positions=lines,
        )


BOOKED: Final[dict[str, type[Event]]] = {cls.event_name: cls for cls in (AccountOpened, OrderFilled, AccountAdjusted)}


def _told(queries: Queries) -> Iterator[Event]:
    """What changes books, in the tape's order."""
    for entry in queries.events(*BOOKED):
        yield BOOKED[entry.record.name].read(entry.record.version, bytes(entry.record.value))


def positions(queries: Queries, marks: Marks, accounts: Accounts = None) -> Positions:
    """What the accounts of a tape, or some of them, hold, and what that is worth at ``marks``.

    Raises:
        NotFound: no account was ever opened on this tape.
    """
    return books_on(queries, accounts).worth(marks)


def books_on(queries: Queries, accounts: Accounts = None) -> Books:
    """The books of the accounts on a tape, or of some of them.

    Raises:
        NotFound: no account was ever opened on it, or none of these.
    """
    books: Books | None = None
    for event in _told(queries):
        if accounts is not None and getattr(event, "account", "") not in accounts:
            continue
        if books is None and isinstance(event, AccountOpened):
            books = Books(event)
        if books is not None:
            books.take(event)
    if books is None and accounts is not None:
        raise NotFound(
            "account", ", ".join(sorted(accounts)) or "none of yours", "an account that was opened on this tape"
        )
    if books is None:
        raise NotFound("tape", "no account on it", "a tape that something has traded on, such as the demo's")
    return books


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
