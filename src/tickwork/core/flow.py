"""Flow control: when a run may begin, and whether there is one at all. Declared on the workflow.

=================  ====================================================================================================
``key``            runs with the same key take turns, in order (FIFO); those with different keys do not wait for each
                   other. One that retries keeps its place and blocks its own key only; dead or cancelled it lets the
                   next go; redriven it joins at the tail.
``concurrency``    at most so many runs at once, in all and per key. A run counts from its beginning to its end, asleep
                   or not.
``throttle``       at most ``limit`` beginnings in any ``period``; the others wait.
``rate_limit``     at most ``limit`` starts in any ``period``; the others do not happen, with a record of each.
``debounce``       a start waits until nothing has come for ``quiet``; only the last one happens.
``batch``          events are gathered, up to ``max_size`` or for ``timeout``; one run gets the list of them.
``priority``       of those that wait, the highest first; runs of one key stay in order.
``singleton``      while a run of the same key is unfinished another does not happen (``"skip"``), or takes its place
                   (``"cancel"``).
``idempotency``    a second start with the same key within the window gives the first one's run.
``valid_for``      a run that could not begin within this time of what it is about does not happen.
=================  ====================================================================================================

``Turnstile`` is the queue of one workflow: pure, told the time, and rebuilt from rows after a crash.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tickwork.errors import InvalidInput
from tickwork.values import DurationLike, duration

LIMIT_MAX = 10_000
"""Largest ``limit`` of a rate limit or throttle: each remembers that many times."""

BATCH_MAX = 10_000
"""Largest ``max_size`` of a batch."""


PRIORITY_MAX = 1_000_000_000
"""Priorities beyond it, in either direction, count as this."""


def bounded(priority: int) -> int:
    """A priority that fits its column, wherever the number came from."""
    return max(-PRIORITY_MAX, min(PRIORITY_MAX, priority))


def whole(path: str, value: Any, most: int | None = None) -> int:
    """A whole number from 1.

    Raises:
        InvalidInput: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
        raise InvalidInput(path, value, "a whole number from 1" + (f" to {most:,}" if most is not None else ""))
    return value


def _span(path: str, value: Any) -> int:
    span = duration(value, path)
    if span == 0:
        raise InvalidInput(path, value, "a duration above zero")
    return span


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most so many runs at once, in all and for each key."""

    total: int | None = None
    per_key: int | None = None

    def __post_init__(self) -> None:
        for name in ("total", "per_key"):
            if getattr(self, name) is not None:
                whole(f"concurrency.{name}", getattr(self, name))
        if self.total is None and self.per_key is None:
            raise InvalidInput("concurrency", "neither total nor per_key", "at least one of them")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most ``limit`` in any ``period``, of the workflow or of each key."""

    limit: int
    period: DurationLike
    per_key: bool = False
    span: int = field(init=False, repr=False, compare=False)
    """The period in ns."""

    def __post_init__(self) -> None:
        name = type(self).__name__
        whole(f"{name}.limit", self.limit, LIMIT_MAX)
        object.__setattr__(self, "span", _span(f"{name}.period", self.period))

    def scope(self, key: str) -> str:
        """What shares one window with a run of this key: its key, or all of the workflow (``""``)."""
        return key if self.per_key else ""


@dataclass(frozen=True, slots=True)
class Throttle(RateLimit):
    """Like ``RateLimit``; what is too much waits instead of being dropped."""


@dataclass(frozen=True, slots=True)
class Debounce:
    """Wait until nothing has come for ``quiet``, but not longer than ``at_most`` after the first."""

    quiet: DurationLike
    at_most: DurationLike | None = None
    quiet_ns: int = field(init=False, repr=False, compare=False)
    at_most_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "quiet_ns", _span("debounce.quiet", self.quiet))
        most = 0 if self.at_most is None else _span("debounce.at_most", self.at_most)
        if most and most < self.quiet_ns:
            raise InvalidInput("debounce.at_most", self.at_most, f"at least quiet, {self.quiet}")
        object.__setattr__(self, "at_most_ns", most)


@dataclass(frozen=True, slots=True)
class Batch:
    """Gather events up to ``max_size``, or for ``timeout`` after the first."""

    max_size: int
    timeout: DurationLike
    timeout_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole("batch.max_size", self.max_size, BATCH_MAX)
        object.__setattr__(self, "timeout_ns", _span("batch.timeout", self.timeout))


