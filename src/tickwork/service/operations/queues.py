"""Queues and their messages: how they stand, sending, and working on messages from outside under a lease."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec
from pydantic import Field
from pydantic.alias_generators import to_camel

from tickwork.service.api.operation import Args, Call, Done, Limit, Page, command, query
from tickwork.service.operations.asking import id_of
from tickwork.service.operations.paging import LongCursor, Place, cursor_of, place_of
from tickwork.service.previews import bounded
from tickwork.service.queues import MessageLine, QueueLine, message_line, message_page, queue_line, queue_names

LEASED_MAX = 1_000


class QueuesList(Args):
    """Which queues."""

    limit: Limit = 100
    cursor: LongCursor = None


class OneQueue(Args):
    """Which queue."""

    queue: str = Field(min_length=1, max_length=300, description="The name of a queue.")


class QueueMessages(OneQueue):
    """Which messages of which queue."""

    status: Literal["available", "delayed", "in_flight", "failed", "completed", "dead", "discarded"] | None = Field(
        None, description="Only messages that are this; by default all, newest first."
    )
    limit: Limit = 20
    cursor: LongCursor = None


class OneMessage(Args):
    """Which message."""

    message: int = Field(ge=1, lt=1 << 62, description="The position of a message.")


class MessageSend(OneQueue):
    """What to put into which queue."""

    body: Any = Field(description="The message, in JSON.")
    group: str = Field("", max_length=300, description="Messages of one group stay in order.")
    id: str | None = Field(
        None, min_length=1, max_length=300, description="A second message with the same id is the first one."
    )
    delay: str | None = Field(None, min_length=1, max_length=40, description="Join the line later, e.g. '30 s'.")
    priority: int = Field(0, ge=-1_000, le=1_000, description="Between groups, the higher goes first.")


class MessageLease(OneQueue):
    """How many messages to take, for how long."""

    max: int | None = Field(None, ge=1, le=LEASED_MAX, description="How many at most; by default a batch.")
    visibility: str | None = Field(
        None, min_length=1, max_length=40, description="How long the leases last, e.g. '5m'."
    )
    consumer: str = Field("", max_length=200, description="Who takes them; recorded. By default the caller.")


class MessageExtend(Args):
    """Which lease to keep for longer."""

    lease: str = Field(min_length=1, max_length=600, description="The lease of a message, as it was given.")
    by: str = Field(min_length=1, max_length=40, description="How long from now, e.g. '60 s'.")


class MessageAck(Args):
    """Which messages are done."""

    leases: list[str] = Field(
        min_length=1, max_length=LEASED_MAX, description="Their leases; of one group in their order."
    )


class MessageReject(Args):
    """Which message could not be done, and why."""

    lease: str = Field(min_length=1, max_length=600, description="The lease of a message, as it was given.")
    error: str = Field("rejected", min_length=1, max_length=200, description="A code, such as rate_limit.")
    detail: str = Field("", max_length=4_000, description="Words for people.")
    retry_in: str | None = Field(
        None, min_length=1, max_length=40, description="When to deliver it again, e.g. '60 s'."
    )


class MessageSent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a message is."""

    queue: str
    message: int
    """Its position; of one that was sent before under the same id, the position of then."""


