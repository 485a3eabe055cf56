"""News from RSS and Atom: fetched by us (bounded, conditional), parsed by feedparser, each entry given once.

An entry is known by its id (else its link, else a digest of its text). Which ones were given already is told by the
recording, so a restart gives none again. Entries that the publisher dates more than ``max_age`` back are no news and
are left out; that is also what keeps the first start from telling last week's. A date that is missing or nonsense is
``None``: when the entry became known is what counts.

A broken feed is read as far as it goes and complained of. Tried against loopback servers with feeds of both formats.
"""

from __future__ import annotations

import asyncio
import calendar
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, Final

from tickwork.market.live import FeedFailed, Item, Kind, What
from tickwork.market.news import NewsItem, Priority
from tickwork.values import DurationLike, duration, from_ns, symbol, timestamp_ns
from tickwork.venues.feeds.http import Answer, Web
from tickwork.venues.feeds.reconnecting import Backoff, Polling, Setting

SEEN: Final = 10_000
"""How many entries are remembered, at least; more where a feed is longer."""
LONGEST_SUMMARY: Final = 4_000

_ACCEPT: Final = "application/atom+xml, application/rss+xml, application/xml;q=0.9, */*;q=0.5"
_HARMLESS: Final = ("CharacterEncodingOverride", "NonXMLContentType")
"""What feedparser complains of and reads all the same, with nothing lost."""


class RssFeed(Polling):
    """Reads one RSS or Atom feed.

    Args:
        name: of the feed, and the ``source`` of its items.
        url: of the feed.
        setting: clock, sleep, chance, environment.
        about: symbols that every entry is about, where the feed is about them.
        priority: of its items.
        max_age: how old an entry may be, by its own date.
        every: the pause between two readings.
        headers, params, timeout: see ``Web``.
    """

    kinds: tuple[Kind, ...] = ("news",)

    def __init__(
        self,
        name: str,
        url: str,
        setting: Setting,
        *,
        about: Iterable[str] = (),
        priority: Priority = "normal",
        max_age: DurationLike = "1 day",
        every: DurationLike = "1 minute",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout: DurationLike = "20s",
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__(name, (), setting, every=every, backoff=backoff)
        self._about = tuple(symbol(one, f"{name}.about") for one in about)
        self._priority: Priority = priority
        self._max_age_ns = duration(max_age, f"{name}.maxAge")
        self._url = url
        headers = {"Accept": _ACCEPT, **(headers or {})}
        self._web = Web(name, url, setting, headers=headers, params=params, timeout=timeout)
        self.secrets = self._web.secrets
        self._seen: dict[str, None] = {}

    def _resume(self, known: Sequence[Item]) -> None:
        self._seen = {item.what.id: None for item in known if isinstance(item.what, NewsItem)}
        self._web.forget()

    async def _poll(self) -> Sequence[What]:
        answer = await self._web.get(conditional=True)
        if answer is None:
            return []
        parsed = await asyncio.to_thread(self._parsed, answer)
        if parsed.bozo and type(parsed.bozo_exception).__name__ not in _HARMLESS:
            if not parsed.entries:
                raise FeedFailed(self.name, f"no feed: {parsed.bozo_exception}")
            self._complain(FeedFailed(self.name, f"a broken feed, read as far as it goes: {parsed.bozo_exception}"))
        elif not parsed.get("version"):
            raise FeedFailed(self.name, f"neither RSS nor Atom: {answer.body[:60]!r}")
        news = self._news(parsed.entries)
        self._web.used(answer)
        return news

    def _parsed(self, answer: Answer) -> Any:
        import feedparser  # noqa: PLC0415 - only who reads feeds pays for loading it

        headers = {"content-type": answer.content_type, "content-location": self._url}
        return feedparser.parse(io.BytesIO(answer.body), response_headers=headers)

    def _news(self, entries: Sequence[Mapping[str, Any]]) -> list[NewsItem]:
        """What is new of the entries, oldest first."""
        now_ns = self.setting.now()
        found: list[NewsItem] = []
        for entry in reversed(entries):  # feeds begin with the newest
            title = _plain(entry.get("title", ""))
            summary = _plain(entry.get("summary", ""))[:LONGEST_SUMMARY]
            link = str(entry.get("link", ""))
            id = str(entry.get("id", "")) or link or hashlib.sha256(f"{title}\n{summary}".encode()).hexdigest()
            published = _date(entry)
            if id in self._seen or not (title or summary):
                continue
            self._seen[id] = None
            if published is not None and now_ns - timestamp_ns(published) > self._max_age_ns:
                continue
            found.append(
                NewsItem(
                    id=id,
                    source=self.name,
                    title=title,
                    summary=summary,
                    url=link,
                    published_at=published,
                    known_at=from_ns(now_ns),
                    symbols=self._about,
                    priority=self._priority,
                    tags=tuple(str(tag["term"]) for tag in entry.get("tags", ()) if tag.get("term")),
                )
            )
        for id in list(self._seen)[: max(0, len(self._seen) - max(SEEN, 2 * len(entries)))]:
            del self._seen[id]
        return sorted(found, key=lambda item: item.published_at or item.known_at)

    async def _close(self) -> None:
        await self._web.close()


def _date(entry: Mapping[str, Any]) -> datetime | None:
    """When it was published, or else changed; feedparser gives UTC."""
    for field in ("published_parsed", "updated_parsed"):
        # asked for by `in` first: `get` would give the one for the other, and warn of it
        if field in entry and entry[field] is not None:
            try:
                return datetime.fromtimestamp(calendar.timegm(entry[field]), UTC)
            except (ValueError, OverflowError, OSError):
                continue
    return None


class _Text(HTMLParser):
    """Collects what stands between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("p", "br", "div", "li"):
            self.parts.append(" ")


def _plain(markup: str) -> str:
    """Text without tags and entities, with single spaces."""
    reader = _Text()
    reader.feed(markup)
    reader.close()
    return " ".join("".join(reader.parts).split())
