"""The checks, from outside: they read files only, when no engine runs.

What must hold whatever was killed, and whenever:

* every acknowledged event is on the tape where it was acknowledged, and started exactly one run;
* every run has ended well, and nothing is left waiting;
* the outside file has exactly the lines that the events call for: each label once, each key once, each key with an
  intent on the tape, each value as the tape has it;
* no place of a run was recorded twice in one attempt, and every run's chain of chunks is whole;
* every message was completed once, in the order of its group, and the courier was told nothing that is not on the tape;
* turns were taken in order, pieces were gathered once, every second was fired once, rows are what records come to;
* the venue's book equals the ledger folded from the tape, and its orders are those that the tape says were accepted.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.chaos import line_checks, market, workload
from tests.chaos.courier import Told
from tests.chaos.market import BOOK, CASH
from tests.chaos.outside import lines
from tests.chaos.tape import Tape, read_tape
from tickwork.core.replay import ANSWERS
from tickwork.core.tape import Record
from tickwork.engines.embedded.status import Status
from tickwork.trading.ledger import fold
from tickwork.venues.paper_book import book_totals

SHOWN = 8
"""Complaints of one kind that are worth reading."""

UNFINISHED = ("running", "waiting", "paused", "queued", "dead")
"""Statuses that no run may have when all is over."""


@dataclass
class Fed:
    """What the harness knows by itself."""

    shapes: dict[int, str] = field(default_factory=dict)
    """Every event that was offered: number -> shape."""
    acknowledged: dict[int, int] = field(default_factory=dict)
    """Number -> position."""
    commanded: dict[str, bool] = field(default_factory=dict)
    """Runs started by id, such as ``doomed-17``, and whether that was acknowledged."""
    courier: Told = field(default_factory=Told)


@dataclass
class Verdict:
    """What the checks found."""

    passed: int = 0
    failures: list[str] = field(default_factory=list)

    def check(self, what: str, complaints: list[str]) -> None:
        """Note one check."""
        if not complaints:
            self.passed += 1
            return
        more = f" (and {len(complaints) - SHOWN} more)" if len(complaints) > SHOWN else ""
        self.failures.append(f"{what}: " + "; ".join(complaints[:SHOWN]) + more)


def judge(folder: Path, fed: Fed, *, orders: bool = True, verdict: Verdict | None = None) -> Verdict:
    """All checks of one folder after everything has settled."""
    verdict = verdict or Verdict()
    tape = read_tape(folder / "tape.db")
    verdict.check("the file is sound", tape.complaints)
    verdict.check("acknowledged events are on the tape", _acknowledged(tape, fed))
    shapes = _shapes_on(tape)
    verdict.check("each event started one run", _started(tape, shapes))
    verdict.check("every run ended well", _ended(tape))
    verdict.check("runs started by id are there", _commanded(tape, fed))
    verdict.check("no place was recorded twice", _places(tape))
    verdict.check("every chain of chunks is whole", _chains(tape))
    found = lines(folder / "outside.txt")
    verdict.check("each label once outside", _labels(found, shapes, _commanded_on(tape)))
    verdict.check("each key once outside, with its intent", _keys(found, tape))
    verdict.check("outside as the tape says", _outcomes(found, tape))
    verdict.check("each message completed once", line_checks.once(tape))
    verdict.check("messages of a group in order", line_checks.in_order(tape))
    verdict.check("what the courier was told is on the tape", line_checks.told(tape, fed.courier))
    verdict.check("rows of messages as their records say", line_checks.folded(tape))
    verdict.check("turns of a key in order", line_checks.turns(tape, found))
    verdict.check("each piece in one batch", line_checks.gathered(tape))
    verdict.check("each second fired once", line_checks.scheduled(tape, found))
    verdict.check("the breaker as its records say", line_checks.breakers(tape))
    if orders:
        verdict.check("the book is the ledger", _book(folder, tape))
    return verdict


def _shapes_on(tape: Tape) -> dict[int, str]:
    """The events that are on the tape, acknowledged or not."""
    found = {}
    for _, entry in tape.entries:
        if entry.record.kind == "event" and entry.record.name == workload.Tick.event_name:
            fields = json.loads(bytes(entry.record.value))
            found[fields["n"]] = fields["shape"]
    return found


def _number(record: Record) -> object:
    """What was fed as; in a wrong build anything may stand where an event was acknowledged."""
    value = json.loads(bytes(record.value))
    return value.get("n") if isinstance(value, dict) else None


def _acknowledged(tape: Tape, fed: Fed) -> list[str]:
    at = {entry.seq: entry.record for _, entry in tape.entries}
    complaints = []
    for n, seq in fed.acknowledged.items():
        record = at.get(seq)
        if record is None or record.kind != "event" or _number(record) != n:
            complaints.append(f"event {n}, acknowledged at {seq}, is not there")
    return complaints


def _started(tape: Tape, shapes: dict[int, str]) -> list[str]:
    started = Counter(entry.record.ref for _, entry in tape.entries if entry.record.kind == "started")
    complaints, seen = [], Counter[int]()
    for _, entry in tape.entries:
        if entry.record.kind == "event" and entry.record.name == workload.Tick.event_name:
            n = json.loads(bytes(entry.record.value))["n"]
            seen[n] += 1
            if started[entry.seq] != 1:
                complaints.append(f"event {n} at {entry.seq} started {started[entry.seq]} runs")
    complaints += [f"event {n} is on the tape {seen[n]} times" for n in shapes if seen[n] != 1]
    return complaints


def _commanded_on(tape: Tape) -> dict[int, str]:
    """The commanded runs that are on the tape: number -> kind."""
    found = {}
    for id in tape.ids:
        kind, _, n = id.partition("-")
        if kind in workload.COMMANDED and n.isdigit():
            found[int(n)] = kind
    return found


def _commanded(tape: Tape, fed: Fed) -> list[str]:
    """A start that was acknowledged is on disk."""
    return [f"{id} is not there" for id, known in fed.commanded.items() if known and id not in tape.ids]


def _ended(tape: Tape) -> list[str]:
    well = (Status.DONE, Status.CONTINUED)
    good = {"chaos-doomed": (Status.CANCELLED,), **dict.fromkeys(workload.REDELIVERED, (*well, Status.FAILED))}
    begun = {run for run, entry in tape.entries if entry.record.kind == "started"}
    complaints = [
        f"run {seq} ({name}) is {Status(status).name.lower()}"
        for seq, (name, status, _) in tape.rows.items()
        if status not in good.get(name, well)
    ]
    complaints += [f"run {seq} has no row" for seq in begun if seq not in tape.rows]
    complaints += [f"run {seq} has no records" for seq in tape.rows if seq not in begun]
    return complaints + [f"{count} rows are left in {table}" for table, count in tape.left.items() if count]


def _places(tape: Tape) -> list[str]:
    """A completed ask has one record in one attempt; an effect has at most one intent beside it."""
    seen: dict[int, Counter[tuple[Any, ...]]] = {}
    complaints = []
    for run, entry in tape.entries:
        if run is None:
            continue
        record = entry.record
        places = seen.setdefault(run, Counter())
        if record.kind in ("failed", "redriven"):
            places.clear()
        elif record.kind in ANSWERS or record.kind == "intent":
            place = (record.branch, record.no, record.kind == "intent")
            places[place] += 1
            if places[place] > 1:
                complaints.append(f"run {run} recorded {record.kind} {record.name!r} twice at ask {record.no}")
    return complaints


def _chains(tape: Tape) -> list[str]:
    """From a run's row back to its start, and no chunk of it left aside."""
    chunks: dict[int, list[int]] = {}
    run_of = {entry.seq: run for run, entry in tape.entries}
    for seq in tape.prev:
        run = run_of.get(seq)
        if run is not None:
            chunks.setdefault(run, []).append(seq)
    complaints = []
    for run, (_, _, tail) in tape.rows.items():
        at: int | None = tail
        walked = []
        while at is not None and at in tape.prev:
            walked.append(at)
            at = tape.prev[at]
        if sorted(walked) != sorted(chunks.get(run, [])):
            complaints.append(f"run {run}: its row leads to {len(walked)} of {len(chunks.get(run, []))} chunks")
    return complaints


