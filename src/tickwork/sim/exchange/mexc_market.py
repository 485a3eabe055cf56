"""MEXC spot v3, what anyone may ask: time, rules, books, trades, bars, tickers.

Shapes are those of https://www.mexc.com/api-docs/spot-v3/market-data-endpoints and of payloads captured in ccxt 4.5.90.
"""

from __future__ import annotations

from typing import Any, Final

from tickwork.sim.exchange.api import MS, ApiError, Call, whole
from tickwork.sim.exchange.book import Book
from tickwork.sim.exchange.market_data import MarketData
from tickwork.sim.exchange.markets import Market, decimals
from tickwork.sim.exchange.orders import Trade
from tickwork.sim.exchange.rendering import INTERVALS, best_texts, day_figures, level_texts, trimmed

_INTERVALS: Final = {
    **{name: INTERVALS[name] for name in ("1m", "5m", "15m", "30m", "4h", "1d")},
    "60m": INTERVALS["1h"],
    "1W": 7 * INTERVALS["1d"],
}


def bad(name: str) -> ApiError:
    return ApiError(700008, f"Illegal characters found in parameter '{name}'")


def missing(name: str) -> ApiError:
    return ApiError(700004, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


class MexcMarketData(MarketData):
    """The public routes of MEXC spot v3."""

    missing = staticmethod(missing)

    def info(self, call: Call) -> Any:
        """The rules. There are no LOT_SIZE and MIN_NOTIONAL filters: decimals are ``baseAssetPrecision`` and
        ``quotePrecision``, the least quantity ``baseSizePrecision``, the least notional ``quoteAmountPrecision``.
        """
        markets = self.exchange.markets
        chosen = [self.market(call.parameters)] if call.parameters.get("symbol") else list(markets.values())
        return {
            "timezone": "CST",
            "serverTime": self.exchange.server_time() // MS,
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": [self._info(market) for market in chosen],
        }

    def _info(self, market: Market) -> dict[str, Any]:
        base, quote = decimals(market.quantity_step), decimals(market.price_tick)
        return {
            "symbol": market.id,
            "status": {"online": "1", "paused": "2", "offline": "3"}[market.status],
            "baseAsset": market.base,
            "baseAssetPrecision": base,
            "quoteAsset": market.quote,
            "quotePrecision": quote,
            "quoteAssetPrecision": quote,
            "baseCommissionPrecision": base,
            "quoteCommissionPrecision": quote,
            "orderTypes": [name for name in ("LIMIT", "MARKET", "LIMIT_MAKER") if name in market.order_types],
            "isSpotTradingAllowed": self._is_tradable(market),
            "isMarginTradingAllowed": False,
            "quoteAmountPrecision": trimmed(market.min_notional),
            "baseSizePrecision": trimmed(market.min_quantity),
            "permissions": ["SPOT"],
            "filters": [],
            "maxQuoteAmount": trimmed(market.max_notional),
            "makerCommission": trimmed(market.maker_fee),
            "takerCommission": trimmed(market.taker_fee),
            "quoteAmountPrecisionMarket": trimmed(market.min_notional_market),
            "maxQuoteAmountMarket": trimmed(market.max_notional),
            "fullName": market.base,
            "tradeSideType": {("BUY", "SELL"): 1, ("BUY",): 2, ("SELL",): 3, (): 4}.get(market.sides, 1),
            "firstOpenTime": market.opens_at // MS,
            "st": False,
        }

    def _is_tradable(self, market: Market) -> bool:
        return market.status == "online" and market.api_tradable and self.exchange.now() >= market.opens_at

    def symbols(self, call: Call) -> Any:
        """``{"code":200,"data":["METABTUSDT", ...],"msg":null}``: what the API may trade."""
        markets = self.exchange.markets.values()
        return {"code": 200, "data": [market.id for market in markets if self._is_tradable(market)], "msg": None}

    def depth(self, call: Call) -> Any:
        """``{"lastUpdateId":...,"bids":[["45995.47","10.337165"]],"asks":[...],"timestamp":...}``."""
        book = self.book(self.market(call.parameters))
        limit = min(whole(call.parameters, "limit", bad) or 100, 5_000)
        return {
            "lastUpdateId": 20_453_289_489 + book.updates,
            "bids": level_texts(book.depth("BUY", limit)),
            "asks": level_texts(book.depth("SELL", limit)),
            "timestamp": self.exchange.server_time() // MS,
        }

    def _recent(self, call: Call) -> list[Trade]:
        limit = min(whole(call.parameters, "limit", bad) or 500, 1_000)
        trades = list(self.book(self.market(call.parameters)).recent)[-limit:]
        return trades[::-1]

    def trades(self, call: Call) -> Any:
        """The newest first: ``{"id":null,"price":"40798.94","qty":"0.000508","quoteQty":"0","isBuyerMaker":true}``."""
        return [
            {
                "id": None,
                "price": trimmed(trade.price),
                "qty": trimmed(trade.quantity),
                "quoteQty": trimmed(trade.quote),
                "time": trade.at // MS,
                "isBuyerMaker": (trade.order.side == "BUY") == trade.maker,
                "isBestMatch": True,
                "tradeType": "BID" if (trade.order.side == "BUY") != trade.maker else "ASK",
            }
            for trade in self._recent(call)
        ]

    def agg_trades(self, call: Call) -> Any:
        """``{"a":null,"f":null,"l":null,"p":"73238.7","q":"0.000112","T":1710327661000,"m":false,"M":true}``."""
        return [
            {
                "a": None,
                "f": None,
                "l": None,
                "p": trimmed(trade.price),
                "q": trimmed(trade.quantity),
                "T": trade.at // MS,
                "m": (trade.order.side == "BUY") == trade.maker,
                "M": True,
            }
            for trade in self._recent(call)
        ]

    def klines(self, call: Call) -> Any:
        """Rows of ``[1710327600000,"73260.0","73442.95","73238.69","73414.21","49.560236",1710331200000,"3633.4"]``."""
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
            min(whole(call.parameters, "limit", bad) or 500, 500),
        )
        return [
            [
                bar.start // MS,
                trimmed(bar.open),
                trimmed(bar.high),
                trimmed(bar.low),
                trimmed(bar.close),
                trimmed(bar.volume),
                (bar.start + interval) // MS,
                trimmed(bar.turnover),
            ]
            for bar in bars
        ]

    def ticker_day(self, call: Call) -> Any:
        """``/ticker/24hr`` as captured in 2024; ``priceChangePercent`` is a fraction there ("0.0173")."""
        return self.per_market(call, self._day)

    def _day(self, book: Book) -> dict[str, Any]:
        now = self.exchange.server_time() // MS
        figures = day_figures(book, self.exchange.now(), 1)
        return {
            "symbol": book.market.id,
            **figures,
            "prevClosePrice": figures["openPrice"],
            **best_texts(book),
            "openTime": now - 86_400_000,
            "closeTime": now,
            "count": None,
        }

    def ticker_price(self, call: Call) -> Any:
        """``{"symbol":"BTCUSDT","price":"184.34"}``."""
        return self.per_market(call, lambda book: {"symbol": book.market.id, "price": trimmed(book.price)})

    def ticker_book(self, call: Call) -> Any:
        """``{"symbol":"AEUSDT","bidPrice":"0.11001","bidQty":"115.59","askPrice":"0.11127","askQty":"215.48"}``."""
        return self.per_market(call, lambda book: {"symbol": book.market.id, **best_texts(book)})

    def contracts(self, call: Call) -> Any:
        """``/api/v1/contract/detail``, which ccxt asks for with every list of markets: there are none here."""
        return {"success": True, "code": 0, "data": []}
