"""An account on a paper venue behind a wire that plays tricks, on an engine in memory that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from decimal import Decimal
from typing import Any

from tests.engine.support import crash, records
from tests.trading.support import RULES, SPOT, SWAP, D, bar, gate, quote
from tickwork.core.clock import Clock, VirtualClock
from tickwork.core.event import Event, read_event
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.outcome import Found, NotFound
from tickwork.service.flattening import Flattening, flatten_workflow
from tickwork.service.guarded import GuardedAccount
from tickwork.service.halting import Halting, halt_lines, halt_workflow, halts_on, restore
from tickwork.service.reconcile_events import AccountAdjusted, adjustments
from tickwork.service.reconciling import Reconciler, Reconciling, reconcile_workflow
from tickwork.service.sweeping import SweepPlan
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled, holdings, place
from tickwork.trading.adoptions import Adoptions, Policy
from tickwork.trading.desk import Desk, OpenIntent
from tickwork.trading.gate import RiskGate
from tickwork.trading.halt import Halts
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ZERO, Ack, ApprovedOrder, Fill, Order, OrderIntent
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import from_ns
from tickwork.venues.paper import PaperVenue

CASH = {"USDT": D(10_000)}
NAME = "main"


class Wire:
    """The paper venue behind a wire: calls can fail before or after they take hold, and lists can lie."""

    def __init__(self, paper: PaperVenue, capabilities: Capabilities | None = None) -> None:
        self.paper = paper
        self.declared = capabilities
        self.faults: dict[str, list[str]] = {}
        """Method -> what its next calls do: ``before`` and ``after`` fail, ``""`` does not."""
        self.down = False
        self.calls: list[str] = []
        self.foreign: list[Order] = []
        self.hidden: set[str] = set()
        """Client ids that it shows nowhere."""
        self.lost_fills: set[str] = set()
        self.more_fills: list[Fill] = []
        self.more_balance: dict[str, Decimal] = {}
        self.on_submit: Callable[[], Awaitable[None]] | None = None
        """What happens while an order is on the wire."""
        self.meanwhile: Callable[[str], None] | None = None
        """What happens just before each call is answered."""

    @property
    def name(self) -> str:
        return self.paper.name

    @property
    def capabilities(self) -> Capabilities:
        return self.declared or self.paper.capabilities

    async def _do(self, method: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        self.calls.append(method)
        if self.meanwhile is not None:
            self.meanwhile(method)
        fault = self.faults[method].pop(0) if self.faults.get(method) else ""
        if self.down or fault == "before":
            raise ConnectionError(f"{method}: no answer")
        answer = await fn()
        if fault == "after":
            raise ConnectionError(f"{method}: the answer was lost")
        return answer

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        async def sent() -> Ack:
            if self.on_submit is not None:
                await self.on_submit()
            return await self.paper.submit(order, key)

        ack: Ack = await self._do("submit", sent)
        return ack

    async def rules(self, symbols: Collection[str] = ()) -> dict[str, TradingRules]:
        return await self.paper.rules(symbols)

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        if key in self.hidden:
            return NotFound()
        found: Found[Order] | NotFound = await self._do("find", lambda: self.paper.find(key))
        return found

    async def cancel(self, key: str, symbol: str) -> Order:
        for order in self.foreign:
            if order.client_order_id == key:
                self.foreign.remove(order)
                return order.ended("cancel", "")
        order_: Order = await self._do("cancel", lambda: self.paper.cancel(key))
        return order_

    async def fills(self, symbol: str, since: int) -> list[Fill]:
        async def listed() -> list[Fill]:
            found = [*await self.paper.fills(symbol, since), *(one for one in self.more_fills if one.symbol == symbol)]
            return [one for one in found if one.fill_id not in self.lost_fills]

        found: list[Fill] = await self._do("fills", listed)
        return found

    async def open_orders(self) -> list[Order]:
        async def listed() -> list[Order]:
            found = [*await self.paper.open_orders(), *self.foreign]
            return [order for order in found if order.client_order_id not in self.hidden]

        found: list[Order] = await self._do("open_orders", listed)
        return found

    async def balances(self) -> dict[str, Balance]:
        async def listed() -> dict[str, Balance]:
            found = dict(await self.paper.balances())
            for asset, amount in self.more_balance.items():
                before = found.get(asset, Balance(total=ZERO, held=ZERO))
                found[asset] = Balance(total=before.total + amount, held=before.held)
            return found

        found: dict[str, Balance] = await self._do("balances", listed)
        return found

    async def examine(self) -> VenueReport:
        return await self.paper.examine()

    def updates(self) -> AsyncIterator[Order | Fill]:
        return self.paper.updates()

    async def close(self) -> None:
        await self.paper.close()


def order(side: Any = "buy", quantity: str = "1", **fields: Any) -> OrderIntent:
    """A wish of the tests' workflow."""
    more: dict[str, Any] = {"reference_price": D(100), "account": NAME, "owner": "ann", "workflow": "trader"}
    more |= {"symbol": SPOT, **fields}
    if more.get("limit_price") is not None:
        more |= {"type": "limit", "limit_price": D(more["limit_price"])}
    return OrderIntent(side=side, quantity=D(quantity), **more)


