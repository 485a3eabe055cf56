"""Markets with exits that no price judges: their feed is silent, its clock is off, or it says nothing usable.

Stops there do nothing meanwhile, so a person is told: once when it has lasted for a while, and once when it is over.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from tickwork.core.event import Alert
from tickwork.trading.exits import Unjudged
from tickwork.values import duration_text

Market = tuple[str, str]
"""Venue and symbol."""


class BlindMarkets:
    """Since when each market has not been judged.

    Args:
        after_ns: so long (ns) it may be before a person is told.
    """

    def __init__(self, after_ns: int) -> None:
        self._after_ns: Final = after_ns
        self._unjudged: dict[Market, Unjudged] = {}
        self._since: dict[Market, int] = {}
        """When the last price was judged, or a plan was first seen there; ns."""
        self._told: set[Market] = set()

    @property
    def unjudged(self) -> dict[Market, Unjudged]:
        """The last price of a market, where that decided nothing; not to be changed."""
        return self._unjudged

    def heard(self, market: Market, unjudged: Unjudged | None, now_ns: int) -> None:
        """A price came; ``None``: it was judged."""
        if unjudged is not None:
            self._unjudged[market] = unjudged
            return
        if market in self._unjudged:
            del self._unjudged[market]
        self._since[market] = now_ns

    def look(self, markets: Collection[Market], now_ns: int) -> list[Alert]:
        """What a person is to be told, at a time (ns), of the markets that have plans."""
        for gone in [market for market in self._since if market not in markets]:
            del self._since[gone]
            self._told.discard(gone)
        return [alert for market in markets for alert in self._alerts(market, now_ns)]

    def _alerts(self, market: Market, now_ns: int) -> list[Alert]:
        venue, symbol = market
        age_ns = now_ns - self._since.setdefault(market, now_ns)
        if age_ns >= self._after_ns and market not in self._told:
            self._told.add(market)
            last = self._unjudged.get(market)
            why = "no price came" if last is None else f"the last price was {last.why}: {last.found}"
            what = f"the stops of {symbol} at {venue} are blind"
            return [
                Alert(run="", what=what, detail=f"nothing could be judged for {duration_text(age_ns)}; {why}"[:500])
            ]
        if age_ns < self._after_ns and market in self._told:
            self._told.discard(market)
            return [
                Alert(run="", what=f"the stops of {symbol} at {venue} are judged again", detail="a price was judged")
            ]
        return []
