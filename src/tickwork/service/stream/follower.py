"""Follows the tape: at each look it reads what is new, and what has become of the parts that somebody watches.

A look is one read transaction of a connection that no engine uses, in a thread. So its position and its data agree,
the engine's loop never waits for it, and what it tells is on disk.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from tickwork.core.tape import Entry
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.errors import InvalidInput
from tickwork.service.stream.events import REACH
from tickwork.service.stream.nodes import Nodes
from tickwork.service.stream.part import Change, Look, Part
from tickwork.service.stream.views import PartName, View, part_named
from tickwork.service.stream.words import LINES, line

SHARE: Final = 20
"""A part that scans rests for so many times as long as its last look took."""

RECENT: Final = 500
"""Records that are looked through for the first lines of a view."""

_RUNS: Final = 4_096
"""Runs whose names are remembered."""


@dataclass(slots=True)
class Turn:
    """What a look found."""

    seq: int
    """The tape's last record."""
    changes: dict[PartName, Change] = field(default_factory=dict)
    made: set[PartName] = field(default_factory=set)
    """Parts that are new: their changes are all of them."""
    lines: dict[View, list[tuple[int, bytes]]] = field(default_factory=dict)
    """The newest lines of each view since the last look, with their positions."""
    problems: dict[PartName, InvalidInput] = field(default_factory=dict)
    """Parts that there cannot be, and why."""


class Follower:
    """Looks at one tape. One look at a time.

    Args:
        timer: seconds that never go back, of any beginning.
        nodes: reads runs of documents.
        patient: let parts that scan rest in between; what they tell may then be older than the rest.
    """

    def __init__(self, timer: Callable[[], float], *, patient: bool = True, nodes: Nodes | None = None) -> None:
        self.seq = 0
        self._timer = timer
        self._patient = patient
        self._parts: dict[PartName, Part] = {}
        self._rests: dict[PartName, float] = {}
        """When parts that scan may look again, by the clock of this process."""
        self._stamp: object = None
        self._fresh: set[PartName] = set()
        """Parts that are as the tape was at the last look; one that rests may not be."""
        self._views: frozenset[View] = frozenset()
        self._nodes = nodes or Nodes()
        self._names: OrderedDict[int, tuple[str, str, str]] = OrderedDict()

    def look(self, queries: Queries, views: Collection[View], kept: Collection[PartName]) -> Turn:
        """What is new.

        Args:
            views: those that somebody watches.
            kept: parts to be remembered besides.

        Raises:
            TapeError: the tape cannot be read.
        """
        wanted = frozenset(name for view in views for name in view.parts)
        for name in [name for name in self._parts if name not in wanted and name not in kept]:
            del self._parts[name]
            self._rests.pop(name, None)
            self._fresh.discard(name)
        stamp = (queries.reader.rows("PRAGMA data_version"), queries.reader.one("SELECT total_changes()"))
        if stamp != self._stamp:
            self._fresh.clear()
        elif wanted <= self._fresh and self._views.issuperset(views):
            return Turn(self.seq)
        look = self._look(queries)
        turn = Turn(look.seq)
        for name in wanted - self._fresh:
            self._refresh(name, look, turn)
        for view in (view for view in views if view.parts):
            turn.lines[view] = self._lines(view, look, view not in self._views)
        self.seq, self._stamp, self._views = look.seq, stamp, frozenset(views)
        return turn

    def _look(self, queries: Queries) -> Look:
        reader, after = queries.reader, self.seq
        last = reader.one("SELECT max(seq) FROM tape") or 0
        if not after or last - after > REACH:
            return Look(queries, reader.end()[0] - 1, after, None, {}, self._nodes)
        entries = list(reader.tape(after))
        by_run: dict[int, list[Entry]] = {}
        for run, entry in entries:
            if run is not None:
                by_run.setdefault(run, []).append(entry)
        return Look(queries, entries[-1][1].seq if entries else after, after, entries, by_run, self._nodes)

    def _refresh(self, name: PartName, look: Look, turn: Turn) -> None:
        part = self._parts.get(name)
        began = self._timer()
        if part is None:
            part = self._parts[name] = part_named(name)
            turn.made.add(name)
        elif part.scans and self._patient and began < self._rests.get(name, 0):
            return
        try:
            turn.changes[name] = part.refresh(look)
        except InvalidInput as error:
            turn.problems[name] = error
            turn.made.discard(name)
            del self._parts[name]
            return
        self._fresh.add(name)
        if part.scans:
            took = self._timer() - began
            self._rests[name] = began + took * (1 + SHARE)

    # -- words ----------------------------------------------------------------------------------------------------

    def _lines(self, view: View, look: Look, first: bool) -> list[tuple[int, bytes]]:
        entries: Sequence[tuple[int | None, Entry]] = look.entries or ()
        if first and view.run:
            row = look.reader.run_named(view.run)
            entries = [] if row is None else [(row.seq, one) for one in look.reader.history(row.tail, row.seq)]
        elif first or look.entries is None:
            entries = list(look.reader.tape(max(look.seq - RECENT, 0)))
        found: list[tuple[int, bytes]] = []
        for run, entry in reversed(entries):
            if len(found) == LINES:
                break
            if view.tells(entry.record):
                id, owner, workflow = self._name(look.reader, run)
                if (not view.run or id == view.run) and view.owner in (None, owner):
                    found.append((entry.seq, line(entry, id or None, workflow)))
        return found[::-1]

    def _name(self, reader: Reader, run: int | None) -> tuple[str, str, str]:
        """Id, owner and workflow of the run at a position; nothing of what is of no run."""
        if run is None:
            return "", "", ""
        known = self._names.get(run)
        if known is None:
            row = reader.run(run)
            known = ("", "", "") if row is None else (row.id or f"r{run}", row.owner, row.workflow)
            self._names[run] = known
            if len(self._names) > _RUNS:
                self._names.popitem(last=False)
        return known
