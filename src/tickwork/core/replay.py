"""Reading a run's records back: what is an answer, what is kept from earlier attempts, what is still open."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tickwork.core.asks import Ask, Call, Claim, Effect, Emit, Read, Send, Step, WaitFor
from tickwork.core.codec import ANY, decode_error
from tickwork.core.functions import function_of
from tickwork.core.tape import NOTHING, Entry, Record
from tickwork.errors import Cancelled, Fatal, InvalidInput, NotSent, TimedOut

ANSWERS = frozenset(
    {"step", "effect", "sleep", "wait", "emit", "send", "start", "call", "approval", "claim", "read", "dead_letter"}
)
"""Kinds of records that answer an ask."""

INTERRUPTIONS = frozenset({"cancel", "expired"})
"""Kinds that are thrown into the body."""

Identity = tuple[str, str, str, int]
"""Branch, kind, name, occurrence."""


class Course:
    """A run's records, sorted out for a drive: the current attempt in order, and what earlier attempts left."""

    def __init__(self, entries: Iterable[Entry], since: int = 0) -> None:
        self.attempt = 1
        self.seq = 0
        self.at = 0
        self.since = since
        self.history: list[Entry] = []
        """Answers and interruptions of the current attempt, in tape order."""
        self.answers: dict[tuple[str, int], Entry] = {}
        self.open: dict[tuple[str, int], Entry] = {}
        """Intents without an outcome."""
        self.dropped: set[tuple[str, int]] = set()
        self.patches: dict[tuple[str, int], str] = {}
        self.tried: dict[tuple[str, int], list[Entry]] = {}
        """Failed attempts of steps without an answer yet."""
        self.kept: dict[Identity, Entry] = {}
        """Completed asks of earlier attempts."""
        self.generations: dict[Identity, int] = {}
        """How often a step was undone or an effect failed for certain: enters the key of the next try."""
        self.doubtful: dict[Identity, str] = {}
        """Effects that an earlier attempt gave up without knowing what became of them, with their keys."""
        self.ending: Entry | None = None
        """The record that ended the run, if any."""
        self.failures = 0
        """Failed attempts since the start, or since the run was redriven."""
        self.root = ""
        """Path of the main branch."""
        self.forked = False
        self.failing: BaseException | None = None
        """The error that ``on_failure`` is now being run for."""
        self.cancelled: str | None = None
        """Why the run was asked to cancel, if it was."""
        self._races: dict[tuple[str, int], int] = {}
        self._last: dict[str, int] = {}
        self._undone: set[Identity] = set()
        """What was undone in the current attempt. It keeps what it has of it; the next one does it anew."""
        self._undone_branches: set[str] = set()
        self._start = since
        self.begun = False
        """Said only of runs that may become stale before they begin."""
        self.new = True
        """No part of the run has been driven before: there is nothing to replay, not even where it waited."""
        for entry in entries:
            self.new = False
            self._add(entry)

    @classmethod
    def fresh(cls, seq: int, at: int, since: int) -> Course:
        """Of a run without a history. Courses are only read once made, so all fresh ones share their empty tables."""
        course = cls.__new__(cls)
        course.__dict__.update(_EMPTY)
        course.seq, course.at, course.since = seq, at, since
        return course

    def _add(self, entry: Entry) -> None:
        record = entry.record
        kind = record.kind
        if kind in ANSWERS or (kind == "again" and record.no >= 0):  # an `again` that could not be done
            self._add_answer(entry)
        elif kind == "intent":
            self.open[record.branch, record.no] = entry
            self._reach(record)
        elif kind in INTERRUPTIONS:
            self.history.append(entry)
            if kind == "cancel":
                self.cancelled = record.name
        elif kind == "started":
            self.seq, self.at = entry.seq, record.at
            self.since = self._start = self.since or entry.seq
        elif kind == "copied":
            self._add_copied(record)
        elif kind in ("failed", "redriven"):
            self._next_attempt(entry)
        elif kind in ("done", "dead", "cancelled", "again", "stale"):
            self.ending = entry
        else:
            self._add_mark(record, entry)

    def _add_mark(self, record: Record, entry: Entry) -> None:
        place = (record.branch, record.no)
        if record.kind == "race":
            self._races[place] = record.attempt
            self._reach(record)
        elif record.kind == "patched":
            self.patches[place] = record.name
            self._reach(record)
        elif record.kind == "dropped":
            self.dropped.add(place)
        elif record.kind == "tried":
            self.tried.setdefault(place, []).append(entry)
        elif record.kind == "admitted":
            self.admitted(record.at)
        elif record.kind == "begun":
            self.begun = True

    def _add_answer(self, entry: Entry) -> None:
        record = entry.record
        place = (record.branch, record.no)
        self.history.append(entry)
        self.answers[place] = entry
        self._reach(record)
        if self.open:
            self.open.pop(place, None)
        if self.tried:
            self.tried.pop(place, None)
        if record.undoes and record.error is NOTHING:
            self._forget(record.undoes)

    def _add_copied(self, record: Record) -> None:
        """A fork: what was done before the step it forks from, for use where the arguments still match."""
        self.forked = True
        for seq, copy in _decode_copied(record.value):
            self.kept[copy.branch, copy.kind, copy.name, copy.occ] = Entry(seq, copy)

    def admitted(self, at: int) -> None:
        """Flow control let it begin, or go on: its time begins then."""
        self.at = max(self.at, at)

    def _reach(self, record: Record) -> None:
        if self._last.get(record.branch, -1) < record.no:
            self._last[record.branch] = record.no

    def _forget(self, undone: str) -> None:
        """An undone step is done anew by a new attempt, under a new generation; so is all of a branch (``path*``)."""
        if undone.endswith("*"):
            self._undone_branches.update(branch.removesuffix("*") for branch in undone.split("\n"))
            return
        branch, kind, name, occ = undone.split("|")
        self._undone.add((branch, kind, name, int(occ)))

    def undone(self, identity: Identity) -> bool:
        """Has the current attempt undone it?"""
        if identity in self._undone:
            return True
        branches, path = self._undone_branches, identity[0]
        return bool(branches) and any(path[: end + 1] in branches for end, at in enumerate(path) if at == "/")

    def _again(self, identity: Identity) -> None:
        """A new attempt does it under another key."""
        self.generations[identity] = self.generations.get(identity, 0) + 1

    def _next_attempt(self, entry: Entry) -> None:
        """Keep what was completed, forget the order in which it was."""
        for identity in [known for known in self.kept if self.undone(known)]:
            del self.kept[identity]
            self.doubtful.pop(identity, None)
            self._again(identity)
        for old in self.history:
            record = old.record
            identity = (record.branch, record.kind, record.name, record.occ)
            if record.undoes and record.kind == "effect":
                # a new attempt may have it to undo once more, and that is another effect
                self._again(identity)
            if record.no < 0 or record.undoes or record.kind == "dead_letter":
                continue
            if _succeeded(record) or _result_lost(record):
                if self.undone(identity):
                    self._again(identity)
                else:
                    self.kept[identity] = old
                self.doubtful.pop(identity, None)
            elif record.kind == "effect":
                if _certain(decode_error(record.error)):
                    self._again(identity)
                    self.doubtful.pop(identity, None)
                else:
                    self.doubtful[identity] = record.key
        for intent in self.open.values():
            record = intent.record
            self.doubtful[record.branch, "effect", record.name, record.occ] = record.key
        self._undone, self._undone_branches = set(), set()
        self.attempt += 1
        self.ending, self.cancelled = None, None
        self.since = self._start
        record = entry.record
        self.failures = 0 if record.kind == "redriven" else self.failures + 1
        self.failing = decode_error(record.error) if record.name == "on_failure" else None
        # the handler is other code: its steps are not the body's, nor those of a handler that ran before it
        self.root = f"!{self.attempt}/" if self.failing is not None else ""
        self.seq, self.at = entry.seq, max(record.at, record.due)
        self.history, self.answers, self.open = [], {}, {}
        self.dropped, self.patches, self.tried = set(), {}, {}
        self._races, self._last = {}, {}

    # -- questions of the drive -----------------------------------------------------------------------------------

    def reaches(self, place: tuple[str, int]) -> bool:
        """Does the branch hold a record at this number or a later one?"""
        return self._last.get(place[0], -1) >= place[1]

    def holds(self, place: tuple[str, int], kind: str) -> bool:
        """Is there a record of another kind at this place?"""
        found = self.answers.get(place) or self.open.get(place)
        return found is not None and found.record.kind != kind

    def describe(self, place: tuple[str, int]) -> str:
        """What the tape holds at or after a place, for people."""
        found = self.answers.get(place) or self.open.get(place)
        if found is not None:
            return f"{found.record.kind} {found.record.name!r}"
        branch, last = place[0] or "main", self._last.get(place[0])
        return f"no answer at ask {place[1]} of branch {branch!r}, but later ones (up to {last})"

    def race(self, path: str, no: int) -> int | None:
        """The recorded winner of a race."""
        return self._races.get((path, no))

    @staticmethod
    def interruption(record: Record) -> BaseException:
        """What an interruption throws."""
        if record.kind == "expired":
            return TimedOut(f"attempt of {record.name}", record.key)
        return Cancelled(record.name)


