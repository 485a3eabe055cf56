"""Breakers against a naive one that only keeps lists of what happened."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from tickwork.core.asks import Effect, GuardedEffect, GuardedStep, Step
from tickwork.core.breaker import GUARD, Breaker, BreakerState, Permit, guard_of, guarded
from tickwork.errors import (
    BreakerOpen,
    Cancelled,
    Fatal,
    InvalidInput,
    NotSent,
    Refused,
    Rejected,
    StepFailed,
    TimedOut,
    Unknown,
)

SECOND = 1_000_000_000
API = Breaker("api")
DOWN = ConnectionError("down")


class Naive:
    """What a breaker must do, told by the whole story: every change of mode, every failure, every call."""

    def __init__(self, breaker: Breaker) -> None:
        self.of = breaker
        self.changes: list[tuple[int, str]] = [(0, "closed")]
        self.failures: list[int] = []
        """Of the present mode."""
        self.good: int = 0
        self.until = 0
        self.calls: dict[int, dict[str, Any]] = {}

    @property
    def mode(self) -> str:
        return self.changes[-1][1]

    def change(self, now: int, mode: str) -> None:
        self.changes.append((now, mode))
        self.failures, self.good = [], 0

    def under_way(self, now: int) -> list[int]:
        return [
            id
            for id, call in self.calls.items()
            if call["change"] == len(self.changes) and call["open"] and now - call["at"] < self.of.give_up
        ]

    def ask(self, id: int, now: int) -> bool:
        if self.mode == "open" and now >= self.until:
            self.change(now, "half-open")
        if self.mode == "open":
            return False
        if self.mode == "half-open":
            alive = self.under_way(now)
            if len(alive) >= self.of.probes:
                return False
            for other, call in self.calls.items():  # room is made for one more: those that hang are given up
                if call["change"] == len(self.changes) and other not in alive:
                    call["open"] = False
        self.calls[id] = {"change": len(self.changes), "at": now, "open": True}
        return True

    def end(self, id: int, now: int, verdict: str) -> None:
        call = self.calls[id]
        if not call["open"] or call["change"] != len(self.changes):
            return
        call["open"] = False
        if self.mode == "closed":
            if verdict == "failure":
                self.failures.append(now)
                lately = [at for at in self.failures if at > now - self.of.window]
                if len(lately) >= self.of.threshold:
                    self.open(now)
        elif verdict == "failure":
            self.open(now)
        elif verdict == "success":
            self.good += 1
            if self.good >= self.of.successes:
                self.change(now, "closed")

    def open(self, now: int, rest: int | None = None) -> None:
        self.change(now, "open")
        self.until = now + (self.of.open_for if rest is None else rest)


OUTCOMES: dict[str, list[BaseException | None]] = {
    "success": [None, Rejected("venue", "no")],
    "failure": [DOWN, TimedOut("step 'a'", "5s"), Unknown("?"), NotSent("?"), StepFailed("x:Y", "?")],
    "nothing": [InvalidInput("a", 1, "b"), Refused("limit"), Cancelled("x"), StepFailed("x:Y", "?", True)],
}


class BreakerMachine(RuleBasedStateMachine):
    """Any calls in any order at any times: both breakers let the same through and stand alike."""

    calls: Bundle[tuple[int, Permit]] = Bundle("calls")

    @initialize(
        threshold=st.integers(1, 4),
        window=st.integers(1, 30),
        open_for=st.integers(1, 20),
        probes=st.integers(1, 3),
        successes=st.integers(1, 4),
        give_up=st.integers(1, 40),
    )
    def declare(self, threshold: int, window: int, open_for: int, probes: int, successes: int, give_up: int) -> None:
        self.breaker = Breaker(
            "it", threshold=threshold, window=f"{window}s", open_for=f"{open_for}s", probes=probes,
            successes=successes, give_up=f"{give_up}s",
        )  # fmt: skip
        self.state = BreakerState()
        self.naive = Naive(self.breaker)
        self.now = 1_000 * SECOND
        self.count = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1, 2, 5, 10, 20, 45]))
    def time_passes(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)

    @rule(target=calls)
    def ask(self) -> Any:
        self.count += 1
        self.state, answer = self.breaker.admit(self.state, self.now)
        assert self.naive.ask(self.count, self.now) == isinstance(answer, Permit)
        if isinstance(answer, Permit):
            return self.count, answer
        assert answer.breaker == "it"
        assert answer.retry_at >= self.now
        if self.state.mode == "open":
            assert answer.retry_at == self.naive.until
        return multiple()

    @rule(call=consumes(calls), verdict=st.sampled_from(sorted(OUTCOMES)), which=st.integers(0, 4))
    def end(self, call: tuple[int, Permit], verdict: str, which: int) -> None:
        error = OUTCOMES[verdict][which % len(OUTCOMES[verdict])]
        self.state = self.breaker.ended(self.state, call[1], self.now, error)
        self.naive.end(call[0], self.now, verdict)

    @rule(call=consumes(calls))
    def drop(self, call: tuple[int, Permit]) -> None:
        self.state = self.breaker.dropped(self.state, call[1], self.now)
        self.naive.end(call[0], self.now, "nothing")

    @rule(call=consumes(calls))
    def vanish(self, call: tuple[int, Permit]) -> None:
        """A call that never comes back."""

    @rule(rest=st.sampled_from([None, 3 * SECOND]))
    def trip(self, rest: int | None) -> None:
        self.state = self.breaker.opened(self.state, self.now, "by hand", rest)
        self.naive.open(self.now, rest)

    @rule()
    def reset(self) -> None:
        self.state = self.breaker.reset(self.state, self.now, "by hand")
        self.naive.change(self.now, "closed")

    @rule()
    def restart(self) -> None:
        """The state comes back from JSON; what was under way has died."""
        kept = msgspec.json.encode(self.breaker.restarted(self.state))
        self.state = msgspec.json.decode(kept, type=BreakerState)
        if self.state.mode == "half-open":
            for call in self.naive.calls.values():
                call["open"] = False

    @invariant()
    def alike(self) -> None:
        assert self.state.mode == self.naive.mode
        assert self.state.epoch == len(self.naive.changes) - 1
        assert len(self.state.probes) <= self.breaker.probes
        if self.state.mode == "closed":
            lately = [at for at in self.naive.failures if at > self.now - self.breaker.window]
            assert list(self.breaker.recent(self.state, self.now)) == lately
            assert len(self.state.failures) < self.breaker.threshold

    @invariant()
    def no_dead_end(self) -> None:
        """Whatever hangs: once it has rested and given up, it lets a call through."""
        later = self.now + 60 * SECOND
        assert isinstance(self.breaker.admit(self.state, later)[1], Permit)


TestBreakers = BreakerMachine.TestCase
TestBreakers.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


# ------------------------------------------------------------------------------------------------ examples, by hand


def played(breaker: Breaker, *ends: tuple[float, BaseException | None]) -> BreakerState:
    """One call after the other, each at a time (s) with an end."""
    state = BreakerState()
    for at, error in ends:
        now = int(at * SECOND)
        state, permit = breaker.admit(state, now)
        assert isinstance(permit, Permit)
        state = breaker.ended(state, permit, now, error)
    return state


def test_five_failures_in_two_minutes_open_it_for_a_minute() -> None:
    state = played(API, *((n, DOWN) for n in range(5)))
    assert (state.mode, state.opened_at, state.retry_at) == ("open", 4 * SECOND, 64 * SECOND)
    assert state.why == "5 failures in 2m, the last: ConnectionError: down"
    refused = API.admit(state, 64 * SECOND - 1)[1]
    assert isinstance(refused, BreakerOpen)
    assert refused.retry_at == 64 * SECOND
    assert isinstance(API.admit(state, 64 * SECOND)[1], Permit)


def test_failures_that_lie_two_minutes_apart_do_not_count_together() -> None:
    assert played(API, *((30 * n, DOWN) for n in range(20))).mode == "closed"
    assert played(API, *((29.99 * n, DOWN) for n in range(5))).mode == "open"


def test_late_failures_do_not_make_it_rest_longer() -> None:
    state, permits = BreakerState(), []
    for _ in range(50):
        state, permit = API.admit(state, 0)
        assert isinstance(permit, Permit)
        permits.append(permit)
    for second, permit in enumerate(permits):
        state = API.ended(state, permit, second * SECOND, DOWN)
    assert (state.mode, state.retry_at) == ("open", 64 * SECOND)


def test_a_call_from_before_the_rest_does_not_decide_a_probe() -> None:
    state, old = API.admit(BreakerState(), 0)
    assert isinstance(old, Permit)
    state = API.opened(state, 0, "by hand")
    state, probe = API.admit(state, 60 * SECOND)
    assert isinstance(probe, Permit)
    assert API.ended(state, old, 61 * SECOND, None) is state
    assert API.ended(state, old, 61 * SECOND, DOWN) is state


def test_a_probe_of_an_earlier_rest_is_not_one_of_this_one() -> None:
    state = API.opened(BreakerState(), 0, "by hand")
    state, old = API.admit(state, 60 * SECOND)
    state = API.opened(state, 61 * SECOND, "by hand")
    state, probe = API.admit(state, 121 * SECOND)
    assert isinstance(old, Permit)
    assert isinstance(probe, Permit)
    assert API.ended(state, old, 122 * SECOND, DOWN) is state
    assert API.dropped(state, old, 122 * SECOND) is state


def test_a_probe_that_fails_opens_it_again() -> None:
    state = API.opened(BreakerState(), 0, "by hand")
    state, probe = API.admit(state, 60 * SECOND)
    assert isinstance(probe, Permit)
    assert state.opened_at == 0
    state = API.ended(state, probe, 61 * SECOND, DOWN)
    assert (state.mode, state.retry_at, state.why) == ("open", 121 * SECOND, "a probe failed: ConnectionError: down")


def test_the_words_say_when_and_why() -> None:
    refused = API.admit(API.opened(BreakerState(), SECOND // 2, "by hand"), SECOND)[1]
    assert str(refused) == "breaker 'api' lets nothing through before 1970-01-01T00:01:01Z: by hand"
    state, _ = API.admit(API.opened(BreakerState(), 0, "by hand"), 60 * SECOND)
    refused = API.admit(state, 61 * SECOND)[1]
    assert "half-open, and its probe is still under way" in str(refused)


class TooMany(Fatal):
    """A venue's 429, as some make it."""


