"""What the tape tells of exits, and the views that keep where each plan stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import GetPydanticSchema, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from tickwork.core.event import Event
from tickwork.core.view import View, view
from tickwork.errors import InvalidInput
from tickwork.trading.exits import (
    BestPrice,
    BreakEvenSet,
    Claim,
    ExitPlan,
    Marks,
    PlanState,
    PositionSide,
    TrailingBegan,
)
from tickwork.values import Price, Quantity, Symbol

T = TypeVar("T")


def _reading(cls: type[T]) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if isinstance(value, cls):
            return value
        try:
            return msgspec.convert(value, cls)
        except (msgspec.ValidationError, InvalidInput) as error:
            raise PydanticCustomError("tickwork", "Input should be {expected}", {"expected": str(error)}) from None

    return read


def _schema(cls: type[T]) -> GetPydanticSchema:
    written = core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins, when_used="json")
    read = core_schema.no_info_plain_validator_function(_reading(cls), serialization=written)
    return GetPydanticSchema(lambda _source, _handler: read)


Planned = Annotated[ExitPlan, _schema(ExitPlan), WithJsonSchema({"type": "object"})]
Claimed = Annotated[Claim, _schema(Claim), WithJsonSchema({"type": "object"})]


class ExitPlanOpened(Event, name="exits/plan.opened", version=1):
    """A position is protected from here on."""

    plan: Planned

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return self.plan.id


class ExitPlanChanged(Event, name="exits/plan.changed", version=1):
    """The position is of another size now, by something else than its exits."""

    plan_id: str
    quantity: Quantity
    """Base units there are now."""


class ExitPlanShrunk(Event, name="exits/plan.shrunk", version=1):
    """Less is held than its plans are for: this one is for so much less now."""

    plan_id: str
    quantity: Quantity
    """Base units less."""


class ExitPlanClosed(Event, name="exits/plan.closed", version=1):
    """Nothing is protected any more."""

    plan_id: str
    account: str
    workflow: str
    symbol: Symbol
    reason: str
    """``sold``, ``dust`` (less is left than can be traded), ``nothing held``, ``position gone`` (sold by something else
    than its exits), or what a person or workflow said."""


class ExitTrailing(Event, name="exits/trailing.began", version=1):
    """A plan's trailing stop follows the price from now on."""

    plan_id: str
    best: Price
    marks: int
    at_ns: int

    @classmethod
    def of(cls, began: TrailingBegan) -> ExitTrailing:
        """The event of it."""
        return cls(plan_id=began.plan_id, best=began.best, marks=began.marks, at_ns=began.at_ns)


class ExitAtEntry(Event, name="exits/break_even.set", version=1):
    """A plan's stop stands at its entry from now on."""

    plan_id: str
    stop: Price
    at_ns: int

    @classmethod
    def of(cls, one: BreakEvenSet) -> ExitAtEntry:
        """The event of it."""
        return cls(plan_id=one.plan_id, stop=one.stop, at_ns=one.at_ns)


class ExitStopsMoved(Event, name="exits/stops.moved", version=1):
    """The best price that a market's trailing stops follow has moved by a ratchet: so have all these stops."""

    venue: str
    symbol: Symbol
    side: PositionSide
    number: int
    best: Price
    at_ns: int

    @classmethod
    def of(cls, best: BestPrice) -> ExitStopsMoved:
        """The event of it."""
        return cls(
            venue=best.venue,
            symbol=best.symbol,
            side=best.side,
            number=best.number,
            best=best.price,
            at_ns=best.at_ns,
        )


class ExitClaimed(Event, name="exits/claimed", version=1):
    """So much of a position is to be sold: a run of the workflow ``exit`` does it, named by the claim."""

    claim: Claimed

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return self.claim.plan_id


class ExitPlaced(Event, name="exits/placed", version=1):
    """The venue has a claim's order."""

    claim_id: str
    client_order_id: str
    symbol: Symbol


class ExitFilled(Event, name="exits/filled", version=1):
    """A claim's order has executed so much more."""

    claim: Claimed
    quantity: Quantity
    client_order_id: str
    fill_id: str

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return self.claim.plan_id


class ExitReleased(Event, name="exits/released", version=1):
    """A claim's order has ended, or there never was one: what it did not fill is free again."""

    claim: Claimed
    retry_ns: int
    """Not before this time is it due again."""
    why: str
    """Why it was not filled whole; ``""``: it was."""

    @property
    def plan_id(self) -> str:
        """The plan's id."""
        return self.claim.plan_id


@view(
    "exit-plans",
    on=(
        ExitPlanOpened,
        ExitPlanChanged,
        ExitPlanShrunk,
        ExitPlanClosed,
        ExitTrailing,
        ExitAtEntry,
        ExitClaimed,
        ExitFilled,
        ExitReleased,
    ),
    key=lambda event: event.plan_id,
    version=2,
)
def exit_plans(state: PlanState | None, event: Any) -> PlanState | None:
    """Every open plan by its id."""
    if isinstance(event, ExitPlanOpened):
        return state or PlanState.begin(event.plan)
    if state is None:  # what comes late of a plan that is closed
        return None
    match event:
        case ExitPlanChanged():
            return state.resized(event.quantity)
        case ExitPlanShrunk():
            return state.shrunk(event.quantity)
        case ExitTrailing():
            return state.trailing_from(event.best, event.marks, event.at_ns)
        case ExitAtEntry():
            return state.at_break_even(event.at_ns)
        case ExitClaimed():
            return state.claimed(event.claim)
        case ExitFilled():
            return state.filled(event.claim, event.quantity)
        case ExitReleased():
            return state.released(event.claim, event.retry_ns)
        case _:
            return None


@view("exit-marks", on=ExitStopsMoved, key=lambda event: f"{event.venue} {event.symbol} {event.side}", version=2)
def exit_marks(state: Marks | None, event: ExitStopsMoved) -> Marks:
    """The recorded best prices of every market and side."""
    before = state or Marks(venue=event.venue, symbol=event.symbol, side=event.side)
    return before.after(BestPrice(event.venue, event.symbol, event.side, event.number, event.best, event.at_ns))


@view(
    "exit-orders",
    on=(ExitPlaced, ExitReleased),
    key=lambda event: event.claim_id if isinstance(event, ExitPlaced) else event.claim.id,
)
def exit_orders(_state: str | None, event: Any) -> str | None:
    """Client id of the order of each claim that is on its way."""
    return event.client_order_id if isinstance(event, ExitPlaced) else None


EXIT_VIEWS: tuple[View, ...] = (exit_plans, exit_marks, exit_orders)
"""The views that the engine must be given, beside ``holdings``."""
