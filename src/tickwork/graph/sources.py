"""What nodes work with, as ports: an installation provides them, a document only names them.

A node function takes a source as a keyword argument annotated with one of the classes below. A document that uses a
node whose source is not there is refused when it is checked, with the source's ``configure`` as advice. Nothing here
invents data: a source that cannot answer raises, and an answer that is not there is an error of its own.

Money, prices and quantities are ``Decimal``; times are ns since 1970 UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final, Protocol

import msgspec

from tickwork.core.run import Run
from tickwork.core.workflow import Workflow
from tickwork.market.bars import Bar
from tickwork.market.news import NewsItem
from tickwork.trading.desk import Placement
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Order, OrderIntent


class Level(msgspec.Struct, frozen=True):
    """One price of an order book."""

    price: Decimal
    quantity: Decimal


class OrderBook(msgspec.Struct, frozen=True):
    """Bids (dearest first) and asks (cheapest first) of a symbol at a venue; at least one of each."""

    venue: str
    symbol: str
    bids: list[Level]
    asks: list[Level]
    time: int
    """When the venue said it."""
    recording: str = ""
    """Where it stands recorded, and at which offset."""
    offset: int | None = None


class Balance(msgspec.Struct, frozen=True):
    """What an account holds of an asset."""

    total: Decimal
    free: Decimal


class Position(msgspec.Struct, frozen=True):
    """What an account holds of a symbol."""

    symbol: str
    quantity: Decimal
    """Below zero for a short one."""
    average_price: Decimal
    price: Decimal
    """The last one; the position is worth ``quantity * price``."""
    venue: str = ""
    """Where it is held; nothing where that goes without saying."""


class Lot(msgspec.Struct, frozen=True):
    """What is left of what was bought, or sold short."""

    quantity: Decimal
    """Base units; below zero for a short one."""
    cost: Decimal
    """What it cost without fees, in quote currency; below zero for a short one."""


class Results(msgspec.Struct, frozen=True):
    """What the fills of one document have come to. Money is in the account's currency."""

    fills: int = 0
    won: int = 0
    """Fills that closed something at a profit, before fees."""
    lost: int = 0
    """Those that closed something at a loss, or at no profit."""
    realised: Decimal = Decimal(0)
    """Profit of what was closed, before fees."""
    fees: Decimal = Decimal(0)
    peak: Decimal = Decimal(0)
    """The highest that profit less fees has been after a fill; at least zero."""
    fall: Decimal = Decimal(0)
    """The largest fall from such a peak."""
    lots: dict[str, Lot] = {}
    """What is open, by symbol, at average cost over all venues."""


class Market(msgspec.Struct, frozen=True):
    """What a venue says of a symbol it lists; fractions for fees."""

    symbol: str
    price_tick: Decimal
    quantity_step: Decimal
    min_notional: Decimal
    fee_rate: Decimal


class Provider(Protocol):
    """One venue's data.

    Every method may raise ``Retryable`` for a passing fault, ``InvalidInput`` for a symbol that the venue does not
    list or has said nothing of, and ``Stale`` for an answer too old to decide by.
    """

    @property
    def name(self) -> str:
        """What documents call it."""
        ...

    async def orderbook(self, symbol: str, depth: int) -> OrderBook:
        """The book, at most ``depth`` levels a side."""
        ...

    async def bars(self, symbol: str, count: int) -> list[Bar]:
        """The latest complete bars, oldest first; at most ``count``, at least one."""
        ...

    async def markets(self) -> list[Market]:
        """What it lists."""
        ...

    async def balances(self) -> dict[str, Balance]:
        """What the account holds there, by asset."""
        ...

    async def positions(self) -> list[Position]:
        """The account's positions there."""
        ...

    async def funding_rate(self, symbol: str) -> Decimal:
        """What a long pays a short at the next funding, a fraction of the notional."""
        ...

    async def expires_at(self, symbol: str) -> int:
        """When a contract or prediction market is settled."""
        ...


class Providers(Protocol):
    """The configured venues, for reading."""

    source_name: ClassVar[str] = "providers"
    configure: ClassVar[str] = "recordings (--data), a simulated market (--simulated) or venues in tickwork.toml"

    @property
    def names(self) -> Sequence[str]:
        """Those that are configured."""
        ...

    def get(self, name: str) -> Provider:
        """The provider of a name; of ``""`` the one whose prices the account trades at.

        Raises:
            InvalidInput: it is not configured; names those that are.
        """
        ...

    def of_symbol(self, symbol: str) -> Provider:
        """The provider that an order in ``symbol`` would meet.

        Raises:
            InvalidInput: no configured venue lists it.
        """
        ...


class News(Protocol):
    """News that has become known."""

    source_name: ClassVar[str] = "news"
    configure: ClassVar[str] = "a recording of news (--news) or a news feed in tickwork.toml"

    async def recent(self, symbols: Sequence[str], since: int, limit: int) -> list[NewsItem]:
        """Items known after ``since``, newest first; those about ``symbols`` where any are given.

        Raises:
            InvalidInput: a limit below 1.
        """
        ...


