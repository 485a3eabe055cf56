"""Standing triggers: those that workflows declare, fed with what comes in, and what they fire.

Pure: it is given placed items and gives events. Each trigger declared is fed once, however many workflows declare it;
its event carries its name, by which it finds them. News and posts are events themselves.

A trigger on bars reads bars where a feed brings bars of its symbol, else quotes, if it can be read from quotes: never
both, because a quote between two bars is no bar. Of several feeds it reads one at a time. A trigger that fails in a way
it should not is set aside, and the others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.core.view import View, view
from tickwork.market.alert_events import AlertTriggered
from tickwork.market.live import Kind, LiveFeed, Placed, brings
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.rule_events import RuleTriggered
from tickwork.market.standing_reader import StandingReader
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
    """The triggers of some workflows, each with its memory, over some feeds.

    Args:
        triggers: as workflows declare them.
        feeds: all that are watched; of two that bring the same the first is heard, see ``StandingReader``.
        silence_ns: how long a feed may be silent before another takes over, by its name.
        complain: is told, with the trigger's name, of each problem when it comes up.
    """

    def __init__(
        self,
        triggers: Iterable[Trigger],
        feeds: Sequence[LiveFeed],
        *,
        silence_ns: Mapping[str, int] | None = None,
        complain: Callable[[str, str], None] | None = None,
    ) -> None:
        self._readers: dict[str, StandingReader] = {}
        self._by_symbol: dict[tuple[Kind, str], list[StandingReader]] = {}
        self._unfed: dict[str, str] = {}
        self._silence_ns = silence_ns or {}
        self._told = complain
        self._problems: dict[str, str] = {}
        for trigger in triggers:
            name = str(trigger)
            if isinstance(trigger, BarTrigger):
                if name not in self._readers and name not in self._problems:
                    self._stand(name, trigger, feeds)
            elif trigger.event is NewsItem and not any("news" in feed.kinds for feed in feeds):
                self._unfed[name] = "news"

    def _stand(self, name: str, trigger: BarTrigger[Any], feeds: Sequence[LiveFeed]) -> None:
        on_quotes = trigger.reads_quotes and trigger.interval_ns is None
        kinds: tuple[Kind, ...] = ("bar", "quote") if on_quotes else ("bar",)
        by_kind: dict[Kind, list[str]] = {
            kind: [feed.name for feed in feeds if brings(feed, kind, trigger.symbol)] for kind in kinds
        }
        kind: Kind = next((kind for kind in kinds if by_kind[kind]), "bar")
        found = by_kind[kind]
        if not found:
            self._unfed[name] = f"{'quotes or bars' if on_quotes else 'bars'} of {trigger.symbol}"
        try:
            fresh = trigger.fresh()
        except Exception as error:  # noqa: BLE001 - one trigger's mistake must not end the others
            self._complain(name, f"set aside until the next start, because it failed: {error!r}")
            return
        reader = StandingReader(fresh, kind, found, self._silence_ns, self._complain)
        self._readers[name] = reader
        if found:
            self._by_symbol.setdefault((kind, trigger.symbol), []).append(reader)

    def _complain(self, name: str, problem: str) -> None:
        known = self._problems.get(name) == problem
        self._problems[name] = problem
        if self._told is not None and not known:
            self._told(name, problem)

    @property
    def problems(self) -> dict[str, str]:
        """What keeps, or kept last, a trigger from hearing, by its name."""
        late = {
            name: f"left out {reader.trigger.late} that came out of order: not newer than what came before"
            for name, reader in self._readers.items()
            if reader.trigger.late
        }
        return {**late, **self._problems}

    def heard(self) -> dict[str, tuple[str, ...]]:
        """The feeds of each trigger that is fed: the first is heard, another when it falls silent."""
        return {name: reader.feeds for name, reader in self._readers.items() if reader.feeds}

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
        found: list[Event] = []
        for reader in self._by_symbol.get((placed.item.kind, what.symbol), ()):
            if only is None or reader.name in only:
                event = reader.read(placed)
                found += [] if event is None else [event]
        return found

    def gone(self, feed: str) -> None:
        """A feed has ended: others take over."""
        for reader in self._readers.values():
            reader.gone(feed)

    def started(self) -> None:
        """Everything recorded has been read; what comes from now on is new."""
        for reader in self._readers.values():
            reader.started()

    def states(self) -> dict[str, Any]:
        """What each trigger remembers, as plain JSON; nothing of those that have been set aside."""
        states = {name: reader.state() for name, reader in self._readers.items()}
        return {name: state for name, state in states.items() if state is not None}

    def resume(self, states: Mapping[str, Any]) -> set[str]:
        """Let triggers go on from what they remembered; returns those that remember nothing."""
        return {name for name, reader in self._readers.items() if name not in states or not reader.resume(states[name])}
