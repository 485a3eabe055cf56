"""Sums over the room that is spoken for, kept as it changes: a decision costs the same however many orders rest."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.trading.orders import Side
from tickwork.values import EXACT

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What is on its way in one symbol."""

    buys: Decimal
    """Base units still to be bought at most; orders that only reduce do not count, a venue caps them."""
    sells: Decimal
    """Likewise sold."""
    unknown: int
    """Orders whose fate nobody knows."""
    orders: int = 0
    """All of them, those that only reduce too."""
    highest_buy: Decimal = ZERO
    """The highest price that a buy among them is counted with; zero where none says one."""
    highest_sell: Decimal = ZERO
    """Likewise of sells: one that rests above the market fills when everything is worth that much."""
    leaving: Decimal = ZERO
    """Base units still to be sold at most, by orders that only reduce too."""


NOTHING: Final = Pending(buys=ZERO, sells=ZERO, unknown=0)


class Tally:
    """The sums of some orders."""

    __slots__ = ("_pending", "_prices", "leaving", "orders", "sums", "unknown")

    def __init__(self) -> None:
        self.sums: dict[Side, Decimal] = {"buy": ZERO, "sell": ZERO}
        self.leaving = ZERO
        self.unknown = 0
        self.orders = 0
        self._prices: dict[Side, dict[Decimal, int]] = {"buy": {}, "sell": {}}
        """How many orders are counted with a price."""
        self._pending: Pending | None = None

    def add(self, side: Side, left: Decimal, price: Decimal, *, reduces: bool, unknown: bool) -> None:
        """Count an order in. ``left``: base units that may still execute."""
        self._pending = None
        self.orders += 1
        self.unknown += unknown
        if side == "sell":
            self.leaving = EXACT.add(self.leaving, left)
        if not reduces:
            self.sums[side] = EXACT.add(self.sums[side], left)
            prices = self._prices[side]
            prices[price] = prices.get(price, 0) + 1

    def remove(self, side: Side, left: Decimal, price: Decimal, *, reduces: bool, unknown: bool) -> None:
        """Count out what was counted in with the same words."""
        self._pending = None
        self.orders -= 1
        self.unknown -= unknown
        if side == "sell":
            self.leaving = EXACT.subtract(self.leaving, left)
        if not reduces:
            self.sums[side] = EXACT.subtract(self.sums[side], left)
            prices = self._prices[side]
            prices[price] -= 1
            if not prices[price]:
                del prices[price]

    def pending(self) -> Pending:
        """The sums as they stand."""
        if self._pending is None:
            self._pending = Pending(
                buys=self.sums["buy"],
                sells=self.sums["sell"],
                unknown=self.unknown,
                orders=self.orders,
                highest_buy=max(self._prices["buy"], default=ZERO),
                highest_sell=max(self._prices["sell"], default=ZERO),
                leaving=self.leaving,
            )
        return self._pending
