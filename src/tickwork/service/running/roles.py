"""Roles: which of its work a process takes on (``--only``, ``--without``).

What protects positions runs in every process: following orders, halts, exits, reconciliation. ``--only`` chooses what
takes *new* work; it never takes protection away. Exits and reconciliation can be left out, by naming them in
``--without``, and a process says so as long as it runs. Following orders and halts cannot be left out: without them the
books would be wrong and the limits blind.

A workflow that takes no new work starts nothing of its own: events pass it by, its schedules are stranded, its queues
keep their messages. Its runs that there are go on to their end, and it can be started by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tickwork.errors import InvalidInput
from tickwork.graph.versioning.versions import named
from tickwork.notify.notifier import DELIVER, NOTIFY

WORKFLOWS: Final = "workflows"
ONE: Final = "workflow:"
EXITS: Final = "exits"
RECONCILIATION: Final = "reconciliation"
NOTIFICATIONS: Final = "notifications"
ACCOUNTS: Final = "accounts"
HALTS: Final = "halts"

PROTECTION: Final = (ACCOUNTS, HALTS, EXITS, RECONCILIATION)
"""Runs in every process."""
ROLES: Final = (WORKFLOWS, f"{ONE}NAME", *PROTECTION, NOTIFICATIONS)
NOTIFYING: Final = frozenset({NOTIFY, DELIVER})
"""The workflows that tell people."""
LEFT_OUT: Final = (EXITS, RECONCILIATION, NOTIFICATIONS)
"""What ``--without`` takes."""

_WARNINGS: Final = {
    EXITS: "no stop, target or time limit is watched by this process: open positions are not protected",
    RECONCILIATION: "the books are not compared with the venues",
    NOTIFICATIONS: "nobody is told of what happens meanwhile, not later either",
}


@dataclass(frozen=True, slots=True)
class Roles:
    """What a process takes on."""

    only: tuple[str, ...] = ()
    """Roles, as given; empty: all."""
    without: tuple[str, ...] = ()

    def takes(self, workflow: str) -> bool:
        """May a workflow of this name take new work? That of a document is known by its document's name as well."""
        if not self.only or WORKFLOWS in self.only:
            return True
        whose = named(workflow)
        return f"{ONE}{workflow}" in self.only or (whose is not None and f"{ONE}{whose.name}" in self.only)

    def admits(self, workflow: str) -> bool:
        """As ``takes``, for every workflow of a process: those that tell people are a role of their own."""
        if workflow in NOTIFYING:
            return self.runs(NOTIFICATIONS)
        return self.takes(workflow)

    def runs(self, role: str) -> bool:
        """Does a role other than a workflow's run? All do that are not left out."""
        return role not in self.without

    def check(self, workflows: Iterable[str]) -> None:
        """
        Raises:
            InvalidInput: a workflow is named that there is not; names those that there are.
        """
        names = sorted({_plain(one) for one in workflows if one not in NOTIFYING})
        for role in self.only:
            if role.startswith(ONE) and role.removeprefix(ONE) not in names:
                known = ", ".join(names) or "none is configured"
                raise InvalidInput("--only", role, f"a workflow or a document that is configured: {known}")

    def notes(self, workflows: Iterable[str]) -> list[str]:
        """Sentences for a person: what is left out."""
        told = [f"WITHOUT {role}: {_WARNINGS[role]}" for role in self.without]
        resting = sorted({_plain(name) for name in workflows if name not in NOTIFYING and not self.takes(name)})
        if resting:
            taken = ", ".join(self.only)
            told.append(f"only {taken}, and what protects positions: {', '.join(resting)} take no new work")
        return told


ALL_ROLES: Final = Roles()


def _plain(workflow: str) -> str:
    """A workflow's name as people write it: a document's own."""
    whose = named(workflow)
    return workflow if whose is None else whose.name


def read_roles(only: str = "", without: str = "") -> Roles:
    """Roles as a person gives them: names with commas between.

    Raises:
        InvalidInput: a role that there is not, or one that cannot be left out.
    """
    chosen, left_out = _words(only), _words(without)
    _each("--only", chosen, lambda role: role in ROLES or (role.startswith(ONE) and role != ONE), ROLES)
    for role in left_out:
        if role in (ACCOUNTS, HALTS):
            found = f"{role}, which protects open positions and cannot be left out"
            raise InvalidInput("--without", found, f"one of: {', '.join(LEFT_OUT)}")
    _each("--without", left_out, lambda role: role in LEFT_OUT, LEFT_OUT)
    both = next((role for role in chosen if role in left_out), None)
    if both is not None:
        raise InvalidInput("--without", f"{both}, which --only names", "a role in one of the two")
    return Roles(chosen, left_out)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in (part.strip() for part in text.split(",")) if word))


def _each(path: str, given: Sequence[str], fits: Callable[[str], bool], known: Sequence[str]) -> None:
    for role in given:
        if not fits(role):
            raise InvalidInput(path, role, f"one of: {', '.join(known)}")