class Trader(Protocol):
    """The account that a document trades on. Every order goes through its risk gate and desk."""

    source_name: ClassVar[str] = "trader"
    configure: ClassVar[str] = "an account: a paper one comes with recordings or a simulated market"

    @property
    def account(self) -> str:
        """Its name."""
        ...

    @property
    def currency(self) -> str:
        """What it is kept in."""
        ...

    @property
    def venues(self) -> Sequence[str]:
        """Where it can trade."""
        ...

    async def place(self, run: Run, intent: OrderIntent, venue: str = "") -> Placement:
        """Intent to acknowledgement, exactly once; publishes how it ended. ``venue``: ``""`` for the symbol's own.

        Raises:
            InvalidInput: no such venue.
        """
        ...

    async def cancel(self, run: Run, client_order_id: str) -> Order:
        """Cancel an order; harmless when it has ended.

        Raises:
            Rejected: no venue knows the order.
        """
        ...

    async def held(self, run: Run, document: str, symbol: str) -> Decimal:
        """How much of a symbol this document has bought and not sold, in base units; a verb."""
        ...

    async def results(self, run: Run, document: str) -> Results:
        """What the fills of this document have come to; a verb."""
        ...

    def equity(self) -> Decimal:
        """Cash and positions at the latest prices. To be read in a step."""
        ...

    def free(self) -> Decimal:
        """Cash that no order has locked. To be read in a step."""
        ...

    def positions(self) -> list[Position]:
        """All positions. To be read in a step."""
        ...

    async def open_orders(self) -> list[Order]:
        """Orders that can still trade. To be read in a step."""
        ...

    def rules(self, symbol: str) -> TradingRules:
        """What the venue asks of orders.

        Raises:
            InvalidInput: it cannot be traded.
        """
        ...

    def fee_rate(self, venue: str) -> Decimal:
        """What a fill costs there, a fraction of it."""
        ...


class Breakers(Protocol):
    """The breakers of the engine."""

    source_name: ClassVar[str] = "breakers"
    configure: ClassVar[str] = "an engine"

    def mode(self, name: str) -> str:
        """How a call would find a breaker now: ``closed`` where it would be let through, if only as a probe.

        Else ``open``, or ``half-open`` while probes are under way. One that no call has asked yet is closed.
        """
        ...


class Workflows(Protocol):
    """Workflows that a document may call."""

    source_name: ClassVar[str] = "workflows"
    configure: ClassVar[str] = "a store of documents"

    def get(self, name: str) -> Workflow:
        """The newest published version by name or id.

        Raises:
            InvalidInput: there is none; names the nearest.
        """
        ...


class Calls(Protocol):
    """How runs come of each other, so that they do not do so without end."""

    source_name: ClassVar[str] = "calls"
    configure: ClassVar[str] = "a store of documents"

    def check(self, workflow: str, run: str) -> None:
        """To be asked in the turn in which a run calls a workflow, just before.

        Raises:
            InvalidInput: the workflow has too many unfinished runs, or the run is the last of too many that call each
                other.
        """
        ...

    def depth(self, run: str) -> int:
        """``Emitted.depth`` of what started a run, or the first of those that call each other down to it; else 0."""
        ...


class Analysts(Protocol):
    """Analysts: rule-based ones and language models."""

    source_name: ClassVar[str] = "analysts"
    configure: ClassVar[str] = "analysts, which this version of tickwork does not have yet"

    async def ask(self, analyst: str, task: str, data: Any, key: str) -> dict[str, Any]:
        """What an analyst says to a task. The same ``key`` is the same question, and is paid for once.

        Raises:
            InvalidInput: there is none of this name, or what it said is not what was asked for.
        """
        ...


class Models(Protocol):
    """Trained models."""

    source_name: ClassVar[str] = "models"
    configure: ClassVar[str] = "a runtime for trained models, which this version of tickwork does not have yet"

    async def predict(self, model: str, features: Any) -> dict[str, Any]:
        """What a model makes of its features.

        Raises:
            InvalidInput: there is none of this name, or the features are not its own.
        """
        ...


class Sandboxes(Protocol):
    """Places where a document's own code runs, apart from everything else."""

    source_name: ClassVar[str] = "sandboxes"
    configure: ClassVar[str] = "a sandbox for code, which this version of tickwork does not have yet"

    async def execute(self, code: str, data: Any, timeout: int) -> dict[str, Any]:
        """What a program gives for its data. ``timeout``: ns.

        Raises:
            TimedOut: it did not end in time. InvalidInput: it failed, or gave what JSON cannot hold.
        """
        ...


class Sources:
    """What an installation provides, by source name."""

    def __init__(self, found: Mapping[str, Any] | None = None) -> None:
        self._found = {name: source for name, source in (found or {}).items() if source is not None}

    def get(self, name: str) -> Any:
        """The source, or ``None`` where it is not configured."""
        return self._found.get(name)

    def put(self, name: str, source: Any) -> None:
        """Provide a source, or another one; for those that come to be after the rest."""
        self._found[name] = source


_ALL: Final = (Providers, News, Trader, Breakers, Workflows, Calls, Analysts, Models, Sandboxes)
ADVICE: Final = {one.source_name: one.configure for one in _ALL}
"""What to configure, by source name."""
