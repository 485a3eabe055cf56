"""An account as a playbook sees it: what it is worth, what the playbook's own workflow holds, how to buy and sell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from tickwork.core.run import Run
from tickwork.service.market import Market
from tickwork.service.trading import Holding, holding_key, holdings, place
from tickwork.trading.desk import Desk, Placement
from tickwork.trading.matching import Costs, TradingRules
from tickwork.trading.orders import OrderIntent
from tickwork.values import EXACT, ratio, rounded_down, timestamp_ns

Action = Literal["buy", "sell", "hold", "stopped", "refused", "rejected"]


class Decision(msgspec.Struct, frozen=True, rename="camel"):
    """How a run of a playbook ended."""

    action: Action
    symbol: str
    reason: str
    order: str = ""
    """The client id of the order it placed."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The price a decision was made on, and where it stands recorded."""

    symbol: str
    price: Decimal
    time: datetime
    recording: str
    offset: int


class Account:
    """One account with its desk and its market."""

    def __init__(
        self, desk: Desk, market: Market, *, rules: Mapping[str, TradingRules], costs: Costs, currency: str
    ) -> None:
        self.costs = costs
        self.currency = currency
        self._desk = desk
        self._market = market
        self._rules = rules

    def equity(self) -> Decimal:
        """Cash and positions at the latest closes. Call it in a step: it is read, not derived."""
        return self._desk.ledger.equity(self._market.marks, self.currency)

    async def holding(self, workflow: str, symbol: str) -> Holding:
        """What ``workflow`` itself has of ``symbol``; a verb, to be awaited in a body."""
        held: Holding | None = await holdings.get(holding_key(workflow, symbol))
        return held or Holding()

    async def buy(self, run: Run, workflow: str, on: Reference, amount: Decimal, reason: str) -> Decision:
        """Buy for ``amount`` of the account's currency, cut to the venue's step, at the market."""
        quantity = rounded_down(ratio(amount, on.price), self._rules[on.symbol].quantity_step)
        if not quantity:
            return Decision("hold", on.symbol, f"{amount:.2f} {self.currency} buys less than one step")
        return await self._place(run, self._intent(run, workflow, on, "buy", quantity, reason))

    async def sell(self, run: Run, workflow: str, on: Reference, quantity: Decimal, reason: str) -> Decision:
        """Sell ``quantity`` of what is held, at the market. It can only reduce."""
        return await self._place(run, self._intent(run, workflow, on, "sell", quantity, reason))

    def share(self, equity: Decimal, fraction: Decimal) -> Decimal:
        """``fraction`` of ``equity``, exact."""
        return EXACT.multiply(equity, fraction)

    def _intent(
        self, run: Run, workflow: str, on: Reference, side: Literal["buy", "sell"], quantity: Decimal, reason: str
    ) -> OrderIntent:
        return OrderIntent(
            account=self._desk.account,
            owner=run.owner,
            workflow=workflow,
            symbol=on.symbol,
            side=side,
            quantity=quantity,
            reduce_only=side == "sell",
            reason=reason,
            reference_price=on.price,
            reference_time=timestamp_ns(on.time),
            reference_source=on.recording,
            reference_offset=on.offset,
        )

    async def _place(self, run: Run, intent: OrderIntent) -> Decision:
        return _told(intent, await place(run, self._desk, intent))


def _told(intent: OrderIntent, placement: Placement) -> Decision:
    if placement.ack is not None:
        return Decision(intent.side, intent.symbol, intent.reason, placement.ack.client_order_id)
    if placement.refusal is not None:
        no = placement.refusal
        return Decision("refused", intent.symbol, f"{no.rule}: limit {no.limit}, actual {no.actual}")
    return Decision("rejected", intent.symbol, placement.rejection)
