"""Rules on the positions an owner has, as they are now: prices, deltas, days to expiry."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, get_args

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.alerts import flag_of, left_at, name_of, note_of
from tickwork.market.triggers.options import hysteresis_of, number_text
from tickwork.values import DAYS, DELTA, PRICE, QUANTITY, money, price
from tickwork.values import symbol as check_symbol

RuleKind = Literal["price_above", "price_below", "delta_breach", "dte_warning"]
"""A price strictly above or below the threshold; an absolute delta above it; as many days to expiry or fewer."""


@dataclass(frozen=True, slots=True, init=False)
class Position:
    """What an owner has of a symbol, at one time. A quantity of zero says that the position is closed.

    Raises:
        InvalidInput: a field is wrong; names it.
    """

    owner: str
    symbol: str
    quantity: Decimal
    """Below zero: short."""
    delta: Decimal | None
    """Of the position or of one of its contracts, as the owner's rules mean it; ``None``: not known."""
    dte: int | None
    """Days to expiry; ``None``: it has none, or it is not known."""
    at_ns: int
    """When it was so, ns since 1970 UTC. An older one is no news, and prices of before it was opened are not for it."""

    def __init__(
        self,
        owner: str,
        symbol: str,
        quantity: Decimal | str | int,
        delta: Decimal | str | float | None = None,
        dte: int | None = None,
        *,
        at_ns: int,
    ) -> None:
        put = object.__setattr__
        put(self, "owner", name_of("owner", owner))
        put(self, "symbol", check_symbol(symbol))
        put(self, "quantity", money(quantity, "quantity", QUANTITY))
        put(self, "delta", None if delta is None else _delta(delta))
        if dte is not None and (not isinstance(dte, int) or isinstance(dte, bool)):
            raise InvalidInput("dte", dte, "a whole number of days, or nothing")
        put(self, "dte", dte)
        if not isinstance(at_ns, int) or isinstance(at_ns, bool):
            raise InvalidInput("at_ns", at_ns, "nanoseconds since 1970 UTC")
        put(self, "at_ns", at_ns)


def _delta(value: object) -> Decimal:
    # greeks are computed, so a float is not refused; what is not a number is
    return money(repr(value) if isinstance(value, float) else value, "delta", DELTA)


@dataclass(frozen=True, slots=True, init=False)
class PositionRule:
    """Tells its owner when something becomes true of a position.

    It looks at the position as it is at that moment: of what is closed, or has no delta or no expiry, it says nothing.
    It fires once for each symbol when it becomes true, and again after it was not: a delta or a price must go back by
    ``hysteresis`` for that. One that is not ``recurring`` fires once, and is gone.

    Raises:
        InvalidInput: a field is wrong; names it.
    """

    id: str
    """Unique among all rules; setting another one of the same id replaces this one."""
    owner: str
    kind: RuleKind
    threshold: Decimal
    """A price; a delta without its sign; a whole number of days, which may be zero."""
    symbol: str | None
    """``None``: every position of the owner."""
    recurring: bool
    hysteresis: Decimal
    """A fraction of the threshold."""
    note: str

    def __init__(
        self,
        id: str,
        owner: str,
        kind: RuleKind,
        threshold: Decimal | str | int,
        symbol: str | None = None,
        recurring: bool = True,
        hysteresis: Decimal | str | int = "0",
        note: str = "",
    ) -> None:
        put = object.__setattr__
        put(self, "id", name_of("id", id))
        put(self, "owner", name_of("owner", owner))
        if kind not in get_args(RuleKind):
            raise InvalidInput("kind", kind, f"one of {', '.join(get_args(RuleKind))}")
        put(self, "kind", kind)
        put(self, "threshold", _threshold(kind, threshold))
        put(self, "symbol", None if symbol is None else check_symbol(symbol))
        put(self, "recurring", flag_of("recurring", recurring))
        put(self, "hysteresis", hysteresis_of(hysteresis))
        put(self, "note", note_of(note))

    @property
    def looks_at_prices(self) -> bool:
        """Else it looks at what is told of the position."""
        return self.kind in ("price_above", "price_below")

    def about(self, symbol: str) -> bool:
        """Does it concern positions in this symbol?"""
        return self.symbol in (None, symbol)

    def holds(self, value: Decimal) -> bool:
        """Is it true of a price, a delta or a number of days?"""
        match self.kind:
            case "price_above":
                return value > self.threshold
            case "price_below":
                return value < self.threshold
            case "delta_breach":
                return abs(value) > self.threshold
            case "dte_warning":
                return value <= self.threshold

    def is_over(self, value: Decimal) -> bool:
        """After it has fired: has the price, the delta or the number of days gone back far enough to arm it again?"""
        if self.kind == "dte_warning":
            return value > self.threshold
        back = left_at(self.threshold, self.hysteresis, above=self.kind != "price_below")
        return value >= back if self.kind == "price_below" else abs(value) <= back

    def message(self, symbol: str, value: Decimal) -> str:
        """What to say to a person when it fires."""
        found, limit = number_text(value), number_text(self.threshold)
        match self.kind:
            case "price_above":
                return f"{symbol} is at {found}, above {limit}"
            case "price_below":
                return f"{symbol} is at {found}, below {limit}"
            case "delta_breach":
                return f"{symbol} has a delta of {found}, beyond {limit}"
            case "dte_warning":
                return f"{symbol} expires in {found} day{'' if value == 1 else 's'} (limit {limit})"


def _threshold(kind: RuleKind, value: object) -> Decimal:
    if kind != "dte_warning":
        return price(value, "threshold", DELTA if kind == "delta_breach" else PRICE)
    days = money(value, "threshold", DAYS)
    if days < 0 or days != days.to_integral_value():
        raise InvalidInput("threshold", value, "a whole number of days, zero or more")
    return days


class Mark(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """How far a rule has come with one symbol."""

    since_ns: int
    """Time of the price or position by which it fired or was armed; at first, of the newest price when it was set."""
    beyond: bool = False
    """It has fired and is not armed again."""
    fired_ns: int | None = None
    """Time of the price or position by which it last fired."""


class RuleState(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the tape knows of a rule: its definition, and how far it has come with each symbol."""

    owner: str
    kind: RuleKind
    threshold: Decimal
    symbol: str | None = None
    recurring: bool = True
    hysteresis: Decimal = Decimal(0)
    note: str = ""
    marks: dict[str, Mark] = {}

    def rule(self, id: str) -> PositionRule:
        """The definition."""
        return PositionRule(
            id, self.owner, self.kind, self.threshold, self.symbol, self.recurring, self.hysteresis, self.note
        )
