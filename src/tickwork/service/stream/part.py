"""Parts: what views are made of. A part reads its entities from the tape's tables, all at one position.

What has changed is found by comparing what the tables say with what they said before, so it cannot miss a change,
whether a record tells of it or not (a run that begins to work again leaves none). What is compared are windows: the
newest of a kind, and those that need a person. So a look costs the same on a long tape and on a short one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from tickwork.core.tape import Entry
from tickwork.engines.embedded.queries import Queries
from tickwork.engines.embedded.reader import Reader
from tickwork.service.stream.entities import Fields, Key, encode
from tickwork.service.stream.nodes import Nodes

WINDOW: Final = 100
"""The newest of a kind that a view shows."""


class Look(NamedTuple):
    """The tape at one position."""

    queries: Queries
    seq: int
    """Of its last record."""
    after: int
    """Of the last record at the look before."""
    entries: Sequence[tuple[int | None, Entry]] | None
    """The records since, each with the position of its run; ``None``: there were too many to read."""
    by_run: Mapping[int, Sequence[Entry]]
    """The same, of each run."""
    nodes: Nodes

    @property
    def reader(self) -> Reader:
        """The tables."""
        return self.queries.reader


class Change(NamedTuple):
    """What has become of a part's entities."""

    set: dict[Key, bytes]
    """Those that are new or different, as JSON objects."""
    gone: list[Key]
    past: list[Key] | None
    """Told once, when the part is new: all that may have been there before and is not any more; ``None``: not known."""


class Part:
    """One kind of entities, or a few that belong together."""

    kinds: ClassVar[tuple[str, ...]]
    scans: ClassVar[bool] = False
    """Does a look read more than a window? Then it is not taken more often than it can be afforded."""

    def __init__(self) -> None:
        self._known: dict[Key, bytes] = {}
        self._signed: Hashable = None
        self._new = True

    def refresh(self, look: Look) -> Change:
        """Compare with what was known.

        Raises:
            NotFound: what it is about is not on the tape. TapeError: the tape cannot be read.
        """
        signature = self.sign(look)
        if not self._new and signature is not None and signature == self._signed:
            return Change({}, [], None)
        change = self._compare({key: encode(fields) for key, fields in self.entities(look).items()})
        self._signed = signature
        return change

    def _compare(self, found: dict[Key, bytes]) -> Change:
        known, self._known = self._known, found
        changed = {key: data for key, data in found.items() if known.get(key) != data}
        past = self.past() if self._new else None
        self._new = False
        return Change(changed, [key for key in known if key not in found], past)

    def sign(self, look: Look) -> Hashable:
        """What is the same as long as nothing has changed, and cheap to read; ``None``: nobody knows."""
        return None

    def entities(self, look: Look) -> dict[Key, Fields]:
        """All of them."""
        raise NotImplementedError

    def past(self) -> list[Key] | None:
        """All that may have been there before this part was made, and is not any more; ``None``: nobody knows."""
        return None


class RowPart(Part):
    """Entities that are each made of one row: those whose rows are as they were are not made again."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[Key, Any] = {}

    def refresh(self, look: Look) -> Change:
        """Compare row by row."""
        rows = dict(self.rows(look))
        found = {}
        for key, row in rows.items():
            if key in self._known and self._rows.get(key) == row:
                found[key] = self._known[key]
            else:
                found[key] = encode(self.fields(look, key[1], row))
        self._rows = rows
        return self._compare(found)

    def rows(self, look: Look) -> Iterable[tuple[Key, Any]]:
        """Rows by kind and key."""
        raise NotImplementedError

    def fields(self, look: Look, key: str, row: Any) -> Fields:
        """What is shown of a row."""
        raise NotImplementedError


def newest(reader: Reader, names: Iterable[str], limit: int) -> list[int]:
    """Positions of the newest events of these names, the newest first."""
    found: list[int] = []
    for name in names:  # one by one: each is a walk along the index
        found += [
            seq
            for (seq,) in reader.rows("SELECT seq FROM events WHERE name=? ORDER BY seq DESC LIMIT ?", (name, limit))
        ]
    return sorted(found, reverse=True)[:limit]
