"""A small market and account for tests: one spot pair, one contract, short ways to write intents, bars and fills."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tickwork.market.bars import Bar, Quote
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Fill, OrderIntent, Side

D = Decimal
Amount = str | int | Decimal
SPOT = "BTC/USDT"
SWAP = "BTC/USDT:USDT"
HOUR = 3_600_000_000_000
START = 1_700_000_000_000_000_000

RULES = {
    name: TradingRules(
        symbol=name, price_tick=D("0.01"), quantity_step=D("0.0001"), min_notional=D(1), fee_step=D("1e-8")
    )
    for name in (SPOT, SWAP)
}


def limits(**changes: Any) -> RiskLimits:
    """Limits of 1,000 an order and 3,000 a position."""
    return RiskLimits(
        **{"max_order_notional": D(1_000), "max_position_notional": D(3_000), "min_notional": D(1), **changes}
    )


def gate(**changes: Any) -> RiskGate:
    return RiskGate(limits(**changes), RULES)


def intent(side: Side = "buy", quantity: str | None = "1", **changes: Any) -> OrderIntent:
    fields: dict[str, Any] = {
        "account": "main",
        "owner": "ann",
        "workflow": "test",
        "symbol": SPOT,
        "side": side,
        "quantity": None if quantity is None else D(quantity),
        "reference_price": D(100),
        "reference_time": START,
        "reference_source": "test",
    }
    fields.update(changes)
    if fields.get("limit_price") is not None:
        fields["type"] = "limit"
    return OrderIntent(**fields)


def quote(price: str | Decimal = "100", *, time_ns: int = START, symbol: str = SPOT) -> Quote:
    return Quote(symbol=symbol, venue="test", time_ns=time_ns, bid=D(price), ask=D(price))


def bar(
    open: str | Decimal,
    low: str | Decimal | None = None,
    high: str | Decimal | None = None,
    *,
    close: str | Decimal | None = None,
    index: int = 0,
    symbol: str = SPOT,
) -> Bar:
    """A bar; what is not given is the open."""
    first = D(open)
    last = first if close is None else D(close)
    return Bar(
        symbol,
        "test",
        START + index * HOUR,
        HOUR,
        first,
        max(first, last) if high is None else D(high),
        min(first, last) if low is None else D(low),
        last,
        D(1),
    )


def fill(number: int, side: Side, quantity: Amount, price: Amount, fee: Amount = 0, **changes: Any) -> Fill:
    fields: dict[str, Any] = {
        "venue": "test",
        "fill_id": str(number),
        "client_order_id": f"{number:032x}",
        "venue_order_id": str(number),
        "account": "main",
        "symbol": SPOT,
        "side": side,
        "price": D(price),
        "quantity": D(quantity),
        "fee": D(fee),
        "fee_currency": "USDT",
        "time": START + number,
    }
    return Fill(**{**fields, **changes})
