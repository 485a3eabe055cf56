"""Stages of the paper venue: on bars, on quotes, and behind a wire that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec.structs import replace as changed

from tests.trading.support import SPOT, START, bar
from tickwork.errors import NotSent, NotYet, Rejected, Unknown
from tickwork.market.bars import Quote
from tickwork.outcome import Found, NotFound
from tickwork.trading.matching import LIVE_LIKE, Depth, FillModel, Level, TradingRules
from tickwork.trading.orders import Ack, ApprovedOrder, Fill, Order, Side
from tickwork.trading.venue import Balance, VenuePort
from tickwork.venues.conformance import TROUBLES, Trouble, approve
from tickwork.venues.paper import PaperVenue

RULES = TradingRules(symbol=SPOT, price_tick=Decimal("0.01"), quantity_step=Decimal("0.0001"), min_notional=Decimal(5))
BOUNDED = replace(RULES, min_quantity=Decimal("0.2"), max_quantity=Decimal(50))
VAST = Decimal("1e9")
SECOND = 1_000_000_000

Make = Callable[..., PaperVenue]


class BarStage:
    """A paper venue whose market trades one bar at a time; orders get its whole volume, and no more."""

    rules = BOUNDED
    venue: VenuePort

    def __init__(self, path: Path, make: Make = PaperVenue) -> None:
        self.account = "main"
        self.price = Decimal(100)
        self.paper: Any = None
        self._path = path
        self._make = make
        self._index = 0
        self._volume = VAST
        self._open()

    def _given(self) -> dict[str, Any]:
        return {"fills": FillModel(volume_share=Decimal(1))}

    def _open(self) -> None:
        given = {"rules": [self.rules], "cash": {"USDT": Decimal(10_000)}, "inline": True, **self._given()}
        self.venue = self.paper = self._make(self._path, **given)

    async def trade_at(self, price: Decimal) -> None:
        self.price = price
        self._trade(price, self._volume)

    async def trade_part(self, price: Decimal, quantity: Decimal) -> None:
        self.price = price
        self._trade(price, quantity)

    async def thin(self, quantity: Decimal) -> None:
        self._volume = quantity

    async def foreign(self, side: Side, quantity: Decimal, limit: Decimal) -> str:
        order = approve(self, side, quantity, limit=limit)
        return (await PaperVenue.submit(self.paper, order, "f" * 32)).venue_order_id

    def _trade(self, price: Decimal, volume: Decimal) -> None:
        self.paper.on_bar(changed(bar(price, index=self._index), volume=volume), self._index)
        self._index += 1

    async def reopen(self) -> None:
        self.paper.shut()
        self._open()

    def close(self) -> None:
        self.paper.shut()


class QuoteStage(BarStage):
    """The same on quotes, as paper trading on live prices is: with impact and delays."""

    rules = RULES

    def __init__(self, path: Path, make: Make = PaperVenue) -> None:
        self.time = START
        super().__init__(path, make)

    def _given(self) -> dict[str, Any]:
        return {"fills": LIVE_LIKE, "clock": lambda: self.time}

    def _trade(self, price: Decimal, volume: Decimal) -> None:
        self.time += 2 * SECOND
        level = (Level(price, volume),)
        quote = Quote(symbol=SPOT, venue="live", time_ns=self.time, bid=price, ask=price)
        self.paper.on_quote(quote, Depth(bids=level, asks=level))


class Wired(PaperVenue):
    """A paper venue behind a wire that can be made to fail, and an adapter that says truly what then is known."""

    trouble: Trouble | None = None
    unseen: frozenset[str] = frozenset()

    def _before(self) -> None:
        if self.trouble == "lost_request":
            raise ConnectionResetError("the wire was cut")
        if self.trouble == "turned_away":
            raise NotSent("429")

    def _after(self) -> None:
        if self.trouble == "lost_answer":
            raise TimeoutError("no answer")
        if self.trouble == "nonsense":
            raise Unknown("<html>")

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        self._before()
        if self.trouble == "refused":
            raise Rejected(self.name, "no such orders here")
        if self.trouble == "not_yet":
            raise NotYet(self.name, "it does not trade yet")
        ack = await super().submit(order, key)
        if self.trouble == "lagging":
            self.unseen |= {key}
        self._after()
        return ack

    async def find(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        self._before()
        found = await super().find(key, symbol)
        self._after()
        return NotFound() if key in self.unseen else found

    async def cancel(self, key: str, symbol: str = "") -> Order:
        self._before()
        order = await super().cancel(key, symbol)
        self._after()
        return order

    async def open_orders(self) -> list[Order]:
        self._before()
        orders = await super().open_orders()
        self._after()
        return orders

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        self._before()
        fills = await super().fills(symbol, since)
        self._after()
        return fills

    async def balances(self) -> dict[str, Balance]:
        self._before()
        balances = await super().balances()
        self._after()
        return balances


class WiredStage(BarStage):
    """On bars, behind a wire that fails on demand."""

    troubles = frozenset(TROUBLES)

    def __init__(self, path: Path, make: Make = Wired) -> None:
        super().__init__(path, make)

    async def strike(self, trouble: Trouble) -> None:
        self.paper.trouble = trouble

    async def heal(self) -> None:
        self.paper.trouble = None
        self.paper.unseen = frozenset()
