"""Signals: news and indicators, put together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from math import sqrt
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.nodes.about import given_symbols
from tickwork.values import duration

Word = Literal["BUY", "SELL", "HOLD"]

_FULL_VOTE_RSI: Final = 20.0
_FULL_VOTE_MACD: Final = 0.002
_HOUR_NS: Final = 3_600_000_000_000
_MACD_WORDS: Final = {"bullish": 1.0, "bearish": -1.0, "neutral": 0.0}
_EQUAL: Final = {"sentiment": 1.0, "rsi": 1.0, "macd": 1.0}


class SymbolSignal(msgspec.Struct, frozen=True):
    """The signal of one symbol."""

    signal: Word
    confidence: float
    why: str = ""


class Signal(msgspec.Struct, frozen=True):
    """What the votes come to."""

    signal: Annotated[Word, port("of the symbol whose signal is the surest")]
    confidence: Annotated[float, port("how sure: 0.5 is no idea, 1 is certain; 0 where nothing could vote")]
    symbol: Annotated[str, port("which symbol that is; nothing where none is known")]
    price: Annotated[Decimal | None, port("its price, where the indicators say it")]
    by_symbol: Annotated[dict[str, SymbolSignal], port("signal and confidence of every symbol")]


@node("signal_generation", category="signals", aliases=("generate_signals",))
def signal_generation(
    sentiment: Annotated[float | None, port("of the news: 0 bad, 0.5 neutral, 1 good")] = None,
    sentiments: Annotated[dict[str, float] | None, port("the same by symbol")] = None,
    rsi: Annotated[float | None, port("relative strength index, 0 to 100")] = None,
    macd: Annotated[str | None, port("bullish, bearish or neutral")] = None,
    price: Annotated[Decimal | None, port("the latest price")] = None,
    by_symbol: Annotated[
        dict[str, Any] | None, port("indicators of each symbol: rsi, macd, macd_histogram, price")
    ] = None,
    *,
    threshold: Annotated[float, param("confidence from which it is BUY or SELL", unit="fraction", ge=0.5, le=1)] = 0.7,
    weights: Annotated[
        dict[Literal["sentiment", "rsi", "macd"], Annotated[float, param("what a vote counts", ge=0)]] | None,
        param("what the votes count, relative to each other; all the same where nothing is said"),
    ] = None,
    context: Context,
) -> Signal:
    """Combine news and indicators into BUY, SELL or HOLD.

    Votes between -1 (down) and 1 (up), those that there are:

    * ``sentiment``: ``2 * sentiment - 1``;
    * ``rsi``: ``(rsi - 50) / 20``, so that 70 and above is a full vote up and 30 and below a full vote down;
    * ``macd``: ``macd_histogram / price / 0.002`` for bars of an hour, and by the root of the bar's length for others;
      where only the word is known, bullish is 1, bearish -1, neutral 0.

    ``score`` is their weighted mean and ``confidence = (1 + |score|) / 2``. From ``threshold`` on the signal is BUY or
    SELL by the sign of the score, below it is HOLD. An indicator that has seen too few bars does not vote; where none
    votes the signal is HOLD with confidence 0.

    Raises:
        InvalidInput: nothing is connected, or a value that is none.
    """
    if all(one is None for one in (sentiment, sentiments, rsi, macd, by_symbol)):
        raise InvalidInput(f"{context.node} inputs", "nothing", "news or indicators: sentiment, rsi, macd or by_symbol")
    whole = {"sentiment": sentiment, "rsi": rsi, "macd": macd, "price": price}
    counted = _EQUAL | {str(name): weight for name, weight in (weights or {}).items()}
    facts: dict[str, Mapping[str, Any]] = {name: _plain(one) for name, one in (by_symbol or {}).items()}
    if not facts:
        facts = dict.fromkeys(sentiments or given_symbols(context) or [""], whole)
    found: dict[str, SymbolSignal] = {}
    for symbol, known in facts.items():
        mood = sentiments.get(symbol) if sentiments else sentiment
        found[symbol] = _signal(_votes(known, mood, f"{context.node}.{symbol}"), counted, threshold)
    return _surest(found, facts)


def _surest(found: dict[str, SymbolSignal], facts: Mapping[str, Mapping[str, Any]]) -> Signal:
    """The signals of all symbols, told by the one that is the surest; a HOLD only where there is nothing else."""
    best = max(found, key=lambda symbol: (found[symbol].signal != "HOLD", found[symbol].confidence))
    told = facts[best].get("price")
    named = {symbol: one for symbol, one in found.items() if symbol}
    at = Decimal(str(told)) if told is not None else None
    return Signal(found[best].signal, found[best].confidence, best, at, named)


def _plain(known: Any) -> Mapping[str, Any]:
    if isinstance(known, Mapping):
        return known
    if isinstance(known, msgspec.Struct):
        return msgspec.structs.asdict(known)
    raise InvalidInput("by_symbol", type(known).__name__, "the indicators of each symbol")


def _votes(known: Mapping[str, Any], sentiment: float | None, path: str) -> dict[str, float]:
    votes: dict[str, float] = {}
    if sentiment is not None:
        votes["sentiment"] = 2 * _number(sentiment, f"{path}.sentiment", 0, 1) - 1
    if known.get("rsi") is not None:
        votes["rsi"] = _clipped((_number(known["rsi"], f"{path}.rsi", 0, 100) - 50) / _FULL_VOTE_RSI)
    histogram, word = known.get("macd_histogram"), known.get("macd")
    if histogram is not None and known.get("price"):
        hours = _bar_ns(known) / _HOUR_NS
        votes["macd"] = _clipped(float(histogram) / float(known["price"]) / (_FULL_VOTE_MACD * sqrt(hours)))
    elif word is not None:
        if word not in _MACD_WORDS:
            raise InvalidInput(f"{path}.macd", word, f"one of {', '.join(_MACD_WORDS)}")
        votes["macd"] = _MACD_WORDS[word]
    return votes


def _bar_ns(known: Mapping[str, Any]) -> int:
    """How long the bars were that the indicators saw; an hour where nothing says so."""
    length = known.get("interval_ns") or known.get("interval") or _HOUR_NS
    return duration(length) if isinstance(length, str | timedelta) else int(length)


def _number(value: Any, path: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not low <= value <= high:
        raise InvalidInput(path, value, f"a number from {low} to {high}")
    return float(value)


def _clipped(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _signal(votes: Mapping[str, float], weights: Mapping[str, float], threshold: float) -> SymbolSignal:
    total = sum(weights[name] for name in votes)
    if not total:
        return SymbolSignal("HOLD", 0.0, "nothing could vote")
    score = sum(vote * weights[name] for name, vote in votes.items()) / total
    confidence = round((1 + abs(score)) / 2, 4)
    why = ", ".join(f"{name} {vote:+.2f}" for name, vote in votes.items())
    if confidence < threshold or score == 0:
        return SymbolSignal("HOLD", confidence, why)
    return SymbolSignal("BUY" if score > 0 else "SELL", confidence, why)
