"""Events and the tape: publish one, and read what happened, in order."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from pydantic import Field

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import Conflict, Forbidden, InvalidInput, NotFound
from tickwork.service import happened
from tickwork.service.api.operation import Args, Call, Limit, Page, command, query
from tickwork.service.api.problems import KeyReused
from tickwork.service.happened import EventLine, EventShown
from tickwork.service.operations.runs import owned_row
from tickwork.service.run_shown import bounded_record

After = Annotated[int, Field(ge=0, lt=1 << 62, description="Only what is after this position of the tape.")]


_OURS: Final = (
    "tickwork/", "trading/", "exits/", "paper/", "graph/", "market/alert.", "market/rule.", "market/feed.",
    "market/unfed", "demo/started", "demo/finished",
)  # fmt: skip
"""What begins the names of events that are records of what this program did: nobody else may say that it did."""

_OPEN: Final = ("tickwork/alert", "tickwork/notify")


def is_ours(name: str) -> bool:
    """May only this program say that an event of this name happened?"""
    return name.startswith(_OURS) and name not in _OPEN


class EventPublish(Args):
    """What happened."""

    name: str = Field(min_length=1, max_length=300, description="The event's name, such as mexc/symbol.watch.")
    payload: dict[str, Any] = Field(default_factory=dict, description="Its fields.")
    delay: str | None = Field(None, min_length=1, max_length=40, description="Publish it later, e.g. '5 minutes'.")
    version: int | None = Field(
        None, ge=1, lt=1 << 31, description="The version that the fields are of; by default the newest."
    )


class EventPublished(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where an event is on the tape."""

    seq: int
    letter: bool
    """Its version is not known here: it was kept as a dead letter, which is published once it is."""
    repeated: bool
    """It had been published before, under the same key."""


class EventsList(Args):
    """Which events."""

    after: After = 0
    limit: Limit = 100
    type: str | None = Field(None, max_length=300, description="Only events of this name.")
    run: str | None = Field(
        None, max_length=200, description="Only what started this run, what it waited for, and what it emitted."
    )


class OneEvent(Args):
    """Which event."""

    seq: int = Field(ge=1, lt=1 << 62, description="Its position on the tape.")


class TapeList(Args):
    """Which records."""

    after: After = 0
    limit: Limit = 100
    whole: bool = Field(False, description="Show large values whole; then 10 records at most.")


@command(
    "events.publish", "POST /events", verb="emit", status=201, recorded=False,
    examples=({"name": "tickwork/alert", "payload": {"run": "", "what": "hello", "detail": "by hand"}},),
)  # fmt: skip
async def events_publish(call: Call, args: EventPublish) -> EventPublished:
    """Publish an event; the answer comes when it is on disk, with the runs that it starts.

    With an idempotency key it is published once, however often it is sent within a day.
    """
    if is_ours(args.name):
        raise Forbidden("events.publish", call.caller.name, f"another event than {args.name}, which only tickwork says")
    given = {"name": args.name, "payload": args.payload, "delay": args.delay, "version": args.version}
    if not call.key:
        found = await call.ask("emit", **given)
        return EventPublished(seq=found["seq"], letter=found["letter"], repeated=False)
    try:
        found = await call.ask("emit", **given, id=call.key, source=f"event of {call.caller.name}")
    except Conflict as error:
        if error.path != "event id":
            raise
        raise KeyReused("Idempotency-Key", call.key, "a new key: another event was published under this one") from None
    return EventPublished(seq=found["seq"], letter=found["letter"], repeated=found.get("repeated", False))


@query("events.list", "GET /events", owned=True, examples=({"after": 0, "type": "mexc/symbol.watch"},))
def events_list(call: Call, args: EventsList) -> Page[EventLine]:
    """Events after a position, in the order in which they happened. `next` is the `after` of what follows."""
    owner = call.caller.owner
    if owner is not None and args.run is None:
        raise InvalidInput("run", None, "a run of yours: whose other events are, they do not say")
    limit = args.limit + 1
    if args.run is None:
        found = happened.event_lines(call.queries, args.after, limit, args.type)
    else:
        row = owned_row(call.queries, args.run, owner)
        found = happened.events_of_run(call.queries, row, args.after, limit, args.type)
    items = found[: args.limit]
    return Page(items=items, next=str(items[-1].seq) if len(found) > args.limit else None)


@query("events.show", "GET /events/{seq}", owned=True, examples=({"seq": 12},))
def events_show(call: Call, args: OneEvent) -> EventShown:
    """One event, whole, and the runs that it started."""
    owner = call.caller.owner
    if owner is None:
        return happened.event_at(call.queries, args.seq)
    return _mine(call.queries, args.seq, owner)


def _mine(queries: Queries, seq: int, owner: str) -> EventShown:
    """An event that a run of the owner's emitted, with the owner's runs that it started."""
    row = happened.emitter(queries, seq)
    if row is None or row.owner != owner:
        raise NotFound("event", seq, "the position of an event that a run of yours emitted")
    shown = happened.event_at(queries, seq)
    started = [one for one in shown.started if owned(queries, one.run, owner)]
    return EventShown(event=shown.event, started=started, complete=shown.complete)


def owned(queries: Queries, run: str, owner: str) -> bool:
    """Is a run this owner's?"""
    row = queries.reader.run_named(run)
    return row is not None and row.owner == owner


@query("tape.list", "GET /tape", examples=({"after": 0, "limit": 10},))
def tape_list(call: Call, args: TapeList) -> Page[dict[str, Any]]:
    """The records of the tape after a position, as they are, in order. `next` is the `after` of what follows."""
    limit = min(args.limit, 10) if args.whole else args.limit
    found = call.queries.entries(args.after, limit + 1)
    href = "/api/v1/tape?limit=1&whole=true&after="
    items = [bounded_record(entry, None if args.whole else f"{href}{entry.seq - 1}") for entry in found[:limit]]
    return Page(items=items, next=str(found[limit - 1].seq) if len(found) > limit else None)
