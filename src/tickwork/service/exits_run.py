"""The workflow ``exit``: one run sells what one claim is for, and says what became of it.

Theory of operation. A run places one order that only reduces, through the desk, in the name of the workflow whose
position it closes, and never for more than that workflow holds. It follows the order to its end by the account's own
events, tells each fill (``ExitFilled``) and gives back what was not filled (``ExitReleased``); whether and when that is
tried again is the book's to say, not the run's. A market order where the venue has them, else a limit order that is
immediate or cancelled, else one that rests for a while. After a market order that was turned away the next try is a
limit order: some venues take none in a symbol that has just been listed.

An order whose fate nobody knows keeps its claim: the engine looks for it, the desk tells a person, and nothing else is
sold in its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from tickwork.core.event import Alert, Event
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.errors import InvalidInput, NotSent, TickworkError
from tickwork.service.exits_events import (
    ExitFilled,
    ExitPlaced,
    ExitPlanClosed,
    ExitReleased,
    exit_orders,
    exit_plans,
)
from tickwork.service.trading import Holding, OrderEnded, OrderFilled, holding_key, holdings, place
from tickwork.trading.desk import Placement
from tickwork.trading.exits import Claim, ExitPlan, PlanState
from tickwork.trading.orders import OrderIntent, OrderType, Side, TimeInForce
from tickwork.values import EXACT, NS_PER_SECOND, DurationLike, money, to_timedelta

if TYPE_CHECKING:
    from tickwork.service.exits import ExitDoor

ZERO: Final = Decimal(0)
_LONGEST_PAUSE_NS: Final = 30 * NS_PER_SECOND
_LATE: Final = timedelta(minutes=2)
"""So long after an order ended unfilled a fill of it may still be heard of."""
_WIDEST: Final = Decimal("0.1")
_TELL_AT: Final = frozenset({3, 10, 30, 100, 300, 1_000})
"""A person is told after so many failures."""


class ExitOrder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a run is for."""

    plan: ExitPlan
    claim: Claim


