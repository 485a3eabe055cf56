"""Binance spot REST, what anyone may ask: time, rules, books, trades, bars, tickers.

Shapes are those of https://developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from tickwork.sim.exchange.api import MS, ApiError, Call, whole
from tickwork.sim.exchange.book import Book, Level
from tickwork.sim.exchange.market_data import MarketData
from tickwork.sim.exchange.markets import ZERO, Market
from tickwork.sim.exchange.orders import Trade
from tickwork.sim.exchange.rendering import INTERVALS, average, day_figures, rounded

STEP: Final = Decimal("0.00000001")
_INTERVALS: Final = {**INTERVALS, "3d": 3 * INTERVALS["1d"], "1w": 7 * INTERVALS["1d"]}


def eight(value: Decimal) -> str:
    """Numbers have eight digits after the point."""
    return f"{rounded(value, STEP):f}"


def missing(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def bad(name: str) -> ApiError:
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'.")


def _levels(levels: list[Level]) -> list[list[str]]:
    return [[eight(at), eight(quantity)] for at, quantity in levels]


class BinanceMarketData(MarketData):
    """The public routes of Binance spot."""

    missing = staticmethod(missing)

    def info(self, call: Call) -> Any:
        """The rules, as filters."""
        chosen = (
            [self.market(call.parameters)] if call.parameters.get("symbol") else list(self.exchange.markets.values())
        )
        return {
            "timezone": "UTC",
            "serverTime": self.exchange.server_time() // MS,
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000},
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
            ],
            "exchangeFilters": [],
            "symbols": [self._info(market) for market in chosen],
        }

    def _info(self, market: Market) -> dict[str, Any]:
        trades = market.status == "online" and self.exchange.now() >= market.opens_at
        allowed = [name for name in ("LIMIT", "LIMIT_MAKER", "MARKET") if name in market.order_types]
        return {
            "symbol": market.id,
            "status": "TRADING" if trades else "BREAK",
            "baseAsset": market.base,
            "baseAssetPrecision": 8,
            "quoteAsset": market.quote,
            "quotePrecision": 8,
            "quoteAssetPrecision": 8,
            "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8,
            "orderTypes": allowed,
            "icebergAllowed": False,
            "ocoAllowed": False,
            "otoAllowed": False,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": False,
            "cancelReplaceAllowed": False,
            "isSpotTradingAllowed": market.api_tradable,
            "isMarginTradingAllowed": False,
            "filters": _filters(market),
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "NONE",
            "allowedSelfTradePreventionModes": ["NONE"],
        }

    def depth(self, call: Call) -> Any:
        """``{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}``."""
        book = self.book(self.market(call.parameters))
        limit = min(whole(call.parameters, "limit", bad) or 100, 5_000)
        return {
            "lastUpdateId": book.updates,
            "bids": _levels(book.depth("BUY", limit)),
            "asks": _levels(book.depth("SELL", limit)),
        }

    def _recent(self, call: Call) -> list[Trade]:
        limit = min(whole(call.parameters, "limit", bad) or 500, 1_000)
        return list(self.book(self.market(call.parameters)).recent)[-limit:]

    def trades(self, call: Call) -> Any:
        """The oldest first: ``{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",...}``."""
        return [
            {
                "id": trade.number,
                "price": eight(trade.price),
                "qty": eight(trade.quantity),
                "quoteQty": eight(trade.quote),
                "time": trade.at // MS,
                "isBuyerMaker": (trade.order.side == "BUY") == trade.maker,
                "isBestMatch": True,
            }
            for trade in self._recent(call)
        ]

    def agg_trades(self, call: Call) -> Any:
        """``{"a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27781,"T":1498793709153,"m":true,"M":true}``."""
        return [
            {
                "a": trade.number,
                "p": eight(trade.price),
                "q": eight(trade.quantity),
                "f": trade.number,
                "l": trade.number,
                "T": trade.at // MS,
                "m": (trade.order.side == "BUY") == trade.maker,
                "M": True,
            }
            for trade in self._recent(call)
        ]

    def klines(self, call: Call) -> Any:
        """Rows of open time, open, high, low, close, volume, close time, quote volume, trades, the takers' volumes, and
        a field that is unused.
        """
        book = self.book(self.market(call.parameters))
        interval = _INTERVALS.get(call.parameters.get("interval", ""))
        if interval is None:
            raise ApiError(-1120, "Invalid interval.")
        since, until = whole(call.parameters, "startTime", bad), whole(call.parameters, "endTime", bad)
        now = self.exchange.now()
        bars = book.candles.bars(
            interval,
            None if since is None else since * MS,
            now if until is None else min(until * MS, now),
            min(whole(call.parameters, "limit", bad) or 500, 1_000),
        )
        return [
            [
                bar.start // MS,
                eight(bar.open),
                eight(bar.high),
                eight(bar.low),
                eight(bar.close),
                eight(bar.volume),
                (bar.start + interval) // MS - 1,
                eight(bar.turnover),
                bar.trades,
                "0.00000000",
                "0.00000000",
                "0",
            ]
            for bar in bars
        ]

    def ticker_day(self, call: Call) -> Any:
        """``/ticker/24hr``; ``priceChangePercent`` is in percent here."""
        return self.per_market(call, self._day)

    def _day(self, book: Book) -> dict[str, Any]:
        now = self.exchange.server_time() // MS
        figures = day_figures(book, self.exchange.now(), 100)
        last = book.recent[-1] if book.recent else None
        return {
            "symbol": book.market.id,
            **{
                name: value if name == "priceChangePercent" else eight(Decimal(value))
                for name, value in figures.items()
            },
            "weightedAvgPrice": eight(average(Decimal(figures["quoteVolume"]), Decimal(figures["volume"]))),
            "prevClosePrice": eight(Decimal(figures["openPrice"])),
            "lastQty": eight(last.quantity if last is not None else ZERO),
            **self._best(book),
            "openTime": now - 86_400_000,
            "closeTime": now,
            "firstId": book.recent[0].number if book.recent else -1,
            "lastId": last.number if last is not None else -1,
            "count": len(book.recent),
        }

    @staticmethod
    def _best(book: Book) -> dict[str, str]:
        bid, ask = book.best("BUY") or [ZERO, ZERO], book.best("SELL") or [ZERO, ZERO]
        return {
            "bidPrice": eight(bid[0]),
            "bidQty": eight(bid[1]),
            "askPrice": eight(ask[0]),
            "askQty": eight(ask[1]),
        }

    def ticker_price(self, call: Call) -> Any:
        """``{"symbol":"LTCBTC","price":"4.00000200"}``."""
        return self.per_market(call, lambda book: {"symbol": book.market.id, "price": eight(book.price)})

    def ticker_book(self, call: Call) -> Any:
        """``{"symbol":"LTCBTC","bidPrice":"4.00000000","bidQty":"431.00000000","askPrice":...,"askQty":...}``."""
        return self.per_market(call, lambda book: {"symbol": book.market.id, **self._best(book)})


def _filters(market: Market) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": eight(market.price_tick),
            "maxPrice": "1000000.00000000",
            "tickSize": eight(market.price_tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": eight(market.min_quantity),
            "maxQty": eight(market.max_quantity),
            "stepSize": eight(market.quantity_step),
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": eight(market.min_notional),
            "applyMinToMarket": True,
            "maxNotional": eight(market.max_notional),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
    ]
    if market.price_band is not None:
        up, down = f"{1 + market.price_band:f}", f"{max(ZERO, 1 - market.price_band):f}"
        filters.append(
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": up,
                "bidMultiplierDown": down,
                "askMultiplierUp": up,
                "askMultiplierDown": down,
                "avgPriceMins": 5,
            }
        )
    return filters
