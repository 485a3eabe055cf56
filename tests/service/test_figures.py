"""Whose trades: who closes a position need not be who opened it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.support import live
from tickwork.engines.embedded import Engine
from tickwork.service.figures import AccountFigures, figures
from tickwork.service.trading import AccountOpened, OrderAccepted, OrderFilled

NOW = datetime(2026, 1, 1, tzinfo=UTC)
D = Decimal
SPOT, SWAP = "BTC/USDT", "BTC/USDT:USDT"
Trade = tuple[str, str, int, int]
"""Side, who decided, quantity, price."""


def shown(trades: list[Trade], symbol: str = SPOT, *, reduces: bool = False) -> AccountFigures:
    """The figures of an account whose workflow ``dip`` traded so; ``reduces``: its sales only reduce."""
    found: list[AccountFigures] = []

    @live
    async def told() -> None:
        async with Engine("memory:") as engine:
            engine.post(AccountOpened(account="main", venue="v", currency="USDT", amount=D(100_000)))
            for number, (side, agent, quantity, price) in enumerate(trades):
                both: dict[str, Any] = {
                    "account": "main", "workflow": "dip", "venue": "v", "symbol": symbol, "side": side,
                    "client_order_id": f"{number:032x}", "venue_order_id": str(number), "quantity": D(quantity),
                }  # fmt: skip
                accepted = OrderAccepted(
                    **both, run="r", type="market", reduce_only=reduces and side == "sell", agent=agent, reason="",
                    quote_time=NOW, recording="",
                )  # fmt: skip
                engine.post(accepted)
                filled = OrderFilled(
                    **both, fill_id=str(number), price=D(price), fee=D(0), fee_currency="USDT", time=NOW, known_at=NOW
                )
                engine.post(filled)
            await engine.durable()
            found.extend(figures(engine.queries))

    told()
    return found[0]


def by_agent(one: AccountFigures) -> dict[str, tuple[str, int, int]]:
    return {share.agent: (share.realised, share.trades.count, share.trades.open) for share in one.shares}


def test_a_flatten_closes_the_trade_of_whoever_opened_it() -> None:
    one = shown([("buy", "phone", 2, 100), ("sell", "flatten", 2, 90)])
    assert (one.realised, one.trades.count, one.trades.lost, one.trades.open) == ("-20", 1, 1, 0)
    assert by_agent(one) == {"phone": ("-20", 1, 0)}, "and nobody else has traded"


def test_a_stop_of_the_workflow_closes_its_analysts() -> None:
    one = shown([("buy", "rsi", 2, 100), ("buy", "macd", 1, 100), ("sell", "", 3, 110)], SWAP, reduces=True)
    assert by_agent(one) == {"macd": ("10", 1, 0), "rsi": ("20", 1, 0)}


def test_an_analyst_closes_what_is_its_own_first() -> None:
    one = shown([("buy", "rsi", 2, 100), ("buy", "macd", 2, 100), ("sell", "rsi", 2, 110)])
    assert by_agent(one) == {"macd": ("0", 0, 1), "rsi": ("20", 1, 0)}


def test_two_analysts_may_be_on_two_sides_of_a_contract() -> None:
    one = shown([("buy", "rsi", 2, 100), ("sell", "macd", 1, 100)], SWAP)
    assert by_agent(one) == {"macd": ("0", 0, 1), "rsi": ("0", 0, 1)}


@settings(deadline=None, max_examples=30)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["buy", "sell"]), st.sampled_from(["", "rsi", "phone"]), st.integers(1, 3), st.just(100)
        ),
        max_size=6,
    )
)
def test_on_a_spot_market_nobody_is_short_and_an_account_that_is_flat_has_nothing_open(trades: list[Trade]) -> None:
    held, allowed = 0, []
    for side, agent, quantity, price in trades:
        size = min(quantity, held) if side == "sell" else quantity  # no more than there is can be sold
        if size:
            allowed.append((side, agent, size, price))
            held += size if side == "buy" else -size
    one = shown(allowed)
    assert (one.trades.open == 0) == (held == 0)
    assert one.trades.open <= len({agent for side, agent, *_ in allowed if side == "buy"})
