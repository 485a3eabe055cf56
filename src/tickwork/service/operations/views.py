"""Views: state that outlives runs, folded of events."""

from __future__ import annotations

from pydantic import Field

from tickwork.service.api.operation import Args, Call, Limit, Page, query
from tickwork.service.operations.paging import LongCursor, cursor_of, place_of
from tickwork.service.views import StateLine, ViewLine, state_at, state_page, view_page


class ViewsList(Args):
    """Which views."""

    limit: Limit = 100
    cursor: LongCursor = None


class OneView(Args):
    """Which view."""

    view: str = Field(min_length=1, max_length=300, description="The name of a view.")
    limit: Limit = 100
    cursor: LongCursor = None


class OneState(Args):
    """Which state of which view."""

    view: str = Field(min_length=1, max_length=300, description="The name of a view.")
    key: str = Field(min_length=1, max_length=1_000, description="A key of it.")


@query("views.list", "GET /views", examples=({"limit": 10},))
def views_list(call: Call, args: ViewsList) -> Page[ViewLine]:
    """The views on the tape, by name, with how many keys each holds."""
    found = view_page(call.queries, place_of(args.cursor, str) or "", args.limit + 1)
    items = found[: args.limit]
    return Page(items=items, next=cursor_of(items[-1].name) if len(found) > args.limit else None)


@query("views.show", "GET /views/{view}", examples=({"view": "documents"},))
def views_show(call: Call, args: OneView) -> Page[StateLine]:
    """A view's states, by key."""
    found = state_page(call.queries, args.view, place_of(args.cursor, str) or "", args.limit + 1)
    items = found[: args.limit]
    return Page(items=items, next=cursor_of(items[-1].key) if len(found) > args.limit else None)


@query("views.state", "GET /views/{view}/{key}", examples=({"view": "documents", "key": "news-trader"},))
def views_state(call: Call, args: OneState) -> StateLine:
    """A view's state under one key, whole."""
    return state_at(call.queries, args.view, args.key)
