"""What a tape says, for people and faces: runs, one run with its records, approvals, dead letters."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import msgspec
from msgspec import Raw

from tickwork.core.codec import ANY, decode_error
from tickwork.core.replay import Course
from tickwork.core.tape import NOTHING, Entry, readable
from tickwork.engines.embedded.batch import RunRow
from tickwork.engines.embedded.queue_tables import MessageLetter, QueueTables
from tickwork.engines.embedded.reader import Reader, started
from tickwork.engines.embedded.schema import connect, parse_url
from tickwork.engines.embedded.status import Status
from tickwork.errors import InvalidInput, NotFound, TapeError
from tickwork.values import MAX_NS, from_ns

ENDINGS: Final = frozenset({"done", "dead", "cancelled", "again", "stale"})
"""Kinds of records with which a run ends."""

_PAGE: Final = 200
"""Positions of events that are looked up at once."""

_LETTERS: Final = "seq, kind, source, run, code, attempts, first_seen, at, tried, status, due"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One line about a run."""

    id: str
    workflow: str
    version: int
    status: str
    """The name of a ``Status`` in lower case: ``running``, ``waiting``, ``done`` ..."""
    attempt: int
    owner: str
    key: str
    seq: int
    started_at: datetime
    changed_at: datetime
    wake_at: datetime | None
    parent: str | None
    problem: str | None
    """Why the run cannot go on (``stranded``, ``diverged``)."""


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its records."""

    info: RunInfo
    input: Any
    result: Any
    error: str | None
    """Class and words of the error it died of."""
    waiting_for: list[str]
    records: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ApprovalInfo:
    """A question that waits for a person."""

    id: str
    run: str
    question: str
    asked_at: datetime
    due: datetime | None


class DeadLetter(msgspec.Struct, frozen=True, rename="camel"):
    """Something that gave up: a run, an undo of one, an event that cannot be read, a message."""

    id: str
    """What `redrive` takes."""
    kind: str
    """``run``, ``undo``, ``event`` or ``message``."""
    source: str
    """Name of the workflow, the undo, the event or the queue."""
    run: str
    """The run to open, or nothing."""
    error: str
    code: str
    attempts: int
    first_seen: datetime
    at: datetime
    status: str
    """``open``, ``redriven`` or ``discarded``."""
    next_try: datetime | None
    """When a rule redrives it."""
    body: Any = None
    """What it was given."""


class Queries:
    """Reads a tape; what it says is on disk."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @classmethod
    def open(cls, path: str) -> Self:
        """Read a tape that another process may own.

        Raises:
            TapeError: there is no tape at the path.
        """
        if not Path(path).is_file():
            raise TapeError(f"there is no tape at {path}: run something first, or give another path")
        return cls(Reader(connect(path, read_only=True)))

    @classmethod
    def of(cls, url: str) -> Self:
        """Read the tape of an engine's URL."""
        return cls.open(parse_url(url))

    # -- runs -----------------------------------------------------------------------------------------------------

    def runs(
        self,
        status: Sequence[str] | str | None = None,
        workflow: str | None = None,
        owner: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[RunInfo]:
        """Runs, newest first.

        Args:
            status: one or several of ``RunInfo.status``.
            before: only runs whose ``seq`` is smaller, for paging.

        Raises:
            InvalidInput: an unknown status, or a limit below 1.
        """
        if limit < 1:
            raise InvalidInput("limit", limit, "a whole number from 1")
        names = [status] if isinstance(status, str) else list(status or ())
        rows = self.reader.runs([status_named(name) for name in names], workflow, owner, before, limit)
        return [self.info(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """How many runs there are in each status."""
        return {
            Status(s).name.lower(): n for s, n in self.reader.rows("SELECT status, count(*) FROM runs GROUP BY status")
        }

    def show(self, id: str) -> RunDetail:
        """A run with its records.

        Raises:
            InvalidInput: no run has this id.
        """
        row = self.row(id)
        entries = self.reader.history(row.tail, row.seq)
        who = started(entries[0])
        course = Course(entries, who.since)
        ending = course.ending.record if course.ending is not None else None
        finished = Status(row.status).finished
        error = decode_error(ending.error) if finished and ending is not None and bytes(ending.error) else None
        result = ANY.decode(ending.value, "result") if finished and ending is not None and bytes(ending.value) else None
        return RunDetail(
            self.info(row),
            ANY.decode(who.input, "input") if bytes(who.input) else None,
            result,
            row.problem if error is None else f"{type(error).__name__}: {error}",
            [] if finished else self._waiting(row, course),
            [readable(entry) for entry in entries],
        )

    def row(self, id: str) -> RunRow:
        """A run's row.

        Raises:
            InvalidInput: no run has this id.
        """
        row = self.reader.run_named(id)
        if row is None:
            near = [other.id for other in self.runs(limit=3)]
            raise NotFound("run", id, "the id of a run on this tape" + (f", such as {', '.join(near)}" if near else ""))
        return row

    def ending(self, row: RunRow) -> tuple[Raw, str | None]:
        """What a run came to, as JSON (empty: nothing), and class and words of what it died of, or why it cannot go on.

        Only its last records are read.
        """
        if Status(row.status).finished:
            for entry in reversed(self.reader.chunk(row.tail)):
                record = entry.record
                if record.kind in ENDINGS and record.no < 0:
                    if not bytes(record.error):
                        return record.value, row.problem
                    error = decode_error(record.error)
                    return NOTHING, f"{type(error).__name__}: {error}"
        return NOTHING, row.problem

    def waiting(self, row: RunRow, entries: Sequence[Entry]) -> list[str]:
        """What an unfinished run waits for, in words; of one that is over, nothing."""
        if Status(row.status).finished:
            return []
        return self._waiting(row, Course(entries, started(entries[0]).since))

    def _waiting(self, row: RunRow, course: Course) -> list[str]:
        waits = [
            f"effect {entry.record.name!r} is under way (key {entry.record.key})" for entry in course.open.values()
        ]
        waits += [f"the event {event!r}" + (f" where {condition}" if condition else "") for event, condition in
                  self.reader.rows("SELECT event, condition FROM waits WHERE run=?", (row.seq,))]  # fmt: skip
        if row.wake_at:
            waits.append(f"the time {from_ns(row.wake_at).isoformat()}")
        waits += [f"an answer to {question!r}" for (question,) in self.reader.rows(
            "SELECT question FROM approvals WHERE run=?", (row.seq,))]  # fmt: skip
        return waits

    def info(self, row: RunRow) -> RunInfo:
        """One line about the run of a row."""
        parent = self.reader.run(row.parent) if row.parent else None
        return RunInfo(
            row.id or f"r{row.seq}",
            row.workflow,
            row.version,
            Status(row.status).name.lower(),
            row.attempt,
            row.owner,
            row.key,
            row.seq,
            from_ns(row.started_at),
            from_ns(row.changed_at),
            from_ns(row.wake_at) if row.wake_at else None,
            None if parent is None else parent.id or f"r{parent.seq}",
            row.problem,
        )

    # -- the rest -------------------------------------------------------------------------------------------------

    def stranded(self) -> list[RunInfo]:
        """Runs whose workflow, or version of it, was not registered when they were last looked at."""
        return self.runs("stranded", limit=1_000)

    def dead_letters(
        self, *, source: str | None = None, code: str | None = None, open_only: bool = True, limit: int = 100
    ) -> list[DeadLetter]:
        """What gave up, newest first."""
        return [letter for _, letter in self.letters(source=source, code=code, open_only=open_only, limit=limit)]

    def letters(
        self,
        *,
        source: str | None = None,
        code: str | None = None,
        owner: str | None = None,
        open_only: bool = True,
        before: tuple[int, int] | None = None,
        limit: int = 100,
    ) -> list[tuple[tuple[int, int], DeadLetter]]:
        """What gave up, newest first, each with its place: when (ns), and its position.

        Args:
            owner: only runs, and undos of runs, of this owner.
            before: only what comes after this place.
        """
        clauses: list[str] = ["status=0"] if open_only else []
        values: list[Any] = []
        for clause, found in (
            ("source=?", source and [source]),
            ("code=?", code and [code]),
            (
                "run IN (SELECT seq FROM runs WHERE runs.seq=letters.run AND owner=?)",
                None if owner is None else [owner],
            ),
            ("(at, seq) < (?, ?)", before),
        ):
            if found:
                clauses.append(clause)
                values += found
        where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
        rows = self.reader.rows(
            f"SELECT {_LETTERS} FROM letters {where} ORDER BY at DESC, seq DESC LIMIT ?", (*values, limit)
        )
        found_letters = [((row[7], row[0]), self._letter(*row)) for row in rows]
        if owner is None:
            found_letters += self._messages(source, code, before, limit)
        return sorted(found_letters, key=lambda one: one[0], reverse=True)[:limit]

    def letter(self, id: str) -> DeadLetter:
        """One of them, open or not, by its id.

        Raises:
            NotFound: there is none.
        """
        row = self.reader.run_named(id)
        seq = row.seq if row is not None else int(id) if id.isascii() and id.isdecimal() and len(id) < 19 else 0
        rows = self.reader.rows(f"SELECT {_LETTERS} FROM letters WHERE seq=?", (seq,))
        if rows:
            return self._letter(*rows[0])
        message = None if row is not None else QueueTables(self.reader).dead_one(seq)
        if message is None:
            raise NotFound("letter", id, "the id of a dead letter (see `tickwork letters`)")
        return _of_message(message)

    def dead_messages(self, queue: str | None, code: str | None) -> int:
        """How many messages of a queue, or of all, gave up and lie open."""
        tables = QueueTables(self.reader)
        names = tables.names()
        return tables.dead_count(names if queue is None else [name for name in names if name == queue], code)

    def _messages(
        self, queue: str | None, code: str | None, before: tuple[int, int] | None, limit: int
    ) -> list[tuple[tuple[int, int], DeadLetter]]:
        """The messages among them; they show what became of them in their queue."""
        tables = QueueTables(self.reader)
        if queue is not None and queue not in tables.names():
            return []
        return [((at, seq), _of_message(m)) for at, seq, m in tables.dead_page(queue, code, before, limit)]

    def _letter(
        self, seq: int, kind: str, source: str, run: int, code: str, attempts: int, first_seen: int, at: int,
        tried: int, status: int, due: int,
    ) -> DeadLetter:  # fmt: skip
        row = self.reader.run(run) if run else None
        name = (row.id or f"r{run}") if row is not None else ""
        error, body = "", None
        if kind == "run" and row is not None:
            first = self.reader.record(row.seq)
            who = None if first is None else started(first)
            error = self.ending(row)[1] or ""
            body = ANY.decode(who.input, "input") if who is not None and bytes(who.input) else None
        else:
            entry = self.reader.record(seq)
            if entry is not None:
                failure = decode_error(entry.record.error)
                error = f"{type(failure).__name__}: {failure}"
                body = ANY.decode(entry.record.value, source) if kind == "event" else None
        return DeadLetter(
            name if kind == "run" else str(seq), kind, source, name, error, code, attempts, from_ns(first_seen),
            from_ns(at), ("open", "redriven", "discarded")[status], from_ns(due) if due else None, body,
        )  # fmt: skip

    def approvals(self) -> list[ApprovalInfo]:
        """Questions that wait for a person, oldest first."""
        rows = self.reader.rows("SELECT id, question, asked_at, due FROM approvals ORDER BY asked_at, id")
        return [
            ApprovalInfo(id, id.rpartition(":")[0], question, from_ns(asked), from_ns(due) if due else None)
            for id, question, asked, due in rows
        ]

    def tape(self, after: int = 0, limit: int | None = None) -> list[dict[str, Any]]:
        """Records after a position, in order, as JSON objects."""
        found: list[dict[str, Any]] = []
        for _, entry in self.reader.tape(after):
            if limit is not None and len(found) >= limit:
                break
            found.append(readable(entry))
        return found

    def entries(self, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` records after a position, in order; reads no more of the tape than that."""
        tape = self.reader.tape(after, page=min(limit, 500))
        return [entry for _, entry in islice(tape, limit)]

    def events(self, *names: str, after: int = 0) -> list[Entry]:
        """All events of these names after a position, in tape order."""
        marks = ",".join("?" * len(names))
        seqs = self.reader.rows(
            f"SELECT seq FROM events WHERE name IN ({marks}) AND seq>? ORDER BY seq", (*names, after)
        )
        return list(self._at(seq for (seq,) in seqs))

    def latest(self, *names: str, before: int | None = None) -> Iterator[Entry]:
        """Events of these names, newest first, before a position; reads no more of the tape than is taken."""
        # each name by itself: its positions stand in order in the index, those of several would have to be sorted
        each = (self._downward(name, MAX_NS if before is None else before) for name in names)
        return self._at(heapq.merge(*each, reverse=True))

    def _downward(self, name: str, before: int) -> Iterator[int]:
        """Where events of a name are, before a position, the latest first."""
        while True:
            rows = self.reader.rows(
                f"SELECT seq FROM events WHERE name=? AND seq<? ORDER BY seq DESC LIMIT {_PAGE}", (name, before)
            )
            yield from (seq for (seq,) in rows)
            if len(rows) < _PAGE:
                return
            before = rows[-1][0]

    def _at(self, seqs: Iterable[int]) -> Iterator[Entry]:
        """The records at these positions; what was written together is read once where they follow each other."""
        chunk: list[Entry] = []
        for seq in seqs:
            if not chunk or not chunk[0].seq <= seq <= chunk[-1].seq:
                chunk = self.reader.chunk(seq)
            index = seq - chunk[0].seq if chunk else 0
            if index < len(chunk):
                yield chunk[index]

    def effects(self, name: str) -> Iterator[Entry]:
        """Intents and outcomes of all effects of a name, in tape order; reads no more of the tape than it must."""
        for entry in self.reader.mentioning(name):
            if entry.record.name == name and entry.record.kind in ("intent", "effect"):
                yield entry


def _of_message(m: MessageLetter) -> DeadLetter:
    return DeadLetter(
        str(m.seq), "message", m.queue, m.run, m.error, m.code, m.attempts, m.first_seen, m.at, "open", None, m.body
    )


def status_named(name: str) -> Status:
    """
    Raises:
        InvalidInput: there is no such status of runs.
    """
    try:
        return Status[name.upper()]
    except KeyError:
        raise InvalidInput("status", name, "one of " + ", ".join(status.name.lower() for status in Status)) from None
