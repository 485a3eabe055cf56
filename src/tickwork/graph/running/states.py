"""What became of the nodes of a run."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Status = Literal["pending", "running", "completed", "failed", "skipped", "cancelled"]
ENDED: Final = frozenset({"completed", "failed", "skipped", "cancelled"})


class NodeError(msgspec.Struct, frozen=True, rename="camel"):
    """A node that failed, and what it died of."""

    node: str
    error: str
    """Class and words."""


class Outcome(msgspec.Struct, frozen=True, rename="camel"):
    """The result of a run of a document."""

    status: Literal["completed", "completed_with_errors"]
    nodes: dict[str, Status]
    """What became of each node, by id."""
    outputs: dict[str, dict[str, Any]]
    """Of the nodes that nothing comes after."""
    errors: list[NodeError] = []


class Change(msgspec.Struct, frozen=True):
    """A node's status has changed."""

    node: int
    status: Status
    inputs: dict[str, Any] | None = None
    """What it was given, where it begins."""
    outputs: dict[str, Any] | None = None
    """What it gave, where it was done."""
    error: BaseException | None = None
    reason: str = ""
    """Why it was skipped."""
    undone: bool = False
    """Taken back, after it had been done."""
    undo_error: BaseException | None = None
    """Why it could not be taken back."""
