"""Volatility has risen to a limit: that of an index such as VIX, or what a symbol's own prices have shown.

Realised volatility is the sample standard deviation (``ddof=1``) of the logarithmic returns from close to close over a
window of bars, times the root of the number of bars in a year: a fraction, ``0.8`` is eighty percent a year. How many
bars a year has is ``year / interval``, so ``year`` is the time that the market is open in a year, as bars count it:

* crypto, any bars: ``365d`` (the default);
* equities, daily bars: ``252d``, because a day's bar counts as a day;
* equities, bars of a session's minutes or hours: ``1638h``, which is 252 sessions of six and a half hours.

A gap between two bars (a night, an outage) is one return like any other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import log
from typing import Any, Final, Literal

from tickwork.core.event import Event
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.triggers.base import BarTrigger, Fired
from tickwork.market.triggers.options import bars_of, bars_text, below, hysteresis_of, number_text, root
from tickwork.values import (
    FRACTION,
    LEVEL,
    DurationLike,
    Price,
    Quantity,
    Symbol,
    duration,
    duration_text,
    plain,
    price,
)

DEFAULT_WINDOW: Final = 30
"""Bars, of realised volatility."""
DEFAULT_YEAR: Final = "365d"

# Returns are kept as whole numbers of this part of one, about the precision of a logarithm: sums of whole numbers do
# not drift or depend on the order of adding, so a trigger that goes on from its state gives the same figures.
_UNIT: Final = 2**52


class VolatilityRose(Event, name="market/volatility.rose", version=1):
    """Volatility has risen to a limit, or above it."""

    symbol: Symbol
    """Of what it was measured, or the index."""
    venue: str
    measure: Literal["index", "realised"]
    bar_time: datetime
    """Start of the bar."""
    known_at: datetime
    """End of the bar."""
    price: Price
    """Its close; of an index its level."""
    volatility: Quantity
    """Of an index its level; else a fraction a year, to sixteen places."""
    above: Price
    """The limit."""
    window: str = ""
    """``"30 bars"``; nothing for an index."""
    year: str = ""
    """The time the market is open in a year; nothing for an index."""
    hysteresis: Quantity
    recording: str
    offset: int
    trigger: str = ""
    """The name of the trigger that said so."""

    @property
    def happened_at(self) -> datetime:
        """When the bar was known."""
        return self.known_at


class Volatility(BarTrigger[VolatilityRose]):
    """Fires when volatility comes to ``above`` or higher, and again after it was below ``above * (1 - hysteresis)``.

    Either ``Volatility(index="VIX", above=30)``, which reads the level of an index in the index's own unit, or
    ``Volatility("BTC/USDT", above="0.8", window="30 bars", year="365d")``, realised volatility of that many returns
    (see the module's text for what a year is).

    Raises:
        InvalidInput: both or neither of symbol and index; a limit that is a float, not finite or not above zero; fewer
            than two returns; a year of nothing; a hysteresis outside of 0 to 1.
    """

    kind = "volatility"
    makes = VolatilityRose

    def __init__(
        self,
        symbol: str | None = None,
        *,
        above: Decimal | str | int,
        index: str | None = None,
        window: int | str | None = None,
        year: DurationLike | None = None,
        hysteresis: Decimal | str | int = "0",
        venue: str | None = None,
        interval: DurationLike | None = None,
    ) -> None:
        name = symbol if index is None else index
        if name is None or (symbol is not None and index is not None):
            raise InvalidInput("volatility", name, "either a symbol or index=, one of the two")
        super().__init__(name, venue, interval)
        self.above = price(above, "above", FRACTION if index is None else LEVEL)
        self.hysteresis = hysteresis_of(hysteresis)
        self.measure: Literal["index", "realised"] = "realised" if index is None else "index"
        self._count, self._year_ns = self._measured(window, year)
        self._limit = Fraction(self.above) ** 2
        self._rearm = Fraction(below(self.above, self.hysteresis)) ** 2
        self._last: float | None = None
        self._returns: deque[int] = deque()
        self._sum = 0
        self._squares = 0

    def _measured(self, window: int | str | None, year: DurationLike | None) -> tuple[int, int]:
        """Number of returns and ns of a year; zeros for an index."""
        if self.measure == "index":
            for field, value in (("window", window), ("year", year)):
                if value is not None:
                    raise InvalidInput(field, value, "nothing: an index is read as it is")
            return 0, 0
        count = DEFAULT_WINDOW if window is None else bars_of(window)
        if count < 2:
            raise InvalidInput("window", window, "a number of bars, at least 2")
        year_ns = duration(DEFAULT_YEAR if year is None else year, "year")
        if not year_ns:
            raise InvalidInput("year", year, "the time that the market is open in a year, e.g. '365d' or '252d'")
        return count, year_ns

    @property
    def window(self) -> str:
        """``"30 bars"``; nothing for an index."""
        return bars_text(self._count) if self._count else ""

    @property
    def year(self) -> str:
        """The time the market is open in a year; nothing for an index."""
        return duration_text(self._year_ns) if self._year_ns else ""

    @property
    def reads_quotes(self) -> bool:
        """Of an index only: the returns from quote to quote are not those of equal times."""
        return self.measure == "index"

    def _words(self) -> list[str]:
        measured = [self.window, self.year] if self._count else []
        return [self.measure, number_text(self.above), *measured, number_text(self.hysteresis)]

    def _read(self, bar: Bar) -> Fired | None:
        square = self._square(bar)
        if square is None:
            return None
        if self._side:
            self._side = int(square >= self._rearm)
            return None
        self._side = int(square >= self._limit)
        if not self._side:
            return None
        value = root(Decimal(square.numerator), Decimal(square.denominator)) if self._count else bar.close
        return Fired(bar, self.above, value)

    def _square(self, bar: Bar) -> Fraction | None:
        """The square of the volatility, exact but for the logarithms; ``None`` before there are enough returns."""
        if not self._count:
            return Fraction(bar.close) ** 2
        price, last = float(bar.close), self._last
        self._last = price
        if last is None:
            return None
        self._take(int(log(price / last) * _UNIT))
        count = len(self._returns)
        if count < self._count:
            return None
        scatter = count * self._squares - self._sum**2
        return Fraction(scatter * self._year_ns, count * (count - 1) * bar.interval_ns * _UNIT**2)

    def _take(self, change: int) -> None:
        self._returns.append(change)
        self._sum += change
        self._squares += change * change
        if len(self._returns) > self._count:
            gone = self._returns.popleft()
            self._sum -= gone
            self._squares -= gone * gone

    def _tell(self, fired: Fired, recording: str, offset: int) -> VolatilityRose:
        bar = fired.bar
        return VolatilityRose(
            symbol=bar.symbol,
            venue=bar.venue,
            measure=self.measure,
            bar_time=bar.start,
            known_at=bar.end,
            price=bar.close,
            volatility=fired.amount,
            above=self.above,
            window=self.window,
            year=self.year,
            hysteresis=self.hysteresis,
            recording=recording,
            offset=offset,
            trigger=str(self),
        )

    def _options(self) -> dict[str, Any]:
        options = {"above": plain(self.above), "hysteresis": plain(self.hysteresis)}
        if not self._count:
            return {"index": self.symbol, **options}
        return {"symbol": self.symbol, "window": self.window, "year": self.year, **options}

    def _memory(self) -> dict[str, Any]:
        return {"last": self._last, "returns": list(self._returns)}

    def _resume(self, state: Mapping[str, Any]) -> None:
        super()._resume(state)
        self._last = None if state["last"] is None else float(state["last"])
        for change in state["returns"]:
            self._take(int(change))
