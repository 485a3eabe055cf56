"""Triggers on news: whole words in any case, sentiment by its strength, urgency by its source."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support import Ping, live
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput
from tickwork.market.news import PRIORITIES, NewsItem, Priority
from tickwork.market.triggers import BreakingNews, NewsSentiment
from tickwork.market.triggers.news import Scale, Tone


def item(title: str, sentiment: float | None = 0.9, **fields: Any) -> NewsItem:
    known = datetime(2026, 1, 1, tzinfo=UTC)
    return NewsItem(
        **{"id": "1", "source": "wire", "known_at": known, "title": title, "sentiment": sentiment, **fields}
    )


@pytest.mark.parametrize(
    ("keyword", "text", "found"),
    [
        ("FDA", "FDA approves", True),
        ("fda", "The FDA's verdict", True),
        ("FDA", "(FDA)", True),
        ("FDA", "the fda-approved drug", True),
        ("FDA", "FDAX", False),
        ("gain", "again", False),
        ("earnings call", "after the Earnings\n  Call today", True),
        ("earnings call", "earnings were called", False),
        ("stop-loss", "a STOP-LOSS order", True),
        ("c++", "written in C++ now", True),
        ("c.c", "cxc", False),
        ("$BTC", "buy $btc now", True),
        ("$BTC", "buy BTC now", False),
        ("BTC", "buy $BTC now", True),
        ("$BTC", "buy $BTCX now", False),
        ("$BTC", "US$BTC", False),
        ("Zürich", "in ZÜRICH", True),
        ("Straße", "auf der Straße", True),
    ],
)
def test_keywords_are_whole_words_in_any_case(keyword: str, text: str, found: bool) -> None:
    trigger = NewsSentiment([keyword])
    assert trigger.matches(item(text)) is found
    assert trigger.matches(item("", summary=text)) is found
    assert trigger.matches(item(f"before {text} after")) is found


def test_a_phrase_does_not_reach_from_the_title_into_the_summary() -> None:
    assert not NewsSentiment(["rate cut"]).matches(item("A new rate", summary="cut by half"))


def test_a_cashtag_is_found_in_the_symbols_too() -> None:
    trigger = NewsSentiment(["$btc"])
    assert trigger.matches(item("something", symbols=("BTC/USDT",)))
    assert not trigger.matches(item("something", symbols=("ETH/BTC",)))
    assert NewsSentiment(["$BRK.B"]).matches(item("something", symbols=("BRK.B",)))
    assert not NewsSentiment(["btc"]).matches(item("something", symbols=("BTC/USDT",)))


def test_symbols_narrow_it_down() -> None:
    trigger = NewsSentiment(["listing"], symbols=["BTC/USDT", "AAPL"])
    assert trigger.matches(item("listing", symbols=("AAPL", "MSFT")))
    assert not trigger.matches(item("listing", symbols=("MSFT",)))
    assert not trigger.matches(item("listing"))


@pytest.mark.parametrize(
    ("direction", "scale", "threshold", "sentiments"),
    [
        ("any", "signed", "0.7", (0.7, 1.0, -0.7, -1.0)),
        ("positive", "signed", "0.7", (0.7, 1.0)),
        ("negative", "signed", "0.7", (-0.7, -1.0)),
        ("any", "unit", "0.7", (0.4, 0.699, 0.7, 1.0, -0.4, -0.699, -0.7, -1.0)),
        ("positive", "unit", 0.7, (0.4, 0.699, 0.7, 1.0)),
        ("negative", "unit", "0.7", (-0.4, -0.699, -0.7, -1.0)),
        ("any", "signed", 1, (1.0, -1.0)),
    ],
)
def test_sentiment_counts_by_its_strength(direction: Tone, scale: Scale, threshold: Any, sentiments: Any) -> None:
    trigger = NewsSentiment(["listing"], threshold, direction=direction, scale=scale)
    tried = (-1.0, -0.7, -0.699, -0.4, -0.399, 0.0, 0.399, 0.4, 0.699, 0.7, 1.0)
    assert {s for s in tried if trigger.matches(item("listing", s))} == set(sentiments)


def test_what_nobody_has_judged_has_no_sentiment() -> None:
    assert not NewsSentiment(["listing"], "0.0001").matches(item("listing", None))


def test_another_event_is_no_news() -> None:
    assert not NewsSentiment(["listing"]).matches(Ping())
    assert not BreakingNews().matches(Ping())


@given(
    st.lists(st.text(max_size=6), min_size=1, max_size=4),
    st.text(max_size=40),
)
def test_any_keyword_and_any_text_can_be_matched(keywords: list[str], text: str) -> None:
    sound = [keyword for keyword in keywords if keyword.strip()]
    if not sound:
        return
    trigger = NewsSentiment(sound)
    trigger.matches(item(text))
    for keyword in trigger.keywords:
        assert trigger.matches(item(f"- {keyword} -")), keyword


@pytest.mark.parametrize("threshold", [0, "0", "-0.1", "NaN", "Infinity", float("nan"), "1.01", "strong", None, True])
def test_a_threshold_that_is_none_is_refused(threshold: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        NewsSentiment(["listing"], threshold)
    assert refused.value.path == "threshold"


@pytest.mark.parametrize("threshold", ["0.5", "0.3", 0])
def test_on_the_unit_scale_neutral_is_no_threshold(threshold: Any) -> None:
    with pytest.raises(InvalidInput):
        NewsSentiment(["listing"], threshold, scale="unit")


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"keywords": []}, "keywords"),
        ({"keywords": "earnings"}, "keywords"),
        ({"keywords": None}, "keywords"),
        ({"keywords": ["earnings", " "]}, "keywords[1]"),
        ({"keywords": [5]}, "keywords[0]"),
        ({"direction": "up"}, "direction"),
        ({"scale": "percent"}, "scale"),
        ({"symbols": []}, "symbols"),
        ({"symbols": "AAPL"}, "symbols"),
        ({"symbols": ["btcusd"]}, "symbol"),
    ],
)
def test_what_can_match_nothing_is_refused(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        NewsSentiment(**{"keywords": ["listing"], **options})
    assert refused.value.path == path


# ------------------------------------------------------------------------------------------------------- breaking news


def test_a_source_is_taken_by_its_name_in_any_case() -> None:
    trigger = BreakingNews(["Reuters", "Bloomberg"])
    assert trigger.matches(item("x", source="reuters", priority="high"))
    assert trigger.matches(item("x", source="BLOOMBERG", priority="critical"))
    assert not trigger.matches(item("x", source="reuters-india", priority="high"))
    assert BreakingNews().matches(item("x", source="anybody", priority="high"))


@pytest.mark.parametrize("least", PRIORITIES)
def test_a_priority_or_higher(least: Priority) -> None:
    trigger = BreakingNews(priority=least)
    counted = [priority for priority in PRIORITIES if trigger.matches(item("x", priority=priority))]
    assert counted == list(PRIORITIES[PRIORITIES.index(least) :])


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"sources": []}, "sources"),
        ({"sources": "Reuters"}, "sources"),
        ({"sources": [""]}, "sources[0]"),
        ({"priority": "breaking"}, "priority"),
        ({"priority": None}, "priority"),
    ],
)
def test_a_source_or_priority_that_is_none_is_refused(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        BreakingNews(**options)
    assert refused.value.path == path


# ------------------------------------------------------------------------------------------------------------ declared


def test_equal_declarations_have_one_name_and_others_another() -> None:
    made: list[NewsSentiment | BreakingNews] = [
        NewsSentiment(["FDA", "earnings"]),
        NewsSentiment(["earnings FDA"]),
        NewsSentiment(['earnings", "fda']),
        NewsSentiment(["FDA", "earnings"], "0.8"),
        NewsSentiment(["FDA", "earnings"], direction="negative"),
        NewsSentiment(["FDA", "earnings"], scale="unit"),
        NewsSentiment(["FDA", "earnings"], symbols=["AAPL"]),
        BreakingNews(),
        BreakingNews(["any source"]),
        BreakingNews(priority="low"),
    ]
    assert len({str(trigger) for trigger in made}) == len(made)
    assert str(NewsSentiment(["Earnings", "fda", "FDA"], 0.7)) == str(made[0])
    assert str(made[0]) == 'news_sentiment ["earnings", "fda"] 0.7 any signed'
    assert str(BreakingNews(["Reuters"])) == 'breaking_news ["reuters"] high'
    assert re.fullmatch(r"<news_sentiment .*>", repr(made[0]))
    assert all(trigger.event is NewsItem and trigger.where is None for trigger in made)
    assert made[0].fresh().matches(item("FDA"))


@live
async def test_a_workflow_is_started_by_the_news_it_means() -> None:
    @workflow("on-earnings", on=NewsSentiment(["earnings"], direction="negative"))
    async def on_earnings(run: Any, news: NewsItem) -> str:
        return news.title

    @workflow("on-breaking", on=BreakingNews(["wire"]))
    async def on_breaking(run: Any, news: NewsItem) -> str:
        return news.title

    async with Engine("memory:", workflows=[on_earnings, on_breaking]) as engine:
        await engine.emit(item("bad earnings", -0.8))
        await engine.emit(item("good earnings", 0.8, id="2"))
        await engine.emit(item("war", -0.8, id="3", priority="high"))
        await engine.settled()
        done = {info.workflow: await engine.handle(info.id).result() for info in await engine.runs()}
    assert done == {"on-earnings": "bad earnings", "on-breaking": "war"}
