"""The checks of what stands in line: messages, turns, batches, the schedule, the breaker. See ``checks``."""

from __future__ import annotations

import traceback
from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec

from tests.chaos import paced
from tests.chaos.courier import Told
from tests.chaos.tape import Tape
from tests.laws.queue_fold import Fold
from tickwork.core.message import Stage
from tickwork.core.queue import Sent, decode_sent
from tickwork.core.schedule import ScheduleFired
from tickwork.core.tape import Record
from tickwork.engines.embedded.breakers import Row
from tickwork.engines.embedded.schedule_rows import ScheduleRow

SECOND = 1_000_000_000

SAME = ("queue", "id", "priority", "joins_at", "place", "attempts", "visible_at", "lease", "lease_until", "run", "body")
"""Columns of a message that its records tell."""


class RealFold(Fold):
    """The fold of a tape on which time passes between an act and its record."""

    def on_extended(self, seq: int, record: Record, run: int | None) -> None:
        (item,) = self._named(record)
        assert item.stage is Stage.IN_FLIGHT
        assert item.lease == record.ref
        item.lease_until = record.due

    def on_acked(self, seq: int, record: Record, run: int | None) -> None:
        self._complete(self._named(record), record.at)


def folded(tape: Tape) -> list[str]:
    """No record breaks a rule of the line, and the rows of the queues are what the records come to."""
    fold = RealFold({queue.name: queue for queue in (paced.JOBS, paced.PARCELS, paced.FRAIL)}, [])
    for run, entry in tape.entries:
        record = entry.record
        act = getattr(fold, f"on_{record.kind}", None)
        try:
            if act is not None:
                act(entry.seq, record, run)
        except (AssertionError, KeyError, ValueError) as broken:
            line = traceback.extract_tb(broken.__traceback__)[-1].line
            what = f"{record.kind} {bytes(record.value).decode()} of {record.name} at {entry.seq}"
            return [f"{what}: {broken!r} ({line})"]
    rows = {row["seq"]: row for row in tape.tables["messages"]}
    complaints = [f"message {seq} has no row, or no record" for seq in rows.keys() ^ fold.items.keys()]
    for seq in rows.keys() & fold.items.keys():
        item, row = fold.items[seq], rows[seq]
        complaints += [
            f"message {seq}: {name} is {row[name]}, its records say {getattr(item, name)}"
            for name in SAME
            if row[name] != getattr(item, name)
        ]
    return complaints


def _sent(tape: Tape) -> dict[int, tuple[Record, Sent]]:
    """Every message, by position."""
    return {
        entry.seq: (entry.record, decode_sent(entry.record.value))
        for _, entry in tape.of_kind("message", "send")
        if not entry.record.ref and not bytes(entry.record.error)
    }


def _listed(record: Record) -> list[int]:
    found: list[int] = msgspec.json.decode(record.value)
    return found


def _completed(tape: Tape) -> list[int]:
    """The messages that were completed, in order: acknowledged, or worked on by a run that ended well."""
    found, carried = [], dict[int | None, list[int]]()
    for run, entry in tape.of_kind("acked", "delivered", "done"):
        if entry.record.kind == "acked":
            found += _listed(entry.record)
        elif entry.record.kind == "delivered":
            carried[run] = _listed(entry.record)
        else:
            found += carried.pop(run, [])
    return found


def once(tape: Tape) -> list[str]:
    """Every message is completed once, and no id is there twice."""
    sent, done = _sent(tape), Counter(_completed(tape))
    complaints = [f"message {seq} was completed {done[seq]} times" for seq in sent if done[seq] != 1]
    complaints += [f"message {seq}, which was completed, was never sent" for seq in done if seq not in sent]
    ids = Counter((record.name, one.id) for record, one in sent.values() if one.id)
    complaints += [f"id {id} is in {queue} {count} times" for (queue, id), count in ids.items() if count > 1]
    stages = Counter(Stage(row["stage"]).name for row in tape.tables["messages"])
    return complaints + [f"{count} messages are {stage}" for stage, count in stages.items() if stage != "COMPLETED"]


def in_order(tape: Tape) -> list[str]:
    """Messages of one group were completed as they joined the line; those that died and came back, after that."""
    sent, lines = _sent(tape), dict[tuple[str, str], list[tuple[int, int]]]()
    revived = {entry.record.ref for run, entry in tape.of_kind("redriven") if run is None}
    for seq in _completed(tape):
        if seq in sent and seq not in revived:
            record, one = sent[seq]
            lines.setdefault((record.name, one.group), []).append((record.due or record.at, seq))
    complaints = []
    for (queue, group), ranks in lines.items():
        for before, after in pairwise(ranks):
            if after < before:
                complaints.append(f"group {group!r} of {queue}: message {after[1]} was completed after {before[1]}")
    return complaints


def told(tape: Tape, notes: Told) -> list[str]:
    """What the courier was told is on the tape; and a parcel of which it was told that it is done never came back."""
    at = {entry.seq: entry.record for _, entry in tape.of_kind("leased", "message")}
    by_lease = {(entry.record.kind, entry.record.ref, seq) for _, entry in tape.of_kind("extended", "returned")
                for seq in _about(entry.record)}  # fmt: skip
    acked = {seq for _, entry in tape.of_kind("acked") for seq in _listed(entry.record)}
    complaints, done = [], dict[int, str]()
    for what, lease in notes.leases:
        seq, number = (int(part) for part in lease.rpartition(":")[2].split(".")[:2])
        if what == "leased":
            known = number in at and seq in _about(at[number])
            if seq in done:
                complaints.append(f"message {seq} was leased again as {lease}, after {done[seq]} was acknowledged")
        elif what == "acked":
            known = seq in acked
            done.setdefault(seq, lease)
        else:
            known = (what, number, seq) in by_lease
        if not known:
            complaints.append(f"{lease} was told to be {what}, which is not on the tape")
    for id, seq in notes.posted.items():
        record = at.get(seq)
        if seq and (record is None or record.kind != "message" or decode_sent(record.value).id != id):
            complaints.append(f"parcel {id}, acknowledged at {seq}, is not there")
    return complaints


