"""What is wrong with a document: problems, collected until all are known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Any, Final, Literal

import msgspec

from tickwork.errors import InvalidDocument, InvalidExpression, InvalidInput, plain, problem_text

MAX_TOLD: Final = 100
"""Problems that an error carries; of more, it says how many there are."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong, or, as a warning, that is likely not meant."""

    path: str
    """Where, e.g. ``nodes.fetch.params.depth``."""
    found: Any
    expected: str
    severity: Literal["error", "warning"] = "error"
    position: int = -1
    """Where in ``found``, if that is the text of an expression."""

    def __str__(self) -> str:
        return problem_text(self.path, self.found, self.expected, self.position)


class Problems:
    """Collects problems; ``check`` raises if any of them is an error."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, found: Any, expected: str) -> None:
        """An error."""
        self.found.append(Problem(path, plain(found), expected))

    def warn(self, path: str, found: Any, expected: str) -> None:
        """A warning."""
        self.found.append(Problem(path, plain(found), expected, "warning"))

    def caught(self, error: InvalidInput, path: str = "") -> None:
        """What a reader raised, under ``path`` where that says more than the error's own."""
        if isinstance(error, InvalidDocument):
            for where, found, expected, *position in error.args[1]:
                self.found.append(Problem(where, found, expected, "error", *position))
        elif isinstance(error, InvalidExpression):
            self.found.append(Problem(path or error.path, error.found, error.expected, "error", error.position))
        else:
            self.add(path or error.path, error.found, error.expected)

    @property
    def errors(self) -> list[Problem]:
        """Without the warnings."""
        return [problem for problem in self.found if problem.severity == "error"]

    @property
    def warnings(self) -> list[Problem]:
        """Only the warnings."""
        return [problem for problem in self.found if problem.severity == "warning"]

    def check(self, document: str) -> None:
        """
        Raises:
            InvalidDocument: there are errors.
        """
        if self.errors:
            raise invalid(document, self.errors)


def invalid(document: str, problems: Iterable[Problem]) -> InvalidDocument:
    """The error that tells of all of them."""
    told = [[one.path, one.found, one.expected] + ([one.position] if one.position >= 0 else []) for one in problems]
    if len(told) > MAX_TOLD:
        told = [*told[:MAX_TOLD], ["...", f"{len(told) - MAX_TOLD} more problems", "these to be mended first"]]
    return InvalidDocument(document, told)


def nearest(name: str, known: Iterable[str], limit: int = 3) -> str:
    """``"'fetch' (did you mean ...)"``: what would be right instead of a name, the likeliest first."""
    names = sorted(set(known))
    if not names:
        return "there are none"
    close = get_close_matches(str(name), names, limit, 0.5)
    if close:
        return "did you mean " + " or ".join(repr(one) for one in close) + "?"
    names.sort(key=lambda known: SequenceMatcher(None, str(name), known).ratio(), reverse=True)
    return "one of " + ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
