"""The newest events, with what each of them started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from tickwork.core.tape import Entry
from tickwork.service.stream.entities import Fields, bounded, encode
from tickwork.service.stream.part import WINDOW, Change, Look, Part
from tickwork.service.stream.runs import run_id
from tickwork.values import from_ns

REACH: Final = 10_000
"""Records: what is further back is history, which is asked for over HTTP."""

STARTED: Final = 20
"""Runs started by an event that are named."""


class Events(Part):
    """Events, by position: the newest of the last ``REACH`` records."""

    kinds: ClassVar = ("event",)

    def __init__(self) -> None:
        super().__init__()
        self._at = -1
        self._by_seq: dict[int, Fields] = {}

    def refresh(self, look: Look) -> Change:
        """Take what is new, and forget what is old."""
        for run, entry in self._fresh(look):
            self._take(look, run, entry)
        self._at = look.seq
        shown = [seq for seq in self._by_seq if seq > look.seq - REACH][-WINDOW:]
        for seq in [seq for seq in self._by_seq if seq < (shown[0] if shown else look.seq)]:
            del self._by_seq[seq]
        return self._compare({("event", str(seq)): encode(self._by_seq[seq]) for seq in shown})

    def _fresh(self, look: Look) -> Sequence[tuple[int | None, Entry]]:
        if self._at == look.after and look.entries is not None:
            return look.entries
        if self._at == look.seq:
            return ()
        self._by_seq = {}
        return list(look.reader.tape(max(look.seq - REACH, 0)))

    def _take(self, look: Look, run: int | None, entry: Entry) -> None:
        record = entry.record
        if record.kind in ("event", "emit") and bytes(record.value):
            href = f"/api/v1/events/{entry.seq}"
            self._by_seq[entry.seq] = {
                "seq": entry.seq, "name": record.name, "version": record.version, "at": from_ns(record.at),
                "due": from_ns(record.due) if record.due else None,
                "run": None if run is None else run_id(look.reader, run),
                "event": bounded(record.value, href), "started": [],
            }  # fmt: skip
        elif record.kind == "started" and record.ref in self._by_seq and run is not None:
            event = self._by_seq[record.ref]
            if len(event["started"]) < STARTED:
                event["started"].append(run_id(look.reader, run))
