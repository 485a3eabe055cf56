"""What workflows get to trade with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tickwork.core.run import Run
from tickwork.errors import NotFound
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.prices import LivePrices
from tickwork.service.accounts.providers import LiveProviders
from tickwork.service.accounts.trader import LiveTrader
from tickwork.service.exits import Exits
from tickwork.service.trading import Executed, OrderEnded, executed
from tickwork.trading.desk import Placement
from tickwork.trading.exits import ExitRules
from tickwork.trading.orders import OrderIntent
from tickwork.values import EXACT, DurationLike, duration, duration_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Trading:
    """Given to ``workflows(trading)`` of a file of workflows: accounts, venues, prices."""

    accounts: Mapping[str, OpenAccount]
    """By their names in the configuration."""
    trader: LiveTrader
    """Places orders on all of them: ``await trading.trader.place(run, intent)``."""
    providers: LiveProviders
    """Reads their venues."""
    prices: LivePrices
    exits: Exits
    """Stops, targets, trailing stops: ``await trading.protect(run, intent, placement, rules)``."""
    sources: Mapping[str, str]
    """Whose prices each account looks at."""

    async def protect(
        self,
        run: Run,
        intent: OrderIntent,
        placement: Placement,
        rules: ExitRules,
        *,
        within: DurationLike = "5 minutes",
        name: str = "exits",
    ) -> str:
        """Wait for the end of an order that opens a position, then protect what was really filled of it.

        What is still open of it after ``within`` is cancelled first. Returns the plan's id; ``""`` where nothing was
        filled, or no order came to be.

        Raises:
            InvalidInput: the rules are wrong.
        """
        if placement.ack is None:
            return ""
        key = placement.ack.client_order_id
        account = self.account_of(intent)
        ended = await run.wait_for(
            OrderEnded, where={"account": account.name, "client_order_id": key}, timeout=duration_text(duration(within))
        )
        if ended is None:
            mark = run.mark()
            await account.desk.cancel(run, key, intent.symbol)
            account.wake()
            await run.wait_for(OrderEnded, where={"client_order_id": key}, since=mark)
        filled: Executed | None = await executed.get(key)
        if filled is None or filled.average_price is None:
            return ""
        return await self.exits.protect(
            run,
            rules,
            account=account.name,
            venue=self.sources[account.name],
            workflow=intent.workflow,
            symbol=intent.symbol,
            quantity=EXACT.subtract(filled.quantity, filled.base_fee),
            entry_price=filled.average_price,
            side="long" if intent.side == "buy" else "short",
            name=name,
        )

    def account_of(self, intent: OrderIntent) -> OpenAccount:
        """The account on which an intent is placed: the one it names, else the first that trades its symbol."""
        return self.trader.account_of(intent)

    def account(self, name: str) -> OpenAccount:
        """One of the accounts.

        Raises:
            InvalidInput: there is none of this name.
        """
        found = self.accounts.get(name)
        if found is None:
            raise NotFound("account", name, f"one of {', '.join(self.accounts)}")
        return found
