"""What a person configures: channels and their limits, routes, quiet hours. No URL: the secrets are elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import SkipValidation

from tickwork.core.zone import zone_of
from tickwork.errors import InvalidInput
from tickwork.notify.events import SEVERITIES, Severity, at_least
from tickwork.values import duration

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``max`` notifications of a channel within ``per``, counted when they are let through.

    Args:
        reserve: of these, how many only critical notifications may use, so that chatter never silences an emergency;
            by default a fifth.
    """

    max: int = 10
    per: Annotated[timedelta | str, SkipValidation] = "1 hour"
    reserve: int | None = None
    per_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _whole("limit.max", self.max, 1)
        per_ns = duration(self.per, "limit.per")
        if not per_ns:
            raise InvalidInput("limit.per", self.per, "a duration above zero")
        if self.reserve is not None:
            _whole("limit.reserve", self.reserve, 0)
            if self.reserve >= self.max:
                raise InvalidInput("limit.reserve", self.reserve, f"less than limit.max, which is {self.max}")
        object.__setattr__(self, "per_ns", per_ns)

    def room(self, urgent: bool) -> int:
        """How many of them a window takes."""
        return self.max if urgent else self.max - (self.max // 5 if self.reserve is None else self.reserve)

    def __str__(self) -> str:
        return f"at most {self.max} per {self.per}"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From ``start`` to ``end`` each day (local times of ``zone``; over midnight if ``end`` is before ``start``).

    Args:
        start: the first quiet minute, e.g. ``"22:00"``.
        end: the first minute that is not quiet.
        zone: a name of the IANA database, e.g. ``Europe/Berlin``.
        except_severity: what matters as much as this is sent all the same.
        then: what becomes of the others: ``hold`` them until the end, or ``drop`` them.
    """

    start: Annotated[time | str, SkipValidation]
    end: Annotated[time | str, SkipValidation]
    zone: str
    except_severity: Severity = "critical"
    then: Literal["hold", "drop"] = "hold"
    _start: time = field(init=False, repr=False, compare=False)
    _end: time = field(init=False, repr=False, compare=False)
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        start, end = _clock("quiet_hours.start", self.start), _clock("quiet_hours.end", self.end)
        if start == end:
            raise InvalidInput("quiet_hours.end", self.end, "another time than the start")
        zone = zone_of(self.zone, "quiet_hours.zone")
        _severity("quiet_hours.except_severity", self.except_severity)
        if self.then not in ("hold", "drop"):
            raise InvalidInput("quiet_hours.then", self.then, "'hold' or 'drop'")
        for name, value in (("_start", start), ("_end", end), ("_zone", zone)):
            object.__setattr__(self, name, value)

    def until(self, severity: Severity, now: datetime) -> datetime | None:
        """When (UTC, after ``now``) the quiet hours end that hold back ``severity`` at ``now``; ``None``: none do."""
        local = now.astimezone(self._zone)
        clock = local.time()
        if self._start < self._end:
            quiet = self._start <= clock < self._end
        else:
            quiet = clock >= self._start or clock < self._end
        if not quiet or at_least(severity, self.except_severity):
            return None
        day = local.date() + timedelta(days=0 if clock < self._end else 1)
        first, second = (datetime.combine(day, self._end.replace(fold=fold), self._zone) for fold in (0, 1))
        # where clocks go back the end comes twice, and the first of them may be over
        return first.astimezone(UTC) if first.astimezone(UTC) > now else second.astimezone(UTC)

    def __str__(self) -> str:
        clock = f"{self._start:%H:%M} to {self._end:%H:%M} {self.zone}"
        return f"{clock}, {self.then} what is less than {self.except_severity}"


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to reach someone: a name, and how often and when it may be used."""

    name: str
    limit: Limit = field(default_factory=Limit)
    quiet_hours: QuietHours | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidInput("channel.name", self.name, "1 to 50 letters, digits, '-' and '_'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Notifications that match go to ``channels``.

    Args:
        owner, kind: exact, or a pattern with ``*`` and ``?``.
        severity: the least that matches.
        final: routes after this one are not looked at when it matches; with no channels it silences.
    """

    channels: tuple[str, ...]
    owner: str = "*"
    kind: str = "*"
    severity: Severity = "info"
    final: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.channels, str) or not isinstance(self.channels, Iterable):
            raise InvalidInput("route.channels", self.channels, "a list of names of channels")
        object.__setattr__(self, "channels", tuple(self.channels))
        for what, pattern in (("owner", self.owner), ("kind", self.kind)):
            if not isinstance(pattern, str) or not pattern:
                raise InvalidInput(f"route.{what}", pattern, "a text, exact or with * and ?")
        _severity("route.severity", self.severity)
        if not self.channels and not self.final:
            raise InvalidInput("route.channels", "none", "at least one channel, or final = true to silence")

    def differs(self, owner: str, kind: str, severity: Severity) -> str | None:
        """Why a notification is not this route's; ``None`` when it is."""
        if not fnmatchcase(owner, self.owner):
            return f"owner {owner!r} is not {self.owner!r}"
        if not fnmatchcase(kind, self.kind):
            return f"kind {kind!r} is not {self.kind!r}"
        if not at_least(severity, self.severity):
            return f"{severity} is less than {self.severity}"
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that decides who hears of what.

    Args:
        routes: looked at in order; every one that matches counts, up to a final one. With none at all, everything goes
            to every channel.
        dedupe: how long a channel is spared an equal notification after one was let through.
    """

    channels: tuple[Channel, ...] = ()
    routes: tuple[Route, ...] = ()
    dedupe: timedelta | str = "5 minutes"
    dedupe_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "routes", tuple(self.routes))
        object.__setattr__(self, "dedupe_ns", duration(self.dedupe, "notify.dedupe"))
        names = [channel.name for channel in self.channels]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput("notify.channels", name, "names that no other channel has")
        for number, route in enumerate(self.routes):
            for name in route.channels:
                if name not in names:
                    raise InvalidInput(f"notify.routes.{number}.channels", name, _one_of(names))

    def channel(self, name: str) -> Channel:
        """A channel by its name.

        Raises:
            InvalidInput: there is none of this name.
        """
        for channel in self.channels:
            if channel.name == name:
                return channel
        raise InvalidInput("channel", name, _one_of(channel.name for channel in self.channels))


def _one_of(names: Iterable[str]) -> str:
    return "a channel that is configured: " + (", ".join(names) or "there is none")


def _whole(path: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(path, value, f"a whole number from {least}")


def _severity(path: str, value: Any) -> None:
    if value not in SEVERITIES:
        raise InvalidInput(path, value, f"one of {', '.join(SEVERITIES)}")


def _clock(path: str, value: Any) -> time:
    try:
        clock = value if isinstance(value, time) else time.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidInput(path, value, "a local time such as '22:00'") from None
    if clock.tzinfo is not None:
        raise InvalidInput(path, value, "a local time without a zone, such as '22:00': the zone has a field of its own")
    return clock
