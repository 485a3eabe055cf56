"""What a workflow's fills come to, against the ledger of the same fills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tickwork.graph.sources import Results
from tickwork.service.results import results
from tickwork.service.trading import OrderFilled
from tickwork.trading.ledger import Ledger

AT = datetime(2026, 1, 5, tzinfo=UTC)

_cents = st.decimals("0.01", "200", places=2)
_fills = st.lists(
    st.tuples(
        st.sampled_from(["BTC/USD", "ETH/USD:USD"]), st.sampled_from(["buy", "sell"]), _cents,
        st.decimals("0.001", "5", places=3), st.decimals("0", "1", places=2),
    ),
    max_size=30,
)  # fmt: skip


def _event(number: int, symbol: str, side: Any, price: Decimal, quantity: Decimal, fee: Decimal) -> OrderFilled:
    at = AT + timedelta(minutes=number)
    return OrderFilled(
        account="paper", workflow="doc", venue="alpha", fill_id=str(number), client_order_id=f"c{number}",
        venue_order_id=str(number), symbol=symbol, side=side, price=price, quantity=quantity, fee=fee,
        fee_currency="USD", time=at, known_at=at + timedelta(minutes=1), recording="r", offset=number,
    )  # fmt: skip


@given(_fills)
def test_profit_fees_and_lots_are_those_of_the_ledger(fills: list[Any]) -> None:
    ledger, found = Ledger({"USD": Decimal(0)}), None
    closed = won = 0
    peak, fall = Decimal(0), Decimal(0)
    for number, fill in enumerate(fills, start=1):
        event = _event(number, *fill)
        held, before = ledger.quantity(event.symbol), ledger.realised("USD")
        ledger.apply(event.fill())
        found = results.fold(found, event)
        against = held != 0 and (held > 0) == (event.side == "sell")
        closed += against
        won += against and ledger.realised("USD") > before
        now = ledger.realised("USD") - ledger.fees("USD")
        peak = max(peak, now)
        fall = max(fall, peak - now)
    told = found or Results()
    assert told.realised == ledger.realised("USD")
    assert told.fees == ledger.fees("USD")
    assert told.fills == len(fills)
    assert (told.won, told.won + told.lost) == (won, closed)
    assert (told.peak, told.fall) == (peak, fall)
    positions = ledger.positions()
    assert {symbol: (lot.quantity, lot.cost) for symbol, lot in told.lots.items()} == {
        symbol: (position.quantity, position.cost) for symbol, position in positions.items()
    }