@dataclass(frozen=True, slots=True)
class Idempotency:
    """Starts with the same ``key`` within ``window`` are one start. ``key`` is a function of the input."""

    key: Callable[[Any], str]
    window: DurationLike = "24 hours"
    window_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.key):
            raise InvalidInput("idempotency.key", self.key, "a function of the input that gives a text")
        object.__setattr__(self, "window_ns", _span("idempotency.window", self.window))


@dataclass(frozen=True, slots=True)
class Flow:
    """What a workflow declared."""

    keyed: bool = False
    concurrency: Concurrency | None = None
    rate_limit: RateLimit | None = None
    throttle: Throttle | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    priority: int | Callable[[Any], int] = 0
    singleton: Literal["skip", "cancel"] | None = None
    idempotency: Idempotency | None = None

    def __post_init__(self) -> None:
        kinds: tuple[tuple[str, type], ...] = (
            ("concurrency", Concurrency), ("rate_limit", RateLimit), ("throttle", Throttle), ("debounce", Debounce),
            ("batch", Batch), ("idempotency", Idempotency),
        )  # fmt: skip
        for name, kind in kinds:
            given = getattr(self, name)
            if given is not None and not isinstance(given, kind):
                raise InvalidInput(name, given, f"a {kind.__name__}(...)")
        if not callable(self.priority) and (isinstance(self.priority, bool) or not isinstance(self.priority, int)):
            raise InvalidInput("priority", self.priority, "a whole number, or a function of the input that gives one")
        if self.singleton not in (None, "skip", "cancel"):
            raise InvalidInput("singleton", self.singleton, "'skip' or 'cancel'")
        if self.debounce is not None and self.batch is not None:
            raise InvalidInput("debounce", "debounce and batch", "only one of them")
        if self.rate_limit is not None and (self.debounce is not None or self.batch is not None):
            expected = (
                "neither debounce nor batch beside it: it would count events, not runs; a throttle paces the runs"
            )
            raise InvalidInput("rate_limit", "with debounce or batch", expected)
        per_key = ("concurrency.per_key", self.concurrency is not None and self.concurrency.per_key is not None)
        for name, needs_key in (per_key, *((n, getattr(self, n) is not None and getattr(self, n).per_key)
                                           for n in ("rate_limit", "throttle"))):  # fmt: skip
            if needs_key and not self.keyed:
                raise InvalidInput(name, "per key", "a workflow that declares `key=`")

    def __bool__(self) -> bool:
        """Is anything declared?"""
        return self != _NOTHING

    @property
    def declines(self) -> bool:
        """May it be that a start does not happen?"""
        return self.rate_limit is not None or self.singleton is not None or self.idempotency is not None

    @property
    def total(self) -> int | None:
        """Runs at once, in all."""
        if self.singleton is not None and not self.keyed:
            return 1
        return None if self.concurrency is None else self.concurrency.total

    @property
    def per_key(self) -> int | None:
        """Runs at once with one key."""
        if not self.keyed:
            return None
        return 1 if self.concurrency is None or self.concurrency.per_key is None else self.concurrency.per_key


_NOTHING = Flow()


class Window:
    """At most ``limit`` in any ``span``: the times of the last ones, exactly."""

    __slots__ = ("limit", "span", "times")

    def __init__(self, limit: int, span: int, times: tuple[int, ...] = ()) -> None:
        self.limit = limit
        self.span = span
        self.times: deque[int] = deque(times, maxlen=limit)

    def free_at(self, now: int) -> int:
        """When the next one may come; ``now`` if it may at once."""
        if len(self.times) < self.limit:
            return now
        return max(now, self.times[0] + self.span)

    def take(self, now: int) -> None:
        """One has come."""
        self.times.append(now)


@dataclass(frozen=True, slots=True)
class Place:
    """A run that waits."""

    seq: int
    key: str
    priority: int
    place: int


