"""Views as they are on the tape: which there are, and their states by key."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import NotFound
from tickwork.service.previews import bounded_raw

COUNTED: Final = 10_000
"""Keys up to which they are counted."""


class ViewLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A view."""

    name: str
    version: int
    events: list[str]
    """Names and versions of what it folds."""
    keys: int
    more: bool
    """Are there more keys than were counted?"""
    stale: bool
    """What is kept is of another version: it is folded anew when a process next opens the tape with this view."""


class StateLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The state of a view under a key."""

    view: str
    key: str
    state: Any


def view_page(queries: Queries, after: str, limit: int) -> list[ViewLine]:
    """Views by name, after one."""
    rows = queries.reader.rows(
        "SELECT view, version, events FROM view_versions WHERE view>? ORDER BY view LIMIT ?", (after, limit)
    )
    return [_line(queries, *row) for row in rows]


def _line(queries: Queries, name: str, version: int, events: str) -> ViewLine:
    count = "SELECT count(*) FROM (SELECT 1 FROM views WHERE view=? LIMIT ?)"
    keys = queries.reader.one(count, (name, COUNTED + 1))
    return ViewLine(
        name=name,
        version=max(version, 0),
        events=events.split(",") if events else [],
        keys=min(keys, COUNTED),
        more=keys > COUNTED,
        stale=version < 0,
    )


def state_page(queries: Queries, view: str, after: str, limit: int) -> list[StateLine]:
    """A view's states by key, after one.

    Raises:
        NotFound: there is no such view.
    """
    _known(queries, view)
    rows = queries.reader.rows(
        "SELECT key, state FROM views WHERE view=? AND key>? ORDER BY key LIMIT ?", (view, after, limit)
    )
    base = f"/api/v1/views/{quote(view, safe='')}"
    return [
        StateLine(view=view, key=key, state=bounded_raw(state, f"{base}/{quote(key, safe='')}")) for key, state in rows
    ]


def state_at(queries: Queries, view: str, key: str) -> StateLine:
    """A view's state under a key, whole.

    Raises:
        NotFound: there is no such view, or nothing under the key.
    """
    _known(queries, view)
    rows = queries.reader.rows("SELECT state FROM views WHERE view=? AND key=?", (view, key))
    if not rows:
        raise NotFound("key", key, f"a key of the view {view!r}")
    return StateLine(view=view, key=key, state=msgspec.json.decode(rows[0][0]))


def _known(queries: Queries, view: str) -> None:
    if not queries.reader.rows("SELECT 1 FROM view_versions WHERE view=?", (view,)):
        names = queries.reader.rows("SELECT view FROM view_versions ORDER BY view LIMIT 20")
        raise NotFound("view", view, f"a view of this tape: {', '.join(name for (name,) in names) or 'it has none'}")
