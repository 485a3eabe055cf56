"""What workflows get to trade with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tickwork.errors import InvalidInput
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.prices import LivePrices
from tickwork.service.accounts.providers import LiveProviders
from tickwork.service.accounts.trader import LiveTrader


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

    def account(self, name: str) -> OpenAccount:
        """One of the accounts.

        Raises:
            InvalidInput: there is none of this name.
        """
        found = self.accounts.get(name)
        if found is None:
            raise InvalidInput("account", name, f"one of {', '.join(self.accounts)}")
        return found
