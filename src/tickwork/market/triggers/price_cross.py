"""A price has crossed a level."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from tickwork.core.event import Event
from tickwork.market.bars import Bar
from tickwork.market.triggers.base import BarTrigger, Fired
from tickwork.market.triggers.options import (
    Direction,
    above,
    below,
    direction_of,
    hysteresis_of,
    number_text,
    quotient,
)
from tickwork.values import EXACT, DurationLike, Money, Price, Quantity, Symbol, plain, price


class PriceCrossed(Event, name="market/price.crossed", version=1):
    """A price has crossed a level."""

    symbol: Symbol
    venue: str
    bar_time: datetime
    """Start of the bar."""
    known_at: datetime
    """End of the bar."""
    price: Price
    """Its close: at the level or beyond."""
    level: Price
    beyond: Money
    """``price / level - 1``: a fraction, below zero on the way down; to sixteen places."""
    direction: Literal["up", "down"]
    hysteresis: Quantity
    recording: str
    offset: int
    trigger: str = ""
    """The name of the trigger that said so."""

    @property
    def happened_at(self) -> datetime:
        """When the bar was known."""
        return self.known_at


class PriceCross(BarTrigger[PriceCrossed]):
    """Fires when a close comes from one side of ``level`` to it or beyond: to touch it counts.

    Up: the price was below the level, and is at or above it; down the other way round. The first price only says on
    which side it is. After a crossing, in either direction, the price must stand clear of the level before it can cross
    again: above ``level * (1 + hysteresis)`` for a crossing down, below ``level * (1 - hysteresis)`` for one up. So a
    price that trembles about the level fires once. With a hysteresis of zero it is clear as soon as it is not at the
    level.

    Raises:
        InvalidInput: a level that is a float, not finite or not above zero; an unknown direction; a hysteresis outside
            of 0 to 1.
    """

    kind = "price_cross"
    makes = PriceCrossed

    def __init__(
        self,
        symbol: str,
        level: Decimal | str | int,
        *,
        direction: Direction = "any",
        hysteresis: Decimal | str | int = "0",
        venue: str | None = None,
        interval: DurationLike | None = None,
    ) -> None:
        super().__init__(symbol, venue, interval)
        self.level = price(level, "level")
        self.direction = direction_of(direction)
        self.hysteresis = hysteresis_of(hysteresis)
        self._high = above(self.level, self.hysteresis)
        self._low = below(self.level, self.hysteresis)
        self._seen = False

    def _words(self) -> list[str]:
        return [number_text(self.level), self.direction, number_text(self.hysteresis)]

    def _read(self, bar: Bar) -> Fired | None:
        close, before = bar.close, self._side
        crossed = (before < 0 and close >= self.level) or (before > 0 and close <= self.level)
        self._side = self._stands(close, crossed)
        way: Literal["up", "down"] = "up" if before < 0 else "down"
        if not crossed or self.direction not in ("any", way):
            return None
        return Fired(bar, self.level, quotient(EXACT.subtract(close, self.level), self.level), way)

    def _stands(self, close: Decimal, crossed: bool) -> int:
        """Where the price last stood clear of the level: 1 above, -1 below; 0: not since it last crossed."""
        if not self._seen:
            self._seen = True
            return (close > self.level) - (close < self.level)
        if close > self._high:
            return 1
        if close < self._low:
            return -1
        return 0 if crossed else self._side

    def _tell(self, fired: Fired, recording: str, offset: int) -> PriceCrossed:
        bar = fired.bar
        return PriceCrossed(
            symbol=bar.symbol,
            venue=bar.venue,
            bar_time=bar.start,
            known_at=bar.end,
            price=bar.close,
            level=self.level,
            beyond=fired.amount,
            direction=fired.direction,
            hysteresis=self.hysteresis,
            recording=recording,
            offset=offset,
            trigger=str(self),
        )

    def _options(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "level": plain(self.level),
            "direction": self.direction,
            "hysteresis": plain(self.hysteresis),
        }

    def _memory(self) -> dict[str, Any]:
        return {"seen": self._seen}

    def _resume(self, state: Mapping[str, Any]) -> None:
        super()._resume(state)
        self._seen = bool(state["seen"])
