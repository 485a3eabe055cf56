"""The plan: where a notification goes, whether a channel takes it now. Pure: rules, state and time in, a verdict out.

For each channel that a route names, in this order:

    quiet hours ── held until they end, or dropped
    duplicate ──── an equal one was let through within ``dedupe``: suppressed
    limit ──────── ``max`` were let through within ``per``: suppressed, and counted; the count is told with the next one
                   that is let through, at the latest when the window has room again (a summary)
    let through ── the channel's state remembers when, and a digest of what

A limit counts what was let through, whether or not it then arrived: an attempt that failed may have arrived after all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal

import msgspec

from tickwork.notify.events import Notify, Severity, at_least
from tickwork.notify.rules import Channel, Rules
from tickwork.values import NS_PER_SECOND, from_ns, timestamp_ns

SUMMARY: Final = "tickwork.suppressed"
"""The kind of the notification that tells how many were suppressed."""

_LATE_NS: Final = 60 * NS_PER_SECOND
"""A notification that is told later than this says of when it is."""


# ------------------------------------------------------------------------------------------------------------ routes


class Judged(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one route says of a notification."""

    route: int
    """Its number, from 1; 0 is the rule that holds where no route matches."""
    matches: bool
    why: str
    channels: tuple[str, ...] = ()


def judged(rules: Rules, owner: str, kind: str, severity: Severity) -> list[Judged]:
    """What each route says, in order, up to a final one; then what holds where none matches.

    With no routes at all everything goes everywhere. Where there are some and none matches, only what is critical does:
    silence in an emergency must be asked for, by a final route without channels.
    """
    found: list[Judged] = []
    for number, route in enumerate(rules.routes, start=1):
        why = route.differs(owner, kind, severity)
        if why is not None:
            found.append(Judged(route=number, matches=False, why=why))
            continue
        words = f"owner {route.owner!r}, kind {route.kind!r}, severity from {route.severity}"
        words += "; final" if route.final else ""
        found.append(Judged(route=number, matches=True, why=words, channels=route.channels))
        if route.final:
            break
    if not any(one.matches for one in found):
        everywhere = tuple(channel.name for channel in rules.channels)
        if not rules.routes:
            found.append(
                Judged(route=0, matches=True, why="no routes: everything goes everywhere", channels=everywhere)
            )
        elif severity == "critical":
            why = "no route matches, and what is critical then goes everywhere"
            found.append(Judged(route=0, matches=True, why=why, channels=everywhere))
    return found


def channels_of(found: Iterable[Judged]) -> list[str]:
    """The channels that matching routes name, each once, in the order of the routes."""
    return list(dict.fromkeys(name for one in found for name in one.channels))


def routed(rules: Rules, notify: Notify) -> list[str]:
    """The channels that a notification goes to."""
    return channels_of(judged(rules, notify.owner, notify.kind, notify.severity))


# ---------------------------------------------------------------------------------------------------------- delivery


class Delivery(msgspec.Struct, frozen=True, rename="camel"):
    """A notification on its way over one channel."""

    channel: str
    notify: Notify
    at: int
    """When it was asked for, ns."""
    after: int = 0
    """Not to be told before, ns."""

    @property
    def summary(self) -> bool:
        """Does it tell how many were suppressed?"""
        return self.notify.kind == SUMMARY

    @property
    def urgent(self) -> bool:
        """May it use what a limit keeps in reserve?"""
        return self.notify.severity == "critical" and not self.summary

    @property
    def digest(self) -> str:
        """Equal for notifications that are duplicates of each other."""
        said = self.notify
        same = ["key", said.dedupe] if said.dedupe else ["text", said.title, said.body]
        content = msgspec.json.encode([said.owner, said.kind, said.severity, *same])
        return hashlib.blake2b(content, digest_size=8).hexdigest()


def summary_of(delivery: Delivery, at: int) -> Delivery:
    """What is to tell, from ``at`` (ns) on, how many were suppressed; ``delivery`` was the first."""
    notify = Notify(kind=SUMMARY, severity=delivery.notify.severity, title="Suppressed notifications")
    return Delivery(delivery.channel, notify, delivery.at, at)


class Hold(msgspec.Struct, frozen=True):
    """Quiet hours hold a notification back."""

    until: datetime
    drop: bool


def held(rules: Rules, delivery: Delivery, now: datetime) -> Hold | None:
    """Do quiet hours hold it back at ``now``?

    Raises:
        InvalidInput: the channel is no longer configured.
    """
    quiet = rules.channel(delivery.channel).quiet_hours
    until = None if quiet is None else quiet.until(delivery.notify.severity, now)
    return None if quiet is None or until is None else Hold(until, quiet.then == "drop")


# ------------------------------------------------------------------------------------------------------------- limits


