"""The steps of a run, in the order in which they began: whatever it asked for, each attempt at it, and what came of it.

Only what is on the tape is known: a step that is at work for the first time has no record yet. A step begins where its
branch had its last answer, which is when its run asked for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw

from tickwork.core.codec import decode_error
from tickwork.core.replay import ANSWERS
from tickwork.core.tape import NOTHING, Entry, Record
from tickwork.service.previews import bounded_raw
from tickwork.values import from_ns

_decode_copied = msgspec.json.Decoder(list[tuple[int, Record]]).decode

_NEXT_ATTEMPT: Final = frozenset({"failed", "redriven"})
_SENT: Final = frozenset({"emit", "send"})
"""Their value is what was given, and their answer a position."""


class Try(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One attempt at a step."""

    at: datetime
    """When it came to its end."""
    error: str | None
    duration_ms: float | None
    """How long its function ran, where that was measured."""
    next_at: datetime | None = None
    """When the next one is made, after one that failed."""


class StepLine(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One step."""

    id: str
    """What ``runs.io`` takes: the position of its first record."""
    place: str
    """Its branch, and its number there."""
    name: str
    kind: str
    """``step``, ``effect``, ``sleep``, ``wait``, ``emit``, ``send``, ``start``, ``call``, ``approval`` ..."""
    status: str
    """``done``; ``failed``; ``trying`` while another attempt follows; ``under way`` for an effect without outcome."""
    attempt: int
    """Of the run."""
    attempts: list[Try]
    """At this step; the last one ended it."""
    started_at: datetime
    ended_at: datetime | None
    input: Any
    """Of effects, events and messages; of steps the tape knows only a fingerprint."""
    output: Any
    error: str | None
    function: str
    key: str
    """Of an effect."""
    ref: int | None
    """Position of the event that was waited for, of the child, of the message that was there already."""
    copied: bool
    """Taken over from the run that this one was forked from."""
    undoes: str | None
    """The step that this one took back."""
    undone_by: str | None


class Step:
    """A step as its records are read."""

    def __init__(self, first: Entry, attempt: int, asked_at: int, copied: bool = False) -> None:
        self.first = first
        self.attempt = attempt
        self.asked_at = asked_at
        self.copied = copied
        self.tries: list[Record] = []
        self.intent: Record | None = None
        self.answer: Entry | None = None
        self.undoes: str | None = None
        self.undone_by: str | None = None

    @property
    def id(self) -> str:
        """The position of its first record."""
        return str(self.first.seq)

    @property
    def last(self) -> Record:
        """What is known of it last."""
        return self.answer.record if self.answer is not None else self.first.record

    @property
    def error(self) -> str | None:
        """Class and words of what it failed with."""
        return _words(self.last) if self.answer is not None else None

    @property
    def input(self) -> Raw:
        """What it was given, as JSON; empty where the tape does not say."""
        if self.intent is not None:
            return self.intent.value
        return self.last.value if self.last.kind in _SENT else NOTHING

    @property
    def output(self) -> Raw:
        """What came of it, as JSON."""
        if self.answer is None:
            return NOTHING
        if self.last.kind in _SENT:
            return Raw(str(self.last.ref or self.answer.seq).encode())
        return self.last.value

    @property
    def status(self) -> str:
        """See ``StepLine``."""
        if self.answer is not None:
            return "failed" if bytes(self.last.error) else "done"
        return "trying" if self.tries else "under way"


def steps_of(entries: Iterable[Entry]) -> list[Step]:
    """The steps that a run's records tell of, in the order in which they began."""
    reading = StepsRead()
    for entry in entries:
        reading.add(entry)
    return reading.steps


class StepsRead:
    """Reads a run's records one after the other."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        """So far, in the order in which they began."""
        self._attempt = 1
        self._open: dict[tuple[str, int], Step] = {}
        self._by_identity: dict[tuple[str, str, str, int], Step] = {}
        self._answered: dict[str, int] = {}
        """When each branch, or an arm of it, had its last answer."""
        self._opened: dict[str, int] = {}
        """When the arms of each group were opened."""

    def add(self, entry: Entry) -> None:
        """One more record."""
        record = entry.record
        if record.kind == "started":
            self._answered[""] = record.at
        elif record.kind == "copied":
            self._copy(record)
        elif record.kind in _NEXT_ATTEMPT:
            self._attempt += 1
            self._open, self._opened, self._answered = {}, {}, {"": max(record.at, record.due)}
        elif record.kind == "intent":
            self._step(entry).intent = record
        elif record.kind == "tried":
            self._step(entry).tries.append(record)
        elif record.kind in ANSWERS:
            self._answer(entry)

    def _copy(self, record: Record) -> None:
        for seq, copy in _decode_copied(record.value):
            step = Step(Entry(seq, copy), 0, copy.at - copy.took, copied=True)
            step.answer = step.first
            self._note(step)

    def _step(self, entry: Entry) -> Step:
        record = entry.record
        place = (record.branch, record.no)
        step = self._open.get(place)
        if step is None:
            step = self._open[place] = Step(entry, self._attempt, self._asked_at(record))
            self._note(step)
        return step

    def _note(self, step: Step) -> None:
        record = step.first.record
        self.steps.append(step)
        kind = "effect" if record.kind == "intent" else record.kind
        self._by_identity[record.branch, kind, record.name, record.occ] = step

    def _answer(self, entry: Entry) -> None:
        record = entry.record
        step = self._step(entry)
        step.answer = entry
        del self._open[record.branch, record.no]
        self._by_identity[record.branch, record.kind, record.name, record.occ] = step
        self._heard(record)
        for undone in self._undone(record.undoes) if record.undoes else ():
            step.undoes = step.undoes or undone.id
            if not bytes(record.error):
                undone.undone_by = step.id

    def _undone(self, undoes: str) -> list[Step]:
        """The steps that one took back: one by its identity, or all of some branches."""
        if undoes.endswith("*"):
            branches = tuple(branch.removesuffix("*") for branch in undoes.split("\n"))
            return [step for step in self.steps if step.first.record.branch.startswith(branches)]
        branch, kind, name, occ = undoes.split("|")
        step = self._by_identity.get((branch, kind, name, int(occ)))
        return [] if step is None else [step]

    def _asked_at(self, record: Record) -> int:
        """When its branch had its last answer; for the first ask of an arm, when the arms were opened."""
        path = record.branch
        if path in self._answered:
            return min(self._answered[path], record.at)
        group = path.rpartition(".")[0]
        if group not in self._opened:
            above = f"{group.rpartition('/')[0]}/" if "/" in group else ""
            self._opened[group] = self._answered.get(above, record.at)
        return min(self._opened[group], record.at)

    def _heard(self, record: Record) -> None:
        """A branch had an answer, and with it those that wait for it."""
        path = record.branch
        while True:
            self._answered[path] = record.at
            if not path:
                return
            above = path.removesuffix("/").rpartition("/")[0]
            path = f"{above}/" if above else ""


def line_of(step: Step, run: str) -> StepLine:
    """A step of a run, its values bounded."""
    last, href = step.last, f"/api/v1/runs/{run}/steps/{step.id}/io"
    tries = [_try(record) for record in step.tries]
    if step.answer is not None:
        tries.append(_try(last))
    return StepLine(
        id=step.id,
        place=f"{last.branch}{last.no}",
        name=last.name,
        kind="effect" if last.kind == "intent" else "step" if last.kind == "tried" else last.kind,
        status=step.status,
        attempt=step.attempt,
        attempts=tries,
        started_at=from_ns(step.asked_at),
        ended_at=None if step.answer is None else from_ns(last.at),
        input=bounded_raw(step.input, href),
        output=bounded_raw(step.output, href),
        error=step.error,
        function=last.fn,
        key=last.key if last.kind in ("intent", "effect") else "",
        ref=last.ref or None,
        copied=step.copied,
        undoes=step.undoes,
        undone_by=step.undone_by,
    )


def _try(record: Record) -> Try:
    return Try(
        at=from_ns(record.at),
        error=_words(record),
        duration_ms=record.took / 1e6 if record.took else None,
        next_at=from_ns(record.due) if record.kind == "tried" and record.due else None,
    )


def _words(record: Record) -> str | None:
    if not bytes(record.error):
        return None
    error = decode_error(record.error)
    return f"{type(error).__name__}: {error}"
