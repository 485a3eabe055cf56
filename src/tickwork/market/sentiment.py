"""Sentiment of a text, by rules: VADER's lexicon with the market's own words.

VADER (Hutto and Gilbert, 2014) adds up what the words of a text are worth, minds negations, degrees ("very", "hardly"),
capitals and exclamation marks, and squeezes the sum into -1 to 1. It is quick, needs no network, and says the same of
the same text every time. It does not understand: irony, and who gains from what, are beyond it.

    score("SEC approves spot ETF, BTC surges to record high")     # 0.832
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeVar

from tickwork.errors import InvalidInput
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.sentiment_terms import NEUTRAL, PHRASES, WORDS

MAX_CHARACTERS: Final = 5_000
"""Of a longer text only the beginning counts: judging can take the square of the number of words."""

Item = TypeVar("Item", NewsItem, SocialPost)

_BETWEEN: Final = re.compile(r"[\s\-]+")


def score(text: str) -> float:
    """How good or bad the news in a text is: -1 (bad) to 1 (good); 0 where it holds nothing of the kind.

    Raises:
        InvalidInput: not a text.
    """
    if not isinstance(text, str):
        raise InvalidInput("text", text, "a text")
    judge, phrases = _judge()
    joined = phrases.sub(lambda found: _BETWEEN.sub("_", found[0]), text[:MAX_CHARACTERS])
    return float(judge(joined)["compound"])


def scored(item: Item) -> Item:
    """The item with a sentiment: its own if it has one, else that of its words."""
    if item.sentiment is not None:
        return item
    text = f"{item.title}. {item.summary}" if isinstance(item, NewsItem) else item.text
    return item.replace(sentiment=score(text))


@cache
def _judge() -> tuple[Callable[[str], dict[str, Any]], re.Pattern[str]]:
    """VADER's judge with our words, and what finds our phrases; made at the first use, in about 15 ms."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 - most never need it

    analyzer = SentimentIntensityAnalyzer()
    for word in NEUTRAL:
        analyzer.lexicon.pop(word, None)
    analyzer.lexicon.update(WORDS)
    analyzer.lexicon.update({phrase.replace(" ", "_"): worth for phrase, worth in PHRASES.items()})
    # of two phrases that begin alike the longer is meant
    patterns = [_BETWEEN.pattern.join(phrase.split()) for phrase in sorted(PHRASES, key=len, reverse=True)]
    return analyzer.polarity_scores, re.compile(rf"\b(?:{'|'.join(patterns)})\b", re.IGNORECASE)
