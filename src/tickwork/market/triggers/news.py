"""News: items on a topic whose sentiment is strong, and items that a source itself calls urgent.

Both are filters of ``NewsItem`` and hold no state. An item that nobody has judged (``sentiment`` is ``None``) has no
sentiment and matches no threshold; ``market.sentiment`` can judge one from its text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, Literal, Self, get_args

from tickwork.core.event import Event
from tickwork.core.trigger import Trigger
from tickwork.errors import InvalidInput
from tickwork.market.news import PRIORITIES, NewsItem, Priority
from tickwork.market.triggers.options import number_text
from tickwork.values import base_of, symbol

Tone = Literal["any", "positive", "negative"]
"""Which sentiment counts."""

Scale = Literal["signed", "unit"]
"""What a threshold is a point of: of -1 to 1, where 0 is neutral, or of 0 to 1, where 0.5 is."""

_CASHTAG: Final = re.compile(r"\$[a-z][a-z0-9]{0,15}(?:[.\-][a-z0-9]{1,4})?")


class NewsSentiment(Trigger):
    """An item that speaks of one of ``keywords`` and whose sentiment is at least as strong as ``threshold``.

    A keyword is a word or a phrase, found in title or summary as whole words, in any case and across any white space:
    ``"gain"`` is in "a gain's size", not in "again"; a cashtag, ``"$BTC"``, is found as such, and in items that
    name a symbol of that base (``BTC/USDT``). With ``symbols`` the item must also name one of them.

    ``threshold``, above 0 to 1, is by default a strength on the scale of ``NewsItem.sentiment``, -1 to 1 with 0 as
    neutral: ``positive`` means at least ``threshold``, ``negative`` at most ``-threshold``, ``any`` either. With
    ``scale="unit"`` it is a point above 0.5 on the scale 0 to 1 with 0.5 as neutral, which some sources use: 0.7 there
    is 0.4 here, and ``negative`` means at most 1 - 0.7.

    Raises:
        InvalidInput: no keywords, or an empty one; a threshold that is no number above 0 (``unit``: 0.5) to 1; an
            unknown direction or scale; no symbols, or one that is none.
    """

    kind = "news_sentiment"

    def __init__(
        self,
        keywords: Iterable[str],
        threshold: Decimal | str | float = "0.7",
        *,
        direction: Tone = "any",
        symbols: Iterable[str] | None = None,
        scale: Scale = "signed",
    ) -> None:
        self.keywords = _texts("keywords", keywords)
        if scale not in get_args(Scale):
            raise InvalidInput("scale", scale, "signed or unit")
        if direction not in get_args(Tone):
            raise InvalidInput("direction", direction, "any, positive or negative")
        self.threshold = _threshold(threshold, scale)
        self.direction = direction
        self.scale = scale
        self.symbols = None if symbols is None else frozenset(map(symbol, _listed("symbols", symbols)))
        self._strength = float(self.threshold if scale == "signed" else 2 * self.threshold - 1)
        self._bases = frozenset(keyword[1:].upper() for keyword in self.keywords if _CASHTAG.fullmatch(keyword))
        self._pattern = re.compile("|".join(map(_as_pattern, self.keywords)), re.IGNORECASE)

    @property
    def event(self) -> type[NewsItem]:
        """The items it looks at."""
        return NewsItem

    def matches(self, event: Event) -> bool:
        """Is it such an item?"""
        return isinstance(event, NewsItem) and self._is_strong(event.sentiment) and self._is_on_topic(event)

    def fresh(self) -> Self:
        """Itself: it remembers nothing."""
        return self

    def _is_strong(self, sentiment: float | None) -> bool:
        if sentiment is None:
            return False
        match self.direction:
            case "positive":
                return sentiment >= self._strength
            case "negative":
                return sentiment <= -self._strength
            case _:
                return abs(sentiment) >= self._strength

    def _is_on_topic(self, item: NewsItem) -> bool:
        if self.symbols is not None and self.symbols.isdisjoint(item.symbols):
            return False
        if self._pattern.search(item.title) or self._pattern.search(item.summary):
            return True
        return any(base_of(name) in self._bases for name in item.symbols)

    def __str__(self) -> str:
        words = [self.kind, json.dumps(self.keywords), number_text(self.threshold), self.direction, self.scale]
        if self.symbols is not None:
            words.append(f"symbols={json.dumps(sorted(self.symbols))}")
        return " ".join(words)

    def __repr__(self) -> str:
        return f"<{self}>"


class BreakingNews(Trigger):
    """An item of one of ``sources`` that the source itself gives ``priority`` or a higher one.

    Sources are names of feeds, in any case; without any it is every source. Priorities are low, normal, high and
    critical.

    Raises:
        InvalidInput: an empty list of sources, or an unknown priority.
    """

    kind = "breaking_news"

    def __init__(self, sources: Iterable[str] | None = None, *, priority: Priority = "high") -> None:
        self.sources = None if sources is None else _texts("sources", sources)
        if priority not in PRIORITIES:
            raise InvalidInput("priority", priority, f"one of {', '.join(PRIORITIES)}")
        self.priority = priority
        self._counted = frozenset(PRIORITIES[PRIORITIES.index(priority) :])

    @property
    def event(self) -> type[NewsItem]:
        """The items it looks at."""
        return NewsItem

    def matches(self, event: Event) -> bool:
        """Is it such an item?"""
        if not isinstance(event, NewsItem) or event.priority not in self._counted:
            return False
        return self.sources is None or " ".join(event.source.split()).lower() in self.sources

    def fresh(self) -> Self:
        """Itself: it remembers nothing."""
        return self

    def __str__(self) -> str:
        sources = "any source" if self.sources is None else json.dumps(self.sources)
        return f"{self.kind} {sources} {self.priority}"

    def __repr__(self) -> str:
        return f"<{self}>"


def _listed(path: str, given: Iterable[Any]) -> list[Any]:
    # a text is iterable too: its letters are never meant
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise InvalidInput(path, given, "a list of texts")
    found = list(given)
    if not found:
        raise InvalidInput(path, "an empty list", "at least one text")
    return found


def _texts(path: str, given: Iterable[str]) -> list[str]:
    """Texts in one case and with single spaces, sorted, each once."""
    found = set()
    for position, text in enumerate(_listed(path, given)):
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(f"{path}[{position}]", text, "a text")
        found.add(" ".join(text.split()).lower())
    return sorted(found)


def _threshold(given: object, scale: Scale) -> Decimal:
    """A score, so that a float is as good as a text."""
    least = 0 if scale == "signed" else Decimal("0.5")
    expected = f"a number above {least}, at most 1"
    try:
        if isinstance(given, bool) or not isinstance(given, Decimal | str | int | float):
            raise TypeError(given)
        number = Decimal(str(given))
    except (TypeError, ArithmeticError):
        raise InvalidInput("threshold", given, expected) from None
    if not number.is_finite() or not least < number <= 1:
        raise InvalidInput("threshold", given, expected)
    return number


def _as_pattern(keyword: str) -> str:
    words = r"\s+".join(map(re.escape, keyword.split(" ")))
    # a word does not begin or end inside another; a cashtag's sign is itself the beginning
    return rf"(?<![\w$]){words}(?!\w)" if keyword.startswith("$") else rf"(?<!\w){words}(?!\w)"
