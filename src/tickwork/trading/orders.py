"""What an order is, from the wish to the fill.

Theory of operation. Four things that trading code likes to confuse have four types here:

* ``OrderIntent``: what a workflow wants. Anyone may make one; it binds nobody.
* ``ApprovedOrder``: what the risk gate let through. Only the gate can make one (``__post_init__`` asks for its seal),
  it cannot be read back from JSON and ``dataclasses.replace`` refuses it. What the tape keeps is the ``Approval`` it
  stands for; after a restart the gate seals that again. There is no other way to a venue.
* ``Order``: the venue's account of it. Its life is a table, ``order_life``; a move that is not in it raises.
* ``Fill``: one execution, numbered by the venue. Money moves by fills alone.

All are frozen. Money, prices and quantities are ``Decimal`` and texts in JSON; times are integer ns since 1970 UTC.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final, Literal

from tickwork.errors import InvalidInput, TickworkError
from tickwork.trading.limits import Reading
from tickwork.trading.order_life import FINAL, OrderState, moved
from tickwork.values import EXACT, money, price, quantity, symbol

Side = Literal["buy", "sell"]
OrderType = Literal["market", "limit"]
TimeInForce = Literal["gtc", "ioc", "fok"]
"""Good till cancelled; immediate or cancel (what is not filled at once is cancelled); fill or kill (all or nothing)."""

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """What a workflow wants done.

    Exactly one of ``quantity`` (base units) and ``notional`` (quote currency) is given; a limit order has a
    ``limit_price``, a market order has none; an order that only reduces is given by ``quantity``.
    ``reference_price`` is the price the decision was made on, with its time, its source and, where it came from a
    recording, its offset there; the gate compares it with a fresh quote. It may be missing or not a number: then the
    gate refuses, as a value, so that the refusal is on the tape.

    Raises:
        InvalidInput: a field is missing, contradicts another, or is a float where money is due.
    """

    account: str
    owner: str
    workflow: str
    symbol: str
    side: Side
    type: OrderType = "market"
    quantity: Decimal | None = None
    notional: Decimal | None = None
    limit_price: Decimal | None = None
    time_in_force: TimeInForce = "gtc"
    """Of a limit order; a market order is immediate by nature."""
    reduce_only: bool = False
    leverage: Decimal = Decimal(1)
    """Of an order in a contract: notional over margin. 1 on a spot pair."""
    agent: str = ""
    """Who decided it, where that is not the workflow: an analyst, a person."""
    retry_until: int | None = None
    """Until when (ns) to try again where the venue says "not yet": the end of a launch window."""
    reason: str = ""
    reference_price: Decimal | None = None
    reference_time: int = 0
    """When the reference price was true, in ns since 1970 UTC."""
    reference_source: str = ""
    reference_offset: int | None = None

    def __post_init__(self) -> None:
        symbol(self.symbol, "intent.symbol")
        _one_of(self.side, ("buy", "sell"), "intent.side")
        _one_of(self.type, ("market", "limit"), "intent.type")
        if (self.quantity is None) == (self.notional is None):
            raise InvalidInput("intent.quantity", self.quantity, "exactly one of quantity and notional")
        if self.reduce_only and self.quantity is None:
            # a notional needs a price to become a quantity, and a reduction must work when there is no price
            raise InvalidInput("intent.notional", self.notional, "a quantity: an order that only reduces needs one")
        if (self.limit_price is None) != (self.type == "market"):
            raise InvalidInput(
                "intent.limitPrice", self.limit_price, "a price on a limit order, none on a market order"
            )
        _one_of(self.time_in_force, ("gtc", "ioc", "fok"), "intent.timeInForce")
        if self.type == "market" and self.time_in_force != "gtc":
            raise InvalidInput("intent.timeInForce", self.time_in_force, "none on a market order: it is immediate")
        object.__setattr__(self, "leverage", _leverage(self.leverage, self.symbol))
        # frozen: the checked, canonical decimals can only be put in place this way
        if self.quantity is not None:
            object.__setattr__(self, "quantity", _above_zero(quantity(self.quantity, "intent.quantity"), "quantity"))
        if self.notional is not None:
            object.__setattr__(self, "notional", _above_zero(money(self.notional, "intent.notional"), "notional"))
        if self.limit_price is not None:
            object.__setattr__(self, "limit_price", price(self.limit_price, "intent.limitPrice"))
        object.__setattr__(self, "reference_price", _reference(self.reference_price))


def _reference(value: object) -> Decimal | None:
    """A reference price as it came: a NaN is kept, because refusing it is the gate's to do and to record."""
    return value if value is None or isinstance(value, Decimal) else money(value, "intent.referencePrice")


