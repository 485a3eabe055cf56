"""What is done about differences between our books and a venue: by policy, and on somebody's word.

**What was there before us** is ours only on somebody's word. An ``Adoption`` is that word: it takes an amount into the
books at a price, or leaves it alone; both are on the tape, and what was left alone is left out of every later look.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal

from tickwork.errors import InvalidInput
from tickwork.trading.ledger import Ledger
from tickwork.trading.orders import ZERO, Fill, Order
from tickwork.trading.reconciliation import Finding, Mark
from tickwork.trading.reservations import Reservation
from tickwork.values import EXACT, base_of, quantity, quote_of

Action = Literal["book", "end", "cancel", "adopt", "leave", "ask"]
"""``book`` a fill of ours; ``end`` an order the venue has no trace of; what a person or a policy says of the rest."""


Funding = Literal["notional", "margin", "none"]
"""With what money a position is taken over: its whole notional is paid in (or taken out); so much that cash and cost
together stay as they are (a margined contract, which moves no notional); nothing: it really traded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is done about findings. ``ask``: nothing, until a person says it."""

    orphan_orders: Literal["cancel", "adopt", "leave", "ask"] = "ask"
    balances: Literal["adopt", "leave", "ask"] = "ask"
    """Of balances, positions and fills that are none of ours."""
    adopt_below: Decimal = ZERO
    """Differences of a balance worth less are adopted without asking; in the account's currency."""

    def __post_init__(self) -> None:
        _one_of(self.orphan_orders, ("cancel", "adopt", "leave", "ask"), "policy.orphan_orders")
        _one_of(self.balances, ("adopt", "leave", "ask"), "policy.balances")
        quantity(self.adopt_below, "policy.adopt_below")

    def action(self, found: Finding, *, absence_is_proof: bool) -> Action:
        """What is done about a finding."""
        match found.kind:
            case "missing_fill":
                return "book"
            case "missing_order":
                return "end" if absence_is_proof else "ask"
            case "in_doubt":
                return "ask"
            case "orphan_order":
                named = found.order is not None and found.order.client_order_id
                return self.orphan_orders if named or self.orphan_orders == "leave" else "ask"
            case "shortage":  # to leave it is what made it
                return "adopt" if self.balances == "adopt" else "ask"
            case _:
                small = found.value is not None and found.value < self.adopt_below
                return "adopt" if small else self.balances


