"""What nodes ask of providers: which one, symbols as documents spell them, sound books, enough bars.

Nothing here fills a gap: what is not there, not finite or not above zero raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from difflib import get_close_matches
from itertools import groupby
from typing import Annotated, Any, Final

from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, param, port
from tickwork.graph.sources import Level, OrderBook, Provider, Providers, Sources
from tickwork.graph.texts import DurationOrNothing
from tickwork.market.bars import LARGEST, Bar
from tickwork.values import EXACT, duration, duration_text
from tickwork.values import symbol as checked_symbol

ProviderName = Annotated[str, param("the provider; the one that the account trades at where none is named")]
SymbolName = Annotated[
    str,
    param(
        "the symbol, as BTC/USDT or in the venue's joined spelling, BTCUSDT; that of what started the run where none "
        "is named",
        aliases=("pair",),
    ),
]
Interval = Annotated[
    DurationOrNothing,
    param("length of a bar, a multiple of the provider's own such as '4h'; its own where none is named"),
]
Bars = Annotated[list[Bar] | None, port("bars of one symbol, oldest first; asked of the provider where none come")]

_BEFORE: Final = 2
"""Bars of a longer interval that are asked for beyond those wanted: the first and the last may be cut."""


def provider_check(params: Mapping[str, Any], sources: Sources) -> str | None:
    """A node's ``check``: the named provider must be configured."""
    name, providers = params.get("provider", ""), sources.get(Providers.source_name)
    if providers is None or not isinstance(name, str) or "{{" in name:
        return None
    try:
        providers.get(name)
    except InvalidInput as error:
        known = ", ".join(providers.names) or "none"
        return f"provider: expected {error.expected}; found {name!r}; configured: {known}"
    return None


async def asked(providers: Providers, provider: str, symbol: str, context: Context) -> tuple[Provider, str]:
    """The provider, and the symbol as it lists it: the one that is named, else that of what started the run.

    Raises:
        InvalidInput: no such provider or symbol, or none is named at all.
    """
    found = providers.get(provider)
    return found, await listed(found, symbol or given_symbol(context), f"{context.node}.symbol")


def given_symbol(context: Context) -> str:
    """The symbol of what started the run.

    Raises:
        InvalidInput: it has none, or several.
    """
    symbols = context.symbols(None)
    if len(symbols) != 1:
        raise InvalidInput(f"{context.node}.symbol", ", ".join(symbols), "one symbol in the node's params")
    return symbols[0]


async def listed(provider: Provider, name: str, path: str = "symbol") -> str:
    """A symbol as the provider lists it. ``BTC/USDT`` is taken as it is; ``BTCUSDT`` and ``btc-usdt`` are looked up.

    Raises:
        InvalidInput: it lists none of that name, or several; names them, or the nearest.
    """
    if "/" in name:
        return checked_symbol(name, path)
    symbols = [market.symbol for market in await provider.markets()]
    if name in symbols:
        return name
    wanted = _joined(name)
    whole = [symbol for symbol in symbols if _joined(symbol) == wanted]
    # a contract's joined spelling leaves out what it is settled in
    found = whole or [symbol for symbol in symbols if _joined(symbol.partition(":")[0]) == wanted]
    if len(found) == 1:
        return found[0]
    names = ", ".join(found) or _like(wanted, symbols)
    raise InvalidInput(path, name, f"one of several: {names}" if found else f"a symbol of {provider.name}: {names}")


def _joined(name: str) -> str:
    return "".join(char for char in name.upper() if char.isalnum())


def _like(name: str, symbols: Sequence[str]) -> str:
    """The symbols whose joined spelling resembles it, else some that are listed."""
    close = get_close_matches(name, [_joined(symbol) for symbol in symbols], n=5, cutoff=0.4)
    found = [symbol for symbol in symbols if _joined(symbol) in close] or list(symbols[:5])
    return ", ".join(found) or "it lists nothing"


# -- prices and books


def positive(value: Decimal, path: str) -> Decimal:
    """A price or a quantity that something may be decided by.

    Raises:
        InvalidInput: not finite, not above zero, or absurdly large.
    """
    if not value.is_finite() or not 0 < value < LARGEST:
        raise InvalidInput(path, value, "a finite number above zero")
    return value


def finite(value: Decimal, path: str) -> Decimal:
    """A number of either sign.

    Raises:
        InvalidInput: NaN or infinite.
    """
    if not value.is_finite():
        raise InvalidInput(path, value, "a finite number")
    return value


