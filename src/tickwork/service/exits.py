"""Exits in real time: plans on the tape, judged by every price, sold by durable runs.

Theory of operation. The tape is the only memory: ``exits_events`` folds it into plans and marks, and the book that
judges prices is made from these when the service is opened. A price that makes something due is claimed at once: the
claim is posted, and a run of the workflow ``exit`` is started that bears the claim's id (``exits_run``). So neither two
prices nor a restart can place an exit twice: what was claimed is not due again, and what was claimed without a run to
show for it gets its run when the service is opened again, under the same id. Nothing of that is awaited; the order
itself waits for the disk, and so for the claim.

If the process dies before a claim is on disk, the plan is as it was before the price, and the next price claims again.

**Stops never give up.** What a stop could not sell is due again after a pause that doubles up to half a minute, at
whatever price; a person is told after the third failure, and then ever more seldom.

**Plans end with their position.** ``holding_changed`` is told what each workflow holds, by the account's books: plans
that are for more give way (``trading.exits.holding``), so that what was sold by hand, or closed for good, is never sold
once more out of the next position.

Prices are fed to ``on_quote`` and ``on_bar``; time limits and new tries need ``on_time``, which ``run`` calls.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tickwork.core.run import Run
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, NotFound
from tickwork.market.bars import Bar, Quote
from tickwork.service.exits_blind import BlindMarkets
from tickwork.service.exits_events import (
    ExitAtEntry,
    ExitClaimed,
    ExitPlanChanged,
    ExitPlanClosed,
    ExitPlanOpened,
    ExitPlanShrunk,
    ExitStopsMoved,
    ExitTrailing,
    exit_marks,
    exit_plans,
)
from tickwork.service.exits_lines import ExitLine, book_lines, exit_line
from tickwork.service.exits_run import ExitOrder, ExitRuns
from tickwork.trading.desk import Desk
from tickwork.trading.exits import (
    BestPrice,
    BreakEvenSet,
    Claim,
    ExitBook,
    ExitPlan,
    ExitRules,
    Holder,
    Judged,
    PlanState,
    PositionSide,
    StopAt,
    TrailingBegan,
    Unjudged,
    too_much,
)
from tickwork.trading.matching import TradingRules
from tickwork.trading.venue import Capabilities
from tickwork.values import DurationLike, duration, money
from tickwork.values import quantity as check_quantity

_log = logging.getLogger("tickwork.exits")

_TICK_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitDoor:
    """By which exits of an account go to its venue."""

    desk: Desk
    capabilities: Capabilities
    """The venue's: which kinds of orders there are."""
    rules: Mapping[str, TradingRules]
    """What the venue asks of orders, by symbol."""
    quotes: Callable[[str], Quote | None]
    """The freshest quote of a symbol: what a limit price is made of where there are no market orders."""
    wake: Callable[[], None] = lambda: None
    """Called when an order has been placed or cancelled, so that its fills are heard of soon."""


