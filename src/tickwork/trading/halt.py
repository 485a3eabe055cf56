"""The halt: whether trading may take new exposure.

Theory of operation. Four levels, each including what the one before it does: ``normal``; ``alert`` (people are told,
trading goes on); ``halt`` (no new exposure); ``shutdown`` (no new exposure, and the engine is going down). At every
level cancelling and reducing stay allowed: a halt that traps a position is worse than none.

There is a level for each account and one for all of them; of the two the worse counts (``Halts.of``). The flag is a
reading of the tape held in memory. It can only be raised here; lowering is a separate act (``clear``), because an
automatic rule that may raise a halt must never be able to lift one that a person set.

**Rules** find breaches of limits (loss of a day, drawdown, error rate, a discrepancy, a venue that does not answer);
``judge`` says what they come to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from tickwork.errors import InvalidInput
from tickwork.values import DurationLike, duration, duration_text, rounded_text

HaltLevel = Literal["normal", "alert", "halt", "shutdown"]
LEVELS: Final[tuple[HaltLevel, ...]] = ("normal", "alert", "halt", "shutdown")


def check_level(level: Any, path: str = "halt.level") -> HaltLevel:
    """``level``, if it is one.

    Raises:
        InvalidInput: no such level.
    """
    if level not in LEVELS:
        raise InvalidInput(path, level, f"one of {', '.join(LEVELS)}")
    return level  # type: ignore[no-any-return]


def worse(level: HaltLevel, than: HaltLevel) -> bool:
    """Is it above the other?"""
    return LEVELS.index(level) > LEVELS.index(than)


class Halt:
    """The current level with its reason. ``above``: one that counts too, where it is worse."""

    __slots__ = ("_above", "_level", "_reason")

    def __init__(self, level: HaltLevel = "normal", reason: str = "", *, above: Halt | None = None) -> None:
        self._above = above
        self._level: HaltLevel = "normal"
        self._reason = ""
        self.raise_to(level, reason)

    @property
    def level(self) -> HaltLevel:
        """What counts."""
        above = self._worse_above()
        return self._level if above is None else above.level

    @property
    def reason(self) -> str:
        """Why."""
        above = self._worse_above()
        return self._reason if above is None else above.reason

    def _worse_above(self) -> Halt | None:
        above = self._above
        return above if above is not None and worse(above.level, self._level) else None

    def raise_to(self, level: HaltLevel, reason: str) -> bool:
        """Go up to ``level``; a lower one changes nothing. True when the level changed.

        Raises:
            InvalidInput: no such level.
        """
        if not worse(check_level(level), self._level):
            return False
        self._level, self._reason = level, reason
        return True

    def clear(self) -> None:
        """Back to normal, but for what is above. A person's act."""
        self._level, self._reason = "normal", ""

    @property
    def stops_new_exposure(self) -> bool:
        """True from ``halt`` on."""
        return self.level in ("halt", "shutdown")


class Halts:
    """The halt of every account, and the one of all."""

    def __init__(self) -> None:
        self._all = Halt()
        self._of: dict[str, Halt] = {}

    def of(self, account: str) -> Halt:
        """The halt that an account's desk looks at; of ``""`` the one of all accounts. Always the same object."""
        if not account:
            return self._all
        return self._of.setdefault(account, Halt(above=self._all))


# --------------------------------------------------------------------------------------------------------------- rules


class BreachLike(Protocol):
    """A limit that does not hold any more, or nearly so."""

    @property
    def rule(self) -> str:
        """Its name, e.g. ``max_daily_loss``."""
        ...

    @property
    def limit(self) -> str:
        """What was allowed."""
        ...

    @property
    def actual(self) -> str:
        """What is."""
        ...

    @property
    def level(self) -> str:
        """To which level it raises."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A breach of a rule that is none of the gate's."""

    rule: str
    limit: str
    actual: str
    level: HaltLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What breaches come to."""

    level: HaltLevel = "normal"
    rule: str = ""
    """The rule that decided."""
    reason: str = ""


def judge(breaches: Iterable[BreachLike]) -> Verdict:
    """The worst of them; of equals the first. A level that is none counts as ``halt``: a rule that cannot be read must
    not be one that never bites.
    """
    found = Verdict()
    for breach in breaches:
        level: HaltLevel = breach.level if breach.level in LEVELS else "halt"
        if worse(level, found.level):
            reason = f"{breach.rule}: limit {breach.limit}, actual {breach.actual}"
            found = Verdict(level=level, rule=breach.rule, reason=reason)
    return found


def silence(since: int | None, now: int, limit: DurationLike = "5 minutes", why: str = "") -> Cause | None:
    """Dead man's switch: what it comes to that a venue has not answered since a time (``None``: it has); times in ns.

    Raises:
        InvalidInput: the limit is no duration above zero.
    """
    allowed = duration(limit, "silence.limit")
    if not allowed:
        raise InvalidInput("silence.limit", limit, "a duration above zero")
    if since is None or now - since < allowed:
        return None
    actual = f"{rounded_text(now - since)} without an answer" + (f" ({why})" if why else "")
    return Cause(rule="venue_unreachable", limit=duration_text(allowed), actual=actual, level="alert")