def _leverage(value: object, symbol: str) -> Decimal:
    leverage = money(value, "intent.leverage")
    if leverage < 1 or (leverage != 1 and ":" not in symbol):
        raise InvalidInput("intent.leverage", leverage, "1 on a spot pair, 1 or more on a contract")
    return leverage


def _one_of(value: str, allowed: tuple[str, ...], path: str) -> None:
    if value not in allowed:
        raise InvalidInput(path, value, f"one of {', '.join(allowed)}")


def _above_zero(value: Decimal, name: str) -> Decimal:
    if value <= 0:
        raise InvalidInput(f"intent.{name}", value, f"a {name} above zero")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What the gate decided to let through, as the tape keeps it. Plain data: it opens no door by itself."""

    intent: OrderIntent
    quantity: Decimal
    """Base units, on the venue's quantity step; a reduction is capped at the position."""
    limit_price: Decimal | None
    """On the venue's price tick, rounded to the passive side."""
    valuation_price: Decimal
    """Quote currency per base unit, the worst case the limits were counted with; zero for an unpriced reduction."""
    quote_price: Decimal | None
    """The side of the fresh quote that the order would meet; ``None`` for a reduction made without a quote."""
    quote_time: int
    """When that quote was true, in ns."""
    approved_at: int
    """In ns."""
    expires_at: int
    """In ns: past it the order is not sent any more, because the prices it was judged by are history."""
    warnings: tuple[Reading, ...] = ()
    """Limits that this order brings near their end."""


_SEAL: Final = object()
"""Known to this module and to ``gate``; the tests prove that no other module names it."""


@dataclass(frozen=True, slots=True)
class ApprovedOrder:
    """An order the gate let through; the only thing a venue takes. See the module's text for who can make one."""

    approval: Approval
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only RiskGate makes an ApprovedOrder; give the desk an OrderIntent")

    @property
    def account(self) -> str:
        """The account it trades on."""
        return self.approval.intent.account

    @property
    def symbol(self) -> str:
        """What it trades."""
        return self.approval.intent.symbol

    @property
    def side(self) -> Side:
        """Buy or sell."""
        return self.approval.intent.side

    @property
    def type(self) -> OrderType:
        """Market or limit."""
        return self.approval.intent.type

    @property
    def quantity(self) -> Decimal:
        """Base units; what was approved, not what was wished for."""
        return self.approval.quantity

    @property
    def limit_price(self) -> Decimal | None:
        """The worst price it may trade at; ``None`` for a market order."""
        return self.approval.limit_price

    @property
    def reduce_only(self) -> bool:
        """The venue must never let it open or turn a position."""
        return self.approval.intent.reduce_only

    @property
    def time_in_force(self) -> TimeInForce:
        """How long it stands; of no meaning on a market order."""
        return self.approval.intent.time_in_force


