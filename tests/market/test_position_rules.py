"""Rules on positions: judged by what is held now, once for each symbol, and not more often than they may be."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from tests.market.alert_model import SECOND, SYMBOLS
from tests.market.rule_model import tell
from tickwork.errors import InvalidInput
from tickwork.market.position_rules import Position, PositionRule
from tickwork.market.rule_events import RuleTriggered
from tickwork.market.rule_index import RuleIndex

BTC, ETH = SYMBOLS


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
