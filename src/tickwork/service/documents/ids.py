"""Ids of executions: each owner's are its own, whatever other owners call theirs.

A run's id is one of the whole tape. So the run of an execution that got an id is ``<owner>:<id>`` (``graph.tenants``),
and the owner hears and says ``<id>``. Without an owner the two are the same, but for ids with a colon.
"""

from __future__ import annotations

from typing import Final

from tickwork.engines.embedded.family import check_id
from tickwork.errors import InvalidInput
from tickwork.graph.tenants import BETWEEN, bare, own

ID_MAX: Final = 128
"""Characters of an execution's id: with its owner's part it must fit the id of a run."""


def run_id(owner: str, id: str) -> str:
    """The id of the run of an owner's execution that is given this id."""
    if owner:
        return own(owner, id)
    return f"{BETWEEN}{id}" if BETWEEN in id else id  # it is not to pass for another owner's


def execution_id(owner: str, run: str) -> str:
    """What an owner calls one of its runs."""
    known = bare(owner, run) if owner else run.removeprefix(BETWEEN)
    return run if known is None else known


def check_execution_id(id: str) -> None:
    """
    Raises:
        InvalidInput: an execution cannot be given this id.
    """
    try:
        check_id(id)
    except InvalidInput as error:
        raise InvalidInput("execution_id", id[:ID_MAX], error.expected) from None
    if len(id) > ID_MAX:
        raise InvalidInput("execution_id", f"{len(id)} characters", f"at most {ID_MAX}")