class Offer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What kind of order is to be sent."""

    type: OrderType
    limit_price: Decimal | None = None
    time_in_force: TimeInForce = "gtc"
    reference_price: Decimal | None = None
    reference_time: int = 0
    most: Decimal | None = None
    """The largest quantity of one order that the venue takes; what is beyond it goes with the next claim."""

    @property
    def rests(self) -> bool:
        """Will it wait for its price?"""
        return self.type == "limit" and self.time_in_force == "gtc"


class ExitRuns:
    """The workflow, over the doors of accounts.

    Args:
        doors: by the name of their account.
        sync: told of each plan of which something new is on the tape.
        slippage: see ``Exits``.
        patience: see ``Exits``.

    Raises:
        InvalidInput: a slippage outside of [0, 0.1], or no duration.
    """

    def __init__(
        self,
        doors: Mapping[str, ExitDoor],
        sync: Callable[[str], Awaitable[None]],
        *,
        slippage: Decimal,
        patience: DurationLike,
    ) -> None:
        if not 0 <= money(slippage, "exits.slippage") <= _WIDEST:
            raise InvalidInput("exits.slippage", slippage, f"a fraction from 0 to {_WIDEST}")
        self._doors = doors
        self._tell = sync
        self._slippage = slippage
        self._patience = to_timedelta(patience, "exits.patience")

        @workflow("exit")
        async def exit(run: Run, order: ExitOrder) -> None:
            """Sell what a claim is for, and cancel what stands in its way."""
            await self._exit(run, order.plan, order.claim)

        self.exit = exit
        self.workflows: tuple[Workflow, ...] = (exit,)

    # -- the body -------------------------------------------------------------------------------------------------

    async def _exit(self, run: Run, plan: ExitPlan, claim: Claim) -> None:
        arms = [self._cancel(run, plan, other) for other in claim.cancel]
        if claim.quantity:
            arms.append(self._sell(run, plan, claim))
        if arms:
            await run.all(*arms)

    async def _cancel(self, run: Run, plan: ExitPlan, claim_id: str) -> None:
        """Cancel another claim's order, if it has one; its own run says what became of it."""
        key: str | None = await exit_orders.get(claim_id)
        if key is None:
            return
        door = self._doors[plan.account]
        try:
            await door.desk.cancel(run, key, plan.symbol)
        except TickworkError as error:  # it has ended, or the venue cannot be asked: that must not hold up a stop
            run.log.warning("exit %s: order %s could not be cancelled: %s", claim_id, key, error)
        door.wake()

    async def _sell(self, run: Run, plan: ExitPlan, claim: Claim) -> None:
        holding: Holding | None = await holdings.get(holding_key(plan.workflow, plan.symbol))
        held = ZERO if holding is None else holding.quantity if plan.is_long else EXACT.minus(holding.quantity)
        if held < plan.quantity_step:
            await self._release(run, plan, claim, "nothing is held", end="dust" if held > 0 else "nothing held")
            return
        state: PlanState | None = await exit_plans.get(plan.id)
        failures = 0 if state is None else state.failures
        offer: Offer | None = await run.step("offer", self._offer, plan, claim, failures, blocking=False)
        if offer is None:
            await self._release(run, plan, claim, "there is no price to make a limit of")
            return
        quantity = min(claim.quantity, held, offer.most or held)
        if offer.reference_price is not None and EXACT.multiply(quantity, offer.reference_price) < plan.min_notional:
            alone = claim.is_stop and state is not None and len(state.flights) == 1
            await self._release(run, plan, claim, "too little to be traded", end="dust" if alone else "")
            return
        intent = _intent(run, plan, claim, quantity, offer)
        door = self._doors[plan.account]
        try:
            placed = await place(run, door.desk, intent)
        except NotSent as error:
            await self._release(run, plan, claim, str(error))
            return
        if placed.ack is None or placed.approval is None:
            await self._release(run, plan, claim, _why(placed))
            return
        key, approved = placed.ack.client_order_id, placed.approval.quantity
        await run.emit(ExitPlaced(claim_id=claim.id, client_order_id=key, symbol=plan.symbol))
        door.wake()
        filled, why = await self._follow(run, plan, claim, key, approved, rests=offer.rests)
        await self._release(run, plan, claim, why if filled < claim.quantity else "", filled=filled)
        await self._close_if_done(run, plan)
        if filled < approved:
            await self._late(run, plan, claim, key)

    async def _follow(
        self, run: Run, plan: ExitPlan, claim: Claim, key: str, quantity: Decimal, *, rests: bool
    ) -> tuple[Decimal, str]:
        """Until the order has ended; what it filled, and why it was not all."""
        filled = ZERO
        patience = self._patience if rests else None
        while filled < quantity:
            found = await self._next(run, key, patience)
            if found is None:  # it has rested long enough; again, where the cancel did not get through
                await self._cancel(run, plan, claim.id)
            elif isinstance(found, OrderEnded):
                return filled, found.reason or found.status
            else:
                filled = EXACT.add(filled, found.quantity)
                await self._told(run, plan, claim, found)
        return filled, "less than was claimed could be sold"

    @staticmethod
    async def _next(run: Run, key: str, patience: timedelta | None) -> OrderFilled | OrderEnded | None:
        mine = {"client_order_id": key}
        won = await run.race(
            run.wait_for(OrderFilled, mine, timeout=patience), run.wait_for(OrderEnded, mine, timeout=patience)
        )
        found: OrderFilled | OrderEnded | None = won.value
        return found

    async def _told(self, run: Run, plan: ExitPlan, claim: Claim, fill: OrderFilled) -> None:
        await run.emit(
            ExitFilled(
                claim=claim,
                quantity=fill.quantity,
                client_order_id=fill.client_order_id,
                fill_id=fill.fill_id,
            )
        )
        await self._sync(run, plan)

    async def _release(
        self, run: Run, plan: ExitPlan, claim: Claim, why: str, *, filled: Decimal = ZERO, end: str = ""
    ) -> None:
        """Give back what was not filled; with ``end`` the plan is over."""
        state: PlanState | None = await exit_plans.get(plan.id)
        failures = 0 if state is None else state.failures + 1
        pause = 0 if filled else min(NS_PER_SECOND * 2 ** min(failures, 10), _LONGEST_PAUSE_NS)
        retry_ns = run.now_ns + pause if pause else 0
        await run.emit(ExitReleased(claim=claim, retry_ns=retry_ns, why=why[:500]))
        if end:
            await self._close(run, plan, end)
        elif not filled and claim.is_stop and failures in _TELL_AT:
            what = f"{claim.reason} of {plan.id} ({plan.symbol}, account {plan.account}) has failed {failures} times"
            await run.emit(Alert(run=run.id, what=what, detail=f"{why}; it is tried again"))
        await self._sync(run, plan)

    async def _close_if_done(self, run: Run, plan: ExitPlan) -> None:
        state: PlanState | None = await exit_plans.get(plan.id)
        if state is not None and not state.flights and state.remaining < plan.quantity_step:
            await self._close(run, plan, "sold" if state.closed else "dust")
            await self._sync(run, plan)

    @staticmethod
    async def _close(run: Run, plan: ExitPlan, reason: str) -> None:
        closed: Event = ExitPlanClosed(
            plan_id=plan.id, account=plan.account, workflow=plan.workflow, symbol=plan.symbol, reason=reason
        )
        await run.emit(closed)

    async def _late(self, run: Run, plan: ExitPlan, claim: Claim, key: str) -> None:
        """A fill that was on its way when the order ended counts, too."""
        while True:
            fill = await run.wait_for(OrderFilled, {"client_order_id": key}, timeout=_LATE)
            if fill is None:
                return
            await self._told(run, plan, claim, fill)
            state: PlanState | None = await exit_plans.get(plan.id)
            for other in () if state is None else state.excess:
                await self._cancel(run, plan, other.id)
            await self._close_if_done(run, plan)

    async def _sync(self, run: Run, plan: ExitPlan) -> None:
        # a coroutine begins after the turn in which it is asked for: then what the turn told is in the views
        await run.step("sync", self._tell, plan.id)

    # -- steps ----------------------------------------------------------------------------------------------------

    def _offer(self, plan: ExitPlan, claim: Claim, failures: int) -> Offer | None:
        door = self._doors[plan.account]
        quote = door.quotes(plan.symbol)
        meets = None if quote is None else quote.bid if plan.is_long else quote.ask
        reference = claim.price if meets is None else meets
        at = claim.at_ns if quote is None else quote.time_ns
        terms = door.rules.get(plan.symbol)
        most = None if terms is None else terms.max_quantity
        market = "market" in door.capabilities.order_types
        if market and (failures % 2 == 0 or reference is None or "limit" not in door.capabilities.order_types):
            return Offer(type="market", reference_price=reference, reference_time=at, most=most)
        if reference is None:
            return None
        slip = min(EXACT.multiply(self._slippage, Decimal(1 + failures)), _WIDEST)
        factor = EXACT.subtract(Decimal(1), slip) if plan.is_long else EXACT.add(Decimal(1), slip)
        return Offer(
            type="limit",
            limit_price=EXACT.multiply(reference, factor),
            time_in_force="ioc" if "ioc" in door.capabilities.times_in_force else "gtc",
            reference_price=reference,
            reference_time=at,
            most=most,
        )


def _intent(run: Run, plan: ExitPlan, claim: Claim, quantity: Decimal, offer: Offer) -> OrderIntent:
    side: Side = "sell" if plan.is_long else "buy"
    return OrderIntent(
        account=plan.account,
        owner=run.owner,
        workflow=plan.workflow,
        symbol=plan.symbol,
        side=side,
        type=offer.type,
        quantity=quantity,
        limit_price=offer.limit_price,
        time_in_force=offer.time_in_force,
        reduce_only=True,
        reason=f"{claim.reason} of {plan.id}",
        reference_price=offer.reference_price,
        reference_time=offer.reference_time,
        reference_source="exits",
    )


def _why(placed: Placement) -> str:
    if placed.refusal is not None:
        return f"refused: {placed.refusal.rule} (limit {placed.refusal.limit}, actual {placed.refusal.actual})"
    return f"rejected: {placed.rejection}"
