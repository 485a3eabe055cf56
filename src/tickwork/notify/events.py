"""The events of notifications: one that asks for a notification, three that say what became of it on a channel."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from tickwork.core.event import Alert, Event

Severity = Literal["info", "warning", "error", "critical"]
"""How much it matters, least first."""

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

Reason = Literal["duplicate", "limit", "quiet hours"]
"""Why a channel was spared a notification."""

ALERT: Final = "tickwork.alert"
"""The kind of what the engine's own alerts become."""

UNREACHABLE: Final = "tickwork.unreachable"
"""The kind of what tells, over the other channels, that a channel could not be reached."""


def at_least(severity: Severity, least: Severity) -> bool:
    """Does ``severity`` matter as much as ``least``, or more?"""
    return SEVERITIES.index(severity) >= SEVERITIES.index(least)


class Notify(Event, name="tickwork/notify"):
    """Someone should hear of this. Any workflow may emit it; the rules say who hears of it, where and when."""

    kind: Annotated[str, Field(min_length=1)]
    """What it is about, e.g. ``price.alert``: routes go by it."""
    title: Annotated[str, Field(min_length=1)]
    body: str = ""
    severity: Severity = "info"
    owner: str = ""
    """Whose notification it is: an account, a user."""
    dedupe: str = ""
    """What makes two notifications of one owner, kind and severity the same; empty: an equal title and body."""


class NotificationSent(Event, name="tickwork/notification.sent"):
    """A channel took a notification."""

    delivery: str
    """Id of the run that delivered it."""
    channel: str
    owner: str
    kind: str
    severity: Severity


class NotificationSuppressed(Event, name="tickwork/notification.suppressed"):
    """A channel was spared a notification."""

    delivery: str
    channel: str
    owner: str
    kind: str
    severity: Severity
    reason: Reason


class NotificationFailed(Event, name="tickwork/notification.failed"):
    """A channel could not be reached, and trying again was given up: the delivery is a dead run, to be redriven."""

    delivery: str
    channel: str
    owner: str
    kind: str
    severity: Severity
    digest: str
    """Of its content: an equal one is no duplicate now."""
    error: str


def of_alert(alert: Alert) -> Notify:
    """The notification that an alert of the engine becomes."""
    return Notify(kind=ALERT, severity="critical", title=f"{alert.what} (run {alert.run})", body=alert.detail)


def of_failure(failure: NotificationFailed) -> Notify:
    """The notification that a failed one becomes."""
    body = f"{failure.error}\nRedrive the run {failure.delivery} once it is mended."
    title = f"The channel {failure.channel} could not be reached"
    return Notify(kind=UNREACHABLE, severity="critical", title=title, body=body, dedupe=failure.channel)
