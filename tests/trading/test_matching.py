"""Matching: at the next open, through the limit, always rounded against the trader."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trading.support import RULES, SPOT, D, bar
from tickwork.errors import InvalidInput
from tickwork.trading.matching import Costs, TradingRules, affordable, match
from tickwork.trading.orders import Order, Side
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


def test_market_orders_fill_at_the_open_with_slippage_and_fee() -> None:
    """100 and 0.05 % against the side; the fee is 0.1 % of 200.10, of 199.90."""
    bought = match(order("buy"), bar("100", "90", "120"), RULES[SPOT], COSTS)
    sold = match(order("sell"), bar("100", "90", "120"), RULES[SPOT], COSTS)
    assert bought is not None
    assert sold is not None
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
    done = match(order(side, limit), bar("100", low, high), RULES[SPOT], COSTS)
    assert (None if done is None else done.price) == (None if price is None else D(price))


def test_an_ended_order_does_not_trade() -> None:
    ended = order().ended("cancel", "asked")
    assert match(ended, bar("100"), RULES[SPOT], COSTS) is None


def test_a_bar_of_another_symbol_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a bar of BTC/USDT"):
        match(order(), bar("100", symbol="ETH/USDT"), RULES[SPOT], COSTS)


def test_a_sell_never_goes_below_one_tick() -> None:
    done = match(order("sell"), bar("0.01"), RULES[SPOT], COSTS)
    assert done is not None
    assert done.price == D("0.01")


@given(st.sampled_from(["buy", "sell"]), prices, st.decimals(min_value=D("0.0001"), max_value=1000, places=4))
def test_rounding_is_never_in_the_traders_favour(side: Side, price: Decimal, quantity: Decimal) -> None:
    rules = RULES[SPOT]
    done = match(order(side, quantity=str(quantity)), bar(price), rules, COSTS)
    assert done is not None
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
