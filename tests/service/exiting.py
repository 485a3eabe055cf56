"""A house with one account on paper, exits, and an engine that can be killed: what the tests of exits share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tests.engine.support import crash
from tests.laws.probe import _DyingWriter
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Alert, Event
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded import runs as runs_module
from tickwork.errors import NotSent, Rejected
from tickwork.market.bars import Bar, Quote
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.recovery import recall
from tickwork.service.exits import ExitDoor, Exits
from tickwork.service.exits_events import (
    EXIT_VIEWS,
    ExitClaimed,
    ExitFilled,
    ExitPlaced,
    ExitPlanClosed,
    ExitPlanOpened,
    ExitReleased,
    ExitStopsMoved,
)
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled, holdings, place
from tickwork.trading.desk import Desk
from tickwork.trading.exits import read_rules
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import Costs, TradingRules
from tickwork.trading.orders import Ack, ApprovedOrder, OrderIntent
from tickwork.trading.venue import Capabilities
from tickwork.values import from_ns, plain
from tickwork.venues.paper import PaperVenue

D = Decimal
BTC = "BTC/USDT"
SWAP = "BTC/USDT:USDT"
SECOND = 10**9
START = 1_577_836_800_000_000_000
CASH = {"USDT": D(100_000)}
RULES = {
    name: TradingRules(symbol=name, price_tick=D("0.01"), quantity_step=D("0.01"), min_notional=D(1))
    for name in (BTC, SWAP)
}
SMALL = "ETH/USDT"
"""Takes no order above 5."""
RULES[SMALL] = replace(RULES[BTC], symbol=SMALL, max_quantity=D(5))
EVENTS: tuple[type[Event], ...] = (
    Alert, ExitClaimed, ExitFilled, ExitPlaced, ExitPlanClosed, ExitPlanOpened, ExitReleased, ExitStopsMoved,
    OrderAccepted, OrderEnded, OrderFilled,
)  # fmt: skip


class Bought(Event, name="test/bought"):
    """Asks for a position."""

    quantity: str
    rules: dict[str, Any]
    symbol: str = BTC
    short: bool = False


class Moody:
    """The paper venue; the next submissions do what they are told to."""

    def __init__(self, inner: PaperVenue, *moods: str, market: bool = True) -> None:
        self.inner = inner
        self.moods = list(moods)
        self.market = market
        self.sent: list[tuple[str, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def capabilities(self) -> Capabilities:
        found = self.inner.capabilities
        return (
            found
            if self.market
            else replace(found, order_types=frozenset({"limit"}), times_in_force=frozenset({"gtc"}))
        )

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        if order.side == "buy":
            return await self.inner.submit(order, key)
        self.sent.append((order.type, str(order.limit_price)))
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "reject":
            raise Rejected("paper", "no market orders in a new symbol")
        if mood == "unsent":
            raise NotSent("no route")
        ack = await self.inner.submit(order, key)
        if mood == "lost":
            raise ConnectionError("the answer was lost")
        return ack


class Finely(Engine):
    """An engine that takes one turn at a time, each a batch of its own, and may die after some of these."""

    def _connect(self) -> None:
        super()._connect()
        pump, self.died = self._crank.pump, asyncio.Event()

        def pump_once() -> None:
            turns, runs_module.TURNS = runs_module.TURNS, 1
            try:
                pump()
            finally:
                runs_module.TURNS = turns
            self._log.flush_now()

        self._crank.pump = pump_once  # type: ignore[method-assign]

    def die_after(self, batches: int) -> None:
        """From now on so many batches more reach the disk."""
        log = self._log
        assert log.writer is not None
        log.writer = _DyingWriter(log.writer, batches, self.died)


class House:
    """The venue and the clock outlive the engine."""

    def __init__(self, wrap: Callable[[PaperVenue], Any] = lambda venue: venue, **options: Any) -> None:
        self.clock = VirtualClock(START)
        self.paper = PaperVenue(rules=RULES.values(), cash=CASH, costs=Costs(slippage=D(0)))
        self.venue = wrap(self.paper)
        self.memory: Memory | str = "memory:"
        self.bars: dict[str, int] = {}
        self.quote: Quote | None = None
        self.options = options

    async def open(self) -> None:
        self.engine = Finely(self.memory, views=[*EXIT_VIEWS, holdings], clock=self.clock, seed=1)
        await self.engine.open()
        gate = RiskGate(RiskLimits(max_order_notional=D(50_000), max_position_notional=D(50_000)), RULES)
        accounts: list[OpenAccount] = []
        desk = Desk(
            "main",
            venue=self.venue,
            gate=gate,
            ledger=Ledger(CASH),
            quotes=self._quote,
            clock=self.clock.now,
            halt=Halt(),
            tell=lambda news: accounts[0].told(news),
        )
        past = recall(self.engine.queries, "main")
        self.account = OpenAccount(
            owner="me",
            post=self.engine.post,
            desk=desk,
            venue=self.venue,
            currency="USDT",
            quotes=self._quote,
            clock=self.clock.now,
            holders=past.holders,
        )
        accounts.append(self.account)
        self.account.restore(past)
        door = ExitDoor(
            desk=desk,
            capabilities=self.venue.capabilities,
            rules=RULES,
            quotes=self._quote,
            wake=self.account.wake,
        )
        self.exits = Exits({"main": door}, **self.options)
        await self.engine.add(self._buyer(desk))
        await self.exits.open(self.engine)

    def _quote(self, symbol: str) -> Quote | None:
        return self.quote

    def _buyer(self, desk: Desk) -> Workflow:
        @workflow("buyer", on=Bought)
        async def buyer(run: Run, wanted: Bought) -> str:
            """Takes a position, and protects it once it is there."""
            intent = OrderIntent(
                account="main",
                owner=run.owner,
                workflow="buyer",
                symbol=wanted.symbol,
                side="sell" if wanted.short else "buy",
                quantity=D(wanted.quantity),
                reference_price=D(100),
                reference_time=run.now_ns,
                reference_source="test",
            )
            ack = (await place(run, desk, intent)).require()
            fill = await run.wait_for(OrderFilled, {"client_order_id": ack.client_order_id})
            assert fill is not None
            return await self.exits.protect(
                run,
                read_rules(wanted.rules),
                account="main",
                venue="test",
                workflow="buyer",
                symbol=wanted.symbol,
                quantity=fill.quantity,
                entry_price=fill.price,
                side="short" if wanted.short else "long",
            )

        return buyer

    def kill(self, *, flushed: bool) -> None:
        if flushed:
            self.engine._log.flush_now()
        self.memory = crash(self.engine)

    # -- the market -----------------------------------------------------------------------------------------------

    async def price(self, price: str | int, *, number: int | None = None, symbol: str = BTC) -> None:
        """A second passes; what rests trades at the price, then everybody hears of it."""
        number = self.bars.get(symbol, -1) + 1 if number is None else number
        at = START + (number + 1) * SECOND
        await self.engine.until(from_ns(max(at, self.clock.now())))
        self.exits.on_time()
        one = D(price)
        if number > self.bars.get(symbol, -1):
            self.paper.on_bar(Bar(symbol, "test", at - SECOND, SECOND, one, one, one, one, D(1)), number)
            self.bars[symbol] = number
        self.quote = Quote(symbol, "test", at, one, one)
        await self.engine.idle()
        await self.account.look()
        await self.engine.idle()
        self.exits.on_quote(self.quote)
        await self.engine.idle()

    async def prices(self, *prices: str | int, symbol: str = BTC) -> None:
        for price in prices:
            await self.price(price, symbol=symbol)

    # -- what is to be seen ---------------------------------------------------------------------------------------

    def events(self, kind: type[Event]) -> list[Any]:
        self.engine._log.flush_now()
        return [kind.from_wire(bytes(one.record.value)) for one in self.engine.queries.events(kind.event_name)]

    async def sales(self) -> list[tuple[str, str]]:
        """Quantity and price of each fill at the venue but the first, which opened the position."""
        fills = (await self.paper.numbered(0))[1:]
        return [(plain(fill.quantity.normalize()), plain(fill.price.normalize())) for fill in fills]

    def reasons(self) -> list[str]:
        return [event.claim.reason for event in self.events(ExitClaimed)]


async def holding(house: House, quantity: str = "1", symbol: str = BTC, short: bool = False, **rules: Any) -> str:
    """Open the house and take a position at 100; the plan's id."""
    await house.open()
    house.quote = Quote(symbol, "test", START, D(100), D(100))
    await house.engine.emit(Bought(quantity=quantity, rules=rules, symbol=symbol, short=short))
    await house.prices(100, 100, symbol=symbol)
    (state,) = house.exits.plans("main")
    return state.plan.id
