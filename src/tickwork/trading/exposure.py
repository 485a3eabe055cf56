"""What an account, or a workflow, is exposed to: the worst cases that limits are held against.

Theory of operation. **The worst case of a symbol** is its long side or its short side, whichever is worth more: what is
held on that side plus everything on its way to it, at the mark (the ask, the larger of the two prices) or at the
highest price at which one of those orders may fill (a sell resting at 120 fills when the market is at 120, and then
everything sold short is worth that). A position on the *other* side is not set off against it, because an order that
only reduces is always allowed and may take the position away first. Only where nothing can be sold short does a sell
count no more than what exceeds the position.

So a limit that holds at every approval holds whatever fills first, at the prices of those moments; and a smaller order
never measures more.

**What is kept.** ``Terms.memo`` remembers what each symbol was worth. It is worked out anew when the symbol has another
quote, position or order, which ledger and reservations tell by a version; so it saves work and decides nothing. Whether
a quote is fresh is asked every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import ROUND_UP, Context, Decimal
from typing import Final

from tickwork.market.bars import Quote
from tickwork.trading.activity import Activity
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO, Side
from tickwork.trading.reservations import Reservations
from tickwork.trading.tally import Pending
from tickwork.values import EXACT, age_text, base_of, quote_of

Quotes = Callable[[str], Quote | None]
"""The freshest quote of a symbol, or ``None``."""

Measured = Decimal | str | None

_QUOTIENT: Final = Context(prec=28, rounding=ROUND_UP)
ONE: Final = Decimal(1)
NEVER: Final = "none: equity was never measured"
_plus, _minus, _times = EXACT.add, EXACT.subtract, EXACT.multiply
_NOTHING: Final = Ledger()
"""The books of a workflow that has none."""


@dataclass(slots=True)
class _Row:
    """What one symbol was worth, and of what that was worked out."""

    symbol: str
    held: Decimal
    pending: Pending
    quote: Quote | None = None
    value: Decimal = ZERO


@dataclass(slots=True, eq=False)
class Standing:
    """The account, or one workflow: its symbols, what they are worth, how many orders it has."""

    ledger: Ledger
    reservations: Reservations
    workflow: str
    rows: dict[str, _Row] = field(default_factory=dict)
    """Symbols in which something is held or on its way."""
    orders: int = 0
    total: Decimal = ZERO
    """Sum of the rows' values."""
    _versions: tuple[int, int] = (-1, -1)
    _orders: dict[str, int] = field(default_factory=dict)
    """By symbol."""

    def renew(self) -> None:
        """Take in what has changed of positions and orders."""
        ledger, reservations, seen = self.ledger, self.reservations, self._versions
        if seen[0] != ledger.version:
            for symbol in ledger.changed(seen[0]):
                self._take(symbol)
        if seen[1] != reservations.version:
            for symbol in reservations.changed(seen[1]):
                self._take(symbol)
        self._versions = (ledger.version, reservations.version)

    def _take(self, symbol: str) -> None:
        held, pending = self.ledger.quantities.get(symbol, ZERO), self.reservations.pending(symbol, self.workflow)
        self.orders += pending.orders - self._orders.get(symbol, 0)
        self._orders[symbol] = pending.orders
        row = self.rows.get(symbol)
        if not held and not pending.buys and not pending.sells:
            if row is not None:
                self.total = _minus(self.total, row.value)
                del self.rows[symbol]
        elif row is None:
            self.rows[symbol] = _Row(symbol, held, pending)
        else:
            row.held, row.pending, row.quote = held, pending, None


@dataclass(slots=True)
class Terms:
    """What stays the same from one decision to the next."""

    currency: str
    """Of all money; ``""``: each symbol's own."""
    shorts: bool
    """Pairs and shares can be sold short, as contracts can."""
    quote_age: int
    """In ns."""
    equity_age: int
    memo: dict[str, Standing] = field(default_factory=dict)
    currencies: dict[str, str] = field(default_factory=dict)

    def can_short(self, symbol: str) -> bool:
        """May a sell open a position?"""
        return self.shorts or ":" in symbol

    def paid_in(self, symbol: str) -> str:
        """The currency of a symbol's prices; from then on in ``currencies``."""
        found = self.currencies[symbol] = quote_of(symbol)
        return found

    def sides(self, symbol: str, held: Decimal, pending: Pending) -> tuple[Decimal, Decimal]:
        """Worst cases of the long and the short side, in base units."""
        long = _plus(held, pending.buys) if held > 0 else pending.buys
        if not self.can_short(symbol):
            return long, max(_minus(pending.sells, held), ZERO)
        return long, _minus(pending.sells, held) if held < 0 else pending.sells


