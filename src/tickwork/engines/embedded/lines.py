"""Queues at work: each a line (``core.line``) with its rows, records and timer.

Whatever changes a line leaves a record and the rows of what it changed, in one batch; after a crash the line is read
back from the rows. A queue has one timer, for the first thing that is due in it.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import msgspec
from msgspec import Raw

from tickwork.core.event import Alert, Event
from tickwork.core.line import Line
from tickwork.core.message import Failure, Item, Stage
from tickwork.core.queue import Queue, Sent, encode_sent
from tickwork.core.tally import DAY, MINUTE, SECOND, Day
from tickwork.core.tape import NOTHING, Record
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded.bodies import Bodies
from tickwork.engines.embedded.runs import Runs
from tickwork.errors import InvalidInput, NotFound, QueueFull, TapeError

_log = logging.getLogger("tickwork.engine")

PURGE_MAX = 1_000
"""Rows that are purged at once."""

IDS_MAX = 500
"""Ids that are looked for at once."""

PURGE_EVERY = 20_000_000
"""ns between two such slices while there are more."""

COLUMNS = (
    "seq, queue, stage, id, grp, joins_at, place, priority, attempts, visible_at, lease, leased_at, lease_until, "
    "consumer, run, at, ended_at, redrives, body, failures"
)

_encode = msgspec.json.Encoder().encode
_decode_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


class Returned(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value of a ``returned`` record: deliveries that failed, or messages that gave up."""

    failure: Failure
    again: list[int] = []
    """They wait again at their old places, and rest until the record's ``due``."""
    dead: list[int] = []
    released: list[int] = []
    """They were taken with those that failed, and come after them in their groups."""
    together: bool = False
    """They were one input, and their attempts do not count."""


@dataclass(slots=True)
class Desk:
    """A queue of this engine: its line, and what the engine does about it."""

    queue: Queue
    line: Line
    by: dict[str, Queue | None] = field(default_factory=dict)
    """Who declares it: workflows by name, and ``""`` for the engine. ``None``: by one that has retired."""
    workflow: Workflow | None = None
    """Who works on its messages, if a workflow does."""
    many: bool = False
    """Does that one take lists of them?"""
    working: int = 0
    """Runs of it that are under way."""
    dead: int = 0
    """Dead letters."""
    armed: int = 0
    """When the timer rings (ns); 0: it is not set."""
    purge_at: int = 0
    """When there may be rows to purge (ns); 0: there are none."""

    @property
    def declared(self) -> bool:
        """False: the tape has messages of it, but nobody declares it. It is left as it is."""
        return bool(self.by)


