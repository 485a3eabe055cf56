"""Where a plan stands: what is left, which legs are done, what is on its way. A value; each change gives the next one.

The law of it: what exits have filled and what is on its way never exceeds the position. An exit order needs a claim,
a claim takes from what is *free*, and free is what is left less what other claims hold.

    free ──(claim)──▶ on its way ──(filled)──▶ done
      ▲                    └──(released: its order ended, was refused)──▶ free again

A claim of a stop *trips* the plan: from then on only stops claim, whatever the price, until nothing is left. Targets
are not like that: one whose order ended unfilled waits for its price again.

Fills may come late, after the release (the order filled while it was being cancelled): they count as well, and if what
is on its way is then more than what is left, ``excess`` says what to cancel.

The same transitions serve the book, in memory, and the fold that reads them from a tape.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec.structs import replace

from tickwork.errors import InvalidInput
from tickwork.trading.exits.fractions import ZERO
from tickwork.trading.exits.legs import Leg, grown, sum_of
from tickwork.trading.exits.plan import ExitPlan, Reason
from tickwork.values import EXACT
from tickwork.values import quantity as check_quantity


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """The right to sell so much of a position: what one exit order is placed for."""

    plan_id: str
    number: int
    """1 for the first claim of a plan; two claims of a plan never have the same."""
    reason: Reason
    quantity: Decimal
    """Base units. Zero: other claims hold everything; there is nothing to place, but ``cancel`` to be done."""
    legs: tuple[int, ...] = ()
    """Which legs it is for; none for a stop."""
    price: Decimal | None = None
    """The bid or ask that made it due; ``None`` where time did."""
    at_ns: int = 0
    """When that was."""
    cancel: tuple[str, ...] = ()
    """Ids of claims whose orders are to be cancelled first: what they give back is due as a stop then."""

    @property
    def id(self) -> str:
        """Plan and number: what the order's run is named by."""
        return f"{self.plan_id}:{self.number}"

    @property
    def is_stop(self) -> bool:
        """Does it close all that is left?"""
        return self.reason != "take_profit"


