"""An account at a venue that the gate alone guards: orders travel, fill and get lost by hand, and the tape survives.

The venue's positions are its own; fills reach the books only when ``book`` is called, so that the ledger may lag. The
venue cuts what only reduces in a contract, and sells nothing it does not hold in a pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

import msgspec

from tests.trading.support import D, intent
from tickwork.market.bars import Quote
from tickwork.trading.activity import Activity, ActivityState
from tickwork.trading.gate import Decision, RiskGate
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger, fold
from tickwork.trading.limits import Limits, RiskLimits, RiskRules
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Ack, Approval, Fill, Order, OrderIntent, Side
from tickwork.trading.reservations import Reservation, Reservations

PAIR, OTHER, SWAP = "BTC/USDT", "ETH/USDT", "BTC/USDT:USDT"
SYMBOLS = (PAIR, OTHER, SWAP)
START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
PRICE = D(100)

VENUE_RULES = {name: TradingRules(symbol=name, price_tick=D("0.01"), quantity_step=D("0.01")) for name in SYMBOLS}

RULES = RiskRules(
    account=RiskLimits(
        max_order_notional=D(2_000),
        max_position_notional=D(3_000),
        max_exposure=D(4_000),
        max_concentration=D("0.35"),
        max_leverage=D("0.6"),
        max_positions=2,
        max_open_orders=8,
        max_orders_per_minute=15,
        max_daily_loss=D(5_000),
        max_drawdown=D("0.6"),
        max_equity_age="1 hour",
    ),
    workflows={
        "a": Limits(max_position_notional=D(1_500), max_exposure=D(2_500), max_open_orders=4),
        "b": Limits(max_order_notional=D(900), max_positions=1, max_orders_per_minute=4),
    },
    symbols={OTHER: Limits(max_position_notional=D(1_000), max_open_orders=3)},
)


@dataclass
class Sent:
    """An order at the venue."""

    approval: Approval
    left: Decimal


@dataclass
class Account:
    rules: RiskRules = RULES
    owned: Mapping[str, Decimal] = field(default_factory=dict)
    """Coins in a pair that no position knows of."""

    def __post_init__(self) -> None:
        self.gate = RiskGate(self.rules, VENUE_RULES)
        self.now = START
        self.halt = Halt()
        self.positions: dict[str, Decimal] = {}
        self.orders: dict[str, Sent] = {}
        """At the venue."""
        self.waiting: list[tuple[str, Approval]] = []
        """Approved and not sent."""
        self.unbooked: list[Fill] = []
        self.tape: list[Fill] = []
        self.approvals: dict[str, Approval] = {}
        self.marks: list[tuple[Decimal, int]] = []
        self.number = 0
        self._boot()
        self.mark(D(10_000))

    def _boot(self) -> None:
        self.ledger, self.reservations = Ledger(), Reservations()
        self.activity = Activity("USDT")

    def quote(self, symbol: str) -> Quote | None:
        return Quote(symbol=symbol, venue="test", time_ns=self.now, bid=PRICE, ask=PRICE)

    def mark(self, equity: Decimal) -> None:
        self.marks.append((equity, self.now))
        self.activity.marked(equity, self.now)

    def judge(self, wanted: OrderIntent) -> Decision:
        return self.gate.check(
            wanted,
            ledger=self.ledger,
            reservations=self.reservations,
            quote=self.quote(wanted.symbol),
            now=self.now,
            halt=self.halt,
            activity=self.activity,
            marks=self.quote,
        )

    def place(self, workflow: str, symbol: str, side: Side, quantity: str, *, reduce_only: bool = False) -> Decision:
        wanted = intent(side, quantity, workflow=workflow, symbol=symbol, reduce_only=reduce_only)
        decision = self.judge(wanted)
        if decision.approval is not None:
            self.number += 1
            key = f"{self.number:032x}"
            self.reservations.decide(key, decision.approval)
            self.activity.decided(decision.approval)
            self.waiting.append((key, decision.approval))
            self.approvals[key] = decision.approval
        return decision

    def send(self, at: int) -> None:
        key, approval = self.waiting.pop(at % len(self.waiting))
        if not self.reservations.take(key, key, approval):
            refusal = self.gate.still_fits(
                approval,
                ledger=self.ledger,
                reservations=self.reservations,
                now=self.now,
                activity=self.activity,
                marks=self.quote,
            )
            if refusal is not None:
                return
            self.reservations.hold(key, Reservation.of(approval, "submitting"))
        self.orders[key] = Sent(approval, approval.quantity)
        self.reservations.move(key, "acknowledge")

    def withdraw(self, at: int) -> None:
        key, _ = self.waiting.pop(at % len(self.waiting))
        self.reservations.abandon(key)

    def lose(self, key: str) -> None:
        """Nobody knows about the order any more; the venue has it."""
        held = self.reservations.get(key)
        if held is not None and held.state == "acknowledged":
            self.reservations.hold(key, Reservation.of(self.orders[key].approval, "unknown"))

    def find(self, key: str) -> None:
        self.reservations.follow(self.order(key, "acknowledged"))

    def order(self, key: str, status: str) -> Order:
        sent = self.orders[key]
        filled = sent.approval.quantity - sent.left
        ack = Ack(venue="test", client_order_id=key, venue_order_id=key, status="acknowledged")
        order = Order.acknowledged(sent.approval, ack)
        return _with(order, status, filled)

    def end(self, key: str) -> None:
        """The venue ends it, and says so."""
        self.reservations.follow(self.order(key, "cancelled"))
        del self.orders[key]

    def fill(self, key: str, quantity: Decimal) -> None:
        """The venue fills some of it, as far as it can."""
        sent = self.orders[key]
        symbol, side = sent.approval.intent.symbol, sent.approval.intent.side
        held = self.positions.get(symbol, D(0))
        done = min(quantity, sent.left)
        if ":" in symbol and sent.approval.intent.reduce_only:
            done = min(done, abs(held)) if (held > 0) == (side == "sell") else D(0)
        elif ":" not in symbol and side == "sell":
            done = min(done, held + self.owned.get(symbol, D(0)))
        if done <= 0:
            self.end(key)
            return
        self.number += 1
        self.positions[symbol] = held + done if side == "buy" else held - done
        self.unbooked.append(
            Fill(
                venue="test",
                fill_id=str(self.number),
                client_order_id=key,
                venue_order_id=key,
                account="main",
                symbol=symbol,
                side=side,
                price=PRICE,
                quantity=done,
                fee=D(0),
                fee_currency="USDT",
                time=self.now + self.number,
            )
        )
        sent.left -= done
        if not sent.left:
            self.reservations.follow(self.order(key, "filled"))
            del self.orders[key]

    def book(self) -> None:
        """What was filled reaches the books."""
        for one in self.unbooked:
            self.tape.append(one)
            self.ledger.apply(one)
            self.activity.filled(one, self.approvals[one.client_order_id].intent.workflow)
            self.reservations.fill(one.client_order_id, one.quantity)
        self.unbooked = []

    def crash(self) -> None:
        """Forget all but the tape, and fold it again; what was in flight is unresolved until it is found."""
        held = {key: self.reservations.get(key) for key in self.approvals}
        self._boot()
        self.ledger = fold(self.tape)
        for equity, at in self.marks:
            self.activity.marked(equity, at)
        for approval in self.approvals.values():
            self.activity.decided(approval)
        # a state in the middle must give what the whole tape gives
        state = msgspec.json.decode(msgspec.json.encode(self.activity.state()), type=ActivityState)
        self.activity = Activity.of(state)
        for one in self.tape:
            self.activity.filled(one, self.approvals[one.client_order_id].intent.workflow)
            self.reservations.fill(one.client_order_id, one.quantity)
        for key, before in held.items():
            if before is None:
                continue
            approval = self.approvals[key]
            if before.state == "unknown":
                self.reservations.unresolve(key, approval)
            else:
                ack = Ack(venue="test", client_order_id=key, venue_order_id=key, status="acknowledged")
                order = Order.acknowledged(approval, ack)
                self.reservations.follow(_with(order, before.state, before.total), approval)


def _with(order: Order, status: str, filled: Decimal) -> Order:
    return replace(order, status=status, filled=filled)  # type: ignore[arg-type]
