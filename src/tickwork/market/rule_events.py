"""What the tape tells of rules on positions, and the view that keeps where each of them stands."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field

from tickwork.core.event import Event
from tickwork.core.view import view
from tickwork.market.position_rules import Mark, PositionRule, RuleKind, RuleState
from tickwork.market.rule_index import RuleFired, RuleReset
from tickwork.values import Money, Quantity, Symbol, from_ns


class RuleSet(Event, name="market/rule.set", version=1):
    """Somebody wants to be told of positions. One of the same id is replaced."""

    id: str
    owner: str
    kind: RuleKind
    threshold: Quantity
    symbol: Symbol | None
    recurring: bool
    hysteresis: Quantity
    note: str
    seen: dict[str, int]
    """Time (ns) of the newest price of each symbol it looked at when it was set."""

    @classmethod
    def of(cls, rule: PositionRule, seen: dict[str, int]) -> RuleSet:
        """The event of a rule."""
        return cls(
            id=rule.id,
            owner=rule.owner,
            kind=rule.kind,
            threshold=rule.threshold,
            symbol=rule.symbol,
            recurring=rule.recurring,
            hysteresis=rule.hysteresis,
            note=rule.note,
            seen=seen,
        )


class RuleCancelled(Event, name="market/rule.cancelled", version=1):
    """Somebody does not want to be told any more."""

    id: str
    owner: str


class PositionAlert(BaseModel):
    """What became true of a position, for people."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    type: RuleKind
    symbol: Symbol
    message: str
    timestamp: datetime
    """When it was so."""


class RuleTriggered(Event, name="market/rule.triggered", version=1):
    """A rule has become true of a position. On the wire with the names that listeners of ``position_alert`` expect."""

    type: Literal["position_alert"] = "position_alert"
    id: str
    """The rule's."""
    owner: str = Field(alias="userId")
    alert: PositionAlert
    threshold: Quantity
    value: Money
    """The price, the delta or the days."""
    quantity: Money
    """Of the position."""
    recurring: bool
    note: str = ""
    at_ns: int
    """When it was so, to the nanosecond."""
    recording: str = ""
    """Where the price stands recorded, and at which offset; nothing where no price made it true."""
    offset: int | None = None

    @classmethod
    def of(cls, fired: RuleFired, recording: str, offset: int | None) -> RuleTriggered:
        """The event of a firing."""
        rule, position = fired.rule, fired.position
        told = PositionAlert(
            type=rule.kind,
            symbol=position.symbol,
            message=rule.message(position.symbol, fired.value),
            timestamp=from_ns(fired.at_ns),
        )
        return cls(
            id=rule.id,
            owner=rule.owner,
            alert=told,
            threshold=rule.threshold,
            value=fired.value,
            quantity=position.quantity,
            recurring=rule.recurring,
            note=rule.note,
            at_ns=fired.at_ns,
            recording=recording,
            offset=offset,
        )

    @property
    def happened_at(self) -> datetime:
        """When it was so."""
        return self.alert.timestamp


class RuleRearmed(Event, name="market/rule.rearmed", version=1):
    """It is not true any more, or the position is closed: the rule is armed again for the symbol."""

    id: str
    owner: str
    symbol: Symbol
    at_ns: int
    """Time of the price or position that showed it."""

    @classmethod
    def of(cls, rearmed: RuleReset) -> RuleRearmed:
        """The event of an arming."""
        return cls(id=rearmed.id, owner=rearmed.owner, symbol=rearmed.symbol, at_ns=rearmed.at_ns)


@view("market/position-rules", on=(RuleSet, RuleCancelled, RuleTriggered, RuleRearmed), key=lambda event: event.id)
def position_rules(state: RuleState | None, event: Any) -> RuleState | None:
    """Every standing rule by its id."""
    match event:
        case RuleSet():
            return RuleState(
                event.owner,
                event.kind,
                event.threshold,
                event.symbol,
                event.recurring,
                event.hysteresis,
                event.note,
                {symbol: Mark(since_ns) for symbol, since_ns in event.seen.items()},
            )
        case RuleTriggered() if state is not None and state.recurring:
            return _marked(state, event.alert.symbol, Mark(event.at_ns, beyond=True, fired_ns=event.at_ns))
        case RuleRearmed() if state is not None:
            before = state.marks.get(event.symbol)
            return _marked(state, event.symbol, Mark(event.at_ns, fired_ns=before.fired_ns if before else None))
        case _:
            return None


def _marked(state: RuleState, symbol: str, mark: Mark) -> RuleState:
    return replace(state, marks={**state.marks, symbol: mark})
