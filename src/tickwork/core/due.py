"""Which due times start a run, when some of them have passed. Pure: told the times and what time it is."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from tickwork.core.schedule import Missed, Times
from tickwork.errors import InvalidInput
from tickwork.values import NS_PER_SECOND

CATCH_UP_MAX: Final = 100
"""Due times that one look starts runs for, and how far those that passed are counted."""


class Due(NamedTuple):
    """A time to start a run for."""

    at: int
    """ns since 1970 UTC."""
    missed: int = 0
    """How many before it this one stands for."""


class Gone(NamedTuple):
    """Due times that start no run."""

    first: int
    last: int
    number: int | None
    """``None``: more than are counted."""


class Plan(NamedTuple):
    """What to do now."""

    fire: tuple[Due, ...]
    """In order of time."""
    gone: tuple[Gone, ...]
    next_due: int | None
    """The first due time after now."""


def after(times: Times, ns: int) -> int | None:
    """The first due time after ``ns``.

    Raises:
        InvalidInput: ``times`` gives one that is not.
    """
    found = times.next(ns)
    if found is not None and found <= ns:
        raise InvalidInput(f"next({ns}) of {times}", found, "a later time, in ns since 1970 UTC")
    return found


def plan(times: Times, next_due: int, now: int, missed: Missed, grace: int) -> Plan:
    """What becomes of ``next_due <= now`` and of everything due since then.

    What is due within ``grace`` before now is in time, and each of it starts a run. What was due earlier is missed.

    Raises:
        InvalidInput: the times cannot be told.
    """
    missed_until = now - grace - 1
    if next_due > missed_until or missed == "all":
        return _all_of(times, next_due, now)
    lost = _passed(times, next_due, missed_until, 1)
    if lost.following is not None and lost.following <= now:
        rest = _all_of(times, lost.following, now)
        if missed == "skip":
            return rest._replace(gone=(lost.whole, *rest.gone))
        first, *others = rest.fire
        return rest._replace(fire=(Due(first.at, _capped(lost.number)), *others))
    if missed == "skip":
        return Plan((), (lost.whole,), lost.following)
    return Plan((Due(lost.last[-1], _capped(lost.number and lost.number - 1)),), (), lost.following)


def gone_until(times: Times, next_due: int, now: int) -> Plan:
    """What becomes of everything due until now when none of it is to start a run.

    Raises:
        InvalidInput: the times cannot be told.
    """
    if next_due > now:
        return Plan((), (), next_due)
    passed = _passed(times, next_due, now, 1)
    return Plan((), (passed.whole,), passed.following)


def _all_of(times: Times, first: int, now: int) -> Plan:
    """A run for each due time, but only for the last ones where they are too many."""
    passed = _passed(times, first, now, CATCH_UP_MAX)
    left_out = () if passed.number else (Gone(first, _last(times, first, passed.last[0] - 1), None),)
    return Plan(tuple(Due(at) for at in passed.last), left_out, passed.following)


def _capped(number: int | None) -> int:
    return CATCH_UP_MAX if number is None else number


class _Passed(NamedTuple):
    """Due times from a first one up to some moment."""

    first: int
    last: list[int]
    """The latest of them, in order."""
    number: int | None
    """``None``: more than are counted."""
    following: int | None
    """The first due time after that moment."""

    @property
    def whole(self) -> Gone:
        """All of them."""
        return Gone(self.first, self.last[-1], self.number)


def _passed(times: Times, first: int, until: int, most: int) -> _Passed:
    """The due times in [first, until], of which ``first`` is one; the last ``most`` are told one by one."""
    kept: deque[int] = deque(maxlen=most)
    following: int | None = first
    for count in range(CATCH_UP_MAX):
        if following is None or following > until:
            return _Passed(first, list(kept), count, following)
        kept.append(following)
        following = after(times, following)
    if following is None or following > until:
        return _Passed(first, list(kept), CATCH_UP_MAX, following)
    # too many to walk through (a year of minutes): look for the last ones from behind
    kept.clear()
    before = until
    while len(kept) < most:
        kept.appendleft(_last(times, first, before))
        before = kept[0] - 1
    return _Passed(first, list(kept), None, after(times, until))


def _last(times: Times, first: int, until: int) -> int:
    """The last due time until ``until``, of which there is at least one: ``first``. Times only tell what comes next."""
    low, high, span = first, until, NS_PER_SECOND
    while until - span > first:
        found = after(times, until - span)
        if found is not None and found <= until:
            low = found
            break
        high = until - span
        span *= 2
    # `low` is a due time, and there is none beyond `high`
    while True:
        following = after(times, low)
        if following is None or following > until:
            return low
        low, middle = following, (following + high) // 2
        found = after(times, middle)
        if found is None or found > until:
            high = middle
        else:
            low = found
