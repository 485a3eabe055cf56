"""Rules on positions: judged by what is held now, once for each symbol, and not more often than they may be."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.alert_model import SECOND, SYMBOLS
from tickwork.errors import InvalidInput
from tickwork.market.position_rules import Position, PositionRule, RuleState
from tickwork.market.rule_events import RuleCancelled, RuleRearmed, RuleSet, RuleTriggered, position_rules
from tickwork.market.rule_index import RuleIndex

BTC, ETH = SYMBOLS

Told = tuple[str, str, str, int]
"""``fired`` or ``rearmed``, the rule, the symbol, and when."""


def rule(kind: Any = "price_above", threshold: Any = "100", symbol: str | None = None, **options: Any) -> PositionRule:
    return PositionRule(options.pop("id", "r"), options.pop("owner", "me"), kind, threshold, symbol, **options)


def held(quantity: Any = 1, second: float = 0, symbol: str = BTC, **options: Any) -> Position:
    return Position(options.pop("owner", "me"), symbol, quantity, at_ns=int(second * SECOND), **options)


def index_of(*what: PositionRule | Position, throttle: str = "0s") -> RuleIndex:
    index = RuleIndex(throttle)
    for one in what:
        assert one.at_ns <= 0 if isinstance(one, Position) else True
        tell(index, one)
    return index


def tell(index: RuleIndex, what: Any, at: int = 0) -> list[Told]:
    """A rule to set, an id to cancel, a position, or a symbol's price; what it told."""
    if isinstance(what, PositionRule):
        index.set(what)
    elif isinstance(what, str):
        index.cancel(what)
    fired = []
    if isinstance(what, Position):
        fired = index.on_position(what)
    elif isinstance(what, tuple):
        fired = index.on_price(what[0], Decimal(what[1]), at)
    told: list[Told] = [("rearmed", one.id, one.symbol, one.at_ns) for one in index.rearmed]
    told += [("fired", one.rule.id, one.position.symbol, one.at_ns) for one in fired]
    index.rearmed.clear()
    return told


