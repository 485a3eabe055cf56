"""A real account for nodes to trade on: desks and paper venues over recorded bars, on an engine in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, ClassVar

from tests.engine.support import records
from tests.graph.support import CENT, RecordedProvider, RecordedProviders
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event, read_event
from tickwork.core.queue import Queue
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, Rejected
from tickwork.graph.declare import Context
from tickwork.graph.nodes.views import VIEWS
from tickwork.graph.sources import Position, Results
from tickwork.market.bars import Quote
from tickwork.service.results import results
from tickwork.service.trading import OrderFilled, holding_key, holdings, place
from tickwork.trading.desk import Desk, Placement
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import Costs, TradingRules
from tickwork.trading.orders import Order, OrderIntent
from tickwork.values import from_ns, quote_of, timestamp_ns
from tickwork.venues.paper import PaperVenue
from tickwork.venues.recorded import rules_of

Body = Callable[[Run, Context], Awaitable[Any]]
CASH = Decimal(100_000)
LIMITS = RiskLimits(max_order_notional=Decimal(20_000), max_position_notional=Decimal(40_000))


class Branch:
    """The account at one venue."""

    def __init__(self, provider: RecordedProvider, clock: VirtualClock, halt: Halt) -> None:
        self.provider = provider
        self.rules = {symbol: rules_of(recording) for symbol, recording in provider._recordings.items()}
        self.currency = quote_of(next(iter(self.rules)))
        cash = {self.currency: CASH}
        self.venue = PaperVenue(account="main", rules=self.rules.values(), cash=cash, name=provider.name)
        self.ledger = Ledger(cash)
        self.desk = Desk(
            "main", venue=self.venue, gate=RiskGate(LIMITS, self.rules), ledger=self.ledger, quotes=self.quote,
            clock=clock.now, halt=halt,
        )  # fmt: skip
        self._clock = clock

    def quote(self, symbol: str) -> Quote | None:
        if symbol not in self.rules:
            return None
        close = self.provider.latest(symbol).close
        return Quote(symbol, self.provider.name, self._clock.now(), close - CENT, close + CENT)

    def marks(self) -> dict[str, Decimal]:
        return {symbol: self.provider.latest(symbol).close for symbol in self.rules}


class PaperTrader:
    """The account of a world. Its writing methods are the product's own: desk, gate, events, holdings."""

    source_name: ClassVar[str] = "trader"
    configure: ClassVar[str] = ""
    account = "main"

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._branches = {one.provider.name: one for one in branches}
        self._where: dict[str, Branch] = {}
        self.whose: dict[str, str] = {}
        """Which document placed an order, by our id of it."""
        self.currency = branches[0].currency
        self.sent: list[OrderIntent] = []
        """What was to be placed, in order."""

    @property
    def venues(self) -> Sequence[str]:
        return list(self._branches)

    def _branch(self, symbol: str, venue: str = "") -> Branch:
        if venue and venue not in self._branches:
            raise InvalidInput("venue", venue, f"one of {', '.join(self._branches)}")
        found = [one for name, one in self._branches.items() if venue in ("", name) and symbol in one.rules]
        if not found:
            raise InvalidInput("symbol", symbol, "one that the account can trade")
        return found[0]

    async def place(self, run: Run, intent: OrderIntent, venue: str = "") -> Placement:
        branch = self._branch(intent.symbol, venue)
        self.sent.append(intent)
        placement = await place(run, branch.desk, intent)
        if placement.ack is not None:
            self._where[placement.ack.client_order_id] = branch
            self.whose[placement.ack.client_order_id] = intent.workflow
        return placement

    async def cancel(self, run: Run, client_order_id: str) -> Order:
        if client_order_id not in self._where:
            raise Rejected("paper", f"no order has client id {client_order_id}")
        return await self._where[client_order_id].desk.cancel(run, client_order_id)

    async def held(self, run: Run, document: str, symbol: str) -> Decimal:
        found = await holdings.get(holding_key(document, symbol))
        return found.quantity if found else Decimal(0)

    async def results(self, run: Run, document: str) -> Results:
        found: Results | None = await results.get(document)
        return found or Results()

    def equity(self) -> Decimal:
        return sum((one.ledger.equity(one.marks(), one.currency) for one in self._branches.values()), Decimal(0))

    def free(self) -> Decimal:
        return sum((one.venue.free(one.currency) for one in self._branches.values()), Decimal(0))

    def positions(self) -> list[Position]:
        return [
            Position(symbol, held.quantity, held.average_price or Decimal(0), one.marks()[symbol])
            for one in self._branches.values()
            for symbol, held in one.ledger.positions().items()
        ]

    async def open_orders(self) -> list[Order]:
        return [order for one in self._branches.values() for order in await one.venue.open_orders()]

    def rules(self, symbol: str) -> TradingRules:
        return self._branch(symbol).rules[symbol]

    def fee_rate(self, venue: str) -> Decimal:
        return Costs().fee_rate


