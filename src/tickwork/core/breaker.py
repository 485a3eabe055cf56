"""Breakers: a dependency that fails again and again is left alone for a while.

    closed ── ``threshold`` failures within ``window`` ──▶ open ── ``open_for`` has passed ──▶ half-open
      ▲                                                     ▲                                    │
      │                                                     └────────── a probe fails ───────────┤
      └───────────────────────── ``successes`` probes succeed ───────────────────────────────────┘

A pure state machine: ``Breaker`` is the declaration, ``BreakerState`` what has become of it (plain JSON), times are
arguments (ns since 1970 UTC). A caller asks ``admit`` for a ``Permit`` before each call, and says how it ``ended``.

One rule keeps late news from doing harm: a permit counts only in the period it was given in. So a failure that arrives
while the breaker is open does not make it rest longer, and a call from before the rest does not decide a probe.

A probe that never comes back is given up after ``give_up``, so that half-open ends: its place is free again, and what
it says later is not heard.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from tickwork.core.asks import Effect, GuardedEffect, GuardedStep, Step
from tickwork.core.codec import said
from tickwork.core.event import Event
from tickwork.errors import BreakerOpen, Fatal, InvalidInput, Rejected, StepFailed
from tickwork.values import DurationLike, duration, duration_text

Mode = Literal["closed", "open", "half-open"]
Errors = type[BaseException] | tuple[type[BaseException], ...]
Verdict = Literal["success", "failure", "nothing"]
"""What the end of a call says of the dependency."""
F = TypeVar("F", bound=Callable[..., Any])

GUARD = "__breaker__"
"""The attribute by which a function names the breaker that guards it."""

GUARDED: set[str] = set()
"""Names of the breakers that guard functions by decoration; while it is empty, no function need be asked."""

NAME_MAX = 100
THRESHOLD_MAX = 1_000
WHY_MAX = 300


class BreakerOpened(Event, name="tickwork/breaker.opened"):
    """A dependency failed too often, or was taken out by hand: its breaker lets nothing through until ``retry_at``."""

    breaker: str
    why: str
    retry_at: datetime
    again: bool = False
    """It had been open before, and a probe failed."""


class BreakerClosed(Event, name="tickwork/breaker.closed"):
    """A dependency answers again, or its breaker was reset by hand."""

    breaker: str
    why: str


class Permit(NamedTuple):
    """Leave to make one call."""

    epoch: int
    """The period it was given in."""
    probe: int = -1
    """Its number among the probes of the period; -1: given while the breaker was closed."""


class BreakerState(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What has become of a breaker. Times are ns since 1970 UTC."""

    mode: Mode = "closed"
    since: int = 0
    """When this mode began; 0: it has never changed."""
    epoch: int = 0
    """How often it has changed."""
    failures: tuple[int, ...] = ()
    """Closed: when calls failed, oldest first; those in the window."""
    opened_at: int = 0
    """Open and half-open: when it was opened."""
    retry_at: int = 0
    """Open: when it may be tried again."""
    probes: tuple[tuple[int, int], ...] = ()
    """Half-open: the probes under way, each with when it was admitted."""
    probed: int = 0
    """Half-open: how many probes were admitted."""
    successes: int = 0
    """Half-open: how many of them succeeded."""
    why: str = ""
    """What the last change was for."""


