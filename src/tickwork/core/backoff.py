"""Exact waits: how long until the next try.

``backoff`` doubles with each attempt; ``anchored_backoff`` follows a time that something is expected at, such as the
launch of a listing; ``with_retry`` is the policy of a call that is made so many times in total.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tickwork.core.retry import Retry
from tickwork.errors import InvalidInput
from tickwork.values import LONGEST_NS, DurationLike, duration, duration_text, timestamp_ns, to_timedelta

DOUBLINGS_MAX = 63
"""After so many doublings even a nanosecond is longer than any cap."""


def backoff(attempt: int, base: DurationLike = "1 second", cap: DurationLike = "300 seconds") -> timedelta:
    """``base * 2**attempt``, and no more than ``cap``.

    The listing sniper's recheck, ``min(1000 * 2**attempt, 300000)`` ms: attempts 1 to 9 wait 2, 4, 8, 16, 32, 64, 128,
    256 and 300 seconds, 13.5 minutes in total.

    Raises:
        InvalidInput: an attempt below 0, or not a duration.
    """
    if isinstance(attempt, bool) or not isinstance(attempt, int) or attempt < 0:
        raise InvalidInput("backoff(attempt)", attempt, "a whole number from 0")
    grown = duration(base, "backoff(base)") << min(attempt, DOUBLINGS_MAX)
    return to_timedelta(duration_text(min(grown, duration(cap, "backoff(cap)"))), "backoff")


def anchored_backoff(
    attempt: int,
    now: datetime,
    anchor: datetime | None,
    *,
    far: DurationLike = "30 seconds",
    near: DurationLike = "5 seconds",
    within: DurationLike = "60 minutes",
    grace: DurationLike = "5 minutes",
) -> timedelta | None:
    """How long to wait before looking again for what is expected at ``anchor``; ``None``: it is over, look no more.

    Every ``far`` until ``within`` before the anchor, from then on every ``near``, until ``grace`` after it: what is
    announced for a time is often late. No count of attempts ends it, because launches are announced hours ahead. Only
    where no time is known (``anchor`` is ``None``) the wait is ``backoff(attempt)``.

    Raises:
        InvalidInput: a naive time, not a duration, or an attempt below 0.
    """
    if anchor is None:
        return backoff(attempt)
    left = timestamp_ns(anchor, "anchored_backoff(anchor)") - timestamp_ns(now, "anchored_backoff(now)")
    if left < -duration(grace, "anchored_backoff(grace)"):
        return None
    if left < duration(within, "anchored_backoff(within)"):
        return to_timedelta(near, "anchored_backoff(near)")
    return to_timedelta(far, "anchored_backoff(far)")


def missed(now: datetime, anchor: datetime, lead: DurationLike = "10 seconds") -> bool:
    """Is less than ``lead`` left before ``anchor``? What is found ready only now cannot be prepared in time.

    Raises:
        InvalidInput: a naive time, or not a duration.
    """
    return timestamp_ns(anchor, "missed(anchor)") - timestamp_ns(now, "missed(now)") < duration(lead, "missed(lead)")


def with_retry(limit: int = 3, base: DurationLike = "1 second") -> Retry:
    """The policy of ``withRetry(fn, limit, base)``: ``limit`` attempts in total, waits of ``base * 2**n`` between them.

    Three attempts wait 1 s and 2 s; there is no wait after the last.

    Raises:
        InvalidInput: a limit below 1, not a duration, or waits of more than 100 years.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidInput("with_retry(limit)", limit, "a whole number from 1: attempts in total")
    first = duration(base, "with_retry(base)")
    longest = first << min(max(limit - 2, 0), DOUBLINGS_MAX)
    if longest > LONGEST_NS:
        raise InvalidInput("with_retry(limit)", limit, f"fewer attempts: the last wait would be {longest} ns")
    return Retry(limit=limit - 1, delay=duration_text(first), cap=duration_text(longest))
