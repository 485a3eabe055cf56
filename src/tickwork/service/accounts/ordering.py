"""Orders by hand: what a person or a program asks for over a face, placed and cancelled by runs of their own.

An order of a face goes the way of every order: a run takes it through gate and desk, so that it is durable, exactly
once, and on the tape with who wanted it. The run's id is given by whoever asks, so that the same again is the same run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from tickwork.core.event import Event
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.engine import Engine
from tickwork.errors import InvalidInput, NotFound, NotSent, Refused, Rejected, Retryable, TimedOut
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.prices import LivePrices
from tickwork.service.trading import place
from tickwork.trading.desk import Placement
from tickwork.trading.order_life import FINAL, OrderState
from tickwork.trading.orders import Order, OrderIntent, OrderType, Side, TimeInForce
from tickwork.values import Money, Price, Quantity, plain

ORDER: Final = "tickwork/order"
"""Name of the workflow that places them, and whose they are unless another one is named."""
CANCEL: Final = "tickwork/order.cancel"
PATIENCE: Final = "10 seconds"
"""So long an answer waits for what becomes of an order; the run goes on whether one waits or not."""


class OrderAsked(Event, name="trading/order.asked", version=1):
    """What the run of an order is given."""

    account: str
    symbol: str
    side: Side
    type: OrderType = "market"
    quantity: Quantity | None = None
    notional: Money | None = None
    limit_price: Price | None = None
    time_in_force: TimeInForce = "gtc"
    reduce_only: bool = False
    leverage: Quantity = Decimal(1)
    workflow: str = ORDER
    """In whose name: its limits hold, and it holds what is bought."""
    by: str
    reason: str = ""


class CancelAsked(Event, name="trading/cancel.asked", version=1):
    """What the run of a cancel is given."""

    account: str
    client_order_id: str
    symbol: str
    by: str


_FIRST_PRICES: Final = Retry(limit=12, delay="100 ms", cap="500 ms")
"""So long an order waits for the first price of its symbol, after a start."""

Outcome = Literal["accepted", "refused", "rejected", "unsent", "unknown"]


class OrderAnswer(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What became of an order that was asked for. Quantities are base units, prices quote currency, both as text."""

    run: str
    """The run that places it."""
    outcome: Outcome
    """``accepted``: the venue has it. ``unknown``: nobody knows yet; the run finds out, and never sends it twice."""
    account: str
    symbol: str
    side: Side
    client_order_id: str = ""
    venue_order_id: str = ""
    quantity: str = ""
    """What the gate let through."""
    limit_price: str = ""
    reason: str = ""
    """Why it was refused, rejected or not sent, or is unknown."""
    rule: str = ""
    """Of a refusal."""
    limit: str = ""
    actual: str = ""
    scope: str = ""
    """Whose limit; empty: nobody's."""


