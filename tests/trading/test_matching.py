"""Matching: at the next open or quote, through the limit, in parts, always rounded against the trader."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import RULES, SPOT, D, bar
from tests.trading.support import quote as a_quote
from tickwork.errors import InvalidInput
from tickwork.market.bars import Bar, Quote
from tickwork.trading.matching import (
    LIVE_LIKE,
    PLAIN,
    Costs,
    Depth,
    FillModel,
    Level,
    Match,
    TradingRules,
    affordable,
    bar_offers,
    match,
    quote_offers,
    takings,
)
from tickwork.trading.orders import Order, Side, TimeInForce
from tickwork.values import EXACT

COSTS = Costs()
prices = st.decimals(min_value=1, max_value=100_000, places=2)


def order(side: Side = "buy", limit: str | Decimal | None = None, quantity: str = "2", **changes: Any) -> Order:
    fields: dict[str, Any] = {
        "venue": "test",
        "client_order_id": "a" * 32,
        "venue_order_id": "1",
        "account": "main",
        "symbol": SPOT,
        "side": side,
        "type": "market" if limit is None else "limit",
        "quantity": D(quantity),
        "limit_price": None if limit is None else D(limit),
    }
    return Order(**{**fields, **changes})


def on_bar(order: Order, bar: Bar, model: FillModel = PLAIN, used: str = "0") -> list[Match]:
    return match(order, bar_offers(order, bar, RULES[SPOT], COSTS, model), RULES[SPOT], COSTS, D(used))


def on_quote(
    order: Order, quote: Quote, model: FillModel = PLAIN, depth: Depth | None = None, used: str = "0"
) -> list[Match]:
    return match(order, quote_offers(order, quote, RULES[SPOT], COSTS, model, depth), RULES[SPOT], COSTS, D(used))


def levels(*amounts: tuple[str, str]) -> tuple[Level, ...]:
    return tuple(Level(D(price), D(quantity)) for price, quantity in amounts)


def test_market_orders_fill_at_the_open_with_slippage_and_fee() -> None:
    """100 and 0.05 % against the side; the fee is 0.1 % of 200.10, of 199.90."""
    (bought,) = on_bar(order("buy"), bar("100", "90", "120"))
    (sold,) = on_bar(order("sell"), bar("100", "90", "120"))
    assert (bought.price, bought.quantity, bought.fee, bought.fee_currency) == (D("100.05"), D(2), D("0.2001"), "USDT")
    assert (sold.price, sold.fee) == (D("99.95"), D("0.1999"))


@pytest.mark.parametrize(
    ("side", "limit", "low", "high", "price"),
    [
        ("buy", "95", "95", "110", None),  # touched only
        ("buy", "95", "94.99", "110", "95"),  # traded through
        ("buy", "95", "96", "110", None),
        ("buy", "100", "100", "110", "100"),  # opens at the limit
        ("buy", "105", "95", "110", "100"),  # opens better
        ("sell", "110", "95", "110", None),
        ("sell", "110", "95", "110.01", "110"),
        ("sell", "100", "95", "100", "100"),
        ("sell", "90", "95", "110", "100"),
    ],
)
def test_limit_orders(side: Side, limit: str, low: str, high: str, price: str | None) -> None:
    done = on_bar(order(side, limit), bar("100", low, high))
    assert [one.price for one in done] == ([] if price is None else [D(price)])


def test_an_ended_order_does_not_trade() -> None:
    ended = order().ended("cancel", "asked")
    assert on_bar(ended, bar("100")) == []


def test_bars_and_quotes_of_another_symbol_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a bar of BTC/USDT"):
        on_bar(order(), bar("100", symbol="ETH/USDT"))
    with pytest.raises(InvalidInput, match="a quote of BTC/USDT"):
        on_quote(order(), a_quote("100", symbol="ETH/USDT"))


def test_a_sell_never_goes_below_one_tick() -> None:
    (done,) = on_bar(order("sell"), bar("0.01"))
    assert done.price == D("0.01")


@given(st.sampled_from(["buy", "sell"]), prices, st.decimals(min_value=D("0.0001"), max_value=1000, places=4))
def test_rounding_is_never_in_the_traders_favour(side: Side, price: Decimal, quantity: Decimal) -> None:
    rules = RULES[SPOT]
    (done,) = on_bar(order(side, quantity=str(quantity)), bar(price))
    exact = EXACT.multiply(price, D("1.0005") if side == "buy" else D("0.9995"))
    worse = done.price - exact if side == "buy" else exact - done.price
    assert 0 <= worse < rules.price_tick or done.price == rules.price_tick
    excess = EXACT.subtract(done.fee, EXACT.multiply(EXACT.multiply(done.price, done.quantity), D("0.001")))
    assert 0 <= excess < rules.fee_step


@given(st.decimals(min_value=0, max_value=100_000, places=8), prices)
def test_affordable_is_paid_and_nearly_the_most(cash: Decimal, price: Decimal) -> None:
    rules = RULES[SPOT]

    def cost(quantity: Decimal) -> Decimal:
        notional = EXACT.multiply(price, quantity)
        return EXACT.add(notional, COSTS.fee(notional, rules))

    quantity = affordable(cash, price, rules, COSTS)
    assert cost(quantity) <= cash
    assert cost(quantity + 2 * rules.quantity_step) > cash


@pytest.mark.parametrize(
    "wrong", [{"price_tick": D(0)}, {"quantity_step": D(-1)}, {"min_notional": D(-1)}, {"fee_step": 0.1}]
)
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        TradingRules(**{"symbol": SPOT, "price_tick": D(1), "quantity_step": D(1), **wrong})


@pytest.mark.parametrize("wrong", [{"fee_rate": D(1)}, {"slippage": D("-0.1")}, {"fee_rate": 0.001}])
def test_wrong_costs_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Costs(**wrong)


# ------------------------------------------------------------------------------------------------ how orders fill

IMPACT = FillModel(impact=D("0.001"))
TENTH = FillModel(volume_share=D("0.1"))


@pytest.mark.parametrize(
    ("side", "quantity", "price"),
    [
        ("buy", "10", "100.05"),  # a notional of 1,000 is not above it
        ("buy", "10.0001", "100.15"),
        ("sell", "10", "99.95"),
        ("sell", "10.0001", "99.85"),
    ],
)
def test_impact_is_added_above_a_notional(side: Side, quantity: str, price: str) -> None:
    wanted = order(side, quantity=quantity)
    assert [one.price for one in on_bar(wanted, bar("100"), IMPACT)] == [D(price)]
    assert [one.price for one in on_quote(wanted, a_quote("100"), IMPACT)] == [D(price)]


@pytest.mark.parametrize(
    ("side", "limit", "price"),
    [("buy", "100.05", "100.05"), ("buy", "101", "100.1"), ("sell", "99.95", "99.95"), ("sell", "99", "99.9")],
)
def test_impact_goes_no_further_than_the_limit(side: Side, limit: str, price: str) -> None:
    done = on_bar(order(side, limit, quantity="20"), bar("100"), IMPACT)
    assert [one.price for one in done] == [D(price)]


def test_impact_is_judged_by_the_whole_order() -> None:
    """What is left of an order of 20 is below 1,000, and pays the impact all the same."""
    wanted = order(quantity="20")
    rest = replace(wanted, filled=D(19), status="partially_filled")
    (done,) = on_bar(rest, bar("100"), IMPACT)
    assert (done.quantity, done.price) == (D(1), D("100.15"))


def test_a_share_of_the_volume() -> None:
    """A tenth of a bar's volume of 1, on the step, less what others of ours have had of it."""
    assert [one.quantity for one in on_bar(order(), bar("100"), TENTH)] == [D("0.1")]
    assert [one.quantity for one in on_bar(order(), bar("100"), TENTH, used="0.0999")] == [D("0.0001")]
    assert on_bar(order(), bar("100"), TENTH, used="0.1") == []
    assert [one.quantity for one in on_bar(order(quantity="0.05"), bar("100"), TENTH)] == [D("0.05")]


