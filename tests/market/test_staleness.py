"""Silence is noticed once, and so is its end; what is stale, or was never heard of, decides nothing."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.core.view import View
from tickwork.errors import InvalidInput
from tickwork.market.staleness import FeedResumed, FeedSilent, Staleness, silences
from tickwork.values import from_ns

SECOND_NS = 1_000_000_000

Act = tuple[int, str, str]
"""How many seconds pass before it, and then: ``saw`` or ``ask``, and which."""

acts = st.lists(
    st.tuples(st.integers(0, 15), st.sampled_from(["saw", "ask"]), st.sampled_from(["a BTC/USDT", "a AAPL", "b "])),
    max_size=40,
)


@given(acts)
def test_silences_and_their_ends_alternate_and_agree_with_the_clock(plan: list[Act]) -> None:
    staleness = Staleness("10s")
    now_ns, last = 0, defaultdict[tuple[str, str], int](int)
    for source, symbol in (("a", "BTC/USDT"), ("a", "AAPL"), ("b", "")):
        staleness.expect(source, symbol, 0)
    told: dict[tuple[str, str], bool] = {}
    kept: dict[str, list[str]] = {}
    for seconds, act, which in plan:
        now_ns += seconds * SECOND_NS
        source, _, symbol = which.partition(" ")
        if act == "saw":
            staleness.saw(source, symbol, now_ns)
            last[source, symbol] = now_ns
            assert staleness.age_ns(source, symbol, now_ns) == 0
        for event in staleness.changes(now_ns) if act == "ask" else ():
            kept = folded(silences, kept, event)
            for one in event.symbols:
                silent = isinstance(event, FeedSilent)
                assert told.get((event.source, one), False) != silent
                told[event.source, one] = silent
        if act == "ask":
            overdue = {
                key for key in (("a", "BTC/USDT"), ("a", "AAPL"), ("b", "")) if now_ns - last[key] > 10 * SECOND_NS
            }
            assert {(silence.source, silence.symbol) for silence in staleness.silent(now_ns)} == overdue
            assert {key for key, silent in told.items() if silent} == overdue
            assert {(name, one) for name, symbols in kept.items() for one in symbols} == overdue
            assert staleness.changes(now_ns) == []


def folded(view: View, state: dict[str, list[str]], event: FeedSilent | FeedResumed) -> dict[str, list[str]]:
    """A view's states after an event."""
    key = view.key(event)
    after = {**state, key: view.fold(state.get(key), event)}
    return {name: value for name, value in after.items() if value is not None}


def test_what_was_never_heard_of_is_stale_and_is_missed_in_time() -> None:
    staleness = Staleness("10s")
    assert staleness.is_stale("a", "AAPL", 0)
    assert staleness.age_ns("a", "AAPL", 0) is None
    staleness.expect("a", "AAPL", 5 * SECOND_NS, "1 minute")
    assert staleness.is_stale("a", "AAPL", 6 * SECOND_NS)
    assert staleness.changes(65 * SECOND_NS) == []
    (silent,) = staleness.changes(65 * SECOND_NS + 1)
    assert isinstance(silent, FeedSilent)
    assert (silent.source, silent.symbols, silent.last_at) == ("a", ("AAPL",), None)
    assert silent.happened_at == silent.known_at == from_ns(65 * SECOND_NS + 1)
    assert silent.limit.total_seconds() == 60
    staleness.saw("a", "AAPL", 66 * SECOND_NS)
    assert not staleness.is_stale("a", "AAPL", 67 * SECOND_NS)
    (resumed,) = staleness.changes(67 * SECOND_NS)
    assert isinstance(resumed, FeedResumed)
    assert resumed.happened_at == from_ns(67 * SECOND_NS)


def test_a_silence_that_an_earlier_process_told_of_is_not_told_again_but_its_end_is() -> None:
    staleness = Staleness("10s")
    staleness.expect("a", "AAPL", 0)
    staleness.told({"a": ["AAPL", "GONE"], "other": [""]})
    assert staleness.changes(5 * SECOND_NS) == []  # not heard of yet, and not overdue: nobody knows
    assert staleness.changes(20 * SECOND_NS) == []
    staleness.saw("a", "AAPL", 21 * SECOND_NS)
    assert [type(event) for event in staleness.changes(21 * SECOND_NS)] == [FeedResumed]


def test_an_older_word_does_not_make_it_older_and_the_unexpected_is_expected_from_then_on() -> None:
    staleness = Staleness("10s")
    staleness.saw("a", "AAPL", 5 * SECOND_NS)
    staleness.saw("a", "AAPL", 3 * SECOND_NS)
    assert staleness.age_ns("a", "AAPL", 6 * SECOND_NS) == SECOND_NS
    assert not staleness.is_stale("a", "AAPL", 15 * SECOND_NS)
    assert staleness.is_stale("a", "AAPL", 15 * SECOND_NS + 1)


@pytest.mark.parametrize("limit", ["0s", "1ns", "-1s", "5"])
def test_a_limit_that_is_none_is_refused(limit: str) -> None:
    with pytest.raises(InvalidInput):
        Staleness(limit)
    with pytest.raises(InvalidInput):
        Staleness("1s").expect("a", "b", 0, limit)
