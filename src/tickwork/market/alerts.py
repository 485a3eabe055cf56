"""Standing price alerts: what a person asks to be told of, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec

from tickwork.errors import InvalidInput
from tickwork.market.triggers.options import hysteresis_of
from tickwork.values import EXACT, DurationLike, duration, duration_text, price
from tickwork.values import symbol as check_symbol

Condition = Literal["above", "below"]
"""``above``: at the threshold or higher. ``below``: at the threshold or lower."""

_LONGEST_ID: Final = 200
_LONGEST_NOTE: Final = 2_000


@dataclass(frozen=True, slots=True, init=False)
class PriceAlert:
    """Tells its owner when a price has come to a threshold.

    ``above`` fires at a price of ``threshold`` or higher, ``below`` at one of ``threshold`` or lower. It is judged by
    prices later than the newest one known when it was set: if the next is beyond already, it fires then.

    An alert fires once and is gone, unless it is ``recurring``: then it rests for ``cooldown`` after a firing, looking
    at no price, and is armed again as soon as the price stands back beyond ``threshold * (1 - hysteresis)`` (``above``;
    for ``below`` ``1 + hysteresis``). With a hysteresis of zero that is as soon as the price has left the threshold.

    Raises:
        InvalidInput: a field is wrong; names it.
    """

    id: str
    """Unique among all alerts; setting another one of the same id replaces this one."""
    owner: str
    symbol: str
    condition: Condition
    threshold: Decimal
    recurring: bool
    cooldown: str
    """A duration such as ``5m``."""
    hysteresis: Decimal
    """A fraction of the threshold."""
    note: str

    def __init__(
        self,
        id: str,
        owner: str,
        symbol: str,
        condition: Condition,
        threshold: Decimal | str | int,
        recurring: bool = False,
        cooldown: DurationLike = "0s",
        hysteresis: Decimal | str | int = "0",
        note: str = "",
    ) -> None:
        put = object.__setattr__
        put(self, "id", name_of("id", id))
        put(self, "owner", name_of("owner", owner))
        put(self, "symbol", check_symbol(symbol))
        if condition not in get_args(Condition):
            raise InvalidInput("condition", condition, "above or below")
        put(self, "condition", condition)
        put(self, "threshold", price(threshold, "threshold"))
        put(self, "recurring", flag_of("recurring", recurring))
        put(self, "cooldown", duration_text(duration(cooldown, "cooldown")))
        put(self, "hysteresis", hysteresis_of(hysteresis))
        put(self, "note", note_of(note))

    @property
    def above(self) -> bool:
        """Must the price rise to it?"""
        return self.condition == "above"

    @property
    def cooldown_ns(self) -> int:
        """The cooldown in ns."""
        return duration(self.cooldown)


class AlertState(msgspec.Struct, frozen=True, array_like=True):
    """What the tape knows of a standing alert: its definition, and where it is in its life.

    Written as a plain list, because there may be a million of them.
    """

    owner: str
    symbol: str
    condition: Condition
    threshold: Decimal
    recurring: bool = False
    cooldown_ns: int = 0
    hysteresis: Decimal = Decimal(0)
    note: str = ""
    since_ns: int | None = None
    """Time of the price at which it was set (the newest then; ``None``: there was none), fired or was armed again."""
    armed: bool = True
    fired_ns: int | None = None
    """Time of the price at which it last fired."""

    def alert(self, id: str) -> PriceAlert:
        """The definition."""
        cooldown = duration_text(self.cooldown_ns)
        return PriceAlert(
            id, self.owner, self.symbol, self.condition, self.threshold, self.recurring, cooldown, self.hysteresis,
            self.note,
        )  # fmt: skip


class NotedPrice(NamedTuple):
    """A price that was kept, for alerts that cool down."""

    price: Decimal
    at_ns: int


def left_at(threshold: Decimal, hysteresis: Decimal, *, above: bool) -> Decimal:
    """The level that a price must be beyond for an alert to be armed again; exact."""
    margin = hysteresis.copy_negate() if above else hysteresis
    return EXACT.multiply(threshold, EXACT.add(Decimal(1), margin))


def name_of(field: str, value: Any) -> str:
    """Check an id or an owner.

    Raises:
        InvalidInput: empty, not a text, or longer than 200 characters.
    """
    if not isinstance(value, str) or not value or len(value) > _LONGEST_ID:
        raise InvalidInput(field, value, f"a text of 1 to {_LONGEST_ID} characters")
    return value


def flag_of(field: str, value: object) -> bool:
    """Check a yes or no.

    Raises:
        InvalidInput: something else, such as a text.
    """
    if not isinstance(value, bool):
        raise InvalidInput(field, value, "true or false")
    return value


def note_of(value: Any) -> str:
    """Check a note.

    Raises:
        InvalidInput: not a text, or longer than 2,000 characters.
    """
    if not isinstance(value, str) or len(value) > _LONGEST_NOTE:
        raise InvalidInput("note", value, f"a text of at most {_LONGEST_NOTE} characters")
    return value