def test_quotes_trade_on_their_side() -> None:
    quote = Quote(symbol=SPOT, venue="test", time_ns=1, bid=D(99), ask=D(101))
    assert [one.price for one in on_quote(order("buy"), quote)] == [D("101.06")]  # 101.0505, up to the tick
    assert [one.price for one in on_quote(order("sell"), quote)] == [D("98.95")]
    assert [one.price for one in on_quote(order("buy", "101"), quote)] == [D(101)]
    assert on_quote(order("buy", "100.99"), quote) == []
    assert [one.price for one in on_quote(order("sell", "98"), quote)] == [D(99)]
    assert on_quote(order("sell", "99.01"), quote) == []


def test_depth_is_taken_level_by_level() -> None:
    depth = Depth(bids=levels(("99", "1"), ("98", "4")), asks=levels(("101", "0.5"), ("102", "0.5"), ("103", "9")))
    quote = Quote(symbol=SPOT, venue="test", time_ns=1, bid=D(99), ask=D(101))

    def done(order: Order, model: FillModel = PLAIN, used: str = "0") -> list[tuple[str, str]]:
        found = on_quote(order, quote, model, depth, used)
        return [(str(one.price.normalize()), str(one.quantity.normalize())) for one in found]

    assert done(order("buy", "102")) == [("101", "0.5"), ("102", "0.5")]
    assert done(order("buy", "103", "1.2")) == [("101", "0.5"), ("102", "0.5"), ("103", "0.2")]
    assert done(order("buy", "103", "1.2"), used="0.7") == [("102", "0.3"), ("103", "0.9")]
    assert done(order("sell", "98", "10")) == [("99", "1"), ("98", "4")]
    assert done(order("sell", "98", "10"), FillModel(depth_share=D("0.5"))) == [("99", "0.5"), ("98", "2")]
    assert done(order("sell", quantity="2")) == [("98.95", "1"), ("97.95", "1")]
    assert done(order("buy", "103", "20", time_in_force="fok")) == []
    assert done(order("buy", "103", "10", time_in_force="fok")) == [("101", "0.5"), ("102", "0.5"), ("103", "9")]
    assert on_quote(order(), quote, depth=Depth()) == []


