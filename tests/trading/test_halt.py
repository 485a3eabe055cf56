"""The halt: the worse of two counts, it goes up by anyone and down by its own clear alone, and what rules come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwork.errors import InvalidInput
from tickwork.trading.halt import LEVELS, Cause, Halt, HaltLevel, Halts, judge, silence

levels = st.sampled_from(LEVELS)
MINUTE = 60_000_000_000


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), levels | st.none()), max_size=12))
def test_what_counts_is_the_worse_of_an_accounts_own_and_of_all(acts: list[tuple[str, HaltLevel | None]]) -> None:
    halts = Halts()
    model: dict[str, HaltLevel] = {"": "normal", "a": "normal", "b": "normal"}
    for number, (account, level) in enumerate(acts):
        if level is None:
            halts.of(account).clear()
            model[account] = "normal"
        else:
            halts.of(account).raise_to(level, str(number))
            model[account] = max(model[account], level, key=LEVELS.index)
        for name in ("a", "b"):
            worst = max(model[""], model[name], key=LEVELS.index)
            assert halts.of(name).level == worst
            assert halts.of(name).stops_new_exposure == (worst in ("halt", "shutdown"))
            assert bool(halts.of(name).reason) == (worst != "normal")
        assert halts.of("").level == model[""]


def test_it_is_always_the_same_object_that_a_desk_looks_at() -> None:
    halts = Halts()
    assert halts.of("a") is halts.of("a")
    assert halts.of("") is halts.of("")


def test_no_such_level() -> None:
    halt = Halt("alert", "look")
    with pytest.raises(InvalidInput, match="panic"):
        halt.raise_to("panic", "x")  # type: ignore[arg-type]
    assert (halt.level, halt.reason) == ("alert", "look")


@dataclass
class Breach:
    rule: str
    level: str
    limit: str = "1"
    actual: str = "2"


@given(st.lists(st.tuples(st.text(min_size=1, max_size=3), levels), max_size=5))
def test_the_worst_breach_decides_and_of_equals_the_first(given_: list[tuple[str, HaltLevel]]) -> None:
    found = judge([Breach(rule, level) for rule, level in given_])
    worst = max((level for _, level in given_), key=LEVELS.index, default="normal")
    assert found.level == worst
    if worst != "normal":
        assert found.rule == next(rule for rule, level in given_ if level == worst)
        assert found.reason == f"{found.rule}: limit 1, actual 2"


@pytest.mark.parametrize("level", ["", "warn", "NaN", None])
def test_a_level_that_cannot_be_read_halts(level: Any) -> None:
    assert judge([Breach("r", level)]).level == "halt"


def test_a_silence_is_an_alert_once_it_has_lasted() -> None:
    assert silence(None, 60 * MINUTE) is None
    assert silence(10 * MINUTE, 15 * MINUTE - 1) is None
    found = silence(10 * MINUTE, 15 * MINUTE, why="refused")
    assert found == Cause(
        rule="venue_unreachable", limit="5m", actual="5m without an answer (refused)", level="alert"
    )  # fmt: skip
    assert judge([found]).level == "alert"
    with pytest.raises(InvalidInput):
        silence(None, 0, "0s")