def sound(book: OrderBook) -> OrderBook:
    """The book itself.

    Raises:
        InvalidInput: an empty side, a price or quantity that is none, or levels out of order.
    """
    for side, levels, down in (("bids", book.bids, True), ("asks", book.asks, False)):
        path = f"{book.venue}.{book.symbol}.{side}"
        if not levels:
            raise InvalidInput(path, "no levels", "a book with a bid and an ask")
        for at, level in enumerate(levels):
            positive(level.price, f"{path}[{at}].price")
            positive(level.quantity, f"{path}[{at}].quantity")
        prices = [level.price for level in levels]
        if prices != sorted(prices, reverse=down):
            raise InvalidInput(path, "levels out of order", "the best price first")
    return book


def mid(book: OrderBook) -> Decimal:
    """Half way between the best bid and the best ask of a sound book."""
    return EXACT.multiply(EXACT.add(book.bids[0].price, book.asks[0].price), Decimal("0.5"))


def filled(levels: Sequence[Level], size: Decimal) -> tuple[Decimal, Decimal]:
    """What can be had of ``size`` from these levels, and for how much money in all."""
    had = spent = Decimal(0)
    for level in levels:
        take = min(level.quantity, EXACT.subtract(size, had))
        had = EXACT.add(had, take)
        spent = EXACT.add(spent, EXACT.multiply(take, level.price))
        if had == size:
            break
    return had, spent


# -- bars


async def recent(
    providers: Providers,
    context: Context,
    *,
    count: int,
    provider: str,
    symbol: str,
    interval: str,
    bars: list[Bar] | None = None,
    least: int | None = None,
) -> list[Bar]:
    """The latest ``count`` bars, oldest first: those that came in, else the provider's.

    Args:
        least: how many must be there; ``None``: all of them.

    Raises:
        InvalidInput: too few, bars of another symbol, or an interval that they do not make up.
    """
    path = f"{context.node}.bars"
    if bars is None:
        found, name = await asked(providers, provider, symbol, context)
        bars = await history(found, name, count, interval)
    else:
        _of_one(bars, symbol, path)
        bars = longer(bars, interval)[-count:]
    needed = count if least is None else least
    if len(bars) < needed:
        of = f" of {bars[-1].symbol} at {bars[-1].venue}" if bars else ""
        raise InvalidInput(path, f"{len(bars)} bars{of}", f"at least {needed}")
    return bars


async def history(provider: Provider, symbol: str, count: int, interval: str = "") -> list[Bar]:
    """At most ``count`` complete bars of a length, oldest first; made up of the provider's own where those are shorter.

    Raises:
        InvalidInput: the provider's own do not make up this length.
    """
    if not interval:
        return await provider.bars(symbol, count)
    own = (await provider.bars(symbol, 1))[-1].interval_ns
    times = max(1, duration(interval, "interval") // own)
    bars = await provider.bars(symbol, count if times == 1 else (count + _BEFORE) * times)
    return longer(bars, interval)[-count:]


def longer(bars: list[Bar], interval: str) -> list[Bar]:
    """Bars of a longer interval, aligned to 1970 UTC; only those that are complete.

    The first is left out, because its beginning may not be there, and the last until a bar reaches its end.

    Raises:
        InvalidInput: the interval is no multiple of theirs.
    """
    if not interval or not bars:
        return bars
    wanted, own = duration(interval, "interval"), bars[0].interval_ns
    if wanted == own:
        return bars
    if not wanted or wanted % own:
        raise InvalidInput("interval", interval, f"a multiple of the bars' own, {duration_text(own)}")
    whole = [_whole(list(part), wanted) for _, part in groupby(bars, lambda bar: bar.start_ns // wanted)][1:]
    return whole if whole and bars[-1].end_ns >= whole[-1].end_ns else whole[:-1]


def _whole(parts: list[Bar], interval_ns: int) -> Bar:
    first, last = parts[0], parts[-1]
    volume = Decimal(0)
    for part in parts:
        volume = EXACT.add(volume, part.volume)
    return Bar(
        first.symbol, first.venue, first.start_ns // interval_ns * interval_ns, interval_ns, first.open,
        max(part.high for part in parts), min(part.low for part in parts), last.close, volume,
    )  # fmt: skip


def _of_one(bars: list[Bar], symbol: str, path: str) -> None:
    """All of one stream, in order, and of the symbol that is named."""
    for at, bar in enumerate(bars):
        before = bars[at - 1] if at else bar
        if (bar.symbol, bar.venue, bar.interval_ns) != (before.symbol, before.venue, before.interval_ns):
            raise InvalidInput(
                f"{path}[{at}]", f"{bar.symbol} at {bar.venue}", "bars of one symbol, venue and interval"
            )
        if at and bar.start_ns < before.end_ns:
            raise InvalidInput(f"{path}[{at}].start", bar.start.isoformat(), "bars in order, oldest first")
    if bars and symbol and _joined(symbol) not in (_joined(bars[0].symbol), _joined(bars[0].symbol.partition(":")[0])):
        raise InvalidInput(path, f"bars of {bars[0].symbol}", f"bars of {symbol}, which the params name")
