"""A server that answers as Binance and MEXC do about market data, over HTTP and, as Binance, over a web socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from tests.venues.feeds.support import Server, Time

MINUTE_MS = 60_000

Candle = list[Any]
"""Start in ms, open, high, low, close, volume, as the exchange writes them."""


def info(*bases: str) -> dict[str, Any]:
    """``exchangeInfo``: what both exchanges say about their spot markets, each with its own fields."""
    symbols = [
        {
            "symbol": f"{base}USDT",
            "status": "1",
            "baseAsset": base,
            "baseAssetPrecision": 8,
            "quoteAsset": "USDT",
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseSizePrecision": "0.00001",
            "quoteAmountPrecision": "1",
            "maxQuoteAmount": "2000000",
            "orderTypes": ["LIMIT", "MARKET"],
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "makerCommission": "0.001",
            "takerCommission": "0.001",
            "permissions": ["SPOT"],
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
            ],
        }
        for base in bases
    ]
    return {"timezone": "UTC", "serverTime": 0, "rateLimits": [], "exchangeFilters": [], "symbols": symbols}


class FakeExchange:
    """Its candles are made of the time: one each minute, the last of them unfinished."""

    def __init__(self, server: Server, time: Time, *bases: str) -> None:
        self.server = server
        self.time = time
        self.bases = bases or ("BTC", "ETH")
        self.tickers: dict[str, dict[str, Any]] = {}
        self.price: Callable[[int], str] = lambda minute: f"{60_000 + minute % 1000}.10000001"
        self.missing: set[int] = set()
        """Minutes without a trade, and so without a candle."""
        self.page = 1_000
        self.fails: list[web.Response] = []
        """What the next questions get instead of an answer."""
        self.subscribed: list[str] = []
        for path in ("exchangeInfo", "klines", "ticker/24hr"):
            server.on(f"/api/v3/{path}", self._answer)
        server.on("/api/v1/contract/detail", self._answer)
        for number in range(10):
            server.on(f"/ws/{number}", self._socket)

    @property
    def minute(self) -> int:
        return self.time.now_ns // 60_000_000_000

    def candles(self, begin_ms: int | None, count: int) -> list[Candle]:
        last = self.minute
        first = last - count + 1 if begin_ms is None else -(-begin_ms // MINUTE_MS)
        minutes = [minute for minute in range(first, last + 1) if minute not in self.missing]
        return [self.candle(minute) for minute in minutes[: min(count, self.page)]]

    def candle(self, minute: int) -> Candle:
        price = self.price(minute)
        done = minute < self.minute
        volume = "2.50000000" if done else "0.00100000"
        start = minute * MINUTE_MS
        return [start, price, price, price, price, volume, start + MINUTE_MS - 1, "1", 9, "1", "1", "0"]

    def ticker(self, base: str, **fields: Any) -> None:
        """What it says of a symbol from now on."""
        usual = {"symbol": f"{base}USDT", "lastPrice": "67000.1", "bidPrice": "67000.00", "askPrice": "67000.20"}
        self.tickers[f"{base}USDT"] = {**usual, "closeTime": self.time.now_ns // 10**6, **fields}

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.fails and request.path != "/api/v1/contract/detail":
            failure = self.fails.pop(0)
            if failure.status == 0:
                assert request.transport is not None
                request.transport.abort()
            return failure
        match request.path.removeprefix("/api/v3/"):
            case "exchangeInfo":
                answer: Any = info(*self.bases)
            case "klines":
                begin = request.query.get("startTime")
                answer = self.candles(None if begin is None else int(begin), int(request.query["limit"]))
            case "ticker/24hr":
                name = request.query.get("symbol")
                answer = self.tickers[name] if name else list(self.tickers.values())
            case _:
                answer = {"success": True, "code": 0, "data": []}
        return web.json_response(answer)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.server.sockets.append(socket)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                asked = json.loads(message.data)
                if asked.get("method") == "SUBSCRIBE":
                    self.subscribed += asked["params"]
                await socket.send_json({"result": None, "id": asked.get("id")})
        return socket

    async def tell(self, **message: Any) -> None:
        """Send to everybody who listens."""
        for socket in self.server.sockets:
            if not socket.closed:
                await socket.send_json(message)

    async def tell_ticker(self, base: str, bid: str, ask: str) -> None:
        """As https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams, ``<symbol>@ticker``."""
        now = self.time.now_ns // 10**6
        await self.tell(e="24hrTicker", E=now, s=f"{base}USDT", c=bid, b=bid, B="1", a=ask, A="1", C=now, O=0)

    async def tell_candle(self, base: str, minute: int) -> None:
        """As the same page, ``<symbol>@kline_1m``: a candle that is not closed."""
        start, price, *_ = self.candle(minute)
        candle = {"t": start, "T": start + MINUTE_MS - 1, "s": f"{base}USDT", "i": "1m", "x": False}
        prices = {"o": price, "c": price, "h": price, "l": price, "v": "0.1"}
        await self.tell(e="kline", E=start, s=f"{base}USDT", k=candle | prices)
