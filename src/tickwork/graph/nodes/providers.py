"""What venues say: books, prices, bars, balances, positions, fees of holding."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.prices import (
    Interval,
    ProviderName,
    SymbolName,
    asked,
    finite,
    mid,
    positive,
    provider_check,
    recent,
    sound,
)
from tickwork.graph.sources import Balance, Market, OrderBook, Position, Providers
from tickwork.market.bars import Bar
from tickwork.market.triggers.options import quotient
from tickwork.values import EXACT

Endpoint = Literal["price_feed", "balance", "positions", "orderbook"]

Depth = Annotated[int, param("levels a side at most", unit="levels", ge=1, le=5_000)]
Asset = Annotated[str, param("the asset that `free` and `total` are of")]
Venue = Annotated[str, port("the venue")]
Symbol = Annotated[str, port("the symbol as the venue lists it")]
Time = Annotated[int, port("when the venue said it, ns since 1970 UTC")]

PUBLIC: Final[tuple[Endpoint, ...]] = ("price_feed", "orderbook")
_HOUR_NS: Final = Decimal(3_600_000_000_000)


class ProviderOutputs(msgspec.Struct, frozen=True):
    """What ``provider`` gives."""

    price_feed: Annotated[Decimal | None, port("half way between the best bid and ask, quote currency per unit")]
    balance: Annotated[dict[str, Balance] | None, port("what the account holds there, by asset")]
    positions: Annotated[list[Position] | None, port("the account's positions there")]
    orderbook: Annotated[OrderBook | None, port("the order book")]
    symbol: Symbol
    venue: Venue
    time: Annotated[int, port("when the venue said the price, ns since 1970 UTC; without one, the run's time")]


@node("provider", category="providers", check=provider_check)
async def provider(
    *,
    provider: ProviderName = "",
    symbol: SymbolName = "",
    enabled_endpoints: Annotated[
        tuple[Endpoint, ...], param("what is asked for; the other outputs are null", min_length=1)
    ] = PUBLIC,
    depth: Depth = 100,
    providers: Providers,
    context: Context,
) -> ProviderOutputs:
    """What a venue says of a symbol, and what the account holds there."""
    wanted = set(enabled_endpoints)
    found, name = await asked(providers, provider, symbol, context)
    book = sound(await found.orderbook(name, depth)) if wanted & set(PUBLIC) else None
    return ProviderOutputs(
        price_feed=mid(book) if book and "price_feed" in wanted else None,
        balance=await found.balances() if "balance" in wanted else None,
        positions=await found.positions() if "positions" in wanted else None,
        orderbook=book if "orderbook" in wanted else None,
        symbol=name,
        venue=found.name,
        time=book.time if book else context.now,
    )


class BookOutputs(msgspec.Struct, frozen=True):
    """What ``get_orderbook`` gives."""

    orderbook: Annotated[OrderBook, port("bids (dearest first) and asks (cheapest first)")]


@node("get_orderbook", category="providers", check=provider_check)
async def get_orderbook(
    *,
    provider: ProviderName = "",
    symbol: SymbolName = "",
    depth: Depth = 100,
    providers: Providers,
    context: Context,
) -> BookOutputs:
    """The order book of a symbol."""
    found, name = await asked(providers, provider, symbol, context)
    return BookOutputs(sound(await found.orderbook(name, depth)))


class TickerOutputs(msgspec.Struct, frozen=True):
    """What ``get_ticker`` gives."""

    bid: Annotated[Decimal, port("best bid, quote currency per unit")]
    ask: Annotated[Decimal, port("best ask, quote currency per unit")]
    price: Annotated[Decimal, port("half way between the two")]
    spread: Annotated[Decimal, port("ask minus bid over the price, a fraction to sixteen places")]
    symbol: Symbol
    venue: Venue
    time: Time


@node("get_ticker", category="providers", check=provider_check)
async def get_ticker(
    *, provider: ProviderName = "", symbol: SymbolName = "", providers: Providers, context: Context
) -> TickerOutputs:
    """The best bid and ask of a symbol."""
    found, name = await asked(providers, provider, symbol, context)
    book = sound(await found.orderbook(name, 1))
    bid, ask, price = book.bids[0].price, book.asks[0].price, mid(book)
    return TickerOutputs(bid, ask, price, quotient(EXACT.subtract(ask, bid), price), name, found.name, book.time)


class PriceOutputs(msgspec.Struct, frozen=True):
    """What ``venue_price`` gives."""

    price: Annotated[Decimal, port("half way between the best bid and ask, quote currency per unit")]
    symbol: Symbol
    venue: Venue
    time: Time


@node("venue_price", category="providers", check=provider_check)
async def venue_price(
    *, provider: ProviderName = "", symbol: SymbolName = "", providers: Providers, context: Context
) -> PriceOutputs:
    """The price of a symbol at a venue."""
    found, name = await asked(providers, provider, symbol, context)
    book = sound(await found.orderbook(name, 1))
    return PriceOutputs(mid(book), name, found.name, book.time)


class BarsOutputs(msgspec.Struct, frozen=True):
    """What ``get_bars`` gives."""

    bars: Annotated[list[Bar], port("complete bars, oldest first")]
    price: Annotated[Decimal, port("close of the latest, quote currency per unit")]
    time: Annotated[int, port("end of the latest, ns since 1970 UTC")]


@node("get_bars", category="providers", check=provider_check)
async def get_bars(
    *,
    provider: ProviderName = "",
    symbol: SymbolName = "",
    count: Annotated[int, param("how many at most", unit="bars", ge=1, le=2_000)] = 100,
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> BarsOutputs:
    """The latest complete bars of a symbol."""
    bars = await recent(providers, context, count=count, provider=provider, symbol=symbol, interval=interval, least=1)
    return BarsOutputs(bars, bars[-1].close, bars[-1].end_ns)


class BalanceOutputs(msgspec.Struct, frozen=True):
    """What ``get_balance`` gives."""

    balance: Annotated[dict[str, Balance], port("total and free, by asset")]
    total: Annotated[Decimal | None, port("of the asset; null where none is named")]
    free: Annotated[Decimal | None, port("of the asset, without what orders have locked; null where none is named")]


@node("get_balance", category="providers", check=provider_check)
async def get_balance(*, provider: ProviderName = "", asset: Asset = "", providers: Providers) -> BalanceOutputs:
    """What the account holds at a venue. An asset that the venue does not name is held at zero."""
    balances = await providers.get(provider).balances()
    if not asset:
        return BalanceOutputs(balances, None, None)
    one = balances.get(asset, Balance(Decimal(0), Decimal(0)))
    return BalanceOutputs(balances, one.total, one.free)


class MarketsOutputs(msgspec.Struct, frozen=True):
    """What ``get_markets`` gives."""

    markets: Annotated[list[Market], port("steps, least order and fee of each symbol")]
    symbols: Annotated[list[str], port("the symbols alone")]


@node("get_markets", category="providers", check=provider_check)
async def get_markets(*, provider: ProviderName = "", providers: Providers) -> MarketsOutputs:
    """What a venue lists."""
    markets = await providers.get(provider).markets()
    return MarketsOutputs(markets, [market.symbol for market in markets])


class HoldingOutputs(msgspec.Struct, frozen=True):
    """What ``venue_position`` gives."""

    position: Annotated[Position | None, port("the position; null where there is none")]
    quantity: Annotated[Decimal, port("base units, below zero for a short position, zero for none")]
    value: Annotated[Decimal, port("quantity times the last price, quote currency")]


@node("venue_position", category="providers", check=provider_check)
async def venue_position(
    *, provider: ProviderName = "", symbol: SymbolName = "", providers: Providers, context: Context
) -> HoldingOutputs:
    """What the account holds of a symbol at a venue."""
    found, name = await asked(providers, provider, symbol, context)
    held = next((one for one in await found.positions() if one.symbol == name), None)
    if held is None:
        return HoldingOutputs(None, Decimal(0), Decimal(0))
    price = positive(held.price, f"{found.name}.{name}.price")
    return HoldingOutputs(held, held.quantity, EXACT.multiply(held.quantity, price))


class FundingOutputs(msgspec.Struct, frozen=True):
    """What ``get_funding_rate`` gives."""

    funding_rate: Annotated[Decimal, port("what a long pays a short at the next funding, a fraction of the notional")]
    symbol: Symbol
    venue: Venue


@node("get_funding_rate", category="providers", check=provider_check)
async def get_funding_rate(
    *, provider: ProviderName = "", symbol: SymbolName = "", providers: Providers, context: Context
) -> FundingOutputs:
    """The funding rate of a perpetual contract."""
    found, name = await asked(providers, provider, symbol, context)
    return FundingOutputs(finite(await found.funding_rate(name), "funding_rate"), name, found.name)


class ExpiryOutputs(msgspec.Struct, frozen=True):
    """What ``get_expiry`` gives."""

    expires_at: Annotated[int, port("when it is settled, ns since 1970 UTC")]
    hours: Annotated[Decimal, port("hours until then, below zero once it is past")]


@node("get_expiry", category="providers", check=provider_check)
async def get_expiry(
    *, provider: ProviderName = "", symbol: SymbolName = "", providers: Providers, context: Context
) -> ExpiryOutputs:
    """When a contract or prediction market is settled."""
    found, name = await asked(providers, provider, symbol, context)
    at = await found.expires_at(name)
    return ExpiryOutputs(at, quotient(Decimal(at - context.now), _HOUR_NS))
