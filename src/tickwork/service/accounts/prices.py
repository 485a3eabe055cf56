"""The latest prices of live feeds, by venue: what gates, desks and documents look at.

A quote is taken as the feed gave it; a bar says its close, as a locked quote, where the venue gives no quotes of the
symbol. Nothing here judges age: whoever decides by a price asks how old it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from tickwork.errors import InvalidInput, Retryable, Stale
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import Placed
from tickwork.values import DurationLike, duration, duration_text

BARS: Final = 1_000
"""Bars of a market that are remembered."""

Market = tuple[str, str]
"""Venue and symbol."""


class LivePrices:
    """Fed with every item of a watch.

    Args:
        clock: ns since 1970 UTC.
        max_age: an older price is ``Stale`` to ``fresh``.
    """

    def __init__(self, clock: Callable[[], int], *, max_age: DurationLike = "30 seconds") -> None:
        self._clock = clock
        self._max_age = duration(max_age, "prices.max_age")
        self._quotes: dict[Market, Placed] = {}
        self._bars: dict[Market, deque[Bar]] = {}
        self._quoted: set[Market] = set()

    def take(self, placed: Placed) -> None:
        """An item of a feed; texts say no price."""
        what = placed.item.what
        match what:
            case Quote():
                market = what.venue, what.symbol
                self._quoted.add(market)
                self._quotes[market] = placed
            case Bar():
                market = what.venue, what.symbol
                self._bars.setdefault(market, deque(maxlen=BARS)).append(what)
                if market not in self._quoted:
                    self._quotes[market] = placed
            case _:
                pass

    def quote(self, venue: str, symbol: str) -> Quote | None:
        """The last quote, whatever its age; ``None`` where there was none."""
        placed = self._quotes.get((venue, symbol))
        return None if placed is None else _quote(placed)

    def fresh(self, venue: str, symbol: str) -> tuple[Quote, Placed]:
        """The last quote, and where it stands recorded.

        Raises:
            Retryable: the venue has said nothing of the symbol yet. A run may go on before the first price has come.
            Stale: it is too old to decide by.
        """
        placed = self._quotes.get((venue, symbol))
        if placed is None:
            known = sorted(name for at, name in self._quotes if at == venue)
            raise Retryable(f"no price yet of {symbol} at {venue} (only of {', '.join(known) or 'nothing'})")
        quote = _quote(placed)
        if quote.is_stale(self._clock(), self._max_age):
            age = duration_text(abs(quote.age_ns(self._clock())))
            raise Stale(f"the price of {symbol} at {venue}", age, duration_text(self._max_age))
        return quote, placed

    def bars(self, venue: str, symbol: str, count: int) -> list[Bar]:
        """The latest bars that have ended, oldest first.

        Raises:
            InvalidInput: a count below 1, or a market of which no bar has come.
        """
        if count < 1:
            raise InvalidInput("count", count, "a whole number from 1")
        found = self._bars.get((venue, symbol))
        if not found:
            raise InvalidInput("symbol", symbol, f"one of which a feed gives bars at {venue}: see accounts.<name>.bars")
        return list(found)[-count:]


def _quote(placed: Placed) -> Quote:
    what = placed.item.what
    if isinstance(what, Quote):
        return what
    assert isinstance(what, Bar)
    return Quote(what.symbol, what.venue, what.end_ns, what.close, what.close)
