"""Cron: times of the wall clock, as in a crontab.

Five fields, or six with the seconds first::

    [second] minute hour day-of-month month day-of-week      0 9 * * 1-5      */15 * * * * *

Each is ``*``, a number, a name (``JAN``, ``MON``), a range ``9-17``, a list ``1,15``, or a step ``*/5``, ``9-17/2``.
The day of the month may be ``L`` (the last) or ``LW`` (the last from Monday to Friday), the day of the week ``5L`` (the
last Friday) or ``MON#1`` (the first Monday); 0 and 7 are Sunday. Where neither of the two days begins with a star, one
of them is enough. ``@hourly``, ``@daily`` or ``@midnight``, ``@weekly``, ``@monthly``, ``@yearly`` or ``@annually``
stand for what they say.

The clock that is meant hangs in a time zone. When it is changed, this happens (as in Debian's cron, cron(8), and in
the library ``cronsim``, which finds the times):

* Five fields, and neither minute nor hour begins with a star: a job at a given time, once a day. If the clock skips
  that time (02:30 in the night in which 02:00 becomes 03:00) it runs at once after the gap, at 03:00; several skipped
  times are one. If the clock shows it twice, it runs the first time only.
* Otherwise it runs whenever the clock shows such a time: in both of two equal hours, and not in one that is skipped.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cronsim import CronSim, CronSimError

from tickwork.core.zone import zone_of
from tickwork.errors import InvalidInput
from tickwork.values import MAX_NS, NS_PER_SECOND

ALIASES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

TEXT_MAX: Final = 500

_SECOND: Final = timedelta(seconds=1)
_STRIDE: Final = timedelta(days=7)
"""Shorter than the shortest time between two changes of a clock (Morocco's in Ramadan are a month apart)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ANY_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - of a wall clock without a zone
_GOOD: Final = (
    "5 fields (minute hour day-of-month month day-of-week), 6 with the seconds first, or an alias such as '@daily'"
)
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_FIELDS: Final = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day-of-week", 0, 7, _DAYS),
)


class Cron:
    """A cron text in a time zone. Immutable; equal texts in equal zones are equal.

    Raises:
        InvalidInput: names the field and what it may hold; or the zone; or says that no such date ever comes.
    """

    __slots__ = ("_at_given_times", "_fields", "_zone", "text", "zone")

    def __init__(self, text: str, zone: str = "UTC") -> None:
        self.text: str = " ".join(text.split()) if isinstance(text, str) else ""
        """As it was given, with single spaces."""
        fields = _fields(text, self.text)
        self._zone = zone_of(zone)
        self.zone: str = zone
        """Name of the time zone."""
        self._fields = " ".join(fields)
        self._at_given_times = len(fields) == 5 and not fields[0].startswith("*") and not fields[1].startswith("*")
        self._check_comes(fields)

    def next(self, after_ns: int) -> int | None:
        """The first time after ``after_ns`` (ns since 1970 UTC), never that time itself.

        ``None``: there is none within 50 years, or none before 2262.
        """
        after = _EPOCH + timedelta(seconds=after_ns // NS_PER_SECOND)
        found = self._next_given(after) if self._at_given_times else self._next_shown(after)
        if found is None:
            return None
        ns = (found - _EPOCH) // _SECOND * NS_PER_SECOND
        return ns if ns <= MAX_NS else None

    def _next_given(self, after: datetime) -> datetime | None:
        """Of a job at given times: cronsim moves those that are skipped."""
        times = CronSim(self._fields, after.astimezone(self._zone))
        for time in times:
            found = time.astimezone(UTC)
            # in the second of two equal hours cronsim looks for times of the first one
            if found > after:
                return found
        return None

    def _next_shown(self, after: datetime) -> datetime | None:
        """The first moment at which the clock shows such a time.

        Between two changes it is a clock like any other, so cronsim is asked about one that never changes. (Asked about
        the zone's own it errs where a change is of half an hour or falls on midnight.)
        """
        earliest = after + _SECOND
        while True:
            offset = self._offset(earliest)
            shown = next(CronSim(self._fields, earliest.replace(tzinfo=None) + offset - _SECOND), None)
            if shown is None:
                return None
            found = shown.replace(tzinfo=UTC) - offset
            change = self._change(earliest, found, offset)
            if change is None:
                return found
            earliest = change

    def _offset(self, at: datetime) -> timedelta:
        return at.astimezone(self._zone).utcoffset() or timedelta()

    def _change(self, since: datetime, until: datetime, offset: timedelta) -> datetime | None:
        """The first moment until ``until`` from which on the clock is another one than at ``since``."""
        while since < until:
            then = min(since + _STRIDE, until)
            if self._offset(then) != offset:
                return self._change_between(since, then, offset)
            since = then
        return None

    def _change_between(self, same: datetime, other: datetime, offset: timedelta) -> datetime:
        while other - same > _SECOND:
            middle = same + (other - same) // _SECOND // 2 * _SECOND
            if self._offset(middle) == offset:
                same = middle
            else:
                other = middle
        return other

    def _check_comes(self, fields: list[str]) -> None:
        try:
            if next(CronSim(self._fields, _ANY_DAY), None) is not None:
                return
        except CronSimError:
            pass  # what it finds by itself: no month of those named has such a day
        day, month = fields[-3], fields[-2]
        found = f"{self.text} (day-of-month {day}, month {month})"
        raise InvalidInput("cron", found, "a date that comes: there is none within 50 years")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cron) and (self._fields, self.zone) == (other._fields, other.zone)

    def __hash__(self) -> int:
        return hash((self._fields, self.zone))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Cron({self.text!r}, {self.zone!r})"


