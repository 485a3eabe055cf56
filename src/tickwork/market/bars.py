"""Bars and quotes: what a venue says about a price, checked once where it comes in.

Times are integer nanoseconds since 1970 UTC. A bar covers ``[start_ns, start_ns + interval_ns)`` and is *known* only at
its end: whoever orders bars of several sources orders them by ``end_ns``, or looks into the future. Prices are quote
currency per unit of base; volume is in units of base (shares, coins). All are ``Decimal``; the one float is
``close_float``, for indicators.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Final

import msgspec

from tickwork.errors import InvalidInput
from tickwork.values import from_ns

LARGEST: Final = Decimal("1e30")
"""Exclusive bound of every price and volume: keeps infinity and nonsense out with a comparison."""

MAX_START_NS: Final = 2**62
"""Exclusive bound of a bar's start (the year 2116), so that an end always fits the tape's 64 bits."""


class Bar(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One open-high-low-close-volume bar. On the wire the Decimals are texts.

    Raises:
        InvalidInput: a price that is not finite and above zero, a low above or a high below the open or close, a
            negative volume, an interval or a start that is no time.
    """

    symbol: str
    venue: str
    start_ns: int
    interval_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    def __post_init__(self) -> None:
        # One chain of comparisons is the fast path of every bar read; only a bar that fails it is asked why.
        # A NaN makes Decimal raise, or compares false where that trap is off: both lead to the complaint.
        try:
            sound = (
                0 < self.low <= self.open <= self.high < LARGEST
                and self.low <= self.close <= self.high
                and 0 <= self.volume < LARGEST
                and self.interval_ns > 0
                and -MAX_START_NS < self.start_ns < MAX_START_NS
            )
        except (ArithmeticError, TypeError):
            sound = False
        if not sound or type(self.open) is not Decimal or type(self.close) is not Decimal:
            raise complaint(self)

    @property
    def end_ns(self) -> int:
        """When the bar is complete, hence known."""
        return self.start_ns + self.interval_ns

    @property
    def start(self) -> datetime:
        """Aware UTC time of the bar's start."""
        return from_ns(self.start_ns)

    @property
    def end(self) -> datetime:
        """Aware UTC time of the bar's end."""
        return from_ns(self.end_ns)

    @property
    def close_float(self) -> float:
        """The close for indicators and scores; never for money."""
        return float(self.close)


def complaint(bar: Bar) -> InvalidInput:
    """What is wrong with a bar that failed its check, naming the field."""
    if bar.interval_ns <= 0:
        return InvalidInput("bar.intervalNs", bar.interval_ns, "nanoseconds above zero")
    if not -MAX_START_NS < bar.start_ns < MAX_START_NS:
        return InvalidInput("bar.startNs", bar.start_ns, "nanoseconds since 1970, before the year 2116")
    for field in ("open", "high", "low", "close"):
        value = getattr(bar, field)
        if not _is_amount(value) or value <= 0:
            return InvalidInput(f"bar.{field}", value, "a finite Decimal above zero")
    if not _is_amount(bar.volume) or bar.volume < 0:
        return InvalidInput("bar.volume", bar.volume, "a finite Decimal of zero or more")
    if bar.low > min(bar.open, bar.close):
        return InvalidInput("bar.low", bar.low, f"at most the open {bar.open} and the close {bar.close}")
    return InvalidInput("bar.high", bar.high, f"at least the open {bar.open} and the close {bar.close}")


def _is_amount(value: object) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and abs(value) < LARGEST


class Quote(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The best bid and ask of a symbol at a venue, and when the venue said so.

    A locked market (bid equals ask) is real; a crossed one (bid above ask) on one venue is an error of the source.

    Raises:
        InvalidInput: a price that is not finite and above zero, or a crossed market.
    """

    symbol: str
    venue: str
    time_ns: int
    bid: Decimal
    ask: Decimal

    def __post_init__(self) -> None:
        for field, value in (("bid", self.bid), ("ask", self.ask)):
            if not _is_amount(value) or value <= 0:
                raise InvalidInput(f"quote.{field}", value, "a finite Decimal above zero")
        if self.bid > self.ask:
            raise InvalidInput("quote.bid", self.bid, f"at most the ask {self.ask}")

    @property
    def mid(self) -> Decimal:
        """Half way between bid and ask."""
        return (self.bid + self.ask) / 2

    @property
    def spread_bps(self) -> Decimal:
        """Ask minus bid, in basis points of the mid."""
        return (self.ask - self.bid) / self.mid * 10_000

    def age_ns(self, now_ns: int) -> int:
        """Nanoseconds since the venue said so; negative when its clock is ahead of ours."""
        return now_ns - self.time_ns

    def is_stale(self, now_ns: int, max_age_ns: int) -> bool:
        """True when the quote is older than ``max_age_ns``, or from further in the future than that.

        The second half matters: a quote from the future would otherwise stay fresh until its time comes.
        """
        return abs(self.age_ns(now_ns)) > max_age_ns
