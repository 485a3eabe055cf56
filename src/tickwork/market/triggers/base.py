"""What all triggers on bars share: one stream, in order, on the edge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final, Generic, Literal, Self, TypeVar

import msgspec

from tickwork.core.conditions import Where
from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.market.recording import Tick
from tickwork.market.triggers.options import word
from tickwork.values import DurationLike, duration, duration_text, symbol

Made = TypeVar("Made", bound=Event)
"""The event that a trigger makes."""

_QUOTE_NS: Final = 1
"""How long a quote is, as a bar."""


class Fired(msgspec.Struct, frozen=True):
    """A trigger's yes: the bar, what it was held against, and by how much it went beyond.

    ``reference`` and ``amount`` are, for a price change, the earlier close and the change as a fraction; for a volume
    spike the average volume and the ratio to it; for a crossing the level and how far beyond it the close is, as a
    fraction; for volatility the limit and the volatility itself.
    """

    bar: Bar
    reference: Decimal
    amount: Decimal
    direction: Literal["up", "down"] = "up"
    """Which way it went."""


def bar_of(quote: Quote) -> Bar:
    """A quote as a trigger reads it: a bar of one nanosecond at the mid, which ends when the venue said it."""
    mid = quote.mid
    return Bar(quote.symbol, quote.venue, quote.time_ns - _QUOTE_NS, _QUOTE_NS, mid, mid, mid, mid, Decimal(0))


class BarTrigger(Trigger, ABC, Generic[Made]):
    """Reads the bars of one stream and says when its condition has become true.

    One declared on a workflow is a template: whoever runs it takes a ``fresh()`` one, feeds it with ``on_tick`` and
    publishes what that returns. The event carries the trigger's name, by which it finds the workflow.
    """

    makes: ClassVar[type[Event]]

    def __init__(self, name: str, venue: str | None, interval: DurationLike | None) -> None:
        self.symbol = symbol(name)
        if venue is not None and (not isinstance(venue, str) or not venue):
            raise InvalidInput("venue", venue, "a venue's name")
        self.venue = venue
        self.interval_ns = None if interval is None else duration(interval, "interval")
        self._stream: tuple[str, int] | None = None
        """Venue and bar length of the bars read so far."""
        self._last_ns = 0
        """Start of the newest bar read; means something once there is a stream."""
        self.late = 0
        """How many bars and quotes of its stream it has left out since it was made: not newer than the last one."""
        self._side = 0
        """The side on which the condition holds: 1 or -1; 0 when it does not, and the trigger is armed."""

    # -- the declaration ------------------------------------------------------------------------------------------

    @property
    def event(self) -> type[Made]:
        """The event it makes."""
        return self.makes  # type: ignore[return-value]

    @property
    def where(self) -> Where:
        """Of these events its own: those that carry its name."""
        return Where(self.event, {"trigger": str(self)})

    @property
    def reads_quotes(self) -> bool:
        """Can it be fed with quotes as well as with bars?"""
        return True

    def __str__(self) -> str:
        places = []
        if self.venue is not None:
            places.append(f"venue={word(self.venue)}")
        if self.interval_ns is not None:
            places.append(f"interval={duration_text(self.interval_ns)}")
        return " ".join([self.kind, self.symbol, *self._words(), *places])

    def __repr__(self) -> str:
        return f"<{self}>"

    @abstractmethod
    def _words(self) -> list[str]:
        """What tells it from others of its kind and symbol: every option, also those that were not given."""

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """The arguments that declare it, as plain JSON, without venue and interval."""

    def fresh(self) -> Self:
        """Another one of the same declaration, which has read nothing yet."""
        return type(self)(**self._declared())

    def _declared(self) -> dict[str, Any]:
        interval = None if self.interval_ns is None else duration_text(self.interval_ns)
        return {**self._options(), "venue": self.venue, "interval": interval}

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def stream(self) -> tuple[str, int] | None:
        """Venue and bar length (ns; 1 for quotes) of what it has read so far; ``None``: nothing yet."""
        return self._stream

    def on_bar(self, bar: Bar) -> Fired | None:
        """Take the next bar; ``Fired`` if the condition has just become true.

        A bar that does not begin after the last one is left out. Quotes may be of one time: a venue's clock is coarse.

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
        elif bar.start_ns < self._last_ns + (bar.interval_ns > _QUOTE_NS):
            self.late += 1
            return None
        self._last_ns = bar.start_ns
        return self._read(bar)

    def on_tick(self, tick: Tick) -> Made | None:
        """Like ``on_bar``, for a bar whose place in a recording is known; gives the event to publish."""
        fired = self.on_bar(tick.bar)
        return None if fired is None else self._tell(fired, tick.recording, tick.offset)

    def on_quote(self, quote: Quote, recording: str = "", offset: int = 0) -> Made | None:
        """Like ``on_tick``, for a quote, of which the mid counts.

        Raises:
            InvalidInput: a trigger that needs bars (see ``reads_quotes``), or as ``on_bar``.
        """
        if not self.reads_quotes:
            raise InvalidInput(str(self), "a quote", "bars: it counts them, or needs their volume")
        return self.on_tick(Tick(recording, offset, bar_of(quote)))

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

    @abstractmethod
    def _tell(self, fired: Fired, recording: str, offset: int) -> Made:
        """The event of a firing."""

    def _edge(self, side: int) -> bool:
        """Remember the side on which the condition holds; True when it has just come to hold there."""
        fires = side not in (0, self._side)
        self._side = side
        return fires

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything needed to go on, as plain JSON."""
        stream = None if self._stream is None else list(self._stream)
        return {
            "kind": self.kind,
            "options": self._declared(),
            "stream": stream,
            "last_ns": self._last_ns,
            "side": self._side,
            **self._memory(),
        }

    def _memory(self) -> dict[str, Any]:
        """What a kind of trigger remembers besides."""
        return {}

    def _resume(self, state: Mapping[str, Any]) -> None:
        stream = state["stream"]
        self._stream = None if stream is None else (str(stream[0]), int(stream[1]))
        self._last_ns = int(state["last_ns"])
        self._side = int(state["side"])

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
