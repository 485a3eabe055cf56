"""An exit plan: the rules, and the position they are for."""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal, get_args

import msgspec

from tickwork.errors import InvalidInput
from tickwork.trading.exits.fractions import ONE, ZERO, put
from tickwork.trading.exits.legs import Leg, legs_of
from tickwork.trading.exits.rules import ExitRules
from tickwork.values import EXACT, MAX_NS, price, quantity
from tickwork.values import symbol as check_symbol

PositionSide = Literal["long", "short"]
Reason = Literal["stop_loss", "hard_stop", "break_even", "trailing_stop", "time_limit", "take_profit"]
"""Why an exit is due. All but the last are stops: they close all that is left."""


class ExitPlan(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """How one holder gets out of one position.

    Raises:
        InvalidInput: a field is wrong, or a level is on the wrong side of the entry or below a price of zero; names it.
    """

    id: str
    """Unique among all plans, for good."""
    account: str
    workflow: str
    owner: str
    """``""``: nobody in particular."""
    venue: str
    """By whose prices it is judged."""
    symbol: str
    side: PositionSide
    quantity: Decimal
    """Base units of the position when the plan was made: the original quantity, of which targets sell shares."""
    entry_price: Decimal
    """Quote currency per unit of base."""
    opened_ns: int
    """ns since 1970 UTC; a time limit counts from here."""
    rules: ExitRules
    quantity_step: Decimal
    """Quantities at the venue are multiples of this; base units."""
    min_notional: Decimal = ZERO
    """The least price times quantity that the venue takes; quote currency."""

    def __post_init__(self) -> None:
        for name in ("id", "account", "workflow", "owner", "venue"):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > _LONGEST or not (value or name == "owner"):
                raise InvalidInput(f"plan.{name}", value, f"a text of 1 to {_LONGEST} characters")
        check_symbol(self.symbol, "plan.symbol")
        if self.side not in get_args(PositionSide):
            raise InvalidInput("plan.side", self.side, "long or short")
        put(self, "quantity", price(self.quantity, "plan.quantity"))
        put(self, "entry_price", price(self.entry_price, "plan.entryPrice"))
        put(self, "quantity_step", price(self.quantity_step, "plan.quantityStep"))
        put(self, "min_notional", quantity(self.min_notional, "plan.minNotional"))
        if not isinstance(self.opened_ns, int) or not 0 <= self.opened_ns <= MAX_NS - (self.rules.max_hold_ns or 0):
            raise InvalidInput("plan.openedNs", self.opened_ns, "ns since 1970 UTC")
        self._check_levels()

    def _check_levels(self) -> None:
        rules = self.rules
        at = rules.stop_price
        if at is not None and self.key(at) >= self.key(self.entry_price):
            side = "below" if self.is_long else "above"
            raise InvalidInput("plan.rules.stopPrice", at, f"a price {side} the entry at {self.entry_price}")
        if self.is_long:
            return
        profits = [(f"takeProfit[{n}].profit", target.profit) for n, target in enumerate(rules.take_profit)]
        if rules.trailing is not None:
            profits.append(("trailing.activation", rules.trailing.activation))
        if rules.break_even is not None:
            profits.append(("breakEven.after", rules.break_even.after))
        for name, profit in profits:
            if profit >= 1:
                raise InvalidInput(f"plan.rules.{name}", profit, "a fraction below 1: no price falls below zero")

    @property
    def is_long(self) -> bool:
        """Does it gain when the price rises?"""
        return self.side == "long"

    @property
    def deadline_ns(self) -> int | None:
        """When the time limit is over, in ns since 1970 UTC."""
        held = self.rules.max_hold_ns
        return None if held is None else self.opened_ns + held

    def price_at(self, profit: Decimal) -> Decimal:
        """The price at which the profit, as a fraction of the entry price, is that; negative for a loss. Exact."""
        factor = EXACT.add(ONE, profit) if self.is_long else EXACT.subtract(ONE, profit)
        return EXACT.multiply(self.entry_price, factor)

    def key(self, at: Decimal) -> Decimal:
        """A price such that more is better for the position: the price itself, or negated for a short.

        It is its own inverse.
        """
        # copy_negate is exact; a minus sign would round to the digits of the current context
        return at if self.is_long else at.copy_negate()

    def legs(self) -> tuple[Leg, ...]:
        """The legs of its ladder, none of them done."""
        targets = self.rules.take_profit
        return legs_of(targets, self.quantity, self.quantity_step, self.min_notional, self.price_at)

    def fixed_stops(self, *, break_even: bool) -> list[tuple[Decimal, Reason]]:
        """Its stops that do not trail: keys (see ``key``) and reasons; with the one at the entry, if that is set."""
        rules, found = self.rules, list[tuple[Decimal, Reason]]()
        if rules.hard_stop is not None:
            found.append((self.key(self.price_at(-rules.hard_stop)), "hard_stop"))
        if rules.stop_loss is not None:
            found.append((self.key(self.price_at(-rules.stop_loss)), "stop_loss"))
        if rules.stop_price is not None:
            found.append((self.key(rules.stop_price), "stop_loss"))
        if break_even and rules.break_even is not None:
            found.append((self.key(self.price_at(rules.break_even.offset)), "break_even"))
        return found


_LONGEST: Final = 200