class Turnstile:
    """Lets the runs of one workflow begin: in order, not too many at once, not too fast."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.holding: dict[int, str] = {}
        """Runs that have begun and not ended, with their keys."""
        self._counts: dict[str, int] = {}
        self._groups: dict[str | int, deque[Place]] = {}
        """What waits, by key; without keys each is a group of its own."""
        self._ready: list[tuple[int, int, str | int]] = []
        """Groups whose first may be able to go: highest priority, then who came first. Stale entries are skipped."""
        self._later: list[tuple[int, int, str | int]] = []
        """Groups that a throttle holds back: until when, place."""
        self._closed_until = 0
        """When a throttle of the whole workflow lets the next one through."""
        self.windows: dict[str, Window] = {}
        """Of the throttle, by key."""
        self.waiting = 0

    def join(self, place: Place) -> None:
        """A run waits for its turn. Of one key, joins come in order of ``place``."""
        group: str | int = place.key if self._flow.keyed else place.seq
        queue = self._groups.setdefault(group, deque())
        queue.append(place)
        self.waiting += 1
        if len(queue) == 1:
            self._push(group, place)

    def holds(self, seq: int) -> bool:
        """Has this run begun?"""
        return seq in self.holding

    def hold(self, seq: int, key: str) -> None:
        """A run has begun (found so after a crash, or in the place of another)."""
        self.holding[seq] = key
        self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, seq: int) -> None:
        """A run is over, or waits no more."""
        key = self.holding.pop(seq, None)
        if key is None:
            self._drop(seq)
            return
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]
        queue = self._groups.get(key) if self._flow.keyed else None
        if queue:
            self._push(key, queue[0])

    def busy(self, key: str) -> list[int]:
        """Unfinished runs of a key, those that wait included."""
        if not self._flow.keyed:
            return [*self.holding, *(place.seq for queue in self._groups.values() for place in queue)]
        begun = [seq for seq, held in self.holding.items() if held == key] if key in self._counts else []
        return begun + [place.seq for place in self._groups.get(key, ())]

    def places(self) -> list[Place]:
        """Runs that wait, those that came first first."""
        return sorted((place for queue in self._groups.values() for place in queue), key=lambda place: place.place)

    def take(self, now: int) -> Place | None:
        """The next run that may begin; from now on it holds its turn."""
        self._closed_until = 0
        while self._later and self._later[0][0] <= now:
            _, _, group = heapq.heappop(self._later)
            if group in self._groups:
                self._push(group, self._groups[group][0])
        total, per_key = self._flow.total, self._flow.per_key
        while self._ready and (total is None or len(self.holding) < total):
            _, number, group = self._ready[0]
            queue = self._groups.get(group)
            if queue is None or queue[0].place != number:
                heapq.heappop(self._ready)
                continue
            first = queue[0]
            if per_key is not None and self._counts.get(first.key, 0) >= per_key:
                heapq.heappop(self._ready)  # it comes back when one of its key leaves
                continue
            free = self._free_at(first.key, now)
            if free > now:
                if self._flow.throttle is not None and not self._flow.throttle.per_key:
                    self._closed_until = free
                    return None
                heapq.heappop(self._ready)
                heapq.heappush(self._later, (free, number, group))
                continue
            heapq.heappop(self._ready)
            self._begin(group, queue, now)
            return first
        return None

    def next_at(self) -> int | None:
        """When to ask again, if only time keeps somebody waiting."""
        times = [self._later[0][0]] if self._later else []
        if self._closed_until and self._ready:
            times.append(self._closed_until)
        return min(times, default=None)

    def _begin(self, group: str | int, queue: deque[Place], now: int) -> None:
        first = queue.popleft()
        self.waiting -= 1
        self.hold(first.seq, first.key)
        throttle = self._flow.throttle
        if throttle is not None:
            self.window(first.key).take(now)
        if queue:
            self._push(group, queue[0])
        else:
            del self._groups[group]

    def window(self, key: str) -> Window:
        """The throttle's window that a key falls under."""
        throttle = self._flow.throttle
        assert throttle is not None
        name = throttle.scope(key)
        window = self.windows.get(name)
        if window is None:
            window = self.windows[name] = Window(throttle.limit, throttle.span)
        return window

    def _free_at(self, key: str, now: int) -> int:
        return now if self._flow.throttle is None else self.window(key).free_at(now)

    def _push(self, group: str | int, place: Place) -> None:
        heapq.heappush(self._ready, (-place.priority, place.place, group))

    def _drop(self, seq: int) -> None:
        for group, queue in self._groups.items():
            for place in queue:
                if place.seq == seq:
                    queue.remove(place)
                    self.waiting -= 1
                    if not queue:
                        del self._groups[group]
                    else:
                        self._push(group, queue[0])
                    return
