"""Venues as they were recorded: what documents may know of them at an instant, and no more.

Everything here is a function of the recordings and the clock. Of a recording only the bars that have ended by the
clock's now are known: there is no state that could run ahead, and after a restart an instant looks as it did before.

* **Books.** A recorded bar has a close and no spread, so its book is a locked one (bid = ask = close) with the bar's
  volume on both sides, said at the bar's end. Where the terms of a market name a half-spread, as those of simulated
  markets do, bid and ask are that far from the close, rounded away from it to the tick.
* **Age.** A close stands until the next one is due: it is stale when it is older than the shortest bar that any of the
  recordings has of the symbol. So a venue with bars of a day is no partner for one with bars of an hour but in the hour
  after midnight.
* **Terms** that no recording holds (funding, expiry) are known only where somebody says them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Final, Protocol

from tickwork.errors import InvalidInput, Stale
from tickwork.graph.sources import Balance, Level, Market, OrderBook, Position
from tickwork.market.bars import Bar, Quote
from tickwork.market.recording import Recording, Tick
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import ZERO
from tickwork.values import EXACT, duration_text, rounded_down, rounded_up
from tickwork.venues.paper import PaperVenue

Key = tuple[str, str]
"""Venue and symbol."""

_ONE: Final = Decimal(1)
_PAIR_STEP: Final = Decimal("0.00000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is known of a market besides its bars. Fractions: 1 means 100 %."""

    half_spread: Decimal = ZERO
    """How far bid and ask are from the close."""
    funding: tuple[Decimal, ...] = ()
    """What a long pays a short at the next funding, as it was known at the end of each bar; empty: nobody said."""
    expires_at: int | None = None
    """When it is settled, ns; ``None``: nobody said, or never."""


PLAIN: Final = Terms()


def rules_of(recording: Recording) -> TradingRules:
    """What the paper venue asks of orders: the recording's own digits as tick; coins in parts, shares whole."""
    head = recording.header
    is_pair = "/" in head.symbol
    return TradingRules(
        symbol=head.symbol,
        price_tick=Decimal(1).scaleb(-head.price_scale),
        quantity_step=_PAIR_STEP if is_pair else Decimal(1),
        min_notional=Decimal(10),
    )


