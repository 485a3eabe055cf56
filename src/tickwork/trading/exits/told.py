"""What a book of exits tells: what is due, what to record, and why a price was not judged."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from tickwork.trading.exits.plan import ExitPlan, PositionSide, Reason
from tickwork.trading.exits.state import Claim


class ExitDue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """So much of a position is to be sold (bought back, of a short) now.

    It is told again at each price for which it still holds, until it is claimed.
    """

    plan: ExitPlan
    number: int
    """Of the claim that it would be."""
    reason: Reason
    quantity: Decimal
    """Base units, all of them free. Zero for a stop while other claims hold everything: it is to be claimed too, so
    that the plan is tripped, and ``cancel`` done."""
    legs: tuple[int, ...] = ()
    """Of a target: every level that the price has reached, as one exit."""
    level: Decimal | None = None
    """The price it waited for: the stop, or the highest of these levels; ``None`` where time made it due."""
    price: Decimal | None = None
    """The bid (long) or ask (short) that reached it; ``None`` where time did."""
    at_ns: int
    """When that was, in ns since 1970 UTC."""
    cancel: tuple[str, ...] = ()
    """Of a stop: ids of claims whose orders are to be cancelled first."""

    def claim(self) -> Claim:
        """The claim it asks for; binding only once the book has taken it (``ExitBook.claim``)."""
        return Claim(
            plan_id=self.plan.id,
            number=self.number,
            reason=self.reason,
            quantity=self.quantity,
            legs=self.legs,
            price=self.price,
            at_ns=self.at_ns,
            cancel=self.cancel,
        )


class TrailingBegan(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A plan's profit has reached the activation of its trailing stop."""

    plan_id: str
    best: Decimal
    """What the stop follows first: the price that did it, or the entry, if that is better."""
    marks: int
    """Best prices of its market that had been recorded before."""
    at_ns: int


class BreakEvenSet(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A plan's stop stands at its entry from now on."""

    plan_id: str
    stop: Decimal
    at_ns: int


class BestPrice(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """The best price that trailing stops of a market follow has moved by a ratchet.

    One record for all plans of a venue, symbol and side: each follows the best of those after it began.
    """

    venue: str
    symbol: str
    side: PositionSide
    number: int
    """1 for the first of its market."""
    price: Decimal
    """A bid for longs, an ask for shorts."""
    at_ns: int


Moved = TrailingBegan | BreakEvenSet | BestPrice
"""What must be recorded so that a restart finds the stops where they stood."""


class Marks(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel"):
    """The recorded best prices of a market, as far as any plan can still need them."""

    venue: str
    symbol: str
    side: PositionSide
    number: int = 0
    """Of the last one."""
    prices: tuple[tuple[int, Decimal], ...] = ()
    """Numbers, ascending, and prices, each less good than the one before: what a later, better one hides is dropped."""
    at_ns: int = 0
    """Time of the last one."""

    def after(self, best: BestPrice) -> Marks:
        """With one more."""
        longs = self.side == "long"
        kept = [(n, price) for n, price in self.prices if (price > best.price if longs else price < best.price)]
        prices = (*kept, (best.number, best.price))
        return msgspec.structs.replace(self, number=best.number, prices=prices, at_ns=best.at_ns)

    def best_after(self, number: int) -> Decimal | None:
        """The best of those after the ``number``-th; ``None``: there was none."""
        return next((price for n, price in self.prices if n > number), None)


class Unjudged(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A price that decided nothing, and why."""

    venue: str
    symbol: str
    why: Literal["missing", "not_a_price", "crossed", "stale", "future", "older"]
    """``older``: than one that was judged before. ``future``: further ahead than a price may be old."""
    found: str
    at_ns: int | None
    """Time of the price; ``None`` where it has none."""


class Judged(msgspec.Struct, frozen=True, gc=False):
    """What a price or a time has come to. First record ``moved``, then claim what is ``due``."""

    due: tuple[ExitDue, ...] = ()
    """Sorted by plan."""
    moved: tuple[Moved, ...] = ()
    unjudged: Unjudged | None = None


class StopAt(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Where a plan's nearest stop stands."""

    price: Decimal
    reason: Reason