class Passed(msgspec.Struct, frozen=True):
    """One that was let through."""

    at: int
    digest: str
    """Of its content; empty once it is known to have failed, so that an equal one is no duplicate."""


class ChannelState(msgspec.Struct, frozen=True):
    """What a channel remembers."""

    passed: tuple[Passed, ...] = ()
    """Oldest first; no longer than the limit and the dedupe window look back."""
    suppressed: int = 0
    """By the limit, since somebody was last told of it."""
    since: int = 0
    """When the first of these was."""
    summary_at: int = 0
    """When somebody will be told of them at the latest; 0: no summary is under way."""
    summary_severity: Severity = "info"
    """How much the summary under way matters: quiet hours ask."""
    worst: Severity = "info"
    """The most severe of those that were suppressed."""


class Message(msgspec.Struct, frozen=True):
    """What a channel is given to say."""

    title: str
    body: str
    severity: Severity


class Verdict(msgspec.Struct, frozen=True):
    """Whether a channel takes a notification now."""

    action: Literal["send", "duplicate", "limit", "nothing"]
    state: ChannelState
    """The channel's from here on."""
    message: Message | None = None
    """To be sent."""
    summary_at: int = 0
    """When to start (or to try again) the summary, if this one is to see to it; ns."""


def admitted(rules: Rules, delivery: Delivery, state: ChannelState, now: datetime) -> Verdict:
    """Does the channel take it at ``now``?

    Raises:
        InvalidInput: the channel is no longer configured.
    """
    channel, at = rules.channel(delivery.channel), timestamp_ns(now)
    per = channel.limit.per_ns
    kept = tuple(one for one in state.passed if at - one.at < max(per, rules.dedupe_ns))
    if delivery.summary and not state.suppressed:
        return Verdict("nothing", msgspec.structs.replace(state, summary_at=0))
    if not delivery.summary and any(one.digest == delivery.digest and at - one.at < rules.dedupe_ns for one in kept):
        return Verdict("duplicate", state)
    window = [one.at for one in kept if at - one.at < per]
    if len(window) >= channel.limit.room(delivery.urgent):
        # there is room for a summary, which is never urgent, once this one has left the window
        return _over(delivery, state, at, per, free_at=window[-channel.limit.room(urgent=False)] + per)
    after = ChannelState(
        passed=(*kept, Passed(at, delivery.digest)),
        summary_at=0 if delivery.summary else state.summary_at,
        summary_severity=state.summary_severity,
    )
    return Verdict("send", after, _message(channel, delivery, state, at))


def _over(delivery: Delivery, state: ChannelState, at: int, per: int, free_at: int) -> Verdict:
    """The limit is reached until ``free_at``: count it, and see that a summary will tell."""
    if delivery.summary:
        return Verdict("limit", msgspec.structs.replace(state, summary_at=free_at), summary_at=free_at)
    severity = delivery.notify.severity
    # one that is long overdue was cancelled or died: another takes its place. One that matters less than this may be
    # held back by quiet hours: another tells of it before, and it finds that there is nothing to tell
    heard = at_least(state.summary_severity, severity)
    under_way = state.summary_at and at <= state.summary_at + per and heard
    after = ChannelState(
        passed=state.passed,
        suppressed=state.suppressed + 1,
        since=state.since or at,
        summary_at=state.summary_at if under_way else free_at,
        summary_severity=state.summary_severity if under_way else severity,
        worst=state.worst if at_least(state.worst, severity) else severity,
    )
    return Verdict("limit", after, summary_at=0 if under_way else free_at)


def failed(state: ChannelState | None, digest: str) -> ChannelState | None:
    """The state after one that was let through has failed: it keeps its place in the window, but has no duplicates."""
    if state is None:
        return None
    passed = tuple(Passed(one.at, "") if one.digest == digest else one for one in state.passed)
    return msgspec.structs.replace(state, passed=passed)


# -------------------------------------------------------------------------------------------------------------- words


def _message(channel: Channel, delivery: Delivery, state: ChannelState, at: int) -> Message:
    said = delivery.notify
    late = [_clock(delivery.at)] if at - delivery.at > _LATE_NS else []
    facts = [", ".join([said.kind, *([said.owner] if said.owner else []), *late])]
    if state.suppressed:
        worse = not at_least(said.severity, state.worst)
        worst = f", the worst {state.worst}" if worse and not delivery.summary else ""
        more = f"{state.suppressed} more suppressed since {_clock(state.since)}{worst}: {channel.limit}"
        if delivery.summary:
            return Message(f"[{state.worst}] {state.suppressed} more suppressed", more, state.worst)
        facts.append(more)
    body = "\n\n".join(part for part in (said.body, "\n".join(facts)) if part)
    return Message(f"[{said.severity}] {said.title}", body, said.severity)


def _clock(at: int) -> str:
    return f"{from_ns(at):%Y-%m-%d %H:%M} UTC"
