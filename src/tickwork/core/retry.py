"""When to try again, and how long to wait before."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from tickwork.errors import Fatal, InvalidInput, StepFailed
from tickwork.values import duration

DEFAULT_CAP = "5 minutes"


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy.

    Args:
        limit: how many times to try *again* after the first attempt.
        delay: before the first retry; a ``timedelta`` or a text such as ``"1 second"``.
        backoff: ``"exponential"`` doubles the delay each time, ``"fixed"`` keeps it.
        cap: no wait is longer; by default 5 minutes, or the delay if that is longer.
        jitter: the share of each wait, 0 to 1, that is drawn at random (from the run's own randomness).
        fatal: exception classes that are not retried; subclasses of ``Fatal`` never are.
    """

    limit: int = 3
    delay: timedelta | str = "1 second"
    backoff: Literal["exponential", "fixed"] = "exponential"
    cap: timedelta | str | None = None
    jitter: float = 0.0
    fatal: tuple[type[BaseException], ...] = ()
    _delay: int = field(init=False, repr=False, compare=False)
    _cap: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 0:
            raise InvalidInput("retry.limit", self.limit, "a whole number from 0")
        if self.backoff not in ("exponential", "fixed"):
            raise InvalidInput("retry.backoff", self.backoff, "'exponential' or 'fixed'")
        if not 0 <= self.jitter <= 1:
            raise InvalidInput("retry.jitter", self.jitter, "a share from 0 to 1")
        delay = duration(self.delay, "retry.delay")
        cap = max(delay, duration(DEFAULT_CAP)) if self.cap is None else duration(self.cap, "retry.cap")
        if cap < delay:
            raise InvalidInput("retry.cap", self.cap, f"at least the delay, {self.delay}")
        object.__setattr__(self, "_delay", delay)
        object.__setattr__(self, "_cap", cap)

    def allows(self, error: BaseException, failures: int) -> bool:
        """May it be tried again after ``failures`` failed attempts, the last with ``error``?"""
        if isinstance(error, StepFailed) and error.fatal:
            return False
        return failures <= self.limit and not isinstance(error, (Fatal, *self.fatal))

    def wait(self, failures: int, chance: float) -> int:
        """ns to wait after the ``failures``-th failure; ``chance`` is a random number from 0 to 1."""
        # past 2**63 the cap has long been reached; a larger shift would only build a huge integer
        grown = self._delay << min(failures - 1, 63) if self.backoff == "exponential" else self._delay
        wait = min(grown, self._cap)
        return int(wait * (1 - self.jitter * chance))


NEVER = Retry(limit=0)
