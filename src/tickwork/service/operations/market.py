"""The market: fresh prices with their age, bars that were recorded, what can be traded, how the feeds are.

Prices belong to nobody: a caller that is bound to an owner may ask for them too.
"""

from __future__ import annotations

import asyncio

from pydantic import AwareDatetime, Field

from tickwork.market.recording import recordings
from tickwork.service.accounts.quoting import QuoteLine, Quotes, SymbolLine
from tickwork.service.api.operation import Args, Call, Limit, Nothing, Page, query
from tickwork.service.feed_status import FeedStatus
from tickwork.service.history import Asked, Bars, shipped_bars
from tickwork.service.operations.asking import ask_trading
from tickwork.service.operations.orders import SymbolName
from tickwork.values import to_timedelta

SYMBOLS_MAX = 100


class QuoteOf(Args):
    """Of what."""

    symbol: SymbolName
    venue: str = Field("", max_length=100, description="Whose price; by default the freshest there is.")


class QuotesOf(Args):
    """Of what."""

    symbols: list[SymbolName] = Field(min_length=1, max_length=SYMBOLS_MAX, description="Such as BTC/USDT.")
    venue: str = Field("", max_length=100, description="Whose prices; by default the freshest there are.")


class HistoryOf(Args):
    """Of what, when."""

    symbol: str = Field("", max_length=60, description="Such as BTC/USDT. With a recording it may be left out.")
    venue: str = Field("", max_length=100, description="Whose bars, where several are recorded.")
    interval: str = Field("", max_length=20, description="Length of the bars, such as 1m, where several are recorded.")
    recording: str = Field("", max_length=100, description="A recording: of a feed, or one that comes with tickwork.")
    since: AwareDatetime | None = Field(None, description="Only bars that start then or later.")
    until: AwareDatetime | None = Field(None, description="Only bars that start before.")
    limit: Limit = 200


@query("market.quote", "GET /quote", tool="get_quote", owned=True, examples=({"symbol": "BTC/USDT"},))
async def market_quote(call: Call, args: QuoteOf) -> QuoteLine:
    """The freshest price of a symbol, with its age and where it stands recorded.

    One that is too old to decide by is a problem of code `stale`; where none has come yet it is `try-again`. A price is
    never given as if it were fresh.
    """
    return await ask_trading(call, QuoteLine, "market.quote", symbol=args.symbol, venue=args.venue)


@query("market.quotes", "GET /quotes", tool="get_quotes_batch", owned=True, examples=({"symbols": ["BTC/USDT"]},))
async def market_quotes(call: Call, args: QuotesOf) -> Quotes:
    """The freshest prices of several symbols; of those that have none, why."""
    return await ask_trading(call, Quotes, "market.quotes", symbols=args.symbols, venue=args.venue)


@query(
    "market.history",
    "GET /history",
    tool="get_price_history",
    owned=True,
    examples=({"symbol": "BTC/USDT", "interval": "1m", "limit": 60}, {"recording": "coinbase-btc-usd-1h", "limit": 24}),
)
async def market_history(call: Call, args: HistoryOf) -> Bars:
    """The latest bars of a market that were recorded, oldest first: by a feed here, or in a recording by its name."""
    fields = args.model_dump(exclude={"recording"})
    if args.interval:
        to_timedelta(args.interval, "interval")
    if args.recording in recordings():
        return await asyncio.to_thread(shipped_bars, args.recording, Asked(**fields))
    wire = args.model_dump(mode="json")
    return await ask_trading(call, Bars, "market.history", **wire)


@query("market.symbols", "GET /symbols", owned=True)
async def market_symbols(call: Call, args: Nothing) -> Page[SymbolLine]:
    """What the accounts here can trade, and what their venues ask of orders."""
    return Page(items=await ask_trading(call, list[SymbolLine], "market.symbols"))


@query("feeds.list", "GET /feeds")
async def feeds_list(call: Call, args: Nothing) -> Page[FeedStatus]:
    """How every feed is: what it brings, when something last came, what is silent, what went wrong."""
    return Page(items=await ask_trading(call, list[FeedStatus], "feeds"))
