"""Which runs came of which, and how many of a document are under way. What is not on disk yet counts too."""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Raw

from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.live import LiveRun
from tickwork.engines.embedded.reader import started
from tickwork.engines.embedded.runs import Runs
from tickwork.engines.embedded.status import Status

# the condition as the index `runs_document` has it
_SINCE: Final = "SELECT seq FROM runs WHERE workflow=? AND substr(workflow, 1, 4) = 'doc/' AND seq>? AND status<?"
_NEWEST: Final = "SELECT seq FROM runs WHERE workflow=? AND substr(workflow, 1, 4) = 'doc/' ORDER BY seq DESC LIMIT ?"


class Origin(NamedTuple):
    """The first of the runs that called each other down to one."""

    calls: int
    """How many calls lie between; 0: nobody called the one."""
    event: str
    """The tag of the event that started it; empty: its input is none."""
    input: Raw


class _Open:
    """Runs of a document that were not over when last looked at."""

    __slots__ = ("looked", "seen", "seqs")

    def __init__(self, seqs: set[int]) -> None:
        self.seqs = seqs
        self.seen = max(seqs, default=0)
        """Those up to here have been noticed."""
        self.looked = 0
        """At what position of the tape each of them was last looked at."""


class Lineage:
    """Answers about the runs of one engine, as of now: also within a turn."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._open: dict[str, _Open] = {}
        runs.on_ended.append(self._ended)

    def origin(self, id: str, most: int) -> Origin | None:
        """Where a run comes from, looked for over at most so many calls; ``None``: there is no such run."""
        seq = self._runs.find(id)
        found = None if seq is None else self._look(seq)
        calls = 0
        while found is not None and found.parent and calls < most:
            above = self._look(found.parent)
            if above is None:
                break
            found, calls = above, calls + 1
        if found is None:
            return None
        if isinstance(found, LiveRun):
            return Origin(calls, found.event, found.input)
        entry = self._runs.reader.record(found.seq)
        if entry is None:
            return None
        who = started(entry)
        return Origin(calls, who.event, who.input)

    def unfinished(self, document: str, most: int) -> int:
        """How many runs of a document, by the engine's name, are not over.

        Of those from before this opening, the newest ``most`` are looked at. One that had ended before it was noticed
        may count for ``most`` records more.
        """
        known = self._open.get(document)
        if known is None:
            rows = self._runs.reader.rows(_NEWEST, (document, most))
            known = self._open[document] = _Open({seq for (seq,) in rows})
        known.seqs |= self._begun(document, known.seen)
        known.seen = now = self._runs.log.next_seq - 1
        if len(known.seqs) >= most and now >= known.looked + most:
            known.looked = now
            known.seqs = {seq for seq in known.seqs if self._is_open(seq)}
        return len(known.seqs)

    def _ended(self, run: LiveRun) -> None:
        known = self._open.get(run.workflow.name)
        if known is not None:
            known.seqs.discard(run.seq)

    def _begun(self, document: str, after: int) -> set[int]:
        """Runs that were started after a position."""
        log = self._runs.log
        rows = self._runs.reader.rows(_SINCE, (document, after, int(Status.DONE)))
        found = {seq for (seq,) in rows}
        for batch in (log._writing, log.batch):
            if batch is not None:
                found |= {seq for seq, run in batch.changed.items() if seq > after and run.workflow.name == document}
                found |= {seq for seq, row in batch.rows.items() if seq > after and row.workflow == document}
        return found

    def _is_open(self, seq: int) -> bool:
        found = self._look(seq)
        return found is not None and not Status(found.status).finished

    def _look(self, seq: int) -> LiveRun | RunRow | None:
        """A run as it stands now: in memory, on its way to the disk, or there."""
        log = self._runs.log
        found = self._runs.hot.get(seq) or log.batch.changed.get(seq)
        if found is not None:
            return found
        for batch in (log.batch, log._writing):
            if batch is not None and seq in batch.rows:
                return batch.rows[seq]
        return self._runs.reader.run(seq)
