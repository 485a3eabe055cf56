"""Items, health and errors of live feeds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.market.support import flat
from tickwork.market.bars import Quote
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused, Health, Item, Placed
from tickwork.market.news import NewsItem, SocialPost
from tickwork.values import from_ns


def test_an_item_knows_what_it_is() -> None:
    news = NewsItem(id="1", source="w", title="t", known_at=from_ns(0), symbols=("AAPL",))
    post = SocialPost(id="1", source="x", author="a", text="t", known_at=from_ns(0))
    quote = Quote("AAPL", "v", 1, Decimal(1), Decimal(2))
    items = [Item("s", 1, what) for what in (flat("1"), quote, news, post)]
    assert [item.kind for item in items] == ["bar", "quote", "news", "post"]
    assert [item.symbol for item in items] == ["BTC/USD", "AAPL", "", ""]
    ticks = [Placed("r", 7, item).tick for item in items]
    assert ticks[1:] == [None, None, None]
    assert ticks[0] is not None
    assert (ticks[0].recording, ticks[0].offset, ticks[0].bar) == ("r", 7, flat("1"))


def test_health_counts_and_measures_silence() -> None:
    health = Health()
    assert health.silence_ns(5) is None
    health.delivered(10)
    health.heard(20)
    health.complain("x" * 999, 30)
    assert (health.items, health.last_item_ns, health.contact_ns, health.errors) == (1, 10, 20, 1)
    assert (health.silence_ns(25), health.silence_ns(5), len(health.last_error)) == (15, 0, 500)


@pytest.mark.parametrize(
    "error", [FeedFailed("s", "no"), FeedLimited("s", 2.5, "429"), FeedLimited("s", 1), FeedRefused("s", "no", "do")]
)
def test_errors_are_rebuilt_from_their_fields(error: Exception) -> None:
    again = type(error)(*error.args)
    assert (str(again), again.args) == (str(error), error.args)
    assert "'s'" in str(error)