def _labels(found: list[str], shapes: dict[int, str], commanded: dict[int, str]) -> list[str]:
    wanted = workload.expected(shapes)
    wanted.update(f"{n}:{what}" for n, kind in commanded.items() for what in workload.COMMANDED[kind][1])
    have: Counter[str] = Counter()
    for line in found:
        label = line.split(" ", 1)[1]
        if label.startswith("due-"):
            continue  # see ``line_checks.scheduled``
        undone = label.startswith("undo-")
        n, what = label.removeprefix("undo-").split(":")[:2]
        have[f"{n}:{'undo-' if undone else ''}{what}"] += 1
    for number, kind in commanded.items():
        # cancelled before its effect, it has nothing to take back
        if kind == "doomed" and have[f"{number}:doomed"] == have[f"{number}:undo-doomed"] == 1:
            wanted.update((f"{number}:doomed", f"{number}:undo-doomed"))
    have = +have
    complaints = [f"{label} is missing" for label in wanted if not have[label]]
    complaints += [f"{label} is there {count} times" for label, count in have.items() if count > 1]
    return complaints + [f"{label} has no cause on the tape" for label in have if not wanted[label]]


def _keys(found: list[str], tape: Tape) -> list[str]:
    intents = {entry.record.key for _, entry in tape.entries if entry.record.kind == "intent"}
    keys = Counter(line.split(" ", 1)[0] for line in found)
    complaints = [f"key {key} was sent {count} times" for key, count in keys.items() if count > 1]
    return complaints + [f"key {key} has no intent on the tape" for key in keys if key not in intents]


