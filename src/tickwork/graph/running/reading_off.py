"""Replays a run without calling anything: nodes that ask verbs of their own are known by the record of their outcome.

A drive answers a body's asks from records in the order of both. The verbs inside of such a node cannot be asked for
here, because its function would have to be called, with sources that may not be there. So its records are passed over
up to that of its outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any

from tickwork.core.branch import Branch
from tickwork.core.codec import decode_error
from tickwork.core.drive import PENDING, Drive, Failure, Waiting
from tickwork.core.functions import function_of
from tickwork.core.replay import Course
from tickwork.core.run import Run
from tickwork.core.tape import NOTHING, Entry, Record
from tickwork.graph.declare import Context, NodeType
from tickwork.graph.running.calling import Given, call, outcome_of
from tickwork.graph.wiring.planned import Planned


class Passing:
    """What a node waits for whose verbs are passed over: the record of its outcome."""

    def __init__(self, name: str, type: NodeType) -> None:
        self.name = name
        self.type = type

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield self)

    def answer(self, entry: Entry) -> Any:
        """The outcome."""
        record = entry.record
        if record.error is not NOTHING and bytes(record.error):
            return Failure(decode_error(record.error))
        assert self.type.outcome is not None
        return function_of(self.type.outcome).codec.decode(record.value, f"step {self.name!r}")


async def read_off(run: Run, planned: Planned, given: Given, context: Context | None, name: str) -> Any:
    """What a node came to, instead of doing it; see ``graph.running.calling.call``."""
    if planned.type.kind == "verbs":
        return await Passing(outcome_of(name), planned.type)
    return await call(run, planned, given, context, name)


class _Onlooker:
    """A driver that answers nothing and records nothing."""

    def answer(self, drive: Any, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        return PENDING

    def record(self, drive: Any, record: Record) -> None:
        return None

    def forget(self, drive: Any, waiting: Waiting) -> None:
        return None

    def doomed(self, drive: Any, waiting: Waiting) -> None:
        return None


class Reading(Drive):
    """A drive that only reads."""

    def __init__(
        self, body: Callable[[Run], Coroutine[Any, Any, Any]], id: str, owner: str, seed: bytes, course: Course
    ) -> None:
        self._passing: dict[str, tuple[Branch, Passing]] = {}
        """By branch: whoever waits for an outcome there."""
        self._passed: set[str] = set()
        """Branches whose records are passed over, whatever they hold."""
        super().__init__(body, id, owner, seed, _Onlooker(), course)

    def _received(self, branch: Branch, ask: Any) -> Any:
        if type(ask) is not Passing:
            return super()._received(branch, ask)
        self._passed.add(branch.path)
        kept = self._kept.get((branch.path, "step", ask.name, 0))
        if kept is not None and not self._redone(branch.path, ask.name):
            return ask.answer(kept)
        self._passing[branch.path] = (branch, ask)
        return self._at_once(branch, ask)

    def _at_once(self, branch: Branch, ask: Passing) -> Any:
        """The outcome, where all that the node asked for was answered before any other branch went on."""
        while self._cursor < len(self._history):
            entry = self._history[self._cursor]
            record = entry.record
            if record.no < 0 or record.late or not record.branch.startswith(branch.path):
                break
            self._cursor += 1
            self.note(entry.seq, record.at)
            if (record.branch, record.name) == (branch.path, ask.name):
                return self._outcome_of(branch, ask, entry)
        return PENDING

    def _outcome_of(self, branch: Branch, ask: Passing, entry: Entry) -> Any:
        """What its node came to: from here on the branch is read as any other."""
        del self._passing[branch.path]
        self._passed.discard(branch.path)
        branch.no = entry.record.no + 1
        return ask.answer(entry)

    def _redone(self, path: str, name: str) -> bool:
        """Did the present attempt come to an outcome of its own?"""
        return any(entry.record.branch == path and entry.record.name == name for entry in self._history)

    def _expects(self) -> bool:
        return bool(self.pending or self._passing)

    def _interrupt(self, branch: Branch, error: BaseException) -> None:
        if self._passing.pop(branch.path, None) is not None:
            self._resume(branch, None, error)
        else:
            super()._interrupt(branch, error)

    def _replay_rest(self) -> None:
        while self._cursor < len(self._history) and self.outcome is None:
            entry = self._history[self._cursor]
            record, self._cursor = entry.record, self._cursor + 1
            arm = record.branch.partition("/")[0] + "/"
            if record.no < 0:
                self.note(entry.seq, record.at)
                self.interrupt(self.course.interruption(record))
            elif arm in self._passed:
                self._pass(arm, entry)
            else:
                self._give(entry)
            self._unlatch()
        self.replaying = False

    def _pass(self, arm: str, entry: Entry) -> None:
        """A record of a node that asked verbs of its own."""
        self.note(entry.seq, entry.record.at)
        branch, waiting = self._passing.get(arm, (None, None))
        if branch is None or waiting is None or (entry.record.branch, entry.record.name) != (arm, waiting.name):
            return
        self._send(branch, self._outcome_of(branch, waiting, entry))

    def _give(self, entry: Entry) -> None:
        """A record that somebody asked for."""
        record = entry.record
        found = self.pending.pop((record.branch, record.no), None)
        if found is None:
            asked = f"{record.kind} {record.name!r} (ask {record.no} of branch {record.branch or 'main'!r})"
            raise self._diverged("something else, or nothing", asked, self.main)
        self._last = found
        self._send(found.branch, self._take(found, entry))
