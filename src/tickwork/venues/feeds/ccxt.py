"""Quotes and bars from any exchange that ccxt knows, asked for in turns or streamed.

    CcxtFeed("binance", ["BTC/USDT"], setting)                                   quotes, every 5 s
    CcxtFeed("kraken", ["BTC/USD", "ETH/USD"], setting, interval="1m")           closed minute bars
    CcxtFeed("binance", ["BTC/USDT"], setting, interval="1m", mode="stream")     the same, told by the stream

A quote is the best bid and ask; where an exchange tells neither, its last price, locked. A *bar* is given once it is
closed, and never before: when a later one has begun, or ``grace`` after its end by our clock, which must be right.
After an outage bars are asked for from the last known one on, so none is missing that the exchange still has. In stream
mode the stream only tells that a bar has closed; the bar itself is asked for, so that a lost message cannot make a
wrong one.

ccxt (the extra ``tickwork[ccxt]``, 4.5.90 or newer) is imported when a feed starts. Its numbers are taken as texts,
never as floats. Its errors become ours: authentication, an unknown symbol, an unsupported question: ``FeedRefused``;
rate limits: ``FeedLimited``; all others: ``FeedFailed``. Proved with the real client over loopback against servers that
answer as Binance and MEXC do; no exchange itself was tried. MEXC's stream needs the package ``protobuf``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused, Item, Kind, What
from tickwork.values import NS_PER_SECOND, DurationLike, duration, price, quantity
from tickwork.venues.ccxt.library import exchange_class, head_start, library, moved, number_text, retry_after_s
from tickwork.venues.ccxt.profiles import GENERIC, PROFILES
from tickwork.venues.feeds.reconnecting import Backoff, Reconnecting, Setting
from tickwork.venues.feeds.secrets import filled

Mode = Literal["poll", "stream"]

PAGE: Final = 500
"""Bars asked for at once; exchanges give fewer as they like."""

_NS_PER_MS: Final = 1_000_000
_LIMITED_S: Final = 30.0
"""How long to wait when an exchange says "too many requests" and not for how long."""


class CcxtFeed(Reconnecting):
    """Quotes, or closed bars, of some symbols of one exchange.

    Args:
        exchange: ccxt's name of it, e.g. ``binance``.
        symbols: in ccxt's form, e.g. ``BTC/USDT``, ``BTC/USDT:USDT``.
        setting: clock, sleep, chance, environment.
        interval: length of a bar, e.g. ``1m``; ``None``: quotes.
        mode: ``poll`` asks, ``stream`` listens (ccxt.pro).
        every: the pause between two questions. For bars only those symbols are asked about whose next is due.
        grace: how long after its end a bar is taken as closed though no later one has begun.
        history: how far back the first bars of a new recording reach; ``None``: the last closed one is the first.
        stall: a stream that says nothing for so long is connected anew.
        name: of the feed; default: the exchange's, with the interval where there is one.
        config: further settings of ccxt's exchange; texts may hold ``${NAME}``, which is looked up in the environment.
        url: of a gateway or a simulated exchange: it takes the place of scheme and host in every address of ccxt's.

    Raises:
        InvalidInput: anything that could never work.
    """

    def __init__(
        self,
        exchange: str,
        symbols: Iterable[str],
        setting: Setting,
        *,
        interval: str | None = None,
        mode: Mode = "poll",
        every: DurationLike = "5s",
        grace: DurationLike = "2s",
        history: DurationLike | None = None,
        stall: DurationLike = "2 minutes",
        name: str = "",
        config: Mapping[str, Any] | None = None,
        url: str = "",
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(name or "-".join(filter(None, (exchange, interval))), symbols, setting, backoff=backoff)
        if not self.symbols:
            raise InvalidInput(f"{self.name}.symbols", "none", "at least one symbol")
        if mode not in ("poll", "stream"):
            raise InvalidInput(f"{self.name}.mode", mode, "poll or stream")
        self.kinds: tuple[Kind, ...] = ("quote",) if interval is None else ("bar",)
        self._id = exchange
        self._interval = interval
        self._interval_ns = 0 if interval is None else duration(interval, f"{self.name}.interval")
        self._mode = mode
        self._every_s = duration(every, f"{self.name}.every") / NS_PER_SECOND
        self._grace_ns = duration(grace, f"{self.name}.grace")
        self._history_ns = 0 if history is None else duration(history, f"{self.name}.history")
        self._stall_s = duration(stall, f"{self.name}.stall") / NS_PER_SECOND
        self._config = {field: self._filled(field, value) for field, value in (config or {}).items()}
        self._url = url
        self._exchange: Any = None
        self._said: dict[str, Quote] = {}
        self._next_ns: dict[str, int] = {}
        """Where each symbol's next bar starts, once one is known."""

    def _filled(self, field: str, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text, secrets = filled(value, self.setting.environ, f"{self.name}.config.{field}")
        self.secrets |= secrets
        return text

    def _resume(self, known: Sequence[Item]) -> None:
        bars = [item.what for item in known if isinstance(item.what, Bar)]
        mine = [bar for bar in bars if (bar.venue, bar.interval_ns) == (self._id, self._interval_ns)]
        self._next_ns = {bar.symbol: bar.end_ns for bar in mine}

    # -- the exchange ---------------------------------------------------------------------------------------------

    async def _opened(self) -> Any:
        """The exchange, with its markets loaded."""
        if self._exchange is None:
            # what spares requests that nobody needs here, such as lists of contracts
            options = {**PROFILES.get(self._id, GENERIC).options, **self._config.get("options", {})}
            config = {"enableRateLimit": True, **self._config, "options": options}
            made = _exchange_class(self.name, self._id, self._mode)(config)
            made.has.update(PROFILES.get(self._id, GENERIC).has)
            made.number = str  # numbers as the exchange wrote them
            head_start(made)
            if self._url:
                made.urls["api"] = moved(made.urls["api"], self._url)
            self._exchange = made
        exchange = self._exchange
        if not await exchange.load_markets():
            await self._close()  # it would remember that there are none
            raise FeedFailed(self.name, f"{self._id} told of no markets")
        unknown = [symbol for symbol in self.symbols if symbol not in exchange.markets]
        if unknown:
            raise FeedRefused(self.name, f"{self._id} has no {', '.join(unknown)}", "look at its list of markets")
        if self._interval is not None and self._interval not in (exchange.timeframes or {}):
            told = ", ".join(exchange.timeframes or {}) or "none"
            raise FeedRefused(self.name, f"{self._id} has no bars of {self._interval}", f"it has {told}")
        return exchange

    async def _close(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    @contextmanager
    def _our_errors(self) -> Iterator[None]:
        ccxt = _ccxt(self.name)
        refusing = (ccxt.AuthenticationError, ccxt.BadSymbol, ccxt.NotSupported, ccxt.RestrictedLocation)
        try:
            yield
        except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
            raise FeedLimited(self.name, self._asked_s(), _words(error)) from None
        except refusing as error:
            raise FeedRefused(self.name, f"{type(error).__name__}: {_words(error)}") from None
        except ccxt.BaseError as error:
            raise FeedFailed(self.name, f"{type(error).__name__}: {_words(error)}") from None

    def _asked_s(self) -> float:
        after_s = retry_after_s(getattr(self._exchange, "last_response_headers", None))
        return _LIMITED_S if after_s is None else after_s

    # -- sessions -------------------------------------------------------------------------------------------------

    async def _session(self) -> AsyncGenerator[What, None]:
        await asyncio.to_thread(_ccxt, self.name)  # the loop has better things to do than to load it
        with self._our_errors():
            exchange = await self._opened()
            if self._mode == "stream":
                async for what in self._streamed(exchange):
                    yield what
            while True:
                found = await (self._quotes(exchange) if self._interval is None else self._due_bars(exchange))
                for what in found:
                    yield what
                self._heard()
                await self.setting.sleep(self._every_s)

    async def _streamed(self, exchange: Any) -> AsyncGenerator[What, None]:
        """What the stream tells; for bars, what is asked for when it tells that one has closed."""
        if self._interval is not None:
            for bar in await self._due_bars(exchange):
                yield bar
        queue: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        listeners = [asyncio.ensure_future(self._listen(exchange, symbol, queue)) for symbol in self.symbols]
        try:
            while True:
                try:
                    async with asyncio.timeout(self._stall_s):
                        symbol, told = await queue.get()
                except TimeoutError:
                    raise FeedFailed(self.name, f"the stream said nothing for {self._stall_s:g} s") from None
                if isinstance(told, BaseException):
                    raise told
                self._heard()
                if self._interval is None:
                    found: Sequence[What] = self._new_quotes({symbol: told})
                else:
                    found = await self._bars(exchange, symbol, int(told[-1][0]) * _NS_PER_MS)
                for what in found:
                    yield what
        finally:
            for listener in listeners:
                listener.cancel()
            await asyncio.gather(*listeners, return_exceptions=True)
            await self._close()  # a new session gets new connections

    async def _listen(self, exchange: Any, symbol: str, queue: asyncio.Queue[tuple[str, Any]]) -> None:
        # what ccxt listens to at Binance by default tells no spread
        params = {"name": "ticker"} if self._id.startswith("binance") else {}
        try:
            while True:
                if self._interval is None:
                    queue.put_nowait((symbol, await exchange.watch_ticker(symbol, params)))
                else:
                    queue.put_nowait((symbol, await exchange.watch_ohlcv(symbol, self._interval)))
        except Exception as error:  # noqa: BLE001 - the session raises it
            queue.put_nowait((symbol, error))

    # -- quotes ---------------------------------------------------------------------------------------------------

    async def _quotes(self, exchange: Any) -> list[Quote]:
        if len(self.symbols) > 1 and exchange.has.get("fetchTickers"):
            return self._new_quotes(await exchange.fetch_tickers(list(self.symbols)))
        return self._new_quotes({symbol: await exchange.fetch_ticker(symbol) for symbol in self.symbols})

    def _new_quotes(self, tickers: Mapping[str, Any]) -> list[Quote]:
        quotes: list[Quote] = []
        for symbol in self.symbols:
            ticker = tickers.get(symbol)
            if ticker is None:
                if self._mode == "poll":
                    self._complain(InvalidInput(f"{self.name}.tickers", "nothing", f"a ticker of {symbol}"))
                continue
            try:
                quote = self._quote(symbol, ticker)
            except InvalidInput as error:
                self._complain(error)
                continue
            # an exchange that repeats itself, time and all, has said nothing
            if ticker.get("timestamp") is None or quote != self._said.get(symbol):
                quotes.append(quote)
            self._said[symbol] = quote
        return quotes

    def _quote(self, symbol: str, ticker: Mapping[str, Any]) -> Quote:
        where = f"{self.name}.{symbol}"
        told = ticker.get("bid"), ticker.get("ask")
        bid, ask = map(number_text, (ticker.get("last"),) * 2 if told == (None, None) else told)
        told_ms = ticker.get("timestamp")
        time_ns = self.setting.now() if told_ms is None else int(told_ms) * _NS_PER_MS
        return Quote(symbol, self._id, time_ns, price(bid, f"{where}.bid"), price(ask, f"{where}.ask"))

    # -- bars -----------------------------------------------------------------------------------------------------

    async def _due_bars(self, exchange: Any) -> list[Bar]:
        """The closed bars of every symbol whose next is due."""
        bars: list[Bar] = []
        for symbol in self.symbols:
            bars += await self._bars(exchange, symbol, self.setting.now() - self._grace_ns)
        return sorted(bars, key=lambda bar: bar.end_ns)

    async def _bars(self, exchange: Any, symbol: str, closed_ns: int) -> list[Bar]:
        """The new bars of a symbol up to those that end at ``closed_ns``, and whatever else is certainly closed."""
        length = self._interval_ns
        begin_ns = self._next_ns.get(symbol)
        if begin_ns is None:
            reach_ns = max(self._history_ns, length)
            begin_ns = (closed_ns - reach_ns) // length * length
        bars: list[Bar] = []
        while begin_ns + length <= closed_ns:
            rows = await exchange.fetch_ohlcv(symbol, self._interval, begin_ns // _NS_PER_MS, PAGE)
            found = [bar for bar in self._closed(symbol, rows, closed_ns) if bar.start_ns >= begin_ns]
            bars += found
            # a page without bars is a stretch without trades: what comes after it is on a later page
            begin_ns = found[-1].end_ns if found else begin_ns + PAGE * length
        if bars:
            self._next_ns[symbol] = bars[-1].end_ns
        return bars

    def _closed(self, symbol: str, rows: Sequence[Sequence[Any]], closed_ns: int) -> Iterator[Bar]:
        """The sound bars of an answer that are over, in order."""
        starts = [int(row[0]) * _NS_PER_MS for row in rows]
        last_ns = max(starts, default=0)
        for start_ns, row in sorted(zip(starts, rows, strict=True), key=lambda pair: pair[0]):
            if start_ns == last_ns and start_ns + self._interval_ns > closed_ns:
                continue
            where = f"{self.name}.{symbol}"
            try:
                open_, high, low, close = (price(number_text(number), where) for number in row[1:5])
                volume = quantity(number_text(row[5]), f"{where}.volume")
                yield Bar(symbol, self._id, start_ns, self._interval_ns, open_, high, low, close, volume)
            except InvalidInput as error:
                self._complain(error)


def _ccxt(source: str) -> Any:
    try:
        return library(source)
    except InvalidInput as error:
        raise FeedRefused(source, str(error.found), error.expected) from None


def _exchange_class(source: str, exchange: str, mode: Mode) -> Callable[[Mapping[str, Any]], Any]:
    _ccxt(source)
    try:
        return exchange_class(f"{source}.exchange", exchange, streams=mode == "stream")
    except InvalidInput:
        streams = " streams from" if mode == "stream" else ""
        raise FeedRefused(source, f"there is no exchange that ccxt{streams} by the name {exchange!r}") from None


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
