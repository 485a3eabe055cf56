"""Attribution: whose trades they were. Books for each workflow and agent that add up to the account's.

Theory of operation. Several workflows share one account, and the venue knows only the account. Each fill is posted
twice from here: to the account's ledger, which also says whether it was seen before, and to the books of its holder,
a workflow and an agent (the analyst or person that decided; empty where that is the workflow itself). Like the
ledger, one ``Attribution`` is of one account at one venue.

What adds up. For every symbol, over all holders, to the last digit:

* quantity, effect on cash, and fees equal the account's;
* cost and realised profit taken alone do not: average cost is each holder's own. One that bought at 100 and one that
  bought at 200 have each an average of their own, and the account's is 150; when one sells, they disagree about what
  was earned *now*. But double entry says ``realised - cost = cash effect of trading`` in each book, so
  ``realised + unrealised = quantity * mark + cash effect``, where everything on the right adds up. Hence at any mark
  the sum of ``realised + unrealised - fees`` over the holders is the account's; ``check`` asserts it without a mark,
  as ``realised - cost``.

Fills nobody asked for. An exit is an order of the workflow whose position it closes, and is posted to that. A fill
that closes for the whole account (flatten) is cut over those that hold: ``pro_rata``. Where one is long and another
short, both come closer to flat by the same fraction, the smaller one against the larger at the fill's price, so that
an account that is flat has holders that are flat. What is left of such a fill when no one holds any more belongs to
the account itself, ``THE_ACCOUNT``.

Episodes. From flat to flat is one position, with a number, an entry, an exit and a profit; a fill that turns a holder
closes one and opens the next. A spot venue may take its fee out of the coins bought: these coins were paid for and can
never be sold, so an episode's lot is what was bought less such fees, and its cost stays. What is left below the
venue's quantity step (``dust``) cannot be sold either, and counts as flat; it waits in the lot for the next episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from tickwork.errors import InvalidInput, TickworkError
from tickwork.trading.ledger import BASIS_STEP, Ledger, LedgerState, Position, Posting
from tickwork.trading.orders import ZERO, Fill
from tickwork.trading.performance import Trades
from tickwork.values import EXACT, base_of, price, quote_of, ratio, rounded_down


class Holder(NamedTuple):
    """Whose trades."""

    workflow: str
    agent: str = ""


THE_ACCOUNT: Final = Holder("", "")
"""Holds what no workflow asked for."""


# ---------------------------------------------------------------------------------------------------------- episodes


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One position of one holder, from flat to flat. Money is in the symbol's quote currency."""

    position_id: str
    """Account, venue, symbol and number of the fill that opened it."""
    account: str
    venue: str
    symbol: str
    workflow: str
    agent: str
    side: Literal["long", "short"]
    opened_at: int
    """In ns since 1970 UTC."""
    closed_at: int | None = None
    entered: Decimal = ZERO
    """Base units that opened it or added to it."""
    entry_notional: Decimal = ZERO
    exited: Decimal = ZERO
    """Base units that reduced it."""
    exit_notional: Decimal = ZERO
    realised: Decimal = ZERO
    """Profit of what was closed, before fees other than those taken out of the coins bought."""
    costs: Decimal = ZERO
    """Fees in quote currency; those in base that its coins did not bear are in it at their fill's price."""
    fees: dict[str, Decimal] = field(default_factory=dict)
    """All fees, by the currency they were paid in."""

    @property
    def entry_price(self) -> Decimal:
        """Average, cut at 12 digits, for reading."""
        return _average(self.entry_notional, self.entered) or ZERO

    @property
    def exit_price(self) -> Decimal | None:
        """Average, likewise; ``None`` where nothing was closed."""
        return _average(self.exit_notional, self.exited)

    @property
    def profit(self) -> Decimal:
        """Realised less fees in the quote and base currency; fees in a third one (BNB) are left to ``net``."""
        return EXACT.subtract(self.realised, self.costs)

    @property
    def gain(self) -> float | None:
        """Profit over what was paid to enter, a fraction."""
        return float(ratio(self.profit, self.entry_notional)) if self.entry_notional else None

    def net(self, rates: Mapping[str, Decimal]) -> Decimal:
        """Realised less all fees, those in a third currency at ``rates`` (``BNB/USDT``: price).

        Raises:
            InvalidInput: a rate is missing, or no price.
        """
        profit, quote = self.profit, quote_of(self.symbol)
        for currency, fee in self.fees.items():
            if fee and currency not in (quote, base_of(self.symbol)):
                pair = f"{currency}/{quote}"
                profit = EXACT.subtract(profit, EXACT.multiply(fee, price(rates.get(pair), f"rates[{pair}]")))
        return profit


