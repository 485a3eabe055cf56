"""Money set aside: so that two runs never count on the same cash."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tickwork.core.run import Run
from tickwork.errors import Refused, Retryable
from tickwork.graph.nodes.views import Reservation, Reserved, reserved_funds
from tickwork.graph.sources import Trader
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, timestamp_ns

_TRIES: Final = 100
"""Each one that fails means that another run has got through in between."""


async def reserve(run: Run, trader: Trader, id: str, one: Reservation) -> None:
    """Set money aside under ``id``; again under the same id changes nothing.

    Raises:
        Refused: what is free and not set aside is too little.
        Retryable: others were always quicker.
    """
    for _ in range(_TRIES):
        known: Reserved | None = await reserved_funds.get(trader.account)
        free = await run.step("free cash", trader.free)
        now = timestamp_ns(run.now())
        standing = {name: other for name, other in (known or Reserved()).by_id.items() if other.until > now}
        if id in standing:
            return
        left = EXACT.subtract(free, Reserved(standing).total(now))
        if one.amount > left:
            raise Refused("reserve_funds", f"{left} {trader.currency} free and not set aside", str(one.amount))
        if await reserved_funds.claim(trader.account, known, Reserved({**standing, id: one})):
            return
    raise Retryable(f"the funds of {trader.account} are being set aside by too many runs at once")


async def spend(account: str, id: str) -> Decimal:
    """Let go of what was set aside under ``id``. Returns how much; zero where there is nothing any more.

    Raises:
        Retryable: others were always quicker.
    """
    for _ in range(_TRIES):
        known: Reserved | None = await reserved_funds.get(account)
        if known is None or id not in known.by_id:
            return ZERO
        left = {name: one for name, one in known.by_id.items() if name != id}
        if await reserved_funds.claim(account, known, Reserved(left)):
            return known.by_id[id].amount
    raise Retryable(f"the funds of {account} are being set aside by too many runs at once")