class CancelAnswer(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What became of an order that was to be cancelled."""

    run: str
    """The run that cancels it; ``""``: it had ended before."""
    client_order_id: str
    status: OrderState
    """``cancelling``: it was asked for, and the venue has not answered yet."""
    filled: str = "0"


class Ordering:
    """Places and cancels orders for whoever asks. ``workflows`` come before the engine, ``verbs`` once it is open.

    Args:
        accounts: those that are open.
        prices: what an order is judged against.
        sources: whose prices each account looks at.
        symbols: what each account trades.
    """

    def __init__(
        self,
        accounts: Mapping[str, OpenAccount],
        prices: LivePrices,
        sources: Mapping[str, str],
        symbols: Mapping[str, Collection[str]],
    ) -> None:
        self._accounts = accounts
        self._prices = prices
        self._sources = sources
        self._symbols = symbols
        self._engine: Engine | None = None

    def workflows(self) -> list[Workflow]:
        """What the engine runs for them."""

        @workflow(ORDER)
        async def order(run: Run, asked: OrderAsked) -> OrderAnswer:
            return await self._place(run, asked)

        @workflow(CANCEL)
        async def cancel(run: Run, asked: CancelAsked) -> CancelAnswer:
            account = self._account(asked.account)
            found = await account.desk.cancel(run, asked.client_order_id, asked.symbol)
            account.wake()
            return _ended(run.id, asked, found)

        self._order, self._cancel = order, cancel
        return [order, cancel]

    def verbs(self, engine: Engine) -> dict[str, Any]:
        """What other processes may ask for, to be given to ``Engine.offer``."""
        self._engine = engine
        return {"order.place": self.place, "order.cancel": self.cancel}

    # -- bodies ---------------------------------------------------------------------------------------------------

    async def _place(self, run: Run, asked: OrderAsked) -> OrderAnswer:
        told: dict[str, Any] = {"run": run.id, "account": asked.account, "symbol": asked.symbol, "side": asked.side}
        account = self._account(asked.account)
        try:
            intent: OrderIntent = await run.step(
                "intent", self._intent, run.owner, asked, retry=_FIRST_PRICES, blocking=False
            )
        except Retryable:
            intent = intent_of(asked, run.owner)  # the gate says what is missing
        try:
            placed = await place(run, account.desk, intent)
        except NotSent as error:
            return OrderAnswer(outcome="unsent", reason=str(error), **told)
        except TimedOut as error:
            return OrderAnswer(outcome="unknown", reason=str(error), **told)
        account.wake()
        return _answer(placed, told)

    def _intent(self, owner: str, asked: OrderAsked) -> OrderIntent:
        """The intent, with the price that stands now: the gate compares it with the one at its own moment.

        Raises:
            Retryable: there is none yet: the run may go on before the first prices have come.
        """
        intent, source = intent_of(asked, owner), self._sources[self._account(asked.account).name]
        quote = self._prices.quote(source, asked.symbol)
        if quote is None and (asked.reduce_only or asked.symbol not in self._symbols[asked.account]):
            return intent  # a reduction needs none, and of what is not traded here none will come
        if quote is None:
            raise Retryable(f"no price yet of {asked.symbol} at {source}")
        price = quote.ask if asked.side == "buy" else quote.bid
        return replace(intent, reference_price=price, reference_time=quote.time_ns, reference_source=source)

    # -- verbs ----------------------------------------------------------------------------------------------------

    async def place(
        self, *, id: str | None = None, owner: str | None = None, by: str = "cli", **fields: Any
    ) -> OrderAnswer:
        """Place an order, and wait a while for what becomes of it.

        Args:
            id: of the run; the same again is the same order.
            owner: whose accounts it may trade on; ``None``: everybody's.
            by: who wants it.
            fields: of ``OrderAsked``.

        Raises:
            InvalidInput: a field is wrong, or the id is that of another order. NotFound: no such account, or it is
                another owner's. Refused: our gate said no. Rejected: the venue did. NotSent: it did not get there, and
                there is no order.
        """
        asked = _asked(by=by, **fields)
        account = self._account(asked.account)
        if owner is not None and account.owner != owner:
            raise NotFound("account", asked.account, "an account of yours")
        _checked(asked, account.owner)
        handle = await self._running.start(self._order, asked, id=id, owner=account.owner)
        try:
            answer: OrderAnswer = await handle.result(timeout=PATIENCE)
        except TimedOut:
            why = f"nothing is known of it after {PATIENCE}; the run goes on"
            told: dict[str, Any] = {
                "run": handle.id,
                "account": asked.account,
                "symbol": asked.symbol,
                "side": asked.side,
            }
            return OrderAnswer(outcome="unknown", reason=why, **told)
        return _required(answer)

    async def cancel(
        self, *, account: str, order: str, symbol: str = "", by: str = "cli", id: str | None = None
    ) -> CancelAnswer:
        """Cancel an order, and wait a while for the venue's answer; the run goes on until it is known.

        Raises:
            NotFound: no such account. Rejected: the venue knows no such order.
        """
        asked = CancelAsked(account=self._account(account).name, client_order_id=order, symbol=symbol, by=by)
        handle = await self._running.start(self._cancel, asked, id=id, owner=self._account(account).owner)
        try:
            answer: CancelAnswer = await handle.result(timeout=PATIENCE)
        except TimedOut:
            return CancelAnswer(run=handle.id, client_order_id=order, status="cancelling")
        return answer

    @property
    def _running(self) -> Engine:
        assert self._engine is not None, "the engine is not open"
        return self._engine

    def _account(self, name: str) -> OpenAccount:
        found = self._accounts.get(name)
        if found is None:
            raise NotFound("account", name, f"one of {', '.join(self._accounts)}")
        return found


def intent_of(asked: OrderAsked, owner: str) -> OrderIntent:
    """What is wanted, as an intent.

    Raises:
        InvalidInput: fields that contradict each other.
    """
    return OrderIntent(
        account=asked.account,
        owner=owner,
        workflow=asked.workflow,
        symbol=asked.symbol,
        side=asked.side,
        type=asked.type,
        quantity=asked.quantity,
        notional=asked.notional,
        limit_price=asked.limit_price,
        time_in_force=asked.time_in_force,
        reduce_only=asked.reduce_only,
        leverage=asked.leverage,
        agent=asked.by,
        reason=asked.reason,
    )


def _asked(**fields: Any) -> OrderAsked:
    try:
        return OrderAsked(**fields)
    except InvalidInput as error:
        raise InvalidInput(error.path.removeprefix("OrderAsked."), error.found, error.expected) from None


def _checked(asked: OrderAsked, owner: str) -> None:
    """What the gate would be shown, looked at before a run is made of it."""
    try:
        intent_of(asked, owner)
    except InvalidInput as error:
        raise InvalidInput(error.path.removeprefix("intent."), error.found, error.expected) from None


def _answer(placed: Placement, told: dict[str, Any]) -> OrderAnswer:
    if placed.ack is not None and placed.approval is not None:
        limit = placed.approval.limit_price
        return OrderAnswer(
            outcome="accepted",
            client_order_id=placed.ack.client_order_id,
            venue_order_id=placed.ack.venue_order_id,
            quantity=plain(placed.approval.quantity),
            limit_price="" if limit is None else plain(limit),
            **told,
        )
    no = placed.refusal
    if no is None:
        return OrderAnswer(outcome="rejected", reason=placed.rejection, **told)
    return OrderAnswer(
        outcome="refused",
        reason=str(no.error()),
        rule=no.rule,
        limit=no.limit,
        actual=no.actual,
        scope=no.scope,
        **told,
    )


def _required(answer: OrderAnswer) -> OrderAnswer:
    """The answer, where an order came to be or may have; else what kept it from that."""
    match answer.outcome:
        case "refused":
            raise Refused(answer.rule, answer.limit, answer.actual, answer.scope)
        case "rejected":
            raise Rejected(answer.account, answer.reason)
        case "unsent":
            raise NotSent(f"{answer.reason}; there is no order: to try again, ask for another one, under a new key")
        case _:
            return answer


def _ended(run: str, asked: CancelAsked, order: Order) -> CancelAnswer:
    status = order.status if order.status in FINAL else "cancelling"
    return CancelAnswer(run=run, client_order_id=asked.client_order_id, status=status, filled=plain(order.filled))
