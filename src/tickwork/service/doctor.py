"""The doctor: one look that says what is not well with a tape and the process that owns it, and what to do about it.

It reads the tape, which another process may own, and asks that process what only it knows. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from tickwork.engines.embedded.queries import Queries
from tickwork.errors import TickworkError
from tickwork.service import checks_of_line, checks_of_runs, checks_of_trading, checks_of_world
from tickwork.service.finding import Case, Finding, Said, Severity
from tickwork.service.ownership import Owner


class _Check(NamedTuple):
    what: str
    look: Callable[[Case], Iterator[Said]]
    well: str = ""
    """What to say when it finds nothing; a check without this always says something."""


_CHECKS: Final = (
    _Check("owner", checks_of_runs.owner),
    _Check("runs", checks_of_runs.runs, "none is stranded, diverged or paused"),
    _Check("dead letters", checks_of_runs.letters, "none is open"),
    _Check("approvals", checks_of_runs.approvals, "no question has waited for a person for more than a day"),
    _Check("halts", checks_of_trading.halts, "none stands"),
    _Check("orders in doubt", checks_of_trading.doubts, "there is none"),
    _Check("reconciliation", checks_of_trading.books, "the books agree with the venues"),
    _Check("queues", checks_of_line.queues, "none is full, late or undeclared"),
    _Check("flow control", checks_of_line.flow, "no long line"),
    _Check("schedules", checks_of_line.schedules, "none is stranded, paused or overdue"),
    _Check("breakers", checks_of_line.breakers, "all are closed"),
    _Check("feeds", checks_of_world.feeds, "none is silent"),
    _Check("unfed", checks_of_world.unfed, "nothing waits for what no feed brings"),
    _Check("notifications", checks_of_world.notifications, "none failed or is held back"),
    _Check("disk", checks_of_world.disk),
    _Check("clock", checks_of_world.clock, "the tape is not ahead of this machine's"),
)

_WORST_FIRST: Final[tuple[Severity, ...]] = ("error", "warning", "notice", "ok")


def examine(queries: Queries, owner: Owner | None, now: int) -> list[Finding]:
    """Look at everything; at least one finding of each check, the worst first.

    Args:
        owner: what ``service.ownership.owner_of`` says; ``None``: nobody has the tape open.
        now: ns since 1970 UTC, by this machine's clock, taken after ``owner``.
    """
    case = Case(queries, owner, now)
    found = [finding for check in _CHECKS for finding in _findings(check, case)]
    return worst_first(found)


def worst_first(found: list[Finding]) -> list[Finding]:
    """In order of severity; those of one severity as they were."""
    return sorted(found, key=lambda finding: _WORST_FIRST.index(finding.severity))


def is_well(findings: list[Finding]) -> bool:
    """Is nothing worse than a notice?"""
    return all(finding.severity in ("ok", "notice") for finding in findings)


def _findings(check: _Check, case: Case) -> list[Finding]:
    try:
        said = list(check.look(case)) or [Said("ok", check.well)]
    except (TickworkError, msgspec.MsgspecError) as error:  # what cannot be read must not hide what can
        said = [Said("error", f"cannot be read: {error}", "restore the tape from a backup if it is damaged")]
    return [Finding(severity=one.severity, what=check.what, detail=one.detail, advice=one.advice) for one in said]