def _average(notional: Decimal, quantity: Decimal) -> Decimal | None:
    return rounded_down(ratio(notional, quantity), BASIS_STEP) if quantity else None


# ------------------------------------------------------------------------------------------------------------- books


@dataclass(slots=True, kw_only=True)
class Line(Position):
    """What a holder's fills in one symbol have come to, counted as the ledger counts."""

    realised: Decimal = ZERO
    """Before fees; quote currency."""
    cash: dict[str, Decimal] = field(default_factory=dict)
    """What the fills did to cash, by currency."""
    fees: dict[str, Decimal] = field(default_factory=dict)
    """By currency."""

    def post(self, fill: Fill) -> None:
        """Count a fill."""
        for part in _parts(self.quantity, fill):
            self.realised = EXACT.add(self.realised, _book(self, part))
        _add(self.cash, quote_of(fill.symbol), _paid(fill).copy_negate())
        _add(self.cash, fill.fee_currency, fill.fee.copy_negate())
        _add(self.fees, fill.fee_currency, fill.fee)

    def merge(self, other: Line) -> None:
        """Add another holder's."""
        self.quantity = EXACT.add(self.quantity, other.quantity)
        self.cost = EXACT.add(self.cost, other.cost)
        self.realised = EXACT.add(self.realised, other.realised)
        for mine, theirs in ((self.cash, other.cash), (self.fees, other.fees)):
            for currency, amount in theirs.items():
                _add(mine, currency, amount)


@dataclass(slots=True, kw_only=True)
class Holding:
    """The books of one holder in one symbol; JSON as it is."""

    workflow: str
    agent: str
    symbol: str
    line: Line = field(default_factory=Line)
    lot: Position = field(default_factory=Position)
    """What can be sold: the line's quantity less fees taken in coins; and what that cost."""
    episode: Episode | None = None
    """The one that is open."""
    trades: Trades = field(default_factory=Trades)
    """Those that are closed, by ``Episode.profit``."""

    def post(self, fill: Fill, dust: Decimal) -> list[Episode]:
        """Count a fill; the episodes it touched, the open one last."""
        self.line.post(fill)
        touched: list[Episode] = []
        for part in _parts(self.lot.quantity, fill):
            opens = not self.lot.quantity or (self.lot.quantity > 0) == (part.side == "buy")
            profit = _book(self.lot, part)
            costs, lost = self._bear_fee(part)
            if self.episode is None and opens and self._is_open(dust):
                self.episode = self._opened(part)
            if self.episode is not None:
                self.episode = _with(self.episode, part, opens, EXACT.subtract(profit, lost), costs)
                if not self._is_open(dust):
                    self.episode = replace(self.episode, closed_at=part.time)
                    self.trades.add(self.episode.profit, self.episode.entry_notional)
                touched.append(self.episode)
                self.episode = self.episode if self.episode.closed_at is None else None
        return touched

    def _is_open(self, dust: Decimal) -> bool:
        return self.lot.quantity.copy_abs() >= dust if dust else self.lot.quantity != 0

    def _bear_fee(self, part: Fill) -> tuple[Decimal, Decimal]:
        """Take a fee in coins out of the lot. What the fee costs besides, and the cost of coins that were all fee."""
        if part.fee_currency == quote_of(part.symbol):
            return part.fee, ZERO
        if part.fee_currency != base_of(part.symbol):
            return ZERO, ZERO
        lot = self.lot
        taken = min(max(part.fee, ZERO), max(lot.quantity, ZERO)) if ":" not in part.symbol else ZERO
        lot.quantity = EXACT.subtract(lot.quantity, taken)
        lost = ZERO
        if not lot.quantity:
            lost, lot.cost = lot.cost, ZERO
        return EXACT.multiply(EXACT.subtract(part.fee, taken), part.price), lost

    def _opened(self, part: Fill) -> Episode:
        return Episode(
            position_id=f"{part.account} {part.venue} {part.symbol} {part.fill_id}",
            account=part.account,
            venue=part.venue,
            symbol=part.symbol,
            workflow=self.workflow,
            agent=self.agent,
            side="long" if part.side == "buy" else "short",
            opened_at=part.time,
        )


