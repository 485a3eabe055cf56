"""Whatever goes wrong: certain means certain, and in the end what is found is what is there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venues.ccxt.support import SPOT, approved, client_id, in_loop, world
from tickwork.errors import Retryable
from tickwork.outcome import Found
from tickwork.sim.exchange.faults import STAGES
from tickwork.trading.desk import CERTAIN
from tickwork.trading.order_life import FINAL
from tickwork.trading.orders import Ack, Order

ID = client_id(7)

ROUTES = st.sampled_from(["order.create", "order.query", "order.cancel", "order.*", "orders.*", "time", "*"])
FAULTS = st.lists(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(sorted(STAGES)), "on": ROUTES},
        optional={
            "times": st.integers(1, 2),
            "nth": st.integers(1, 3),
            "seconds": st.sampled_from([0.5, 4, 20]),
            "shape": st.sampled_from(["html", "truncated", "strings", "numbers", "types", "empty", "null"]),
            "status": st.sampled_from([500, 502, 503, 504]),
        },
    ),
    max_size=3,
)


@pytest.mark.parametrize("kind", ["mexc", "binance"])
@settings(max_examples=60, deadline=None)
@given(
    faults=FAULTS,
    duplicates=st.sampled_from(["same", "reject", "reject_open", "accept"]),
    limit=st.sampled_from([None, "54000"]),
    skew_s=st.sampled_from([0, 0, 0, 2, 90]),
    market_orders=st.booleans(),
)
def test_law_a_submission_has_one_of_three_ends(
    kind: str, faults: list[dict[str, Any]], duplicates: Any, limit: str | None, skew_s: int, market_orders: bool
) -> None:
    @in_loop
    async def play() -> None:
        async with world(kind) as (made, venue):
            made.exchange.duplicates = duplicates
            made.exchange.skew = skew_s * 10**9
            made.exchange.markets["BTCUSDT"].api_market_orders = market_orders
            for fault in faults:
                made.fault(**({"status": 0} | fault))
            result: object
            try:
                result = await venue.submit(approved(limit=limit), ID)
            except Exception as error:  # noqa: BLE001 - its kind is what the law is about
                result = error
            made.now_ns += 120 * 10**9
            there = len(made.orders)
            assert there <= 1
            if isinstance(result, Ack):
                assert (there, result.client_order_id) == (1, ID)
            elif isinstance(result, CERTAIN):
                assert there == 0, result
            cancelled: Order | None = None
            try:
                cancelled = await venue.cancel(ID, SPOT)
            except Exception as error:  # noqa: BLE001 - likewise
                assert isinstance(error, Retryable) or there == 0, error
            made.api.faults.clear()
            made.now_ns += 120 * 10**9
            made.exchange.settle()
            found = await venue.find(ID, SPOT)
            assert isinstance(found, Found) == (there == 1)
            if isinstance(found, Found):
                (order,) = made.orders
                assert (found.value.filled, found.value.filled_notional) == (order.executed, order.quoted)
                assert (found.value.status in FINAL) == (not order.is_open)
                if cancelled is not None and cancelled.status in FINAL:
                    assert found.value == cancelled
            fills = await venue.fills(SPOT, 0)
            assert sum(fill.quantity for fill in fills) == sum(one.executed for one in made.orders)

    play()
