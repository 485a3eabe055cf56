"""The conformance suite's stage: a ``HyperliquidVenue`` and the venue it talks to over the loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from tests.venues.hyperliquid.server import AGENT_KEY, MASTER, Hyperliquid
from tests.venues.loopback import serving
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Side
from tickwork.trading.venue import VenuePort
from tickwork.venues.conformance import TROUBLES, Trouble
from tickwork.venues.hyperliquid.venue import HyperliquidVenue

SYMBOL = "BTC/USDC:USDC"


class HyperliquidStage:
    """An account there, seen through the adapter."""

    account = "main"
    troubles: frozenset[Trouble] = frozenset(TROUBLES)
    rules: TradingRules
    venue: VenuePort

    def __init__(self, exchange: Hyperliquid, host: str, **given: Any) -> None:
        self.exchange = exchange
        self.host = host
        self.ahead_ms = 0
        """Of the exchange's clock."""
        self._given = given
        self.price = exchange.mids["BTC"]
        self.venue = self._open()

    def _open(self) -> HyperliquidVenue:
        given = {"key": AGENT_KEY, "address": MASTER, **self._given}
        return HyperliquidVenue(given.pop("key"), clock=self.clock, host=self.host, **given)

    def clock(self) -> int:
        return (self.exchange.now_ms + self.ahead_ms) * 1_000_000

    async def trade_at(self, price: Decimal) -> None:
        self.price = price
        self.exchange.trade_at("BTC", price)

    async def trade_part(self, price: Decimal, quantity: Decimal) -> None:
        self.price = price
        self.exchange.trade_part("BTC", price, quantity)

    async def thin(self, quantity: Decimal) -> None:
        self.exchange.partial = quantity

    async def foreign(self, side: Side, quantity: Decimal, limit: Decimal) -> str:
        terms = {"a": 0, "b": side == "buy", "p": str(limit), "s": str(quantity), "r": False}
        status = self.exchange._order({**terms, "t": {"limit": {"tif": "Gtc"}}})
        return str(status["resting"]["oid"])

    async def strike(self, trouble: Trouble) -> None:
        line = self.exchange.line

        def any_but_preparing(asked: str) -> bool:
            """An order has the leverage set first; what goes wrong then is surely not sent."""
            return "activeAssetData" not in asked and "updateLeverage" not in asked

        def ordering(asked: str) -> bool:
            return '"order"' in asked

        match trouble:
            case "lost_request":
                line.strike(any_but_preparing, before=True, drop=True)
            case "lost_answer":
                line.strike(any_but_preparing, drop=True)
            case "nonsense":
                line.strike(any_but_preparing, status=200, body="<html>maintenance</html>", kind="text/html")
            case "turned_away":
                line.strike(any_but_preparing, before=True, status=429, body="null")
            case "refused" | "not_yet":
                words = "Trading is halted." if trouble == "not_yet" else "Insufficient margin to place order."
                data = {"statuses": [{"error": words}]}
                body = json.dumps({"status": "ok", "response": {"type": "order", "data": data}})
                line.strike(ordering, before=True, status=200, body=body)
            case _:
                self.exchange.shown = len(self.exchange.orders)

    async def heal(self) -> None:
        self.exchange.line.struck = self.exchange.shown = None

    async def reopen(self) -> None:
        await self.venue.close()
        self.venue = self._open()


@asynccontextmanager
async def staged(**given: Any) -> AsyncIterator[HyperliquidStage]:
    """A fresh stage."""
    exchange = Hyperliquid()
    async with serving(exchange.handle) as host:
        stage = HyperliquidStage(exchange, host, **given)
        try:
            stage.rules = (await stage.venue.rules([SYMBOL]))[SYMBOL]
            yield stage
        finally:
            exchange.line.held.set()
            await stage.venue.close()