def _one_of(value: str, allowed: tuple[str, ...], path: str) -> None:
    if value not in allowed:
        raise InvalidInput(path, value, f"one of {', '.join(allowed)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An amount that is taken into the books.

    As a position where it has a ``symbol``: bought (or sold) at ``price``, with the money that ``funding`` says. Else
    as cash that is paid in.
    """

    asset: str
    amount: Decimal
    symbol: str = ""
    price: Decimal | None = None
    funding: Funding = "notional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Somebody's word about a finding."""

    id: str
    """Unique; the same again changes nothing."""
    settles: str = ""
    """Id of the finding that is not to be told again."""
    taken: tuple[Taken, ...] = ()
    left: dict[str, Decimal] = field(default_factory=dict)
    """What is left alone, by asset; contracts by symbol."""
    order: Order | None = None
    """An order that counts as ours from here on."""
    time: int = 0
    """In ns."""


class Adoptions:
    """All that was said of one account's findings. Made again from the tape: each in its order, after the fills."""

    def __init__(self, account: str, venue: str, ledger: Ledger) -> None:
        self.left: dict[str, Decimal] = {}
        self.settled: set[str] = set()
        self._account = account
        self._venue = venue
        self._ledger = ledger
        self._seen: set[str] = set()

    def apply(self, adoption: Adoption) -> bool:
        """Take it into the books. False when that was done before. (An order is the desk's to follow.)

        Raises:
            InvalidInput: a position without a price.
        """
        if adoption.id in self._seen:
            return False
        fills = [self._fill(adoption, number, one) for number, one in enumerate(adoption.taken) if one.symbol]
        self._seen.add(adoption.id)
        for one in adoption.taken:
            if not one.symbol:
                self._ledger.deposit(one.asset, one.amount)
        funding = [one.funding for one in adoption.taken if one.symbol]
        for fill, funded in zip(fills, funding, strict=True):
            self._take(fill, funded)
        for asset, amount in adoption.left.items():
            self.left[asset] = EXACT.add(self.left.get(asset, ZERO), amount)
        if adoption.settles:
            self.settled.add(adoption.settles)
        return True

    def _take(self, fill: Fill, funding: Funding) -> None:
        currency, ledger = quote_of(fill.symbol), self._ledger
        before = EXACT.add(ledger.cash(currency), ledger.cost(fill.symbol))
        ledger.apply(fill)
        if funding == "notional":
            ledger.deposit(currency, fill.notional if fill.side == "buy" else EXACT.minus(fill.notional))
        elif funding == "margin":
            after = EXACT.add(ledger.cash(currency), ledger.cost(fill.symbol))
            ledger.deposit(currency, EXACT.subtract(before, after))

    def _fill(self, adoption: Adoption, number: int, one: Taken) -> Fill:
        if one.price is None:
            raise InvalidInput(f"adoption.{one.asset}", one.price, "a price at which the position is taken over")
        return Fill(
            venue=self._venue,
            fill_id=f"adopted {adoption.id} {number}",
            client_order_id="",
            venue_order_id="",
            account=self._account,
            symbol=one.symbol,
            side="buy" if one.amount > 0 else "sell",
            price=one.price,
            quantity=abs(one.amount),
            fee=ZERO,
            fee_currency=quote_of(one.symbol),
            time=adoption.time,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What it takes to value what is adopted."""

    currency: str
    mark: Mark
    traded: Collection[str] = ()
    """The symbols the account trades: their coins are adopted as positions, others as cash."""
    margined: bool = False


def adoption_of(
    found: Finding, action: Literal["adopt", "leave"], terms: Terms, *, id: str, time: int
) -> Adoption | None:
    """What it means to adopt a finding, or to leave it alone, at a ``time`` in ns.

    ``None`` where it cannot be adopted: a position that nobody can price.
    """
    if found.kind == "orphan_order":
        order = found.order if action == "adopt" else None
        return Adoption(id=id, settles="" if order else found.id, order=order, time=time)
    settles = "" if found.kind in ("balance", "position", "shortage") else found.id
    if action == "leave":
        return Adoption(id=id, settles=settles, left=dict(found.moves), time=time)
    traded = found.kind == "foreign_fill"
    taken = [_taken(asset, amount, terms, found.fill, traded) for asset, amount in found.moves.items()]
    if None in taken:
        return None
    back = {}  # what is taken into the books is not left alone any more
    if found.kind == "shortage":
        back = {asset: EXACT.minus(amount) for asset, amount in found.moves.items()}
    return Adoption(id=id, settles=settles, taken=tuple(one for one in taken if one is not None), left=back, time=time)


def _taken(asset: str, amount: Decimal, terms: Terms, fill: Fill | None, traded: bool) -> Taken | None:
    contract = ":" in asset
    symbol = asset if contract else f"{asset}/{terms.currency}"
    if fill is not None and ":" not in fill.symbol and base_of(fill.symbol) == asset:
        symbol = fill.symbol
    if asset == terms.currency or not (contract or symbol in terms.traded):
        return Taken(asset=asset, amount=amount)
    price = fill.price if fill is not None and fill.symbol == symbol else terms.mark(symbol)
    if price is None or not price.is_finite() or price <= 0:
        return None
    funding: Funding = "notional"
    if contract and terms.margined:
        funding = "none" if traded else "margin"
    return Taken(asset=asset, amount=amount, symbol=symbol, price=price, funding=funding)


def without_trace(key: str, held: Reservation, *, account: str, venue: str, booked: Decimal) -> Order:
    """How an order stands that the venue knows nothing of any more: expired, with what of it is booked."""
    order = Order(
        venue=venue,
        client_order_id=key,
        venue_order_id="",
        account=account,
        symbol=held.symbol,
        side=held.side,
        type="market",
        quantity=held.total,
        reduce_only=held.reduce_only,
        filled=booked,
        time=held.since,
    )
    return replace(order, status="expired", reason=f"{venue} has no trace of it")
