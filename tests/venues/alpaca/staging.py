"""The conformance suite's stage: an ``AlpacaVenue`` and the broker it talks to over the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from tests.venues.alpaca.server import KEY, SECRET, Alpaca
from tests.venues.loopback import serving
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Side
from tickwork.trading.venue import VenuePort
from tickwork.values import timestamp_ns
from tickwork.venues.alpaca.venue import AlpacaVenue
from tickwork.venues.conformance import TROUBLES, Trouble


class AlpacaStage:
    """An account at the broker, seen through the adapter."""

    account = "main"
    troubles: frozenset[Trouble] = frozenset(TROUBLES) - {"not_yet"}
    rules: TradingRules
    venue: VenuePort

    def __init__(self, broker: Alpaca, host: str, symbol: str, **given: Any) -> None:
        self.broker = broker
        self.symbol = symbol
        self._host = host
        self._given = given
        self.price = broker.price[symbol]
        self.venue = self._open()

    def _open(self) -> AlpacaVenue:
        given = {"key": KEY, "secret": SECRET, **self._given}
        return AlpacaVenue(given.pop("key"), given.pop("secret"), clock=self.clock, host=self._host, **given)

    def clock(self) -> int:
        return timestamp_ns(self.broker.now)

    async def trade_at(self, price: Decimal) -> None:
        self.price = price
        self.broker.trade_at(self.symbol, price)

    async def trade_part(self, price: Decimal, quantity: Decimal) -> None:
        self.price = price
        self.broker.trade_part(self.symbol, price, quantity)

    async def thin(self, quantity: Decimal) -> None:
        self.broker.depth = quantity

    async def foreign(self, side: Side, quantity: Decimal, limit: Decimal) -> str:
        terms = {"symbol": self.symbol, "qty": str(quantity), "side": side, "type": "limit", "limit_price": str(limit)}
        row = self.broker._submit({**terms, "time_in_force": "gtc", "client_order_id": "the dashboard's"})
        return str(row["id"])

    async def strike(self, trouble: Trouble) -> None:
        line = self.broker.line
        match trouble:
            case "lost_request":
                line.strike(lambda asked: True, before=True, drop=True)
            case "lost_answer":
                line.strike(lambda asked: True, drop=True)
            case "nonsense":
                line.strike(lambda asked: True, status=200, body="<html>maintenance</html>", kind="text/html")
            case "turned_away":
                line.strike(lambda asked: True, before=True, status=429, body='{"message":"too many requests."}')
            case "refused":
                no = '{"code":40310000,"message":"insufficient buying power"}'
                line.strike(lambda asked: asked.startswith("POST"), before=True, status=403, body=no)
            case _:
                self.broker.shown = len(self.broker.orders)

    async def heal(self) -> None:
        self.broker.line.struck = self.broker.shown = None

    async def reopen(self) -> None:
        await self.venue.close()
        self.venue = self._open()


@asynccontextmanager
async def staged(symbol: str = "AAPL", **given: Any) -> AsyncIterator[AlpacaStage]:
    """A fresh stage."""
    broker = Alpaca()
    async with serving(broker.handle) as host:
        stage = AlpacaStage(broker, host, symbol, **given)
        try:
            stage.rules = (await stage.venue.rules([symbol]))[symbol] if "key" not in given else None  # type: ignore[assignment]
            yield stage
        finally:
            broker.line.held.set()
            await stage.venue.close()
