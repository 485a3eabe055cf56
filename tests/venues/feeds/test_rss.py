"""News from RSS and Atom: each entry once, across restarts; what is broken is said; what is old is no news."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.venues.feeds.support import START_NS, Server, Time, answer, live, polls, serving, take
from tickwork.market.live import FeedFailed, Item, LiveFeed
from tickwork.market.news import NewsItem
from tickwork.values import from_ns
from tickwork.venues.feeds import rss
from tickwork.venues.feeds.rss import RssFeed

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>Coins</title><link>https://coins.example/</link>
<item><guid isPermaLink="false">c-2</guid><title>Bitcoin &amp; ether rise</title><link>/two</link>
  <description>&lt;p&gt;Both &lt;b&gt;rose&lt;/b&gt;&lt;br/&gt;today.&lt;/p&gt;</description>
  <category>Markets</category><pubDate>Mon, 21 Sep 2026 10:10:00 -0400</pubDate></item>
<item><guid isPermaLink="false">c-1</guid><title>Before</title><link>https://coins.example/one</link>
  <pubDate>Mon, 21 Sep 2026 14:00:00 GMT</pubDate></item>
<item><guid isPermaLink="false">c-0</guid><title>Last week</title>
  <pubDate>Mon, 14 Sep 2026 14:00:00 GMT</pubDate></item>
</channel></rss>"""

ATOM = """<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>Bank</title><id>urn:bank</id><updated>2026-09-21T14:12:00Z</updated>
<entry><id>urn:bank:1</id><title type="html">Rates &lt;i&gt;unchanged&lt;/i&gt;</title>
  <link href="https://bank.example/1"/><updated>2026-09-21T14:12:00.5Z</updated><summary>As expected.</summary></entry>
</feed>"""


def undated(*titles: str) -> str:
    entries = "".join(f"<item><title>{title}</title><pubDate>some day</pubDate></item>" for title in titles)
    return f'<rss version="2.0"><channel><title>x</title>{entries}</channel></rss>'


def coins(server: Server, time: Time | None = None, **options: str) -> RssFeed:
    return RssFeed("coins", f"{server.url}/feed", (time or Time()).setting(), **options)  # type: ignore[arg-type]


@live
async def test_entries_become_news_oldest_first() -> None:
    async with serving() as server:
        server.on("/feed", answer(RSS, content_type="application/rss+xml"))
        feed = RssFeed("coins", f"{server.url}/feed", Time().setting(), about=["BTC/USDT"], priority="high")
        first, second = await polls(feed, 2)
        base = server.url
    assert second == []
    assert [item.id for item in first] == ["c-1", "c-2"]  # c-0 is a week old
    assert first[1] == NewsItem(
        id="c-2",
        source="coins",
        title="Bitcoin & ether rise",
        summary="Both rose today.",
        url=f"{base}/two",
        published_at=datetime(2026, 9, 21, 14, 10, tzinfo=UTC),
        known_at=from_ns(START_NS),
        symbols=("BTC/USDT",),
        priority="high",
        tags=("Markets",),
    )
    assert isinstance(feed, LiveFeed)
    assert feed.health.errors == 0


@live
async def test_atom_is_read_too() -> None:
    async with serving() as server:
        server.on("/feed", answer(ATOM, content_type="application/atom+xml"))
        ((entry,),) = await polls(coins(server), 1)
    assert (entry.id, entry.title, entry.summary) == ("urn:bank:1", "Rates unchanged", "As expected.")
    assert entry.published_at == datetime(2026, 9, 21, 14, 12, tzinfo=UTC)


@live
async def test_a_missing_date_is_none_and_a_missing_id_the_text() -> None:
    async with serving() as server:
        server.on("/feed", answer(undated("b", "a")), answer(undated("c", "b", "a")))
        first, second = await polls(coins(server), 2)
    assert [(item.title, item.published_at, item.known_at) for item in first] == [
        ("a", None, from_ns(START_NS)),
        ("b", None, from_ns(START_NS)),
    ]
    assert [item.title for item in second] == ["c"]
    assert len({item.id for item in [*first, *second]}) == 3


