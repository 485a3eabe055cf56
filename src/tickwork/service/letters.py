"""Dead letters, as a list for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tickwork.engines.embedded.queries import DeadLetter, Queries
from tickwork.errors import InvalidInput

_COUNT: Final = "SELECT count(*) FROM letters WHERE status=0 AND (? IS NULL OR source=?) AND (? IS NULL OR code=?)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which letters."""

    source: str | None = None
    code: str | None = None
    owner: str | None = None
    """Only those of this owner's runs; ``None``: all."""
    open_only: bool = True


def letter_lines(
    queries: Queries, source: str | None = None, code: str | None = None, every: bool = False, limit: int = 20
) -> list[DeadLetter]:
    """Open letters, or ``every`` one, newest first."""
    return queries.dead_letters(source=source, code=code, open_only=not every, limit=limit)


def letter_page(
    queries: Queries, which: Chosen, before: tuple[int, int] | None, limit: int
) -> tuple[list[DeadLetter], tuple[int, int] | None]:
    """Letters, newest first, and what the next page is asked for with; ``None``: there is none."""
    found = queries.letters(
        source=which.source, code=which.code, owner=which.owner, open_only=which.open_only, before=before,
        limit=limit + 1,
    )  # fmt: skip
    return [letter for _, letter in found[:limit]], found[limit - 1][0] if len(found) > limit else None


def letter_count(queries: Queries, which: Chosen) -> int:
    """How many open letters there are of a source, with a code, or at all."""
    values = (which.source, which.source, which.code, which.code)
    kept: int = queries.reader.one(_COUNT, values)
    return kept + queries.dead_messages(which.source, which.code)


def chosen(ids: Sequence[str], source: str | None, code: str | None, every: bool) -> None:
    """
    Raises:
        InvalidInput: no letters are said, or some of them and all.
    """
    if every and (ids or source or code):
        raise InvalidInput("letters", "every and others", "ids, a source and a code, or every: not both")
    if not (ids or source or code or every):
        raise InvalidInput("letters", "none", "ids, a source, a code, or every")