def require_approved(order: object) -> ApprovedOrder:
    """``order``, if it is what only the gate makes. Types say so too, but types do not run.

    Raises:
        InvalidInput: it is anything else.
    """
    if type(order) is not ApprovedOrder:
        raise InvalidInput("order", type(order).__name__, "an ApprovedOrder; give the desk an OrderIntent")
    return order


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """The venue has the order: what a submission gives, and what a look-up of a lost submission gives."""

    venue: str
    client_order_id: str
    venue_order_id: str
    status: OrderState


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution. ``fill_id`` is the venue's own number for it, unique within venue and symbol, never reused."""

    venue: str
    fill_id: str
    client_order_id: str
    venue_order_id: str
    account: str
    symbol: str
    side: Side
    price: Decimal
    quantity: Decimal
    fee: Decimal
    """In ``fee_currency``; a rebate is negative."""
    fee_currency: str
    time: int
    """In ns: when it traded. On a recording, the start of the bar."""
    offset: int | None = None
    """Offset of that bar in its recording."""

    @property
    def rank(self) -> tuple[object, ...]:
        """By this fills are put in order: time, venue, symbol, number; numbers that are digits go by their value."""
        return (self.time, self.venue, self.symbol, len(self.fill_id) if self.fill_id.isdigit() else 0, self.fill_id)

    @property
    def notional(self) -> Decimal:
        """Price times quantity, exact, in quote currency."""
        return EXACT.multiply(self.price, self.quantity)

    @property
    def signed_quantity(self) -> Decimal:
        """Base units: above zero for a buy, below for a sell."""
        return self.quantity if self.side == "buy" else EXACT.minus(self.quantity)


_DISPLAY = Context(prec=28, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as the venue sees it."""

    venue: str
    client_order_id: str
    venue_order_id: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None = None
    reduce_only: bool = False
    time_in_force: TimeInForce = "gtc"
    status: OrderState = "acknowledged"
    filled: Decimal = ZERO
    """Base units executed so far."""
    filled_notional: Decimal = ZERO
    """Sum of price times quantity over its fills, exact, in quote currency."""
    fee: Decimal = ZERO
    """Sum of its fills' fees."""
    fee_currency: str = ""
    reason: str = ""
    """Why the venue ended it, when it did."""
    time: int = 0
    """When the venue accepted it, by the venue's clock, in ns; 0 where it does not say."""

    @classmethod
    def acknowledged(cls, approval: Approval, ack: Ack) -> Order:
        """What the tape knows of an order after its submission: that it is there, and nothing of its fills yet."""
        intent = approval.intent
        return cls(
            venue=ack.venue,
            client_order_id=ack.client_order_id,
            venue_order_id=ack.venue_order_id,
            account=intent.account,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            quantity=approval.quantity,
            limit_price=approval.limit_price,
            reduce_only=intent.reduce_only,
            time_in_force=intent.time_in_force,
            time=approval.approved_at,
        )

    @property
    def remaining(self) -> Decimal:
        """Base units that may still execute; zero once it is final."""
        return ZERO if self.status in FINAL else EXACT.subtract(self.quantity, self.filled)

    @property
    def average_price(self) -> Decimal | None:
        """``filled_notional / filled`` to 28 digits, for reading; the exact figure is ``filled_notional``."""
        return _DISPLAY.divide(self.filled_notional, self.filled) if self.filled else None

    def with_fill(self, fill: Fill) -> Order:
        """The order after ``fill``.

        Raises:
            IllegalMove: it has ended.
            TickworkError: the fill is larger than what was left.
        """
        filled = EXACT.add(self.filled, fill.quantity)
        if filled > self.quantity:
            raise TickworkError(f"order {self.client_order_id} of {self.quantity} cannot be filled to {filled}")
        return replace(
            self,
            status=moved(self.status, "complete" if filled == self.quantity else "fill"),
            filled=filled,
            filled_notional=EXACT.add(self.filled_notional, fill.notional),
            fee=EXACT.add(self.fee, fill.fee),
            fee_currency=fill.fee_currency,
        )

    def ended(self, move: Literal["cancel", "reject", "expire"], reason: str) -> Order:
        """The order after the venue ended it, whatever was filled of it.

        Raises:
            IllegalMove: it has ended already.
        """
        rest = move == "cancel" and self.filled > 0
        return replace(self, status=moved(self.status, "cancel_rest" if rest else move), reason=reason)

    def ack(self) -> Ack:
        """What a submission of this order answers."""
        return Ack(
            venue=self.venue,
            client_order_id=self.client_order_id,
            venue_order_id=self.venue_order_id,
            status=self.status,
        )
