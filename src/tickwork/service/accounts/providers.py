"""Live venues as documents read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

from tickwork.errors import InvalidInput
from tickwork.graph.sources import Balance, Level, Market, OrderBook, Position
from tickwork.market.bars import Bar
from tickwork.service.accounts.account import OpenAccount
from tickwork.service.accounts.prices import LivePrices
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT


class LiveProvider:
    """A ``graph.sources.Provider``: the prices of a venue as its feeds give them, and the account there.

    ``source``: whose prices they are; mostly the venue's own.
    """

    def __init__(
        self,
        account: OpenAccount,
        prices: LivePrices,
        source: str,
        *,
        rules: Mapping[str, TradingRules],
        fee_rate: Decimal,
    ) -> None:
        self._account = account
        self._prices = prices
        self._source = source
        self._rules = rules
        self._fee_rate = fee_rate

    @property
    def name(self) -> str:
        """The venue's."""
        return self._account.venue.name

    async def orderbook(self, symbol: str, depth: int) -> OrderBook:
        """The best bid and ask; feeds of quotes tell no quantities, so both are the smallest step.

        Raises:
            InvalidInput: a depth below 1, or a symbol that the account does not trade.
            Retryable: no feed has said anything of it yet.
            Stale: the last quote is too old.
        """
        if depth < 1:
            raise InvalidInput("depth", depth, "a whole number from 1")
        step = self._listed(symbol).quantity_step
        quote, placed = self._prices.fresh(self._source, symbol)
        return OrderBook(
            venue=self.name,
            symbol=symbol,
            bids=[Level(quote.bid, step)],
            asks=[Level(quote.ask, step)],
            time=quote.time_ns,
            recording=placed.recording,
            offset=placed.offset,
        )

    async def bars(self, symbol: str, count: int) -> list[Bar]:
        """The latest bars that have ended, oldest first.

        Raises:
            InvalidInput: a count below 1, or a symbol of which no feed gives bars.
        """
        return self._prices.bars(self._source, symbol, count)

    async def markets(self) -> list[Market]:
        """What the account trades there."""
        return [
            Market(symbol, rules.price_tick, rules.quantity_step, rules.min_notional, self._fee_rate)
            for symbol, rules in sorted(self._rules.items())
        ]

    async def balances(self) -> dict[str, Balance]:
        """What the account holds there, by asset; contracts by symbol."""
        found = await self._account.venue.balances()
        return {asset: Balance(one.total, EXACT.subtract(one.total, one.held)) for asset, one in found.items()}

    async def positions(self) -> list[Position]:
        """The account's positions there, at the last prices, whatever their age.

        Raises:
            InvalidInput: one has no price.
        """
        found: list[Position] = []
        for symbol, held in self._account.desk.ledger.positions().items():
            quote = self._prices.quote(self._source, symbol)
            if quote is None:
                raise InvalidInput("positions", symbol, f"a price of it at {self.name}")
            price = quote.bid if held.quantity > 0 else quote.ask
            found.append(Position(symbol, held.quantity, held.average_price or ZERO, price, self.name))
        return found

    async def funding_rate(self, symbol: str) -> Decimal:
        """No feed tells it.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput("symbol", symbol, "a contract whose funding a feed tells; no live feed does yet")

    async def expires_at(self, symbol: str) -> int:
        """No feed tells it.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput("symbol", symbol, "a contract whose expiry a feed tells; no live feed does yet")

    def _listed(self, symbol: str) -> TradingRules:
        found = self._rules.get(symbol)
        if found is None:
            raise InvalidInput("symbol", symbol, f"one that the account trades: {', '.join(sorted(self._rules))}")
        return found


class LiveProviders:
    """``graph.sources.Providers`` over the venues of open accounts; the first is what ``""`` means."""

    source_name: ClassVar[str] = "providers"
    configure: ClassVar[str] = "an account: [accounts.<name>] in tickwork.toml"

    def __init__(self, providers: Iterable[LiveProvider], rules: Mapping[str, Mapping[str, TradingRules]]) -> None:
        self._providers = {provider.name: provider for provider in providers}
        self._rules = rules

    @property
    def names(self) -> Sequence[str]:
        """Those that there are."""
        return list(self._providers)

    def get(self, name: str) -> LiveProvider:
        """The provider of a name; of ``""`` the first.

        Raises:
            InvalidInput: there is none; names those that there are.
        """
        found = self._providers.get(name or next(iter(self._providers)))
        if found is None:
            raise InvalidInput("provider", name, f"one of {', '.join(self._providers)}")
        return found

    def of_symbol(self, symbol: str) -> LiveProvider:
        """The provider that an order in a symbol would meet: the first that trades it.

        Raises:
            InvalidInput: none does.
        """
        for name, rules in self._rules.items():
            if symbol in rules:
                return self._providers[name]
        listed = sorted({one for rules in self._rules.values() for one in rules})
        raise InvalidInput("symbol", symbol, f"one that an account trades: {', '.join(listed)}")