@pytest.mark.parametrize("force", ["ioc", "fok"])
def test_what_is_immediate_has_the_open_alone(force: TimeInForce) -> None:
    through = bar("100", "90", "110")
    assert len(on_bar(order("buy", "95"), through)) == 1
    assert on_bar(order("buy", "95", time_in_force=force), through) == []
    assert len(on_bar(order("buy", "100", time_in_force=force), through)) == 1


@given(
    st.sampled_from(["buy", "sell"]),
    st.decimals(min_value=D("0.0001"), max_value=50, places=4),
    st.lists(st.tuples(st.integers(1, 50), st.decimals(min_value=0, max_value=20, places=4)), max_size=6),
    st.decimals(min_value=0, max_value=60, places=4),
    st.sampled_from(["gtc", "ioc", "fok"]),
    st.one_of(st.none(), st.integers(60, 140)),
)
def test_law_of_takings(
    side: Side,
    quantity: Decimal,
    steps: list[tuple[int, Decimal]],
    used: Decimal,
    force: TimeInForce,
    limit: int | None,
) -> None:
    """Never more than is wanted, than is visible, than others left; never beyond the limit; all or nothing if so."""
    sign, at, rungs = (1 if side == "buy" else -1), D(100), list[Level]()
    for step, size in steps:
        at += sign * step
        if at > 0:
            rungs.append(Level(at, size))
    depth = Depth(asks=tuple(rungs)) if side == "buy" else Depth(bids=tuple(rungs))
    wanted = order(side, None if limit is None else D(limit), str(quantity), time_in_force=force)
    offers = quote_offers(wanted, a_quote("100"), RULES[SPOT], COSTS, depth=depth)
    taken = takings(wanted, offers, used)
    sums = sum((level.quantity for level in taken), D(0))
    reachable = [one for one in rungs if limit is None or (one.price - limit) * sign <= 0]
    left = max(sum((one.quantity for one in reachable), D(0)) - used, D(0))
    assert all(level.quantity > 0 for level in taken)
    assert limit is None or all((level.price - limit) * sign <= 0 for level in taken)
    if force == "fok":
        assert sums == (quantity if left >= quantity else 0)
    else:
        assert sums == min(quantity, left)


def test_delays_are_drawn_from_the_client_id() -> None:
    drawn = [LIVE_LIKE.delay_ns(f"{number:032x}") for number in range(200)]
    assert drawn == [LIVE_LIKE.delay_ns(f"{number:032x}") for number in range(200)]
    assert all(500_000_000 <= one <= 1_500_000_000 for one in drawn)
    assert len(set(drawn)) == 200
    assert min(drawn) < 600_000_000
    assert max(drawn) > 1_400_000_000
    assert PLAIN.delay_ns("a") == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"impact": D(1)},
        {"impact": D("-0.1")},
        {"impact": 0.001},
        {"impact_above": D(-1)},
        {"volume_share": D(0)},
        {"volume_share": D("1.1")},
        {"depth_share": D("NaN")},
        {"delay": (timedelta(seconds=2), timedelta(seconds=1))},
        {"delay": (timedelta(seconds=-2), timedelta(seconds=1))},
    ],
)
def test_wrong_fill_models_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"fills\."):
        FillModel(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"bids": levels(("100", "1"), ("100", "1"))},
        {"asks": levels(("100", "1"), ("99", "1"))},
        {"asks": levels(("100", "-1"))},
        {"bids": levels(("NaN", "1"))},
        {"bids": levels(("101", "1")), "asks": levels(("100", "1"))},
    ],
)
def test_wrong_depths_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"depth\."):
        Depth(**wrong)
