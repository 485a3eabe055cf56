"""Orders as the gate would have let them through."""

from __future__ import annotations

from decimal import Decimal

from tickwork.trading.gate import RiskGate
from tickwork.trading.orders import Approval, ApprovedOrder, OrderIntent, Side, TimeInForce

KEY1, KEY2, KEY3 = (f"{number:032x}" for number in (1, 2, 3))


def approved(
    symbol: str,
    side: Side,
    quantity: str | Decimal,
    *,
    limit: str | Decimal | None = None,
    time_in_force: TimeInForce = "gtc",
    reduce_only: bool = False,
    leverage: str = "1",
    account: str = "main",
) -> ApprovedOrder:
    """An approved order of these terms."""
    intent = OrderIntent(
        account=account,
        owner="tests",
        workflow="tests",
        symbol=symbol,
        side=side,
        type="market" if limit is None else "limit",
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        time_in_force=time_in_force,
        reduce_only=reduce_only,
        leverage=Decimal(leverage),
    )
    approval = Approval(
        intent=intent,
        quantity=Decimal(quantity),
        limit_price=intent.limit_price,
        valuation_price=Decimal(1),
        quote_price=None,
        quote_time=0,
        approved_at=0,
        expires_at=0,
    )
    return RiskGate.seal(approval)
