"""The ledger: what an account holds and has earned, by double entry, folded from fills alone.

Theory of operation. Every fill becomes postings that sum to zero in each currency; nothing else changes a balance, so
money can neither appear nor vanish here. The accounts, all in units of money:

    cash:USDT            what is there to spend; negative when borrowed
    position:BTC/USDT    cost basis of the position, in quote currency: above zero for a long, below for a short
    fees:USDT            fees paid so far (an expense, so above zero)
    realised:USDT        profit made so far, with the sign of income: *minus* the profit
    capital:USDT         what was paid in, likewise with a minus

All accounts of one currency sum to zero exactly, which is the same as
``cash + cost basis + fees + realised-with-its-sign = capital``; ``check`` asserts it to the last digit.

Cost is average cost. Closing a part releases its share of the basis; the share of a third is endless, so it is cut
toward zero at 12 digits and the rest stays with the position, and a full close releases all of it. Rounding therefore
only moves cents between "realised now" and "realised later": it never loses one. A fill that turns a position closes
all of it and opens the other side at the fill's price.

A fee in another currency than the quote (BTC bought and the fee taken in BTC, or BNB) is posted to that currency's
cash and fees. A venue's balance of BTC is then the position's quantity plus ``cash:BTC``.

Idempotence. A fill is known by venue, symbol and the venue's number; one seen before changes nothing. Numbers of digits
are kept as ranges, so a book that counts without gaps costs one pair of integers however long it gets; others are kept
as they are. Average cost depends on the order of fills, so ``fold`` sorts them by ``Fill.rank`` first: any order in
gives one ledger out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput, TickworkError
from tickwork.trading.orders import ZERO, Fill
from tickwork.values import EXACT, base_of, money, price, quantity, quote_of, ratio, rounded_down

BASIS_STEP: Final = Decimal("1e-12")
"""To what the released share of a cost basis is cut; quote currency."""


@dataclass(slots=True, kw_only=True)
class Position:
    """One symbol's holding."""

    quantity: Decimal = ZERO
    """Base units: above zero long, below short."""
    cost: Decimal = ZERO
    """What it cost (long) or brought in (short, below zero), without fees; quote currency."""

    @property
    def average_price(self) -> Decimal | None:
        """Cost per unit, for reading: cut at 12 digits; the exact figure is ``cost``."""
        return rounded_down(ratio(self.cost, self.quantity), BASIS_STEP) if self.quantity else None


@dataclass(slots=True, kw_only=True)
class LedgerState:
    """A ledger as JSON; decimals are texts. The fills seen are by ``venue symbol``."""

    capital: dict[str, Decimal] = field(default_factory=dict)
    cash: dict[str, Decimal] = field(default_factory=dict)
    fees: dict[str, Decimal] = field(default_factory=dict)
    realised: dict[str, Decimal] = field(default_factory=dict)
    positions: dict[str, Position] = field(default_factory=dict)
    seen: dict[str, list[list[int]]] = field(default_factory=dict)
    """Ranges ``[first, last]`` of their numbers."""
    named: dict[str, list[str]] = field(default_factory=dict)
    """Those whose numbers are not digits, sorted."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of double entry: ``amount`` of ``currency`` into ``account``."""

    account: str
    currency: str
    amount: Decimal


