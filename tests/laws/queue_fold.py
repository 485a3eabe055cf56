"""The queues of a tape, folded from its records alone: what their rows must say, and what must never have happened."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tickwork.core.message import Stage
from tickwork.core.queue import Queue, decode_sent
from tickwork.core.tally import DAY
from tickwork.core.tape import Entry, Record
from tickwork.engines.embedded.lines import Returned

_returned = msgspec.json.Decoder(Returned).decode


@dataclass
class Folded:
    """A message as the records have it."""

    seq: int
    queue: str
    at: int
    id: str
    group: str
    priority: int
    joins_at: int
    place: int
    body: int
    stage: Stage = Stage.WAITING
    attempts: int = 0
    visible_at: int = 0
    lease: int = 0
    leased_at: int = 0
    lease_until: int = 0
    run: int = 0
    ended_at: int = 0
    failures: int = 0
    deliveries: int = 0
    bodies: list[bytes] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, int, int]:
        return self.joins_at, self.place, self.seq


class Fold:
    """Reads records in order. Asserts what holds at each of them."""

    def __init__(self, queues: dict[str, Queue], records: list[tuple[int | None, Entry]]) -> None:
        self.queues = queues
        self.items: dict[int, Folded] = {}
        self.days: dict[tuple[str, int], Counter[str]] = {}
        self.runs: dict[int, list[int]] = {}
        for run, entry in records:
            act = getattr(self, "on_" + entry.record.kind, None)
            if act is not None:
                act(entry.seq, entry.record, run)

    def _count(self, queue: str, at: int, what: str, number: int = 1) -> None:
        self.days.setdefault((queue, at // DAY), Counter())[what] += number

    def _named(self, record: Record) -> list[Folded]:
        return [self.items[seq] for seq in msgspec.json.decode(record.value)]

    def _line(self, item: Folded, at: int) -> list[Folded]:
        """Those of its group that are in line and not done, in order."""
        if not self.queues[item.queue].fifo:
            return [item]
        found = [
            other
            for other in self.items.values()
            if other.queue == item.queue and other.group == item.group and other.stage.open and other.joins_at <= at
        ]
        return sorted(found, key=lambda other: other.rank)

    # -- sent -----------------------------------------------------------------------------------------------------

    def on_message(self, seq: int, record: Record, run: int | None) -> None:
        sent, queue = decode_sent(record.value), self.queues[record.name]
        for other in self.items.values():
            if sent.id and other.queue == record.name and other.id == sent.id and queue.dedupe_window:
                assert record.at - other.at >= queue.dedupe_window, "the same id twice within the window"
        joins = record.due or record.at
        self.items[seq] = Folded(
            seq, record.name, record.at, sent.id, sent.group, sent.priority, joins, seq, seq, visible_at=joins,
            bodies=[bytes(sent.body)],
        )  # fmt: skip
        self._count(record.name, record.at, "sent")

    def on_send(self, seq: int, record: Record, run: int | None) -> None:
        if record.ref:
            assert self.items[record.ref].queue == record.name
        elif not bytes(record.error):
            self.on_message(seq, record, run)

    # -- taken ----------------------------------------------------------------------------------------------------

    def _take(self, items: list[Folded], at: int) -> None:
        for item in items:
            assert item.stage is Stage.WAITING, "taken twice"
            assert item.visible_at <= at, "taken before its time"
            for other in self._line(item, at):
                if other.rank < item.rank:
                    assert other in items, "taken before another of its group"
                assert other in items or other.stage is not Stage.IN_FLIGHT, "two holders of one group"
        for item in items:
            item.stage, item.attempts, item.leased_at = Stage.IN_FLIGHT, item.attempts + 1, at
            item.lease = item.lease_until = item.run = 0
            item.deliveries += 1

    def on_leased(self, seq: int, record: Record, run: int | None) -> None:
        items = self._named(record)
        self._take(items, record.at)
        for item in items:
            item.lease, item.lease_until = seq, record.due

    def on_extended(self, seq: int, record: Record, run: int | None) -> None:
        (item,) = self._named(record)
        assert item.stage is Stage.IN_FLIGHT
        assert item.lease == record.ref
        assert record.at < item.lease_until < record.due
        item.lease_until = record.due

    def on_delivered(self, seq: int, record: Record, run: int | None) -> None:
        assert run is not None
        items = self._named(record)
        before = {item.run for item in items if item.stage is Stage.IN_FLIGHT}
        if before:  # a run that goes on as another
            (old,) = before
            assert self.runs.pop(old) == [item.seq for item in items]
        else:
            self._take(items, record.at)
        for item in items:
            item.run = run
        self.runs[run] = [item.seq for item in items]

    # -- ended ----------------------------------------------------------------------------------------------------

    def _complete(self, items: list[Folded], at: int) -> None:
        for item in items:
            assert item.stage is Stage.IN_FLIGHT, "completed, and nobody had it"
            assert self._line(item, at)[0] is item, "completed before another of its group"
            item.stage, item.ended_at = Stage.COMPLETED, at
            self._count(item.queue, at, "completed")
            self._count(item.queue, at, "busy", at - item.leased_at)

    def on_acked(self, seq: int, record: Record, run: int | None) -> None:
        items = self._named(record)
        assert all(record.at < item.lease_until for item in items), "acknowledged after its lease"
        self._complete(items, record.at)

    def on_done(self, seq: int, record: Record, run: int | None) -> None:
        self._complete([self.items[item] for item in self.runs.pop(run or 0, [])], record.at)

    def on_returned(self, seq: int, record: Record, run: int | None) -> None:
        told, at = _returned(record.value), record.at
        if told.failure.run:
            gone = self.runs.pop(told.failure.run)
            assert sorted(gone) == sorted([*told.again, *told.dead])
        for item in [self.items[seq] for seq in [*told.again, *told.dead]]:
            assert item.stage.open
            was = item.stage
            item.failures += 1
            if told.together:
                item.attempts -= 1
            tried = was is Stage.IN_FLIGHT and told.failure.why in ("rejected", "lapsed", "failed")
            if tried or told.together:
                self._count(item.queue, at, "failed")
            if told.failure.why == "lapsed":
                assert item.lease_until <= at
            if item.seq in told.dead:
                self._die(item, told, at)
            else:
                item.stage, item.lease_until = Stage.WAITING, 0
                item.visible_at = record.due or item.visible_at
        for item in [self.items[seq] for seq in told.released]:
            assert item.stage is Stage.IN_FLIGHT
            item.stage, item.lease_until, item.attempts = Stage.WAITING, 0, item.attempts - 1

    def _die(self, item: Folded, told: Returned, at: int) -> None:
        queue = self.queues[item.queue]
        if told.failure.why in ("rejected", "lapsed"):
            assert item.attempts == queue.max_retries + 1
        if told.failure.why == "expired":
            assert item.stage is not Stage.IN_FLIGHT
            assert at >= item.joins_at + queue.retention
        self._count(item.queue, at, "dead")
        item.stage, item.ended_at = Stage.DEAD, at

    # -- dead letters ---------------------------------------------------------------------------------------------

    def on_redriven(self, seq: int, record: Record, run: int | None) -> None:
        item = self.items.get(record.ref)
        if run is not None or item is None:
            return
        assert item.stage is Stage.DEAD
        item.stage, item.attempts, item.lease, item.leased_at = Stage.WAITING, 0, 0, 0
        item.ended_at, item.lease_until, item.place = 0, 0, seq
        item.joins_at = item.visible_at = record.due or record.at
        if bytes(record.value):
            item.body = seq
            item.bodies.append(bytes(decode_sent(record.value).body))

    def on_discarded(self, seq: int, record: Record, run: int | None) -> None:
        item = self.items.get(record.ref)
        if item is not None:
            assert item.stage is Stage.DEAD
            item.stage, item.ended_at = Stage.DISCARDED, record.at

    # -- questions ------------------------------------------------------------------------------------------------

    def count_open(self, queue: str) -> int:
        """Messages of a queue that are not done."""
        return sum(item.stage.open for item in self.items.values() if item.queue == queue)

    def in_order(self, seqs: list[int]) -> bool:
        """May these be completed one after the other?"""
        done: set[int] = set()
        for seq in seqs:
            item = self.items[seq]
            if item.stage is not Stage.IN_FLIGHT:
                return False
            line = [other for other in self._line(item, item.leased_at) if other.seq not in done]
            if line[0] is not item:
                return False
            done.add(seq)
        return True

    # -- rows -----------------------------------------------------------------------------------------------------

    def same(self, item: Folded, row: dict[str, Any]) -> None:
        """The row says what the records say. One that is not yet in line may be written so, or as waiting."""
        stage = Stage(row["stage"])
        assert (Stage.WAITING if stage is Stage.DELAYED else stage) is item.stage
        for name in ("queue", "id", "priority", "joins_at", "place", "attempts", "visible_at", "lease", "leased_at",
                     "lease_until", "run", "at", "ended_at", "body"):  # fmt: skip
            assert row[name] == getattr(item, name), (name, item, row)
        assert row["grp"] == item.group
        assert len(msgspec.json.decode(row["failures"] or "[]")) == item.failures