@dataclass(slots=True, kw_only=True)
class Books:
    """The sum of some holders' books, by symbol."""

    lines: dict[str, Line] = field(default_factory=dict)
    trades: dict[str, Trades] = field(default_factory=dict)
    """Closed episodes, by quote currency."""

    def cash(self, currency: str) -> Decimal:
        """What the fills did to the account's cash."""
        return _sum(line.cash.get(currency, ZERO) for line in self.lines.values())

    def fees(self, currency: str) -> Decimal:
        """Fees paid in ``currency``."""
        return _sum(line.fees.get(currency, ZERO) for line in self.lines.values())

    def realised(self, currency: str) -> Decimal:
        """Profit realised in ``currency``, before fees, each holder by its own average cost."""
        return _sum(line.realised for line in self._in(currency).values())

    def unrealised(self, marks: Mapping[str, Decimal], currency: str) -> Decimal:
        """Value of what is held at ``marks`` (symbol to price), less its cost.

        Raises:
            InvalidInput: something held has no mark, or one that is not above zero.
        """
        total = ZERO
        for symbol, line in self._in(currency).items():
            if line.quantity:
                mark = price(marks.get(symbol), f"marks[{symbol}]")
                total = EXACT.add(total, EXACT.multiply(line.quantity, mark))
            total = EXACT.subtract(total, line.cost)
        return total

    def profit(self, marks: Mapping[str, Decimal], currency: str) -> Decimal:
        """Realised and unrealised less fees. This adds up over holders, at any mark.

        Raises:
            InvalidInput: as ``unrealised``.
        """
        made = EXACT.add(self.realised(currency), self.unrealised(marks, currency))
        return EXACT.subtract(made, self.fees(currency))

    def postings(self) -> list[Posting]:
        """The trial balance: signed so that each currency sums to zero."""
        found: list[Posting] = []
        for symbol, line in self.lines.items():
            quote = quote_of(symbol)
            found += [Posting("cash", currency, amount) for currency, amount in line.cash.items()]
            found += [Posting("fees", currency, amount) for currency, amount in line.fees.items()]
            found.append(Posting(f"position:{symbol}", quote, line.cost))
            found.append(Posting("realised", quote, line.realised.copy_negate()))
        return found

    def _in(self, currency: str) -> dict[str, Line]:
        return {symbol: line for symbol, line in self.lines.items() if quote_of(symbol) == currency}


@dataclass(slots=True, kw_only=True)
class AttributionState:
    """An attribution as JSON; decimals are texts."""

    account: LedgerState = field(default_factory=LedgerState)
    holdings: list[Holding] = field(default_factory=list)


