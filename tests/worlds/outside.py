"""The exchange of a world and the wire to it; both go on when the process dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Protocol

from tests.worlds.plan import CASH, PRICES, SECOND, START, SYMBOLS, TICKS, Plan
from tickwork.market.bars import Quote
from tickwork.sim.exchange import (
    BinanceApi,
    CcxtSession,
    Dropped,
    Exchange,
    Faults,
    Market,
    MexcApi,
    Order,
    Outcome,
    Reply,
    Request,
    Trade,
    VenueApi,
    Wire,
)
from tickwork.values import EXACT, rounded_down

KEY, SECRET = "the-key-0123456789abcdef", "the-secret-fedcba9876543210"
ZERO = Decimal(0)
_STEPS = {"BTC/USDT": Decimal("0.00001"), "XYZ/USDT": Decimal("0.01")}
_APIS: dict[str, type[VenueApi]] = {"mexc": MexcApi, "binance": BinanceApi}


class Listener(Protocol):
    """Sees what the exchange does, at once."""

    def accepted(self, order: Order) -> None:
        """The exchange took an order."""
        ...

    def traded(self, trade: Trade) -> None:
        """One of its orders traded."""
        ...

    def sent(self, request: Request) -> int:
        """A request was sent; its number."""
        ...

    def requested(self, request: Request) -> None:
        """It arrived."""
        ...

    def arrived(self, number: int) -> bool:
        """Has it?"""
        ...

    def answered(self, number: int, what: str) -> None:
        """And that is what the process heard of it."""
        ...


class Outside:
    """What a world's process talks to."""

    def __init__(self, plan: Plan, clock: Callable[[], int]) -> None:
        self.plan = plan
        self._clock = clock
        cls = _APIS[plan.venue]
        self.exchange: Exchange = cls.exchange_of(clock, duplicates=plan.duplicates)
        for symbol in SYMBOLS:
            self.exchange.add_market(_market(symbol, plan.market[symbol]))
        self.exchange.add_account("main", KEY, SECRET, {"USDT": CASH})
        self.faults = Faults(f"{plan.seed} faults", plan.faults)
        self.api = cls(self.exchange, self.faults)
        self.feed = "well"
        self.lowest = dict(PRICES)
        """The lowest ask that was told of each symbol."""
        self.listener: Listener | None = None
        self._listen()

    def _listen(self) -> None:
        """Tell of what is accepted and traded, whichever way it comes about."""
        accept, note = self.exchange._accept, self.exchange._note

        def accepted(order: Order) -> None:
            accept(order)
            if self.listener is not None:
                self.listener.accepted(order)

        def noted(trade: Trade, *, public: bool) -> None:
            note(trade, public=public)
            if self.listener is not None:
                self.listener.traded(trade)

        self.exchange._accept = accepted  # type: ignore[method-assign]
        self.exchange._note = noted  # type: ignore[method-assign]

    def quote(self, symbol: str) -> Quote | None:
        """What the feed says."""
        if self.feed == "gone":
            return None
        book = self.exchange.book(symbol)
        bid, ask = book.best("BUY"), book.best("SELL")
        if bid is None or ask is None:
            return None
        now = self._clock() - (60 * SECOND if self.feed == "old" else 0)
        self.lowest[symbol] = min(self.lowest[symbol], ask[0])
        return Quote(symbol=symbol, venue="feed", time_ns=now, bid=bid[0], ask=ask[0])

    def prepare(self, client: Any, wire: Wire) -> None:
        """Put a ccxt client into the world: its wire and its time."""
        client.session, client.own_session = CcxtSession(wire), False
        client.ssl_context = False
        client.milliseconds = lambda: self._clock() // 1_000_000
        client.enableRateLimit = False
        client.timeout_on_exit = 0


def _market(symbol: str, changes: dict[str, Any]) -> Market:
    price, step = PRICES[symbol], _STEPS[symbol]
    base, quote = symbol.split("/")
    return Market(
        base=base,
        quote=quote,
        price=price,
        price_tick=TICKS[symbol],
        quantity_step=step,
        min_quantity=step,
        min_notional=Decimal(5),
        min_notional_market=Decimal(5),
        max_quantity=Decimal(1_000_000),
        taker_fee=Decimal("0.0005"),
        maker_fee=Decimal("0.0002"),
        levels=changes["levels"],
        level_quantity=rounded_down(changes["level_dollars"] / price, step),
        refills=changes["refills"],
        api_market_orders=changes.get("api_market_orders", True),
        opens_at=START + changes["opens_s"] * SECOND if "opens_s" in changes else 0,
    )


class _Gate:
    """The exchange as one process's requests reach it."""

    def __init__(self, outside: Outside, cut: Callable[[str], bool]) -> None:
        self._outside = outside
        self._cut = cut

    def handle(self, request: Request) -> Outcome:
        """See ``VenueApi.handle``; the process may die before or after."""
        listener = self._outside.listener
        assert listener is not None
        listener.requested(request)
        if self._cut("before"):
            return Dropped()
        outcome = self._outside.api.handle(request)
        self._cut("after")
        return outcome


class Line(Wire):
    """The wire of one process. ``cut`` is asked before and after the exchange sees a request: does it die now?"""

    def __init__(self, outside: Outside, cut: Callable[[str], bool]) -> None:
        super().__init__(_Gate(outside, cut), _sleep, outside.plan.latency)  # type: ignore[arg-type] # handles requests
        self._outside = outside
        self.dead = False

    async def request(self, request: Request, timeout: int | None = None) -> Reply:
        """See ``Wire.request``. What a process sent just before it died may arrive all the same."""
        if self.dead:
            await asyncio.get_running_loop().create_future()
        listener = self._outside.listener
        assert listener is not None
        sent = listener.sent(request)
        try:
            reply = await super().request(request, timeout)
        except asyncio.CancelledError:
            listener.answered(sent, "nobody hears it any more")
            if self._outside.plan.halves and self.latency and not listener.arrived(sent):
                loop = asyncio.get_running_loop()
                loop.call_later(self.latency / 2 / SECOND, self._outside.api.handle, request)
            raise
        except Exception as error:
            listener.answered(sent, f"{type(error).__name__}: {error}")
            raise
        listener.answered(sent, f"{reply.status} {reply.body.decode(errors='replace')}")
        return reply


async def _sleep(ns: int) -> None:
    await asyncio.sleep(ns / SECOND)


class Books:
    """What is true at the exchange, kept as it happens: positions and orders that can still trade, by symbol."""

    def __init__(self) -> None:
        self.held: dict[str, Decimal] = {}
        self.buying: dict[int, Order] = {}

    def accepted(self, order: Order) -> None:
        """A new order; a market order too, until it has traded."""
        if order.side == "BUY":
            self.buying[order.number] = order

    def traded(self, trade: Trade) -> None:
        """A fill."""
        symbol = trade.order.market.symbol
        signed = trade.quantity if trade.order.side == "BUY" else EXACT.minus(trade.quantity)
        self.held[symbol] = EXACT.add(self.held.get(symbol, ZERO), signed)

    def worst(self, symbol: str) -> Decimal:
        """Base units that are held or may still be bought."""
        worst = self.held.get(symbol, ZERO)
        for number, order in list(self.buying.items()):
            if not order.is_open:
                del self.buying[number]
            elif order.market.symbol == symbol:
                worst = EXACT.add(worst, order.remaining)
        return worst
