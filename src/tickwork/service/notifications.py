"""Notifications, for people and programs: what was delivered and what was not, where one would go, a test of a channel.

The outbox is a reading of the runs that deliver (``tickwork.notify.notifier``): nothing keeps a list beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec

from tickwork.engines.embedded.queries import Queries, RunDetail, RunInfo
from tickwork.errors import InvalidInput, TickworkError
from tickwork.notify.events import SEVERITIES, Severity
from tickwork.notify.notifier import DELIVER
from tickwork.notify.plan import Delivery, Judged, Message, channels_of, judged
from tickwork.notify.rules import Channel, Rules
from tickwork.values import from_ns

Send = Callable[..., None]
"""``send(channel, message, key=...)``, in this thread."""

_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class Notifications:
    """What the configuration says of notifications."""

    rules: Rules
    open_send: Callable[[Sequence[str]], Send]
    """What sends to these channels; it is here that their secrets are looked up."""


# ------------------------------------------------------------------------------------------------------------- outbox

Status = Literal["pending", "held", "sent", "suppressed", "failed", "cancelled"]

_RUNS_OF: Final[dict[Status, tuple[str, ...]]] = {
    "sent": ("done",),
    "suppressed": ("done",),
    "failed": ("dead",),
    "cancelled": ("cancelled",),
}
"""The states of runs among which the deliveries of a status are; the others are unfinished."""


class OutboxLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A notification on one channel."""

    run: str
    """The run that delivers it: to be shown, cancelled, redriven."""
    channel: str
    status: Status
    severity: Severity
    owner: str
    kind: str
    title: str
    asked_at: datetime
    changed_at: datetime
    """When it became what it is."""
    held_until: datetime | None
    reason: str


def outbox(queries: Queries, status: str | None = None, limit: int = 20) -> list[OutboxLine]:
    """Notifications by channel, newest first.

    Raises:
        InvalidInput: an unknown status, or a limit below 1.
    """
    if status is not None and status not in get_args(Status):
        raise InvalidInput("status", status, "one of " + ", ".join(get_args(Status)))
    if limit < 1:
        raise InvalidInput("limit", limit, "a whole number from 1")
    return outbox_page(queries, status, limit)[0]


def outbox_page(
    queries: Queries, status: str | None, limit: int, *, before: int | None = None
) -> tuple[list[OutboxLine], int | None]:
    """A page of the outbox, and before which position the next one begins; ``None``: there is none."""
    found: list[OutboxLine] = []
    last: int | None = None
    for info in _deliveries(queries, status, before):
        if len(found) == limit:
            return found, last
        last = info.seq
        line = _line(queries.show(info.id))
        if line is not None and status in (None, line.status):
            found.append(line)
    return found, None