def play(index: RuleIndex, *values: str, begin: int = 1, symbol: str = BTC) -> list[tuple[str, int]]:
    """Prices, one a second; what was told, and in which second."""
    told = [one for at, value in enumerate(values, begin) for one in tell(index, (symbol, value), at * SECOND)]
    return [(what, at // SECOND) for what, _, _, at in told]


# --------------------------------------------------------------------------------------------------------------- prices


def test_a_price_must_be_beyond_the_threshold() -> None:
    assert play(index_of(rule(), held()), "100", "100.0000001") == [("fired", 2)]
    assert play(index_of(rule("price_below"), held()), "100", "99.9999999") == [("fired", 2)]


def test_a_price_fires_once_while_it_is_beyond() -> None:
    told = [("fired", 1), ("rearmed", 3), ("fired", 4)]
    assert play(index_of(rule(), held()), "101", "102", "100", "101") == told
    assert play(index_of(rule("price_below"), held()), "99", "98", "100", "99") == told


def test_a_price_must_go_back_by_the_hysteresis() -> None:
    told = [("fired", 1), ("rearmed", 3), ("fired", 4)]
    assert play(index_of(rule(hysteresis="0.01"), held()), "101", "99.1", "99", "101") == told
    assert play(index_of(rule("price_below", hysteresis="0.01"), held()), "99", "100.9", "101", "99") == told


def test_without_a_position_a_rule_does_nothing() -> None:
    assert play(index_of(rule()), "101", "99", "101") == []
    assert play(index_of(rule(symbol=ETH), held()), "101") == []
    assert play(index_of(rule(owner="another"), held()), "101") == []
    assert play(index_of(rule(symbol=BTC), held()), "101") == [("fired", 1)]


def test_a_position_counts_as_it_is_now() -> None:
    index = index_of(rule())
    assert play(index, "101") == []
    tell(index, held(second=1))
    assert play(index, "102", begin=2) == [("fired", 2)]
    assert tell(index, held(0, second=3)) == [("rearmed", "r", BTC, 3 * SECOND)]
    assert play(index, "99", "102", begin=4) == []
    # it is another position now: it is looked at anew
    tell(index, held(-5, second=6))
    assert play(index, "102", begin=7) == [("fired", 7)]


def test_a_price_of_before_the_position_is_not_for_it() -> None:
    index = index_of(rule())
    tell(index, held(second=5))
    assert play(index, "101", "101", "99", begin=4) == []
    assert play(index, "101", begin=7) == [("fired", 7)]


def test_a_position_that_changes_is_the_same_position() -> None:
    index = index_of(rule(), held())
    tell(index, held(2, second=5))
    index.set(rule())
    assert play(index, "101", begin=3) == [("fired", 3)]


def test_a_price_of_before_the_rule_is_not_for_it() -> None:
    index = index_of(held())
    assert play(index, "101", begin=3) == []
    index.set(rule())
    assert play(index, "101", begin=3) == []
    assert play(index, "101", begin=4) == [("fired", 4)]


def test_an_older_position_is_ignored_and_counted() -> None:
    index = index_of(rule())
    tell(index, held(second=5))
    tell(index, held(0, second=4))
    assert index.stale == 1
    tell(index, held(0, second=6))
    tell(index, held(1, second=5.5))
    assert index.stale == 2
    assert play(index, "101", begin=7) == []
    assert index.positions("me") == []


def test_one_that_does_not_recur_is_gone_when_it_has_fired() -> None:
    index = index_of(rule(recurring=False), held(), held(symbol=ETH))
    assert play(index, "101", "99", "101") == [("fired", 1)]
    assert play(index, "101", symbol=ETH) == []
    assert (len(index), index.of("me")) == (0, [])


def test_each_symbol_of_a_rule_fires_by_itself() -> None:
    index = index_of(rule(), held(), held(symbol=ETH))
    assert play(index, "101") == [("fired", 1)]
    assert play(index, "101", symbol=ETH) == [("fired", 1)]
    assert play(index, "99", "101", begin=2) == [("rearmed", 2), ("fired", 3)]


def test_a_cancelled_or_replaced_rule_is_silent() -> None:
    for values in ([], ["101"], ["101", "101", "99"]):
        index = index_of(rule(), rule(id="other", kind="delta_breach", threshold=1), held())
        play(index, *values)
        assert index.cancel("r") and not index.cancel("r")
        assert play(index, "99", "101", begin=5) == []
        index.set(rule(threshold="200"))
        assert play(index, "101", "201", begin=8) == [("fired", 9)]
        assert [one.id for one in index.of("me")] == ["other", "r"]


@pytest.mark.parametrize("price", [*map(Decimal, ("NaN", "Infinity", "0", "-1")), 101.0, "101", None])
def test_what_is_no_price_decides_nothing(price: Any) -> None:
    index = index_of(rule(), held())
    for symbol in (BTC, ETH):
        with pytest.raises(InvalidInput):
            index.on_price(symbol, price, SECOND)
    assert play(index, "101") == [("fired", 1)]


# ----------------------------------------------------------------------------------------------------- delta and expiry


def test_a_delta_counts_without_its_sign() -> None:
    index = index_of(rule("delta_breach", "0.3"))
    told = [tell(index, held(delta=delta, second=n)) for n, delta in enumerate(["0.3", "-0.31", 0.5, None, 0.2, -0.4])]
    assert [[what for what, *_ in one] for one in told] == [[], ["fired"], [], [], ["rearmed"], ["fired"]]


def test_a_delta_must_go_back_by_the_hysteresis() -> None:
    index = index_of(rule("delta_breach", "0.4", hysteresis="0.25"))
    told = [tell(index, held(delta=delta, second=n)) for n, delta in enumerate(["0.5", "0.31", "0.5", "-0.3", "0.5"])]
    assert [[what for what, *_ in one] for one in told] == [["fired"], [], [], ["rearmed"], ["fired"]]


def test_an_expiry_is_warned_of_once() -> None:
    index = index_of(rule("dte_warning", 5))
    told = [tell(index, held(dte=dte, second=n)) for n, dte in enumerate([7, 6, 5, 4, 0, None])]
    assert [[what for what, *_ in one] for one in told] == [[], [], ["fired"], [], [], []]
    # the day of the expiry is a day too
    assert tell(index_of(rule("dte_warning", 0)), held(dte=0)) == [("fired", "r", BTC, 0)]


def test_setting_a_rule_swallows_nothing() -> None:
    index = index_of(held(delta="0.9"))
    index.set(rule("delta_breach", "0.3"))
    assert tell(index, held(delta="0.9")) == [("fired", "r", BTC, 0)]


# ------------------------------------------------------------------------------------------------------- all at once


def test_what_is_not_among_all_positions_is_closed() -> None:
    index = index_of(rule(), held(), held(symbol=ETH))
    play(index, "101")
    index.on_positions("me", [held(symbol=ETH, second=2)], 2 * SECOND)
    assert [(one.id, one.symbol) for one in index.rearmed] == [("r", BTC)]
    assert [position.symbol for position in index.positions("me")] == [ETH]
    with pytest.raises(InvalidInput):
        index.on_positions("me", [held(owner="another")], 3 * SECOND)


# ------------------------------------------------------------------------------------------------------------ throttle


def test_what_is_held_back_fires_late_if_it_is_still_true() -> None:
    index = index_of(rule(id="a"), rule(id="b", threshold="110"), held(), throttle="5s")
    assert tell(index, (BTC, "101"), SECOND) == [("fired", "a", BTC, SECOND)]
    assert [tell(index, (BTC, "111"), second * SECOND) for second in (2, 3, 5)] == [[], [], []]
    assert tell(index, (BTC, "112"), 6 * SECOND) == [("fired", "b", BTC, 6 * SECOND)]


def test_what_is_held_back_and_not_true_any_more_is_not_told() -> None:
    index = index_of(rule(id="a"), rule(id="b", threshold="110"), held(), throttle="5s")
    play(index, "101", "111", "105")
    assert tell(index, (BTC, "105"), 6 * SECOND) == []
    assert tell(index, (BTC, "111"), 7 * SECOND) == [("fired", "b", BTC, 7 * SECOND)]


def test_a_rule_that_was_replaced_while_it_was_held_back_waits_once() -> None:
    index = index_of(rule(id="a"), rule(id="b", threshold="110"), held(), throttle="5s")
    play(index, "101", "111")
    index.set(rule(id="b", threshold="110"))
    assert tell(index, (BTC, "111"), 6 * SECOND) == [("fired", "b", BTC, 6 * SECOND)]
    assert tell(index, (BTC, "111"), 7 * SECOND) == []


def test_kinds_symbols_and_owners_are_throttled_each_by_itself() -> None:
    several = [rule(id="a"), rule(id="b", owner="you"), rule("price_below", "300", id="c")]
    index = index_of(*several, held(), held(owner="you"), held(symbol=ETH), throttle="5s")
    assert [id for _, id, *_ in tell(index, (BTC, "101"), SECOND)] == ["a", "b", "c"]
    assert [id for _, id, *_ in tell(index, (ETH, "101"), SECOND)] == ["a", "c"]
    deltas = index_of(rule("delta_breach", "0.3"), throttle="5s")
    told = [
        tell(deltas, held(delta=delta, second=n)) for n, delta in enumerate(["0.4", "0.1", "0.5", "0.5", "0.5", "0.5"])
    ]
    assert [[what for what, *_ in one] for one in told] == [["fired"], ["rearmed"], [], [], [], ["fired"]]


# ----------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"id": ""}, "id"),
        ({"owner": None}, "owner"),
        ({"kind": "price_crosses"}, "kind"),
        *(({"threshold": bad}, "threshold") for bad in ("0", "-1", "NaN", "Infinity", 1.5, None, True)),
        *(({"threshold": bad, "kind": "delta_breach"}, "threshold") for bad in ("0", "-0.1", 0.3)),
        *(({"threshold": bad, "kind": "dte_warning"}, "threshold") for bad in ("-1", "2.5", 5.0)),
        ({"symbol": "btc"}, "symbol"),
        ({"recurring": "no"}, "recurring"),
        ({"hysteresis": "1"}, "hysteresis"),
        ({"note": 5}, "note"),
    ],
)
def test_a_wrong_rule_is_refused(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        PositionRule(**{"id": "r", "owner": "me", "kind": "price_above", "threshold": "1", **options})
    assert refused.value.path == path


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"owner": ""}, "owner"),
        ({"symbol": "btc"}, "symbol"),
        ({"quantity": 1.5}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"delta": float("nan")}, "delta"),
        ({"delta": float("inf")}, "delta"),
        ({"delta": "much"}, "delta"),
        ({"dte": 2.5}, "dte"),
        ({"dte": True}, "dte"),
        ({"at_ns": 1.5}, "at_ns"),
        ({"at_ns": None}, "at_ns"),
    ],
)
def test_a_wrong_position_is_refused(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Position(**{"owner": "me", "symbol": BTC, "quantity": 1, "at_ns": 0, **options})
    assert refused.value.path == path


# --------------------------------------------------------------------------------------------------------------- laws


@dataclass
class Model:
    """Every rule looks at everything."""

    throttle: int
    rules: dict[str, tuple[PositionRule, dict[str, int]]] = field(default_factory=dict)
    """With the time of the newest price by symbol when it was set."""
    beyond: set[tuple[str, str]] = field(default_factory=set)
    positions: dict[tuple[str, str], tuple[Position, int]] = field(default_factory=dict)
    """With the time at which it was opened."""
    newest: dict[str, int] = field(default_factory=dict)
    last: dict[tuple[str, str, str], int] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def set(self, one: PositionRule) -> None:
        self.cancel(one.id)
        self.rules[one.id] = (one, dict(self.newest))

    def cancel(self, id: str) -> None:
        self.rules.pop(id, None)
        self.beyond = {pair for pair in self.beyond if pair[0] != id}

    def position(self, one: Position) -> None:
        key = (one.owner, one.symbol)
        before, opened = self.positions.get(key, (None, 0))
        if before is not None and one.at_ns < before.at_ns:
            return
        was_open = before is not None and before.quantity != 0
        self.positions[key] = (one, opened if was_open else one.at_ns)
        self._look(one, [(rule, self._value(rule, one)) for rule, _ in self._of(one)], one.at_ns)

    def _of(self, one: Position) -> list[tuple[PositionRule, dict[str, int]]]:
        mine = [pair for pair in self.rules.values() if pair[0].owner == one.owner and pair[0].about(one.symbol)]
        return sorted(mine, key=lambda pair: pair[0].id)

    def _value(self, one: PositionRule, position: Position) -> Decimal | None:
        value = {"delta_breach": position.delta, "dte_warning": position.dte}.get(one.kind)
        return None if value is None else Decimal(value)

    def price(self, symbol: str, price: Decimal, at: int) -> None:
        if at < self.newest.get(symbol, at):
            return
        self.newest[symbol] = at
        looked: list[tuple[Position, list[tuple[PositionRule, Decimal | None]]]] = []
        for (_, name), (position, opened) in self.positions.items():
            if name == symbol and position.quantity:
                judged: list[tuple[PositionRule, Decimal | None]] = [
                    (one, price)
                    for one, seen in self._of(position)
                    if one.looks_at_prices and at > max(opened, seen.get(symbol, -1))
                ]
                looked.append((position, judged))
        everything = sorted(
            ((one, position, value) for position, j in looked for one, value in j), key=lambda x: x[0].id
        )
        before = len(self.told)
        for one, position, value in everything:
            self._look(position, [(one, value)], at)
        self.told[before:] = sorted(self.told[before:], key=lambda told: (told[0] == "fired", told[1]))

    def _look(self, position: Position, judged: list[tuple[PositionRule, Decimal | None]], at: int) -> None:
        rearmed: list[Told] = []
        fired: list[Told] = []
        for one, value in judged:
            pair = (one.id, position.symbol)
            throttled = (one.owner, one.kind, position.symbol)
            if pair in self.beyond:
                if not position.quantity or (value is not None and one.is_over(value)):
                    self.beyond.remove(pair)
                    rearmed.append(("rearmed", *pair, at))
            elif not position.quantity or value is None or not one.holds(value):
                continue
            elif at >= self.last.get(throttled, -(10**30)) + self.throttle:
                self.last[throttled] = at
                fired.append(("fired", *pair, at))
                if one.recurring:
                    self.beyond.add(pair)
                else:
                    self.cancel(one.id)
        self.told += [*rearmed, *fired]


rules_ = st.builds(
    lambda id, kind, threshold, symbol, recurring, margin: PositionRule(
        id,
        "me" if id in "abc" else "you",
        kind,
        threshold if kind.startswith("price") else 3,
        symbol,
        recurring,
        margin,
    ),
    st.sampled_from("abcdef"),
    st.sampled_from(["price_above", "price_below", "delta_breach", "dte_warning"]),
    st.sampled_from(["97", "100", "103"]),
    st.sampled_from([None, BTC]),
    st.booleans(),
    st.sampled_from(["0", "0.02"]),
)
told_positions = st.tuples(
    st.sampled_from(["me", "you"]),
    st.sampled_from(SYMBOLS),
    st.sampled_from([0, 1, -1]),
    st.sampled_from([None, "2", "3", "-4"]),
    st.sampled_from([None, 2, 3, 4]),
    st.integers(-1, 2),
)
told_prices = st.tuples(st.sampled_from(SYMBOLS), st.integers(95, 105), st.integers(-1, 3))
happenings = st.lists(st.one_of(rules_, st.sampled_from("abcdef"), told_positions, told_prices), max_size=60)


def timed(happened: list[Any], *, late: bool = True) -> list[tuple[Any, int]]:
    """What happened with its time (ns), of which no two are the same; positions made of their parts."""
    now, found = 10, []
    for index, what in enumerate(happened):
        step = what[-1] if isinstance(what, tuple) else 0
        now += step if late else abs(step)
        at = now * SECOND + index
        if isinstance(what, tuple) and len(what) == 6:
            owner, symbol, quantity, delta, dte, _ = what
            found.append((Position(owner, symbol, quantity, delta, dte, at_ns=at), at))
        else:
            found.append((what, at))
    return found


@given(happenings, st.sampled_from([0, 4]))
def test_the_index_tells_what_a_look_at_everything_would(happened: list[Any], throttle: int) -> None:
    index, model = RuleIndex(f"{throttle}s"), Model(throttle * SECOND)
    told: list[Told] = []
    for what, at in timed(happened):
        told += tell(index, what, at)
        if isinstance(what, PositionRule):
            model.set(what)
        elif isinstance(what, str):
            model.cancel(what)
        elif isinstance(what, Position):
            model.position(what)
        else:
            model.price(what[0], Decimal(what[1]), at)
        assert told == model.told
    assert {one.id: one for owner in ("me", "you") for one in index.of(owner)} == {
        id: one for id, (one, _) in model.rules.items()
    }


class Kept:
    """The view, folded here."""

    def __init__(self) -> None:
        self.states: dict[str, RuleState] = {}

    def note(self, event: RuleSet | RuleCancelled | RuleTriggered | RuleRearmed) -> None:
        read = type(event).from_wire(event.to_wire())
        assert read == event
        state = position_rules.fold(self.states.pop(event.id, None), read)
        if state is not None:
            self.states[event.id] = position_rules.codec.round_trip(state, "state")[1]
            assert self.states[event.id] == state


def apply(index: RuleIndex, kept: Kept, what: Any, at: int) -> list[Told]:
    """What happened, with its events."""
    if isinstance(what, PositionRule):
        kept.note(RuleSet.of(what, index.seen(what)))
        index.set(what)
    elif isinstance(what, str) and index.cancel(what):
        kept.note(RuleCancelled(id=what, owner="somebody"))
    fired = []
    if isinstance(what, Position):
        fired = index.on_position(what)
    elif isinstance(what, tuple):
        fired = index.on_price(what[0], Decimal(what[1]), at)
    told: list[Told] = [("rearmed", one.id, one.symbol, one.at_ns) for one in index.rearmed]
    for rearmed in index.rearmed:
        kept.note(RuleRearmed.of(rearmed))
    index.rearmed.clear()
    for one in fired:
        kept.note(RuleTriggered.of(one, "", None))
        told.append(("fired", one.rule.id, one.position.symbol, one.at_ns))
    return told


@given(happenings, st.data())
def test_an_index_that_is_loaded_goes_on_as_the_one_before(happened: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(happened)), label="cut")
    # a position told after a price of its time would be judged by that when it is fed again: rightly, but not equally
    everything = timed(happened, late=False)
    before, after = everything[:cut], everything[cut:]
    index, kept = RuleIndex(), Kept()
    for what, at in before:
        apply(index, kept, what, at)
    positions = [position for owner in ("me", "you") for position in index._positions.get(owner, {}).values()]
    for position in positions:
        apply(index, kept, position, 0)
    other, loaded = RuleIndex(), copy.deepcopy(kept)
    other.load(kept.states.items())
    # positions are told again as they were last, and prices are fed again
    for position in positions:
        assert apply(other, loaded, position, 0) == []
    for what, at in before:
        if isinstance(what, tuple):
            assert apply(other, loaded, what, at) == []
    assert loaded.states == kept.states
    for what, at in after:
        assert apply(index, kept, what, at) == apply(other, loaded, what, at)
    assert loaded.states == kept.states


