"""Prices gone by, as bars: what trades and the market maker's moves left behind."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tickwork.sim.exchange.markets import ZERO
from tickwork.values import EXACT

MINUTE: Final = 60_000_000_000
DAY: Final = 1_440 * MINUTE
KEPT: Final = 10_000
"""Minutes with a price that are remembered: a week."""


@dataclass(slots=True)
class Candle:
    """A bar."""

    start: int
    """ns since 1970 UTC."""
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = ZERO
    """Base units."""
    turnover: Decimal = ZERO
    """Quote currency."""
    trades: int = 0

    def take(self, later: Candle) -> None:
        """Become the bar of both."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close = later.close
        self.volume = EXACT.add(self.volume, later.volume)
        self.turnover = EXACT.add(self.turnover, later.turnover)
        self.trades += later.trades


class Candles:
    """The bars of a market: one a minute while something happens, made into longer ones when asked for."""

    def __init__(self) -> None:
        self._minutes: deque[Candle] = deque(maxlen=KEPT)

    def add(self, at: int, price: Decimal, quantity: Decimal = ZERO, quote: Decimal = ZERO) -> None:
        """A price, and what traded at it."""
        trades = 1 if quantity else 0
        if self._minutes and at < self._minutes[-1].start + MINUTE:
            bar = self._minutes[-1]
            bar.high, bar.low, bar.close = max(bar.high, price), min(bar.low, price), price
            if quantity:
                bar.volume, bar.turnover = EXACT.add(bar.volume, quantity), EXACT.add(bar.turnover, quote)
                bar.trades += 1
            return
        self._minutes.append(Candle(at - at % MINUTE, price, price, price, price, quantity, quote, trades))

    def put(self, bars: Sequence[Candle]) -> None:
        """History that is older than everything here; of whole minutes, in order."""
        newer = list(self._minutes)
        self._minutes.clear()
        self._minutes.extend(bars)
        self._minutes.extend(newer)

    def bars(self, interval: int, since: int | None, until: int, limit: int) -> list[Candle]:
        """Bars of ``interval`` ns that start in [since, until], without gaps: the first ``limit`` of them from
        ``since`` on, or without it the last ``limit``.

        An interval in which nothing happened has the close before it, as the venues serve it.
        """
        last = until - until % interval
        if since is None:
            first = last - (limit - 1) * interval
        else:
            first = -(-since // interval) * interval
            last = min(last, first + (limit - 1) * interval)
        made: dict[int, Candle] = {}
        close: Decimal | None = None
        for minute in self._from(first):
            start = minute.start - minute.start % interval
            if start > last:
                break
            if start < first:
                close = minute.close
            elif start in made:
                made[start].take(minute)
            else:
                made[start] = replace(minute, start=start)
        bars = []
        for start in range(first, last + 1, interval):
            bar = made.get(start)
            if bar is None:
                bar = Candle(start, close, close, close, close) if close is not None else None
            if bar is not None:
                close = bar.close
                bars.append(bar)
        return bars

    def day(self, now: int) -> Candle | None:
        """The last 24 hours in one bar; ``None`` when there was never a price."""
        day: Candle | None = None
        for minute in self._from(now - DAY):
            if day is not None:
                day.take(minute)
            elif minute.start >= now - DAY:
                day = replace(minute)
            else:
                day = Candle(now - DAY, minute.close, minute.close, minute.close, minute.close)
        return day

    def _from(self, start: int) -> list[Candle]:
        """The minutes from ``start`` on, and the last one before them."""
        found = []
        for minute in reversed(self._minutes):
            found.append(minute)
            if minute.start < start:
                break
        return found[::-1]
