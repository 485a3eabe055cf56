"""Questions that wait for a person, as a list for people and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.values import from_ns

_PAGE: Final = """
SELECT a.id, a.run, r.id, r.workflow, r.owner, a.question, a.asked_at, a.due
FROM approvals a JOIN runs r ON r.seq=a.run
WHERE (? IS NULL OR r.owner=?) AND (? IS NULL OR (a.asked_at, a.id) > (?, ?))
ORDER BY a.asked_at, a.id LIMIT ?"""


class ApprovalLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A question that waits for a person."""

    id: str
    """What `approvals.answer` takes."""
    run: str
    workflow: str
    owner: str
    question: str
    asked_at: datetime
    due: datetime | None
    """When no answer becomes a no."""


def approval_page(
    queries: Queries, owner: str | None, after: tuple[int, str] | None, limit: int
) -> tuple[list[ApprovalLine], tuple[int, str] | None]:
    """Open questions, oldest first; and what the next page is asked for with.

    Args:
        owner: only of this owner's runs.
        after: only those after one of this time (ns) and id.
    """
    when, id = after or (None, None)
    rows = queries.reader.rows(_PAGE, (owner, owner, when, when, id, limit + 1))
    found = [
        ApprovalLine(
            id=id,
            run=name or f"r{seq}",
            workflow=workflow,
            owner=whose,
            question=question,
            asked_at=from_ns(asked),
            due=from_ns(due) if due else None,
        )
        for id, seq, name, workflow, whose, question, asked, due in rows[:limit]
    ]
    following = (rows[limit - 1][6], rows[limit - 1][0]) if len(rows) > limit else None
    return found, following


def owner_of(queries: Queries, id: str) -> str | None:
    """Whose run asks an open question; ``None``: there is no such question."""
    found: str | None = queries.reader.one(
        "SELECT r.owner FROM approvals a JOIN runs r ON r.seq=a.run WHERE a.id=?", (id,)
    )
    return found
