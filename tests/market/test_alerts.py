"""Standing alerts: the index tells what a look at every alert would, in whatever order things come."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.alert_model import SECOND, SYMBOLS, Model, Told, price_alerts, prices, symbols
from tickwork.core.codec import codec_for
from tickwork.errors import InvalidInput
from tickwork.market.alert_events import (
    AlertCancelled,
    AlertRearmed,
    AlertSet,
    AlertTriggered,
    PriceNoted,
    alert_prices,
)
from tickwork.market.alert_events import price_alerts as view
from tickwork.market.alert_index import AlertIndex
from tickwork.market.alerts import AlertState, NotedPrice, PriceAlert

BTC = "BTC/USDT"


def alert(condition: Any = "above", threshold: Any = "100", id: str = "a", **options: Any) -> PriceAlert:
    return PriceAlert(id, "me", BTC, condition, threshold, **options)


def play(index: AlertIndex, *values: str, begin: int = 0) -> list[Told]:
    """Feed prices, one a second; what each told."""
    told: list[Told] = []
    for second, value in enumerate(values, begin):
        feed(index, told, BTC, Decimal(value), second * SECOND)
    return told


def feed(index: AlertIndex, told: list[Told], symbol: str, price: Decimal, at: int) -> None:
    fired = index.on_price(symbol, price, at)
    told += [("rearmed", one.id, one.at_ns) for one in sorted(index.rearmed, key=lambda one: one.id)]
    told += [("fired", one.alert.id, one.at_ns) for one in fired]
    assert all(one.price == price and one.alert.symbol == symbol for one in fired)
    index.rearmed.clear()


def standing(*alerts: PriceAlert) -> AlertIndex:
    index = AlertIndex()
    for one in alerts:
        index.set(one)
    return index


# ----------------------------------------------------------------------------------------------------------- one alert


def test_above_is_at_the_threshold_or_higher() -> None:
    assert play(standing(alert()), "99.99999999", "100") == [("fired", "a", SECOND)]
    assert play(standing(alert()), "120") == [("fired", "a", 0)]


def test_below_is_at_the_threshold_or_lower() -> None:
    assert play(standing(alert("below")), "100.0000001", "100") == [("fired", "a", SECOND)]
    assert play(standing(alert("below")), "80") == [("fired", "a", 0)]


def test_one_that_does_not_recur_is_gone_when_it_has_fired() -> None:
    index = standing(alert())
    assert play(index, "100", "90", "100") == [("fired", "a", 0)]
    assert len(index) == 0 and "a" not in index and index.ids("me") == [] and index.symbols() == {}
    assert not index.cancel("a")


def test_a_recurring_one_fires_again_after_the_price_was_back() -> None:
    told = play(standing(alert(recurring=True)), "100", "105", "100", "99", "100")
    assert told == [("fired", "a", 0), ("rearmed", "a", 3 * SECOND), ("fired", "a", 4 * SECOND)]
    told = play(standing(alert("below", recurring=True)), "100", "95", "100", "101", "100")
    assert [what for what, _, _ in told] == ["fired", "rearmed", "fired"]


def test_back_is_beyond_the_band() -> None:
    index = standing(alert(recurring=True, hysteresis="0.01"))
    assert play(index, "100", "99", "100", "99.0000001", "100") == [("fired", "a", 0)]
    assert play(index, "98.99", "100", begin=5) == [("rearmed", "a", 5 * SECOND), ("fired", "a", 6 * SECOND)]
    index = standing(alert("below", recurring=True, hysteresis="0.01"))
    assert play(index, "100", "101", "100") == [("fired", "a", 0)]
    assert play(index, "101.01", begin=3) == [("rearmed", "a", 3 * SECOND)]


def test_while_it_cools_down_it_looks_at_nothing() -> None:
    index = standing(alert(recurring=True, cooldown="5s"))
    # back, and up again, within the cooldown: when that is over the price is still beyond
    assert play(index, "100", "90", "100", "100", "100", "100", "100") == [("fired", "a", 0)]
    assert play(index, "99", begin=7) == [("rearmed", "a", 7 * SECOND)]


def test_the_price_that_stands_when_it_has_cooled_down_counts() -> None:
    index = standing(alert(recurring=True, cooldown="5s"))
    # back at 1 s, nothing until 9 s: it was armed at 5 s, so this is a crossing
    told = play(index, "100", "90") + play(index, "100", begin=9)
    assert told == [("fired", "a", 0), ("rearmed", "a", 9 * SECOND), ("fired", "a", 9 * SECOND)]
    # exactly at its end it is over
    index = standing(alert(recurring=True, cooldown="5s"))
    assert play(index, "100", "100", "100", "100", "100", "99")[1:] == [("rearmed", "a", 5 * SECOND)]


def test_the_cooldown_of_one_that_was_replaced_is_not_that_of_the_other() -> None:
    index = standing(alert(recurring=True, cooldown="5s"))
    assert play(index, "100") == [("fired", "a", 0)]
    index.set(alert(recurring=True, cooldown="5s"))
    assert play(index, "100", "90", "90", "90", "90", "90", begin=2) == [
        ("fired", "a", 2 * SECOND), ("rearmed", "a", 7 * SECOND),
    ]  # fmt: skip


def test_a_price_of_before_it_was_set_is_not_for_it() -> None:
    index = standing(alert(id="other", threshold="1000"))
    play(index, "100")
    index.set(alert())
    assert index.newest_ns(BTC) == 0
    assert play(index, "100") == []
    assert play(index, "100", begin=1) == [("fired", "a", SECOND)]


def test_an_older_price_is_ignored_and_counted() -> None:
    index = standing(alert())
    play(index, "90", begin=5)
    assert play(index, "100", begin=4) == []
    assert index.stale == 1
    assert play(index, "100", begin=5) == [("fired", "a", 5 * SECOND)]


def test_many_on_one_symbol_do_not_overwrite_each_other() -> None:
    index = standing(*(alert(threshold=100 + n // 3, id=f"{n:02}") for n in range(30)))
    assert (len(index), index.symbols()) == (30, {BTC: 30})
    assert [id for _, id, _ in play(index, "102")] == [f"{n:02}" for n in range(9)]
    assert (len(index), index.symbols()) == (21, {BTC: 21})


def test_one_of_the_same_id_is_replaced() -> None:
    index = standing(alert(threshold="100"), alert(threshold="200"), alert("below", threshold="50"))
    assert len(index) == 1
    assert index.get("a") == alert("below", threshold="50")
    assert play(index, "300", "49") == [("fired", "a", SECOND)]


def test_a_cancelled_one_is_silent_in_every_state() -> None:
    for values in ([], ["100"], ["100", "90"]):
        for cooldown in ("0s", "1s", "10s"):
            index = standing(alert(recurring=True, cooldown=cooldown), alert(id="b", threshold="200"))
            play(index, *values)
            assert index.cancel("a")
            assert index.get("a") is None
            assert play(index, *["90", "100"] * 10, begin=3) == []
            index.set(alert(recurring=True, cooldown=cooldown))
            assert [told[:2] for told in play(index, "90", "100", begin=30)] == [("fired", "a")]


def test_a_definition_is_given_back_as_it_was_in_every_state() -> None:
    for given_ in (
        alert(threshold="0.00000001"),
        alert("below", threshold="123456789.123456789123456789"),
        alert(threshold="1.000000000000000000000000000001", recurring=True, hysteresis="0.333333", note="sell"),
        alert("below", threshold="100", recurring=True, cooldown="90s"),
    ):
        index = standing(given_)
        assert index.get("a") == given_
        (fired,) = index.on_price(BTC, given_.threshold, 0)
        assert fired.alert == given_
        if given_.recurring:
            assert index.get("a") == given_


def test_digits_beyond_the_usual_context_count() -> None:
    threshold = "123456789012345678901234567890.000000000000000000000000000001"
    index = standing(alert(threshold=threshold, recurring=True), alert("below", threshold=threshold, id="b"))
    hair = Decimal("0." + "0" * 29 + "2")
    with_hair = Decimal(threshold[:-1] + "3")
    assert hair  # both sides of the threshold by a hair, in numbers of sixty digits
    assert [told[:2] for told in play(index, str(with_hair))] == [("fired", "a")]
    assert [told[:2] for told in play(index, threshold[:-1] + "0", begin=1)] == [("rearmed", "a"), ("fired", "b")]


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "price",
    [*map(Decimal, ("NaN", "sNaN", "Infinity", "-Infinity", "0", "-1", "1e30")), 100.0, "100", 100, None, True],
)
def test_what_is_no_price_decides_nothing(price: Any) -> None:
    index = standing(alert(recurring=True), alert("below", threshold="50", id="b"))
    play(index, "100")
    before = copy.deepcopy(index.newest_ns(BTC))
    for symbol in (BTC, "ETH/USDT"):
        with pytest.raises(InvalidInput):
            index.on_price(symbol, price, 5 * SECOND)
    assert index.newest_ns(BTC) == before
    assert play(index, "99", "100", begin=1) == [("rearmed", "a", SECOND), ("fired", "a", 2 * SECOND)]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"id": ""}, "id"),
        ({"id": 5}, "id"),
        ({"id": "x" * 201}, "id"),
        ({"owner": ""}, "owner"),
        ({"symbol": "btcusdt"}, "symbol"),
        ({"condition": "crosses"}, "condition"),
        ({"condition": None}, "condition"),
        *(({"threshold": bad}, "threshold") for bad in ("0", "-1", "NaN", "Infinity", "", 70000.0, None, True)),
        ({"recurring": "yes"}, "recurring"),
        ({"recurring": 1}, "recurring"),
        ({"cooldown": 60}, "cooldown"),
        ({"cooldown": "-1s"}, "cooldown"),
        *(({"hysteresis": bad}, "hysteresis") for bad in ("1", "-0.1", "NaN", 0.1, None)),
        ({"note": None}, "note"),
        ({"note": "x" * 2_001}, "note"),
    ],
)
def test_a_wrong_field_is_named(options: dict[str, Any], path: str) -> None:
    sound = {"id": "a", "owner": "me", "symbol": BTC, "condition": "above", "threshold": "1"}
    with pytest.raises(InvalidInput) as refused:
        PriceAlert(**{**sound, **options})
    assert refused.value.path == path


def test_an_alert_is_a_value() -> None:
    one = alert(cooldown="60s", threshold="100.0")
    assert one == alert(cooldown="1m", threshold=Decimal(100))
    assert hash(one) == hash(alert(cooldown="1m"))
    assert one != alert(cooldown="2m")
    assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(AttributeError):
        one.threshold = Decimal(5)  # type: ignore[misc]


# ---------------------------------------------------------------------------------------------------------------- laws

happenings = st.lists(
    st.one_of(
        price_alerts(),
        st.sampled_from("abcdefgh"),
        st.tuples(symbols, prices, st.integers(-1, 3)),
    ),
    max_size=60,
)
"""An alert to set, an id to cancel, or a price with the seconds since the last one."""


@given(happenings)
def test_the_index_tells_what_a_look_at_every_alert_would(happened: list[Any]) -> None:
    index, model, now = AlertIndex(), Model(), 10
    told: list[Told] = []
    for what in happened:
        if isinstance(what, PriceAlert):
            index.set(what)
            model.set(what)
        elif isinstance(what, str):
            assert index.cancel(what) == model.cancel(what)
        else:
            symbol, price, seconds = what
            now += seconds
            feed(index, told, symbol, price, now * SECOND)
            model.price(symbol, price, now * SECOND)
        assert len(index) == len(model.standing)
    assert told == model.told
    for owner in ("owner-True", "owner-False"):
        ids = sorted(id for id, one in model.standing.items() if one.alert.owner == owner)
        assert index.ids(owner) == ids
        assert [index.get(id) for id in ids] == [model.standing[id].alert for id in ids]
    counted = [one.alert.symbol for one in model.standing.values()]
    assert index.symbols() == {symbol: counted.count(symbol) for symbol in set(counted)}


class Kept:
    """The views, folded here: what a tape would keep of the alerts."""

    def __init__(self) -> None:
        self.states: dict[str, AlertState] = {}
        self.prices: dict[str, NotedPrice] = {}

    def load(self) -> AlertIndex:
        index = AlertIndex()
        index.load(self.states.items(), self.prices)
        return index

    def note(self, event: AlertSet | AlertCancelled | AlertTriggered | AlertRearmed | PriceNoted) -> None:
        read = type(event).from_wire(event.to_wire())
        assert read == event
        if isinstance(read, AlertTriggered | PriceNoted):
            price = alert_prices.fold(self.prices.get(read.symbol), read)
            if price is not None:
                self.prices[read.symbol] = alert_prices.codec.round_trip(price, "price")[1]
        if isinstance(event, PriceNoted):
            return
        state = view.fold(self.states.pop(event.id, None), read)
        if state is not None:
            self.states[event.id] = view.codec.round_trip(state, "state")[1]
            assert self.states[event.id] == state


def apply(index: AlertIndex, kept: Kept, what: Any, at: int) -> list[Told]:
    """One happening at its time, with its events."""
    told: list[Told] = []
    if isinstance(what, PriceAlert):
        kept.note(AlertSet.of(what, index.newest_ns(what.symbol)))
        index.set(what)
    elif isinstance(what, str):
        if index.cancel(what):
            kept.note(AlertCancelled(id=what, owner="somebody"))
    else:
        fired = index.on_price(what[0], what[1], at)
        told += [("rearmed", one.id, one.at_ns) for one in index.rearmed]
        told += [("fired", one.alert.id, one.at_ns) for one in fired]
        for rearmed in index.rearmed:
            kept.note(AlertRearmed.of(rearmed))
        for one in fired:
            kept.note(AlertTriggered.of(one, "made", 0))
        for noted in index.noted:
            kept.note(PriceNoted.of(noted))
        index.rearmed.clear()
        index.noted.clear()
    return told


def timed(happened: list[Any]) -> list[tuple[Any, int]]:
    """Happenings with their times (ns), of which no two are the same."""
    now, found = 10, []
    for index, what in enumerate(happened):
        now += what[2] if isinstance(what, tuple) else 0
        found.append((what, now * SECOND + index))
    return found


@given(happenings, st.data())
def test_an_index_that_is_loaded_goes_on_as_the_one_before(happened: list[Any], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(happened)), label="cut")
    back = data.draw(st.integers(0, cut), label="prices fed again from")
    before, after = timed(happened)[:cut], timed(happened)[cut:]
    index, kept = AlertIndex(), Kept()
    fed: list[tuple[Any, int]] = []
    for what, at in before:
        stale = index.stale
        apply(index, kept, what, at)
        if isinstance(what, tuple) and index.stale == stale:
            fed.append((what, at))
    other, loaded = kept.load(), copy.deepcopy(kept)
    again = fed[min(back, len(fed)) :]
    # the newest of each symbol in any case: what is older than it is then ignored by both
    for symbol in SYMBOLS:
        again += sorted((one for one in fed if one[0][0] == symbol), key=lambda one: one[1])[-1:]
    for what, at in again:
        assert apply(other, loaded, what, at) == []
    assert (loaded.states, loaded.prices) == (kept.states, kept.prices)
    for what, at in after:
        assert apply(index, kept, what, at) == apply(other, loaded, what, at)
    assert (loaded.states, loaded.prices) == (kept.states, kept.prices)


cooling = st.builds(
    PriceAlert,
    st.sampled_from("abc"),
    st.just("me"),
    st.just(BTC),
    st.sampled_from(["above", "below"]),
    st.sampled_from([Decimal(100), Decimal(101)]),
    st.just(True),
    st.sampled_from(["4s", "4s", "2s", "0s"]),
    st.sampled_from(["0", "0.01"]),
)
beside = st.tuples(
    st.just(BTC), st.sampled_from([*map(Decimal, ("98", "99.5", "100", "101", "103"))]), st.integers(0, 2)
)
moves = st.lists(beside, min_size=1, max_size=3).flatmap(
    lambda some: st.sampled_from([some, [*some, "restart"], [*some, "restart"]])
)
others = st.lists(st.one_of(cooling, st.sampled_from("abc")), max_size=1)
"""Prices about the bands of alerts that are mostly cooling down, and restarts."""


@given(st.lists(cooling, min_size=1, max_size=3), st.lists(st.tuples(moves, moves, others), min_size=3, max_size=12))
def test_restarts_in_cooldowns_with_nothing_fed_again_change_nothing(first: list[Any], then: list[Any]) -> None:
    model, kept = Model(), Kept()
    index, told = kept.load(), list[Told]()
    for what, at in timed([*first, *(one for parts in then for part in parts for one in part)]):
        if what == "restart":
            index = kept.load()
            continue
        told += apply(index, kept, what, at)
        if isinstance(what, PriceAlert):
            model.set(what)
        elif isinstance(what, str):
            model.cancel(what)
        else:
            model.price(what[0], what[1], at)
        assert told == model.told
        assert not index._books or index._books[BTC].marks == sorted(
            index._left(one) for one in index._standing.values() if one.state == 2
        )


def test_a_price_is_noted_once_for_all_alerts_and_only_on_another_side() -> None:
    index = standing(*(alert(id=id, recurring=True, cooldown="9s", hysteresis="0.01") for id in "abc"))
    assert len(play(index, "100")) == 3
    for second, value in enumerate(("101", "99.5", "98", "97", "98.5", "100"), 1):
        index.on_price(BTC, Decimal(value), second * SECOND)
    assert [(one.price, one.at_ns) for one in index.noted] == [(Decimal(98), 3 * SECOND), (Decimal(100), 6 * SECOND)]
    index.noted.clear()
    # what is taken away does not cool down any more
    for id in "abc":
        index.cancel(id)
    assert play(index, "90", "110", "90", begin=7) == []
    assert index.noted == []


@pytest.mark.parametrize("values", [("93", "95"), ("95", "93"), ("95", "93", "95"), ("93", "95", "93")])
def test_prices_of_one_time_that_are_fed_again_say_nothing_twice(values: tuple[str, ...]) -> None:
    index, kept = AlertIndex(), Kept()
    apply(index, kept, alert(threshold="95", recurring=True), 0)
    told = [one for value in values for one in apply(index, kept, (BTC, Decimal(value)), SECOND)]
    other, loaded = kept.load(), copy.deepcopy(kept)
    assert told
    assert [one for value in values for one in apply(other, loaded, (BTC, Decimal(value)), SECOND)] == []
    # and of later times they say the same
    for at, value in enumerate(["95", "93", "95", "93"], SECOND + 1):
        assert apply(index, kept, (BTC, Decimal(value)), at) == apply(other, loaded, (BTC, Decimal(value)), at)


# ------------------------------------------------------------------------------------------------------------- the tape


def test_what_listeners_get_has_the_names_they_expect() -> None:
    (fired,) = standing(alert(note="sell")).on_price(BTC, Decimal("100.5"), 1_700_000_000_123_456_789)
    event = AlertTriggered.of(fired, "made", 7)
    assert msgspec.json.decode(event.to_wire()) == {
        "type": "price_alert_triggered",
        "id": "a",
        "userId": "me",
        "symbol": BTC,
        "condition": "above",
        "threshold": "100",
        "currentPrice": "100.5",
        "recurring": False,
        "note": "sell",
        "quoteTime": "2023-11-14T22:13:20.123456Z",
        "atNs": 1_700_000_000_123_456_789,
        "recording": "made",
        "offset": 7,
    }
    assert AlertTriggered.from_wire(event.to_wire()) == event
    assert event.owner == "me"
    assert event.happened_at == event.quote_time


def test_what_is_kept_of_an_alert_is_short() -> None:
    state = AlertState("me", BTC, "above", Decimal(100))
    assert len(codec_for(AlertState | None).round_trip(state, "state")[0]) < 120


def test_what_comes_for_an_alert_that_is_gone_changes_nothing() -> None:
    (fired,) = standing(alert(recurring=True)).on_price(BTC, Decimal(100), 0)
    assert view.fold(None, AlertTriggered.of(fired, "", None)) is None
    assert view.fold(None, AlertRearmed(id="a", owner="me", symbol=BTC, at_ns=0)) is None