class Odd(ConnectionError):
    """A failure that says nothing."""


@pytest.mark.parametrize(
    ("error", "verdict"), [(error, verdict) for verdict, errors in OUTCOMES.items() for error in errors]
)
def test_what_an_error_says_of_the_dependency(error: BaseException | None, verdict: str) -> None:
    assert API.verdict(error) == verdict


def test_what_counts_can_be_said() -> None:
    own = Breaker("own", ignore=Odd, count=(TooMany, Odd))
    assert own.verdict(TooMany("429")) == "failure"
    assert own.verdict(Odd()) == "nothing"
    assert own.verdict(DOWN) == "failure"
    assert own.verdict(BreakerOpen("other", 0)) == "nothing"


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0},
        {"threshold": True},
        {"threshold": 1.5},
        {"threshold": 10_000},
        {"window": "0s"},
        {"open_for": 60},
        {"open_for": "-1s"},
        {"probes": 0},
        {"successes": 0},
        {"give_up": "soon"},
        {"ignore": "ValueError"},
        {"count": (ValueError, 3)},
    ],
)
def test_a_wrong_declaration_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Breaker("api", **wrong)


@pytest.mark.parametrize("name", ["", " a", "a\n", 3, "x" * 101])
def test_a_name_is_a_short_text(name: Any) -> None:
    with pytest.raises(InvalidInput, match="name"):
        Breaker(name)


