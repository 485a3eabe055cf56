"""Posts from X and from the small proxy: paged, limited, begun again where they were left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from tests.venues.feeds.support import START_NS, Server, Time, answer, dropped, live, polls, query, serving, take
from tickwork.errors import InvalidInput
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused, Item
from tickwork.market.news import SocialPost
from tickwork.values import from_ns
from tickwork.venues.feeds.x_search import TimelineFeed, XSearchFeed, posted_ms

PATH = "/2/tweets/search/recent"
NOW_ID = ((START_NS // 10**6 - 1_288_834_974_657) << 22) + 7


def tweet(id: int, author: str = "44", **more: str) -> dict[str, Any]:
    text = f"Breakout on $BTC, number {id}"
    return {"id": str(id), "text": text, "author_id": author, "created_at": "2026-09-21T14:12:59.000Z", **more}


def page(*ids: int, following: str | None = None) -> web.Response:
    """The shape of https://docs.x.com/x-api/posts/recent-search."""
    meta: dict[str, Any] = {"result_count": len(ids)}
    body: dict[str, Any] = {"meta": meta}
    if ids:
        body["data"] = [tweet(id) for id in ids]
        body["includes"] = {"users": [{"id": "44", "name": "Alice", "username": "alice"}]}
        meta |= {"newest_id": str(max(ids)), "oldest_id": str(min(ids))}
    if following:
        meta["next_token"] = following
    return answer(json.dumps(body), content_type="application/json")


def search(server: Server, time: Time | None = None, **options: int) -> XSearchFeed:
    setting = (time or Time()).setting(X_BEARER_TOKEN="s3cret")
    return XSearchFeed("x", "from:alice", setting, url=server.url, **options)  # type: ignore[arg-type]


def numbers(items: Sequence[Any]) -> list[int]:
    posts = [item.what if isinstance(item, Item) else item for item in items]
    return [int(post.id) - NOW_ID for post in posts if isinstance(post, SocialPost)]


@live
async def test_a_search_turns_every_page_and_gives_the_oldest_first() -> None:
    async with serving() as server:
        server.on(PATH, page(NOW_ID + 4, NOW_ID + 3, following="t1"), page(NOW_ID + 2, NOW_ID + 1), page())
        first, second = await polls(search(server), 2)
        asked = [query(request) for request in server.asked]
        assert server.asked[0].headers["Authorization"] == "Bearer s3cret"
    assert numbers(first) == [1, 2, 3, 4]
    assert second == []
    assert first[0] == SocialPost(
        id=str(NOW_ID + 1),
        source="x",
        author="alice",
        text=f"Breakout on $BTC, number {NOW_ID + 1}",
        url=f"https://x.com/alice/status/{NOW_ID + 1}",
        published_at=datetime(2026, 9, 21, 14, 12, 59, tzinfo=UTC),
        known_at=from_ns(START_NS),
    )
    assert asked[0] == {
        "query": "from:alice",
        "max_results": "100",
        "tweet.fields": "created_at,author_id",
        "expansions": "author_id",
        "user.fields": "username",
    }
    assert (asked[1]["next_token"], asked[2]["since_id"]) == ("t1", str(NOW_ID + 4))


