"""The files of a paper session, and what its tape says about how far it came.

``paper/started`` binds a tape to its data, its workflows and its settings, and is written last of all when a session
begins; ``paper/finished`` ends it. What is on the tape in between names the bar it came of, so a start knows what has
been published and booked. Files are taken away in such an order that a start killed in the middle is followed by a
fresh one and never by half of an old one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import quote

from pydantic import Field

from tickwork.core.event import Event
from tickwork.errors import InvalidInput, TapeError
from tickwork.market.news import NewsItem
from tickwork.market.recording import Column, Recording
from tickwork.market.standing import what_fired
from tickwork.service.session_tape import DataFile, lacking, reading, remove
from tickwork.service.trading import OrderAccepted, OrderEnded, OrderFilled
from tickwork.trading.orders import ZERO, Fill, Order
from tickwork.values import EXACT, Money, Price

VERSION: Final = 1
"""Of the session: raised when the order of things in an instant changes, because an old tape cannot go on then."""

_COLUMNS: Final[tuple[Column, ...]] = ("open", "high", "low", "close", "volume")

Published = tuple[str, str, int]
"""What makes an event of a recording one and the same: who fired, the recording, the offset."""


class PaperStarted(Event, name="paper/started", version=1):
    """A session begins: on which data, for which workflows."""

    paper: int
    seed: int
    data: tuple[DataFile, ...]
    news: str
    """A digest."""
    workflows: tuple[str, ...]
    """Names, versions and triggers."""
    documents: tuple[str, ...]
    """What identifies the documents they were made of."""
    settings: tuple[str, ...]
    """The rest that figures depend on, in words."""


class PaperFinished(Event, name="paper/finished", version=1):
    """A session has come to the end of its data, and its ledgers agree with the books of its venues."""

    bars: int
    equity: Money
    at: datetime
    """The end of the last bar, or of the time that was asked for."""
    marks: dict[str, dict[str, Price]] = Field(default_factory=dict)
    """The last close of each symbol, by venue: what the equity was reckoned with."""


def data_files(recordings: Iterable[Recording]) -> tuple[DataFile, ...]:
    """What identifies the data of a session."""
    return tuple(DataFile(name=one.name, bars=len(one), digest=_digest(one)) for one in recordings)


def _digest(recording: Recording) -> str:
    head = recording.header
    sum_ = blake2b(f"{head.venue} {head.symbol} {head.interval_ns} {head.first} {head.last}".encode(), digest_size=8)
    for column in _COLUMNS:
        sum_.update(repr(recording.floats(column)).encode())
    return sum_.hexdigest()


def news_digest(items: Iterable[NewsItem]) -> str:
    """What identifies recorded news; empty for none."""
    sum_, some = blake2b(digest_size=8), False
    for item in items:
        sum_.update(item.to_wire())
        some = True
    return sum_.hexdigest() if some else ""


@dataclass(frozen=True, slots=True)
class PaperFiles:
    """Where a session keeps its things."""

    home: Path

    @property
    def tape(self) -> Path:
        """The tape."""
        return self.home / "paper.db"

    @property
    def lock(self) -> Path:
        """Beside this path is the lock that whoever plays the session holds."""
        return self.home / "paper"

    def book(self, venue: str) -> Path:
        """A venue's own book."""
        return self.home / f"paper-{quote(venue, safe='')}.db"

    @property
    def remedy(self) -> str:
        """What a person can do where tape and books are not of one session."""
        return f"restore the books that belong to the tape, or remove the folder {self.home} to begin anew"

    def clear(self) -> None:
        """Take an old session away: the tape first, for without it nothing is ever continued."""
        remove(self.tape)
        for path in self.home.glob("paper-*.db*"):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


