"""How a feed is, as faces show it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from tickwork.market.live import Kind, LiveFeed, State
from tickwork.values import duration_text, from_ns

_SECOND_NS = 1_000_000_000


class FeedStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A live feed at one moment."""

    name: str
    kinds: list[Kind]
    symbols: list[str]
    state: State
    items: int
    """Delivered since the process began."""
    recorded: int
    """The offset that its next item will have."""
    last_item_at: datetime | None
    contact_at: datetime | None
    """When the other side last answered as it should."""
    silence: str | None
    """How long ago the last item came, in whole seconds, such as ``90s``."""
    stale: bool
    """Has anything that it should bring not come for too long?"""
    silent: list[str]
    """The symbols of which that is so."""
    reconnects: int
    errors: int
    last_error: str
    retry_at: datetime | None
    """When it tries again."""
    unheard: int = 0
    """How many of its quotes and bars decided nothing, because of their date."""
    problem: str = ""
    """What was wrong with the last of them."""


def status_of(
    feed: LiveFeed, recorded: int, silent: Sequence[str], now_ns: int, unheard: int = 0, problem: str = ""
) -> FeedStatus:
    """The status of a feed. ``silent``: the symbols (``""``: all of it) that are overdue; the last two as there."""
    health = feed.health
    silence_ns = health.silence_ns(now_ns)
    return FeedStatus(
        name=feed.name,
        kinds=sorted(feed.kinds),
        symbols=sorted(feed.symbols),
        state=health.state,
        items=health.items,
        recorded=recorded,
        last_item_at=_time(health.last_item_ns),
        contact_at=_time(health.contact_ns),
        silence=None if silence_ns is None else duration_text(silence_ns // _SECOND_NS * _SECOND_NS),
        stale=bool(silent),
        silent=[symbol for symbol in silent if symbol],
        reconnects=health.reconnects,
        errors=health.errors,
        last_error=health.last_error,
        retry_at=_time(health.retry_ns),
        unheard=unheard,
        problem=problem,
    )


def _time(ns: int | None) -> datetime | None:
    return None if ns is None else from_ns(ns)
