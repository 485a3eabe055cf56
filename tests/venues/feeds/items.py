"""Items of every sort, for laws."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from hypothesis import strategies as st

from tests.market.support import decimals
from tests.venues.feeds.support import START_NS
from tickwork.market.bars import Bar, Quote
from tickwork.market.live import Item
from tickwork.market.news import PRIORITIES, NewsItem, SocialPost

SECOND_NS = 1_000_000_000

prices = decimals("0.00000001", "99999", 8)
symbols = st.sampled_from(["BTC/USDT", "ETH/USDT:USDT", "AAPL"])
texts = st.text(max_size=40)
names = st.text(min_size=1, max_size=20)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(lambda time: time.replace(tzinfo=UTC))  # noqa: DTZ001
sentiments = st.none() | st.floats(-1, 1)

quotes = st.tuples(symbols, prices, prices).map(
    lambda made: Quote(made[0], "venue", START_NS, min(made[1:]), max(made[1:]))
)
bars = st.tuples(symbols, prices, st.integers(0, 10**6)).map(
    lambda made: Bar(
        made[0], "venue", START_NS + made[2], SECOND_NS, made[1], made[1], made[1], made[1], Decimal(made[2])
    )
)
news = st.fixed_dictionaries(
    {
        "id": names,
        "source": names,
        "title": texts,
        "summary": texts,
        "published_at": st.none() | times,
        "known_at": times,
        "symbols": st.lists(symbols, max_size=2).map(tuple),
        "priority": st.sampled_from(PRIORITIES),
        "sentiment": sentiments,
    }
).map(lambda fields: NewsItem(**cast(Any, fields)))
posts = st.fixed_dictionaries(
    {"id": names, "source": names, "author": texts, "text": texts, "known_at": times, "sentiment": sentiments}
).map(lambda fields: SocialPost(**cast(Any, fields)))

items = st.builds(
    Item,
    source=names,
    known_ns=st.integers(START_NS, START_NS + 3 * 86_400 * SECOND_NS),
    what=st.one_of(quotes, bars, news, posts),
)


def item_lists(max_size: int = 12) -> st.SearchStrategy[list[Item]]:
    """Items in the order in which they became known."""
    return st.lists(items, max_size=max_size).map(lambda found: sorted(found, key=lambda item: item.known_ns))


def quote(number: int = 1, known_ns: int = START_NS, symbol: str = "BTC/USDT") -> Item:
    """An item, made with little writing."""
    return Item("made", known_ns, Quote(symbol, "venue", known_ns, Decimal(number), Decimal(number)))