class Exits:
    """The exits of all accounts of an engine, which is to be given ``workflows``, ``EXIT_VIEWS`` and ``holdings``.

    Args:
        doors: by the name of their account; all of them before the engine is opened.
        max_age: a price that is older decides nothing.
        slippage: by which fraction a limit order may be worse than the quote, where the venue has no market orders; it
            grows with each failure.
        patience: how long a limit order may rest, where the venue has no immediate ones, before it is cancelled.
        blind_after: so long no price of a market with plans may have been judged before a person is told.

    Raises:
        InvalidInput: an argument is wrong.
    """

    def __init__(
        self,
        doors: Mapping[str, ExitDoor],
        *,
        max_age: DurationLike = "30s",
        slippage: Decimal = Decimal("0.01"),
        patience: DurationLike = "10s",
        blind_after: DurationLike = "30s",
    ) -> None:
        self._doors = doors
        self._book = ExitBook(max_age)
        self._runs = ExitRuns(doors, self._sync, slippage=slippage, patience=patience)
        self._opened = asyncio.Event()
        self._given: Engine | None = None
        self._since_ns = 0
        self._blind = BlindMarkets(duration(blind_after, "exits.blindAfter"))
        self._held: dict[Holder, Decimal] = {}
        """What each workflow holds, as far as that was told."""

    @property
    def unjudged(self) -> Mapping[tuple[str, str], Unjudged]:
        """The last price of a venue's symbol, where that decided nothing."""
        return self._blind.unjudged

    @property
    def workflows(self) -> tuple[Workflow, ...]:
        """What the engine is to be given, so that exits under way go on when it is opened."""
        return self._runs.workflows

    async def open(self, engine: Engine) -> None:
        """Take up what the tape tells, and go on with the exits that are under way. Before any price is fed.

        Args:
            engine: an open engine; if it was not given ``workflows``, it is now.

        Raises:
            InvalidInput: it does not have the views.
        """
        states: Mapping[str, PlanState] = engine.items(exit_plans)
        self._book.restore(states.values(), engine.items(exit_marks).values(), engine.clock.now())
        self._given, self._since_ns = engine, engine.clock.now()
        for holder in self._book.holders():
            self._fit(holder)  # to what was told before
        self._opened.set()
        for workflow in self.workflows:
            await engine.add(workflow)
        for state in list(self._book.states()):
            for flight in state.flights:
                self._start(state.plan, flight.claim)

    @property
    def _engine(self) -> Engine:
        if self._given is None:
            raise InvalidInput("exits", "not open", "await exits.open(engine) first")
        return self._given

    # -- plans ----------------------------------------------------------------------------------------------------

    async def protect(
        self,
        run: Run,
        rules: ExitRules,
        *,
        account: str,
        venue: str,
        workflow: str,
        symbol: str,
        quantity: Decimal,
        entry_price: Decimal,
        side: PositionSide = "long",
        name: str = "exits",
    ) -> str:
        """In a workflow's body: protect what it holds, exactly once.

        Args:
            run: the run.
            rules: when to get out.
            account: whose desk sells.
            venue: by whose prices it is judged.
            workflow: whose position it is; exits sell in its name.
            symbol: of what.
            quantity: how much of it, base units: what was really filled, less fees that were taken of it.
            entry_price: the average price of these fills.
            side: long or short.
            name: which plan of this run, if it makes several.

        Returns:
            The plan's id.

        Raises:
            InvalidInput: a field is wrong, or no account or symbol of this name.
        """
        terms = await run.step("exit terms", self._terms, account, symbol, blocking=False)
        plan = ExitPlan(
            id=f"{run.id}.{name}",
            account=account,
            workflow=workflow,
            owner=run.owner,
            venue=venue,
            symbol=symbol,
            side=side,
            quantity=quantity,
            entry_price=entry_price,
            opened_ns=run.now_ns,
            rules=rules,
            quantity_step=terms.quantity_step,
            min_notional=terms.min_notional,
        )
        await run.step(f"protect {name}", self._protect, plan)
        return plan.id

    def _terms(self, account: str, symbol: str) -> TradingRules:
        door = self._doors.get(account)
        if door is None:
            raise NotFound("account", account, f"one of {', '.join(self._doors)}")
        terms = door.rules.get(symbol)
        if terms is None:
            raise InvalidInput("symbol", symbol, f"one that {account} trades: {', '.join(sorted(door.rules))}")
        return terms

    async def _protect(self, plan: ExitPlan) -> None:
        await self._opened.wait()  # a run may go on before the plans are there again
        if plan.id in self._book:
            return  # a crash kept this step's record from the disk, and not what it did
        self._book.open(plan)
        self._engine.post(ExitPlanOpened(plan=plan))
        self._fit((plan.account, plan.workflow, plan.symbol))

    async def resize(self, plan_id: str, quantity: Decimal) -> None:
        """The position is of another size now, by a purchase or a sale elsewhere; see ``PlanState.resized``.

        On return it is on disk. Exits on their way for more than there is are cancelled.

        Raises:
            InvalidInput: no plan of this id, or a negative quantity.
        """
        plan = self._plan(plan_id)
        too_many = self._book.resize(plan_id, quantity)
        self._engine.post(ExitPlanChanged(plan_id=plan_id, quantity=quantity))
        if quantity == 0:
            self._engine.post(self._closed(plan, "nothing held"))
        self._cancel(plan, too_many)
        self._fit((plan.account, plan.workflow, plan.symbol))
        await self._engine.durable()

    async def close(self, plan_id: str, reason: str) -> None:
        """Protect a position no more; exits on their way are cancelled. On return it is on disk.

        Raises:
            InvalidInput: no plan of this id, or no reason.
        """
        if not reason:
            raise InvalidInput("reason", reason, "why the position is not protected any more")
        plan = self._plan(plan_id)
        on_their_way = self._book.close(plan_id)
        self._engine.post(self._closed(plan, reason))
        self._cancel(plan, on_their_way)
        await self._engine.durable()

    # -- what is held ---------------------------------------------------------------------------------------------

    def holding_changed(self, account: str, workflow: str, symbol: str, quantity: Decimal) -> None:
        """What a workflow holds, by its account's books: plans that are for more give way, those left empty are closed.

        To be called after each fill that is booked, and for each of ``holders`` once the service is open. The same
        again changes nothing. What claims hold is not touched: whether it has been sold is seen when they have ended.

        Args:
            account: whose books.
            workflow: whose position.
            symbol: of what.
            quantity: base units, all there is now; below zero for a short.
        """
        holder = (account, workflow, symbol)
        self._held[holder] = money(quantity, "holding.quantity")
        self._fit(holder)

    def holders(self) -> list[Holder]:
        """Account, workflow and symbol of all plans."""
        return self._book.holders()

    def _fit(self, holder: Holder) -> None:
        held, states = self._held.get(holder), self._book.held_by(*holder)
        if held is None or not states:
            return
        for state in states:  # the tape may already know of fills that the book has not been told of
            self._synced(state.plan.id)
        for plan_id, less in too_much(self._book.held_by(*holder), held).items():
            state = self._book.shrink(plan_id, less)
            plan = state.plan
            _log.info("%s is for %s less: %s holds %s %s", plan_id, less, plan.workflow, held, plan.symbol)
            self._engine.post(ExitPlanShrunk(plan_id=plan_id, quantity=less))
            if not state.flights and state.remaining < plan.quantity_step:
                if plan_id in self._book:
                    self._book.close(plan_id)
                self._engine.post(self._closed(plan, "position gone"))

    def _closed(self, plan: ExitPlan, reason: str) -> ExitPlanClosed:
        return ExitPlanClosed(
            plan_id=plan.id, account=plan.account, workflow=plan.workflow, symbol=plan.symbol, reason=reason
        )

    def get(self, plan_id: str) -> PlanState | None:
        """Where a plan stands; ``None``: it is not open."""
        return self._book.get(plan_id)

    def stop_of(self, plan_id: str) -> StopAt | None:
        """Where its nearest stop stands right now; ``None``: it has none.

        Raises:
            InvalidInput: no plan of this id.
        """
        return self._book.stop_of(plan_id)

    def plans(self, account: str = "") -> list[PlanState]:
        """All plans, or those of an account, by id."""
        found = [state for state in self._book.states() if account in ("", state.plan.account)]
        return sorted(found, key=lambda state: state.plan.id)

    def markets(self) -> dict[tuple[str, str], int]:
        """Plans on each venue and symbol: what prices must be fed of."""
        return self._book.markets()

    def _plan(self, plan_id: str) -> ExitPlan:
        state = self._book.get(plan_id)
        if state is None:
            raise NotFound("plan", plan_id, "the id of a plan that is open")
        return state.plan

    # -- prices and time ------------------------------------------------------------------------------------------

    def on_quote(self, quote: Quote) -> list[Claim]:
        """Take a quote; what it makes due is under way on return. ``unjudged`` tells of one that decided nothing."""
        now_ns = self._engine.clock.now()
        return self._act(
            self._book.on_quote(quote.venue, quote.symbol, quote.bid, quote.ask, quote.time_ns, now_ns),
            (quote.venue, quote.symbol),
            now_ns,
        )

    def on_bar(self, bar: Bar) -> list[Claim]:
        """Take a bar that has ended, where there are no quotes."""
        now_ns, market = self._engine.clock.now(), (bar.venue, bar.symbol)
        if bar.start_ns < self._since_ns:  # it may hold prices of before a plan was opened
            return self._act(
                self._book.on_quote(bar.venue, bar.symbol, bar.close, bar.close, bar.end_ns, now_ns), market, now_ns
            )
        return self._act(self._book.on_bar(bar, now_ns), market, now_ns)

    def on_time(self) -> list[Claim]:
        """Take the time: what has been held for too long, what is to be tried again, and where nothing is judged."""
        now_ns = self._engine.clock.now()
        for alert in self._blind.look(self._book.markets(), now_ns):
            _log.warning("%s: %s", alert.what, alert.detail)
            self._engine.post(alert)
        return self._act(self._book.on_time(now_ns))

    async def run(self, sleep: Callable[[float], Awaitable[object]]) -> None:
        """Look at the time twice a second, until cancelled."""
        while True:
            self.on_time()
            await sleep(_TICK_S)

    def _act(self, judged: Judged, market: tuple[str, str] | None = None, now_ns: int = 0) -> list[Claim]:
        if market is not None:
            self._blind.heard(market, judged.unjudged, now_ns)
        for moved in judged.moved:
            match moved:
                case TrailingBegan():
                    self._engine.post(ExitTrailing.of(moved))
                case BreakEvenSet():
                    self._engine.post(ExitAtEntry.of(moved))
                case BestPrice():
                    self._engine.post(ExitStopsMoved.of(moved))
        claims = []
        for due in judged.due:
            claim = self._book.claim(due)
            _log.info("%s of %s: %s %s", due.reason, due.plan.id, due.quantity, due.plan.symbol)
            self._engine.post(ExitClaimed(claim=claim))
            self._start(due.plan, claim)
            claims.append(claim)
        return claims

    # -- runs -----------------------------------------------------------------------------------------------------

    def _start(self, plan: ExitPlan, claim: Claim) -> None:
        self._engine.start_soon(
            self._runs.exit, ExitOrder(plan=plan, claim=claim), id=f"exit.{claim.id}", owner=plan.owner
        )

    def _cancel(self, plan: ExitPlan, claims: tuple[Claim, ...]) -> None:
        if claims:
            ids = tuple(claim.id for claim in claims)
            zero = Claim(plan_id=plan.id, number=0, reason="time_limit", quantity=Decimal(0), cancel=ids)
            self._engine.start_soon(self._runs.exit, ExitOrder(plan=plan, claim=zero), owner=plan.owner)

    async def _sync(self, plan_id: str) -> None:
        """What a run has told of a plan is on the tape: let the book know."""
        if self._given is None:
            return  # it will read all of it
        self._synced(plan_id)
        state = self._book.get(plan_id)
        if state is not None:
            plan = state.plan
            self._fit((plan.account, plan.workflow, plan.symbol))

    def _synced(self, plan_id: str) -> None:
        known, state = self._book.get(plan_id), self._engine.read(exit_plans, plan_id)
        if state is None:
            if known is not None:
                self._book.close(plan_id)
        elif state != known:
            self._book.put(state)

    # -- other processes ------------------------------------------------------------------------------------------

    def verbs(self) -> dict[str, Any]:
        """What other processes may ask for, to be given to ``Engine.offer``."""

        async def listed(account: str = "") -> list[ExitLine]:
            await self._engine.durable()
            return book_lines(self._book, account)

        async def resized(plan: str, quantity: str) -> ExitLine | None:
            await self.resize(plan, check_quantity(quantity, "quantity"))
            state = self._book.get(plan)
            return None if state is None else exit_line(state, self._book.stop_of(plan))

        async def closed(plan: str, reason: str = "") -> dict[str, str]:
            await self.close(plan, reason)
            return {"plan": plan, "reason": reason}

        return {"exits": listed, "exits.resize": resized, "exits.close": closed}
