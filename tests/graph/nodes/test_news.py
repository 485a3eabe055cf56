"""News and what it is worth; how much an event matters; signals made of news and indicators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.graph.support import RecordedProvider, RecordedProviders, context, done
from tickwork.errors import InvalidInput
from tickwork.graph.nodes.indicators import technical_analysis
from tickwork.graph.nodes.news import classify, news_analysis, sentiment
from tickwork.graph.nodes.signals import signal_generation
from tickwork.market.news import NewsItem
from tickwork.market.recording import Recording
from tickwork.market.triggers import PriceChanged, VolumeSpiked
from tickwork.values import from_ns

BTC, ETH = "BTC/USD", "ETH/USD"
HOUR = 3_600_000_000_000
NOW = 1_600_000_000_000_000_000
D = Decimal


def item(
    id: str, title: str, *, hours: float = 0, mood: float | None = None, about: Sequence[str] = (BTC,)
) -> NewsItem:
    known = from_ns(NOW) - timedelta(hours=hours)
    return NewsItem(id=id, source="test", title=title, known_at=known, symbols=tuple(about), sentiment=mood)


class Recorded:
    """News that has become known."""

    source_name: ClassVar[str] = "news"
    configure: ClassVar[str] = ""

    def __init__(self, *items: NewsItem) -> None:
        self.items = items

    async def recent(self, symbols: Sequence[str], since: int, limit: int) -> list[NewsItem]:
        known = [one for one in self.items if one.known_at > from_ns(since)]
        about = [one for one in known if not symbols or set(symbols) & set(one.symbols)]
        return sorted(about, key=lambda one: one.known_at, reverse=True)[:limit]


def analysed(*items: NewsItem, event: Any = None, **settings: Any) -> Any:
    return done(news_analysis(news=Recorded(*items), context=context(NOW, event), **settings))


# ---------------------------------------------------------------------------------------------------------------- news


def test_news_is_judged_by_its_words_the_newer_the_more() -> None:
    good = item("1", "SEC approves spot ETF, BTC surges to record high", hours=1)
    bad = item("2", "Exchange hacked, coins stolen, panic selling", hours=20)
    up, down = analysed(good, symbols=[BTC]), analysed(bad, symbols=[BTC])
    assert down.sentiment < 0.5 < up.sentiment
    both = analysed(good, bad, symbols=[BTC])
    assert both.sentiment > (up.sentiment + down.sentiment) / 2
    assert both.headlines == [good.title, bad.title]
    assert both.count == 2


def test_an_items_weight_halves_with_each_quarter_of_the_window() -> None:
    found = analysed(item("1", "a", mood=1.0), item("2", "b", hours=6, mood=-1.0), window="24h")
    assert found.sentiment == pytest.approx((1 + (1 - 0.5) / 1.5) / 2, abs=1e-6)


def test_each_symbol_has_its_own_sentiment() -> None:
    found = analysed(item("1", "a", mood=0.6), item("2", "b", mood=-0.4, about=[ETH]), item("3", "c", mood=0, about=[]))
    assert found.sentiments == {BTC: 0.8, ETH: 0.3}
    assert found.count == 3
    assert analysed(item("1", "a", mood=0.6), item("2", "b", mood=-0.4, about=[ETH]), symbols=[ETH]).sentiment == 0.3
    event = {"symbols": [BTC]}
    assert analysed(item("1", "a", mood=0.6), event=event, symbols=[ETH]).sentiments == {BTC: 0.8}


def test_keywords_are_whole_words() -> None:
    items = (item("1", "Again the index rises", mood=1), item("2", "A gain for holders", mood=-1))
    assert analysed(*items, keywords=["gain"]).headlines == ["A gain for holders"]
    assert analysed(*items, keywords=["the  INDEX".lower().replace("  ", " ")]).count == 1


def test_silence_is_no_opinion() -> None:
    old = item("1", "a", hours=30, mood=1)
    with pytest.raises(InvalidInput, match="no item about BTC/USD in 24h"):
        analysed(old, symbols=[BTC])
    neutral = analysed(old, symbols=[BTC], on_silence="neutral")
    assert (neutral.sentiment, neutral.count, neutral.sentiments) == (0.5, 0, {})
    assert neutral.silence == "no item about BTC/USD in 24h"
    without = done(news_analysis(news=None, context=context(NOW), symbols=[BTC], on_silence="neutral"))
    assert (without.count, without.silence) == (0, "no source of news is configured")
    assert analysed(old, symbols=[BTC], window="2 days").silence == ""
    assert analysed(old, symbols=[BTC], window="2 days").count == 1


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 23)), min_size=1, max_size=20))
def test_the_sentiment_lies_between_the_worst_and_the_best(moods: list[tuple[float, float]]) -> None:
    found = analysed(*(item(str(n), "x", hours=hours, mood=mood) for n, (mood, hours) in enumerate(moods)))
    unit = [(1 + mood) / 2 for mood, _ in moods]
    assert min(unit) - 1e-6 <= found.sentiment <= max(unit) + 1e-6


def test_the_sentiment_of_a_text() -> None:
    good, bad, none = sentiment("Profit doubles, shares soar"), sentiment("Bankruptcy and fraud"), sentiment("Tuesday")
    assert good.sentiment > 0.5 > bad.sentiment
    assert (none.sentiment, none.score) == (0.5, 0)


# --------------------------------------------------------------------------------------------------------- classifying


def changed(by: str, threshold: str = "0.02") -> PriceChanged:
    """A price change of the last bar of a recording."""
    bar = Recording.open("coinbase-btc-usd-1h")[100]
    reference = bar.close / (1 + D(by))
    return PriceChanged(
        symbol=BTC, venue="coinbase", bar_time=bar.start, known_at=bar.end, price=bar.close,
        reference=reference.quantize(D("0.01")), change=D(by), direction="up" if D(by) > 0 else "down",
        threshold=D(threshold), window="1h", recording="coinbase-btc-usd-1h", offset=100,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("event", "category", "importance"),
    [
        (changed("0.02"), "normal", 0.5),
        (changed("-0.04"), "urgent", 0.75),
        (changed("0.08"), "urgent", 0.875),
        ({"change": "0.01", "threshold": "0.02"}, "ignore", 0.25),
        ({"volatility": 45, "above": 30}, "normal", 0.6667),
        (item("1", "Quarterly figures", mood=0.1), "ignore", 0.37),
        (item("1", "x", mood=-0.9), "urgent", 0.93),
        ({}, "normal", 0.5),
        ({"change": "many", "threshold": "0.02"}, "normal", 0.5),
    ],
)
def test_what_happened_is_as_urgent_as_it_is_large(event: Any, category: str, importance: float) -> None:
    found = classify(context=context(event=event, trigger="price_change"))
    assert (found.category, found.importance) == (category, importance)
    assert found.reason


def test_a_volume_spike_by_its_ratio() -> None:
    recording = Recording.open("coinbase-btc-usd-1h")
    bar = recording[300]
    average = sum((one.volume for one in recording.bars(280, 300)), D(0)) / 20
    spike = VolumeSpiked(
        symbol=BTC, venue="coinbase", bar_time=bar.start, known_at=bar.end, price=bar.close, volume=bar.volume,
        average=average.quantize(D("1e-8")), ratio=D(6), multiplier=D(2), window=20, recording=recording.name,
        offset=300,
    )  # fmt: skip
    assert classify(context=context(event=spike)).importance == round(1 - 0.5 / 3, 4)


def test_categories_and_thresholds_of_ones_own() -> None:
    event = {"change": "0.03", "threshold": "0.02"}  # two thirds
    four = ["alarm", "urgent", "normal", "ignore"]
    assert classify(categories=four, context=context(event=event)).category == "urgent"
    assert classify(categories=["yes", "no"], context=context(event=event)).category == "yes"
    assert classify(thresholds=[0.6, 0.1], context=context(event=event)).category == "urgent"
    for wrong in ([0.5], [0.4, 0.6], [0.6, 0.0], [1.5, 0.5]):
        with pytest.raises(InvalidInput, match="thresholds"):
            classify(thresholds=wrong, context=context())


@given(st.decimals("0.0001", "10", places=4), st.decimals("0.0001", "10", places=4))
def test_a_larger_move_is_never_less_important(one: Decimal, two: Decimal) -> None:
    small, large = (
        classify(context=context(event={"change": str(by), "threshold": "0.02"})).importance
        for by in sorted((one, two))
    )
    assert 0 <= small <= large <= 1


# ------------------------------------------------------------------------------------------------------------- signals


def test_the_documents_own_example_is_a_buy() -> None:
    found = signal_generation(0.72, None, 58.0, "bullish", context=context(event={"symbol": BTC}))
    assert (found.signal, found.symbol) == ("BUY", BTC)
    assert found.confidence == pytest.approx((1 + (0.44 + 0.4 + 1) / 3) / 2, abs=1e-4)
    assert found.by_symbol[BTC].confidence == found.confidence
    strict = signal_generation(0.72, None, 58.0, "bullish", threshold=0.9, context=context())
    assert (strict.signal, strict.by_symbol) == ("HOLD", {})


def test_it_works_with_what_there_is() -> None:
    here = context()
    assert signal_generation(rsi=75.0, context=here).signal == "BUY"
    assert signal_generation(sentiment=0.1, context=here).signal == "SELL"
    assert signal_generation(macd="neutral", context=here).confidence == 0.5
    few = signal_generation(by_symbol={BTC: {"rsi": None, "macd": None}}, context=here)
    assert (few.signal, few.confidence) == ("HOLD", 0.0)
    with pytest.raises(InvalidInput, match="news or indicators"):
        signal_generation(context=here)
    for wrong in ({"rsi": 101.0}, {"macd": "up"}, {"sentiment": -0.1}, {"rsi": float("nan")}):
        with pytest.raises(InvalidInput):
            signal_generation(**wrong, context=here)


def test_weights_say_what_a_vote_counts() -> None:
    votes: dict[str, Any] = {"sentiment": 1.0, "rsi": 30.0, "context": context()}
    assert signal_generation(**votes).signal == "HOLD"
    assert signal_generation(**votes, weights={"rsi": 0}).signal == "BUY"
    assert signal_generation(**votes, weights={"sentiment": 0}).signal == "SELL"


def test_news_about_one_symbol_does_not_speak_for_another() -> None:
    figures = {BTC: {"rsi": 50.0}, ETH: {"rsi": 70.0}}
    found = signal_generation(0.9, {BTC: 0.9}, by_symbol=figures, context=context())
    assert found.by_symbol[BTC].why == "sentiment +0.80, rsi +0.00"
    assert found.by_symbol[ETH].why == "rsi +1.00"
    assert found.symbol == ETH


def test_the_signal_follows_the_recording() -> None:
    said = set()
    for at in range(100, 700, 20):
        provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)
        figures = done(
            technical_analysis(symbols=(BTC,), providers=RecordedProviders(provider), context=context(provider.now))
        )
        found = signal_generation(
            rsi=figures.rsi, macd=figures.macd, price=figures.price, by_symbol=figures.by_symbol, context=context()
        )
        assert (found.symbol, found.price) == (BTC, figures.price)
        said.add(found.signal)
    assert said == {"BUY", "SELL", "HOLD"}
