"""Accounts as workflows and documents trade on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import ClassVar, Final

from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Rejected
from tickwork.graph.sources import Position, Results
from tickwork.market.bars import Quote
from tickwork.outcome import Found
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.results import results
from tickwork.service.trading import Holding, holding_key, holdings, place
from tickwork.trading.desk import Placement
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ZERO, Order, OrderIntent
from tickwork.values import EXACT

_ASKED_AGAIN: Final = Retry(limit=100, delay="250 ms", cap="10 seconds")
"""A venue that does not answer for a while must not end a run that wants to cancel."""


class LiveTrader:
    """``graph.sources.Trader`` over open accounts. Each order goes through gate and desk.

    An intent is placed on the account that it names; where a venue is given that is not that account's, on the first
    account of that venue.

    Args:
        accounts: by their names; the first is what ``""`` means.
        rules: what each venue asks of orders, by symbol.
        fees: what a fill costs at each venue, a fraction of it.
        quotes: the freshest quote of a symbol at a venue.

    Raises:
        InvalidInput: no account.
    """

    source_name: ClassVar[str] = "trader"
    configure: ClassVar[str] = "an account: [accounts.<name>] in tickwork.toml"

    def __init__(
        self,
        accounts: Mapping[str, OpenAccount],
        *,
        rules: Mapping[str, Mapping[str, TradingRules]],
        fees: Mapping[str, Decimal],
        quotes: Callable[[str, str], Quote | None],
    ) -> None:
        if not accounts:
            raise InvalidInput("accounts", "none", "at least one: [accounts.<name>] in tickwork.toml")
        self._accounts = dict(accounts)
        self._first_at: dict[str, OpenAccount] = {}
        for account in accounts.values():
            self._first_at.setdefault(account.venue.name, account)
        self._rules = rules
        self._fees = fees
        self._quotes = quotes
        self._first = next(iter(self._accounts.values()))

    @property
    def account(self) -> str:
        """The name of the first."""
        return self._first.name

    @property
    def currency(self) -> str:
        """What they are kept in."""
        return self._first.currency

    @property
    def venues(self) -> Sequence[str]:
        """Where they can trade."""
        return list(self._first_at)

    # -- verbs ----------------------------------------------------------------------------------------------------

    async def place(self, run: Run, intent: OrderIntent, venue: str = "") -> Placement:
        """Intent to acknowledgement, exactly once; publishes how it ended. ``venue``: ``""`` for the symbol's own.

        Raises:
            InvalidInput: no such venue, another owner's intent, or a symbol that no venue lists.
            NotSent: it could not be sent.
        """
        account = self.account_of(intent, venue)
        placement = await place(run, account.desk, replace(intent, account=account.name))
        account.wake()
        return placement

    def account_of(self, intent: OrderIntent, venue: str = "") -> OpenAccount:
        """On which account an intent is placed: the one that it names, or, where ``venue`` is another's, that one's.

        Raises:
            InvalidInput: no such account or venue.
        """
        named = self._accounts.get(intent.account)
        if named is None:
            raise InvalidInput("intent.account", intent.account, f"one of {', '.join(self._accounts)}")
        return named if venue in ("", named.venue.name) else self._named(venue)

    async def cancel(self, run: Run, client_order_id: str) -> Order:
        """Cancel an order; harmless when it has ended.

        Raises:
            Rejected: no venue knows the order.
        """
        name: str = await run.step("account of the order", self._account_of, client_order_id, retry=_ASKED_AGAIN)
        account = self._accounts[name]
        order = await account.desk.cancel(run, client_order_id)
        account.wake()
        return order

    async def held(self, run: Run, document: str, symbol: str) -> Decimal:
        """How much of a symbol a document has bought and not sold, over all venues, in base units."""
        held: Holding | None = await holdings.get(holding_key(document, symbol))
        return ZERO if held is None else held.quantity

    async def results(self, run: Run, document: str) -> Results:
        """What a document's fills have come to."""
        found: Results | None = await results.get(document)
        return found or Results()

    async def _account_of(self, client_order_id: str) -> str:
        if len(self._accounts) == 1:
            return self._first.name
        for name, account in self._accounts.items():
            if account.desk.reservations.state_of(client_order_id) is not None:
                return name
        for name, account in self._accounts.items():
            if isinstance(await account.venue.find(client_order_id, ""), Found):
                return name
        raise Rejected(", ".join(self._accounts), f"no order has client id {client_order_id}")

    # -- reading --------------------------------------------------------------------------------------------------

    def equity(self) -> Decimal:
        """Cash and positions at the latest prices, over all venues.

        Raises:
            InvalidInput: a price is missing.
        """
        total = ZERO
        for account in self._accounts.values():
            equity = account.equity()
            if equity is None:
                raise InvalidInput("equity", None, f"a price of everything that {account.name} holds")
            total = EXACT.add(total, equity)
        return total

    def free(self) -> Decimal:
        """Cash that no order on its way may need, over all venues."""
        total = ZERO
        for account in self._accounts.values():
            total = EXACT.add(total, _free(account))
        return total

    def positions(self) -> list[Position]:
        """All positions, venue by venue.

        Raises:
            InvalidInput: one has no price.
        """
        found: list[Position] = []
        for account in self._accounts.values():
            venue = account.venue.name
            for symbol, held in account.desk.ledger.positions().items():
                quote = self._quotes(venue, symbol)
                if quote is None:
                    raise InvalidInput("positions", symbol, f"a price of it at {venue}")
                price = quote.bid if held.quantity > 0 else quote.ask
                found.append(Position(symbol, held.quantity, held.average_price or ZERO, price, venue))
        return found

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade."""
        return [order for account in self._accounts.values() for order in await account.venue.open_orders()]

    def rules(self, symbol: str) -> TradingRules:
        """What the symbol's own venue asks of orders.

        Raises:
            InvalidInput: no venue lists it.
        """
        return self._rules[self._at("", symbol).venue.name][symbol]

    def fee_rate(self, venue: str) -> Decimal:
        """What a fill costs there, a fraction of it.

        Raises:
            InvalidInput: no such venue.
        """
        return self._fees[(self._named(venue) if venue else self._first).venue.name]

    def _at(self, venue: str, symbol: str) -> OpenAccount:
        if venue:
            return self._named(venue)
        if symbol in self._rules[self._first.venue.name]:
            return self._first
        for name, account in self._first_at.items():
            if symbol in self._rules[name]:
                return account
        listed = sorted({name for rules in self._rules.values() for name in rules})
        raise InvalidInput("intent.symbol", symbol, f"one that an account trades: {', '.join(listed)}")

    def _named(self, venue: str) -> OpenAccount:
        found = self._first_at.get(venue)
        if found is None:
            raise InvalidInput("venue", venue, f"one of {', '.join(self._first_at)}")
        return found


def _free(account: OpenAccount) -> Decimal:
    """Cash less the worst case of what is on its way."""
    free = account.desk.ledger.cash(account.currency)
    reservations = account.desk.reservations
    for symbol in reservations.symbols():
        for held, left in reservations.of(symbol):
            if held.side == "buy" and not held.reduce_only:
                free = EXACT.subtract(free, EXACT.multiply(left, held.price))
    return max(free, ZERO)
