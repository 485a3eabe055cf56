"""Live feeds: the port by which quotes, bars, news and posts come in, and what is known of a feed's health.

An item is *known* when this process has read it. That time orders everything: what a venue or a publisher says about
its own times is kept in the item, and judged by whoever uses it (``Quote.is_stale``).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Literal, Protocol, runtime_checkable

import msgspec

from tickwork.errors import Fatal, Retryable
from tickwork.market.bars import Bar, Quote
from tickwork.market.news import NewsItem, SocialPost
from tickwork.market.recording import Tick

What = Quote | Bar | NewsItem | SocialPost
"""What comes in."""

Kind = Literal["quote", "bar", "news", "post"]

State = Literal["idle", "connecting", "live", "waiting", "failed", "ended"]
"""Not started; trying; the last attempt went well; pausing before the next try; given up; the source has ended."""


class Item(msgspec.Struct, frozen=True, gc=False):
    """Something that came in."""

    source: str
    """Name of the feed."""
    known_ns: int
    """When it was read, ns since 1970 UTC."""
    what: What

    @property
    def kind(self) -> Kind:
        """``quote``, ``bar``, ``news`` or ``post``."""
        return kind_of(self.what)

    @property
    def symbol(self) -> str:
        """The symbol of a quote or a bar; empty for texts, which may name several."""
        return self.what.symbol if isinstance(self.what, Quote | Bar) else ""


def kind_of(what: What) -> Kind:
    """``quote``, ``bar``, ``news`` or ``post``."""
    match what:
        case Quote():
            return "quote"
        case Bar():
            return "bar"
        case NewsItem():
            return "news"
        case SocialPost():
            return "post"


class Placed(msgspec.Struct, frozen=True, gc=False):
    """An item and where it stands: the recording's name and the offset in it."""

    recording: str
    offset: int
    item: Item

    @property
    def tick(self) -> Tick | None:
        """The item as a tick, if it is a bar."""
        what = self.item.what
        return Tick(self.recording, self.offset, what) if isinstance(what, Bar) else None


class Health(msgspec.Struct):
    """How a feed is. The feed writes it, everybody reads it. Times are ns since 1970 UTC."""

    state: State = "idle"
    items: int = 0
    """How many it has delivered."""
    last_item_ns: int | None = None
    contact_ns: int | None = None
    """When the other side last answered as it should, with something new or without."""
    reconnects: int = 0
    """How often it began anew after the first time."""
    errors: int = 0
    """Failed attempts, and pieces of good answers that were no quote, bar or text."""
    last_error: str = ""
    last_error_ns: int | None = None
    retry_ns: int | None = None
    """When it tries again, while it waits."""

    def heard(self, now_ns: int) -> None:
        """The other side answered as it should."""
        self.state = "live"
        self.contact_ns = now_ns
        self.retry_ns = None

    def delivered(self, now_ns: int) -> None:
        """An item came in."""
        self.heard(now_ns)
        self.items += 1
        self.last_item_ns = now_ns

    def complain(self, error: object, now_ns: int) -> None:
        """Something went wrong."""
        self.errors += 1
        self.last_error = str(error)[:500]
        self.last_error_ns = now_ns

    def silence_ns(self, now_ns: int) -> int | None:
        """Nanoseconds since the last item; ``None`` before the first."""
        return None if self.last_item_ns is None else max(0, now_ns - self.last_item_ns)


class FeedFailed(Retryable):
    """The source did not answer, or not with what it should. The feed tries again by itself."""

    def __init__(self, source: str, what: str) -> None:
        super().__init__(source, what)

    def __str__(self) -> str:
        return f"feed {self.args[0]!r}: {self.args[1]}"


class FeedLimited(Retryable):
    """The source asked for fewer requests. The feed waits that long and goes on."""

    def __init__(self, source: str, wait_s: float, what: str = "") -> None:
        super().__init__(source, wait_s, what)

    @property
    def wait_s(self) -> float:
        """Seconds to wait."""
        return float(self.args[1])

    def __str__(self) -> str:
        source, wait_s, what = self.args
        return f"feed {source!r}: asked to wait {wait_s:g} s" + (f" ({what})" if what else "")


class FeedRefused(Fatal):
    """The source refuses what it is asked: a wrong key, a symbol it does not have. Somebody must change something."""

    def __init__(self, source: str, what: str, advice: str = "") -> None:
        super().__init__(source, what, advice)

    def __str__(self) -> str:
        source, what, advice = self.args
        return f"feed {source!r}: {what}" + (f": {advice}" if advice else "")


@runtime_checkable
class LiveFeed(Protocol):
    """The port of whatever comes in from outside, as it comes in.

    What an implementation promises:

    * Items come in the order in which they became known.
    * A passing fault is its own business: it reconnects, pauses and says so in ``health``.
    * It begins after the items it is told of, and gives none of them again, as far as the source can look back: bars,
      news and posts are caught up after an outage; the quotes of an outage are gone.
    * The iterator ends when the source does; closing it lets every connection go.
    """

    @property
    def name(self) -> str:
        """Unique among the feeds of a process; also the name of its recording."""
        ...

    @property
    def symbols(self) -> Collection[str]:
        """What it gives quotes or bars of; empty for a feed of texts."""
        ...

    @property
    def kinds(self) -> Collection[Kind]:
        """What sorts of items it gives."""
        ...

    @property
    def health(self) -> Health:
        """How it is."""
        ...

    def items(self, known: Sequence[Item] = ()) -> AsyncGenerator[Item, None]:
        """What comes in from now on. ``known``: the last items of an earlier session, in their order.

        Raises:
            FeedRefused: the source refuses what it is asked, and trying again would not help.
        """
        ...


def brings(feed: LiveFeed, kind: Kind, symbol: str) -> bool:
    """Does a feed give this sort of thing of a symbol? Where it gives several sorts, but not each of every symbol, it
    says so itself, by an attribute ``pairs`` of kinds and symbols."""
    pairs: Collection[tuple[Kind, str]] | None = getattr(feed, "pairs", None)
    return (kind in feed.kinds and symbol in feed.symbols) if pairs is None else (kind, symbol) in pairs
