"""The workflows that deliver: one run for each notification, one for each channel it goes to.

    Notify, Alert ──▶ notify ── routes ──▶ notify-deliver (phone) ── quiet hours ── duplicate, limit ── send
                                     └───▶ notify-deliver (mail)  ── ...

A delivery is a run, so it is held by a durable timer, continued after a crash, cancelled, and redriven like any other;
a channel that cannot be reached ends in a dead run of its own and holds up no other. What the rules say is asked in
steps, so a run under way keeps to what it was told when the rules change.

Sending is an effect, without a look-up: no service can be asked whether it has a message. So a message arrives at least
once; after a crash or a time-out it may arrive twice, both times with the same reference (the effect's key).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Protocol

import msgspec

from tickwork.core.event import Alert
from tickwork.core.retry import Retry
from tickwork.core.run import Run, Span
from tickwork.core.view import View, view
from tickwork.core.workflow import Workflow, workflow
from tickwork.notify import plan
from tickwork.notify.events import (
    UNREACHABLE,
    NotificationFailed,
    NotificationSent,
    NotificationSuppressed,
    Notify,
    Reason,
    of_alert,
    of_failure,
)
from tickwork.notify.plan import ChannelState, Delivery, Hold, Message, Verdict
from tickwork.notify.rules import Rules
from tickwork.values import from_ns, timestamp_ns

NOTIFY: Final = "notify"
DELIVER: Final = "notify-deliver"

RETRY: Final = Retry(limit=10, delay="2 seconds", cap="5 minutes", jitter=0.2)
"""How long a service may be away: about a quarter of an hour."""

TIMEOUT: Final = "1 minute"
"""For one attempt at sending."""


class Send(Protocol):
    """Gives a message to a channel. Returns when the service has taken it; raises when it has not, or nobody knows."""

    def __call__(self, channel: str, message: Message, *, key: str) -> Awaitable[None] | None:
        """``key`` is the same in every attempt: to be shown with the message where the channel allows."""


class Routed(msgspec.Struct, frozen=True):
    """What came of a notification: where it went."""

    action: Literal["routed", "no route"]
    channels: list[str]


class Delivered(msgspec.Struct, frozen=True):
    """What came of a delivery that did not fail."""

    action: Literal["sent", "suppressed", "nothing to tell"]
    reason: Reason | None = None


@dataclass(frozen=True, slots=True)
class Notifier:
    """What an engine needs: ``Engine(url, workflows=[*mine, *notifier.workflows], views=[*notifier.views])``."""

    workflows: tuple[Workflow, ...]
    views: tuple[View, ...]


@view("notify-channels", on=NotificationFailed, key=lambda event: event.channel)
def channel_states(state: ChannelState | None, event: NotificationFailed) -> ChannelState | None:
    """What each channel let through: claimed by deliveries, so that no two pass where there is room for one."""
    return plan.failed(state, event.digest)


def notifier(rules: Rules, send: Send, *, retry: Retry = RETRY, timeout: Span = TIMEOUT) -> Notifier:
    """The workflows that notify by ``rules``, over ``send``.

    Args:
        retry: of a channel that could not be reached; then its delivery is dead.
        timeout: of one attempt.
    """
    routed, held = partial(plan.routed, rules), partial(plan.held, rules)
    admitted = partial(plan.admitted, rules)

    @workflow(NOTIFY, on=[Notify, Alert, NotificationFailed])
    async def notify(run: Run, event: Notify | Alert | NotificationFailed) -> Routed:
        asked, unreachable = _asked(event)
        if asked is None:
            return Routed("no route", [])
        found = await run.step("route", routed, asked, blocking=False)
        channels = [channel for channel in found if channel != unreachable]
        for channel in channels:
            await run.start(deliver, Delivery(channel, asked, timestamp_ns(run.now())))
        return Routed("routed" if channels else "no route", channels)

    def give(channel: str, message: Message, key: str) -> Any:
        # the tape remembers the function of an effect by its name: this one stays when another `send` is plugged in
        return send(channel, message, key=key)

    async def gave_up(run: Run, delivery: Delivery, error: Exception) -> None:
        await run.emit(NotificationFailed(**_facts(run, delivery), digest=delivery.digest, error=str(error)))

    @workflow(DELIVER, on_failure=gave_up)  # no key: a held one must not keep a critical one waiting
    async def deliver(run: Run, delivery: Delivery) -> Delivered:
        await run.sleep_until(from_ns(delivery.after))  # also when that is over: from here on `now` is now
        while True:
            hold: Hold | None = await run.step("quiet hours", held, delivery, run.now(), blocking=False)
            if hold is not None and hold.drop:
                return await _suppressed(run, delivery, "quiet hours")
            if hold is not None:
                await run.sleep_until(hold.until)
                continue
            verdict = await _claimed(run, delivery, admitted)
            if verdict.action != "limit" or not delivery.summary:
                break
            await run.sleep_until(from_ns(verdict.summary_at))
        if verdict.action == "nothing":
            return Delivered("nothing to tell")
        if verdict.action != "send":
            if verdict.summary_at:
                await run.start(deliver, plan.summary_of(delivery, verdict.summary_at))
            return await _suppressed(run, delivery, verdict.action)
        name = f"send to {delivery.channel}"
        await run.effect(name, give, delivery.channel, verdict.message, retry=retry, timeout=timeout)
        await run.emit(NotificationSent(**_facts(run, delivery)))
        return Delivered("sent")

    return Notifier((notify, deliver), (channel_states,))


def _asked(event: Notify | Alert | NotificationFailed) -> tuple[Notify | None, str]:
    """What an event asks to be told, and the channel that it is not to be told over.

    Of a delivery that failed the other channels tell, but not in turn of one that was to tell this: it would never end.
    """
    if isinstance(event, NotificationFailed):
        return None if event.kind == UNREACHABLE else of_failure(event), event.channel
    if isinstance(event, Alert):
        return None if f".{DELIVER}." in event.run else of_alert(event), ""
    return event, ""


async def _claimed(run: Run, delivery: Delivery, admitted: Callable[..., Verdict]) -> Verdict:
    """The verdict, with what it changes about the channel's state: nobody else has changed it in between."""
    while True:
        found: ChannelState | None = await channel_states.get(delivery.channel)
        state = found or ChannelState()
        verdict = await run.step("limit", admitted, delivery, state, run.now(), blocking=False)
        if verdict.state == state or await channel_states.claim(delivery.channel, found, verdict.state):
            return verdict


async def _suppressed(run: Run, delivery: Delivery, reason: Reason) -> Delivered:
    await run.emit(NotificationSuppressed(**_facts(run, delivery), reason=reason))
    return Delivered("suppressed", reason)


def _facts(run: Run, delivery: Delivery) -> dict[str, Any]:
    said = delivery.notify
    return {
        "delivery": run.id,
        "channel": delivery.channel,
        "owner": said.owner,
        "kind": said.kind,
        "severity": said.severity,
    }