@live
async def test_what_was_recorded_is_not_given_again_after_a_restart() -> None:
    time = Time()
    async with serving() as server:
        server.on("/feed", answer(undated("b", "a")), answer(undated("c", "b", "a"), etag='"2"'))
        before = await take(coins(server, time), 2)
        after = await take(coins(server, time), 1, known=before)
        assert [item.what.title for item in after if isinstance(item.what, NewsItem)] == ["c"]
        # begun again with less than it gave (what came last could not be recorded): it asks for all and gives the rest
        feed = coins(server, time)
        await take(feed, 1, known=before)
        again = await take(feed, 2, known=before[:1])
    assert [item.what.title for item in again if isinstance(item.what, NewsItem)] == ["b", "c"]
    assert all("If-None-Match" not in request.headers for request in server.asked)


@live
async def test_an_unchanged_feed_is_not_sent_again() -> None:
    async with serving() as server:
        server.on("/feed", answer(RSS, etag='W/"7"', last_modified="Mon, 21 Sep 2026 14:10:00 GMT"), answer("", 304))
        feed = coins(server)
        first, second = await polls(feed, 2)
        assert (len(first), len(second)) == (2, 0)
        assert server.asked[1].headers["If-None-Match"] == 'W/"7"'
        assert server.asked[1].headers["If-Modified-Since"] == "Mon, 21 Sep 2026 14:10:00 GMT"


@live
async def test_a_broken_feed_is_read_as_far_as_it_goes_and_complained_of() -> None:
    cut = RSS[: RSS.index('<item><guid isPermaLink="false">c-0')]
    async with serving() as server:
        server.on("/feed", answer(cut))
        feed = coins(server)
        (found,) = await polls(feed, 1)
    assert [item.id for item in found] == ["c-1", "c-2"]
    assert feed.health.errors == 1
    assert "broken feed" in feed.health.last_error


@pytest.mark.parametrize("body", ["<html><body>moved</body></html>", "", "{}", "<rss", "\x00\x01", "plain words"])
@live
async def test_what_is_no_feed_is_an_error(body: str) -> None:
    async with serving() as server:
        server.on("/feed", answer(body, etag='"1"'), answer(RSS))
        feed = coins(server)
        with pytest.raises(FeedFailed):
            await feed._poll()
        ((_, newest),) = await polls(feed, 1)
        assert newest.id == "c-2"
        assert "If-None-Match" not in server.asked[1].headers


@live
async def test_an_empty_feed_is_a_good_answer() -> None:
    async with serving() as server:
        server.on("/feed", answer(undated()))
        feed = coins(server)
        assert await polls(feed, 1) == [[]]
        assert feed.health.errors == 0


@live
async def test_contact_without_news_is_contact() -> None:
    time = Time()
    async with serving() as server:
        server.on("/feed", answer(undated()), answer(undated()), answer(undated("a")))
        feed = coins(server, time, every="1 minute")
        await take(feed, 1)
    assert time.slept == [60.0, 60.0]
    assert feed.health.contact_ns == feed.health.last_item_ns == START_NS + 120 * 10**9


@live
async def test_the_memory_of_entries_is_bounded_but_longer_than_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rss, "SEEN", 4)
    pages = [undated(*(f"n{number}" for number in range(last, last - 5, -1))) for last in range(5, 30)]
    async with serving() as server:
        server.on("/feed", *(answer(page) for page in pages))
        feed = coins(server)
        found = [item.title for part in await polls(feed, len(pages)) for item in part]
    assert found == [f"n{number}" for number in range(1, 30)]
    assert len(feed._seen) <= 10


def test_known_items_of_other_sorts_are_no_entries() -> None:
    feed = RssFeed("coins", "http://coins.example/", Time().setting())
    feed._resume([Item("coins", 1, NewsItem(id="x", source="coins", title="t", known_at=from_ns(1)))])
    assert list(feed._seen) == ["x"]