class Lines:
    """All queues of one engine."""

    def __init__(self, runs: Runs, post: Callable[[Event, int], int], queues: Iterable[Queue]) -> None:
        self._runs = runs
        self._post = post
        self._log = runs.log
        self._reader = runs.reader
        self.now = runs.clock.now
        self.bodies = Bodies(runs.log, runs.reader)
        self.desks: dict[str, Desk] = {}
        self.feed: Callable[[Desk], None] = lambda desk: None
        """Replaced by what gives messages to workflows."""
        self._ids: dict[tuple[str, str], tuple[int, int, int]] = {}
        """Ids whose rows may not be on disk yet: position and time of the message, number of the batch."""
        self._ids_by_batch: deque[tuple[int, tuple[str, str]]] = deque()
        self._recovered = False
        for queue in queues:
            self.check(queue)
            self.declare(queue)

    def check(self, queue: Queue, by: str | None = None) -> None:
        """
        Raises:
            InvalidInput: others declare a queue of this name, which differs.
        """
        known = self.desks.get(queue.name)
        for name, other in known.by.items() if known is not None else ():
            if name != by and other is not None and other is not queue and other.settings() != queue.settings():
                raise InvalidInput(
                    f"queue {queue.name!r}", "two declarations that differ", "one, used wherever it is meant"
                )

    def declare(self, queue: Queue, by: str = "") -> Desk:
        """A queue of the engine, or of a workflow, as ``check`` allows it; messages that it has stay in it."""
        desk = self.desks.get(queue.name)
        if desk is None:
            desk = self.desks[queue.name] = Desk(queue, Line(queue))
            if self._recovered:
                self._keep_settings(desk)
                self._recover_counts(queue.name, desk, self.now())
        elif not desk.declared or desk.queue.settings() != queue.settings():
            self._renew(desk, queue)
        elif desk.by.keys() <= {by}:
            desk.queue = desk.line.queue = queue
        desk.by[by] = queue
        return desk

    def _renew(self, desk: Desk, queue: Queue) -> None:
        """Another declaration: the line is built anew, of the same messages."""
        items = list(desk.line.open.values())
        for item in items:
            item.next = None
        line = Line(queue)
        line.tally = desk.line.tally
        line.restore(items, self.now())
        desk.queue, desk.line = queue, line
        self._keep_settings(desk)

    def _keep_settings(self, desk: Desk) -> None:
        self._log.batch.put("queues", (desk.queue.name,), (_encode(desk.queue.settings()).decode(),))

    def desk(self, queue: Queue | str) -> Desk:
        """A queue of this engine.

        Raises:
            InvalidInput: it has none like that. TapeError: the engine is not open any more.
        """
        if self._log.closed or self._log.fault is not None:
            raise self._log.fault or TapeError("the engine is not open")
        name = queue.name if isinstance(queue, Queue) else queue
        desk = self.desks.get(name) if isinstance(name, str) else None
        if desk is None or not desk.declared:
            known = ", ".join(sorted(name for name, desk in self.desks.items() if desk.declared)) or "it has none"
            raise NotFound("queue", name, f"a queue that the engine was given (Engine(queues=[...])): {known}")
        return desk

    # -- sending --------------------------------------------------------------------------------------------------

    def known(self, desk: Desk, ids: Iterable[str]) -> dict[str, int]:
        """The messages that have these ids already, as far back as the queue remembers."""
        name, window = desk.queue.name, desk.queue.dedupe_window
        if not window:
            return {}
        after, found, asked = self.now() - window, {}, []
        for id in ids:
            recent = self._ids.get((name, id))
            if recent is None:
                asked.append(id)
            elif recent[1] > after:
                found[id] = recent[0]
        for first in range(0, len(asked), IDS_MAX):
            some = asked[first : first + IDS_MAX]
            marks = ",".join("?" * len(some))
            sql = f"SELECT id, max(seq) FROM messages WHERE queue=? AND id IN ({marks}) AND id<>'' AND at>? GROUP BY id"
            found |= dict(self._reader.rows(sql, (name, *some, after)))
        return found

    def make_sure_of_room(self, desk: Desk, count: int = 1) -> None:
        """
        Raises:
            QueueFull: there is no room for so many more.
        """
        if len(desk.line.open) + count > desk.queue.capacity:
            raise QueueFull(desk.queue.name, desk.queue.capacity)

    def sent(self, desk: Desk, seq: int, sent: Sent, now: int, due: int) -> None:
        """A message was recorded: put it in line."""
        item = Item(seq, now, group=sent.group, id=sent.id, priority=sent.priority, joins_at=max(due, now))
        desk.line.add(item, now)
        desk.line.tally.today(now).sent += 1
        self.bodies.keep(seq, sent)
        if sent.id and desk.queue.dedupe_window:
            self._remember((desk.queue.name, sent.id), seq, now)
        self.touch(desk, (item,))

    def _remember(self, name: tuple[str, str], seq: int, now: int) -> None:
        number = self._log.batch.number
        self._ids[name] = (seq, now, number)
        self._ids_by_batch.append((number, name))
        while self._ids_by_batch[0][0] <= self._log.committed:
            batch, old = self._ids_by_batch.popleft()
            if self._ids.get(old, (0, 0, 0))[2] == batch:  # else it was taken once more since
                del self._ids[old]

    # -- what leaves its mark -------------------------------------------------------------------------------------

    def record(self, desk: Desk, kind: str, items: Sequence[Item], **fields: Any) -> int:
        """A record about some messages."""
        value = Raw(_encode([item.seq for item in items]))
        return self._log.outside(Record(kind, self.now(), desk.queue.name, value=value, **fields))

    def touch(self, desk: Desk, items: Iterable[Item]) -> None:
        """These have changed, and with them perhaps the counters of the day."""
        put, name = self._log.batch.put, desk.queue.name
        for item in items:
            put("messages", (item.seq,), row_of(name, item))
        day = desk.line.tally.today(self.now())
        put("queue_days", (name, day.number), (day.sent, day.completed, day.failed, day.dead, day.busy))

    def completed(self, desk: Desk, items: Sequence[Item]) -> None:
        """These were completed."""
        self.touch(desk, items)
        for item in items:
            self.bodies.drop(item.body)
        if not desk.purge_at:
            desk.purge_at = self.now() + desk.queue.retention

    def returned(
        self,
        desk: Desk,
        failed: Sequence[Item],
        released: Sequence[Item] = (),
        *,
        ref: int = 0,
        together: bool = False,
    ) -> None:
        """Deliveries failed, all of one failure: record it, and see to those that died of it."""
        failure = failed[0].failures[-1]
        dead = [item for item in failed if item.stage is Stage.DEAD]
        again = [item for item in failed if item.stage is not Stage.DEAD]
        told = Returned(failure, [i.seq for i in again], [i.seq for i in dead], [i.seq for i in released], together)
        rests = bool(again) and again[0].visible_at > failure.at
        self._log.outside(
            Record(
                "returned", self.now(), desk.queue.name, value=Raw(_encode(told)), ref=ref, key=failure.code,
                due=again[0].visible_at if rests else 0,
            )
        )  # fmt: skip
        self.touch(desk, (*failed, *released))
        self._alert(desk, [item for item in dead if self._died(desk, item)])

    def rest(self, desk: Desk, item: Item, failures: int) -> int:
        """ns that a message rests after so many failed deliveries."""
        chance = zlib.crc32(f"{item.seq}/{failures}".encode()) / 2**32
        return desk.queue.retry.wait(max(failures, 1), chance)

    # -- dead letters ---------------------------------------------------------------------------------------------

    def _died(self, desk: Desk, item: Item) -> bool:
        """The queue's policy says what becomes of it. True: a person is to be told."""
        desk.dead += 1
        failure = item.failures[-1]
        rule = desk.queue.policy.rule(failure.code, failure.error, item.redrives)
        if rule.action == "retry":
            self.revive(desk, item, self.now() + rule.after_ns, by="rule", redrives=item.redrives + 1)
        elif rule.action == "discard":
            self.discard(desk, item, by="rule")
            _log.warning("message %d of %s is discarded: %s", item.seq, desk.queue, words(failure))
        return rule.action == "alert"

    def _alert(self, desk: Desk, dead: Sequence[Item]) -> None:
        """One alert for those that died of one thing."""
        if not dead:
            return
        failure = dead[0].failures[-1]
        many = f"message {dead[0].seq}" if len(dead) == 1 else f"{len(dead)} messages, {dead[0].seq} first,"
        what = f"{many} of {desk.queue} gave up"
        if all(self.bodies.get(item.body).event == Alert.event_name for item in dead):
            # alerts that cannot be handled would alert without end
            _log.error("%s, which are alerts: %s", what, words(failure))
            return
        run = self._runs.id_of(failure.run) if failure.run else ""
        alert = Alert(run=run, what=what, detail=words(failure))
        self.soon(lambda: self._post(alert, 0))

    def revive(self, desk: Desk, old: Item, due: int, *, by: str, redrives: int = 0, sent: Sent | None = None) -> Item:
        """A dead letter is a message again, at the tail of its line, now or when due; with another body if given."""
        now = self.now()
        value = NOTHING if sent is None else encode_sent(sent)
        record = Record("redriven", now, desk.queue.name, value=value, ref=old.seq, key=by, due=due if due > now else 0)
        place = self._log.outside(record)
        if sent is not None:
            self.bodies.keep(place, sent)
        item = Item(
            old.seq, old.at, group=old.group, id=old.id, priority=old.priority, joins_at=max(due, now), place=place,
            body=old.body if sent is None else place, redrives=redrives, failures=old.failures,
        )  # fmt: skip
        item.run = old.run
        desk.line.add(item, now)
        desk.dead -= 1
        self.touch(desk, (item,))
        return item

    def discard(self, desk: Desk, item: Item, by: str) -> None:
        """A dead letter is put away."""
        now = self.now()
        self._log.outside(Record("discarded", now, desk.queue.name, ref=item.seq, key=by))
        item.stage, item.ended_at = Stage.DISCARDED, now
        desk.dead -= 1
        self.completed(desk, (item,))

    # -- time -----------------------------------------------------------------------------------------------------

    def tick(self, desk: Desk) -> int:
        """Do what is due in a line; returns the time. To be called before anything is done to it."""
        now, line = self.now(), desk.line
        while (due := line.next_due()) is not None and due <= now:
            ticked = line.tick(now)
            released = ticked.released
            for _, lapsed in groupby(ticked.lapsed, key=lambda item: (item.lease, item.failures[-1])):
                self.returned(desk, list(lapsed), released)
                released = []
            expired = line.expire(now)
            if expired:
                self.returned(desk, expired)
        return now

    def settle(self, desk: Desk) -> None:
        """Something has changed, or is due: give its workflow what it may have, and set the timer."""
        if not desk.declared:
            return
        now = self.tick(desk)
        self.feed(desk)
        if desk.purge_at and desk.purge_at <= now:
            self._purge(desk, now)
        times = [due for due in (desk.line.next_due(), desk.purge_at or None) if due is not None]
        due = max(min(times, default=0), now) if times else 0
        if due and (not desk.armed or due < desk.armed):
            desk.armed = due
            self._runs.timers.call(due, lambda: self._ring(desk, due))

    def _ring(self, desk: Desk, due: int) -> None:
        if desk.armed == due:
            desk.armed = 0
            self.settle(desk)
            self._runs.on_ready()

    def soon(self, call: Callable[[], object]) -> None:
        """Now; or after the turn, when one is being taken."""
        if self._runs.turning:
            self._runs.outbox.append(call)
        else:
            call()

    def _purge(self, desk: Desk, now: int) -> None:
        """Forget what was completed or discarded a retention ago; the oldest first, a slice at a time."""
        before, found = now - desk.queue.retention, []
        for stage in (Stage.COMPLETED, Stage.DISCARDED):
            sql = "SELECT ended_at, seq FROM messages WHERE queue=? AND stage=? AND stage>=10 ORDER BY ended_at LIMIT ?"
            found += self._reader.rows(sql, (desk.queue.name, int(stage), PURGE_MAX + 1))
        old = [seq for ended, seq in found if ended <= before][:PURGE_MAX]
        for seq in old:
            self._log.batch.put("messages", (seq,), None)
        young = [ended for ended, _ in found if ended > before]
        if len(old) == PURGE_MAX:
            desk.purge_at = now + PURGE_EVERY
        else:
            # what is not yet on disk has ended just now, and is purged a little later than it might be
            busy = bool(desk.line.open) or desk.line.tally.rate(now) > 0
            desk.purge_at = min(young) + desk.queue.retention if young else now + desk.queue.retention if busy else 0

    # -- after a restart ------------------------------------------------------------------------------------------

    def recover(self) -> list[tuple[Desk, Item]]:
        """Read the lines back; returns the messages that runs work on. The queues do nothing yet: see ``settle``."""
        now, at_work = self.now(), []
        items: dict[str, list[Item]] = {}
        for row in self._reader.rows(f"SELECT {COLUMNS} FROM messages WHERE stage<10"):
            items.setdefault(row[1], []).append(item_of(row))
        kept = dict(self._reader.rows("SELECT name, settings FROM queues"))
        for name, desk in self.desks.items():
            if kept.get(name) != _encode(desk.queue.settings()).decode():
                self._keep_settings(desk)
        for name, found in items.items():
            if name not in self.desks:
                _log.warning("%d message(s) wait in queue %r, which is not declared: %s", len(found), name, _DECLARE)
                self.desks[name] = Desk(Queue(name), Line(Queue(name)))
            desk = self.desks[name]
            desk.line.restore(found, now)
            at_work += [(desk, item) for item in found if item.stage is Stage.IN_FLIGHT and not item.lease]
        for name, desk in self.desks.items():
            self._recover_counts(name, desk, now)
        self._recovered = True
        return at_work

    def _recover_counts(self, name: str, desk: Desk, now: int) -> None:
        tally = desk.line.tally
        sql = "SELECT day, sent, completed, failed, dead, busy FROM queue_days WHERE queue=? AND day=?"
        for row in self._reader.rows(sql, (name, now // DAY)):
            tally.day = Day(*row)
        sql = "SELECT count(*) FROM messages WHERE queue=? AND stage=? AND stage>=10"
        desk.dead = self._reader.one(sql, (name, int(Stage.DEAD)))
        since = (now // SECOND - MINUTE + 1) * SECOND
        sql = (
            f"SELECT ended_at/{SECOND}, count(*) FROM messages WHERE queue=? AND stage=? AND stage>=10 AND ended_at>=? "
            "GROUP BY 1 ORDER BY 1"
        )
        for second, count in self._reader.rows(sql, (name, int(Stage.COMPLETED), since)):
            tally.pace(second, count)
        sql = "SELECT min(ended_at) FROM messages WHERE queue=? AND stage=? AND stage>=10"
        ended = [self._reader.one(sql, (name, int(stage))) for stage in (Stage.COMPLETED, Stage.DISCARDED)]
        oldest = min((at for at in ended if at is not None), default=None)
        desk.purge_at = 0 if oldest is None else oldest + desk.queue.retention

    def load(self, seq: int) -> tuple[str, Item] | None:
        """A message that is not open, as it stands now, with its queue."""
        return self.load_all([seq]).get(seq)

    def load_all(self, seqs: Sequence[int]) -> dict[int, tuple[str, Item]]:
        """Those of these messages that there are, as they stand now, which the disk may not show yet."""
        wanted = [seq for seq in seqs if isinstance(seq, int) and 0 < seq < 2**63]
        found: dict[int, Any] = {}
        for first in range(0, len(wanted), IDS_MAX):
            some = wanted[first : first + IDS_MAX]
            sql = f"SELECT {COLUMNS} FROM messages WHERE seq IN ({','.join('?' * len(some))})"
            found |= {row[0]: row for row in self._reader.rows(sql, some)}
        for seq in wanted:
            changes, row = self._log.coming("messages", (seq,))
            if changes:
                found[seq] = None if row is None else (seq, *row)
        return {seq: (row[1], item_of(row)) for seq, row in found.items() if row is not None}


_DECLARE = "give it to the engine (Engine(queues=[...])) and they go on"


def words(failure: Failure) -> str:
    """A failure for people."""
    return f"{failure.error or failure.code}: {failure.detail}" if failure.detail else failure.error or failure.code


def row_of(queue: str, item: Item) -> tuple[Any, ...]:
    """The columns after the key."""
    return (
        queue, int(item.stage), item.id, item.group, item.joins_at, item.place, item.priority, item.attempts,
        item.visible_at, item.lease, item.leased_at, item.lease_until, item.consumer, item.run, item.at, item.ended_at,
        item.redrives, item.body, _encode(item.failures).decode() if item.failures else "",
    )  # fmt: skip


def item_of(row: Sequence[Any]) -> Item:
    """A message from its row."""
    (seq, _, stage, id, group, joins_at, place, priority, attempts, visible_at, lease, leased_at, lease_until, consumer,
     run, at, ended_at, redrives, body, failures) = row  # fmt: skip
    item = Item(
        seq, at, group=group, id=id, priority=priority, joins_at=joins_at, place=place, body=body, redrives=redrives,
        failures=_decode_failures(failures) if failures else (),
    )  # fmt: skip
    item.stage, item.attempts, item.visible_at = Stage(stage), attempts, visible_at
    item.lease, item.leased_at, item.lease_until, item.consumer = lease, leased_at, lease_until, consumer
    item.run, item.ended_at = run, ended_at
    return item
