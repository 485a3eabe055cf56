"""Quotes from any service that answers JSON over HTTP: an URL, and where in the answer what stands.

    HttpJsonFeed("desk", "https://quotes.example/v1?symbols=AAPL,MSFT", {"AAPL": "AAPL", "MSFT": "MSFT"}, setting,
                 shape=QuoteShape(rows="data", symbol="ticker", price="last", time="updated"), every="15s")

A price that is missing, zero, negative or no number is no quote: it is complained of in ``health`` and nothing is
delivered. Numbers are read exactly, never through a float. Without a spread the quote is a locked one (bid = ask =
price). Tried against loopback servers only; a service's own shape must be looked up in its documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal
from typing import Any

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.bars import Quote
from tickwork.market.live import Item, Kind, What
from tickwork.market.outside import at, instant_ns, maybe_at, read_json
from tickwork.values import DurationLike, duration, price, quantity
from tickwork.venues.feeds.http import Web
from tickwork.venues.feeds.reconnecting import Backoff, Polling, Setting

KEY = "@key"
"""As ``QuoteShape.symbol``: the rows are an object, and its keys are the symbols."""


class QuoteShape(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer holds its quotes: dotted paths such as ``data.0.last``. Those of a quote begin at its row."""

    rows: str | None = None
    """Path of the list or object of rows; ``None``: the answer is one row."""
    symbol: str | None = None
    """Path of a row's symbol, or ``@key``; ``None``: there is one row, of the one symbol."""
    price: str | None = None
    """Path of the last price. Either this or bid and ask, or all: bid and ask count where both are there."""
    bid: str | None = None
    ask: str | None = None
    time: str | None = None
    """Path of when the source said so; without one, quotes are as old as their arrival."""
    zone: tzinfo | None = None
    """Of times that name none."""

    def __post_init__(self) -> None:
        if self.price is None and (self.bid is None or self.ask is None):
            raise InvalidInput("shape", "neither a price nor bid and ask", "price=, or bid= and ask=")
        if (self.rows is None) != (self.symbol is None):
            raise InvalidInput("shape.symbol", self.symbol, "rows= and symbol= together, or neither")


class HttpJsonFeed(Polling):
    """Asks an URL for quotes.

    Args:
        name: of the feed.
        url: what to GET. Secrets go into ``headers`` and ``params`` as ``${NAME}``.
        symbols: the source's own names of symbols, and ours. What it says of others is ignored.
        setting: clock, sleep, chance, environment.
        shape: where the answer holds what.
        venue: of the quotes; default: the feed's name.
        every: the pause between two questions.
        headers, params, timeout: see ``Web``.
        delay: by how much the source is late by design: its prices may be that much older than others.

    Raises:
        InvalidInput: anything that could never work; a variable that is not set.
    """

    kinds: tuple[Kind, ...] = ("quote",)

    def __init__(
        self,
        name: str,
        url: str,
        symbols: Mapping[str, str],
        setting: Setting,
        *,
        shape: QuoteShape,
        venue: str = "",
        every: DurationLike = "15s",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout: DurationLike = "10s",
        delay: DurationLike = "0s",
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(name, symbols.values(), setting, every=every, backoff=backoff)
        if not symbols or (shape.symbol is None and len(symbols) != 1):
            raise InvalidInput(f"{name}.symbols", len(symbols), "one symbol, or more with shape.rows and shape.symbol")
        self._ours = dict(symbols)
        self._shape = shape
        self._venue = venue or name
        self._web = Web(name, url, setting, headers=headers, params=params, timeout=timeout)
        self.secrets = self._web.secrets
        self._said: dict[str, Quote] = {}
        self.delay_ns = duration(delay, f"{name}.delay")

    def _resume(self, known: Sequence[Item]) -> None:
        self._said = {item.what.symbol: item.what for item in known if isinstance(item.what, Quote)}
        self._web.forget()

    async def _poll(self) -> Sequence[What]:
        answer = await self._web.get(conditional=True)
        if answer is None:
            return []
        document = read_json(answer.body, f"{self.name}.answer")
        quotes: list[What] = []
        found: set[str] = set()
        for symbol, row in self._rows(document):
            found.add(symbol)
            try:
                quote = self._quote(symbol, row)
            except InvalidInput as error:
                self._complain(error)
            else:
                quotes += [quote] if self._is_new(quote) else []
        for symbol in sorted(set(self.symbols) - found):
            self._complain(InvalidInput(f"{self.name}.answer", "nothing", f"a row about {symbol}"))
        self._web.used(answer)
        return quotes

    def _rows(self, document: Any) -> Iterator[tuple[str, Any]]:
        shape = self._shape
        if shape.rows is None or shape.symbol is None:
            yield next(iter(self._ours.values())), document
            return
        rows = at(document, shape.rows)
        if isinstance(rows, Mapping) and shape.symbol == KEY:
            named = [(key, row) for key, row in rows.items()]
        elif isinstance(rows, list) and shape.symbol != KEY:
            named = [(maybe_at(row, shape.symbol), row) for row in rows]
        else:
            wanted = "an object" if shape.symbol == KEY else "a list"
            raise InvalidInput(f"{self.name}.{shape.rows}", type(rows).__name__, f"{wanted} of rows")
        for theirs, row in named:
            ours = self._ours.get(theirs) if isinstance(theirs, str) else None
            if ours is not None:
                yield ours, row

    def _quote(self, symbol: str, row: Any) -> Quote:
        shape, where = self._shape, f"{self.name}.{symbol}"
        said = maybe_at(row, shape.time)
        time_ns = self.setting.now() if said is None else instant_ns(said, f"{where}.time", shape.zone)
        bid, ask = self._price(row, shape.bid, f"{where}.bid"), self._price(row, shape.ask, f"{where}.ask")
        if bid is None or ask is None:
            if shape.price is None:
                raise InvalidInput(f"{where}.bid", "nothing", "bid and ask")
            bid = ask = price(maybe_at(row, shape.price), f"{where}.price")
        return Quote(symbol, self._venue, time_ns, bid, ask)

    def _price(self, row: Any, path: str | None, where: str) -> Decimal | None:
        """A side of the spread; where there is a price to fall back on, a side of zero means there is none."""
        said = maybe_at(row, path)
        if said is None:
            return None
        number = quantity(said, where)
        return None if number == 0 and self._shape.price is not None else price(number, where)

    def _is_new(self, quote: Quote) -> bool:
        """A source that repeats itself, time and all, has said nothing."""
        before = self._said.get(quote.symbol)
        self._said[quote.symbol] = quote
        return self._shape.time is None or quote != before

    async def _close(self) -> None:
        await self._web.close()