def _outcomes(found: list[str], tape: Tape) -> list[str]:
    """Every effect that the tape calls done is outside with just the label it was recorded with, and none is open."""
    outside = dict(line.split(" ", 1) for line in found)
    complaints, opened = [], dict[str, str]()
    for run, entry in tape.entries:
        record = entry.record
        if record.kind == "intent":
            opened[record.key] = f"effect {record.name!r} of run {run}"
        elif record.kind == "effect":
            opened.pop(record.key, None)
            if record.name != "submit" and not record.undoes and not bytes(record.error):
                told = msgspec.json.decode(record.value)
                if outside.get(record.key) != told:
                    complaints.append(
                        f"effect {record.key}: the tape says {told}, outside is {outside.get(record.key)}"
                    )
    complaints += [f"{what} has no outcome" for what in opened.values()]
    return complaints + _drawn(tape, outside)


def _drawn(tape: Tape, outside: dict[str, str]) -> list[str]:
    """What was shown outside is what the step's record holds."""
    drawn: dict[int | None, set[str]] = {}
    for run, entry in tape.entries:
        if entry.record.kind in ("step", "call") and not bytes(entry.record.error):
            drawn.setdefault(run, set()).add(bytes(entry.record.value).decode())
    complaints = []
    for run, entry in tape.entries:
        record = entry.record
        parts = outside.get(record.key, "").split(":") if record.kind == "intent" else []
        if len(parts) == 3 and parts[1] != "won" and parts[2] not in drawn.get(run, ()):
            complaints.append(f"{':'.join(parts)} shows a value that its run {run} does not remember")
    return complaints


def _book(folder: Path, tape: Tape) -> list[str]:
    told = market.Told()
    for _, entry in tape.entries:
        told.add(entry.record)
    totals = book_totals(folder / BOOK)
    ledger = fold(told.fills, CASH)
    ledger.check()
    complaints = totals.differences(ledger)
    accepted = set(told.submitted)
    complaints += [f"order {key} is at the venue only" for key in totals.client_order_ids - accepted]
    complaints += [f"order {key} is on the tape only" for key in accepted - totals.client_order_ids]
    numbers = Counter(fill.fill_id for fill in told.fills)
    if len(numbers) != totals.fills:
        complaints.append(f"the book has {totals.fills} fills, the tape {len(numbers)}")
    return complaints
