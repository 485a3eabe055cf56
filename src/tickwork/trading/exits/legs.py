"""Legs: how much of a position each level of a ladder sells.

A leg is its share of the *original* quantity, cut down to the venue's quantity step. Of a ladder whose shares make 1
the last leg takes the exact rest, so that nothing is left over. A leg that is worth less than the least notional at its
own price (or less than one step) could not be traded: it is merged into the next one, the last into the one before it.
A ladder of which no leg would be large enough becomes one leg at its last level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import msgspec

from tickwork.trading.exits.fractions import ONE, ZERO
from tickwork.trading.exits.targets import Target
from tickwork.values import EXACT, rounded_down


class Leg(msgspec.Struct, frozen=True, gc=False, rename="camel", omit_defaults=True):
    """A level of a plan's ladder, and how far it is done."""

    profit: Decimal
    """Fraction of the entry price."""
    share: Decimal
    """Fraction of the original quantity, that of legs merged into it included."""
    quantity: Decimal
    """Base units."""
    filled: Decimal = ZERO
    """Of these."""

    @property
    def left(self) -> Decimal:
        """Base units it has yet to sell."""
        return EXACT.subtract(self.quantity, self.filled)


def legs_of(
    targets: Sequence[Target],
    quantity: Decimal,
    step: Decimal,
    min_notional: Decimal,
    price_at: Callable[[Decimal], Decimal],
) -> tuple[Leg, ...]:
    """The legs of a ladder.

    Args:
        targets: its levels, ascending.
        quantity: the original quantity, base units.
        step: what quantities are multiples of.
        min_notional: the least price times quantity that can be traded, in quote currency.
        price_at: the price of a profit.
    """
    whole = sum_of(target.share for target in targets) == ONE
    legs: list[Leg] = []
    carried = ZERO
    for n, target in enumerate(targets):
        share, last = EXACT.add(carried, target.share), n == len(targets) - 1
        size = _size(share, quantity, step, legs if last and whole else None)
        small = size == 0 or EXACT.multiply(size, price_at(target.profit)) < min_notional
        if small and not last:
            carried = share
            continue
        if small and legs:
            before = legs.pop()
            share = EXACT.add(before.share, share)
            size = _size(share, quantity, step, legs if whole else None)
            legs.append(Leg(before.profit, share, size))
        elif size > 0:
            legs.append(Leg(target.profit, share, size))
        carried = ZERO
    return tuple(legs)


def grown(legs: tuple[Leg, ...], quantity: Decimal, step: Decimal, busy: frozenset[int]) -> tuple[Leg, ...]:
    """The legs after the original quantity has grown to ``quantity``.

    What has begun to fill or is ``busy`` (on its way) stays as it is; the others are sized anew.
    """
    whole = sum_of(leg.share for leg in legs) == ONE
    found: list[Leg] = []
    for n, leg in enumerate(legs):
        if leg.filled or n in busy:
            found.append(leg)
            continue
        rest = found if whole and n == len(legs) - 1 else None
        found.append(msgspec.structs.replace(leg, quantity=_size(leg.share, quantity, step, rest)))
    return tuple(found)


def sum_of(values: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    total = ZERO
    for value in values:
        total = EXACT.add(total, value)
    return total


def _size(share: Decimal, quantity: Decimal, step: Decimal, others: list[Leg] | None) -> Decimal:
    """A share of a quantity; with ``others`` what these leave of it."""
    if others is not None:
        return max(EXACT.subtract(quantity, sum_of(leg.quantity for leg in others)), ZERO)
    return rounded_down(EXACT.multiply(share, quantity), step)
