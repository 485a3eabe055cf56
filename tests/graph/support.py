"""What nodes are tried with: recorded markets as providers, and a run to be in."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, TypeVar

from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context
from tickwork.graph.sources import Balance, Level, Market, OrderBook, Position, Provider
from tickwork.market.bars import Bar
from tickwork.market.recording import Recording

T = TypeVar("T")

CENT = Decimal("0.01")
FEE = Decimal("0.002")


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a node that has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        found: T = stop.value
        return found
    raise AssertionError("it waits for something")


def context(now: int = 0, event: Any = None, trigger: str = "manual", node: str = "here") -> Context:
    """A run that something has started."""
    return Context(
        document="doc", node=node, run="run-1", owner="me", event=event or {}, trigger=trigger, now=now
    )  # fmt: skip


class RecordedProvider:
    """A venue as its recordings tell it: every bar up to ``at`` is known, and the book stands about the latest close.

    A recording has no book: bid and ask are a cent from the close, and hold a tenth of the bar's volume each.
    """

    def __init__(self, name: str, *recordings: str, at: int = 200) -> None:
        self._name = name
        self._recordings: dict[str, Recording] = {}
        for one in recordings:
            recording = Recording.open(one)
            self._recordings[recording.header.symbol] = recording
        self.at = at
        """Offset of the latest bar that is known, in every recording."""
        self.held: dict[str, Balance] = {"USD": Balance(Decimal(1000), Decimal(900))}
        self.fees: dict[str, Decimal] = {}
        """Where it is another than ``FEE``."""
        self.long: list[Position] = []
        self.contracts: dict[str, Decimal] = {}
        self.settled: dict[str, int] = {}
        self.books: dict[str, OrderBook] = {}
        """Books that take the place of those made from bars."""
        self.aliases: dict[str, str] = {}
        """Symbols that the venue lists besides, and which recording tells of them."""

    @property
    def name(self) -> str:
        return self._name

    def _recording(self, symbol: str) -> Recording:
        found = self._recordings.get(self.aliases.get(symbol, symbol))
        if found is None:
            raise InvalidInput("symbol", symbol, f"one of {', '.join(self._recordings)}")
        return found

    def latest(self, symbol: str) -> Bar:
        """The latest bar that is known."""
        return self._recording(symbol)[self.at]

    def meet(self, other: RecordedProvider, symbol: str) -> None:
        """Go to the bar that starts when the latest of another one does."""
        self.at = self._recording(symbol).offset_at(other.latest(symbol).start_ns)

    def lists(self, symbol: str) -> bool:
        """Does a recording tell of it?"""
        return symbol in self._recordings

    @property
    def now(self) -> int:
        """When the latest bar of any recording was known."""
        return max(recording[self.at].end_ns for recording in self._recordings.values())

    async def orderbook(self, symbol: str, depth: int) -> OrderBook:
        if symbol in self.books:
            return self.books[symbol]
        bar = self.latest(symbol)
        size = bar.volume / 10
        steps = range(1, min(depth, 3) + 1)
        bids, asks = ([Level(bar.close + sign * step * CENT, size) for step in steps] for sign in (-1, 1))
        return OrderBook(self._name, symbol, bids, asks, bar.end_ns, self._recording(symbol).name, self.at)

    async def bars(self, symbol: str, count: int) -> list[Bar]:
        recording = self._recording(symbol)
        return list(recording.bars(max(0, self.at + 1 - count), self.at + 1))

    async def markets(self) -> list[Market]:
        symbols = [*self._recordings, *self.aliases]
        step = Decimal("0.0001")
        return [Market(symbol, CENT, step, Decimal(1), self.fees.get(symbol, FEE)) for symbol in symbols]

    async def balances(self) -> dict[str, Balance]:
        return self.held

    async def positions(self) -> list[Position]:
        return self.long

    async def funding_rate(self, symbol: str) -> Decimal:
        return self.contracts[symbol]

    async def expires_at(self, symbol: str) -> int:
        return self.settled[symbol]


class RecordedProviders:
    """Several of them; the account trades at the first."""

    source_name: ClassVar[str] = "providers"
    configure: ClassVar[str] = "recordings"

    def __init__(self, *providers: RecordedProvider) -> None:
        self._by_name: Mapping[str, RecordedProvider] = {one.name: one for one in providers}

    @property
    def names(self) -> Sequence[str]:
        return list(self._by_name)

    def get(self, name: str) -> Provider:
        found = self._by_name.get(name or self.names[0])
        if found is None:
            raise InvalidInput("provider", name, f"one of {', '.join(self._by_name)}")
        return found

    def of_symbol(self, symbol: str) -> Provider:
        for one in self._by_name.values():
            if one.lists(symbol):
                return one
        raise InvalidInput("symbol", symbol, "one that a provider lists")


def book(venue: str, bid: str, ask: str, size: str = "1", symbol: str = "BTC/USD", time: int = 0) -> OrderBook:
    """A book of one level a side."""
    quantity = Decimal(size)
    return OrderBook(venue, symbol, [Level(Decimal(bid), quantity)], [Level(Decimal(ask), quantity)], time)
