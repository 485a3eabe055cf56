"""The workflows in Python that a process runs, and what became of their last runs."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.status import Status
from tickwork.graph.versioning.versions import PREFIX

WINDOW: Final = 5_000
"""The last runs of the tape, of which the figures are made."""


class WorkflowLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A workflow in Python."""

    name: str
    versions: list[int]
    triggers: list[str]
    """What starts its newest version, in words."""
    description: str
    recent: dict[str, int]
    """Its runs among the last 5,000 of the tape, by status."""
    success_rate: float | None
    """Of those that are over; 1 means all."""


def workflow_lines(queries: Queries, known: list[dict[str, Any]]) -> list[WorkflowLine]:
    """The workflows that are no documents, by name.

    Args:
        known: what the verb ``workflows`` tells.
    """
    counts: dict[str, Counter[str]] = {}
    rows = queries.reader.rows(
        "SELECT workflow, status, count(*) FROM (SELECT workflow, status FROM runs ORDER BY seq DESC LIMIT ?) "
        "GROUP BY workflow, status",
        (WINDOW,),
    )
    for workflow, status, count in rows:
        counts.setdefault(workflow, Counter())[Status(status).name.lower()] += count
    return [_line(one, counts.get(one["name"], Counter())) for one in known if not one["name"].startswith(PREFIX)]


def _line(known: dict[str, Any], recent: Counter[str]) -> WorkflowLine:
    good = recent["done"] + recent["continued"]
    over = good + recent["dead"] + recent["failed"]
    return WorkflowLine(**known, recent=dict(recent), success_rate=good / over if over else None)
