"""A paper account at several venues: a desk, a ledger and a book for each, and all of it as documents trade on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Final

from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Rejected
from tickwork.graph.sources import Position, Results
from tickwork.market.recording import Tick
from tickwork.outcome import Found
from tickwork.service.positions import equity_of
from tickwork.service.results import results
from tickwork.service.trading import Holding, holding_key, holdings, place
from tickwork.trading.desk import Desk, Placement
from tickwork.trading.gate import RiskGate, RiskLimits
from tickwork.trading.halt import Halt
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import Costs, TradingRules
from tickwork.trading.orders import ZERO, Order, OrderIntent
from tickwork.values import EXACT
from tickwork.venues.paper import PaperVenue
from tickwork.venues.recorded import Recorded, positions, rules_of

ACCOUNT: Final = "paper"


class PaperDesk:
    """The account at one venue.

    Args:
        name: of the venue.
        recorded: what is known of it.
        cash: what is paid in there, by asset.
        costs, limits: of trading there.
        currency: what it is kept in.
        clock: ns since 1970 UTC.
        halt: one for all venues.
    """

    def __init__(
        self,
        name: str,
        recorded: Recorded,
        *,
        cash: Mapping[str, Decimal],
        costs: Costs,
        limits: RiskLimits,
        currency: str,
        clock: Callable[[], int],
        halt: Halt,
    ) -> None:
        self.name = name
        self.cash = dict(cash)
        self.costs = costs
        self.ledger = Ledger(cash)
        self.rules = {symbol: rules_of(recorded.of(name, symbol)) for symbol in recorded.symbols(name)}
        self.marks: dict[str, Decimal] = {}
        """The latest close of each symbol."""
        self._recorded = recorded
        self._limits = limits
        self._currency = currency
        self._clock = clock
        self._halt = halt
        self._venue: PaperVenue | None = None
        self._desk: Desk | None = None

    def open(self, path: Path | str) -> None:
        """Open the venue's book.

        Raises:
            Fatal, InvalidInput: see ``PaperVenue``.
        """
        self._venue = PaperVenue(
            path,
            account=ACCOUNT,
            rules=self.rules.values(),
            cash=self.cash,
            costs=self.costs,
            name=self.name,
            clock=self._clock,
            inline=True,
        )
        self._desk = Desk(
            ACCOUNT,
            venue=self._venue,
            gate=RiskGate(self._limits, self.rules),
            ledger=self.ledger,
            quotes=lambda symbol: self._recorded.quote(self.name, symbol) if symbol in self.rules else None,
            clock=self._clock,
            halt=self._halt,
        )

    @property
    def venue(self) -> PaperVenue:
        """Where its orders go."""
        if self._venue is None:
            raise InvalidInput("account", f"the account at {self.name}, which is not open", "an open session")
        return self._venue

    @property
    def desk(self) -> Desk:
        """Its door."""
        if self._desk is None:
            raise InvalidInput("account", f"the account at {self.name}, which is not open", "an open session")
        return self._desk

    @property
    def fee_rate(self) -> Decimal:
        """What a fill costs, a fraction of it."""
        return self.costs.fee_rate

    def close(self) -> None:
        """Let go of the book."""
        if self._venue is not None:
            self._venue.shut()

    def equity(self) -> Decimal:
        """Cash, positions and coins, those of other currencies too, at the latest closes."""
        return equity_of(self.ledger, self.marks, self._currency)

    def untouched(self) -> Decimal:
        """What was paid in, at the latest closes: the equity, had nothing been traded."""
        return equity_of(Ledger(self.cash), self.marks, self._currency)


class PaperTrader:
    """``graph.sources.Trader`` over the desks of a paper account. Each order goes through its venue's gate and desk."""

    source_name: ClassVar[str] = "trader"
    configure: ClassVar[str] = "an account: a paper one comes with recordings or a simulated market"

    def __init__(self, desks: Iterable[PaperDesk], recorded: Recorded, currency: str) -> None:
        self.desks = {desk.name: desk for desk in desks}
        self._recorded = recorded
        self._currency = currency

    @property
    def account(self) -> str:
        """Its name."""
        return ACCOUNT

    @property
    def currency(self) -> str:
        """What it is kept in."""
        return self._currency

    @property
    def venues(self) -> Sequence[str]:
        """Where it can trade."""
        return list(self.desks)

    def take(self, tick: Tick) -> None:
        """The latest close of a market, by which it is valued."""
        if self._recorded.of(tick.bar.venue, tick.bar.symbol).name == tick.recording:
            self.desks[tick.bar.venue].marks[tick.bar.symbol] = tick.bar.close

    # -- verbs ----------------------------------------------------------------------------------------------------

    async def place(self, run: Run, intent: OrderIntent, venue: str = "") -> Placement:
        """Intent to acknowledgement, exactly once; publishes how it ended. ``venue``: ``""`` for the symbol's own.

        Raises:
            InvalidInput: no such venue, another account's or owner's intent, or a symbol that no venue lists.
        """
        return await place(run, self._at(venue, intent.symbol).desk, intent)

    async def cancel(self, run: Run, client_order_id: str) -> Order:
        """Cancel an order; harmless when it has ended.

        Raises:
            Rejected: no venue knows the order.
        """
        venue: str = await run.step("venue of the order", self._venue_of, client_order_id)
        return await self.desks[venue].desk.cancel(run, client_order_id)

    async def held(self, run: Run, document: str, symbol: str) -> Decimal:
        """How much of a symbol a document has bought and not sold, over all venues, in base units."""
        held: Holding | None = await holdings.get(holding_key(document, symbol))
        return ZERO if held is None else held.quantity

    async def results(self, run: Run, document: str) -> Results:
        """What a document's fills have come to."""
        found: Results | None = await results.get(document)
        return found or Results()

    async def _venue_of(self, client_order_id: str) -> str:
        for name, desk in self.desks.items():
            if isinstance(await desk.venue.find(client_order_id), Found):
                return name
        raise Rejected(", ".join(self.desks), f"no order has client id {client_order_id}")

    # -- reading --------------------------------------------------------------------------------------------------

    def equity(self) -> Decimal:
        """Cash, positions and coins at the latest closes, over all venues."""
        return _sum(desk.equity() for desk in self.desks.values())

    def untouched(self) -> Decimal:
        """What was paid in, at the latest closes, over all venues: the equity, had nothing been traded."""
        return _sum(desk.untouched() for desk in self.desks.values())

    def free(self) -> Decimal:
        """Cash that no order has locked, over all venues."""
        return _sum(desk.venue.free(self._currency) for desk in self.desks.values())

    def positions(self) -> list[Position]:
        """All positions, venue by venue: a symbol held at two venues is there twice."""
        return [found for desk in self.desks.values() for found in positions(desk.ledger, desk.name, self._recorded)]

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade."""
        return [order for desk in self.desks.values() for order in await desk.venue.open_orders()]

    def rules(self, symbol: str) -> TradingRules:
        """What the symbol's own venue asks of orders.

        Raises:
            InvalidInput: no venue lists it.
        """
        return self._at("", symbol).rules[symbol]

    def fee_rate(self, venue: str) -> Decimal:
        """What a fill costs there, a fraction of it.

        Raises:
            InvalidInput: no such venue.
        """
        return self._desk(venue or self._recorded.venues[0]).fee_rate

    def _at(self, venue: str, symbol: str) -> PaperDesk:
        own = venue or self._recorded.venue_of(symbol)
        if own is None:
            listed = sorted({name for _, name in self._recorded.markets})
            raise InvalidInput("intent.symbol", symbol, f"one that a venue lists: {', '.join(listed)}")
        return self._desk(own)

    def _desk(self, venue: str) -> PaperDesk:
        found = self.desks.get(venue)
        if found is None:
            raise InvalidInput("venue", venue, f"one of {', '.join(self.desks)}")
        return found


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
