"""Breakers: which dependencies are resting, and how to close or open one by hand."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import Field

from tickwork.engines.embedded.breakers import BreakerInfo
from tickwork.errors import NotRunning
from tickwork.service.api.operation import Args, Call, Limit, Page, command, query
from tickwork.service.breakers import BreakerLine, breaker_line, breaker_lines
from tickwork.service.operations.asking import by
from tickwork.service.operations.paging import LongCursor, cursor_of, place_of


class BreakersList(Args):
    """Which breakers."""

    limit: Limit = 100
    cursor: LongCursor = None


class BreakerReset(Args):
    """Which breaker to close, and why."""

    breaker: str = Field(min_length=1, max_length=300, description="The name of a breaker.")
    reason: str = Field("", max_length=1_000, description="Why; recorded.")


class BreakerTrip(BreakerReset):
    """Which breaker to open, why, and for how long."""

    open_for: str | None = Field(
        None, min_length=1, max_length=40, description="How long it rests, e.g. '10 minutes'; by default as declared."
    )


@query("breakers.list", "GET /breakers", verb="breakers list", examples=({"limit": 10},))
async def breakers_list(call: Call, args: BreakersList) -> Page[BreakerLine]:
    """Breakers by name: closed, open or half-open, since when, and why."""
    try:
        lines = [_line(one) for one in await call.ask("breakers")]
    except NotRunning:
        lines = await call.read(breaker_lines)
    after = place_of(args.cursor, str) or ""
    rest = [line for line in lines if line.name > after]
    items = rest[: args.limit]
    return Page(items=items, next=cursor_of(items[-1].name) if len(rest) > args.limit else None)


@command("breakers.reset", "POST /breakers/{breaker}/reset", verb="breakers reset", examples=({"breaker": "news-api"},))
async def breakers_reset(call: Call, args: BreakerReset) -> BreakerLine:
    """Close a breaker and forget its failures."""
    return _line(await call.ask("breakers.reset", name=args.breaker, reason=args.reason, by=by(call)))


@command(
    "breakers.trip", "POST /breakers/{breaker}/trip", verb="breakers trip",
    examples=({"breaker": "news-api", "openFor": "10 minutes"},),
)  # fmt: skip
async def breakers_trip(call: Call, args: BreakerTrip) -> BreakerLine:
    """Open a breaker, so that what depends on it rests; calls under way go on."""
    found = await call.ask("breakers.trip", name=args.breaker, reason=args.reason, open_for=args.open_for, by=by(call))
    return _line(found)


def _line(told: dict[str, Any]) -> BreakerLine:
    return breaker_line(msgspec.convert(told, BreakerInfo))
