"""Reconciliation: our books against what the venue says, to the last digit, and what to do about a difference.

Theory of operation. ``reconcile`` is a pure function of two pictures: ours (``Books``), taken first, and the venue's
(``VenueSnapshot``). A part of theirs that is ``None`` could not be looked at: nothing is concluded from it, and the
report says so. An empty part was looked at.

Differences have causes, and a cause is told once: fills of the venue's that we lack are booked on a copy of the ledger
before balances are compared, so a fill that got lost is one finding and not three. Likewise a fill whose fee differs.

    missing_fill    of an order of ours                     missing_order   working here, and the venue knows nothing
    foreign_fill    of an order that is none of ours        orphan_order    working there, and none of ours
    altered_fill    booked here with other figures          in_doubt        nobody knows whether it was sent
    balance, position                                       what nothing else explains
    shortage        the books hold what the venue has not, and somebody left it at that

A fill of an order that was sent without a tape (``WITHOUT_TAPE``) is ours, though no tape knows the order.

A **shortage** stays, because leaving makes nobody's books right: what is left alone may be more than the books say,
and never less. Somebody has decided about it, so it raises no halt; adopting it takes it out of the books.

(Of a margined contract, realised profit depends on the order of fills, so one that is booked after later ones can leave
a difference in the currency; a restart, which sorts them, settles it.)

**Severity** goes by value in the account's currency: below 1 minor, below 10 moderate, below 100 major, else critical;
what nobody can value is at least major. An order in doubt is at most moderate: the desk holds its worst case, blocks
its symbol and tells people by itself.

**One look proves nothing** where trading goes on: a venue's lists lag behind each other. A finding counts once two
looks agree on it (``agreed``), difference and all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from tickwork.errors import InvalidInput
from tickwork.trading.halt import Cause, HaltLevel
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO, Fill, Order, Side
from tickwork.trading.reservations import Reservation
from tickwork.trading.venue import Balance
from tickwork.values import EXACT, base_of, money, quantity, quote_of

Kind = Literal[
    "missing_fill",
    "foreign_fill",
    "altered_fill",
    "missing_order",
    "orphan_order",
    "in_doubt",
    "balance",
    "position",
    "shortage",
]
Severity = Literal["minor", "moderate", "major", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("minor", "moderate", "major", "critical")
WITHOUT_TAPE: Final = "ba5eba5e"
"""With what the client ids of orders begin that this program sends without a tape; they are hex digits like all."""
Mark = Callable[[str], Decimal | None]
"""The price of a symbol, ``None`` where it is not known or too old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """What counts as a difference, and how much it matters. Values are in the account's currency.

    Raises:
        InvalidInput: not ascending, or below zero.
    """

    minor_below: Decimal = Decimal(1)
    moderate_below: Decimal = Decimal(10)
    major_below: Decimal = Decimal(100)
    amount: Decimal = Decimal("1e-8")
    """Differences of a balance up to this are rounding; units of the asset."""
    amounts: Mapping[str, Decimal] = field(default_factory=dict)
    """The same of particular assets."""

    def __post_init__(self) -> None:
        for path, value in (("amount", self.amount), *((f"amounts.{name}", one) for name, one in self.amounts.items())):
            quantity(value, f"tolerances.{path}")
        steps = (ZERO, self.minor_below, self.moderate_below, self.major_below)
        for path, value in zip(("minor_below", "moderate_below", "major_below"), steps[1:], strict=True):
            money(value, f"tolerances.{path}")
        if list(steps) != sorted(steps):
            raise InvalidInput("tolerances", ", ".join(map(str, steps[1:])), "amounts that ascend")

    def severity(self, value: Decimal | None) -> Severity:
        """Of a difference of this value; ``None``: not known."""
        if value is None:
            return "major"
        bounds = (self.minor_below, self.moderate_below, self.major_below)
        return SEVERITIES[sum(abs(value) >= bound for bound in bounds)]

    def of(self, asset: str) -> Decimal:
        """What of an asset is rounding."""
        return self.amounts.get(asset, self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Our side, as it was before the venue was asked."""

    account: str
    venue: str
    currency: str
    ledger: Ledger
    """A copy."""
    working: Mapping[str, Reservation]
    booked: Mapping[str, Decimal]
    """What of them is filled, by client id; base units."""
    in_doubt: Mapping[str, Reservation]
    is_ours: Callable[[str], bool]
    """Was the order of a client id placed here?"""
    fills: Mapping[tuple[str, str], Fill] = field(default_factory=dict)
    """What the tape says of fills, by symbol and number; fewer are compared in detail where it is not all of them."""
    left: Mapping[str, Decimal] = field(default_factory=dict)
    """What at the venue is left alone, by asset; contracts by symbol."""
    settled: Collection[str] = ()
    """Ids of findings that somebody has decided about."""
    margined: bool = False
    """Do contracts move only profit and fees in the currency's balance?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueSnapshot:
    """Their side. ``None``: it could not be looked at, and ``unseen`` says why."""

    balances: Mapping[str, Balance] | None
    orders: Collection[Order] | None
    """Those that can still trade."""
    fills: Collection[Fill] | None
    traces: Mapping[str, Order | None] = field(default_factory=dict)
    """Of orders we believe working that are not listed: as the venue knows them; ``None``: it does not."""
    unseen: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference."""

    id: str
    """Equal for the same difference in another look."""
    kind: Kind
    symbol: str
    """Or the asset, of a balance."""
    key: str = ""
    """Client id of the order, else the venue's; number of the fill."""
    ours: Decimal | None = None
    theirs: Decimal | None = None
    difference: Decimal
    """Theirs less ours; of orders and fills their signed quantity."""
    value: Decimal | None
    """Of it, in the account's currency; ``None``: nobody can tell."""
    severity: Severity
    detail: str
    moves: dict[str, Decimal] = field(default_factory=dict)
    """What it comes to in balances, by asset; contracts by symbol."""
    order: Order | None = None
    fill: Fill | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a look found, the worst first."""

    findings: tuple[Finding, ...] = ()
    unseen: dict[str, str] = field(default_factory=dict)
    """Parts of the venue that could not be looked at, and why: nothing is known of them."""

    @property
    def clean(self) -> bool:
        """Everything was looked at, and nothing found."""
        return not self.findings and not self.unseen


def reconcile(ours: Books, theirs: VenueSnapshot, tolerances: Tolerances, mark: Mark) -> Report:
    """Compare. See the module's text."""
    return _Comparison(ours, theirs, tolerances, mark).report()


def agreed(first: Report, second: Report) -> Report:
    """What both looks found, difference and all; what the second could not look at."""
    before = {one.id: one for one in first.findings}
    same = tuple(one for one in second.findings if one.id in before and _alike(one, before[one.id]))
    return Report(findings=same, unseen=second.unseen)


def _alike(one: Finding, other: Finding) -> bool:
    return one.difference == other.difference and one.moves == other.moves


def breach(findings: Iterable[Finding], tolerances: Tolerances) -> Cause | None:
    """What findings that nobody has decided about come to: a critical one halts, a major one alerts."""
    worst = max(findings, key=lambda one: SEVERITIES.index(one.severity), default=None)
    if worst is None or worst.severity in ("minor", "moderate"):
        return None
    critical = worst.severity == "critical"
    level: HaltLevel = "halt" if critical else "alert"
    limit = tolerances.major_below if critical else tolerances.moderate_below
    return Cause(rule="reconciliation", limit=str(limit), actual=worst.detail, level=level)


class _Comparison:
    def __init__(self, ours: Books, theirs: VenueSnapshot, tolerances: Tolerances, mark: Mark) -> None:
        self._ours = ours
        self._theirs = theirs
        self._tolerances = tolerances
        self._mark = mark
        self._ledger = Ledger.of(ours.ledger.state())
        """With what the venue's fills explain booked on it."""
        self._corrections: dict[str, Decimal] = {}
        """What altered fills explain of the balances, by asset."""
        self._findings: list[Finding] = []

    def report(self) -> Report:
        self._fills()
        self._working()
        self._orphans()
        self._doubts()
        self._balances()
        left = [one for one in self._findings if one.id not in self._ours.settled]
        left.sort(key=lambda one: (-SEVERITIES.index(one.severity), one.id))
        return Report(findings=tuple(left), unseen=dict(self._theirs.unseen))

    # -- fills ----------------------------------------------------------------------------------------------------

    def _fills(self) -> None:
        for fill in sorted(self._theirs.fills or (), key=lambda fill: fill.rank):
            known = self._ours.fills.get((fill.symbol, fill.fill_id))
            if known is not None:
                self._altered(known, fill)
            elif not self._ours.ledger.knows(fill):
                self._lacking(fill)

    def _lacking(self, fill: Fill) -> None:
        key = fill.client_order_id
        kind: Kind = "missing_fill" if key.startswith(WITHOUT_TAPE) or self._ours.is_ours(key) else "foreign_fill"
        found = self._finding(
            kind,
            fill.symbol,
            fill.fill_id,
            fill.signed_quantity,
            self._money(fill.notional, fill.symbol),
            f"{fill.side} {fill.quantity} {fill.symbol} at {fill.price}, fill {fill.fill_id}, is not in the books",
            moves=effect_of(fill, margined=self._ours.margined),
            fill=fill,
        )
        if found.id not in self._ours.settled:  # what was left alone is in ``left``
            self._ledger.apply(fill)

    def _altered(self, ours: Fill, theirs: Fill) -> None:
        moves = differences(ours, theirs, margined=self._ours.margined)
        if not moves:
            return
        told = ", ".join(f"{asset} {amount:+}" for asset, amount in moves.items())
        worth = [self._worth(asset, amount) for asset, amount in moves.items()]
        value = None if None in worth else sum((abs(one) for one in worth if one is not None), ZERO)
        detail = f"fill {theirs.fill_id} of {theirs.symbol} is booked otherwise than the venue tells it: {told}"
        found = self._finding(
            "altered_fill", theirs.symbol, theirs.fill_id, next(iter(moves.values())), value, detail, moves=moves,
            fill=theirs,
        )  # fmt: skip
        if found.id not in self._ours.settled:
            for asset, amount in moves.items():
                self._corrections[asset] = EXACT.add(self._corrections.get(asset, ZERO), amount)

    # -- orders ---------------------------------------------------------------------------------------------------

    def _working(self) -> None:
        if self._theirs.orders is None:
            return
        listed = {order.client_order_id for order in self._theirs.orders}
        for key, held in self._ours.working.items():
            if key in listed or self._theirs.traces.get(key, held) is not None:
                continue  # it is there, has ended (its news is under way), or could not be looked for
            left = EXACT.subtract(held.total, self._ours.booked.get(key, ZERO))
            detail = f"our order {key} to {held.side} {left} {held.symbol} is nowhere at {self._ours.venue}"
            value = self._money(EXACT.multiply(left, held.price), held.symbol) if held.price else None
            self._finding("missing_order", held.symbol, key, _signed(left, held.side), value, detail)

    def _orphans(self) -> None:
        for order in self._theirs.orders or ():
            if self._ours.is_ours(order.client_order_id):
                continue
            key = order.client_order_id or order.venue_order_id
            price = order.limit_price or self._mark(order.symbol)
            value = None if price is None else self._money(EXACT.multiply(order.remaining, price), order.symbol)
            detail = f"an order to {order.side} {order.remaining} {order.symbol} ({key}) is none of ours"
            signed = _signed(order.remaining, order.side)
            self._finding("orphan_order", order.symbol, key, signed, value, detail, order=order)

    def _doubts(self) -> None:
        for key, held in self._ours.in_doubt.items():
            value = self._money(EXACT.multiply(held.total, held.price), held.symbol) if held.price else None
            detail = f"nobody knows whether our order {key} to {held.side} {held.total} {held.symbol} exists"
            self._finding("in_doubt", held.symbol, key, _signed(held.total, held.side), value, detail)

    # -- balances -------------------------------------------------------------------------------------------------

    def _balances(self) -> None:
        if self._theirs.balances is None or self._theirs.fills is None:
            return  # without the fills nobody can tell what a balance should be
        expected = expected_balances(self._ledger, margined=self._ours.margined)
        self._shortages(expected)
        for more in (self._ours.left, self._corrections):
            for asset, amount in more.items():
                expected[asset] = EXACT.add(expected.get(asset, ZERO), amount)
        for asset in sorted({*expected, *self._theirs.balances}):
            ours, held = expected.get(asset, ZERO), self._theirs.balances.get(asset)
            theirs = held.total if held else ZERO
            difference = EXACT.subtract(theirs, ours)
            if abs(difference) <= self._tolerances.of(asset):
                continue
            kind: Kind = "position" if ":" in asset else "balance"
            detail = f"{self._ours.venue} has {theirs} {asset}, the books say {ours}"
            value = self._worth(asset, difference)
            self._finding(
                kind, asset, "", difference, value, detail, ours=ours, theirs=theirs, moves={asset: difference}
            )

    def _shortages(self, booked: Mapping[str, Decimal]) -> None:
        for asset, lacking in shortages(booked, self._ours.left).items():
            if abs(lacking) <= self._tolerances.of(asset):
                continue
            detail = f"{self._ours.venue} lacks {abs(lacking)} {asset} that the books hold; it was left at that"
            moves = {asset: lacking}
            self._finding("shortage", asset, "", lacking, self._worth(asset, lacking), detail, moves=moves)

    # -- values ---------------------------------------------------------------------------------------------------

    def _finding(
        self,
        kind: Kind,
        symbol: str,
        key: str,
        difference: Decimal,
        value: Decimal | None,
        detail: str,
        *,
        ours: Decimal | None = None,
        theirs: Decimal | None = None,
        moves: dict[str, Decimal] | None = None,
        order: Order | None = None,
        fill: Fill | None = None,
    ) -> Finding:
        value = None if value is None else abs(value)
        severity = self._tolerances.severity(value)
        if kind == "in_doubt" and severity in ("major", "critical"):
            severity = "moderate"
        found = Finding(
            id=f"{kind} {self._ours.venue} {symbol} {key}".rstrip(),
            kind=kind,
            symbol=symbol,
            key=key,
            ours=ours,
            theirs=theirs,
            difference=difference,
            value=value,
            severity=severity,
            detail=detail,
            moves=moves or {},
            order=order,
            fill=fill,
        )
        self._findings.append(found)
        return found

    def _worth(self, asset: str, amount: Decimal) -> Decimal | None:
        """An amount of an asset, or of a contract, in the account's currency."""
        if asset == self._ours.currency:
            return amount
        symbol = asset if ":" in asset else f"{asset}/{self._ours.currency}"
        mark = self._mark(symbol)
        if mark is None or not mark.is_finite() or mark <= 0:
            return None
        return self._money(EXACT.multiply(amount, mark), symbol)

    def _money(self, amount: Decimal, symbol: str) -> Decimal | None:
        """An amount of a symbol's quote currency in the account's."""
        currency = quote_of(symbol)
        return amount if currency == self._ours.currency else self._worth(currency, amount)


def expected_balances(ledger: Ledger, *, margined: bool = False) -> dict[str, Decimal]:
    """What a venue should show, by asset, and of contracts by symbol."""
    positions = ledger.positions()
    assets = {*ledger.currencies(), *(base_of(symbol) for symbol in positions if ":" not in symbol)}
    expected = {asset: ledger.holding(asset) for asset in assets}
    for symbol, position in positions.items():
        if ":" in symbol:
            expected[symbol] = position.quantity
            if margined:  # only profit and fees have moved
                currency = quote_of(symbol)
                expected[currency] = EXACT.add(expected.get(currency, ZERO), position.cost)
    return expected


def shortages(booked: Mapping[str, Decimal], left: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """What of the booked a venue lacks because it was left at that: theirs less ours, by asset; contracts by symbol."""
    found: dict[str, Decimal] = {}
    for asset, amount in left.items():
        ours = booked.get(asset, ZERO)
        if amount < 0 < ours:
            found[asset] = max(amount, EXACT.minus(ours))
        elif ours < 0 < amount and ":" in asset:
            found[asset] = min(amount, EXACT.minus(ours))
    return found


def effect_of(fill: Fill, *, margined: bool = False) -> dict[str, Decimal]:
    """What a fill does to balances, by asset; contracts by symbol. The profit of a margined one is not known here."""
    contract = ":" in fill.symbol
    held = fill.symbol if contract else base_of(fill.symbol)
    notional = ZERO if margined and contract else fill.notional
    paid = notional if fill.side == "buy" else EXACT.minus(notional)
    moves: dict[str, Decimal] = {}
    for asset, amount in (
        (held, fill.signed_quantity),
        (quote_of(fill.symbol), EXACT.minus(paid)),
        (fill.fee_currency, EXACT.minus(fill.fee)),
    ):
        if asset:
            moves[asset] = EXACT.add(moves.get(asset, ZERO), amount)
    return {asset: amount for asset, amount in moves.items() if amount}


def differences(ours: Fill, theirs: Fill, *, margined: bool = False) -> dict[str, Decimal]:
    """What balances differ by when a fill is not as it was booked: theirs less ours."""
    before, after = effect_of(ours, margined=margined), effect_of(theirs, margined=margined)
    moves = {asset: EXACT.subtract(after.get(asset, ZERO), before.get(asset, ZERO)) for asset in {**before, **after}}
    return {asset: amount for asset, amount in moves.items() if amount}


def _signed(amount: Decimal, side: Side) -> Decimal:
    return amount if side == "buy" else EXACT.minus(amount)