@live
async def test_a_limit_in_the_middle_keeps_the_pages_that_came() -> None:
    time = Time()
    limited = answer("{}", 429, x_rate_limit_reset=str(START_NS // 10**9 + 90))
    async with serving() as server:
        server.on(PATH, page(NOW_ID + 2, following="t1"), limited, page(NOW_ID + 1))
        found = await take(search(server, time), 2)
        tokens = [query(request).get("next_token") for request in server.asked]
    assert numbers(found) == [1, 2]
    assert tokens == [None, "t1", "t1"]
    assert time.slept == [90.0]


@live
async def test_a_restart_goes_on_after_the_newest_known_post() -> None:
    time = Time()
    async with serving() as server:
        server.on(PATH, page(NOW_ID + 1), page(NOW_ID + 3, NOW_ID + 2, NOW_ID + 1))
        before = await take(search(server, time), 1)
        after = await take(search(server, time), 2, known=before)
        assert query(server.asked[1])["since_id"] == str(NOW_ID + 1)
    assert numbers(after) == [2, 3]


@live
async def test_a_newest_post_beyond_the_reach_of_the_search_is_not_named() -> None:
    # X answers 400 to a since_id of more than seven days
    old = NOW_ID - ((8 * 86_400_000) << 22)
    assert posted_ms(old) == START_NS // 10**6 - 8 * 86_400_000
    known = [Item("x", 1, SocialPost(id=str(old), source="x", author="alice", text="t", known_at=from_ns(1)))]
    async with serving() as server:
        server.on(PATH, page(NOW_ID, old))
        found = await take(search(server), 1, known=known)
        assert "since_id" not in query(server.asked[0])
    assert numbers(found) == [0]


@live
async def test_more_pages_than_allowed_are_left_out_with_a_complaint() -> None:
    async with serving() as server:
        server.on(
            PATH, page(NOW_ID + 4, following="a"), page(NOW_ID + 3, following="b"), page(NOW_ID + 2, following="c")
        )
        feed = search(server, max_pages=2)
        (found,) = await polls(feed, 1)
    assert numbers(found) == [3, 4]
    assert "more than 2 pages" in feed.health.last_error


@live
async def test_a_post_that_is_none_does_not_hide_the_others() -> None:
    body = {"meta": {}, "data": [tweet(NOW_ID, author="9"), {"id": "x", "text": "t"}, {"id": "5"}, 7]}
    async with serving() as server:
        server.on(PATH, answer(json.dumps(body)))
        feed = search(server)
        ((post,),) = await polls(feed, 1)
    assert (post.author, post.url) == ("9", f"https://x.com/i/status/{NOW_ID}")
    assert feed.health.errors == 3


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer('{"title": "Unauthorized"}', 401), FeedRefused),
        (answer('{"title": "Client Forbidden"}', 403), FeedRefused),
        (answer("{}", 429), FeedLimited),
        (answer("", 503), FeedFailed),
        (dropped(), FeedFailed),
        (answer("<html>"), InvalidInput),
        (answer("[]"), InvalidInput),
        (answer('{"errors": [{"title": "partial"}]}'), InvalidInput),
    ],
)
@live
async def test_a_failed_search_is_an_error_and_never_an_empty_list(
    given: web.Response | Exception, error: type[Exception]
) -> None:
    async with serving() as server:
        server.on(PATH, given)
        with pytest.raises(error) as raised:
            await polls(search(server), 1)
        assert "s3cret" not in str(raised.value)


def test_a_search_that_could_never_work_is_refused() -> None:
    setting = Time().setting(X_BEARER_TOKEN="t")
    for query_, options in ((" ", {}), ("a", {"max_results": 9}), ("a", {"max_results": 101}), ("a", {"max_pages": 0})):
        with pytest.raises(InvalidInput):
            XSearchFeed("x", query_, setting, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="X_BEARER_TOKEN"):
        XSearchFeed("x", "a", Time().setting())
    for users in ([], ["@alice"], ["a b"], ["a" * 16]):
        with pytest.raises(InvalidInput):
            TimelineFeed("x", "http://proxy.example", users, setting)


def timeline(username: str, *ids: int) -> web.Response:
    data = [{"id": str(id), "text": "gm", "created_at": "2026-09-21T14:00:00Z", "author_id": "1"} for id in ids]
    return answer(json.dumps({"username": username, "count": len(ids), "data": data}))


@live
async def test_the_proxy_is_asked_for_each_user_since_the_newest() -> None:
    time = Time()
    async with serving() as server:
        server.on("/tweets/alice", timeline("alice", 12, 10), timeline("alice", 14))
        server.on("/tweets/bob", timeline("bob", 11), timeline("bob"))
        feed = TimelineFeed("x", f"{server.url}/", ["alice", "bob"], time.setting())
        before = await take(feed, 3)
        assert [(post.what.id, post.what.author) for post in before if isinstance(post.what, SocialPost)] == [
            ("10", "alice"),
            ("11", "bob"),
            ("12", "alice"),
        ]
        again = TimelineFeed("x", server.url, ["alice", "bob"], time.setting())
        after = await take(again, 1, known=before)
        assert [item.what.id for item in after if isinstance(item.what, SocialPost)] == ["14"]
        questions = [(request.path, query(request)) for request in server.asked]
    assert questions[0] == ("/tweets/alice", {"max_results": "50"})
    assert questions[2] == ("/tweets/alice", {"max_results": "50", "since_id": "12"})
    assert questions[3] == ("/tweets/bob", {"max_results": "50", "since_id": "11"})


@live
async def test_one_user_who_is_gone_does_not_silence_the_others() -> None:
    async with serving() as server:
        server.on("/tweets/bob", timeline("bob", 5), answer("", 500))
        feed = TimelineFeed("x", server.url, ["gone", "bob"], Time().setting())
        (post,) = await feed._poll()
        assert isinstance(post, SocialPost)
        assert (post.author, feed.health.errors) == ("bob", 1)
        with pytest.raises(FeedFailed):  # now nobody is left
            await polls(feed, 1)


@live
async def test_a_limit_of_the_proxy_keeps_what_came() -> None:
    async with serving() as server:
        server.on("/tweets/alice", timeline("alice", 5), answer("", 429))
        server.on("/tweets/bob", answer("", 429))
        feed = TimelineFeed("x", server.url, ["alice", "bob"], Time().setting())
        assert len(await feed._poll()) == 1
        with pytest.raises(FeedLimited):
            await polls(feed, 1)