_EMPTY = vars(Course(()))

_decode_copied = msgspec.json.Decoder(list[tuple[int, Record]]).decode


def _succeeded(record: Record) -> bool:
    return record.error is NOTHING or not bytes(record.error)


def _certain(error: BaseException) -> bool:
    """Does this error of an effect say that it did not happen? (One whose class is lost says nothing.)"""
    return isinstance(error, NotSent | Fatal)


def _result_lost(record: Record) -> bool:
    """The effect happened, but its result could not be recorded: it must not happen again."""
    if record.kind != "effect":
        return False
    error = decode_error(record.error)
    return isinstance(error, InvalidInput) and error.path == f"result of effect {record.name!r}"


def answer_of(ask: Ask, entry: Entry) -> tuple[Any, BaseException | None]:
    """The value or the exception that a record gives its ask."""
    record = entry.record
    if not _succeeded(record):
        return None, decode_error(record.error)
    if isinstance(ask, Step | Effect):
        return function_of(ask.fn).codec.decode(record.value, f"{ask.kind} {ask.name!r}"), None
    if isinstance(ask, Emit):
        return entry.seq, None
    if isinstance(ask, Send):
        return record.ref or entry.seq, None
    if isinstance(ask, Claim):
        return bytes(record.value).startswith(b"[true"), None
    if not bytes(record.value):
        return None, None
    if isinstance(ask, WaitFor):
        if bytes(record.value) == b"null":
            return None, None  # the time-out came first
        return ask.where.event.read(record.version, bytes(record.value)), None
    if isinstance(ask, Call):
        return ask.workflow.decode_result(record.value), None
    if isinstance(ask, Read):
        return ask.view.codec.decode(record.value, f"state of view {record.name!r}"), None
    return ANY.decode(record.value, record.name), None