class World:
    """The account, the engine and all that guards it."""

    def __init__(
        self, *, policy: Policy | None = None, plan: SweepPlan | None = None, clock: Clock | None = None, **paper: Any
    ) -> None:
        self.paper = PaperVenue(rules=RULES.values(), cash=CASH, **paper)
        self.wire = Wire(self.paper)
        self.memory: Memory | None = None
        self.policy, self.plan = policy, plan
        self.url, self.clock = "memory:", clock or VirtualClock()
        self.price = D(100)
        self.bars = 0
        self.accounts: dict[str, GuardedAccount] = {}
        self.every: str | None = None
        self.sent = 0
        """Submissions before what a test is about."""
        self.slept: Callable[[], None] = lambda: None

    async def open(self) -> None:
        queries = None if self.memory is None else Queries(Reader(self.memory.connection))
        self.halts = Halts()
        restore(self.halts, halts_on(queries))
        self.accounts.clear()
        self.whose: dict[str, str] = {}
        self.booked: list[Fill] = []
        ledger = Ledger(CASH)
        self.desk = Desk(
            NAME,
            venue=self.wire,
            gate=self._gate(),
            ledger=ledger,
            quotes=lambda symbol: quote(self.price, time_ns=self.clock.now(), symbol=symbol),
            clock=self.clock.now,
            halt=self.halts.of(NAME),
        )
        adoptions = Adoptions(NAME, self.wire.name, ledger)
        if queries is not None:
            self._restore(queries, adoptions)
        self.account = self.accounts[NAME] = GuardedAccount(
            name=NAME,
            owner="ann",
            currency="USDT",
            desk=self.desk,
            venue=self.wire,
            clock=self.clock.now,
            pull=self.pull,
            book=self.book,
            adoptions=adoptions,
            mark=lambda symbol: self.price if symbol in RULES else None,
            workflow_of=self.whose.get,
            fills_since=lambda since: [fill for fill in self.booked if fill.time >= since],
            symbols=(SPOT, SWAP),
            policy=self.policy or Policy(),
        )
        self.engine = Engine(
            self.memory or self.url, workflows=self._workflows(), views=[halt_lines, holdings], clock=self.clock
        )
        self.halting = Halting(self.engine, self.halts, self.accounts, self.clock.now)
        await self.engine.open()

    def _gate(self) -> RiskGate:
        return gate(max_quote_age="1000 days")

    def _workflows(self) -> list[Workflow]:
        @workflow("trader")
        async def trader(run: Run, wanted: OrderIntent) -> str:
            placement = await place(run, self.desk, wanted)
            if placement.ack is not None:
                self.whose[placement.ack.client_order_id] = "trader"
            return placement.outcome

        async def sleep(_: float) -> None:
            self.slept()

        self.trader = trader
        self.reconciler = Reconciler(self.accounts, lambda: self.halting, sleep=sleep)
        self.reconcile_flow = reconcile_workflow(self.reconciler, self.accounts, self.every)
        self.flatten_flow = flatten_workflow(self.accounts, self.halts)
        self.halt_flow = halt_workflow(self.accounts, self.plan)
        return [trader, self.halt_flow, self.flatten_flow, self.reconcile_flow]

    @property
    def flattening(self) -> Flattening:
        return Flattening(self.engine, self.flatten_flow, self.accounts)

    @property
    def reconciling(self) -> Reconciling:
        return Reconciling(self.engine, self.reconcile_flow, self.accounts)

    def _restore(self, queries: Queries, adoptions: Adoptions) -> None:
        orders: dict[str, Order] = {}
        fills: list[Fill] = []
        for entry in queries.events(OrderAccepted.event_name, OrderFilled.event_name, OrderEnded.event_name):
            event = read_event(entry.record.name, entry.record.version, bytes(entry.record.value))
            match event:
                case OrderAccepted():
                    self.whose[event.client_order_id] = event.workflow
                    orders[event.client_order_id] = Order(
                        venue=event.venue, client_order_id=event.client_order_id, venue_order_id=event.venue_order_id,
                        account=NAME, symbol=event.symbol, side=event.side, type=event.type, quantity=event.quantity,
                        limit_price=event.limit_price, reduce_only=event.reduce_only,
                    )  # fmt: skip
                case OrderFilled():
                    fills.append(event.fill())
                case OrderEnded():
                    orders.pop(event.client_order_id, None)
        self.booked = fills
        done = {entry.record.key for _, entry in queries.reader.tape() if entry.record.kind == "effect"}
        open_intents = [
            OpenIntent.read(entry.record.key, bytes(entry.record.value))
            for _, entry in queries.reader.tape()
            if entry.record.kind == "intent" and entry.record.name == "submit" and entry.record.key not in done
        ]
        self.desk.restore(orders.values(), fills, open_intents, holders=self.whose)
        for adjusted in adjustments(queries, NAME):
            adoption = adjusted.adoption()
            adoptions.apply(adoption)
            if adoption.order is not None:
                self.desk.follow(adoption.order)

    async def pull(self) -> None:
        news = await self.desk.news()
        await self.book(news.fills, news.ended)

    async def book(self, fills: Sequence[Fill], ended: Sequence[Order]) -> None:
        """On the tape at once and in the books at once: nothing comes between."""
        for fill in fills:
            if not self.desk.ledger.knows(fill):
                key = fill.client_order_id
                workflow_ = self.whose.setdefault(key, self.desk.holder_of(key))
                self.engine.post(OrderFilled.of(fill, workflow_, "", from_ns(self.clock.now())))
                self.desk.apply(fill)
                self.booked.append(fill)
        for one in ended:
            self.engine.post(OrderEnded.of(one, "trader", from_ns(self.clock.now())))
            self.desk.follow(one)
        await self.engine.durable()

    # -- what tests do --------------------------------------------------------------------------------------------

    async def trade(self, wanted: OrderIntent, id: str | None = None) -> str:
        """Place an order and see how that ends."""
        answer: str = await (await self.engine.start(self.trader, wanted, id=id, owner="ann")).result()
        return answer

    def bar(self, *prices: Any, symbol: str = SPOT) -> list[Fill]:
        """The next bar: open, low, high. An hour that is long past, so that any order may trade on it."""
        found = self.paper.on_bar(bar(*prices, index=self.bars, symbol=symbol), self.bars)
        self.bars += 1
        return found

    async def hold(self, quantity: str = "1", symbol: str = SPOT, price: Any = 100) -> None:
        """Have a position."""
        assert await self.trade(order("buy", quantity, symbol=symbol)) == "accepted"
        assert self.bar(price, symbol=symbol)
        await self.pull()
        assert self.desk.ledger.quantity(symbol) == D(quantity)

    def told(self, *classes: type[Event]) -> list[Any]:
        """Events on the tape, in order."""
        by_name = {cls.event_name: cls for cls in classes}
        return [
            by_name[entry.record.name].from_wire(bytes(entry.record.value))
            for entry in records(self.engine, "event", "emit")
            if entry.record.name in by_name
        ]

    async def live(self, turns: int, *, flushed: bool) -> bool:
        """Live for so many turns of the loop, then die; ``flushed``: with all on disk. Was nothing left to do?"""
        settling = asyncio.ensure_future(self.engine.settled())
        for _ in range(turns):
            await asyncio.sleep(0)
        over = settling.done()
        settling.cancel()
        if flushed:
            self.engine._log.flush_now()
        self.kill()
        await asyncio.gather(settling, return_exceptions=True)
        return over

    def kill(self) -> None:
        self.memory = crash(self.engine)

    async def close(self) -> None:
        await self.engine.close()


def adjusted(world: World) -> list[AccountAdjusted]:
    """What was said of findings."""
    return world.told(AccountAdjusted)
