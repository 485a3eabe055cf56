"""Dead letters, as a list for people and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tickwork.engines.embedded.queries import DeadLetter, Queries


class LetterLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One dead letter."""

    id: str
    kind: str
    source: str
    run: str
    error: str
    code: str
    attempts: int
    first_seen: datetime
    at: datetime
    status: str
    next_try: datetime | None
    body: Any


def letter_lines(
    queries: Queries, source: str | None = None, code: str | None = None, every: bool = False, limit: int = 20
) -> list[LetterLine]:
    """Open letters, or ``every`` one, newest first."""
    found = queries.dead_letters(source=source, code=code, open_only=not every, limit=limit)
    return [_line(letter) for letter in found]


def _line(letter: DeadLetter) -> LetterLine:
    return LetterLine(**{name: getattr(letter, name) for name in LetterLine.__struct_fields__})
