"""The halt: whether trading may take new exposure.

Theory of operation. Four levels, each including what the one before it does: ``normal``; ``alert`` (people are told,
trading goes on); ``halt`` (no new exposure); ``shutdown`` (no new exposure, and the engine is going down). At every
level cancelling and reducing stay allowed: a halt that traps a position is worse than none.

The flag is a reading of the tape held in memory: whoever appends a halt record sets it, and a restart sets it again
from the tape. It can only be raised here; lowering is a separate act (``clear``), because an automatic rule that may
raise a halt must never be able to lift one that a person set.
"""

from __future__ import annotations

from typing import Final, Literal

from tickwork.errors import InvalidInput

HaltLevel = Literal["normal", "alert", "halt", "shutdown"]
LEVELS: Final[tuple[HaltLevel, ...]] = ("normal", "alert", "halt", "shutdown")


class Halt:
    """The current level with its reason."""

    __slots__ = ("level", "reason")

    def __init__(self, level: HaltLevel = "normal", reason: str = "") -> None:
        self.level: HaltLevel = "normal"
        self.reason = ""
        self.raise_to(level, reason)

    def raise_to(self, level: HaltLevel, reason: str) -> bool:
        """Go up to ``level``; a lower one changes nothing. True when the level changed.

        Raises:
            InvalidInput: no such level.
        """
        if level not in LEVELS:
            raise InvalidInput("halt.level", level, f"one of {', '.join(LEVELS)}")
        if LEVELS.index(level) <= LEVELS.index(self.level):
            return False
        self.level, self.reason = level, reason
        return True

    def clear(self) -> None:
        """Back to normal. A person's act."""
        self.level, self.reason = "normal", ""

    @property
    def stops_new_exposure(self) -> bool:
        """True from ``halt`` on."""
        return self.level in ("halt", "shutdown")