@dataclass(slots=True, eq=False)
class Case:
    """One order, and what the gate is shown. Without an order (``quantity`` zero) it says how the limits stand."""

    terms: Terms
    ledger: Ledger
    reservations: Reservations
    activity: Activity | None
    marks: Quotes
    now: int
    symbol: str = ""
    side: Side = "buy"
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    """The worse of quote and limit price."""
    ask: Decimal = ZERO
    """Of the quote it is judged by."""
    leverage: Decimal = ONE
    counted: bool = False
    """The order is among the activity's approvals already."""
    # what has been worked out for this order, by workflow
    _standings: dict[str, Standing] = field(default_factory=dict)
    _afters: dict[str, Decimal | str] = field(default_factory=dict)
    _exposures: dict[str, Measured] = field(default_factory=dict)
    _losses: dict[str, Decimal | str] = field(default_factory=dict)
    _equity: Decimal | str | None = None

    # -- prices ---------------------------------------------------------------------------------------------------

    def _ask(self, symbol: str, quote: Quote | None) -> Decimal | str:
        if quote is None:
            return f"none: no price of {symbol}"
        if abs(self.now - quote.time_ns) > self.terms.quote_age:
            return f"none: the price of {symbol} is {age_text(self.now - quote.time_ns)}"
        return quote.ask if is_price(quote.ask) else f"none: the price of {symbol} is {quote.ask}"

    def free(self) -> Decimal:
        """Of the order's coin, in its units: what the books hold less what orders on their way may take of it.

        Worst cases: an order in doubt takes it too, and a buy that is paid in the coin its highest price. Below zero
        where they may take more than there is.
        """
        coin = base_of(self.symbol)
        left = self.ledger.cash(coin)
        for name, held in self.ledger.quantities.items():
            if ":" not in name and base_of(name) == coin:
                left = _plus(left, held)
        for name in self.reservations.symbols():
            if ":" in name:
                continue
            pending = self.reservations.pending(name)
            if base_of(name) == coin:
                left = _minus(left, pending.leaving)
            elif quote_of(name) == coin:
                left = _minus(left, _times(pending.buys, pending.highest_buy))
        return left

    def rate(self, symbol: str, *, summed: bool = False) -> Decimal | str:
        """What a unit of the money a symbol is paid in is worth; 1 where no currency is stated.

        ``summed``: it is to be added to others, so a currency must be.
        """
        terms = self.terms
        ours, theirs = terms.currency, terms.currencies.get(symbol) or terms.paid_in(symbol)
        if ours == theirs or (not ours and not summed):
            return ONE
        if not ours:
            return f"none: {symbol} is paid in {theirs}, and the limits state no currency"
        name = f"{theirs}/{ours}"
        return self._ask(name, self.marks(name))

    # -- what there is --------------------------------------------------------------------------------------------

    def standing(self, workflow: str = "") -> Standing:
        """The account's symbols, or a workflow's."""
        known = self._standings.get(workflow)
        if known is not None:
            return known
        ledger = self.ledger
        if workflow:
            ledger = (self.activity.held(workflow) if self.activity is not None else None) or _NOTHING
        found = self.terms.memo.get(workflow)
        if found is None or found.ledger is not ledger or found.reservations is not self.reservations:
            found = self.terms.memo[workflow] = Standing(ledger, self.reservations, workflow)
        found.renew()
        self._standings[workflow] = found
        return found

    def total(self, workflow: str = "") -> Decimal | str:
        """Gross exposure as it stands, or why it cannot be said."""
        standing = self.standing(workflow)
        marks, now, age = self.marks, self.now, self.terms.quote_age
        for row in standing.rows.values():
            quote = marks(row.symbol)
            if quote is not None and quote is row.quote and -age <= now - quote.time_ns <= age:
                continue
            value = self._worth(row, quote)
            if isinstance(value, str):
                return value
            standing.total = _plus(standing.total, _minus(value, row.value))
            row.value = value
        return standing.total

    def _worth(self, row: _Row, quote: Quote | None) -> Decimal | str:
        """The worst case of a symbol as it stands, or why it cannot be said."""
        symbol, pending = row.symbol, row.pending
        ask, rate = self._ask(symbol, quote), self.rate(symbol, summed=True)
        if isinstance(ask, str) or isinstance(rate, str):
            return ask if isinstance(ask, str) else str(rate)
        long, short = self.terms.sides(symbol, row.held, pending)
        value = _times(long, max(ask, pending.highest_buy))
        if short:
            value = max(value, _times(short, max(ask, pending.highest_sell)))
        if rate is ONE:
            row.quote = quote
            return value
        row.quote = None  # it depends on another quote as well: worked out every time
        return _times(value, rate)

    def _stands(self, workflow: str) -> Decimal | str:
        """The worst case of the symbol as it stands, or why it cannot be said."""
        row = self.standing(workflow).rows.get(self.symbol)
        return ZERO if row is None else self._worth(_Row(row.symbol, row.held, row.pending), self.marks(row.symbol))

    # -- and with the order ---------------------------------------------------------------------------------------

    def after(self, workflow: str = "") -> Decimal | str:
        """The worst case of the order's symbol on the order's side, with the order; or why it cannot be said."""
        found = self._afters.get(workflow)
        if found is None:
            work = self._after if self.quantity else self._stands
            found = self._afters[workflow] = work(workflow)
        return found

    def _after(self, workflow: str) -> Decimal | str:
        symbol, terms = self.symbol, self.terms
        row = self.standing(workflow).rows.get(symbol)
        held, pending = (row.held, row.pending) if row else (ZERO, self.reservations.pending(symbol, workflow))
        if self.side == "buy":
            base = _plus(terms.sides(symbol, held, pending)[0], self.quantity)
            price = max(self.price, self.ask, pending.highest_buy)
        else:
            if terms.can_short(symbol):
                base = _plus(terms.sides(symbol, held, pending)[1], self.quantity)
            else:
                base = max(_minus(_plus(pending.sells, self.quantity), held), ZERO)
            price = max(self.price, self.ask, pending.highest_sell)
        rate = self.rate(symbol)
        if isinstance(rate, str):
            return rate
        return _times(base, price) if rate is ONE else _times(_times(base, price), rate)

    def exposed(self, workflow: str = "") -> Measured:
        """Gross exposure with the order, or why it cannot be said; ``None`` where the order does not add to it."""
        if workflow not in self._exposures:
            self._exposures[workflow] = self._exposed(workflow)
        return self._exposures[workflow]

    def _exposed(self, workflow: str) -> Measured:
        total = self.total(workflow)
        if isinstance(total, str) or not self.quantity:
            return total
        after, row = self.after(workflow), self._standings[workflow].rows.get(self.symbol)
        if isinstance(after, str):
            return after
        if not self.terms.currency:
            return self.rate(self.symbol, summed=True)
        before = ZERO if row is None else row.value
        return _plus(total, _minus(after, before)) if after > before else None

    def equity(self) -> Decimal | str:
        """The account's equity, or why there is none that may be used."""
        found = self._equity
        if found is None:
            found = NEVER if self.activity is None else self.activity.equity(self.now, self.terms.equity_age)
            if not isinstance(found, str) and found <= 0:
                found = f"none: equity is {found}"
            self._equity = found
        return found

    def loss(self, workflow: str = "") -> Decimal | str:
        """The loss of the day, or why it cannot be said."""
        if self.activity is None:
            return NEVER
        found = self._losses.get(workflow)
        if found is None:
            found = self._losses[workflow] = self.activity.daily_loss(self.now, self.terms.equity_age, workflow)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """What there is in one symbol. Quantities are base units."""

    symbol: str
    held: Decimal
    """Below zero for a short."""
    buys: Decimal
    """Still to be bought at most."""
    sells: Decimal
    value: Decimal | str
    """The worst case, or why it cannot be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What an account is exposed to; each figure, or in words why there is none."""

    symbols: tuple[Exposed, ...]
    gross: Decimal | str
    equity: Decimal | str
    daily_loss: Decimal | str
    drawdown: Decimal | str
    peak: Decimal | None


def exposure_of(case: Case) -> Exposure:
    """The exposure of a case without an order."""
    standing, activity = case.standing(), case.activity
    rows = [
        Exposed(
            symbol=name,
            held=row.held,
            buys=row.pending.buys,
            sells=row.pending.leaving,
            value=case._worth(_Row(name, row.held, row.pending), case.marks(name)),
        )
        for name, row in sorted(standing.rows.items())
    ]
    fall = NEVER if activity is None else activity.drawdown(case.now, case.terms.equity_age)
    depth, peak = (fall, None) if isinstance(fall, str) else fall
    return Exposure(
        symbols=tuple(rows),
        gross=case.total(),
        equity=case.equity(),
        daily_loss=case.loss(),
        drawdown=depth,
        peak=peak,
    )


def is_price(value: Decimal | None) -> bool:
    """Is it a number above zero?"""
    # `is_finite` first: comparing a NaN raises
    return value is not None and value.is_finite() and value > 0


def share(value: Decimal, of: Decimal) -> Decimal:
    """A quotient, rounded up at 28 digits."""
    return _QUOTIENT.divide(value, of)
