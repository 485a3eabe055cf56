"""The process of a world: the real engine, desk, gate, account and venue, from birth to death."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import ccxt.pro  # noqa: F401 # once, and not in the middle of a world

from tests.worlds.flows import ACCOUNT, HERE, OWNER, WORKFLOWS
from tests.worlds.outside import KEY, SECRET, Line, Outside
from tests.worlds.plan import CASH, SECOND, SYMBOLS
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.assembly import Memory
from tickwork.engines.embedded.batch import Batch
from tickwork.engines.embedded.engine import Engine
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.engines.embedded.writer import Writer
from tickwork.outcome import Found, NotFound
from tickwork.service.accounts.config import AccountConfig
from tickwork.service.accounts.events import OrderDisowned
from tickwork.service.accounts.opening import open_account
from tickwork.service.accounts.recovery import Past
from tickwork.service.exits import ExitDoor, Exits
from tickwork.service.exits_events import EXIT_VIEWS
from tickwork.service.guarded import GuardedAccount
from tickwork.service.halting import Halting, halt_lines, halt_workflow, halts_on, restore
from tickwork.service.trading import holdings
from tickwork.trading.adoptions import Adoptions
from tickwork.trading.halt import Halts
from tickwork.trading.orders import Ack, ApprovedOrder, Fill, Order
from tickwork.venues.ccxt.venue import CcxtVenue

_log = logging.getLogger("tickwork.worlds")

VIEWS = (holdings, halt_lines, *EXIT_VIEWS)


class _SlowDisk:
    """A writer that takes its time; what is under way when the process dies is lost."""

    def __init__(self, inner: Writer, takes: int) -> None:
        self._inner = inner
        self._takes = takes
        self.busy = False
        self._gone = False

    def submit(self, batch: Batch) -> None:
        """See ``Writer``."""
        self.busy = True
        asyncio.get_running_loop().call_later(self._takes / SECOND, self._written, batch)

    def _written(self, batch: Batch) -> None:
        if not self._gone:
            self.busy = False
            self._inner.submit(batch)

    def close(self) -> None:
        """The process is gone, or all is written."""
        self._gone = True
        self._inner.close()


class WorldEngine(Engine):
    """An engine whose timers stand in the loop's own order of time. ``disk``: ns that a write takes."""

    disk = 0

    def _connect(self) -> None:
        super()._connect()
        if self.disk:
            assert self._log.writer is not None
            self._log.writer = _SlowDisk(self._log.writer, self.disk)

    def next_due(self) -> int | None:
        """When its next timer is due (ns); what is not on disk yet is written first."""
        if not self._opened or self._log.fault is not None:
            return None
        self._log.flush_now()
        return None if self._log.writer is None else self._timers.next_due()

    def fire(self) -> None:
        """Do what is due."""
        self._timers.fire_due()
        self._crank.kick()


class WatchedVenue(CcxtVenue):
    """The venue, and when something was begun with it."""

    begun: Callable[[str, ApprovedOrder], None]
    looked: Callable[[str, bool], None]

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        """See ``VenuePort``."""
        self.begun(key, order)
        return await super().submit(order, key)

    async def find(self, key: str, symbol: str) -> Found[Order] | NotFound:
        """See ``VenuePort``."""
        found = await super().find(key, symbol)
        self.looked(key, isinstance(found, Found))
        return found


def _forgotten(task: asyncio.Task[Any]) -> None:
    """Nobody hears how what died with the process has ended."""
    if not task.cancelled():
        task.exception()


