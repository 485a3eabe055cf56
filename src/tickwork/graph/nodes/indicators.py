"""What bars have shown: indicators, changes, volatility, how far a spread is from its mean.

Indicators are those of ``market.indicators`` (TA-Lib's definitions), computed anew from the latest bars; floats,
because they are scores. ``BBANDS`` is the mean of the closes and two population standard deviations on either side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from math import log, sqrt
from statistics import fmean, pstdev, stdev
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import BeforeValidator

from tickwork.errors import InvalidInput, Stale
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.prices import (
    Bars,
    Interval,
    ProviderName,
    SymbolName,
    history,
    listed,
    provider_check,
    recent,
)
from tickwork.graph.sources import Provider, Providers, Sources
from tickwork.graph.texts import DurationAboveZero
from tickwork.market.bars import Bar
from tickwork.market.indicators import ATR, EMA, MACD, RSI, SMA
from tickwork.market.triggers.options import quotient
from tickwork.market.triggers.volatility import DEFAULT_WINDOW, DEFAULT_YEAR
from tickwork.values import EXACT, duration, duration_text

Indicator = Annotated[
    Literal["RSI", "MACD", "SMA", "EMA", "BBANDS", "ATR"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]
Names = str | tuple[str, ...]
"""One, or a list of them."""
Trend = Literal["bullish", "bearish", "neutral"]

PERIODS: Final[dict[str, tuple[int, ...]]] = {
    "RSI": (14,), "MACD": (12, 26, 9), "SMA": (20,), "EMA": (20,), "BBANDS": (20,), "ATR": (14,),
}  # fmt: skip
"""Bars; of MACD: fast, slow and signal."""
_BAND_WIDTH: Final = 2.0


class Bands(msgspec.Struct, frozen=True):
    """Bollinger's, in quote currency per unit."""

    lower: float
    middle: float
    upper: float


class Figures(msgspec.Struct, frozen=True):
    """What the bars of one symbol say; null for what was not asked for. Averages are in quote currency per unit."""

    price: Decimal
    time: int
    rsi: float | None = None
    macd: Trend | None = None
    macd_line: float | None = None
    macd_signal: float | None = None
    macd_histogram: float | None = None
    sma: float | None = None
    ema: float | None = None
    bbands: Bands | None = None
    atr: float | None = None


class TechnicalOutputs(msgspec.Struct, frozen=True):
    """What ``technical_analysis`` gives."""

    rsi: Annotated[float | None, port("relative strength index of the first symbol, 0 to 100")]
    macd: Annotated[Trend | None, port("of the first symbol: is the MACD line above its signal line, below, or on it?")]
    sma: Annotated[float | None, port("simple moving average of the first symbol's closes")]
    ema: Annotated[float | None, port("exponential moving average of the first symbol's closes")]
    bbands: Annotated[Bands | None, port("Bollinger bands of the first symbol: lower, middle, upper")]
    atr: Annotated[float | None, port("average true range of the first symbol")]
    price: Annotated[Decimal, port("latest close of the first symbol, quote currency per unit")]
    time: Annotated[int, port("end of that bar, ns since 1970 UTC")]
    symbols: Annotated[list[str], port("the symbols as the venue lists them")]
    by_symbol: Annotated[dict[str, Figures], port("all figures of each symbol, also MACD's three lines")]


@node("technical_analysis", category="analysis", check=provider_check)
async def technical_analysis(
    *,
    indicators: Annotated[tuple[Indicator, ...], param("which to compute", min_length=1)] = ("RSI", "MACD"),
    symbols: Annotated[
        Names, param("one or several; those of what started the run come before them", aliases=("symbol", "pairs"))
    ] = (),
    periods: Annotated[
        dict[Indicator, int | tuple[int, ...]],
        param("by indicator where not RSI 14, MACD [12, 26, 9], SMA, EMA, BBANDS 20, ATR 14", unit="bars"),
    ] = {},  # noqa: B006 - read only
    interval: Interval = "",
    count: Annotated[
        int,
        param("from how many bars the indicators are computed, where there are as many", unit="bars", ge=2, le=2_000),
    ] = 250,
    provider: ProviderName = "",
    providers: Providers,
    context: Context,
) -> TechnicalOutputs:
    """Indicators of one symbol or several."""
    wanted: dict[str, tuple[int, ...]] = {name: _lengths(name, periods.get(name)) for name in indicators}
    found = providers.get(provider)
    by_symbol: dict[str, Figures] = {}
    for spelled in context.symbols(_listed(symbols)):
        symbol = await listed(found, spelled, f"{context.node}.symbols")
        bars = await history(found, symbol, max(count, _needed(wanted)), interval)
        by_symbol[symbol] = _figures(bars, wanted, symbol)
    first = next(iter(by_symbol.values()))
    return TechnicalOutputs(
        first.rsi, first.macd, first.sma, first.ema, first.bbands, first.atr, first.price, first.time,
        list(by_symbol), by_symbol,
    )  # fmt: skip