class Attribution:
    """The books of one account at one venue, and of all who trade on it.

    ``capital``: what is paid in at the start, by currency. ``dust``: by symbol, the smallest quantity that can be sold
    (the venue's quantity step); a lot below it counts as flat. Without one, only zero does.
    """

    def __init__(
        self, capital: Mapping[str, Decimal] | None = None, *, dust: Mapping[str, Decimal] | None = None
    ) -> None:
        self._account = Ledger(capital)
        self._dust = dict(dust or {})
        self._holdings: dict[str, dict[Holder, Holding]] = {}

    @property
    def account(self) -> Ledger:
        """The account's own ledger. Deposits go there; fills only through here."""
        return self._account

    # -- writing --------------------------------------------------------------------------------------------------

    def apply(self, fill: Fill, workflow: str, agent: str = "") -> tuple[Episode, ...]:
        """Post a fill to the account and to its holder.

        Returns:
            The episodes it touched: closed ones first, the open one last. None when it has been posted before (then
            nothing changes), and none for a fill of mere dust.

        Raises:
            InvalidInput: a price, quantity or fee that cannot be; nothing was changed.
        """
        if not self._account.apply(fill):
            return ()
        return tuple(self._post(fill, Holder(workflow, agent)))

    def apply_pro_rata(
        self, fill: Fill, *, workflow: str | None = None, agent: str | None = None, step: Decimal | None = None
    ) -> tuple[Episode, ...]:
        """Post a fill that closes for several holders at once: those of ``workflow`` and ``agent``, or all.

        Each gets its part by ``pro_rata``, on ``step`` where everything is (else as fine as the quantities are), and
        its part of the fee. What exceeds all they hold is posted to ``workflow`` and ``agent``, empty where not given.

        Returns:
            As ``apply``, of all holders.

        Raises:
            InvalidInput: as ``apply``.
        """
        if not self._account.apply(fill):
            return ()
        held = {
            holder: quantity
            for holder, quantity in self.held(fill.symbol).items()
            if workflow in (None, holder.workflow) and agent in (None, holder.agent)
        }
        net = _sum(held.values())
        closes = min(fill.quantity, net.copy_abs()) if (net > 0) == (fill.side == "sell") else ZERO
        parts: dict[Holder, Decimal] = {}
        if closes:
            grid = _grid(step, [closes, *held.values()])
            parts = pro_rata(_signed(closes, fill), held, grid)
        if rest := EXACT.subtract(fill.quantity, closes):
            owner = Holder(workflow or "", agent or "")
            parts[owner] = EXACT.add(parts.get(owner, ZERO), _signed(rest, fill))
        shared = {holder: part for holder, part in parts.items() if part}
        fees = _fee_parts(fill.fee, [part.copy_abs() for part in shared.values()])
        touched: list[Episode] = []
        for (holder, part), fee in zip(shared.items(), fees, strict=True):
            one = replace(fill, side="buy" if part > 0 else "sell", quantity=part.copy_abs(), fee=fee)
            touched += self._post(one, holder)
        return tuple(touched)

    def _post(self, fill: Fill, holder: Holder) -> list[Episode]:
        book = self._holdings.setdefault(fill.symbol, {})
        holding = book.get(holder)
        if holding is None:
            holding = book[holder] = Holding(workflow=holder.workflow, agent=holder.agent, symbol=fill.symbol)
        return holding.post(fill, self._dust.get(fill.symbol, ZERO))

    # -- reading --------------------------------------------------------------------------------------------------

    def holders(self) -> list[Holder]:
        """All that ever traded, sorted."""
        return sorted({holder for book in self._holdings.values() for holder in book})

    def held(self, symbol: str) -> dict[Holder, Decimal]:
        """Who has an open position in ``symbol``, and what of it can be sold; below zero for a short."""
        return {
            holder: holding.lot.quantity
            for holder, holding in sorted(self._holdings.get(symbol, {}).items())
            if holding.episode is not None
        }

    def episodes(self) -> list[Episode]:
        """The open ones, oldest first."""
        found = [holding.episode for holding in self._all() if holding.episode is not None]
        return sorted(found, key=lambda episode: (episode.opened_at, episode.position_id))

    def books(self, workflow: str | None = None, agent: str | None = None) -> Books:
        """The books of a workflow, of an agent, of both together, or of everyone; a copy."""
        found = Books()
        for holding in self._all():
            if workflow in (None, holding.workflow) and agent in (None, holding.agent):
                found.lines.setdefault(holding.symbol, Line()).merge(holding.line)
                found.trades.setdefault(quote_of(holding.symbol), Trades()).merge(holding.trades)
        return found

    def _all(self) -> list[Holding]:
        return [holding for _, book in sorted(self._holdings.items()) for _, holding in sorted(book.items())]

    # -- proof and state ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Assert that every book balances and that all together are the account's.

        Raises:
            TickworkError: one does not.
        """
        self._account.check()
        for holding in self._all():
            _balanced(Books(lines={holding.symbol: holding.line}), f"{holding.workflow or 'the account'}'s books")
        ours, whole = self.books(), self._account
        for symbol in {*ours.lines, *whole.positions()}:
            line = ours.lines.get(symbol, Line())
            _same(f"quantity of {symbol}", line.quantity, whole.quantity(symbol))
        for currency in {line.currency for line in ours.postings()} | set(whole.currencies()):
            moved = EXACT.subtract(whole.cash(currency), whole.capital(currency))
            _same(f"cash in {currency}", ours.cash(currency), moved)
            _same(f"fees in {currency}", ours.fees(currency), whole.fees(currency))
            lines = {symbol: line for symbol, line in ours.lines.items() if quote_of(symbol) == currency}
            made = EXACT.subtract(ours.realised(currency), _sum(line.cost for line in lines.values()))
            theirs = EXACT.subtract(whole.realised(currency), _sum(whole.cost(symbol) for symbol in lines))
            _same(f"realised less cost in {currency}", made, theirs)

    def state(self) -> AttributionState:
        """A copy of everything, for JSON."""
        return AttributionState(account=self._account.state(), holdings=deepcopy(self._all()))

    @classmethod
    def of(cls, state: AttributionState, *, dust: Mapping[str, Decimal] | None = None) -> Attribution:
        """The attribution of a state; checked.

        Raises:
            TickworkError: a book does not balance, or they do not add up.
        """
        found = cls(dust=dust)
        found._account = Ledger.of(state.account)
        for holding in deepcopy(state.holdings):
            found._holdings.setdefault(holding.symbol, {})[Holder(holding.workflow, holding.agent)] = holding
        found.check()
        return found


# --------------------------------------------------------------------------------------------------------- splitting


def apportion(whole: Decimal, weights: Sequence[Decimal], step: Decimal) -> list[Decimal]:
    """Cut ``whole`` into parts in the ratio of ``weights``: each on ``step``, their sum exactly the whole.

    Largest remainders (Hamilton's method): everyone gets its share cut toward zero, and the steps that are left go,
    one each, to those that lost most by the cut; the first of equals first. So a part is within a step of its exact
    share, and never more than its weight where the weights are on the step and their sum is at least the whole.

    Raises:
        InvalidInput: a whole that is not on the step, a weight below zero, or no weight above zero.
    """
    steps = ratio(whole.copy_abs(), step)
    if steps != int(steps):
        raise InvalidInput("whole", whole, f"a multiple of {step}")
    total = _sum(weights)
    if total <= 0 or any(weight < 0 for weight in weights):
        raise InvalidInput("weights", [str(weight) for weight in weights], "weights of zero or more, not all zero")
    fine = min(_exponent(weight) for weight in weights)
    counts = [int(weight.scaleb(-fine, EXACT)) for weight in weights]
    shares = [divmod(int(steps) * count, sum(counts)) for count in counts]
    parts = [share for share, _ in shares]
    by_loss = sorted(range(len(shares)), key=lambda index: -shares[index][1])
    for index in by_loss[: int(steps) - sum(parts)]:
        parts[index] += 1
    return [EXACT.multiply(Decimal(part), step).copy_sign(whole) for part in parts]


def pro_rata(whole: Decimal, holdings: Mapping[Holder, Decimal], step: Decimal) -> dict[Holder, Decimal]:
    """Cut a trade that reduces the net of ``holdings`` over them: signed parts on ``step`` that sum to ``whole``.

    ``whole`` and the holdings are signed base units (buy and long above zero). Every holder comes closer to flat by
    the fraction that the net does; one on the other side of the net therefore trades against the rest. No one is
    turned, and closing the whole net makes everyone flat.

    Raises:
        InvalidInput: a trade that does not reduce the net or is more than it, or a quantity that is not on the step.
    """
    net = _sum(holdings.values())
    if not net or not whole or (net > 0) == (whole > 0) or whole.copy_abs() > net.copy_abs():
        raise InvalidInput("whole", whole, f"a trade that reduces a net position of {net}")
    for holder, quantity in holdings.items():
        if not _on(step, quantity):
            raise InvalidInput(f"holdings[{holder.workflow}]", quantity, f"a multiple of {step}")
    sizes = {holder: quantity.copy_abs() for holder, quantity in holdings.items() if quantity}
    same = {holder: size for holder, size in sizes.items() if (holdings[holder] > 0) == (net > 0)}
    against = {holder: size for holder, size in sizes.items() if holder not in same}
    crossed = rounded_down(ratio(EXACT.multiply(whole.copy_abs(), _sum(against.values())), net.copy_abs()), step)
    taken = apportion(EXACT.add(whole.copy_abs(), crossed), list(same.values()), step)
    given = apportion(crossed, list(against.values()), step) if against else []
    parts = {holder: part.copy_sign(whole) for holder, part in zip(same, taken, strict=True)}
    parts |= {holder: part.copy_sign(whole.copy_negate()) for holder, part in zip(against, given, strict=True)}
    return parts


def _on(step: Decimal, quantity: Decimal) -> bool:
    steps = ratio(quantity, step)
    return steps == int(steps)


def _grid(step: Decimal | None, quantities: Sequence[Decimal]) -> Decimal:
    """``step`` where everything is on it, else the last digit that any of them has."""
    if step is not None and all(_on(step, quantity) for quantity in quantities):
        return step
    return Decimal(1).scaleb(min(_exponent(quantity) for quantity in quantities))


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # finite: it came through the ledger
    return min(exponent, 0)


def _fee_parts(fee: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    return apportion(fee, weights, min(BASIS_STEP, Decimal(1).scaleb(_exponent(fee))))


# ----------------------------------------------------------------------------------------------------------- posting


def _parts(held: Decimal, fill: Fill) -> list[Fill]:
    """The fill, cut where it turns a position of ``held``: what closes first, then what opens."""
    closes = min(held.copy_abs(), fill.quantity) if (held > 0) == (fill.side == "sell") else ZERO
    opens = EXACT.subtract(fill.quantity, closes)
    if not closes or not opens:
        return [fill]
    first, second = _fee_parts(fill.fee, [closes, opens])
    return [replace(fill, quantity=closes, fee=first), replace(fill, quantity=opens, fee=second)]


def _book(position: Position, part: Fill) -> Decimal:
    """Put a fill that does not turn it on a position, at average cost as the ledger has it; the profit it realises."""
    traded, paid, held = _signed(part.quantity, part), _paid(part), position.quantity
    position.quantity = EXACT.add(held, traded)
    if not held or (held > 0) == (traded > 0):
        position.cost = EXACT.add(position.cost, paid)
        return ZERO
    share = position.cost
    if position.quantity:
        share = rounded_down(ratio(EXACT.multiply(position.cost, part.quantity), held.copy_abs()), BASIS_STEP)
    position.cost = EXACT.subtract(position.cost, share)
    return EXACT.subtract(paid.copy_negate(), share)


def _with(episode: Episode, part: Fill, opens: bool, profit: Decimal, costs: Decimal) -> Episode:
    fees = dict(episode.fees)
    _add(fees, part.fee_currency, part.fee)
    changed = replace(
        episode, realised=EXACT.add(episode.realised, profit), costs=EXACT.add(episode.costs, costs), fees=fees
    )
    if opens:
        entered = EXACT.add(episode.entered, part.quantity)
        return replace(changed, entered=entered, entry_notional=EXACT.add(episode.entry_notional, part.notional))
    exited = EXACT.add(episode.exited, part.quantity)
    return replace(changed, exited=exited, exit_notional=EXACT.add(episode.exit_notional, part.notional))


def _signed(amount: Decimal, fill: Fill) -> Decimal:
    # `-amount` would round to 28 digits
    return amount if fill.side == "buy" else amount.copy_negate()


def _paid(fill: Fill) -> Decimal:
    return _signed(fill.notional, fill)


def _add(account: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    account[currency] = EXACT.add(account.get(currency, ZERO), amount)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _balanced(books: Books, name: str) -> None:
    sums: dict[str, Decimal] = {}
    for line in books.postings():
        _add(sums, line.currency, line.amount)
    if wrong := {currency: amount for currency, amount in sums.items() if amount}:
        raise TickworkError(f"{name} do not balance: {wrong}")


def _same(what: str, ours: Decimal, account: Decimal) -> None:
    if ours != account:
        raise TickworkError(f"the holders' {what} comes to {ours}, the account's is {account}")