class Ledger:
    """The books of one account. ``capital``: what is paid in at the start, by currency."""

    def __init__(self, capital: Mapping[str, Decimal] | None = None) -> None:
        self._state = LedgerState()
        self._named: dict[str, set[str]] = {}
        self._open: dict[str, Decimal] = {}
        """Positions that are not flat: what the gate sums over, however many there once were."""
        self.version = 0
        """Goes up with every fill."""
        self._touched: dict[str, int] = {}
        """At which version each symbol changed last, in that order."""
        for currency, amount in (capital or {}).items():
            self.deposit(currency, amount)

    # -- reading --------------------------------------------------------------------------------------------------

    def cash(self, currency: str) -> Decimal:
        """What is there to spend of ``currency``."""
        return self._state.cash.get(currency, ZERO)

    def fees(self, currency: str) -> Decimal:
        """Fees paid so far in ``currency``."""
        return self._state.fees.get(currency, ZERO)

    def realised(self, currency: str) -> Decimal:
        """Profit realised so far in ``currency``, before fees; a loss is below zero."""
        return self._state.realised.get(currency, ZERO)

    def capital(self, currency: str) -> Decimal:
        """What was paid in."""
        return self._state.capital.get(currency, ZERO)

    def quantity(self, symbol: str) -> Decimal:
        """The position in base units: above zero long, below short."""
        position = self._state.positions.get(symbol)
        return position.quantity if position else ZERO

    @property
    def quantities(self) -> Mapping[str, Decimal]:
        """Positions that are not flat, in base units, by symbol; what is there, not a copy."""
        return self._open

    def changed(self, version: int) -> Iterator[str]:
        """Symbols in which something was booked since ``version``; since -1: all."""
        for symbol, at in reversed(self._touched.items()):
            if at <= version:
                break
            yield symbol

    def cost(self, symbol: str) -> Decimal:
        """Cost basis of the position in quote currency, without fees; below zero for a short."""
        position = self._state.positions.get(symbol)
        return position.cost if position else ZERO

    def positions(self) -> dict[str, Position]:
        """Positions that are not flat, by symbol; copies."""
        return {
            symbol: Position(quantity=position.quantity, cost=position.cost)
            for symbol, position in sorted(self._state.positions.items())
            if position.quantity
        }

    def currencies(self) -> list[str]:
        """Every currency that has an entry, sorted."""
        state = self._state
        return sorted({*state.capital, *state.cash, *state.fees, *state.realised})

    def holding(self, asset: str) -> Decimal:
        """What a venue should show as balance of ``asset``: its cash, plus spot positions whose base it is."""
        held = self.cash(asset)
        for symbol, position in self._state.positions.items():
            if ":" not in symbol and base_of(symbol) == asset:
                held = EXACT.add(held, position.quantity)
        return held

    def unrealised(self, marks: Mapping[str, Decimal], currency: str) -> Decimal:
        """Value of the positions paid in ``currency`` at ``marks`` (symbol to price), less their cost.

        Raises:
            InvalidInput: a position has no mark above zero. Guessing one would invent money.
        """
        total = ZERO
        for symbol, position in self._state.positions.items():
            if position.quantity and quote_of(symbol) == currency:
                value = EXACT.multiply(position.quantity, _mark(marks, symbol))
                total = EXACT.add(total, EXACT.subtract(value, position.cost))
        return total

    def equity(self, marks: Mapping[str, Decimal], currency: str) -> Decimal:
        """Cash plus the value of positions paid in ``currency``, at ``marks``. Other currencies are not converted.

        Raises:
            InvalidInput: a position has no mark above zero.
        """
        total = EXACT.add(self.cash(currency), self.unrealised(marks, currency))
        return EXACT.add(total, self._cost_in(currency))

    # -- writing --------------------------------------------------------------------------------------------------

    def deposit(self, currency: str, amount: Decimal) -> None:
        """Pay in ``amount`` (or take out, below zero).

        Raises:
            InvalidInput: a float, NaN, or not a number.
        """
        amount = money(amount, "deposit.amount")
        self._add(self._state.cash, currency, amount)
        self._add(self._state.capital, currency, amount)

    def apply(self, fill: Fill) -> bool:
        """Post ``fill``. False, and nothing changes, when its number has been posted before.

        Raises:
            InvalidInput: a price, quantity or fee that cannot be; nothing was changed.
        """
        price(fill.price, "fill.price")
        money(fill.fee, "fill.fee")
        if quantity(fill.quantity, "fill.quantity") == 0:
            raise InvalidInput("fill.quantity", fill.quantity, "a quantity above zero")
        if not self._note(fill):
            return False
        currency = quote_of(fill.symbol)
        position = self._state.positions.setdefault(fill.symbol, Position())
        cost, profit = _next_cost(position, fill)
        position.quantity = EXACT.add(position.quantity, fill.signed_quantity)
        position.cost = cost
        self.version += 1
        self._touched.pop(fill.symbol, None)
        self._touched[fill.symbol] = self.version
        if position.quantity:
            self._open[fill.symbol] = position.quantity
        else:
            self._open.pop(fill.symbol, None)
        paid = fill.notional if fill.side == "buy" else EXACT.minus(fill.notional)
        self._add(self._state.cash, currency, EXACT.minus(paid))
        self._add(self._state.realised, currency, profit)
        self._add(self._state.cash, fill.fee_currency, EXACT.minus(fill.fee))
        self._add(self._state.fees, fill.fee_currency, fill.fee)
        return True

    def knows(self, fill: Fill) -> bool:
        """Has it been posted?"""
        book = _book_of(fill)
        if not _is_number(fill.fill_id):
            return fill.fill_id in self._named.get(book, ())
        ranges, number = self._state.seen.get(book, []), int(fill.fill_id)
        at = bisect_right(ranges, [number, number])
        return (at < len(ranges) and ranges[at][0] == number) or (at > 0 and ranges[at - 1][1] >= number)

    def _note(self, fill: Fill) -> bool:
        """Note its number; False when it was there."""
        book = _book_of(fill)
        if _is_number(fill.fill_id):
            return _number(self._state.seen.setdefault(book, []), int(fill.fill_id))
        names = self._named.setdefault(book, set())
        known = fill.fill_id in names
        names.add(fill.fill_id)
        return not known

    @staticmethod
    def _add(account: dict[str, Decimal], currency: str, amount: Decimal) -> None:
        account[currency] = EXACT.add(account.get(currency, ZERO), amount)

    # -- proof ----------------------------------------------------------------------------------------------------

    def postings(self) -> list[Posting]:
        """The trial balance: every account with its balance, signed so that each currency sums to zero."""
        state = self._state
        lines = [Posting("cash", currency, amount) for currency, amount in state.cash.items()]
        lines += [Posting(f"position:{name}", quote_of(name), held.cost) for name, held in state.positions.items()]
        lines += [Posting("fees", currency, amount) for currency, amount in state.fees.items()]
        lines += [Posting("realised", currency, EXACT.minus(amount)) for currency, amount in state.realised.items()]
        lines += [Posting("capital", currency, EXACT.minus(amount)) for currency, amount in state.capital.items()]
        return lines

    def check(self) -> None:
        """Assert that no money appeared or vanished.

        Raises:
            TickworkError: a currency does not sum to zero, or a flat position has a cost.
        """
        sums: dict[str, Decimal] = {}
        for line in self.postings():
            self._add(sums, line.currency, line.amount)
        wrong = {currency: amount for currency, amount in sums.items() if amount}
        if wrong:
            raise TickworkError(f"the ledger does not balance: {wrong}")
        for name, position in self._state.positions.items():
            if (position.quantity == 0 and position.cost != 0) or position.quantity * position.cost < 0:
                raise TickworkError(f"position {name} of {position.quantity} has a cost of {position.cost}")

    def _cost_in(self, currency: str) -> Decimal:
        total = ZERO
        for symbol, position in self._state.positions.items():
            if quote_of(symbol) == currency:
                total = EXACT.add(total, position.cost)
        return total

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> LedgerState:
        """A copy of everything, for JSON."""
        held = self._state
        return LedgerState(
            capital=dict(held.capital),
            cash=dict(held.cash),
            fees=dict(held.fees),
            realised=dict(held.realised),
            positions={name: Position(quantity=p.quantity, cost=p.cost) for name, p in held.positions.items()},
            seen={book: [list(pair) for pair in ranges] for book, ranges in held.seen.items()},
            named={book: sorted(names) for book, names in sorted(self._named.items())},
        )

    @classmethod
    def of(cls, state: LedgerState) -> Ledger:
        """The ledger of a state; checked.

        Raises:
            TickworkError: the state does not balance.
        """
        ledger = cls()
        ledger._state = state
        ledger._named = {book: set(names) for book, names in state.named.items()}
        ledger._state = ledger.state()  # a copy, so that the caller's object does not change under its hands
        ledger._touched = dict.fromkeys(state.positions, 0)
        ledger._open = {name: held.quantity for name, held in state.positions.items() if held.quantity}
        ledger.check()
        return ledger


