"""What the account of a tape holds, and what that is worth at the newest prices on it: a reading of the fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.core.event import Event
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import InvalidInput
from tickwork.market.triggers import PriceChanged, PriceCrossed, VolumeSpiked
from tickwork.service.demo_tape import DemoFinished
from tickwork.service.orders import trading_events
from tickwork.service.paper_tape import PaperFinished
from tickwork.service.trading import AccountOpened, OrderFilled
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, plain

Place = tuple[str, str]
"""Venue and symbol."""


class PositionLine(msgspec.Struct, rename="camel", kw_only=True):
    """One symbol's position at one venue."""

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
    """Which workflow holds how much of it."""


class Positions(msgspec.Struct, rename="camel", kw_only=True):
    """What an account holds, folded from the fills on a tape. Money is in ``currency``, over all venues."""

    account: str
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


_PRICED: Final[dict[str, type[Event]]] = {
    cls.event_name: cls for cls in (PriceChanged, PriceCrossed, VolumeSpiked, OrderFilled, DemoFinished, PaperFinished)
}


def last_marks(queries: Queries) -> Marks:
    """The last prices that a tape knows: of a finished demo or session the last closes, else those of the last events.

    Of each symbol the newest counts, so a session that was interrupted is priced at different times.
    """
    marks = Marks()
    for entry in queries.events(*_PRICED):
        event = _PRICED[entry.record.name].from_wire(bytes(entry.record.value))
        match event:
            case PriceChanged() | PriceCrossed() | VolumeSpiked() | OrderFilled():
                marks.prices[event.symbol] = event.price
                marks.at = event.known_at
            case DemoFinished() if event.marks:
                marks.prices |= event.marks
                marks.at = event.at
            case PaperFinished() if event.marks:
                marks.at_venues = event.marks
                marks.at = event.at
            case _:
                pass
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
class _Books:
    """The accounts on a tape: a ledger for each venue."""

    opened: AccountOpened
    """The first of them: its currency is the account's."""
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    held: dict[Place, dict[str, Decimal]] = field(default_factory=dict)
    """By workflow."""

    def take(self, event: Event) -> None:
        match event:
            case AccountOpened():
                self.ledgers.setdefault(event.venue, Ledger()).deposit(event.currency, event.amount)
            case OrderFilled():
                fill = event.fill()
                self.ledgers.setdefault(event.venue, Ledger()).apply(fill)
                mine = self.held.setdefault((event.venue, event.symbol), {})
                mine[event.workflow] = EXACT.add(mine.get(event.workflow, ZERO), fill.signed_quantity)
            case _:
                pass

    def lines(self, marks: Marks) -> list[PositionLine]:
        found = [
            (symbol, venue, position, marks.of(venue).get(symbol))
            for venue, ledger in self.ledgers.items()
            for symbol, position in ledger.positions().items()
        ]
        return [
            PositionLine(
                symbol=symbol,
                venue=venue,
                quantity=plain(position.quantity),
                average_price=plain(position.average_price or ZERO),
                cost=plain(position.cost),
                price=_text(price),
                value=_text(None if price is None else EXACT.multiply(position.quantity, price)),
                workflows={name: plain(held) for name, held in sorted(self.held[venue, symbol].items()) if held},
            )
            for symbol, venue, position, price in sorted(found, key=lambda one: one[:2])
        ]

    def equity(self, marks: Marks) -> Decimal | None:
        total = ZERO
        for venue, ledger in self.ledgers.items():
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


def positions(queries: Queries, marks: Marks) -> Positions:
    """What the account of a tape holds, and what that is worth at ``marks``.

    Raises:
        InvalidInput: no account was ever opened on this tape.
    """
    books: _Books | None = None
    for _, _, event in trading_events(queries):
        if books is None and isinstance(event, AccountOpened):
            books = _Books(event)
        if books is not None:
            books.take(event)
    if books is None:
        raise InvalidInput("tape", "no account on it", "a tape that something has traded on, such as the demo's")
    lines, coins, cash, equity = books.lines(marks), books.coins(), books.sum("cash"), books.equity(marks)
    return Positions(
        account=books.opened.account,
        currency=books.opened.currency,
        capital=plain(books.sum("capital")),
        cash=plain(cash),
        fees=plain(books.sum("fees")),
        realised=plain(books.sum("realised")),
        coins=coins,
        value=_text(None if equity is None else EXACT.subtract(equity, cash)),
        equity=_text(equity),
        priced_at=marks.at if (lines or coins) and equity is not None else None,
        positions=lines,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)
