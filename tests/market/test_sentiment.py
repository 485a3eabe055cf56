"""Sentiment: the market's words are worth what the market means by them, where the general lexicon fails."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from tickwork.errors import InvalidInput
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.sentiment import MAX_CHARACTERS, score, scored
from tickwork.market.sentiment_terms import NEUTRAL, PHRASES, WORDS

GENERAL = SentimentIntensityAnalyzer()


def general(text: str) -> float:
    """What the lexicon says without our words."""
    return float(GENERAL.polarity_scores(text)["compound"])


@pytest.mark.parametrize(
    "text",
    [
        "BTC breakout above 70k",
        "Analysts are bullish on chips",
        "Morgan Stanley upgrades Tesla",
        "Company beats estimates and raises guidance",
        "ETH hits all-time high",
        "Stocks surge as the Fed signals a rate cut",
        "Golden cross on the daily chart",
    ],
)
def test_good_news_is_good_here_and_not_in_general(text: str) -> None:
    assert score(text) > 0.35
    assert general(text) < 0.35


@pytest.mark.parametrize(
    "text",
    [
        "Apple misses earnings",
        "Another rug pull, wallets empty",
        "RUG-PULL: the developers are gone",
        "Exchange halts withdrawals",
        "Ethereum plunges 12% in broad sell-off",
        "Downgraded to sell by Goldman",
        "The lender files for bankruptcy under Chapter 11",
        "Stablecoin depegs",
        "Bearish engulfing on the weekly",
        "Cuts guidance for the year",
    ],
)
def test_bad_news_is_bad_here_and_not_in_general(text: str) -> None:
    assert score(text) < -0.35
    assert general(text) > -0.35


@pytest.mark.parametrize(
    "text",
    [
        "Fed holds interest rates, shares little changed",
        "Crude oil and gross margins",
        "Securities trust publishes its share count",
    ],
)
def test_terms_of_the_trade_are_no_feelings(text: str) -> None:
    assert score(text) == 0
    assert abs(general(text)) > 0.3


def test_what_the_general_lexicon_knows_still_counts() -> None:
    for text in ("a wonderful quarter", "a terrible quarter", "profits are not good", "VERY strong profits!!!"):
        assert score(text) == general(text) != 0


def test_a_phrase_is_not_the_sum_of_its_words() -> None:
    assert score("rate cut") > 0 > score("cut")
    assert score("record low") < 0
    assert score("the rate cuttings") == 0
    assert score("a margin\n call") == score("a MARGIN-CALL".lower()) < 0


def test_negation_turns_our_words_too() -> None:
    assert score("not bullish") < 0 < score("bullish")
    assert score("no rug pull") > score("rug pull")


@given(st.text(max_size=300))
def test_any_text_has_a_score(text: str) -> None:
    assert -1 <= score(text) <= 1
    assert score(text) == score(text)


def test_only_the_beginning_of_a_long_text_counts() -> None:
    filler = "and " * (MAX_CHARACTERS // 4)
    assert score(filler + "bullish") == 0
    assert score("bullish " + filler) > 0
    assert score("but bullish " * 100_000) > 0


@pytest.mark.parametrize("text", [None, 5, b"bullish", ["bullish"]])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InvalidInput):
        score(text)


def test_every_term_is_needed_and_can_be_found() -> None:
    assert all(-4 <= worth <= 4 and worth for worth in (*WORDS.values(), *PHRASES.values()))
    assert not NEUTRAL & set(WORDS)
    assert set(GENERAL.lexicon) >= NEUTRAL
    assert all(GENERAL.lexicon.get(word) != worth for word, worth in WORDS.items())
    assert all(re.fullmatch(r"[a-z]{3,}", word) for word in WORDS)
    assert all(re.fullmatch(r"[a-z]+( [a-z0-9]+)+", phrase) for phrase in PHRASES)
    for term, worth in {**WORDS, **PHRASES}.items():
        assert score(f"Today, {term}.") * worth > 0, term


def test_an_item_is_judged_once() -> None:
    known = datetime(2026, 1, 1, tzinfo=UTC)
    item = NewsItem(id="1", source="wire", title="BTC breakout", summary="Analysts bullish", known_at=known)
    judged = scored(item)
    assert judged.sentiment == score("BTC breakout. Analysts bullish")
    assert judged.replace(sentiment=None) == item
    assert scored(item.replace(sentiment=-0.2)).sentiment == -0.2
    post = SocialPost(id="1", source="x", author="somebody", text="bullish", known_at=known)
    assert scored(post).sentiment == score("bullish")


def test_the_lexicon_is_read_only_when_it_is_needed() -> None:
    code = "import sys, tickwork.market.sentiment; sys.exit('vaderSentiment' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
