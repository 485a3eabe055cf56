"""What the market says, for whoever asks: the freshest prices of the feeds with their age, and bars of recordings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tickwork.errors import NotFound, Retryable, Stale
from tickwork.service.accounts.opening import Opened
from tickwork.service.accounts.prices import LivePrices
from tickwork.service.feed_status import FeedStatus
from tickwork.service.history import Asked, Bars, recorded_bars
from tickwork.service.watch import Watch
from tickwork.values import NS_PER_SECOND, from_ns, plain


class QuoteLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The freshest price of a symbol that a feed gives. Prices are quote currency, as text."""

    symbol: str
    venue: str
    bid: str
    ask: str
    mid: str
    time: datetime
    """When the venue said so."""
    age_seconds: float
    recording: str
    """Where it stands recorded, and at which offset."""
    offset: int


class NoQuote(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Why there is no price of a symbol to go by."""

    symbol: str
    code: str
    """``not-found``: no feed brings it; ``try-again``: none has come yet; ``stale``: the last one is too old."""
    detail: str


class Quotes(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Prices of several symbols; of some there may be none."""

    quotes: list[QuoteLine]
    missing: list[NoQuote]


class SymbolLine(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A symbol that an account here trades, with what its venue asks of orders, as text."""

    symbol: str
    account: str
    venue: str
    prices_of: str
    quantity_step: str
    price_tick: str
    min_quantity: str
    min_notional: str


class Quoting:
    """Answers for the feeds and symbols of a session.

    Args:
        opened: accounts, by name.
        sources: whose prices each account looks at.
        prices: the latest of all feeds.
        recordings: the folder of the feeds' recordings.
        clock: ns since 1970 UTC.
    """

    def __init__(
        self,
        opened: Mapping[str, Opened],
        sources: Mapping[str, str],
        prices: LivePrices,
        recordings: Path,
        clock: Callable[[], int],
    ) -> None:
        self._opened = opened
        self._sources = sources
        self._prices = prices
        self._recordings = recordings
        self._clock = clock

    def verbs(self, watch: Callable[[], Watch | None]) -> dict[str, Any]:
        """What other processes may ask for, to be given to ``Engine.offer``. ``watch``: once it is open."""

        async def quotes(symbols: Sequence[str], venue: str = "") -> Quotes:
            return self.quotes(symbols, venue)

        async def quote(symbol: str, venue: str = "") -> QuoteLine:
            return self.quote(symbol, venue)

        async def symbols() -> list[SymbolLine]:
            return self.symbols()

        async def feeds() -> list[FeedStatus]:
            found = watch()
            if found is None:
                raise Retryable("the feeds have not begun yet: ask again")
            return list(found.status())

        async def history(recording: str = "", **fields: Any) -> Bars:
            asked = msgspec.convert(fields, Asked)
            brings = [one for one in (await feeds()) if "bar" in one.kinds and asked.symbol in one.symbols]
            names = [recording] if recording else [one.name for one in brings]
            return await asyncio.to_thread(recorded_bars, self._recordings, names, asked)

        return {
            "market.quote": quote,
            "market.quotes": quotes,
            "market.symbols": symbols,
            "market.history": history,
            "feeds": feeds,
        }

    def quote(self, symbol: str, venue: str = "") -> QuoteLine:
        """The freshest price of a symbol, at a venue or at whichever said it last.

        Raises:
            NotFound: no feed brings it. Retryable: nothing has come yet. Stale: it is too old to decide by.
        """
        known = self._venues(symbol)
        if not known or (venue and venue not in known):
            fed = sorted(
                {f"{name} of {self._sources[one.account.name]}" for one in self._opened.values() for name in one.rules}
            )
            raise NotFound(
                "symbol", f"{symbol} of {venue}" if venue else symbol, f"one that a feed brings: {', '.join(fed)}"
            )
        said = [name for name in ([venue] if venue else known) if self._prices.quote(name, symbol) is not None]
        best = max(said, key=lambda name: self._time(name, symbol), default=venue or known[0])
        found, placed = self._prices.fresh(best, symbol)
        return QuoteLine(
            symbol=symbol,
            venue=found.venue,
            bid=plain(found.bid),
            ask=plain(found.ask),
            mid=plain(found.mid),
            time=from_ns(found.time_ns),
            age_seconds=(self._clock() - found.time_ns) / NS_PER_SECOND,
            recording=placed.recording,
            offset=placed.offset,
        )

    def quotes(self, symbols: Iterable[str], venue: str = "") -> Quotes:
        """The freshest prices of several symbols; of those that have none, why."""
        found: list[QuoteLine] = []
        missing: list[NoQuote] = []
        for symbol in dict.fromkeys(symbols):
            try:
                found.append(self.quote(symbol, venue))
            except (NotFound, Retryable, Stale) as error:
                code = (
                    "not-found" if isinstance(error, NotFound) else "stale" if isinstance(error, Stale) else "try-again"
                )
                missing.append(NoQuote(symbol=symbol, code=code, detail=str(error)))
        return Quotes(quotes=found, missing=missing)

    def symbols(self) -> list[SymbolLine]:
        """What the accounts trade, and by which rules."""
        return [
            SymbolLine(
                symbol=symbol,
                account=name,
                venue=one.account.venue.name,
                prices_of=self._sources[name],
                quantity_step=plain(rules.quantity_step),
                price_tick=plain(rules.price_tick),
                min_quantity=plain(rules.min_quantity),
                min_notional=plain(rules.min_notional),
            )
            for name, one in self._opened.items()
            for symbol, rules in sorted(one.rules.items())
        ]

    def _venues(self, symbol: str) -> list[str]:
        return sorted({self._sources[name] for name, one in self._opened.items() if symbol in one.rules})

    def _time(self, venue: str, symbol: str) -> int:
        found = self._prices.quote(venue, symbol)
        return 0 if found is None else found.time_ns
