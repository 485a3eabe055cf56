"""Hyperliquid's perpetual contracts, and how their prices and sizes must be rounded.

https://hyperliquid.gitbook.io/hyperliquid-docs/for-developers/api/tick-and-lot-size: prices have at most five
significant figures and at most 6 - szDecimals decimals, whole numbers are always allowed; sizes have szDecimals
decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Side
from tickwork.values import EXACT, rounded_down, rounded_up
from tickwork.values import symbol as checked_symbol
from tickwork.venues.wire import Row

MIN_NOTIONAL: Final = Decimal(10)
"""In USDC: "Order must have minimum value of $10." """
SETTLED_IN: Final = "USDC"

_MAX_DECIMALS: Final = 6
_FIGURES: Final = 5
_TWICE: Final = Decimal(2)


@dataclass(frozen=True, slots=True)
class Market:
    """One contract."""

    symbol: str
    """Ours, which is ccxt's: ``BTC/USDC:USDC``."""
    coin: str
    """Hyperliquid's: ``BTC``, ``kPEPE``."""
    asset: int
    """Its number: its place in the list."""
    decimals: int
    """``szDecimals``."""
    max_leverage: int
    only_isolated: bool
    listed: bool

    @property
    def step(self) -> Decimal:
        """Of sizes."""
        return Decimal(1).scaleb(-self.decimals)

    def tick(self, near: Decimal) -> Decimal:
        """Of prices around ``near``; it grows with them."""
        finest = self.decimals - _MAX_DECIMALS
        return Decimal(1).scaleb(min(max(near.adjusted() + 1 - _FIGURES, finest), 0))

    def bound(self, price: Decimal, side: Side) -> Decimal:
        """A price as Hyperliquid takes it, rounded to the passive side: never worse than ``price``."""
        return (rounded_down if side == "buy" else rounded_up)(price, self.tick(price))

    def takes(self, price: Decimal) -> bool:
        """Is it a price as Hyperliquid takes it?"""
        return price > 0 and not EXACT.remainder(price, self.tick(price))

    def rules(self, mark: Decimal) -> TradingRules:
        """What is asked of orders, with a tick that is good for every price up to twice the ``mark``."""
        tick = self.tick(EXACT.multiply(mark, _TWICE))
        return TradingRules(symbol=self.symbol, price_tick=tick, quantity_step=self.step, min_notional=MIN_NOTIONAL)


def read_markets(meta: Row) -> list[Market]:
    """The contracts of ``meta``, in their order.

    Raises:
        InvalidInput: a field is missing or cannot be; two contracts of one symbol.
    """
    found: dict[str, Market] = {}
    for asset, row in enumerate(meta.rows("universe")):
        coin = row.text("name")
        symbol = checked_symbol(f"{coin.upper()}/{SETTLED_IN}:{SETTLED_IN}", row.at("name"))
        if symbol in found:
            raise InvalidInput(row.at("name"), coin, f"another coin than {found[symbol].coin}")
        found[symbol] = Market(
            symbol=symbol,
            coin=coin,
            asset=asset,
            decimals=row.whole("szDecimals"),
            max_leverage=row.whole("maxLeverage"),
            only_isolated=row.has("onlyIsolated") and row.flag("onlyIsolated"),
            listed=not (row.has("isDelisted") and row.flag("isDelisted")),
        )
    return list(found.values())


def is_perpetual(coin: str) -> bool:
    """Spot pairs are ``@107`` or ``PURR/USDC``; contracts of other dexes ``xyz:TSLA``. Neither is traded here."""
    return not any(sign in coin for sign in "@/:")