def fold(fills: Iterable[Fill], capital: Mapping[str, Decimal] | None = None) -> Ledger:
    """The ledger of a set of fills, whatever order they come in and however often each."""
    ledger = Ledger(capital)
    for fill in sorted(fills, key=lambda fill: fill.rank):
        ledger.apply(fill)
    return ledger


def _book_of(fill: Fill) -> str:
    return f"{fill.venue} {fill.symbol}"


def _is_number(fill_id: str) -> bool:
    """Are these digits as Python would write the number? Others (``007``) are names, or two of them would be one."""
    return fill_id.isascii() and fill_id.isdigit() and (fill_id[0] != "0" or fill_id == "0")


def _mark(marks: Mapping[str, Decimal], symbol: str) -> Decimal:
    mark = marks.get(symbol)
    if mark is None or not mark.is_finite() or mark <= 0:
        raise InvalidInput(f"marks[{symbol}]", mark, "a price above zero for every open position")
    return mark


def _next_cost(position: Position, fill: Fill) -> tuple[Decimal, Decimal]:
    """The position's cost after ``fill``, and the profit the fill realises; both in quote currency.

    Opening or adding: cost grows by what was paid, profit is zero. Closing ``q`` of ``Q``: the share ``cost * q / Q``
    leaves the basis; profit is what came in less that share (for a short both are negative, and the same line holds).
    """
    signed_paid = fill.notional if fill.side == "buy" else EXACT.minus(fill.notional)
    held, traded = position.quantity, fill.signed_quantity
    if held == 0 or (held > 0) == (traded > 0):
        return EXACT.add(position.cost, signed_paid), ZERO
    if traded.copy_abs() < held.copy_abs():
        share = rounded_down(ratio(EXACT.multiply(position.cost, traded.copy_abs()), held.copy_abs()), BASIS_STEP)
        return EXACT.subtract(position.cost, share), EXACT.subtract(EXACT.minus(signed_paid), share)
    opens = EXACT.add(held, traded)
    opened_cost = EXACT.multiply(opens, fill.price)
    closing_paid = EXACT.subtract(signed_paid, opened_cost)
    return opened_cost, EXACT.subtract(EXACT.minus(closing_paid), position.cost)


def _number(ranges: list[list[int]], number: int) -> bool:
    """Note ``number`` in sorted, disjoint ``[first, last]`` ranges; False when it was there."""
    at = bisect_right(ranges, [number, number])
    # the range that starts at or before the number is the one to the left, unless an equal start sorts after it
    if at < len(ranges) and ranges[at][0] == number:
        return False
    if at > 0 and ranges[at - 1][1] >= number:
        return False
    left = at > 0 and ranges[at - 1][1] == number - 1
    right = at < len(ranges) and ranges[at][0] == number + 1
    if left and right:
        ranges[at - 1][1] = ranges.pop(at)[1]
    elif left:
        ranges[at - 1][1] = number
    elif right:
        ranges[at][0] = number
    else:
        ranges.insert(at, [number, number])
    return True