class Leased(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A message, and the right to work on it for a while."""

    id: str
    seq: int
    queue: str
    group: str
    body: Any
    attempts: int
    """Deliveries, with this one."""
    sent_at: datetime
    lease: str
    lease_until: datetime


class LeaseExtended(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Until when a message may be worked on."""

    lease: str
    lease_until: datetime


class Rejected(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What becomes of a message that could not be done."""

    lease: str
    status: str
    """``waiting`` for another delivery, or ``dead``: a dead letter."""


@query("queues.list", "GET /queues", verb="queues list", examples=({"limit": 10},))
def queues_list(call: Call, args: QueuesList) -> Page[QueueLine]:
    """How the queues stand, by name; also those that nobody declares any more."""
    names = queue_names(call.queries, place_of(args.cursor, str) or "", args.limit + 1)
    items = [queue_line(call.queries, name, call.now) for name in names[: args.limit]]
    return Page(items=items, next=cursor_of(items[-1].name) if len(names) > args.limit else None)


@query("queues.show", "GET /queues/{queue}", verb="queues", examples=({"queue": "trading-signals"},))
def queues_show(call: Call, args: OneQueue) -> QueueLine:
    """How one queue stands, with its settings."""
    return queue_line(call.queries, args.queue, call.now)


@query(
    "queues.messages", "GET /queues/{queue}/messages", verb="queues show",
    examples=({"queue": "trading-signals", "status": "dead"},),
)  # fmt: skip
def queues_messages(call: Call, args: QueueMessages) -> Page[MessageLine]:
    """Messages of a queue, newest first; of those in line the next to come first."""
    after = place_of(args.cursor, list[Place])
    lines, following = message_page(call.queries, args.queue, args.status, after, args.limit, call.now)
    items = [msgspec.structs.replace(line, body=bounded(line.body, f"/api/v1/messages/{line.seq}")) for line in lines]
    return Page(items=items, next=None if following is None else cursor_of(following))


@query("queues.message", "GET /messages/{message}", examples=({"message": 12},))
def queues_message(call: Call, args: OneMessage) -> MessageLine:
    """One message, whole, with its failed deliveries."""
    return message_line(call.queries, args.message, call.now)


@command(
    "queues.send", "POST /queues/{queue}/messages", verb="queues send", status=201, recorded=False,
    examples=({"queue": "trading-signals", "body": {"symbol": "AAPL", "side": "buy"}},),
)  # fmt: skip
async def queues_send(call: Call, args: MessageSend) -> MessageSent:
    """Put a message into a queue. With an id, or an idempotency key, sent again it is the same message."""
    given = args.model_dump(exclude={"id"})
    seq = await call.ask("queues.send", **given, id=args.id or id_of(call, "message"), owner=call.owner)
    return MessageSent(queue=args.queue, message=seq)


@command(
    "queues.lease", "POST /queues/{queue}/lease", verb="queues lease", recorded="keyed",
    examples=({"queue": "trading-signals", "max": 5, "visibility": "5m"},),
)  # fmt: skip
async def queues_lease(call: Call, args: MessageLease) -> list[Leased]:
    """Take messages to work on; acknowledge each before its lease is over, or it is delivered again."""
    given = args.model_dump(exclude={"consumer"})
    found = await call.ask("queues.lease", **given, consumer=args.consumer or call.caller.name)
    return [msgspec.convert({to_camel(name): value for name, value in one.items()}, Leased) for one in found]


@command(
    "queues.extend", "POST /leases/extend", verb="queues extend", recorded="keyed",
    examples=({"lease": "trading-signals:12.14.0a1b2c3d", "by": "60 s"},),
)  # fmt: skip
async def queues_extend(call: Call, args: MessageExtend) -> LeaseExtended:
    """Keep a message for so long from now."""
    until = await call.ask("queues.extend", lease=args.lease, by=args.by)
    return LeaseExtended(lease=args.lease, lease_until=msgspec.convert(until, datetime))


@command(
    "queues.ack", "POST /leases/ack", verb="queues ack", recorded="keyed",
    examples=({"leases": ["trading-signals:12.14.0a1b2c3d"]},),
)  # fmt: skip
async def queues_ack(call: Call, args: MessageAck) -> Done:
    """These messages are done: all of them, or none."""
    await call.ask("queues.ack", leases=args.leases)
    return Done(id=args.leases[0], done=f"{len(args.leases)} acknowledged")


@command(
    "queues.reject", "POST /leases/reject", verb="queues reject", recorded="keyed",
    examples=({"lease": "trading-signals:12.14.0a1b2c3d", "error": "rate_limit", "retryIn": "60 s"},),
)  # fmt: skip
async def queues_reject(call: Call, args: MessageReject) -> Rejected:
    """A message could not be done: it is delivered again, or is a dead letter."""
    status = await call.ask("queues.reject", **args.model_dump())
    return Rejected(lease=args.lease, status=status)