def _listed(names: Names) -> list[str]:
    return ([names] if names else []) if isinstance(names, str) else list(names)


def _lengths(name: str, given: int | tuple[int, ...] | None) -> tuple[int, ...]:
    usual = PERIODS[name]
    lengths = usual if given is None else (given,) if isinstance(given, int) else given
    if len(lengths) != len(usual):
        raise InvalidInput(f"periods.{name}", str(lengths), f"{len(usual)} numbers of bars, such as {list(usual)}")
    return lengths


def _needed(wanted: dict[str, tuple[int, ...]]) -> int:
    """How many bars every one of them has a value after."""
    needed = {"RSI": 1, "MACD": -1, "ATR": 1}
    return max(sum(lengths[-2:]) + needed.get(name, 0) for name, lengths in wanted.items())


def _figures(bars: Sequence[Bar], wanted: dict[str, tuple[int, ...]], symbol: str) -> Figures:
    if len(bars) < _needed(wanted):
        raise InvalidInput(f"bars of {symbol}", len(bars), f"at least {_needed(wanted)} for {', '.join(wanted)}")
    found: dict[str, Any] = {}
    for name, lengths in wanted.items():
        found |= _computed(name, lengths, bars)
    return Figures(price=bars[-1].close, time=bars[-1].end_ns, **found)


def _computed(name: str, lengths: tuple[int, ...], bars: Sequence[Bar]) -> dict[str, Any]:
    closes = [bar.close_float for bar in bars]
    match name:
        case "MACD":
            return _macd(closes, lengths)
        case "BBANDS":
            return {"bbands": _bands(closes, lengths[0])}
        case "ATR":
            atr = ATR(lengths[0])
            for bar in bars:
                atr.update(float(bar.high), float(bar.low), bar.close_float)
            return {"atr": atr.value}
    one = {"RSI": RSI, "SMA": SMA, "EMA": EMA}[name](lengths[0])
    for close in closes:
        one.update(close)
    return {name.lower(): one.value}


def _macd(closes: Sequence[float], lengths: tuple[int, ...]) -> dict[str, Any]:
    macd = MACD(*lengths)
    for close in closes:
        macd.update(close)
    assert macd.value is not None, "there are enough bars"
    line, signal, histogram = macd.value
    trend = "bullish" if histogram > 0 else "bearish" if histogram < 0 else "neutral"
    return {"macd": trend, "macd_line": line, "macd_signal": signal, "macd_histogram": histogram}


def _bands(closes: Sequence[float], period: int) -> Bands:
    if period < 2:
        raise InvalidInput("periods.BBANDS", period, "at least 2 bars")
    latest = closes[-period:]
    middle, width = fmean(latest), _BAND_WIDTH * pstdev(latest)
    return Bands(middle - width, middle, middle + width)


class RsiOutputs(msgspec.Struct, frozen=True):
    """What ``rsi_signal`` gives."""

    signal: Annotated[Literal["buy", "sell", "hold"], port("buy when oversold, sell when overbought, else hold")]
    rsi: Annotated[float, port("relative strength index, 0 to 100")]


