"""Liquidations: positions of others that a venue closes by force, because their collateral is used up.

Some venues tell of them in their feeds, others do not; whoever hears of one publishes this event. Tickwork reads no
such feed itself yet: a webhook or a workflow of one's own can publish it.

The fields are not called side, quantity and notional, because an order of a run that it starts would take those of what
started the run for its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tickwork.core.event import Event
from tickwork.values import Money, Price, Quantity, Symbol


class Liquidation(Event, name="market/liquidation", version=1):
    """One position has been closed by force, or a part of it."""

    id: str = Field(min_length=1)
    """The venue's, or whatever names it once."""
    venue: str
    symbol: Symbol
    position: Literal["long", "short"]
    """What closes a long one is sold."""
    price: Price
    """At which it was closed; quote currency per base unit."""
    size: Quantity
    """Base units."""
    value: Money
    """Price times size, in quote currency."""
    known_at: datetime
    """When it was first read here."""

    @property
    def happened_at(self) -> datetime:
        """When it became known: from then on its age counts."""
        return self.known_at