class Breaker:
    """A breaker as declared. Those of one name are one breaker, shared by all runs of an engine.

    It guards steps and effects: ``run.step("quote", fetch, symbol, breaker=api)``, or as a decorator of the function:
    ``@api``. Each attempt is a call of its own.

    Args:
        name: of the dependency, e.g. ``"mexc"``.
        threshold: failures within ``window`` that open it.
        open_for: how long it lets nothing through.
        probes: how many calls may be under way at once when it is half-open.
        successes: how many of them must succeed to close it.
        ignore: classes of errors that say nothing about the dependency.
        count: classes of errors that count as failures though they are ``Fatal``, e.g. a venue's "too many requests".
        give_up: after how long a probe that has not come back is given up.

    Raises:
        InvalidInput: an argument is wrong.
    """

    __slots__ = ("count", "give_up", "ignore", "name", "open_for", "probes", "successes", "threshold", "window")

    def __init__(
        self,
        name: str,
        *,
        threshold: int = 5,
        window: DurationLike = "2 minutes",
        open_for: DurationLike = "60 seconds",
        probes: int = 1,
        successes: int = 2,
        ignore: Errors = (),
        count: Errors = (),
        give_up: DurationLike = "5 minutes",
    ) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= NAME_MAX or not name.isprintable() or name.strip() != name:
            raise InvalidInput("Breaker(name)", name, f"a printable text of 1 to {NAME_MAX} characters")
        path = f"Breaker({name!r})"
        self.name = name
        self.threshold = _at_least_one(threshold, f"{path} threshold")
        if self.threshold > THRESHOLD_MAX:
            raise InvalidInput(f"{path} threshold", threshold, f"at most {THRESHOLD_MAX}: each failure is kept")
        self.window = _positive(window, f"{path} window")
        """ns."""
        self.open_for = _positive(open_for, f"{path} open_for")
        """ns."""
        self.probes = _at_least_one(probes, f"{path} probes")
        self.successes = _at_least_one(successes, f"{path} successes")
        self.ignore = _classes(ignore, f"{path} ignore")
        self.count = _classes(count, f"{path} count")
        self.give_up = _positive(give_up, f"{path} give_up")
        """ns."""

    @property
    def settings(self) -> dict[str, Any]:
        """The declaration as JSON, but for the classes of errors: ``Breaker(name, **settings)`` makes it again."""
        return {
            "threshold": self.threshold,
            "window": duration_text(self.window),
            "open_for": duration_text(self.open_for),
            "probes": self.probes,
            "successes": self.successes,
            "give_up": duration_text(self.give_up),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Breaker):
            return NotImplemented
        return all(getattr(self, field) == getattr(other, field) for field in self.__slots__)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"Breaker({self.name!r}, {', '.join(f'{key}={value!r}' for key, value in self.settings.items())})"

    def __call__(self, fn: F) -> F:
        """Guard a function, wherever a step or an effect calls it; returns the function itself."""
        other = guard_of(fn)
        if other is not None:
            raise InvalidInput(
                f"@{self.name}", f"a function that breaker {other.name!r} guards", "one breaker for each"
            )
        try:
            if not callable(fn):
                raise TypeError
            setattr(fn, GUARD, self)
        except (AttributeError, TypeError):
            expected = "a function; name the breaker where it is called: run.step(..., breaker=...)"
            raise InvalidInput(f"@{self.name}", repr(fn)[:80], expected) from None
        GUARDED.add(self.name)
        return fn

    def verdict(self, error: BaseException | None) -> Verdict:
        """What the end of a call says of the dependency.

        What is not ``Fatal`` is a failure: a time-out, a lost connection, an unknown outcome. ``Rejected`` is a
        success: the dependency answered. Other ``Fatal`` errors are ours (a wrong input, our own gate) and say nothing,
        like a cancellation or a breaker of another name. ``ignore`` and ``count`` come first, in this order.
        """
        if error is None:
            return "success"
        if isinstance(error, self.ignore):
            return "nothing"
        if isinstance(error, self.count):
            return "failure"
        if isinstance(error, Rejected):
            return "success"
        ours = isinstance(error, Fatal | BreakerOpen) or (isinstance(error, StepFailed) and error.fatal)
        return "nothing" if ours or not isinstance(error, Exception) else "failure"

    # -- calls ----------------------------------------------------------------------------------------------------

    def admit(self, state: BreakerState, now: int) -> tuple[BreakerState, Permit | BreakerOpen]:
        """May a call be made now? If so, say later how it ended: ``ended``."""
        if state.mode == "closed":
            return state, Permit(state.epoch)
        if state.mode == "open":
            if now < state.retry_at:
                return state, BreakerOpen(self.name, state.retry_at, state.why)
            rested = _moved(state, "half-open", now, f"it has rested since it was opened ({state.why})")
            state = msgspec.structs.replace(rested, opened_at=state.opened_at)
        under_way = tuple(probe for probe in state.probes if now - probe[1] < self.give_up)
        if len(under_way) >= self.probes:
            many = "its probe is" if self.probes == 1 else f"its {self.probes} probes are"
            return state, BreakerOpen(self.name, now, f"half-open, and {many} still under way")
        permit = Permit(state.epoch, state.probed)
        probes = (*under_way, (permit.probe, now))
        return msgspec.structs.replace(state, probes=probes, probed=state.probed + 1), permit

    def ended(self, state: BreakerState, permit: Permit, now: int, error: BaseException | None = None) -> BreakerState:
        """A call has ended, with ``error`` if it failed."""
        verdict = self.verdict(error)
        if permit.epoch == state.epoch and state.mode == "closed" and verdict == "failure":
            return self._failed(state, now, told(error))
        return self._probed(state, permit, now, verdict, error)

    def dropped(self, state: BreakerState, permit: Permit, now: int) -> BreakerState:
        """Nobody waits for a call any more: how it ends will not be known."""
        return self._probed(state, permit, now, "nothing", None)

    def _probed(
        self, state: BreakerState, permit: Permit, now: int, verdict: Verdict, error: BaseException | None
    ) -> BreakerState:
        """A probe has ended, if it is one, of this period, and has not been given up."""
        left = tuple(probe for probe in state.probes if probe[0] != permit.probe)
        if permit.epoch != state.epoch or len(left) == len(state.probes):
            return state
        if verdict == "failure":
            return self.opened(state, now, f"a probe failed: {told(error)}")
        successes = state.successes + (verdict == "success")
        if successes >= self.successes:
            return _moved(state, "closed", now, f"{successes} of its probes succeeded")
        return msgspec.structs.replace(state, probes=left, successes=successes)

    def _failed(self, state: BreakerState, now: int, why: str) -> BreakerState:
        failures = (*self.recent(state, now), now)
        if len(failures) < self.threshold:
            return msgspec.structs.replace(state, failures=failures)
        many = "a failure" if self.threshold == 1 else f"{self.threshold} failures in {duration_text(self.window)}"
        return self.opened(state, now, f"{many}, the last: {why}")

    def recent(self, state: BreakerState, now: int) -> tuple[int, ...]:
        """When calls failed within the window that ends now."""
        return tuple(at for at in state.failures if now - at < self.window)

    # -- by hand, and after a restart -----------------------------------------------------------------------------

    def opened(self, state: BreakerState, now: int, why: str, open_for: int | None = None) -> BreakerState:
        """Open it, for ``open_for`` ns if that is given."""
        rest = self.open_for if open_for is None else open_for
        return msgspec.structs.replace(_moved(state, "open", now, why), opened_at=now, retry_at=now + rest)

    def reset(self, state: BreakerState, now: int, why: str) -> BreakerState:
        """Close it, and forget its failures."""
        return _moved(state, "closed", now, why)

    def restarted(self, state: BreakerState) -> BreakerState:
        """The process that made the calls is gone: no probe of it will come back."""
        return msgspec.structs.replace(state, probes=()) if state.probes else state