def _deliveries(queries: Queries, status: str | None, before: int | None = None) -> Iterator[RunInfo]:
    """The runs among which those of a status are, newest first."""
    finished = ("done", "dead", "cancelled")
    unfinished = tuple(name for name in queries.counts() if name not in finished)
    wanted = None if status is None else _RUNS_OF.get(status, unfinished)  # type: ignore[call-overload]
    if wanted == ():
        return
    while True:
        page = queries.runs(wanted, DELIVER, before=before, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        before = page[-1].seq


def _line(detail: RunDetail) -> OutboxLine | None:
    """A delivery as a line; ``None`` for a summary that came to have nothing to tell."""
    info = detail.info
    delivery = msgspec.convert(detail.input, Delivery, dec_hook=lambda wanted, value: wanted.model_validate(value))
    status, reason = _status(detail)
    if status is None:
        return None
    said = delivery.notify
    return OutboxLine(
        run=info.id,
        channel=delivery.channel,
        status=status,
        severity=said.severity,
        owner=said.owner,
        kind=said.kind,
        title=said.title,
        asked_at=from_ns(delivery.at),
        changed_at=info.changed_at,
        held_until=info.wake_at if status == "held" else None,
        reason=reason,
    )


def _status(detail: RunDetail) -> tuple[Status | None, str]:
    info = detail.info
    if info.status == "done":
        action, reason = detail.result["action"], detail.result["reason"]
        return (action, reason or "") if action in get_args(Status) else (None, "")
    if info.status == "dead":
        return "failed", detail.error or ""
    if info.status == "cancelled":
        return "cancelled", detail.error or ""
    if info.status in ("running", "waiting", "queued"):
        # one that is being sent, or waits to be tried again, has work to do: it does not sleep
        return ("held", "") if info.wake_at is not None else ("pending", "; ".join(detail.waiting_for))
    # paused, stranded, diverged: it is not lost, but a person must do something
    return "pending", f"{info.status}: {detail.error}" if detail.error else info.status


# -------------------------------------------------------------------------------------------------------------- routes


class ChannelLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A channel that a notification would go to."""

    channel: str
    limit: str
    quiet_hours: str


class Explained(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a notification would go, and why."""

    channels: list[ChannelLine]
    routes: list[Judged]


def explained(rules: Rules, owner: str, kind: str, severity: str) -> Explained:
    """What the rules say of a notification.

    Raises:
        InvalidInput: an unknown severity.
    """
    known = next((one for one in SEVERITIES if one == severity), None)
    if known is None:
        raise InvalidInput("severity", severity, f"one of {', '.join(SEVERITIES)}")
    routes = judged(rules, owner, kind, known)
    return Explained(channels=[_channel(rules.channel(name)) for name in channels_of(routes)], routes=routes)


def channel_lines(rules: Rules) -> list[ChannelLine]:
    """The channels that are configured; never their addresses, which are secret."""
    return [_channel(one) for one in rules.channels]


def _channel(one: Channel) -> ChannelLine:
    return ChannelLine(channel=one.name, limit=str(one.limit), quiet_hours=str(one.quiet_hours or ""))


# ---------------------------------------------------------------------------------------------------------------- test


class Tried(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What came of a test of a channel."""

    channel: str
    sent: bool
    reason: str


def tried(notifications: Notifications, channel: str | None, everywhere: bool, text: str) -> list[Tried]:
    """Send a test to one channel, to the only one, or to all, past limits and quiet hours.

    Raises:
        InvalidInput: no channel is configured, none has the name, or there are several and none is named.
    """
    rules = notifications.rules
    names = [one.name for one in rules.channels]
    if not names:
        expected = (
            'a channel in tickwork.toml, such as [notify.channels.phone] with url = "tgram://${TELEGRAM_TOKEN}/ID"'
        )
        raise InvalidInput("notify.channels", "none", expected)
    if channel is not None:
        names = [rules.channel(channel).name]
    elif len(names) > 1 and not everywhere:
        raise InvalidInput("channel", "none", f"one of {', '.join(names)}, or --all")
    message = Message("tickwork: a test", text, "info")
    return [_try(notifications, name, message) for name in names]


def _try(notifications: Notifications, channel: str, message: Message) -> Tried:
    try:
        notifications.open_send([channel])(channel, message, key="test")
    except TickworkError as error:
        return Tried(channel=channel, sent=False, reason=str(error))
    return Tried(channel=channel, sent=True, reason="")


def verbs(notifications: Notifications) -> dict[str, Any]:
    """What other processes may ask for, to be given to ``Engine.offer``."""

    async def channels() -> list[ChannelLine]:
        return channel_lines(notifications.rules)

    async def explain(owner: str = "", kind: str = "", severity: str = "info") -> Explained:
        return explained(notifications.rules, owner, kind, severity)

    async def test(channel: str | None = None, text: str = "") -> list[Tried]:
        return await asyncio.to_thread(tried, notifications, channel, False, text)

    return {"notify.channels": channels, "notify.explain": explain, "notify.test": test}