def _about(record: Record) -> list[int]:
    """The messages that a record of a queue names."""
    if record.kind != "returned":
        return _listed(record) if record.kind != "message" else []
    value: dict[str, Any] = msgspec.json.decode(record.value)
    return [*value.get("again", []), *value.get("dead", [])]


def turns(tape: Tape, found: list[str]) -> list[str]:
    """Runs of one key take turns outside: in the order in which they were started, never two at once."""
    wanted: dict[str, list[str]] = {}
    for _, who in tape.begun("chaos-turn"):
        n, k = msgspec.json.decode(who.input)
        wanted.setdefault(who.key, []).extend((f"{n}:begin{k}", f"{n}:end{k}"))
    have: dict[str, list[str]] = {}
    for line in found:
        n, _, what = line.split(" ", 1)[1].partition(":")
        if what.startswith(("begin", "end")):
            have.setdefault(paced.group(int(n)), []).append(f"{n}:{what}")
    complaints = []
    for key, labels in wanted.items():
        pairs = zip(labels, [*have.get(key, []), *[""] * len(labels)], strict=False)
        wrong = next(((label, instead) for label, instead in pairs if label != instead), None)
        if wrong is not None:
            complaints.append(f"key {key!r}: {wrong[1] or 'nothing'} came in the place of {wrong[0]}")
    return complaints


def gathered(tape: Tape) -> list[str]:
    """Every piece is in one batch, and no batch is too large."""
    sent = Counter(bytes(entry.record.value) for _, entry in tape.of_kind("event", "emit")
                   if entry.record.name == paced.Piece.event_name)  # fmt: skip
    complaints, taken = [], Counter[bytes]()
    for run, who in tape.begun("chaos-gather"):
        pieces = [bytes(piece) for piece in msgspec.json.decode(who.input, type=list[msgspec.Raw])]
        taken.update(pieces)
        if not 0 < len(pieces) <= paced.SIZE:
            complaints.append(f"the batch of run {run} has {len(pieces)} pieces")
    complaints += [f"{piece.decode()} is in {taken[piece]} batches" for piece in sent if taken[piece] != sent[piece]]
    return complaints + [f"{piece.decode()} was never sent" for piece in taken if piece not in sent]


def scheduled(tape: Tape, found: list[str]) -> list[str]:
    """Every second from the first to the last was fired once, outside too; and the row says so."""
    begun = Counter(entry.record.ref for _, entry in tape.of_kind("started"))
    fired: list[int] = []
    complaints = []
    for _, entry in tape.of_kind("event"):
        if entry.record.name == ScheduleFired.event_name:
            fired.append(int(ScheduleFired.from_wire(bytes(entry.record.value)).due.timestamp()))
            if begun[entry.seq] != 1:
                complaints.append(f"second {fired[-1]} started {begun[entry.seq]} runs")
    declared = [entry.record.due for _, entry in tape.of_kind("schedule") if entry.record.key == "declared"]
    if len(declared) != 1:
        return [*complaints, f"the schedule was declared {len(declared)} times"]
    seconds = range(declared[0] // SECOND, max(fired, default=0) + 1)
    if fired != list(seconds):
        twice = [second for second, count in Counter(fired).items() if count > 1]
        never = sorted(set(seconds) - set(fired))
        complaints.append(f"fired {len(fired)} times in {len(seconds)} s; twice: {twice}, never: {never}")
    outside = Counter(line.split(" due-")[1] for line in found if " due-" in line)
    complaints += [f"second {second} is outside {outside[str(second)]} times" for second in set(fired)
                   if outside[str(second)] != 1]  # fmt: skip
    complaints += [f"second {second} was never fired" for second in outside if int(second) not in fired]
    row = msgspec.json.decode(tape.tables["schedules"][0]["state"], type=ScheduleRow)
    last = fired[-1] * SECOND if fired else None
    if row.last_due != last or row.next_due != (declared[0] if last is None else last + SECOND):
        complaints.append(f"its row says {row.last_due} and {row.next_due}")
    return complaints


def breakers(tape: Tape) -> list[str]:
    """The breaker's row is what its records come to, and each record goes on where the one before ended."""
    mode, changes, last = "closed", 0, None
    complaints = []
    for _, entry in tape.of_kind("breaker"):
        change = msgspec.json.decode(entry.record.value)
        if change["from"] != mode:
            complaints.append(f"it goes from {change['from']} at {entry.seq}, and was {mode}")
        mode, changes, last = change["to"], changes + 1, entry.record
    for table in tape.tables["breakers"]:
        state = msgspec.json.decode(table["state"], type=Row).state
        since, retry_at = (last.at, last.due) if last is not None else (0, 0)
        if (state.mode, state.epoch, state.since, state.retry_at) != (mode, changes, since, retry_at):
            complaints.append(f"its row says {state}, its records {mode} since {since} after {changes} changes")
    if changes and not tape.tables["breakers"]:
        complaints.append("it has no row")
    return complaints
