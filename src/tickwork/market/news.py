"""News and social posts: what was written outside, and when it became known here.

A publisher's own date cannot be trusted (it may be missing, wrong, or edited later), so the time that counts is
``known_at``: when this process first read the item. ``recording`` and ``offset`` say where it stands recorded.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import Field

from tickwork.core.event import Event
from tickwork.values import Symbol

Priority = Literal["low", "normal", "high", "critical"]
"""How much a source itself makes of an item; ``normal`` where it says nothing."""

PRIORITIES: Final[tuple[Priority, ...]] = ("low", "normal", "high", "critical")
"""In ascending order."""


class NewsItem(Event, name="market/news", version=1):
    """One news item of one source. ``(source, id)`` names it: a source that sends it again sends the same pair."""

    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """The feed's name, e.g. ``coindesk``."""
    title: str
    summary: str = ""
    """Plain text, without markup."""
    url: str = ""
    published_at: datetime | None = None
    """What the publisher says; ``None`` where it says nothing."""
    known_at: datetime
    """When it was first read here."""
    symbols: tuple[Symbol, ...] = ()
    """What it is about, as far as the source says so or an analyst found."""
    priority: Priority = "normal"
    sentiment: float | None = Field(default=None, ge=-1, le=1)
    """-1 (bad news) to 1 (good news); ``None``: nobody has judged it."""
    tags: tuple[str, ...] = ()
    """The source's own categories."""
    recording: str = ""
    offset: int | None = None

    @property
    def happened_at(self) -> datetime:
        """When it became known: from then on its age counts."""
        return self.known_at


class SocialPost(Event, name="market/post", version=1):
    """One post of one author on one service. ``(source, id)`` names it."""

    id: str = Field(min_length=1)
    source: str = Field(min_length=1)
    """The feed's name, e.g. ``x``."""
    author: str
    """The author's handle without ``@``, or its id where that is all the source gives."""
    text: str
    url: str = ""
    published_at: datetime | None = None
    """What the service says; ``None`` where it says nothing."""
    known_at: datetime
    """When it was first read here."""
    symbols: tuple[Symbol, ...] = ()
    sentiment: float | None = Field(default=None, ge=-1, le=1)
    """-1 (bearish) to 1 (bullish); ``None``: nobody has judged it."""
    recording: str = ""
    offset: int | None = None

    @property
    def happened_at(self) -> datetime:
        """When it became known: from then on its age counts."""
        return self.known_at
