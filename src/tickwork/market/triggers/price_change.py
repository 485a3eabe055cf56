"""A price has moved by a fraction within a window."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, cast

from tickwork.core.event import Event
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.triggers.base import BarTrigger, Fired
from tickwork.market.triggers.options import Direction, bars_of, bars_text, direction_of, number_text, quotient
from tickwork.values import EXACT, FRACTION, DurationLike, Money, Price, Symbol, duration, duration_text, plain, price


class PriceChanged(Event, name="market/price.changed", version=1):
    """A price has moved by at least a threshold within a window."""

    symbol: Symbol
    venue: str
    bar_time: datetime
    """Start of the bar that moved; it was known one bar length later."""
    known_at: datetime
    """End of that bar."""
    price: Price
    """Its close."""
    reference: Price
    """The close one window earlier."""
    change: Money
    """``price / reference - 1``: a fraction, 0.02 is two percent; to sixteen places."""
    direction: Literal["up", "down"]
    threshold: Price
    window: str
    """``"3 bars"`` or a duration such as ``"1h"``."""
    recording: str
    """Name of the recording that holds the bar."""
    offset: int
    """Position of the bar in it."""
    trigger: str = ""
    """The name of the trigger that said so."""

    @property
    def happened_at(self) -> datetime:
        """When the bar was known."""
        return self.known_at


class PriceChange(BarTrigger[PriceChanged]):
    """Fires when a close is at least ``threshold`` away from the close one window earlier.

    ``threshold`` is a fraction above zero (``Decimal("0.02")`` is two percent). ``window`` is a number of bars, or a
    duration: then the close is held against the last one known that long before, over a night as well, and not before
    there is one.

    Raises:
        InvalidInput: a threshold that is a float, not finite or not above zero; a window of nothing; an unknown
            direction.
    """

    kind = "price_change"
    makes = PriceChanged

    def __init__(
        self,
        symbol: str,
        threshold: Decimal | str | int,
        *,
        direction: Direction = "any",
        window: int | DurationLike = 1,
        venue: str | None = None,
        interval: DurationLike | None = None,
    ) -> None:
        super().__init__(symbol, venue, interval)
        self.threshold = price(threshold, "threshold", FRACTION)
        self.direction = direction_of(direction)
        if self.direction == "down" and self.threshold >= 1:
            raise InvalidInput("threshold", self.threshold, "a fraction below 1: no price falls by 100 % or more")
        self._bars = bars_of(window)
        self._span_ns = 0 if self._bars else duration(cast(DurationLike, window), "window")
        if not self._bars and not self._span_ns:
            raise InvalidInput("window", window, "a number of bars or a duration, above zero")
        self._closes: deque[tuple[int, Decimal]] = deque()
        """End and close of the bars of one window, the reference first."""

    @property
    def window(self) -> str:
        """``"3 bars"`` or a duration such as ``"1h"``."""
        return bars_text(self._bars) if self._bars else duration_text(self._span_ns)

    @property
    def reads_quotes(self) -> bool:
        """Over a window of time; quotes cannot be counted like bars."""
        return not self._bars

    def _words(self) -> list[str]:
        return [number_text(self.threshold), self.direction, self.window]

    def _read(self, bar: Bar) -> Fired | None:
        reference = self._reference(bar.end_ns, bar.close)
        if reference is None:
            return None
        moved = EXACT.subtract(bar.close, reference)
        side = 0
        if abs(moved) >= EXACT.multiply(reference, self.threshold):
            side = 1 if moved > 0 else -1
            if self.direction == ("down" if side > 0 else "up"):
                side = 0
        if not self._edge(side):
            return None
        return Fired(bar, reference, quotient(moved, reference), "up" if side > 0 else "down")

    def _reference(self, end_ns: int, close: Decimal) -> Decimal | None:
        closes = self._closes
        closes.append((end_ns, close))
        if self._bars:
            if len(closes) > self._bars + 1:
                closes.popleft()
            return closes[0][1] if len(closes) > self._bars else None
        due_ns = end_ns - self._span_ns
        while len(closes) > 1 and closes[1][0] <= due_ns:
            closes.popleft()
        return closes[0][1] if closes[0][0] <= due_ns else None

    def _tell(self, fired: Fired, recording: str, offset: int) -> PriceChanged:
        bar = fired.bar
        return PriceChanged(
            symbol=bar.symbol,
            venue=bar.venue,
            bar_time=bar.start,
            known_at=bar.end,
            price=bar.close,
            reference=fired.reference,
            change=fired.amount,
            direction=fired.direction,
            threshold=self.threshold,
            window=self.window,
            recording=recording,
            offset=offset,
            trigger=str(self),
        )

    def _options(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "threshold": plain(self.threshold),
            "direction": self.direction,
            "window": self._bars or self.window,
        }

    def _memory(self) -> dict[str, Any]:
        return {"closes": [[end_ns, plain(close)] for end_ns, close in self._closes]}

    def _resume(self, state: Mapping[str, Any]) -> None:
        super()._resume(state)
        self._closes.extend((int(end_ns), Decimal(close)) for end_ns, close in state["closes"])