@dataclass(slots=True)
class Past:
    """What a tape remembers of an interrupted session; empty for a fresh one."""

    started: PaperStarted | None = None
    finished: bool = False
    published: set[Published] = field(default_factory=set)
    """What triggers fired, and news."""
    fills: dict[tuple[str, int], list[Fill]] = field(default_factory=dict)
    """By recording and offset of the bar they traded on."""
    last_fill: dict[str, int] = field(default_factory=dict)
    """By venue."""
    accepted: dict[str, OrderAccepted] = field(default_factory=dict)
    """By client id."""
    left: dict[str, Decimal] = field(default_factory=dict)
    """Of orders that have not ended: client id -> base units not yet executed."""
    until: int = 0
    """The time (ns) of the last record; 0: none."""

    def note(self, event: Event) -> None:
        """Read the next event of the tape."""
        match event:
            case PaperStarted():
                self.started = event
            case PaperFinished():
                self.finished = True
            case OrderAccepted():
                self.accepted[event.client_order_id] = event
                self.left[event.client_order_id] = event.quantity
            case OrderFilled():
                fill = event.fill()
                self.fills.setdefault((event.recording, event.offset or 0), []).append(fill)
                self.last_fill[event.venue] = max(self.last_fill.get(event.venue, 0), int(event.fill_id))
                left = EXACT.subtract(self.left.pop(event.client_order_id, fill.quantity), fill.quantity)
                if left > ZERO:
                    self.left[event.client_order_id] = left
            case OrderEnded():
                self.left.pop(event.client_order_id, None)
            case _:
                self.published.add(published(event))

    def lacking(self, venue: str, fills: Iterable[Fill], orders: Iterable[str]) -> str:
        """What of this the book of a venue does not hold, in words; empty when it holds everything."""
        ours = (fill for many in self.fills.values() for fill in many if fill.venue == venue)
        mine = (key for key, order in self.accepted.items() if order.venue == venue)
        return lacking(ours, mine, fills, set(orders))

    def working(self) -> list[Order]:
        """The orders that had not ended, as they were accepted; what was filled of them is told by the fills."""
        return [_order(self.accepted[key]) for key in self.left]


def _order(accepted: OrderAccepted) -> Order:
    return Order(
        venue=accepted.venue,
        client_order_id=accepted.client_order_id,
        venue_order_id=accepted.venue_order_id,
        account=accepted.account,
        symbol=accepted.symbol,
        side=accepted.side,
        type=accepted.type,
        quantity=accepted.quantity,
        limit_price=accepted.limit_price,
        reduce_only=accepted.reduce_only,
    )


def published(event: Event) -> Published:
    """What makes an event that a bar or a feed gave rise to one and the same."""
    return what_fired(event), str(getattr(event, "recording", "")), int(getattr(event, "offset", None) or 0)


def read_past(tape: Path, fired: Iterable[type[Event]]) -> Past:
    """What is on the tape at a path; an empty past when there is no tape yet. ``fired``: what triggers make.

    Raises:
        TapeError: the file cannot be read as a tape.
    """
    past = Past()
    ours: tuple[type[Event], ...] = (PaperStarted, PaperFinished, OrderAccepted, OrderFilled, OrderEnded, NewsItem)
    classes: Mapping[str, type[Event]] = {cls.event_name: cls for cls in (*ours, *fired)}
    with reading(tape) as queries:
        if queries is not None:
            for entry in queries.events(*classes):
                past.note(classes[entry.record.name].from_wire(bytes(entry.record.value)))
            _, past.until = queries.reader.end()
    return past


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a session begins."""

    past: Past
    started: PaperStarted
    notice: str
    """What a person should know about it; may be empty."""


def begin(files: PaperFiles, started: PaperStarted, fired: Iterable[type[Event]], *, fresh: bool) -> Beginning:
    """Continue what is there, if it is an interrupted session of the same data and workflows.

    A finished one is cleared away, and so is any other when ``fresh`` is said.

    Raises:
        InvalidInput: an interrupted session of something else is there.
        TapeError: the tape cannot be read, or it has orders at a venue whose book is missing.
    """
    if fresh:
        files.clear()
        return Beginning(Past(), started, "")
    try:
        past = read_past(files.tape, fired)
    except (TapeError, InvalidInput) as error:
        raise TapeError(f"{error}. To begin anew, remove the folder {files.home} or give another --home") from None
    if past.started is None:
        files.clear()
        return Beginning(Past(), started, "")
    if past.finished:
        files.clear()
        return Beginning(Past(), started, "the last session had come to its end: beginning a fresh tape")
    if past.started != started:
        expected = "the one that was interrupted; to finish it give what it was given, else say --fresh, or give "
        found = f"a session {_difference(past.started, started)}"
        raise InvalidInput(f"the tape {files.tape}", found, f"{expected}another --home")
    venues = {order.venue for order in past.accepted.values()}
    for venue in sorted(venues):
        if not files.book(venue).is_file():
            raise TapeError(f"the tape {files.tape} has orders, but {files.book(venue)} is not there: {files.remedy}")
    return Beginning(past, started, "continuing the interrupted session")


def _difference(old: PaperStarted, new: PaperStarted) -> str:
    if old.paper != new.paper:
        return "of another version of tickwork"
    if old.seed != new.seed:
        return f"with seed {old.seed}"
    if old.data != new.data:
        return "of other data (" + ", ".join(file.name for file in old.data) + ")"
    if old.news != new.news:
        return "with other news"
    if (old.workflows, old.documents) != (new.workflows, new.documents):
        return "of other workflows, or of other versions of them (" + ", ".join(old.workflows) + ")"
    changed = [setting for setting in old.settings if setting not in new.settings]
    return "with other settings (" + (", ".join(changed) or "fewer") + ")"
