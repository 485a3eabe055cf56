"""Hours of trading: ``NYSE``, ``24/7``, ``09:30-16:00 America/New_York``, ``mon-fri 22:00-02:00 UTC``.

Clock times are those of the named zone, so they follow its summer time. Hours that end at or before they begin go past
midnight; the days are those on which they begin. A market's name is resolved by whoever is given the sessions of
markets (``market.sessions.Sessions``), because they know holidays.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from tickwork.errors import InvalidInput
from tickwork.values import from_ns

ALWAYS: Final = "24/7"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = "|".join(_DAYS)
_RANGE: Final = re.compile(
    rf"(?:({_DAY})(?:-({_DAY}))?\s+)?(\d\d):(\d\d)\s*-\s*(\d\d):(\d\d)\s+(\S+)", re.ASCII | re.IGNORECASE
)
_MARKET: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_GOOD: Final = "a market such as 'NYSE', '24/7', or hours with a zone such as 'mon-fri 09:30-16:00 America/New_York'"
_MINUTES_A_DAY: Final = 24 * 60


class OpenHours(Protocol):
    """When trading is open. ``market.sessions.Sessions`` satisfies it."""

    def is_open(self, ns: int) -> bool:
        """Is it open at a time, in ns since 1970 UTC?"""
        ...


class Hours:
    """Hours of the day in a time zone. ``days``: Monday is 0; minutes count from midnight, the end is exclusive."""

    __slots__ = ("_days", "_first", "_last", "_zone")

    def __init__(self, days: frozenset[int], first: int, last: int, zone: ZoneInfo) -> None:
        self._days, self._first, self._last, self._zone = days, first, last, zone

    def is_open(self, ns: int) -> bool:
        """Is it open at a time, in ns since 1970 UTC?"""
        local = from_ns(ns).astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        if self._first < self._last:
            return self._first <= minute < self._last and local.weekday() in self._days
        if minute >= self._first:
            return local.weekday() in self._days
        return minute < self._last and (local - timedelta(days=1)).weekday() in self._days


class _Always:
    def is_open(self, ns: int) -> bool:
        return True


def is_market(text: str) -> bool:
    """Does a text that ``check_hours`` lets pass name a market?"""
    return text != ALWAYS and _MARKET.fullmatch(text) is not None


def check_hours(text: object, path: str = "session") -> str:
    """``text``, if it says hours or could be a market's name.

    Raises:
        InvalidInput: it is neither, or names no time zone.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidInput(path, repr(text)[:80], _GOOD)
    words = text.strip()
    if words != ALWAYS and not is_market(words):
        _hours(words, path)
    return words


def hours_of(text: str, markets: Callable[[str], OpenHours] | None = None, path: str = "session") -> OpenHours:
    """The hours that a text says. ``markets``: the sessions of a market by its name.

    Raises:
        InvalidInput: no hours, no such zone, or a market where none is known.
    """
    words = check_hours(text, path)
    if words == ALWAYS:
        return _Always()
    if not is_market(words):
        return _hours(words, path)
    if markets is None:
        raise InvalidInput(path, words, "hours with a zone: here no sessions of markets are known")
    return markets(words)


def _hours(text: str, path: str) -> Hours:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidInput(path, text[:80], _GOOD)
    from_day, to_day, *clock, zone = match.groups()
    numbers = [int(part) for part in clock]
    first, last = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if max(numbers[1], numbers[3]) > 59 or first >= _MINUTES_A_DAY or last > _MINUTES_A_DAY:
        raise InvalidInput(path, text, "clock times from 00:00 to 23:59; 24:00 only as an end")
    return Hours(_days(from_day, to_day), first, last, zone_named(zone, path))


def _days(first: str | None, last: str | None) -> frozenset[int]:
    if first is None:
        return frozenset(range(7))
    begin = _DAYS.index(first.lower())
    length = (_DAYS.index(last.lower()) - begin) % 7 + 1 if last else 1
    return frozenset((begin + day) % 7 for day in range(length))


def zone_named(name: str, path: str = "zone") -> ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        InvalidInput: no zone has this name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; a path out of the database; a folder of it
        raise InvalidInput(path, name, "the IANA name of a time zone, such as 'America/New_York'") from None