class Process:
    """One life of the program on a tape that outlives it."""

    def __init__(
        self,
        outside: Outside,
        memory: Memory,
        clock: VirtualClock,
        *,
        cut: Callable[[str], bool],
        begun: Callable[[str, ApprovedOrder], None],
        looked: Callable[[str, bool], None],
    ) -> None:
        plan = outside.plan
        self.outside = outside
        self.clock = clock
        self.halts = Halts()
        self.halt = self.halts.of(ACCOUNT)
        self.guarded: dict[str, GuardedAccount] = {}
        self.workflows: list[Workflow] = []
        self.doors: dict[str, ExitDoor] = {}
        self.exits = Exits(self.doors)
        self.line = Line(outside, cut)
        self.dead = False
        self.gone = asyncio.Event()
        self.up = False
        self.past = Past()
        self.config = AccountConfig.model_validate(
            {
                "venue": plan.venue,
                "symbols": list(SYMBOLS),
                "capital": str(CASH),
                "owner": OWNER,
                "risk": plan.limits,
                "poll": f"{int(plan.poll_s * 1000)} ms",
            }
        )
        self.venue = WatchedVenue(
            plan.venue,
            ACCOUNT,
            SYMBOLS,
            key=KEY,
            secret=SECRET,
            clock=clock.now,
            visibility_bound=None if plan.bound_s is None else timedelta(seconds=plan.bound_s),
            recv_window=timedelta(seconds=plan.window_s),
            timeout=timedelta(seconds=plan.timeout_s),
            sleep=asyncio.sleep,
            prepare=lambda client: outside.prepare(client, self.line),
        )
        self.venue.begun, self.venue.looked = begun, looked
        self.engine = self._engine(memory)
        self.halting = Halting(self.engine, self.halts, self.guarded, clock.now)
        self._memory = memory
        self._tasks: list[asyncio.Task[Any]] = []

    def _engine(self, memory: Memory) -> WorldEngine:
        plan = self.outside.plan
        self.workflows = [*WORKFLOWS, *(self.exits.workflows if plan.exits else ()), halt_workflow(self.guarded)]
        engine = WorldEngine(memory, workflows=self.workflows, views=VIEWS, clock=self.clock, seed=plan.seed)
        engine.disk = plan.disk
        return engine

    def price(self, symbol: str) -> Decimal | None:
        """By the feed; ``None`` where it says nothing of use."""
        quote = self.outside.quote(symbol)
        return None if quote is None else quote.ask

    async def start(self, restored: Callable[[Process], None]) -> None:
        """Read the tape, rebuild the desk, open the engine, follow the account; as the product does."""
        rules = await self._insisted(lambda: self.venue.rules(SYMBOLS))
        reader = Reader(self._memory.connection)
        queries = Queries(reader) if reader.end()[0] > 1 else None
        restore(self.halts, halts_on(queries))
        opened = open_account(
            ACCOUNT,
            self.config,
            venue=self.venue,
            rules=rules,
            queries=queries,
            quotes=self.outside.quote,
            clock=self.clock.now,
            halt=self.halt,
            post=self.post,
        )
        self.past, self.account, self.desk = opened.past, opened.account, opened.account.desk
        self.guarded[ACCOUNT] = self._guarded(rules)
        self.doors[ACCOUNT] = ExitDoor(
            desk=self.desk,
            capabilities=self.venue.capabilities,
            rules=rules,
            quotes=self.outside.quote,
            wake=self.account.wake,
        )
        restored(self)
        HERE.process = self
        await self.engine.open()
        if opened.news is not None:
            self.engine.post(opened.news)
        await self.engine.durable()
        with suppress(Exception):
            await self.account.look()
        if self.outside.plan.exits:
            await self.exits.open(self.engine)
            self._tasks.append(asyncio.create_task(self.exits.run(asyncio.sleep)))
        self._tasks.append(asyncio.create_task(self.account.run(asyncio.sleep)))
        self.up = True

    def _guarded(self, symbols: Collection[str]) -> GuardedAccount:
        async def book(fills: Sequence[Fill], orders: Sequence[Order]) -> None:
            raise AssertionError("nothing reconciles here")

        return GuardedAccount(
            name=ACCOUNT,
            owner=OWNER,
            currency="USDT",
            desk=self.desk,
            venue=self.venue,
            clock=self.clock.now,
            pull=self.account.look,
            book=book,
            adoptions=Adoptions(ACCOUNT, self.venue.name, self.desk.ledger),
            symbols=symbols,
        )

    async def _insisted(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await ask()
            except Exception as error:  # noqa: BLE001 # whatever the exchange does, somebody starts it again
                _log.info("it does not start: %s", error)
                await asyncio.sleep(0.5)

    def post(self, event: Event) -> int:
        """Publish an event."""
        return self.engine.post(event)

    def die(self) -> None:
        """The process is gone: nothing more is written or sent, nothing in memory is left."""
        self.dead, self.up = True, False
        self.gone.set()
        self.line.dead = True
        if self.engine._opened:
            self.engine.kill()
        for task in self._tasks:
            task.cancel()
            task.add_done_callback(_forgotten)

    def quoted(self, symbol: str) -> None:
        """The feed says a price."""
        quote = self.outside.quote(symbol)
        if self.outside.plan.exits and quote is not None:
            self.exits.on_quote(quote)

    async def disown(self, key: str) -> None:
        """A person says that an order does not exist."""
        self.post(OrderDisowned(account=ACCOUNT, client_order_id=key, by="ann", reason="the venue says so"))
        await self.engine.durable()
        self.desk.disown(key)

    async def close(self) -> None:
        """End in order."""
        self.up = False
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.engine.close()
        await self.venue.close()
