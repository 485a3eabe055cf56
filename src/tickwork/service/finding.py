"""What a look at a tape finds, and what every check of it is given."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from tickwork.core.view import View
from tickwork.engines.embedded.queries import Queries
from tickwork.service.ownership import Owner
from tickwork.values import from_ns

Severity = Literal["ok", "notice", "warning", "error"]
"""``notice``: somebody may want to know; ``warning``: look at it; ``error``: something does not work."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one check found."""

    severity: Severity
    what: str
    """What was looked at."""
    detail: str
    advice: str
    """What to do; empty where nothing is to be done."""


class Said(NamedTuple):
    """A finding as its check says it."""

    severity: Severity
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What is examined."""

    queries: Queries
    owner: Owner | None
    now: int
    """ns, by this machine's clock."""

    @property
    def answering(self) -> Owner | None:
        """The process that has the tape open, where it answers."""
        return self.owner if self.owner is not None and not self.owner.problem else None

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a query."""
        return self.queries.reader.rows(sql, values)

    def states(self, view: View) -> dict[str, Any]:
        """What a view holds by key; nothing where the last process that had the tape open did not keep it."""
        if self.queries.reader.one("SELECT version FROM view_versions WHERE view=?", (view.name,)) != view.version:
            return {}
        rows = self.rows("SELECT key, state FROM views WHERE view=? ORDER BY key", view.name)
        return {key: view.codec.decode(state, f"state of view {view.name!r}") for key, state in rows}


def many(count: int, noun: str) -> str:
    """A number of things: ``1 run``, ``1,200 runs``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def some(names: Collection[str], most: int = 5) -> str:
    """Names in a sentence: the first of them, and how many more there are."""
    told = ", ".join(list(names)[:most])
    return told if len(names) <= most else f"{told} and {len(names) - most:,} more"


def moment(ns: int) -> str:
    """A time (ns) for people; all are UTC."""
    return f"{from_ns(ns):%Y-%m-%d %H:%M:%S}"


def command(*words: str) -> str:
    """A command line to be copied."""
    return f"`tickwork {shlex.join(words)}`"
