"""What the tests of the ccxt venue share: simulated exchanges, over the loopback and in a world's own time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, ParamSpec

import ccxt.pro  # noqa: F401 - once, and not in the middle of a world

from tickwork.engines.system_clock import SystemClock
from tickwork.market.bars import Quote
from tickwork.sim.exchange.api import VenueApi
from tickwork.sim.exchange.binance import BinanceApi
from tickwork.sim.exchange.faults import Fault, Faults
from tickwork.sim.exchange.http import Reply, Request, fields
from tickwork.sim.exchange.inprocess import CcxtSession, Wire
from tickwork.sim.exchange.markets import Market
from tickwork.sim.exchange.mexc import MexcApi, order_id
from tickwork.sim.exchange.orders import Ticket
from tickwork.sim.exchange.server import serving
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ApprovedOrder, OrderIntent, Side, TimeInForce
from tickwork.trading.reservations import Reservations
from tickwork.trading.venue import VenuePort
from tickwork.venues.ccxt.venue import CcxtVenue
from tickwork.venues.conformance import TROUBLES, Trouble

P = ParamSpec("P")

SPOT = "BTC/USDT"
KEY, SECRET = "the-key-0123456789abcdef", "the-secret-fedcba9876543210"
PRICE = Decimal(60_000)
VENUES: dict[str, type[VenueApi]] = {"mexc": MexcApi, "binance": BinanceApi}
START_NS = 1_790_000_000_000_000_000


def client_id(number: int) -> str:
    return f"{number:032x}"


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def made_api(kind: str, clock: Callable[[], int], *, cash: int = 100_000, **market: Any) -> VenueApi:
    """A flat account with cash, and one market."""
    cls = VENUES[kind]
    exchange = cls.exchange_of(clock)
    exchange.add_market(Market(base="BTC", quote="USDT", price=PRICE, min_notional=Decimal(5), **market))
    exchange.add_account("main", KEY, SECRET, {"USDT": cash})
    return cls(exchange, Faults())


def approved(
    side: Side = "buy",
    quantity: str | Decimal = "0.001",
    *,
    limit: str | Decimal | None = None,
    force: TimeInForce = "gtc",
    symbol: str = SPOT,
    price: Decimal = PRICE,
    retry_until: int | None = None,
) -> ApprovedOrder:
    """An order through a gate that refuses nothing."""
    vast = Decimal("1e15")
    rules = TradingRules(symbol=symbol, price_tick=Decimal("1e-12"), quantity_step=Decimal("1e-12"))
    intent = OrderIntent(
        account="main",
        owner="me",
        workflow="test",
        symbol=symbol,
        side=side,
        type="market" if limit is None else "limit",
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        time_in_force=force,
        reference_price=price,
        retry_until=retry_until,
    )
    limits = RiskLimits(max_order_notional=vast, max_position_notional=vast, price_band=Decimal(1_000))
    gate = RiskGate(limits, {symbol: rules}, shorts=True)
    quote = Quote(symbol=symbol, venue="test", time_ns=0, bid=price, ask=price)
    decision = gate.check(intent, ledger=Ledger(), reservations=Reservations(), quote=quote, now=0, halt=Halt())
    assert decision.approval is not None, decision.refusal
    return gate.seal(decision.approval)


class World:
    """An exchange and a venue on it in a time of their own: whoever sleeps moves it."""

    def __init__(self, kind: str, **market: Any) -> None:
        self.kind = kind
        self.now_ns = START_NS
        self.api = made_api(kind, self.clock, **market)
        self.exchange = self.api.exchange
        self.wire = Scripted(self)
        self.client: Any = None

    def clock(self) -> int:
        return self.now_ns

    async def _sleep_ns(self, ns: int) -> None:
        self.now_ns += ns

    async def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)

    def _prepare(self, client: Any) -> None:
        client.session, client.own_session = CcxtSession(self.wire), False
        client.milliseconds = lambda: self.now_ns // 1_000_000
        client.enableRateLimit = False
        client.timeout_on_exit = 0
        client.sleep = _no_sleep
        self.client = client

    def venue(self, **given: Any) -> CcxtVenue:
        options: dict[str, Any] = {"key": KEY, "secret": SECRET, "clock": self.clock, "sleep": self.sleep, **given}
        options.setdefault("prepare", self._prepare)
        return CcxtVenue(self.kind, "main", [SPOT], **options)

    def fault(self, kind: str, **fields: Any) -> None:
        self.api.faults.add(Fault(kind=kind, **fields))  # type: ignore[arg-type] # the name of a fault

    @property
    def orders(self) -> list[Any]:
        """What was really accepted."""
        self.exchange.settle()
        return self.exchange.orders


async def _no_sleep(_: float) -> None:
    return None


@asynccontextmanager
async def world(
    kind: str, market: dict[str, Any] | None = None, **given: Any
) -> AsyncIterator[tuple[World, CcxtVenue]]:
    """A world, and a venue that has been used once: what follows is about the next request."""
    made = World(kind, **(market or {}))
    venue = made.venue(**given)
    await venue.rules([SPOT])
    try:
        yield made, venue
    finally:
        await venue.close()


def _fast(client: Any) -> None:
    client.enableRateLimit = False


class Stage:
    """A venue over a real socket, and the market it trades on."""

    troubles = frozenset(TROUBLES)

    def __init__(self, kind: str, url: str, api: VenueApi, rules: TradingRules) -> None:
        self.account = "main"
        self.price = PRICE
        self.rules = rules
        self.kind = kind
        self._url = url
        self.api = api
        self.venue: VenuePort = self._open()

    def _open(self) -> CcxtVenue:
        return CcxtVenue(
            self.kind,
            "main",
            [SPOT],
            key=KEY,
            secret=SECRET,
            clock=SystemClock().now,
            url=self._url,
            prepare=_fast,
        )

    @property
    def _market(self) -> Market:
        return self.api.exchange.markets["BTCUSDT"]

    async def trade_at(self, price: Decimal) -> None:
        self.price = price
        self.api.exchange.move(SPOT, price)

    async def reopen(self) -> None:
        await self.venue.close()
        self.venue = self._open()

    async def trade_part(self, price: Decimal, quantity: Decimal) -> None:
        for order in list(self.api.exchange.orders):
            if order.is_open and quantity > 0:
                part = min(quantity, order.remaining)
                self.api.exchange.fill(order, part)
                quantity -= part

    async def thin(self, quantity: Decimal) -> None:
        self._market.levels, self._market.level_quantity, self._market.refills = 1, quantity, False
        self.price -= self._market.price_tick * self._market.level_ticks  # so that the maker's offer is at the price
        self.api.exchange.move(SPOT, self.price)
        self.price += self._market.price_tick * self._market.level_ticks

    async def foreign(self, side: Side, quantity: Decimal, limit: Decimal) -> str:
        exchange = self.api.exchange
        ticket = Ticket(
            market=self._market, side="BUY" if side == "buy" else "SELL", type="LIMIT", quantity=quantity, price=limit
        )
        order = exchange.submit(exchange.accounts["main"], ticket)
        return order_id(order) if isinstance(self.api, MexcApi) else str(order.number)

    async def strike(self, trouble: Trouble) -> None:
        faults: dict[Trouble, Fault] = {
            "lost_request": Fault(kind="drop_before", on="*"),
            "lost_answer": Fault(kind="drop_after", on="*"),
            "nonsense": Fault(kind="nonsense", on="*"),
            "turned_away": Fault(kind="forbidden", on="*"),
            "lagging": Fault(kind="lag", seconds=1e5),
        }
        if trouble == "refused":
            self._market.sides = ("SELL",)
        elif trouble == "not_yet":
            self._market.status = "paused"
        else:
            self.api.faults.add(faults[trouble])

    async def heal(self) -> None:
        self.api.faults.clear()
        self._market.sides, self._market.status = ("BUY", "SELL"), "online"
        for order in self.api.exchange.orders:
            order.hidden = None


@asynccontextmanager
async def stage(kind: str) -> AsyncIterator[Stage]:
    """A fresh stage over the loopback. Enough money for ten small orders, and not for a million."""
    rules = TradingRules(
        symbol=SPOT,
        price_tick=Decimal("0.01"),
        quantity_step=Decimal("0.00001"),
        min_notional=Decimal(5),
        # MEXC has one number for the least quantity and the step
        min_quantity=Decimal("0.00001" if kind == "mexc" else "0.0001"),
        max_quantity=Decimal(9_000),
    )
    venue = "mexc" if kind == "mexc" else "binance"
    api = made_api(
        venue,
        SystemClock().now,
        cash=10_000,
        quantity_step=rules.quantity_step,
        min_quantity=rules.min_quantity,
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
    )
    async with serving(api) as server:
        made = Stage(kind, server.url, api, rules)
        try:
            yield made
        finally:
            await made.venue.close()


class Scripted(Wire):
    """A wire on which some requests are answered by the test."""

    def __init__(self, inner: World) -> None:
        super().__init__(inner.api, inner._sleep_ns, latency=2_000_000)
        self.answers: dict[tuple[str, str], list[Reply]] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """The next such requests are answered so; the last answer stays."""
        self.answers[method, path] = list(replies)

    async def request(self, request: Request, timeout: int | None = None) -> Reply:
        given = {**fields(request.body), **fields(request.query)}
        self.asked.append((request.method, request.path, given))
        replies = self.answers.get((request.method, request.path))
        if replies:
            return replies.pop(0) if len(replies) > 1 else replies[0]
        return await super().request(request, timeout)

    def count(self, method: str, path: str = "/api/v3/order") -> int:
        """How often it was asked."""
        return sum((asked, at) == (method, path) for asked, at, _ in self.asked)