# ------------------------------------------------------------------------------------------------------------- the tape


def test_what_listeners_get_has_the_names_they_expect() -> None:
    index = index_of(rule("delta_breach", "0.30", note="roll it"), throttle="5m")
    (fired,) = index.on_position(held("-2", second=1_700_000_000, delta="-0.450", symbol="AAPL"))
    event = RuleTriggered.of(fired, "", None)
    assert msgspec.json.decode(event.to_wire()) == {
        "type": "position_alert",
        "id": "r",
        "userId": "me",
        "alert": {
            "type": "delta_breach",
            "symbol": "AAPL",
            "message": "AAPL has a delta of -0.45, beyond 0.3",
            "timestamp": "2023-11-14T22:13:20Z",
        },
        "threshold": "0.30",
        "value": "-0.450",
        "quantity": "-2",
        "recurring": True,
        "note": "roll it",
        "atNs": 1_700_000_000 * SECOND,
        "recording": "",
        "offset": None,
    }
    assert event.happened_at == event.alert.timestamp


@pytest.mark.parametrize(
    ("kind", "threshold", "value", "message"),
    [
        ("price_above", "70000", "70123.50", "BTC/USDT is at 70123.5, above 70000"),
        ("price_below", "1E+3", "999", "BTC/USDT is at 999, below 1000"),
        ("dte_warning", 5, "3", "BTC/USDT expires in 3 days (limit 5)"),
        ("dte_warning", 5, "1", "BTC/USDT expires in 1 day (limit 5)"),
    ],
)
def test_a_rule_has_words_for_people(kind: Any, threshold: Any, value: str, message: str) -> None:
    assert rule(kind, threshold).message(BTC, Decimal(value)) == message
