"""Standing alerts and rules of a session: fed with its prices and with what its accounts hold.

Rules look at an owner's positions over all of the owner's accounts. What has no owner belongs to whoever runs the
process: ``HOUSE``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from tickwork.engines.embedded.engine import Engine
from tickwork.market.position_rules import Position
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.alerts import HOUSE, Alerts
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT

_EVERY_S: Final = 5.0
"""How often it is looked what is held besides after each fill: what is taken over comes without one."""


class Standing:
    """The alerts of a session. ``open`` once its engine is.

    Args:
        accounts: those that are open.
        clock: ns since 1970 UTC.
    """

    def __init__(self, accounts: Mapping[str, OpenAccount], clock: Callable[[], int]) -> None:
        self._accounts = accounts
        self._clock = clock
        self._told: dict[str, dict[str, Decimal]] = {}

    def open(self, engine: Engine) -> None:
        """Take up what stands."""
        self.alerts = Alerts(engine)

    def look(self) -> None:
        """Tell the rules what every owner holds, where that has changed."""
        now_ns = self._clock()
        for owner, held in self._held().items():
            if self._told.get(owner) == held:
                continue
            self._told[owner] = held
            positions = [Position(owner, symbol, quantity, at_ns=now_ns) for symbol, quantity in held.items()]
            self.alerts.on_positions(owner, positions, now_ns)

    def _held(self) -> dict[str, dict[str, Decimal]]:
        """By owner and symbol, in base units; positions only."""
        found: dict[str, dict[str, Decimal]] = {}
        for account in self._accounts.values():
            mine = found.setdefault(account.owner or HOUSE, {})
            for symbol, position in account.desk.ledger.positions().items():
                mine[symbol] = EXACT.add(mine.get(symbol, ZERO), position.quantity)
        return {owner: {symbol: held for symbol, held in mine.items() if held} for owner, mine in found.items()}

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Look now and then, until cancelled."""
        while True:
            self.look()
            await sleep(_EVERY_S)
