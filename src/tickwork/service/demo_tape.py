"""The demo's files, and what its tape says about how far it came.

The tape is the only memory: ``demo/started`` names the data and the seed, every event that a bar gave rise to names
the bar, ``demo/finished`` ends it. From these a start decides whether to continue, and from where. Files are taken
away in such an order that a start killed in the middle is followed by a fresh one and never by half of an old one.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Final

import msgspec
from pydantic import Field

from tickwork.core.event import Event
from tickwork.errors import TapeError
from tickwork.market.recording import Recording
from tickwork.market.triggers import PriceChanged, VolumeSpiked
from tickwork.service.session_tape import DataFile, lacking, reading, remove
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled
from tickwork.trading.orders import Fill
from tickwork.values import Money, Price, timestamp_ns

VERSION: Final = 1
"""Of the demo: raised when its triggers change, because an old tape cannot be continued by other triggers."""

Moved = PriceChanged | VolumeSpiked
"""What a trigger makes of a bar."""


class DemoStarted(Event, name="demo/started", version=1):
    """A demo begins: on which data, with which seed."""

    demo: int
    seed: int
    data: tuple[DataFile, ...]


class DemoFinished(Event, name="demo/finished", version=1):
    """A demo has come to the end of its data, and its ledger agrees with the venue's book."""

    bars: int
    equity: Money
    marks: dict[str, Price] = Field(default_factory=dict)
    """The last close of each symbol that was traded."""
    at: datetime | None = None
    """The end of the last bar."""


def data_files(recordings: Iterable[Recording]) -> tuple[DataFile, ...]:
    """What identifies the data of a demo."""
    return tuple(
        DataFile(name=recording.name, bars=len(recording), digest=_digest(recording)) for recording in recordings
    )


def _digest(recording: Recording) -> str:
    sum_ = blake2b(digest_size=8)
    for column in (recording.floats("open"), recording.floats("close"), recording.floats("volume")):
        sum_.update(repr(column).encode())
    return sum_.hexdigest()


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Where a demo keeps its things."""

    home: Path

    @property
    def tape(self) -> Path:
        """The tape."""
        return self.home / "demo.db"

    @property
    def book(self) -> Path:
        """The paper venue's own book."""
        return self.home / "demo-venue.db"

    @property
    def lock(self) -> Path:
        """Beside this path is the lock that whoever plays the demo holds."""
        return self.home / "demo"

    @property
    def remedy(self) -> str:
        """What a person can do where tape and book are not of one demo."""
        return f"restore the book {self.book} that belongs to the tape, or remove the folder {self.home} to begin anew"

    def clear(self) -> None:
        """Take an old demo away: the tape first, for without it nothing is ever continued."""
        for path in (self.tape, self.book):
            remove(path)


@dataclass(slots=True)
class Past:
    """What a tape remembers of an interrupted demo; empty for a fresh one."""

    started: DemoStarted | None = None
    finished: bool = False
    moved: set[tuple[str, str, int]] = field(default_factory=set)
    """Name, recording and offset of the trigger events."""
    fills: dict[tuple[str, int], list[Fill]] = field(default_factory=dict)
    """By recording and offset of the bar they traded on."""
    last_fill: int = 0
    orders: set[str] = field(default_factory=set)
    """Client ids of those the venue accepted."""
    until: int = 0
    """The latest instant (ns) of which the tape knows anything; 0: none."""

    def note(self, event: Event) -> None:
        """Read the next event of the tape."""
        match event:
            case DemoStarted():
                self.started = event
            case DemoFinished():
                self.finished = True
            case PriceChanged() | VolumeSpiked():
                self.moved.add(identity(event))
                self._reached(event.known_at)
            case OrderFilled():
                self.fills.setdefault((event.recording, event.offset or 0), []).append(event.fill())
                self.last_fill = max(self.last_fill, int(event.fill_id))
                self._reached(event.known_at)
            case OrderAccepted():
                self.orders.add(event.client_order_id)
            case OrderEnded():
                self._reached(event.known_at)
            case _:
                pass

    def lacking(self, fills: Iterable[Fill], orders: Container[str]) -> str:
        """What of this a venue's book does not hold, in words; empty when it holds everything."""
        return lacking(chain.from_iterable(self.fills.values()), self.orders, fills, orders)

    def _reached(self, time: datetime) -> None:
        self.until = max(self.until, timestamp_ns(time))


def identity(event: Moved) -> tuple[str, str, int]:
    """What makes a trigger's event one and the same."""
    return event.event_name, event.recording, event.offset


_EVENTS: Final[dict[str, type[Event]]] = {
    cls.event_name: cls
    for cls in (DemoStarted, DemoFinished, PriceChanged, VolumeSpiked, OrderAccepted, OrderFilled, OrderEnded)
}


def read_past(tape: Path) -> Past:
    """What is on the tape at a path; an empty past when there is no tape yet.

    Raises:
        TapeError: the file cannot be read as a tape.
    """
    past = Past()
    with reading(tape) as queries:
        for entry in queries.events(*_EVENTS) if queries is not None else ():
            past.note(_EVENTS[entry.record.name].from_wire(bytes(entry.record.value)))
    return past


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a demo begins."""

    past: Past
    started: DemoStarted
    notice: str
    """What a person should know about it; may be empty."""


def begin(files: DemoFiles, started: DemoStarted) -> Beginning:
    """Continue what is there, if it is an interrupted demo of the same data and seed; else clear it away.

    Raises:
        TapeError: the tape cannot be read, or it has orders and the book is missing.
    """
    try:
        past = read_past(files.tape)
    except TapeError as error:
        raise TapeError(f"{error}. To begin anew, remove the folder {files.home} or give another --home") from None
    if past.started is None:
        files.clear()
        return Beginning(Past(), started, "")
    if past.finished:
        files.clear()
        return Beginning(Past(), started, "the last demo had come to its end: beginning a fresh tape")
    if past.started != started:
        files.clear()
        return Beginning(Past(), started, f"the tape is of {_difference(past.started, started)}: beginning a fresh one")
    if past.orders and not files.book.is_file():
        raise TapeError(f"the tape {files.tape} has orders, but the venue's book is not there: {files.remedy}")
    return Beginning(past, started, "continuing the interrupted demo")


def _difference(old: DemoStarted, new: DemoStarted) -> str:
    if old.demo != new.demo:
        return "another version of the demo"
    if old.seed != new.seed:
        return f"seed {old.seed}"
    return "other data (" + ", ".join(file.name for file in old.data) + ")"


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a demo came to. Money is text."""

    bars: int
    events: int
    runs: int
    orders: int
    fills: int
    fees: str
    equity: str
    pnl: str
    max_drawdown: float
    """A fraction of the highest equity before."""
    sharpe: float | None
    """Of daily returns; see ``DemoSession.summary``."""
    tape: str