@node("rsi_signal", category="analysis", check=provider_check)
async def rsi_signal(
    bars: Bars = None,
    *,
    period: Annotated[int, param("of the index", unit="bars", ge=2, le=500)] = 14,
    oversold: Annotated[float, param("buy at this index or below", ge=0, le=100)] = 30.0,
    overbought: Annotated[float, param("sell at this index or above", ge=0, le=100)] = 70.0,
    symbol: SymbolName = "",
    provider: ProviderName = "",
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> RsiOutputs:
    """A signal of the relative strength index: at or below `oversold` buy, at or above `overbought` sell.

    Wilder's average of what came before dies away in about ten periods, so that many bars are asked for.
    """
    if oversold >= overbought:
        raise InvalidInput(f"{context.node}.oversold", oversold, f"less than overbought, {overbought}")
    found = await recent(
        providers, context, bars=bars, count=period * 10, least=period + 1, provider=provider, symbol=symbol,
        interval=interval,
    )  # fmt: skip
    index = RSI(period)
    for bar in found:
        index.update(bar.close_float)
    assert index.value is not None, "there are enough bars"
    signal = "buy" if index.value <= oversold else "sell" if index.value >= overbought else "hold"
    return msgspec.convert({"signal": signal, "rsi": index.value}, RsiOutputs)


class ChangeOutputs(msgspec.Struct, frozen=True):
    """What ``price_change`` gives."""

    change: Annotated[Decimal, port("latest close over the one a window before, minus 1: a fraction")]
    direction: Annotated[Literal["up", "down", "flat"], port("which way it went")]
    price: Annotated[Decimal, port("latest close, quote currency per unit")]
    reference: Annotated[Decimal, port("the close a window before")]


@node("price_change", category="analysis", check=provider_check)
async def price_change(
    bars: Bars = None,
    *,
    window: Annotated[int, param("how far back", unit="bars", ge=1, le=2_000)] = 1,
    symbol: SymbolName = "",
    provider: ProviderName = "",
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> ChangeOutputs:
    """By what fraction a price has moved over so many bars, to sixteen places."""
    found = await recent(
        providers, context, bars=bars, count=window + 1, provider=provider, symbol=symbol, interval=interval
    )
    price, reference = found[-1].close, found[-1 - window].close
    change = quotient(EXACT.subtract(price, reference), reference)
    return ChangeOutputs(change, "up" if change > 0 else "down" if change < 0 else "flat", price, reference)


class VolatilityOutputs(msgspec.Struct, frozen=True):
    """What ``volatility`` gives."""

    volatility: Annotated[float, port("a fraction a year: 0.8 is eighty percent")]


@node("volatility", category="analysis", check=provider_check)
async def volatility(
    bars: Bars = None,
    *,
    window: Annotated[int, param("how many returns", unit="bars", ge=2, le=2_000)] = DEFAULT_WINDOW,
    year: Annotated[
        DurationAboveZero,
        param("the time the market is open in a year: 365d; of equities 252d by days, 1638h by hours or minutes"),
    ] = DEFAULT_YEAR,
    symbol: SymbolName = "",
    provider: ProviderName = "",
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> VolatilityOutputs:
    """Realised volatility: how much a price has varied, by the year.

    The sample standard deviation of the logarithmic returns from close to close, times the root of the number of bars
    in a year (``market.triggers.volatility``).
    """
    found = await recent(
        providers, context, bars=bars, count=window + 1, provider=provider, symbol=symbol, interval=interval
    )
    closes = [bar.close_float for bar in found[-1 - window :]]
    returns = [log(after / before) for before, after in pairwise(closes)]
    return VolatilityOutputs(stdev(returns) * sqrt(duration(year, "year") / found[-1].interval_ns))


class ZScoreOutputs(msgspec.Struct, frozen=True):
    """What ``z_score`` gives."""

    z: Annotated[float, port("how many standard deviations the spread is from its mean")]
    mean: Annotated[float, port("of the spread over the window")]
    std: Annotated[float, port("sample standard deviation of the spread over the window")]
    spread: Annotated[float, port("the spread now: how much dearer the first is, as a logarithm")]
    signal: Annotated[
        Literal["buy", "sell", "exit", "hold"], port("for the first of them: sell when it is dear, buy when cheap")
    ]


def _providers_check(params: Mapping[str, Any], sources: Sources) -> str | None:
    names = params.get("provider_names", ())
    found = [names] if isinstance(names, str) else names if isinstance(names, list | tuple) else []
    return next(filter(None, (provider_check({"provider": name}, sources) for name in found)), None)


@node("z_score", category="analysis", check=_providers_check)
async def z_score(
    *,
    symbols: Annotated[
        Names, param("two symbols or more of one provider; or one, of several", aliases=("symbol", "pairs"))
    ] = (),
    provider_names: Annotated[
        Names,
        param(
            "several providers of one symbol, or one for each symbol; the account's own where none is named",
            aliases=("providers", "provider"),
        ),
    ] = (),
    window: Annotated[int, param("bars before the latest that it is held against", unit="bars", ge=2, le=1_000)] = 20,
    entry: Annotated[float, param("deviations at which the signal is to trade", gt=0)] = 2.0,
    exit: Annotated[float, param("deviations within which the signal is to leave", ge=0)] = 0.5,
    interval: Interval = "",
    providers: Providers,
    context: Context,
) -> ZScoreOutputs:
    """How far the spread between two prices or more is from what it was lately.

    spread = ln(first) - mean of ln(the others), of closes at one time; z = (spread - mean) / std over the `window` bars
    before the latest one. A z of `entry` or more says sell the first and buy the others, one of `-entry` or less the
    opposite, one within `exit` says leave.
    """
    if exit >= entry:
        raise InvalidInput(f"{context.node}.exit", exit, f"less than entry, {entry}")
    legs = [
        await _closes(providers.get(name), symbol, window, interval, context)
        for name, symbol in _legs(_listed(symbols), _listed(provider_names), context)
    ]
    *before, now = _spreads(legs, window, context.node)
    mean, std = fmean(before), stdev(before)
    if not std > 0:
        raise InvalidInput(f"{context.node}.std", std, f"a spread that has moved within {window} bars")
    z = (now - mean) / std
    signal = "sell" if z >= entry else "buy" if z <= -entry else "exit" if abs(z) <= exit else "hold"
    return msgspec.convert({"z": z, "mean": mean, "std": std, "spread": now, "signal": signal}, ZScoreOutputs)


def _legs(symbols: list[str], names: list[str], context: Context) -> list[tuple[str, str]]:
    """Provider and symbol of each leg."""
    wanted = symbols or context.symbols(None)
    count = max(len(wanted), len(names))
    if count < 2 or len(wanted) not in (1, count) or len(names) not in (0, 1, count):
        found = f"{len(wanted)} symbols, {len(names)} providers"
        raise InvalidInput(f"{context.node}.symbols", found, "two legs or more: symbols, providers, or as many of each")
    places = (names or [""]) * (count if len(names) <= 1 else 1)
    return list(zip(places, wanted * (count if len(wanted) == 1 else 1), strict=True))


async def _closes(
    provider: Provider, spelled: str, window: int, interval: str, context: Context
) -> tuple[dict[int, float], int, str]:
    """Closes by the end of their bar, the length of a bar, and what it is of."""
    symbol = await listed(provider, spelled, f"{context.node}.symbols")
    # twice as many, because one leg may lack bars that another has
    bars = await history(provider, symbol, 2 * (window + 1), interval)
    return {bar.end_ns: bar.close_float for bar in bars}, bars[-1].interval_ns, f"{symbol} at {provider.name}"


def _spreads(legs: Sequence[tuple[dict[int, float], int, str]], window: int, path: str) -> list[float]:
    """The latest ``window + 1`` spreads at times of which every leg has a close."""
    lengths = {length for _, length, _ in legs}
    if len(lengths) != 1:
        found = ", ".join(f"{of}: {duration_text(length)}" for _, length, of in legs)
        raise InvalidInput(f"{path}.interval", found, "bars of one length; the param interval can make them so")
    (length,) = lengths
    common = sorted(set.intersection(*(set(closes) for closes, _, _ in legs)))[-window - 1 :]
    if len(common) < window + 1:
        raise InvalidInput(f"{path}.bars", f"{len(common)} common bars", f"at least {window + 1} of {_names(legs)}")
    newest, last = max(max(closes) for closes, _, _ in legs), common[-1]
    if newest - last > length:
        behind = next(of for closes, _, of in legs if max(closes) < newest)
        raise Stale(f"the newest bar of {behind}", duration_text(newest - last), duration_text(length))
    first, *others = [[log(closes[at]) for at in common] for closes, _, _ in legs]
    return [one - fmean(rest) for one, *rest in zip(first, *others, strict=True)]


def _names(legs: Sequence[tuple[dict[int, float], int, str]]) -> str:
    return ", ".join(of for _, _, of in legs)
