"""A driver without an engine: answers steps and effects at once, leaves everything else waiting, keeps the records."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import Raw

from tickwork.core.asks import Effect, Step, WaitFor
from tickwork.core.codec import encode_error, fingerprint
from tickwork.core.drive import PENDING, Drive, Failure, Waiting
from tickwork.core.event import Event
from tickwork.core.functions import function_of
from tickwork.core.replay import Course
from tickwork.core.run import Run
from tickwork.core.tape import NOTHING, NULL, Entry, Record

Body = Callable[[Run], Coroutine[Any, Any, Any]]
START = Entry(1, Record("started", 1_000, "flow", value=Raw(b'{"id":"it","input":null}')))


class Tape:
    """Drives a body, and keeps what it would find after a crash."""

    def __init__(self, entries: list[Entry] | None = None) -> None:
        self.entries = list(entries or [START])
        self.asked: list[str] = []
        """Every ask that went live."""
        self.forgotten: list[str] = []

    def drive(self, body: Body) -> Drive:
        """Replay what is there, and go on."""
        drive = Drive(body, "it", "", b"seed", self, Course(self.entries))
        drive.start()
        return drive

    def append(self, record: Record) -> Entry:
        entry = Entry(self.entries[-1].seq + 1, record)
        self.entries.append(entry)
        return entry

    def answer(self, drive: Any, waiting: Waiting, intent: Entry | None, late: bool) -> Any:
        ask: Any = waiting.ask
        self.asked.append(f"{ask.kind} {ask.name}")
        if not isinstance(ask, Step | Effect):
            return PENDING
        function = function_of(ask.fn)
        value, error, answer = NOTHING, NOTHING, None
        try:
            keywords = {"key": "k"} if isinstance(ask, Effect) else {}
            value, answer = function.codec.round_trip(ask.fn(*ask.args, **keywords), ask)
        except Exception as raised:  # noqa: BLE001 - whatever the step raises is its outcome
            error, normal = encode_error(raised)
            answer = Failure(normal)
        entry = self.append(
            Record(
                ask.kind, self._now(), ask.name, waiting.branch.path, waiting.no, waiting.occ, function.name,
                fingerprint(ask.args), value, error, late=late, undoes=ask.undoes,
            )
        )  # fmt: skip
        drive.note(entry.seq, entry.record.at)
        return answer

    def deliver(self, drive: Drive, path: str, no: int, event: Event | None = None) -> None:
        """Answer something that waits: a sleep is over, an event has come."""
        waiting = drive.pending[path, no]
        ask: Any = waiting.ask
        wait = isinstance(ask, WaitFor)
        entry = self.append(
            Record(
                ask.kind, self._now(), ask.name, path, no, waiting.occ,
                args=fingerprint((ask.where.key, ask.where.text)) if wait else 0,
                value=Raw(event.to_wire()) if event is not None else NULL if wait else NOTHING, late=True,
            )
        )  # fmt: skip
        drive.note(entry.seq, entry.record.at)
        drive.deliver((path, no), event)

    def _now(self) -> int:
        return self.entries[-1].record.at + 1_000

    def record(self, drive: Any, record: Record) -> None:
        self.append(record)

    def forget(self, drive: Any, waiting: Waiting) -> None:
        ask: Any = waiting.ask
        self.forgotten.append(f"{ask.kind} {ask.name}")

    def doomed(self, drive: Any, waiting: Waiting) -> None:
        """Effects end at once here."""


def one() -> int:
    return 1


def two() -> int:
    return 2


def echo(value: int) -> int:
    return value


def fails() -> int:
    raise ValueError("no")
