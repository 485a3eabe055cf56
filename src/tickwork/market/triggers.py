"""Triggers: pure objects that read bars and say when something has happened.

A trigger reads one stream: one symbol at one venue in bars of one length. Bars of other symbols pass it by, and where
the trigger names a venue or a bar length (``interval``), those of others too; so does a bar that is not newer than the
last, which makes a redelivered bar harmless. What the trigger does not name it takes from the first bar, and a bar of
another stream is then an error: mixed streams would show moves that no market made.

Triggers are *edge-triggered*. A trigger fires once when its condition becomes true, stays silent while it remains true,
and is armed again when it becomes false. A price change that turns from one side straight to the other has crossed
again, and fires again.

Arithmetic is exact: the condition is compared by multiplication, so a change of precisely the threshold fires, whatever
its digits. ``state()`` is plain JSON from which ``from_state`` goes on.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any, ClassVar, Final, Literal, Self, cast, get_args

import msgspec

from tickwork.core.event import Event
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar
from tickwork.market.recording import Tick
from tickwork.values import (
    EXACT,
    DurationLike,
    Money,
    Price,
    Quantity,
    Symbol,
    duration,
    duration_text,
    plain,
    price,
    symbol,
)

Direction = Literal["any", "up", "down"]
"""Which way a price must move to count."""

_SIXTEEN_PLACES: Final = Decimal("1e-16")
# Wide enough that a quotient of two prices keeps its sixteen places whatever stands before the point.
_ROUNDING: Final = Context(prec=100)
_LONGEST_WINDOW: Final = 1_000_000
_BARS: Final = re.compile(r"(\d{1,7}) bars?", re.ASCII)


class PriceChanged(Event, name="market/price.changed", version=1):
    """A price has moved by at least a threshold within a window."""

    symbol: Symbol
    venue: str
    bar_time: datetime
    """Start of the bar that moved; it was known one bar length later."""
    known_at: datetime
    """End of that bar."""
    price: Price
    """Its close."""
    reference: Price
    """The close one window earlier."""
    change: Money
    """``price / reference - 1``: a fraction, 0.02 is two percent; to sixteen places."""
    direction: Literal["up", "down"]
    threshold: Price
    window: str
    """``"3 bars"`` or a duration such as ``"1h"``."""
    recording: str
    """Name of the recording that holds the bar."""
    offset: int
    """Position of the bar in it."""


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


class Fired(msgspec.Struct, frozen=True):
    """A trigger's yes: the bar, what it was held against, and by how much it went beyond.

    For a price change ``reference`` is the earlier close and ``amount`` the change as a fraction; for a volume spike
    they are the average volume and the ratio to it.
    """

    bar: Bar
    reference: Decimal
    amount: Decimal


class _Trigger(ABC):
    """What triggers share: one stream, in order, on the edge."""

    kind: ClassVar[str]

    def __init__(self, name: str, venue: str | None, interval: DurationLike | None) -> None:
        self.symbol = symbol(name)
        self.venue = venue
        self.interval_ns = None if interval is None else duration(interval, "interval")
        self._stream: tuple[str, int] | None = None
        """Venue and bar length of the bars read so far."""
        self._last_ns = 0
        """Start of the newest bar read; means something once there is a stream."""
        self._side = 0
        """The side on which the condition holds: 1 or -1; 0 when it does not, and the trigger is armed."""

    def on_bar(self, bar: Bar) -> Fired | None:
        """Take the next bar; ``Fired`` if the condition has just become true.

        Raises:
            InvalidInput: the bar belongs to another stream than those before, and the trigger does not say which one
                it reads.
        """
        if bar.symbol != self.symbol:
            return None
        stream = (bar.venue, bar.interval_ns)
        if stream != self._stream:
            if not self._adopts(stream):
                return None
        elif bar.start_ns <= self._last_ns:
            return None
        self._last_ns = bar.start_ns
        return self._read(bar)

    def _adopts(self, stream: tuple[str, int]) -> bool:
        venue, interval_ns = stream
        if self.venue not in (None, venue) or self.interval_ns not in (None, interval_ns):
            return False
        if self._stream is not None:
            found = f"{venue}, {duration_text(interval_ns)}"
            expected = (
                f"bars of {self._stream[0]}, {duration_text(self._stream[1])}; give the trigger venue= and interval="
            )
            raise InvalidInput(f"{self.kind}.{self.symbol}", found, expected)
        self._stream = stream
        return True

    @abstractmethod
    def _read(self, bar: Bar) -> Fired | None:
        """Take a bar of this trigger's own stream."""

    def _edge(self, side: int) -> bool:
        """Remember the side on which the condition holds; True when it has just come to hold there."""
        fires = side not in (0, self._side)
        self._side = side
        return fires

    def _position(self) -> dict[str, Any]:
        """The part of the state that all triggers share."""
        stream = None if self._stream is None else list(self._stream)
        return {"stream": stream, "last_ns": self._last_ns, "side": self._side}

    def _resume(self, state: Mapping[str, Any]) -> None:
        stream = state["stream"]
        self._stream = None if stream is None else (str(stream[0]), int(stream[1]))
        self._last_ns = int(state["last_ns"])
        self._side = int(state["side"])

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as plain JSON."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """A trigger that goes on where the one that gave the state stood.

        Raises:
            InvalidInput: the state of another kind of trigger, or a broken one.
        """
        try:
            if state["kind"] != cls.kind:
                raise ValueError(state["kind"])
            made = cls(**state["options"])
            made._resume(state)
        except (KeyError, TypeError, ValueError, ArithmeticError):
            raise InvalidInput("state", str(dict(state))[:200], f"what {cls.__name__}.state() gave") from None
        return made


class PriceChange(_Trigger):
    """Fires when a close is at least ``threshold`` away from the close one window earlier.

    ``threshold`` is a fraction above zero (``Decimal("0.02")`` is two percent). ``window`` is a number of bars, or a
    duration: then the close is held against the last one known that long before, over a night as well, and not before
    there is one.

    Raises:
        InvalidInput: a threshold that is a float, not finite or not above zero; a window of nothing; an unknown
            direction.
    """

    kind = "price_change"

    def __init__(
        self,
        symbol: str,
        threshold: Decimal | str | int,
        *,
        direction: Direction = "any",
        window: int | DurationLike = 1,
        venue: str | None = None,
        interval: DurationLike | None = None,
    ) -> None:
        super().__init__(symbol, venue, interval)
        self.threshold = price(threshold, "threshold")
        if direction not in get_args(Direction):
            raise InvalidInput("direction", direction, "any, up or down")
        self.direction = direction
        self._bars = bars_of(window)
        self._span_ns = 0 if self._bars else duration(cast(DurationLike, window), "window")
        if not self._bars and not self._span_ns:
            raise InvalidInput("window", window, "a number of bars or a duration, above zero")
        self._closes: deque[tuple[int, Decimal]] = deque()
        """End and close of the bars of one window, the reference first."""

    @property
    def window(self) -> str:
        """``"3 bars"`` or a duration such as ``"1h"``."""
        return f"{self._bars} bar{'s' if self._bars > 1 else ''}" if self._bars else duration_text(self._span_ns)

    def _read(self, bar: Bar) -> Fired | None:
        reference = self._reference(bar.end_ns, bar.close)
        if reference is None:
            return None
        moved = EXACT.subtract(bar.close, reference)
        side = 0
        if abs(moved) >= EXACT.multiply(reference, self.threshold):
            side = 1 if moved > 0 else -1
            if self.direction == ("down" if side > 0 else "up"):
                side = 0
        if not self._edge(side):
            return None
        return Fired(bar, reference, _ROUNDING.divide(moved, reference).quantize(_SIXTEEN_PLACES, context=_ROUNDING))

    def _reference(self, end_ns: int, close: Decimal) -> Decimal | None:
        closes = self._closes
        closes.append((end_ns, close))
        if self._bars:
            if len(closes) > self._bars + 1:
                closes.popleft()
            return closes[0][1] if len(closes) > self._bars else None
        due_ns = end_ns - self._span_ns
        while len(closes) > 1 and closes[1][0] <= due_ns:
            closes.popleft()
        return closes[0][1] if closes[0][0] <= due_ns else None

    def on_tick(self, tick: Tick) -> PriceChanged | None:
        """Like ``on_bar``, for a bar whose place in a recording is known; gives the event to publish."""
        fired = self.on_bar(tick.bar)
        if fired is None:
            return None
        return PriceChanged(
            symbol=fired.bar.symbol,
            venue=fired.bar.venue,
            bar_time=fired.bar.start,
            known_at=fired.bar.end,
            price=fired.bar.close,
            reference=fired.reference,
            change=fired.amount,
            direction="up" if fired.bar.close > fired.reference else "down",
            threshold=self.threshold,
            window=self.window,
            recording=tick.recording,
            offset=tick.offset,
        )

    def state(self) -> dict[str, Any]:
        """See ``_Trigger.state``."""
        options = {
            "symbol": self.symbol,
            "threshold": plain(self.threshold),
            "direction": self.direction,
            "window": self._bars or self.window,
            "venue": self.venue,
            "interval": None if self.interval_ns is None else duration_text(self.interval_ns),
        }
        closes = [[end_ns, plain(close)] for end_ns, close in self._closes]
        return {"kind": self.kind, "options": options, "closes": closes, **self._position()}

    def _resume(self, state: Mapping[str, Any]) -> None:
        super()._resume(state)
        self._closes.extend((int(end_ns), Decimal(close)) for end_ns, close in state["closes"])


class VolumeSpike(_Trigger):
    """Fires when a bar's volume is at least ``multiplier`` times the mean of the ``window`` bars before it.

    While that mean is zero nothing fires: a multiple of nothing says nothing.

    Raises:
        InvalidInput: a multiplier that is a float, not finite or not above one; a window of less than one bar.
    """

    kind = "volume_spike"

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
        self.multiplier = price(multiplier, "multiplier")
        if self.multiplier <= 1:
            raise InvalidInput("multiplier", self.multiplier, "a multiple above 1")
        self.window = bars_of(window)
        if not self.window:
            raise InvalidInput("window", window, "a number of bars above zero")
        self._volumes: deque[Decimal] = deque()
        self._sum = Decimal(0)

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
        average = _ROUNDING.divide(before, Decimal(self.window)).quantize(_SIXTEEN_PLACES, context=_ROUNDING)
        ratio = _ROUNDING.divide(weighed, before).quantize(_SIXTEEN_PLACES, context=_ROUNDING)
        return Fired(bar, average, ratio)

    def on_tick(self, tick: Tick) -> VolumeSpiked | None:
        """Like ``on_bar``, for a bar whose place in a recording is known; gives the event to publish."""
        fired = self.on_bar(tick.bar)
        if fired is None:
            return None
        return VolumeSpiked(
            symbol=fired.bar.symbol,
            venue=fired.bar.venue,
            bar_time=fired.bar.start,
            known_at=fired.bar.end,
            price=fired.bar.close,
            volume=fired.bar.volume,
            average=fired.reference,
            ratio=fired.amount,
            multiplier=self.multiplier,
            window=self.window,
            recording=tick.recording,
            offset=tick.offset,
        )

    def state(self) -> dict[str, Any]:
        """See ``_Trigger.state``."""
        options = {
            "symbol": self.symbol,
            "multiplier": plain(self.multiplier),
            "window": self.window,
            "venue": self.venue,
            "interval": None if self.interval_ns is None else duration_text(self.interval_ns),
        }
        volumes = [plain(volume) for volume in self._volumes]
        return {"kind": self.kind, "options": options, "volumes": volumes, **self._position()}

    def _resume(self, state: Mapping[str, Any]) -> None:
        super()._resume(state)
        self._volumes.extend(Decimal(volume) for volume in state["volumes"])
        for volume in self._volumes:
            self._sum = EXACT.add(self._sum, volume)


def bars_of(window: object) -> int:
    """The number of bars that a window names (``3`` or ``"3 bars"``); 0 when it is a duration instead.

    Raises:
        InvalidInput: a number of bars below 1 or above a million.
    """
    named = _BARS.fullmatch(window) if isinstance(window, str) else None
    if named is None and (isinstance(window, str | timedelta)):
        return 0
    count = int(named.group(1)) if named else window
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _LONGEST_WINDOW:
        raise InvalidInput("window", window, f"a number of bars from 1 to {_LONGEST_WINDOW}, or a duration")
    return count
