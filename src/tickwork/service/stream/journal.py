"""What clients are told of one part: its entities as they are, and which of them changed when."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tickwork.service.stream.entities import Key
from tickwork.service.stream.part import Change

_text = msgspec.json.encode


class Journal:
    """Entities with their changes, in order of the last change of each. Nothing in it belongs to one client.

    Args:
        seq: the position from which on it knows every change.
    """

    def __init__(self, seq: int) -> None:
        self.begun = seq
        self.values: dict[Key, bytes] = {}
        self._changes: dict[Key, tuple[int, int]] = {}
        """Turn and position of the last change of each entity that has changed, those that are gone among them."""
        self._past: list[Key] | None = None

    def take(self, change: Change, turn: int, seq: int, *, first: bool = False) -> bool:
        """Note what a look found; True if that is anything."""
        self.values.update(change.set)
        for key in change.gone:
            del self.values[key]
        if first:
            self._past = change.past
            return bool(change.set)
        for key in (*change.set, *change.gone):
            self._changes.pop(key, None)  # to its new place, at the end
            self._changes[key] = turn, seq
        return bool(change.set or change.gone)

    def forget(self, before: int) -> None:
        """Forget which entities last changed before a position: nobody resumes from there."""
        while self._changes:
            key = next(iter(self._changes))
            if self._changes[key][1] >= before:
                break
            del self._changes[key]
            self.begun = max(self.begun, before)

    def reaches(self, seq: int) -> bool:
        """Is it known what has changed since a position?"""
        return self.begun <= seq or self._past is not None

    def after_turn(self, turn: int) -> Iterator[Key]:
        """What has changed after a turn, the newest first."""
        for key, (changed, _) in reversed(self._changes.items()):
            if changed <= turn:
                return
            yield key

    def from_seq(self, seq: int) -> list[Key]:
        """What has changed at a position or later; where that is before its beginning, whatever may have."""
        if seq < self.begun:
            return [*self.values, *(key for key in self._past or () if key not in self.values), *self._changes]
        found = []
        for key, (_, changed) in reversed(self._changes.items()):
            if changed < seq:
                break
            found.append(key)
        return found


def entity(key: Key, data: bytes) -> bytes:
    """An entity in the list of those that are set."""
    return b"[%b,%b,%b]" % (_text(key[0]), _text(key[1]), data)


def gone(key: Key) -> bytes:
    """An entity in the list of those that are gone."""
    return _text(key)


def state(kinds: list[str], values: Iterator[tuple[Key, bytes]]) -> bytes:
    """Entities as one JSON object, by kind and key."""
    by_kind: dict[str, list[bytes]] = {kind: [] for kind in kinds}
    for (kind, key), data in values:
        by_kind[kind].append(b"%b:%b" % (_text(key), data))
    return b"{" + b",".join(b"%b:{%b}" % (_text(kind), b",".join(rows)) for kind, rows in by_kind.items()) + b"}"