def guard_of(fn: Any) -> Breaker | None:
    """The breaker that guards a function by decoration; of a partial, that of its function."""
    while isinstance(fn, partial) and not hasattr(fn, GUARD):
        fn = fn.func
    found = getattr(fn, GUARD, None)
    return found if isinstance(found, Breaker) else None


def guarded(ask: Step | Effect, breaker: Breaker | None = None) -> Step | Effect:
    """The ask as one that ``breaker`` guards, or the breaker of its function; the ask itself where there is neither."""
    breaker = breaker or (guard_of(ask.fn) if GUARDED else None)
    if breaker is None:
        return ask
    kind = GuardedEffect if isinstance(ask, Effect) else GuardedStep
    return kind(**msgspec.structs.asdict(ask), breaker=breaker)


def told(error: BaseException | None) -> str:
    """An error in a line."""
    return " ".join(f"{type(error).__name__}: {said(error)}".split())[:WHY_MAX]


def _moved(state: BreakerState, mode: Mode, now: int, why: str) -> BreakerState:
    return BreakerState(mode, now, state.epoch + 1, why=why)


def _at_least_one(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(path, value, "a whole number from 1")
    return value


def _positive(value: DurationLike, path: str) -> int:
    ns = duration(value, path)
    if ns == 0:
        raise InvalidInput(path, value, "a duration above zero")
    return ns


def _classes(value: Any, path: str) -> tuple[type[BaseException], ...]:
    found = value if isinstance(value, tuple) else (value,)
    for one in found:
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise InvalidInput(path, one, "a class of exceptions, or a tuple of them")
    return found