class Recorded:
    """Recordings of several venues, read by the clock.

    Of two recordings of one symbol at one venue the one with the shorter bars is that market's; the other only tells of
    bars of its length.

    Args:
        recordings: of different names. The first venue is the one that ``""`` means.
        clock: ns since 1970 UTC.
        terms: of markets of which more is known than their bars.

    Raises:
        InvalidInput: no recordings.
    """

    def __init__(
        self, recordings: Sequence[Recording], clock: Callable[[], int], terms: Mapping[Key, Terms] | None = None
    ) -> None:
        if not recordings:
            raise InvalidInput("data", "nothing", "the name of a recording or the path of a CSV file")
        self._clock = clock
        self._terms = dict(terms or {})
        self.markets: dict[Key, Recording] = {}
        """The recording of each market: what is traded and quoted."""
        for recording in sorted(recordings, key=lambda one: (one.header.interval_ns, one.name)):
            self.markets.setdefault((recording.header.venue, recording.header.symbol), recording)
        self.venues = tuple(dict.fromkeys(recording.header.venue for recording in recordings))
        """In the order in which they were given."""
        self._max_age: dict[str, int] = {}
        for (_, symbol), recording in self.markets.items():
            length = recording.header.interval_ns
            self._max_age[symbol] = min(length, self._max_age.get(symbol, length))

    def of(self, venue: str, symbol: str) -> Recording:
        """The recording of a market.

        Raises:
            InvalidInput: the venue does not list the symbol.
        """
        found = self.markets.get((venue, symbol))
        if found is None:
            raise InvalidInput("symbol", symbol, f"one that {venue} lists: {', '.join(self.symbols(venue))}")
        return found

    def symbols(self, venue: str) -> list[str]:
        """What a venue lists."""
        return sorted(symbol for name, symbol in self.markets if name == venue)

    def venue_of(self, symbol: str) -> str | None:
        """The venue that an order in a symbol meets: the one with its shortest bars, of equals the first given."""
        listing = [venue for venue in self.venues if (venue, symbol) in self.markets]
        return min(listing, key=lambda venue: self.markets[venue, symbol].header.interval_ns, default=None)

    def terms(self, venue: str, symbol: str) -> Terms:
        """What is known of a market besides its bars."""
        return self._terms.get((venue, symbol), PLAIN)

    def max_age(self, symbol: str) -> int:
        """How old a close of a symbol may be (ns)."""
        return self._max_age[symbol]

    def known(self, venue: str, symbol: str) -> int:
        """How many bars of a market have ended by now.

        Raises:
            InvalidInput: the venue does not list the symbol.
        """
        recording = self.of(venue, symbol)
        # a bar has ended when it started at least its length ago
        return recording.offset_at(self._clock() - recording.header.interval_ns + 1)

    def latest(self, venue: str, symbol: str) -> Tick | None:
        """The last bar of a market that has ended, whatever its age; ``None``: none has.

        Raises:
            InvalidInput: the venue does not list the symbol.
        """
        recording, count = self.of(venue, symbol), self.known(venue, symbol)
        return Tick(recording.name, count - 1, recording[count - 1]) if count else None

    def fresh(self, venue: str, symbol: str) -> Tick:
        """The last bar of a market, if its close still stands.

        Raises:
            InvalidInput: the venue does not list the symbol, or has said nothing of it yet.
            Stale: the close is older than the shortest bar of the symbol.
        """
        tick = self.latest(venue, symbol)
        if tick is None:
            raise InvalidInput(
                "symbol", symbol, f"one of which {venue} has said something; its first bar has not ended"
            )
        age, limit = self._clock() - tick.bar.end_ns, self._max_age[symbol]
        if age > limit:
            raise Stale(f"the price of {symbol} at {venue}", duration_text(age), duration_text(limit))
        return tick

    def bars(self, venue: str, symbol: str, count: int) -> list[Bar]:
        """The latest bars that have ended, oldest first.

        Raises:
            InvalidInput: a count below 1, a symbol that the venue does not list, or has said nothing of yet.
        """
        if count < 1:
            raise InvalidInput("count", count, "a whole number from 1")
        recording, known = self.of(venue, symbol), self.known(venue, symbol)
        if not known:
            raise InvalidInput(
                "symbol", symbol, f"one of which {venue} has said something; its first bar has not ended"
            )
        return list(recording.bars(max(known - count, 0), known))

    def quote(self, venue: str, symbol: str) -> Quote | None:
        """Bid and ask of a market for the risk gate; ``None`` where there is none that still stands."""
        try:
            tick = self.fresh(venue, symbol)
        except (InvalidInput, Stale):
            return None
        return self.quote_of(tick.bar)

    def quote_of(self, bar: Bar) -> Quote:
        """Bid and ask when a bar has ended."""
        half = self.terms(bar.venue, bar.symbol).half_spread
        bid = ask = bar.close
        if half:
            tick = Decimal(1).scaleb(-self.of(bar.venue, bar.symbol).header.price_scale)
            bid = max(rounded_down(EXACT.multiply(bid, EXACT.subtract(_ONE, half)), tick), tick)
            ask = rounded_up(EXACT.multiply(ask, EXACT.add(_ONE, half)), tick)
        return Quote(symbol=bar.symbol, venue=bar.venue, time_ns=bar.end_ns, bid=bid, ask=ask)


class Dealing(Protocol):
    """What a provider needs of the account at its venue."""

    @property
    def venue(self) -> PaperVenue:
        """Where its orders go."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Its books there."""
        ...

    @property
    def fee_rate(self) -> Decimal:
        """What a fill costs, a fraction of it."""
        ...