class World:
    """A market that stands still until ``trade`` moves it on by a bar; ``do`` runs verbs in a workflow."""

    def __init__(self, *providers: RecordedProvider) -> None:
        made = providers or (RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", "bitstamp-eth-usd-1d"),)
        self.sides = list(made)
        self.providers = RecordedProviders(*made)
        self.clock = VirtualClock(max(one.now for one in made))
        self.halt = Halt()
        self.branches = [Branch(one, self.clock, self.halt) for one in made]
        self.trader = PaperTrader(self.branches)
        self.bodies: list[Body] = []
        self.results: dict[int, Any] = {}
        self.event: Any = {}
        self.trigger = "manual"
        self.engine: Engine

    @asynccontextmanager
    async def open(self, *queues: Queue, workflows: Sequence[Workflow] = ()) -> AsyncIterator[World]:
        """The world with its engine open."""

        @workflow("doc")
        async def body(run: Run, number: int) -> None:
            self.results[number] = await self.bodies[number](run, self.context(run))

        self.body = body
        async with Engine(
            "memory:", workflows=[body, *workflows], views=[holdings, results, *VIEWS], queues=list(queues),
            clock=self.clock, seed=1,
        ) as self.engine:  # fmt: skip
            yield self

    def context(self, run: Run, node: str = "here", undoing: str = "") -> Context:
        now = timestamp_ns(run.now())
        return Context("doc", node, run.id, run.owner, self.event, self.trigger, now, undoing)

    @property
    def sources(self) -> dict[str, Any]:
        """What most order nodes take."""
        return {"trader": self.trader, "providers": self.providers}

    async def do(self, body: Body) -> Any:
        """What a body of verbs gives; raises what it raises."""
        self.bodies.append(body)
        number = len(self.bodies) - 1
        handle = await self.engine.start(self.body, number, owner="me")
        await handle.result()
        return self.results[number]

    async def trade(self) -> None:
        """The next bar of every market: what rests is traded, and the fills are told."""
        for branch in self.branches:
            provider = branch.provider
            provider.at += 1
            self.clock.jump(provider.now)
            for symbol in branch.rules:
                branch.venue.on_bar(provider.latest(symbol), provider.at)
            await self.tell(branch)

    async def tell(self, branch: Branch) -> None:
        """Put the fills of a venue on the tape and into the books, as the product's watcher does."""
        for fill in (await branch.desk.news()).fills:
            whose, now = self.trader.whose[fill.client_order_id], from_ns(self.clock.now())
            await self.engine.emit(OrderFilled.of(fill, whose, branch.provider.name, now))
            branch.desk.apply(fill)

    def events(self, name: str) -> list[Any]:
        """What was published under a name."""

        found: list[Event] = []
        for entry in records(self.engine, "emit", "event"):
            if entry.record.name == name:
                event = read_event(name, entry.record.version, bytes(entry.record.value))
                assert event is not None
                found.append(event)
        return found
