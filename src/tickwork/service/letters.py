"""Dead letters, as a list for people and programs."""

from __future__ import annotations

from tickwork.engines.embedded.queries import DeadLetter, Queries


def letter_lines(
    queries: Queries, source: str | None = None, code: str | None = None, every: bool = False, limit: int = 20
) -> list[DeadLetter]:
    """Open letters, or ``every`` one, newest first."""
    return queries.dead_letters(source=source, code=code, open_only=not every, limit=limit)
