"""Forks: which records of a run are taken over."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from tickwork.core.replay import Course
from tickwork.core.tape import Entry
from tickwork.engines.embedded.reader import started
from tickwork.errors import InvalidInput

_encode = msgspec.json.Encoder().encode


def copied_before(entries: list[Entry], from_step: str, id: str) -> tuple[Raw, Raw]:
    """The run's input, and its completed asks before the first one named ``from_step`` (or ``name#2``: the third).

    Raises:
        InvalidInput: the run holds no such step.
    """
    name, _, nth = from_step.partition("#")
    occ = int(nth) if nth.isdigit() else 0
    who = started(entries[0])
    cut = next((i for i, (_, record) in enumerate(entries) if _is(record, name, occ)), None)
    if cut is None:
        names = dict.fromkeys(r.name for _, r in entries if r.no >= 0 and r.name)
        raise InvalidInput("fork(from_step=)", from_step, f"a step of run {id}: {', '.join(names) or 'it has none'}")
    course = Course(entries[:cut], who.since)
    kept = {**course.kept}
    for entry in course.history:
        record = entry.record
        if record.no >= 0 and not bytes(record.error) and not record.undoes:
            kept[record.branch, record.kind, record.name, record.occ] = entry
    left = [(entry.seq, entry.record) for identity, entry in kept.items() if not course.undone(identity)]
    return Raw(bytes(who.input)), Raw(_encode(left))


_ASKED = ("step", "effect", "intent", "call", "wait", "emit", "send", "start", "tried")


def _is(record: object, name: str, occ: int) -> bool:
    return (
        getattr(record, "name", None) == name
        and getattr(record, "occ", 0) == occ
        and getattr(record, "kind", "") in _ASKED
    )
