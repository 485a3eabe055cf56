"""The order book of a market: what accounts have resting in it, and a market maker around a price that can be set.

The market maker is the rest of the world. It quotes ``Market.levels`` prices on either side, ``level_ticks`` apart,
with ``level_quantity`` at each. At one price an account's order trades before it. Where an account's order is left
inside the market maker's prices (it was larger than what was quoted), the maker quotes only outside of it, so that
the book is never crossed.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from tickwork.sim.exchange.candles import Candles
from tickwork.sim.exchange.markets import ZERO, Market, Side, opposite
from tickwork.sim.exchange.orders import Order, Trade
from tickwork.values import EXACT

KEPT_TRADES: Final = 1_000

Level = list[Decimal]
"""A price and the quantity at it."""


def _rank(order: Order) -> tuple[Decimal, int]:
    return (-order.price if order.side == "BUY" else order.price, order.number)


class Book:
    """What is on offer in a market, and what traded in it lately."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.price = market.price
        """The market's price; quote currency."""
        self.resting: dict[Side, list[Order]] = {"BUY": [], "SELL": []}
        """Accounts' orders, the best first."""
        self.made: dict[Side, list[Level]] = {"BUY": [], "SELL": []}
        """The market maker's, the best first."""
        self.candles = Candles()
        self.recent: deque[Trade] = deque(maxlen=KEPT_TRADES)
        self.updates = 1
        """Grows with every change of the book."""
        self.quote()

    def quote(self) -> None:
        """The market maker quotes anew, around the price."""
        market, step = self.market, EXACT.multiply(self.market.price_tick, self.market.level_ticks)
        bid = ask = self.price
        bids: list[Level] = []
        asks: list[Level] = []
        for _ in range(market.levels):
            bid, ask = EXACT.subtract(bid, step), EXACT.add(ask, step)
            if bid > 0:
                bids.append([bid, market.level_quantity])
            asks.append([ask, market.level_quantity])
        self.made = {"BUY": bids, "SELL": asks}

    def rest(self, order: Order) -> None:
        """An order stays in the book."""
        insort(self.resting[order.side], order, key=_rank)
        self.updates += 1

    def remove(self, order: Order) -> None:
        """An order leaves the book."""
        self.resting[order.side].remove(order)
        self.updates += 1

    def maker_levels(self, side: Side) -> list[Level]:
        """The market maker's levels of ``side`` that do not cross an account's resting order."""
        levels = self.made[side]
        against = self.resting[opposite(side)]
        if not against:
            return levels
        best = against[0].price
        return [level for level in levels if (level[0] < best if side == "BUY" else level[0] > best)]

    def offers(self, side: Side) -> Iterator[tuple[Decimal, Decimal, Order | None, Level | None]]:
        """What an order of ``side`` meets, best first: price, quantity, and whose it is (an order's or the maker's)."""
        other = opposite(side)
        orders, levels = self.resting[other], self.maker_levels(other)
        if not orders:
            for made in levels:
                yield made[0], made[1], None, made
            return
        i = j = 0
        while i < len(orders) or j < len(levels):
            order = orders[i] if i < len(orders) else None
            level = levels[j] if j < len(levels) else None
            if order is not None and (
                level is None or (order.price <= level[0] if side == "BUY" else order.price >= level[0])
            ):
                i += 1
                yield order.price, order.remaining, order, None
            elif level is not None:
                j += 1
                yield level[0], level[1], None, level

    def best(self, side: Side) -> Level | None:
        """The best price of ``side`` and how much is there; ``None`` when the side is empty."""
        depth = self.depth(side, 1)
        return depth[0] if depth else None

    def depth(self, side: Side, limit: int) -> list[Level]:
        """Price levels of ``side``, best first: what accounts and the maker have there, together."""
        depth: list[Level] = []
        for at, quantity, _, _ in self.offers(opposite(side)):
            if quantity <= ZERO:
                continue
            if depth and depth[-1][0] == at:
                depth[-1][1] = EXACT.add(depth[-1][1], quantity)
            elif len(depth) == limit:
                break
            else:
                depth.append([at, quantity])
        return depth