class Flight(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """A claim on its way."""

    claim: Claim
    filled: Decimal = ZERO
    """Base units its order has executed so far."""

    @property
    def open(self) -> Decimal:
        """Base units it may still execute."""
        return EXACT.subtract(self.claim.quantity, self.filled)


class PlanState(msgspec.Struct, frozen=True, kw_only=True, gc=False, rename="camel", omit_defaults=True):
    """A plan as it stands. ``begin`` makes the first one."""

    plan: ExitPlan
    original: Decimal
    """Base units: the plan's quantity, and what was added to the position since."""
    remaining: Decimal
    """Base units of the position that no exit has sold, and nobody else."""
    legs: tuple[Leg, ...] = ()
    flights: tuple[Flight, ...] = ()
    claims: int = 0
    """How many there were: number of the last one."""
    tripped: Reason | None = None
    """A stop has claimed: the rest goes at whatever price."""
    retry_ns: int = 0
    """Not before this are targets claimed again, or is the rest of a tripped plan."""
    failures: int = 0
    """Claims that ended with nothing filled, since the last fill."""
    break_even: bool = False
    """Has the stop at the entry been set?"""
    best: Decimal | None = None
    """Best price (bid of a long, ask of a short) since trailing began, as far as recorded with the plan; ``None``:
    it has not begun. Marks of the symbol above number ``marks`` may be better."""
    marks: int = 0
    seen_ns: int = 0
    """Time of the newest price that is on record as having moved or claimed something; older ones are not for it."""
    late: Decimal = ZERO
    """Base units of claims that were given back: their orders may yet turn out to have executed them."""
    taken: Decimal = ZERO
    """So much of ``late`` as the holding is already known to have lost: a late fill of it counts no second time."""

    @classmethod
    def begin(cls, plan: ExitPlan) -> PlanState:
        """A plan on which nothing has happened."""
        return cls(plan=plan, original=plan.quantity, remaining=plan.quantity, legs=plan.legs())

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def on_its_way(self) -> Decimal:
        """Base units that claims hold."""
        return sum_of(flight.open for flight in self.flights)

    @property
    def free(self) -> Decimal:
        """Base units that a claim may take."""
        return max(EXACT.subtract(self.remaining, self.on_its_way), ZERO)

    @property
    def busy(self) -> frozenset[int]:
        """Legs that claims are for."""
        return frozenset(leg for flight in self.flights for leg in flight.claim.legs)

    @property
    def closed(self) -> bool:
        """Is nothing left of the position?"""
        return self.remaining == 0

    @property
    def waiting_legs(self) -> list[int]:
        """Legs that wait for their price, nearest first."""
        if self.tripped is not None or not self.free:
            return []
        busy = self.busy
        return [n for n, leg in enumerate(self.legs) if n not in busy and leg.left > 0]

    @property
    def excess(self) -> tuple[Claim, ...]:
        """Claims to cancel because together they hold more than is left: the newest first."""
        too_much = EXACT.subtract(self.on_its_way, self.remaining)
        found: list[Claim] = []
        for flight in reversed(self.flights):
            if too_much <= 0:
                break
            found.append(flight.claim)
            too_much = EXACT.subtract(too_much, flight.open)
        return tuple(found)

    def flight(self, claim: Claim) -> Flight | None:
        """The claim as it is on its way; ``None``: it has ended."""
        return next((flight for flight in self.flights if flight.claim.number == claim.number), None)

    # -- changes --------------------------------------------------------------------------------------------------

    def claimed(self, claim: Claim) -> PlanState:
        """After ``claim``.

        Raises:
            InvalidInput: it is not this plan's next claim, or takes more than is free.
        """
        if claim.plan_id != self.plan.id or claim.number != self.claims + 1:
            raise InvalidInput("claim", claim.id, f"claim {self.claims + 1} of plan {self.plan.id}")
        if not 0 <= claim.quantity <= self.free:
            raise InvalidInput("claim.quantity", claim.quantity, f"at most the {self.free} that are free")
        first_stop = claim.is_stop and self.tripped is None
        return replace(
            self,
            claims=claim.number,
            flights=(*self.flights, Flight(claim)) if claim.quantity else self.flights,
            tripped=claim.reason if first_stop else self.tripped,
            retry_ns=0 if first_stop else self.retry_ns,
            seen_ns=self.seen_ns if claim.price is None else max(self.seen_ns, claim.at_ns),
        )

    def filled(self, claim: Claim, quantity: Decimal) -> PlanState:
        """After so many base units more of the claim's order have executed; also after it was released.

        Raises:
            InvalidInput: another plan's claim, or no quantity above zero.
        """
        self._mine(claim)
        if check_quantity(quantity, "filled.quantity") == 0:
            raise InvalidInput("filled.quantity", quantity, "a quantity above zero")
        flights = []
        for flight in self.flights:
            if flight.claim.number != claim.number:
                flights.append(flight)
            elif flight.open > quantity:
                flights.append(Flight(flight.claim, EXACT.add(flight.filled, quantity)))
        legs = self._legs_after(claim, quantity)
        late, taken = self.late, self.taken
        if self.flight(claim) is None:
            known = min(taken, quantity)
            late = max(EXACT.subtract(late, quantity), ZERO)
            taken = min(EXACT.subtract(taken, known), late)
            quantity = EXACT.subtract(quantity, known)
        remaining = max(EXACT.subtract(self.remaining, quantity), ZERO)
        return replace(self, remaining=remaining, flights=tuple(flights), legs=legs, failures=0, late=late, taken=taken)

    def released(self, claim: Claim, retry_ns: int = 0) -> PlanState:
        """After the claim's order has ended, or was never placed: what it did not fill is free again.

        Args:
            claim: one that was filled whole, or released before, changes nothing.
            retry_ns: not before this time (ns) is that due again.

        Raises:
            InvalidInput: another plan's claim.
        """
        self._mine(claim)
        flight = self.flight(claim)
        if flight is None:
            return self
        flights = tuple(flight for flight in self.flights if flight.claim.number != claim.number)
        # the wait of a target must not hold up a stop that came after it
        holds_up = claim.is_stop or self.tripped is None
        return replace(
            self,
            flights=flights,
            retry_ns=max(self.retry_ns, retry_ns) if holds_up else self.retry_ns,
            failures=self.failures if flight.filled else self.failures + 1,
            late=EXACT.add(self.late, flight.open),
        )

    def resized(self, quantity: Decimal) -> PlanState:
        """After the position became ``quantity`` base units by something else than its exits.

        ``quantity`` is all there is of it now, what is on its way included. If it is less than before, the legs stay
        as they are and the last of them get what is left. If it is more, the original quantity grows by as much:
        legs that have not begun are sized anew, those that have stay as they are. Levels stay where they are.

        Raises:
            InvalidInput: a negative quantity.
        """
        check_quantity(quantity, "position.quantity")
        more = EXACT.subtract(quantity, self.remaining)
        if more <= 0:
            return replace(self, remaining=quantity)
        original = EXACT.add(self.original, more)
        legs = grown(self.legs, original, self.plan.quantity_step, self.busy)
        return replace(self, remaining=quantity, original=original, legs=legs)

    def shrunk(self, quantity: Decimal) -> PlanState:
        """After the holding has turned out to be less than its plans are for, by so much of this one.

        Raises:
            InvalidInput: no quantity above zero, or more than is free: what is on its way may be what is missing.
        """
        if not 0 < check_quantity(quantity, "shrunk.quantity") <= self.free:
            raise InvalidInput("shrunk.quantity", quantity, f"above zero, at most the {self.free} that are free")
        taken = min(EXACT.add(self.taken, quantity), self.late)
        return replace(self, remaining=EXACT.subtract(self.remaining, quantity), taken=taken)

    def trailing_from(self, best: Decimal, marks: int, at_ns: int) -> PlanState:
        """After trailing has begun at a price of a time, with so many marks of its market before."""
        return replace(self, best=best, marks=marks, seen_ns=max(self.seen_ns, at_ns))

    def at_break_even(self, at_ns: int) -> PlanState:
        """After the stop at the entry was set by a price of a time."""
        return replace(self, break_even=True, seen_ns=max(self.seen_ns, at_ns))

    def _mine(self, claim: Claim) -> None:
        if claim.plan_id != self.plan.id or claim.number > self.claims:
            raise InvalidInput("claim", claim.id, f"a claim of plan {self.plan.id}, of which there were {self.claims}")

    def _legs_after(self, claim: Claim, quantity: Decimal) -> tuple[Leg, ...]:
        legs = list(self.legs)
        for n in claim.legs:
            part = min(legs[n].left, quantity)
            legs[n] = replace(legs[n], filled=EXACT.add(legs[n].filled, part))
            quantity = EXACT.subtract(quantity, part)
        return tuple(legs)
