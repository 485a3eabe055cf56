"""Standing triggers: those that workflows declare, fed with what comes in, and what they fire.

Pure: it is given placed items and gives events. Each trigger declared is fed once, however many workflows declare it;
its event carries its name, by which it finds them. News and posts are events themselves.

A trigger on bars reads bars where a feed brings bars of its symbol, else quotes, if it can be read from quotes: never
both, because a quote between two bars is no bar.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.core.view import View, view
from tickwork.errors import InvalidInput
from tickwork.market.alert_events import AlertTriggered
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import Kind, LiveFeed, Placed
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.rule_events import RuleTriggered
from tickwork.market.triggers import PriceChanged, PriceCrossed, VolatilityRose, VolumeSpiked
from tickwork.market.triggers.base import BarTrigger

_PLACED: Final[tuple[type[Event], ...]] = (
    AlertTriggered,
    NewsItem,
    PriceChanged,
    PriceCrossed,
    RuleTriggered,
    SocialPost,
    VolatilityRose,
    VolumeSpiked,
)
"""The product's own events that name a place in a recording."""


def what_fired(event: Event) -> str:
    """Who fired: the trigger that an event names, or else the event's own name."""
    return str(getattr(event, "trigger", "")) or event.event_name


def _key(event: Any) -> str:
    return f"{event.recording} {what_fired(event)}"


def firings(triggers: Iterable[Trigger] = ()) -> View:
    """The view of how far each trigger has fired: ``"<recording> <trigger>"`` -> the offset of its last firing.

    It is a fold of the fired events themselves, so it knows of a firing exactly when the tape does. ``triggers``: those
    whose events are not the product's own; they must have ``recording`` and ``offset``, too.
    """
    others = {trigger.event for trigger in triggers if isinstance(trigger, BarTrigger)} - set(_PLACED)
    events = [*_PLACED, *sorted(others, key=lambda event: event.event_name)]

    @view("market/firings", on=events, key=_key)
    def fold(state: int | None, event: Any) -> int | None:
        return state if event.offset is None else max(event.offset, -1 if state is None else state)

    return fold


def fired_until(state: Mapping[str, int], recording: str) -> dict[str, int]:
    """Of what ``firings`` says, how far each trigger has fired in one recording."""
    found = (key.partition(" ") for key in state)
    return {trigger: state[f"{name} {trigger}"] for name, _, trigger in found if name == recording}


@dataclass(frozen=True, slots=True)
class UnfedTrigger:
    """A trigger that waits for what no feed brings."""

    trigger: str
    needs: str
    """Such as ``bars of BTC/USDT``."""


class Unfed(Event, name="market/unfed", version=1):
    """What waits for what no feed brings has changed. This is all of it now."""

    triggers: tuple[UnfedTrigger, ...]
    alerts: tuple[str, ...]
    """Symbols for whose prices alerts, or rules on positions, wait."""
    known_at: datetime

    @property
    def happened_at(self) -> datetime:
        """When it was noticed."""
        return self.known_at


@view("market/unfed", on=Unfed, key=lambda event: "")
def unfed(state: Unfed | None, event: Unfed) -> Unfed | None:  # noqa: ARG001 - of every fold
    """The last of them, if it names anything."""
    return event if event.triggers or event.alerts else None


class StandingTriggers:
    """The triggers of some workflows, each with its memory, over some feeds."""

    def __init__(self, triggers: Iterable[Trigger], feeds: Sequence[LiveFeed]) -> None:
        self._readers: dict[str, BarTrigger[Any]] = {}
        self._bars: dict[str, list[BarTrigger[Any]]] = {}
        self._quotes: dict[str, list[BarTrigger[Any]]] = {}
        self._unfed: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        """What a trigger complained of first, by its name: mixed streams, mostly."""
        for trigger in triggers:
            if isinstance(trigger, BarTrigger):
                if str(trigger) not in self._readers:
                    self._stand(trigger.fresh(), feeds)
            elif trigger.event is NewsItem and not any("news" in feed.kinds for feed in feeds):
                self._unfed[str(trigger)] = "news"

    def _stand(self, trigger: BarTrigger[Any], feeds: Sequence[LiveFeed]) -> None:
        self._readers[str(trigger)] = trigger
        if _brings(feeds, "bar", trigger.symbol):
            self._bars.setdefault(trigger.symbol, []).append(trigger)
        elif trigger.reads_quotes and trigger.interval_ns is None and _brings(feeds, "quote", trigger.symbol):
            self._quotes.setdefault(trigger.symbol, []).append(trigger)
        else:
            what = "quotes or bars" if trigger.reads_quotes and trigger.interval_ns is None else "bars"
            self._unfed[str(trigger)] = f"{what} of {trigger.symbol}"

    def unfed(self) -> list[UnfedTrigger]:
        """The triggers that wait for what no feed brings, sorted by name."""
        return [UnfedTrigger(trigger, needs) for trigger, needs in sorted(self._unfed.items())]

    @property
    def names(self) -> Collection[str]:
        """The triggers that have a memory."""
        return self._readers.keys()

    def feed(self, placed: Placed, only: Collection[str] | None = None) -> list[Event]:
        """Take the next item; the events to publish. ``only``: the triggers that take it; default: all."""
        what = placed.item.what
        if isinstance(what, NewsItem | SocialPost):
            return [what.replace(recording=placed.recording, offset=placed.offset)] if only is None else []
        readers = self._bars if isinstance(what, Bar) else self._quotes
        found: list[Event] = []
        for reader in readers.get(what.symbol, ()):
            if only is None or str(reader) in only:
                event = self._read(reader, placed)
                found += [] if event is None else [event]
        return found

    def _read(self, reader: BarTrigger[Any], placed: Placed) -> Event | None:
        what, tick = placed.item.what, placed.tick
        try:
            if tick is not None:
                return reader.on_tick(tick)
            return reader.on_quote(what, placed.recording, placed.offset) if isinstance(what, Quote) else None
        except InvalidInput as error:
            self.problems.setdefault(str(reader), str(error))
            return None

    def states(self) -> dict[str, Any]:
        """What each trigger remembers, as plain JSON."""
        return {name: reader.state() for name, reader in self._readers.items()}

    def resume(self, states: Mapping[str, Any]) -> set[str]:
        """Let triggers go on from what they remembered; returns those that remember nothing."""
        new: set[str] = set()
        for name, reader in list(self._readers.items()):
            try:
                again = type(reader).from_state(states[name])
            except (KeyError, InvalidInput):
                new.add(name)
                continue
            self._readers[name] = again
            for readers in (self._bars.get(again.symbol, []), self._quotes.get(again.symbol, [])):
                readers[:] = [again if one is reader else one for one in readers]
        return new


def _brings(feeds: Iterable[LiveFeed], kind: Kind, symbol: str) -> bool:
    return any(kind in feed.kinds and symbol in feed.symbols for feed in feeds)
