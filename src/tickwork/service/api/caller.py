"""Who asks, and what they may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tickwork.errors import InvalidInput

Scope = Literal["read", "operate", "trade", "admin"]
"""Look; run workflows, and stop trading; place orders, and let trading go on; say who may what."""

SCOPES: Final[tuple[str, ...]] = get_args(Scope)

Face = Literal["cli", "http", "mcp", "ws"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls an operation."""

    name: str
    """``local`` for whoever sits at this machine, else the name of a token."""
    face: Face
    scopes: frozenset[str]
    accounts: frozenset[str] | None = None
    """The accounts it may trade; ``None``: all."""
    owner: str | None = None
    """Whose runs, documents and alerts it sees; ``None``: everybody's."""

    def may(self, scope: str) -> bool:
        """Has it this right? ``admin`` has every one, and whoever may do something may look."""
        return scope in self.scopes or "admin" in self.scopes or (scope == "read" and bool(self.scopes))


def local(face: Face, scopes: Iterable[str] = SCOPES) -> Caller:
    """Whoever sits at this machine."""
    return Caller(name="local", face=face, scopes=checked_scopes(scopes))


def checked_scopes(scopes: Iterable[str], path: str = "scopes") -> frozenset[str]:
    """
    Raises:
        InvalidInput: one of them is none.
    """
    found = frozenset(scopes)
    for scope in sorted(found - frozenset(SCOPES)):
        raise InvalidInput(path, scope, f"one of {', '.join(SCOPES)}")
    return found
