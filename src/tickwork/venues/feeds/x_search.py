"""Social posts from X: its own recent search, and the small proxy that serves one user's posts at a time.

* ``XSearchFeed``: ``GET /2/tweets/search/recent`` of the X API v2 (https://docs.x.com), with an app's bearer token. It
  asks for what is newer than the newest known (``since_id``) and turns every page. The search reaches back seven days,
  and an older ``since_id`` is refused by X, so it is left out then: ids tell their own age. When the limit of requests
  is reached in the middle, the pages that came are kept and the next attempt goes on after them.
* ``TimelineFeed``: ``GET <url>/tweets/<username>?max_results&since_id``, answered by
  ``{"username", "count", "data": [{"id", "text", "created_at", "author_id"}]}``.

Proved against loopback servers that answer as documented; X itself was not tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from tickwork.errors import InvalidInput
from tickwork.market.live import FeedFailed, FeedLimited, FeedRefused, Item, Kind, What
from tickwork.market.news import SocialPost
from tickwork.market.outside import instant_ns, maybe_at, read_json
from tickwork.values import DurationLike, from_ns
from tickwork.venues.feeds.http import Web
from tickwork.venues.feeds.reconnecting import Backoff, Polling, Setting

X_URL: Final = "https://api.x.com"
TOKEN: Final = "X_BEARER_TOKEN"  # noqa: S105 - the name of a variable, not a token
"""The environment variable that holds the bearer token."""

_USERNAME: Final = re.compile(r"\w{1,15}", re.ASCII)
# An id holds the milliseconds since this one above its lowest 22 bits.
_FIRST_MS: Final = 1_288_834_974_657
_REACH_MS: Final = (7 * 24 - 1) * 3_600_000
"""How far back the search reaches, less an hour of caution."""


def posted_ms(id: int) -> int:
    """When the post of that id was made, in milliseconds since 1970."""
    return (id >> 22) + _FIRST_MS


class XSearchFeed(Polling):
    """Asks X for posts that match a query.

    Args:
        name: of the feed.
        query: in X's own syntax, such as ``(from:alice OR from:bob) -is:retweet``.
        setting: clock, sleep, chance, environment.
        token: the environment variable that holds the app's bearer token.
        every: the pause between two questions; the plan one has with X says how often one may ask.
        max_results: posts in a page, 10 to 100.
        max_pages: what is older than that many pages is left out, and complained of.
        url: of the API, for a proxy.

    Raises:
        InvalidInput: no query, or the variable is not set.
    """

    kinds: tuple[Kind, ...] = ("post",)

    def __init__(
        self,
        name: str,
        query: str,
        setting: Setting,
        *,
        token: str = TOKEN,
        every: DurationLike = "1 minute",
        max_results: int = 100,
        max_pages: int = 10,
        url: str = X_URL,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(name, (), setting, every=every, backoff=backoff)
        if not query.strip():
            raise InvalidInput(f"{name}.query", query, "what to search for, e.g. from:alice")
        if not 10 <= max_results <= 100:
            raise InvalidInput(f"{name}.maxResults", max_results, "10 to 100")
        if max_pages < 1:
            raise InvalidInput(f"{name}.maxPages", max_pages, "at least 1")
        self._question = {
            "query": query,
            "max_results": str(max_results),
            "tweet.fields": "created_at,author_id",
            "expansions": "author_id",
            "user.fields": "username",
        }
        self._max_pages = max_pages
        self._since = 0
        self._pages: list[dict[str, Any]] = []
        """Those of an unfinished answer, newest first."""
        headers = {"Authorization": f"Bearer ${{{token}}}"}
        self._web = Web(name, f"{url}/2/tweets/search/recent", setting, headers=headers)
        self.secrets = self._web.secrets

    def _resume(self, known: Sequence[Item]) -> None:
        self._since = max((int(post.id) for post in _posts_of(known)), default=0)
        self._pages = []

    async def _poll(self) -> Sequence[What]:
        while (following := self._next_token()) is not None:
            self._pages.append(await self._page(following))
        pages, self._pages = self._pages, []
        if maybe_at(pages[-1], "meta.next_token") is not None:
            self._complain(
                FeedFailed(self.name, f"more than {self._max_pages} pages of posts: the oldest are left out")
            )
        now_ns = self.setting.now()
        users = _usernames(pages)
        posts: dict[int, SocialPost] = {}
        for tweet in (tweet for page in pages for tweet in page.get("data") or ()):
            author = maybe_at(tweet, "author_id")
            try:
                post = _post(self.name, tweet, users.get(author) if isinstance(author, str) else None, now_ns)
            except InvalidInput as error:
                self._complain(error)
            else:
                posts[int(post.id)] = post
        new = [posts[id] for id in sorted(posts) if id > self._since]
        self._since = max([self._since, *posts])
        return new

    def _next_token(self) -> str | None:
        """What names the next page: ``""`` the first, ``None``: there is none to be had."""
        if not self._pages:
            return ""
        token = maybe_at(self._pages[-1], "meta.next_token")
        return None if token is None or len(self._pages) >= self._max_pages else str(token)

    async def _page(self, token: str) -> dict[str, Any]:
        question = dict(self._question)
        now_ms = self.setting.now() // 1_000_000
        if self._since and now_ms - posted_ms(self._since) < _REACH_MS:
            question["since_id"] = str(self._since)
        if token:
            question["next_token"] = token
        answer = await self._web.get(question)
        assert answer is not None
        page = read_json(answer.body, f"{self.name}.answer")
        if not isinstance(maybe_at(page, "meta"), dict) or not isinstance(page.get("data", []), list):
            raise InvalidInput(f"{self.name}.answer.meta", str(page)[:200], "an answer of X's recent search")
        return cast(dict[str, Any], page)

    async def _close(self) -> None:
        await self._web.close()


class TimelineFeed(Polling):
    """Asks a proxy for the posts of users, one by one.

    Args:
        name: of the feed.
        url: of the proxy; ``/tweets/<username>`` is added.
        usernames: whose posts, without ``@``.
        setting: clock, sleep, chance, environment.
        headers: of every request; may hold ``${NAME}``.
        max_results: posts in one answer.

    Raises:
        InvalidInput: no users, or a name that is none.
    """

    kinds: tuple[Kind, ...] = ("post",)

    def __init__(
        self,
        name: str,
        url: str,
        usernames: Iterable[str],
        setting: Setting,
        *,
        every: DurationLike = "1 minute",
        max_results: int = 50,
        headers: Mapping[str, str] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(name, (), setting, every=every, backoff=backoff)
        users = tuple(usernames)
        for user in users:
            if not _USERNAME.fullmatch(user):
                raise InvalidInput(f"{name}.usernames", user, "names of users, without @")
        if not users:
            raise InvalidInput(f"{name}.usernames", "none", "at least one user")
        base = url.rstrip("/")
        self._webs = {user: Web(name, f"{base}/tweets/{user}", setting, headers=headers) for user in users}
        self.secrets = frozenset().union(*(web.secrets for web in self._webs.values()))
        self._max_results = max_results
        self._since = dict.fromkeys(users, 0)

    def _resume(self, known: Sequence[Item]) -> None:
        self._since = dict.fromkeys(self._since, 0)
        for post in _posts_of(known):
            if post.author in self._since:
                self._since[post.author] = max(self._since[post.author], int(post.id))

    async def _poll(self) -> Sequence[What]:
        posts: list[SocialPost] = []
        failures: list[FeedFailed | FeedRefused | InvalidInput] = []
        for user in self._webs:
            try:
                posts += await self._posts(user)
            except FeedLimited:
                if not posts:
                    raise
                break  # what came is given; the rest is asked for next time
            except (FeedFailed, FeedRefused, InvalidInput) as error:
                # one user who is gone must not silence the others
                failures.append(error)
                self._complain(error)
        if len(failures) == len(self._webs):
            raise failures[0]
        return sorted(posts, key=lambda post: int(post.id))

    async def _posts(self, user: str) -> list[SocialPost]:
        question = {"max_results": str(self._max_results)}
        if self._since[user]:
            question["since_id"] = str(self._since[user])
        answer = await self._webs[user].get(question)
        assert answer is not None
        document = read_json(answer.body, f"{self.name}.{user}")
        tweets = document.get("data") if isinstance(document, dict) else None
        if not isinstance(tweets, list):
            raise InvalidInput(f"{self.name}.{user}.data", str(document)[:200], "a list of posts")
        found: list[SocialPost] = []
        for tweet in tweets:
            try:
                post = _post(self.name, tweet, user, self.setting.now())
            except InvalidInput as error:
                self._complain(error)
                continue
            if int(post.id) > self._since[user]:
                found.append(post)
        self._since[user] = max([self._since[user], *(int(post.id) for post in found)])
        return found

    async def _close(self) -> None:
        for web in self._webs.values():
            await web.close()


def _posts_of(known: Sequence[Item]) -> list[SocialPost]:
    posts = [item.what for item in known if isinstance(item.what, SocialPost)]
    return [post for post in posts if post.id.isdecimal()]


def _usernames(pages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The names of the users whom the pages tell of, by id."""
    told = [(maybe_at(user, "id"), maybe_at(user, "username")) for page in pages for user in _included(page)]
    return {id: name for id, name in told if isinstance(id, str) and isinstance(name, str)}


def _included(page: Mapping[str, Any]) -> list[Any]:
    users = maybe_at(page, "includes.users")
    return users if isinstance(users, list) else []


def _post(source: str, tweet: Any, username: str | None, known_ns: int) -> SocialPost:
    """A post as X and the proxy write it."""
    id, text = (tweet.get("id"), tweet.get("text")) if isinstance(tweet, dict) else (None, None)
    if not isinstance(id, str) or not (id.isascii() and id.isdigit()) or not isinstance(text, str):
        raise InvalidInput(f"{source}.data", str(tweet)[:200], "a post with an id of digits and a text")
    created = tweet.get("created_at")
    author = username or str(tweet.get("author_id") or "")
    return SocialPost(
        id=id,
        source=source,
        author=author,
        text=text,
        url=f"https://x.com/{username or 'i'}/status/{id}",
        published_at=None if created is None else from_ns(instant_ns(created, f"{source}.created_at")),
        known_at=from_ns(known_ns),
    )
