"""The volume of a bar is a multiple of what it was on average."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from tickwork.core.event import Event
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.triggers.base import BarTrigger, Fired
from tickwork.market.triggers.options import bars_of, bars_text, number_text, quotient
from tickwork.values import EXACT, MULTIPLE, DurationLike, Price, Quantity, Symbol, plain, price


class VolumeSpiked(Event, name="market/volume.spiked", version=1):
    """The volume of a bar is a multiple of what it was on average."""

    symbol: Symbol
    venue: str
    bar_time: datetime
    """Start of the bar."""
    known_at: datetime
    """End of the bar."""
    price: Price
    """Its close."""
    volume: Quantity
    average: Quantity
    """Mean volume of the ``window`` bars before it."""
    ratio: Quantity
    """``volume / average``."""
    multiplier: Price
    window: int
    recording: str
    offset: int
    trigger: str = ""
    """The name of the trigger that said so."""

    @property
    def happened_at(self) -> datetime:
        """When the bar was known."""
        return self.known_at


class VolumeSpike(BarTrigger[VolumeSpiked]):
    """Fires when a bar's volume is at least ``multiplier`` times the mean of the ``window`` bars before it.

    While that mean is zero nothing fires: a multiple of nothing says nothing.

    Raises:
        InvalidInput: a multiplier that is a float, not finite or not above one; a window of less than one bar.
    """

    kind = "volume_spike"
    makes = VolumeSpiked

    def __init__(
        self,
        symbol: str,
        multiplier: Decimal | str | int,
        *,
        window: int | str = 20,
        venue: str | None = None,
        interval: DurationLike | None = None,
    ) -> None:
        super().__init__(symbol, venue, interval)
        self.multiplier = price(multiplier, "multiplier", MULTIPLE)
        if self.multiplier <= 1:
            raise InvalidInput("multiplier", self.multiplier, "a multiple above 1")
        self.window = bars_of(window)
        if not self.window:
            raise InvalidInput("window", window, "a number of bars above zero")
        self._volumes: deque[Decimal] = deque()
        self._sum = Decimal(0)

    @property
    def reads_quotes(self) -> bool:
        """Quotes have no volume."""
        return False

    def _words(self) -> list[str]:
        return [number_text(self.multiplier), bars_text(self.window)]

    def _read(self, bar: Bar) -> Fired | None:
        volumes, before = self._volumes, self._sum
        full = len(volumes) == self.window
        volumes.append(bar.volume)
        self._sum = EXACT.add(before, bar.volume)
        if not full:
            return None
        self._sum = EXACT.subtract(self._sum, volumes.popleft())
        # volume / (sum / window) >= multiplier, without the division
        weighed = EXACT.multiply(bar.volume, Decimal(self.window))
        spiked = before > 0 and weighed >= EXACT.multiply(before, self.multiplier)
        if not self._edge(int(spiked)):
            return None
        return Fired(bar, quotient(before, Decimal(self.window)), quotient(weighed, before))

    def _tell(self, fired: Fired, recording: str, offset: int) -> VolumeSpiked:
        bar = fired.bar
        return VolumeSpiked(
            symbol=bar.symbol,
            venue=bar.venue,
            bar_time=bar.start,
            known_at=bar.end,
            price=bar.close,
            volume=bar.volume,
            average=fired.reference,
            ratio=fired.amount,
            multiplier=self.multiplier,
            window=self.window,
            recording=recording,
            offset=offset,
            trigger=str(self),
        )

    def _options(self) -> dict[str, Any]:
        return {"symbol": self.symbol, "multiplier": plain(self.multiplier), "window": self.window}

    def _memory(self) -> dict[str, Any]:
        return {"volumes": [plain(volume) for volume in self._volumes]}

    def _resume(self, state: Mapping[str, Any]) -> None:
        super()._resume(state)
        self._volumes.extend(Decimal(volume) for volume in state["volumes"])
        for volume in self._volumes:
            self._sum = EXACT.add(self._sum, volume)