def test_declarations_are_equal_by_what_they_say() -> None:
    assert Breaker("a", open_for="60s") == Breaker("a", open_for="1 minute")
    assert hash(Breaker("a")) == hash(Breaker("a", threshold=2))
    assert Breaker("a") != Breaker("a", threshold=2)
    assert Breaker("a") != Breaker("b")
    assert Breaker("a") != "a"
    odd = Breaker("a", threshold=2, window="1h", open_for="90s", probes=3, successes=4, give_up="1ms")
    assert Breaker("a", **odd.settings) == odd


# ------------------------------------------------------------------------------------------------------ decoration


def fetch(symbol: str) -> str:
    return symbol


class Client:
    @API
    def quote(self, symbol: str) -> str:
        return symbol


def test_a_decorated_function_is_itself_and_names_its_breaker() -> None:
    def call(symbol: str) -> str:
        return symbol

    assert API(call) is call
    assert guard_of(call) is API
    assert guard_of(functools.partial(functools.partial(call), "BTC/USDT")) is API
    assert guard_of(Client().quote) is API
    assert guard_of(fetch) is None
    assert guard_of(3) is None


def test_two_closures_of_one_function_have_breakers_of_their_own() -> None:
    def make(breaker: Breaker) -> Any:
        @breaker
        def call() -> int:
            return 1

        return call

    first, second = make(Breaker("one")), make(Breaker("two"))
    assert (guard_of(first), guard_of(second)) == (Breaker("one"), Breaker("two"))


def test_what_cannot_be_decorated_is_refused() -> None:
    def call() -> None: ...

    API(call)
    with pytest.raises(InvalidInput, match="one breaker for each"):
        Breaker("other")(call)
    for wrong in (len, 3, Client().quote):
        with pytest.raises(InvalidInput, match="function"):
            Breaker("other")(wrong)  # type: ignore[type-var]
    assert getattr(call, GUARD) is API


def test_an_ask_is_guarded_by_what_is_said_else_by_its_function() -> None:
    step = Step("a", Client().quote, ("x",), timeout=5, undoes="u")
    found = guarded(step)
    assert isinstance(found, GuardedStep)
    assert (found.breaker, found.name, found.args, found.timeout, found.undoes) == (API, "a", ("x",), 5, "u")
    other = Breaker("other")
    effect = guarded(Effect("a", Client().quote, (), grace=7), other)
    assert isinstance(effect, GuardedEffect)
    assert (effect.breaker, effect.grace) == (other, 7)
    plain = Step("a", fetch, ())
    assert guarded(plain) is plain
