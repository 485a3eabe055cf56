"""Notifications: what was delivered and what was not, where one would go, a test of a channel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tickwork.service.api.operation import Args, Call, Cursor, Limit, Nothing, Page, command, query
from tickwork.service.notifications import ChannelLine, Explained, OutboxLine, Tried, outbox_page
from tickwork.service.operations.asking import ask_trading
from tickwork.service.operations.runs import position


class Outbox(Args):
    """Which notifications."""

    status: Literal["pending", "held", "sent", "suppressed", "failed", "cancelled"] | None = Field(
        None, description="Only those."
    )
    limit: Limit = 20
    cursor: Cursor = None


class Explain(Args):
    """What notification."""

    kind: str = Field(min_length=1, max_length=200, description="What it is about, such as price.alert.")
    severity: Literal["info", "warning", "error", "critical"] = Field("info", description="How much it matters.")
    owner: str = Field("", max_length=200, description="Whose it is.")


class Test(Args):
    """Which channel, and what is said."""

    channel: str | None = Field(None, max_length=100, description="By default the only one there is.")
    text: str = Field("a test of this channel", min_length=1, max_length=2_000, description="What is said.")


@query("notifications.outbox", "GET /notifications", tool="notifications_outbox", verb="notify")
def notifications_outbox(call: Call, args: Outbox) -> Page[OutboxLine]:
    """Notifications by channel, newest first: delivered, held, suppressed, failed. Each is a run."""
    items, rest = outbox_page(call.queries, args.status, args.limit, before=position(args.cursor))
    return Page(items=items, next=None if rest is None else str(rest))


@query("notifications.channels", "GET /notifications/channels")
async def notifications_channels(call: Call, args: Nothing) -> Page[ChannelLine]:
    """The channels that are configured, with their limits and quiet hours; never their addresses."""
    return Page(items=await ask_trading(call, list[ChannelLine], "notify.channels"))


@query(
    "notifications.explain",
    "GET /notifications/explain",
    verb="notify",
    examples=({"kind": "alert", "severity": "critical"},),
)
async def notifications_explain(call: Call, args: Explain) -> Explained:
    """Where a notification would go, and why: what each route says of it."""
    fields = {"owner": args.owner, "kind": args.kind, "severity": args.severity}
    return await ask_trading(call, Explained, "notify.explain", **fields)


@command(
    "notifications.test", "POST /notifications/test", verb="notify", again="look", examples=({"channel": "phone"},)
)
async def notifications_test(call: Call, args: Test) -> Page[Tried]:
    """Send a test to a channel, past limits and quiet hours."""
    return Page(items=await ask_trading(call, list[Tried], "notify.test", channel=args.channel, text=args.text))