class RecordedProvider:
    """A ``graph.sources.Provider``: one recorded venue, and the paper account there."""

    def __init__(self, name: str, recorded: Recorded, dealing: Dealing, rules: Mapping[str, TradingRules]) -> None:
        self._name = name
        self._recorded = recorded
        self._dealing = dealing
        self._rules = rules

    @property
    def name(self) -> str:
        """What documents call it."""
        return self._name

    async def orderbook(self, symbol: str, depth: int) -> OrderBook:
        """The book after the last bar: one level a side, of the bar's volume, however deep one asks.

        Raises:
            InvalidInput: a depth below 1, or a symbol that it does not list or has said nothing of.
            Stale: nothing was said for longer than a bar.
        """
        if depth < 1:
            raise InvalidInput("depth", depth, "a whole number from 1")
        tick = self._recorded.fresh(self._name, symbol)
        quote = self._recorded.quote_of(tick.bar)
        return OrderBook(
            venue=self._name,
            symbol=symbol,
            bids=[Level(quote.bid, tick.bar.volume)],
            asks=[Level(quote.ask, tick.bar.volume)],
            time=tick.bar.end_ns,
            recording=tick.recording,
            offset=tick.offset,
        )

    async def bars(self, symbol: str, count: int) -> list[Bar]:
        """The latest bars that have ended, oldest first.

        Raises:
            InvalidInput: a count below 1, or a symbol that it does not list or has said nothing of.
        """
        return self._recorded.bars(self._name, symbol, count)

    async def markets(self) -> list[Market]:
        """What it lists."""
        fee_rate = self._dealing.fee_rate
        return [
            Market(symbol, rules.price_tick, rules.quantity_step, rules.min_notional, fee_rate)
            for symbol, rules in sorted(self._rules.items())
        ]

    async def balances(self) -> dict[str, Balance]:
        """What the account holds there, by asset; contracts by symbol."""
        found = await self._dealing.venue.balances()
        return {asset: Balance(one.total, EXACT.subtract(one.total, one.held)) for asset, one in found.items()}

    async def positions(self) -> list[Position]:
        """The account's positions there, at the last prices, whatever their age."""
        return positions(self._dealing.ledger, self._name, self._recorded)

    async def funding_rate(self, symbol: str) -> Decimal:
        """What a long pays a short at the next funding, as known now.

        Raises:
            InvalidInput: nobody said: the market has no funding, or its recording does not hold it.
            Stale: nothing was said for longer than a bar.
        """
        funding = self._recorded.terms(self._name, symbol).funding
        tick = self._recorded.fresh(self._name, symbol)
        if not funding:
            raise InvalidInput(
                "symbol", symbol, f"a contract whose funding {self._name} tells; recorded bars hold none"
            )
        return funding[tick.offset]

    async def expires_at(self, symbol: str) -> int:
        """When it is settled, ns.

        Raises:
            InvalidInput: nobody said.
        """
        self._recorded.of(self._name, symbol)
        found = self._recorded.terms(self._name, symbol).expires_at
        if found is None:
            raise InvalidInput("symbol", symbol, f"one of which {self._name} tells when it expires")
        return found


def positions(ledger: Ledger, venue: str, recorded: Recorded) -> list[Position]:
    """What a ledger holds at a venue, at the last closes."""
    found: list[Position] = []
    for symbol, held in ledger.positions().items():
        tick = recorded.latest(venue, symbol)
        assert tick is not None, "what was traded was traded on a bar"
        found.append(Position(symbol, held.quantity, held.average_price or ZERO, tick.bar.close, venue))
    return found


class RecordedProviders:
    """``graph.sources.Providers`` over recordings."""

    source_name: ClassVar[str] = "providers"
    configure: ClassVar[str] = "recordings (--data), a simulated market (--simulated) or venues in tickwork.toml"

    def __init__(self, recorded: Recorded, providers: Iterable[RecordedProvider]) -> None:
        self._recorded = recorded
        self._providers = {provider.name: provider for provider in providers}

    @property
    def names(self) -> Sequence[str]:
        """Those that there are; the first is what ``""`` means."""
        return list(self._providers)

    def get(self, name: str) -> RecordedProvider:
        """The provider of a name; of ``""`` the first.

        Raises:
            InvalidInput: there is none; names those that there are.
        """
        found = self._providers.get(name or next(iter(self._providers)))
        if found is None:
            raise InvalidInput("provider", name, f"one of {', '.join(self._providers)}")
        return found

    def of_symbol(self, symbol: str) -> RecordedProvider:
        """The provider that an order in a symbol would meet: the one with its shortest bars, of equals the first.

        Raises:
            InvalidInput: no venue lists it.
        """
        venue = self._recorded.venue_of(symbol)
        if venue is None:
            listed = sorted({name for _, name in self._recorded.markets})
            raise InvalidInput("symbol", symbol, f"one that a venue lists: {', '.join(listed)}")
        return self._providers[venue]
