"""News: what it says, and how much what has happened matters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Final, Literal

import msgspec

from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context, node, param, port
from tickwork.graph.sources import News, Sources
from tickwork.graph.texts import DurationAboveZero
from tickwork.market.news import NewsItem
from tickwork.market.sentiment import score, scored
from tickwork.values import duration, timestamp_ns

_PRIORITY: Final = {"low": 0.1, "normal": 0.3, "high": 0.7, "critical": 0.9}
_MIDDLE: Final = 0.5
_HIGHEST_CUT: Final = 0.75
_LOWEST_CUT: Final = 0.4


class NewsAnalysis(msgspec.Struct, frozen=True):
    """What the news comes to."""

    sentiment: Annotated[float, port("0 bad, 0.5 neutral, 1 good")]
    count: Annotated[int, port("how many items that was made of")]
    headlines: Annotated[list[str], port("their titles, newest first")]
    sentiments: Annotated[dict[str, float], port("the same by symbol; a symbol without news is not in it")]
    silence: Annotated[str, port("why there was nothing to judge, which counts as neutral; else empty")] = ""


def _heard(params: Mapping[str, Any], sources: Sources) -> str | None:
    """Without a source of news there is only silence: may there be?"""
    if sources.get(News.source_name) is None and params.get("on_silence") != "neutral":
        return f"news to be configured: {News.configure}; or on_silence: neutral"
    return None


@node("news_analysis", category="news", aliases=("analyze_news",), check=_heard)
async def news_analysis(
    *,
    symbols: Annotated[
        list[str] | None, param("what the news is to be about; what starts the run says it first")
    ] = None,
    keywords: Annotated[list[str] | None, param("only items that hold one of these words or phrases")] = None,
    window: Annotated[DurationAboveZero, param("how far back to look, such as 24h")] = "24h",
    limit: Annotated[int, param("how many items at most", unit="items", ge=1, le=10_000)] = 200,
    on_silence: Annotated[
        Literal["fail", "neutral"], param("where there is no news, or no source of it: fail, or take it as neutral")
    ] = "fail",
    news: News | None = None,
    context: Context,
) -> NewsAnalysis:
    """Judge the recent news about symbols.

    Each item has a sentiment from -1 to 1, its source's or that of its words (VADER's lexicon with the market's own
    words). The newer the more it counts: its weight halves with each quarter of the window,
    ``weight = 2 ** (-age / (window / 4))``. The result is the weighted mean ``m`` as ``(1 + m) / 2``.

    Raises:
        InvalidInput: there is no news, and ``on_silence`` is not ``neutral``: silence is no opinion.
    """
    span = duration(window, f"{context.node}.window")
    about = context.symbols(symbols) if symbols or context.given("symbols") or context.given("symbol") else []
    found = [] if news is None else await news.recent(about, context.now - span, limit)
    items = [scored(item) for item in found if _speaks_of(item, keywords)]
    silence = "" if items else "no source of news is configured"
    if news is not None and not items:
        what = f"no item about {', '.join(about) or 'anything'}" + (f" with {', '.join(keywords)}" if keywords else "")
        silence = f"{what} in {window}"
    if silence and on_silence == "fail":
        expected = "news; a longer window, other keywords, or on_silence: neutral"
        raise InvalidInput(f"{context.node}.window", silence, expected)
    sentiment = _mean(items, context.now, span)
    named = sorted({symbol for item in items for symbol in item.symbols if not about or symbol in about})
    by_symbol = {name: _mean([item for item in items if name in item.symbols], context.now, span) for name in named}
    return NewsAnalysis(sentiment, len(items), [item.title for item in items], by_symbol, silence)


def _speaks_of(item: NewsItem, keywords: list[str] | None) -> bool:
    if not keywords:
        return True
    words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in keywords)
    return re.search(rf"(?<!\w)(?:{words})(?!\w)", f"{item.title}\n{item.summary}", re.IGNORECASE) is not None


def _mean(items: Sequence[NewsItem], now: int, span: int) -> float:
    weighed = [
        (2.0 ** (-4 * max(0, now - timestamp_ns(item.known_at)) / span), item.sentiment or 0.0) for item in items
    ]
    total = sum(weight for weight, _ in weighed)
    return round((1 + sum(weight * mood for weight, mood in weighed) / total) / 2, 6) if total else 0.5


class Mood(msgspec.Struct, frozen=True):
    """The sentiment of a text."""

    sentiment: Annotated[float, port("0 bad, 0.5 neutral, 1 good")]
    score: Annotated[float, port("the same from -1 to 1")]


@node("sentiment", category="news")
def sentiment(text: Annotated[str, port("what to judge")]) -> Mood:
    """Judge how good or bad the news in a text is, by its words (VADER's lexicon with the market's own words)."""
    found = score(text)
    return Mood(round((1 + found) / 2, 6), found)


# --------------------------------------------------------------------------------------------------------- classifying


class Classified(msgspec.Struct, frozen=True):
    """How much something matters."""

    category: Annotated[str, port("one of the categories")]
    importance: Annotated[float, port("0 to 1; 0.5 is just at the threshold that it was noticed by")]
    reason: Annotated[str, port("what it was judged by")]


@node("classify", category="news", aliases=("event_classifier",))
def classify(
    *,
    categories: Annotated[
        list[str], param("the most urgent first, what to ignore last", min_length=2, max_length=20)
    ] = [  # noqa: B006 - never changed
        "urgent",
        "normal",
        "ignore",
    ],
    thresholds: Annotated[
        list[float] | None,
        param("importance from which on each category but the last holds, falling", unit="fraction"),
    ] = None,
    context: Context,
) -> Classified:
    """Say how urgent it is what started the run.

    Price changes (by their size), volume spikes (by their ratio) and volatility are measured by the threshold that they
    crossed: with ``e = value / threshold`` the importance is ``1 - 0.5 / e`` (at the threshold 0.5, at twice the
    threshold 0.75). News counts by its priority ``p`` (low 0.1, normal 0.3, high 0.7, critical 0.9) and the strength
    ``s`` of its sentiment: ``1 - (1 - p) * (1 - s)``. Everything else, such as a schedule or a start by hand, says
    nothing of its importance: 0.5.

    Of three categories the first begins at 0.75 and the second at 0.4; more of them divide that span evenly.
    """
    cuts = _cuts(categories, thresholds, context.node)
    importance, reason = _importance(context)
    place = next((index for index, cut in enumerate(cuts) if importance >= cut), len(cuts))
    return Classified(categories[place], round(importance, 4), reason)


def _cuts(categories: list[str], thresholds: list[float] | None, node: str) -> list[float]:
    number = len(categories) - 1
    if thresholds is None:
        step = (_HIGHEST_CUT - _LOWEST_CUT) / (number - 1) if number > 1 else 0
        return [_HIGHEST_CUT - step * index for index in range(number)] if number > 1 else [_MIDDLE]
    falling = all(high > low for high, low in pairwise(thresholds))
    if len(thresholds) != number or not falling or not all(0 < cut <= 1 for cut in thresholds):
        raise InvalidInput(f"{node}.thresholds", str(thresholds), f"{number} falling numbers above 0, at most 1")
    return thresholds


def _importance(context: Context) -> tuple[float, str]:
    for value, limit, what in (
        ("change", "threshold", "price change"),
        ("ratio", "multiplier", "volume"),
        ("volatility", "above", "volatility"),
    ):
        found, least = _size(context.given(value)), _size(context.given(limit))
        if found is not None and least:
            excess = found / least
            return (1 - 0.5 / excess if excess >= 1 else excess / 2), f"{what} {found:g}, {excess:.2f} x its threshold"
    event = context.event
    if isinstance(event, NewsItem):
        strength = abs(scored(event).sentiment or 0.0)
        importance = 1 - (1 - _PRIORITY[event.priority]) * (1 - strength)
        return importance, f"news of {event.priority} priority, sentiment {strength:.2f} strong"
    return _MIDDLE, f"started by {context.trigger or 'hand'}"


def _size(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = Decimal(value)
        except ArithmeticError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:  # noqa: PLR0124 - NaN
        return None
    return abs(float(value))