def _fields(given: object, text: str) -> list[str]:
    """The checked fields: five, or six with the seconds.

    Raises:
        InvalidInput: names the field that cannot be.
    """
    if not text or len(text) > TEXT_MAX or not text.isascii():
        raise InvalidInput("cron", given if text else repr(given)[:80], _GOOD)
    if text.startswith("@"):
        meant = ALIASES.get(text.lower())
        if meant is None:
            raise InvalidInput("cron", text, f"one of {', '.join(ALIASES)}, or {_GOOD}")
        return meant.split()
    fields = text.upper().split()
    if len(fields) not in (5, 6):
        raise InvalidInput("cron", f"{text} ({len(fields)} field{'s' * (len(fields) != 1)})", _GOOD)
    return [
        ",".join(_term(field, term) for term in held.split(","))
        for field, held in zip(_FIELDS[-len(fields) :], fields, strict=True)
    ]


def _term(field: _Field, term: str) -> str:
    """One of a field's list, as cronsim reads it.

    Raises:
        InvalidInput: the field cannot hold it.
    """
    special = {"day-of-month": r"LW?", "day-of-week": r"[0-7]L|([0-7]|[A-Z]{3})#[1-5]"}.get(field.name)
    if (
        special is not None
        and re.fullmatch(special, term)
        and ("#" not in term or _number(field, term[:-2]) is not None)
    ):
        return term
    base, stepped, step = term.partition("/")
    numbers = [_number(field, text) for text in base.split("-")]
    first, last = numbers[0], numbers[-1]
    in_range = len(numbers) < 3 and first is not None and last is not None and first <= last
    good_step = not stepped or (step.isdigit() and len(step) < 3 and 0 < int(step) <= field.high)
    if not good_step or not (in_range or base == "*"):
        raise InvalidInput(f"cron field {field.name!r}", term, _good(field))
    # cronsim takes the range of a single number for that number alone, of which a step goes on to the end
    return str(first) if len(numbers) == 2 and first == last else term


def _number(field: _Field, text: str) -> int | None:
    if text in field.names:
        return field.names.index(text) + field.low
    return int(text) if text.isdigit() and len(text) < 3 and field.low <= int(text) <= field.high else None


def _good(field: _Field) -> str:
    """What a field may hold, for people."""
    names = f", {field.names[0]}-{field.names[-1]}" if field.names else ""
    said = f"*, {field.low}-{field.high}{names}, a range that ascends, a list, or a step up to {field.high}"
    more = {"day-of-month": ", L or LW", "day-of-week": ", 5L or MON#1 (Friday to Sunday is 5-7)"}
    return said + more.get(field.name, "")
