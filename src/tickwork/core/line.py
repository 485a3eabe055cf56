"""The line: what becomes of a queue's messages. Pure: told the time, it reads no clock and writes nothing.

=====================  ==================  ============================================================================
what happens           to a message        and then
=====================  ==================  ============================================================================
``add``                sent or redriven    it waits at the tail of its group; sent with a delay it is *delayed*, and
                                           joins the tail when its time comes
``take``               waiting             in flight, with one attempt more. FIFO: only from the head of its group, and
                                           only while nothing else of the group is in flight, or what is was taken with
                                           it. Between groups the highest priority goes first, then who joined first
``complete``           in flight           completed. FIFO: in the order of its group
``fail``               in flight           waits again at its old place, not to be taken before its *rest* is over; dead
                                           after ``max_retries`` redeliveries, or at once when trying cannot help. FIFO:
                                           those of its group that were taken with it and come after it wait again too;
                                           their attempt is given back, because it was none
``fail`` of several    in flight           they were one input: nobody knows whose fault it was. Each waits again with
that were one input                        its attempt given back, and from now on goes alone
a lease lapses         in flight           as ``fail``, without a rest
retention is over      waiting             dead (``Expired``)
                       in flight           nothing before it comes back
``kill``               in flight           dead, whatever attempts are left: its work was cancelled, it cannot be read
=====================  ==================  ============================================================================

A group's *head* that rests or is in flight blocks the others of its group and no other group. ``standard`` queues have
no groups: every message is on its own.

*Counts.* ``available`` are those in line that nothing but their group holds back; of them ``blocked`` are behind
another of their group that is in flight or rests. ``delayed`` are those whose time has not come: sent with a delay,
redriven at a rate, or at rest. What the capacity counts is the sum of available, in flight and delayed.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tickwork.core.message import MOVES, Failure, Item, Stage
from tickwork.core.queue import Queue
from tickwork.core.tally import Tally
from tickwork.errors import InvalidInput
from tickwork.values import duration_text

SLACK = 1_000
"""Entries of messages that have left, beyond twice those that are there, before a heap is cleaned of them."""

Entry = tuple[int, int, int, int, Item]
"""In the heap of those that can be taken: priority (negative), rank, item."""


class _Group:
    """The open messages of one group, linked in order; those in flight are the first."""

    __slots__ = ("head", "name", "out", "tail")

    def __init__(self, name: str) -> None:
        self.name = name
        self.head: Item | None = None
        self.tail: Item | None = None
        self.out = 0
        """How many are in flight."""


class Ticked(NamedTuple):
    """What passing time has done."""

    lapsed: list[Item]
    released: list[Item]
    """Of groups in which another lapsed."""


class Census(NamedTuple):
    """How many messages are where."""

    available: int
    blocked: int
    delayed: int
    in_flight: int


class Line:
    """The open messages of one queue. Whoever changes it calls ``tick`` and ``expire`` first, with the same time."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.open: dict[int, Item] = {}
        self.in_flight = 0
        self.tally = Tally()
        self._groups: dict[str, _Group] = {}
        self._ready: list[Entry] = []
        self._later: list[tuple[int, int, int, Item]] = []
        """Those whose time has not come, by it: delayed ones, and resting ones that nothing else holds back."""
        self._leases: list[tuple[int, int, tuple[Item, ...]]] = []
        self._joined: deque[Item] = deque()
        """In the order in which they joined: for retention, and for the age of the oldest."""
        self._overdue: dict[int, Item] = {}
        """Past their retention, but in flight then."""
        self._resting: dict[int, Item] = {}

    # -- joining --------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Is there no room for another?"""
        return len(self.open) >= self.queue.capacity

    def add(self, item: Item, now: int) -> None:
        """A message that was sent or redriven."""
        self.open[item.seq] = item
        if item.joins_at > now:
            item.stage = Stage.DELAYED
            heapq.heappush(self._later, (item.visible_at, item.place, item.seq, item))
        else:
            self._come_due(now)  # what was due by now stands before it, even if nobody has looked since
            self._join(item)

    def _join(self, item: Item) -> None:
        item.stage = Stage.WAITING
        self._joined.append(item)
        if len(self._joined) > 2 * len(self.open) + SLACK:
            self._joined = deque(kept for kept in self._joined if kept.stage.open)
        if not self.queue.fifo or self._append(item).head is item:
            self._offer(item)

    def _append(self, item: Item) -> _Group:
        group = self._groups.get(item.group)
        if group is None:
            group = self._groups[item.group] = _Group(item.group)
        item.group = group.name  # one text for all of them
        if group.tail is None:
            group.head = item
        else:
            group.tail.next = item
        group.tail = item
        return group

    def _offer(self, item: Item) -> None:
        """Nothing of its group holds it back: it can be taken, now or after its rest."""
        if item.seq in self._resting:
            heapq.heappush(self._later, (item.visible_at, item.place, item.seq, item))
        else:
            heapq.heappush(self._ready, (-item.priority, *item.rank, item))

    def restore(self, items: Iterable[Item], now: int) -> None:
        """The open messages of a tape, after a restart. Rows do not tell of a delayed one that it has joined."""
        items = list(items)
        for item in items:
            if item.stage is Stage.DELAYED and item.joins_at <= now:
                item.stage = Stage.WAITING
        # those in flight first: where ordering was changed meanwhile they may not be the first of their group
        for item in sorted(items, key=lambda item: (item.stage is not Stage.IN_FLIGHT, *item.rank)):
            self.open[item.seq] = item
            if item.stage is Stage.DELAYED:
                heapq.heappush(self._later, (item.visible_at, item.place, item.seq, item))
                continue
            if item.visible_at > now and item.stage is Stage.WAITING:
                self._resting[item.seq] = item
            group = self._append(item) if self.queue.fifo else None
            if item.stage is Stage.IN_FLIGHT:
                self.in_flight += 1
                if group is not None:
                    group.out += 1
                if item.lease:
                    heapq.heappush(self._leases, (item.lease_until, item.seq, (item,)))
            elif group is None or group.head is item:
                self._offer(item)
        self._joined.extend(sorted((i for i in self.open.values() if i.stage is not Stage.DELAYED), key=_rank))

    # -- taking ---------------------------------------------------------------------------------------------------

    def take(self, now: int, limit: int, *, together: bool = False) -> list[Item]:
        """Up to ``limit`` messages, from now on in flight: for ``lease`` or ``work``, or to be released.

        ``together``: they will be one input. Then one that has failed before goes alone.
        """
        taken: list[Item] = []
        following: list[Entry] = []
        """The next of each group that something has been taken of: it may be taken along."""
        while len(taken) < limit:
            entry = self._best(following)
            if entry is None:
                break
            item = entry[4]
            if together and item.failures and taken:
                if not self.queue.fifo or self._groups[item.group].out == 0:
                    heapq.heappush(self._ready, entry)
                break
            taken.append(item)
            self._take(item, now, following)
            if together and item.failures:
                break
        return taken

    def _best(self, following: list[Entry]) -> Entry | None:
        ready = self._ready
        while ready and ready[0][4].stage is not Stage.WAITING:
            heapq.heappop(ready)
        if following and (not ready or following[0] < ready[0]):
            return heapq.heappop(following)
        return heapq.heappop(ready) if ready else None

    def _take(self, item: Item, now: int, following: list[Entry]) -> None:
        self._move(item, Stage.IN_FLIGHT)
        item.attempts += 1
        if self.queue.fifo:
            self._groups[item.group].out += 1
            behind = item.next
            if behind is not None and not self._rests(behind, now):
                heapq.heappush(following, (-behind.priority, *behind.rank, behind))

    def _rests(self, item: Item, now: int) -> bool:
        if item.seq in self._resting and item.visible_at <= now:
            del self._resting[item.seq]
        return item.seq in self._resting

    def lease(self, items: Sequence[Item], now: int, lease: int, until: int, consumer: str = "") -> None:
        """What was taken goes to a consumer outside, until a time."""
        for item in items:
            item.lease, item.lease_until, item.consumer, item.run, item.leased_at = lease, until, consumer, 0, now
        self._watch(until, items)

    def work(self, items: Sequence[Item], now: int, run: int) -> None:
        """What was taken goes to a run."""
        for item in items:
            item.lease, item.lease_until, item.consumer, item.run, item.leased_at = 0, 0, "", run, now

    def extend(self, item: Item, until: int) -> None:
        """A lease lasts longer."""
        item.lease_until = until
        self._watch(until, (item,))

    def _watch(self, until: int, items: Sequence[Item]) -> None:
        heapq.heappush(self._leases, (until, items[0].seq, tuple(items)))
        if len(self._leases) > 2 * self.in_flight + SLACK:
            self._leases = [entry for entry in self._leases if any(_under(item, entry[0]) for item in entry[2])]
            heapq.heapify(self._leases)

    # -- ends -----------------------------------------------------------------------------------------------------

    def check_order(self, items: Sequence[Item], path: str) -> None:
        """May these be completed, in this order?

        Raises:
            InvalidInput: one of their group that comes before is not done.
        """
        if not self.queue.fifo:
            return
        heads: dict[str, Item | None] = {}
        for item in items:
            first = heads.get(item.group, self._groups[item.group].head)
            if first is not item:
                found = f"message {item.seq} before message {first.seq if first else '?'} of group {item.group!r}"
                raise InvalidInput(path, found, "messages of one group in their order, each once")
            heads[item.group] = item.next

    def complete(self, items: Sequence[Item], now: int) -> None:
        """They are done."""
        for item in items:
            self._leave(item, Stage.COMPLETED, now)
        self.tally.completed(now, len(items), sum(now - item.leased_at for item in items))

    def fail(
        self, item: Item, now: int, failure: Failure, rest: int = 0, *, final: bool = False
    ) -> tuple[bool, list[Item]]:
        """A delivery failed: is it dead, and which of its group wait again with it?"""
        self.tally.today(now).failed += 1
        dead = final or item.attempts > self.queue.max_retries
        if dead:
            return True, self.kill(item, now, failure)
        item.failures = (*item.failures, failure)
        released = self._return(item, now, rest)
        return False, released

    def fail_together(self, items: Sequence[Item], now: int, failure: Failure, rest: int) -> None:
        """Several that were one input, and in flight together, failed."""
        self.tally.today(now).failed += len(items)
        for item in reversed(items):  # the last first: then none of them releases another
            item.attempts -= 1
            item.failures = (*item.failures, failure)
            self._return(item, now, rest)

    def kill(self, item: Item, now: int, failure: Failure) -> list[Item]:
        """It dies; returns those of its group that wait again."""
        item.failures = (*item.failures, failure)
        self.tally.today(now).dead += 1
        released = self._release_behind(item) if item.stage is Stage.IN_FLIGHT else []
        self._leave(item, Stage.DEAD, now)
        return released

    def release(self, items: Sequence[Item]) -> None:
        """They were taken, and not tried after all."""
        for item in reversed(items):
            item.attempts -= 1
            self._return(item, 0, 0)

    def _return(self, item: Item, now: int, rest: int) -> list[Item]:
        """In line again, at its old place."""
        released = self._release_behind(item)
        self._wait_again(item)
        if rest:
            item.visible_at = now + rest
            self._resting[item.seq] = item
        if self.queue.fifo:
            self._unblock(self._groups[item.group])
        else:
            self._offer(item)
        return released

    def _release_behind(self, item: Item) -> list[Item]:
        released = []
        behind = item.next
        while behind is not None and behind.stage is Stage.IN_FLIGHT:
            behind.attempts -= 1
            self._wait_again(behind)
            released.append(behind)
            behind = behind.next
        return released

    def _wait_again(self, item: Item) -> None:
        self._move(item, Stage.WAITING)
        item.lease_until = 0
        if self.queue.fifo:
            self._groups[item.group].out -= 1

    def _unblock(self, group: _Group) -> None:
        if group.head is None:
            del self._groups[group.name]
        elif group.out == 0:
            self._offer(group.head)

    def _leave(self, item: Item, stage: Stage, now: int) -> None:
        was = item.stage
        self._move(item, stage)
        item.ended_at = now
        del self.open[item.seq]
        self._overdue.pop(item.seq, None)
        self._resting.pop(item.seq, None)
        if not self.queue.fifo:
            return
        group = self._groups[item.group]
        was_head = group.head is item
        self._unlink(group, item)
        if was is Stage.IN_FLIGHT:
            group.out -= 1
            self._unblock(group)
        elif was_head:  # it was the one offered: now the next is
            self._unblock(group)

    @staticmethod
    def _unlink(group: _Group, item: Item) -> None:
        """Only heads, those in flight, and the first after these ever leave: the walk is as long as a batch."""
        if group.head is item:
            group.head = item.next
            if group.head is None:
                group.tail = None
        else:
            before = group.head
            while before is not None and before.next is not item:
                before = before.next
            assert before is not None
            before.next = item.next
            if group.tail is item:
                group.tail = before
        item.next = None

    def _move(self, item: Item, stage: Stage) -> None:
        if stage not in MOVES[item.stage]:
            raise RuntimeError(f"message {item.seq} is {item.stage.name} and cannot become {stage.name}")
        self.in_flight += (stage is Stage.IN_FLIGHT) - (item.stage is Stage.IN_FLIGHT)
        item.stage = stage

    # -- time -----------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> Ticked:
        """Do what is due: leases lapse, delayed messages join, rests end. Then ``expire``."""
        lapsed: list[Item] = []
        released: list[Item] = []
        while self._leases and self._leases[0][0] <= now:
            until, _, items = heapq.heappop(self._leases)
            for item in items:
                if _under(item, until):
                    lapsed.append(item)
                    released += self._lapse(item, now)
        self._come_due(now)
        return Ticked(lapsed, released)

    def _come_due(self, now: int) -> None:
        """Delayed messages join, rests end."""
        while self._later and self._later[0][0] <= now:
            item = heapq.heappop(self._later)[3]
            if item.stage is Stage.DELAYED:
                self._join(item)
            elif item.stage is Stage.WAITING:
                self._resting.pop(item.seq, None)
                self._offer(item)

    def _lapse(self, item: Item, now: int) -> list[Item]:
        who = f"of consumer {item.consumer!r} " if item.consumer else ""
        failure = Failure(
            now, "lapsed", "lease_expired", "LeaseExpired", f"the lease {who}ran out", consumer=item.consumer
        )
        return self.fail(item, now, failure)[1]

    def expire(self, now: int) -> list[Item]:
        """End what is past its retention; apart from ``tick``, because what has just lapsed may be."""
        before = now - self.queue.retention
        expired = []
        joined = self._joined
        while joined and (not joined[0].stage.open or joined[0].joins_at <= before):
            item = joined.popleft()
            if item.stage is Stage.WAITING:
                expired.append(item)
            elif item.stage is Stage.IN_FLIGHT:
                self._overdue[item.seq] = item
        if self._overdue:
            expired += [item for item in self._overdue.values() if item.stage is Stage.WAITING]
        for item in expired:
            detail = f"not done within {duration_text(self.queue.retention)}"
            self.kill(item, now, Failure(now, "expired", "expired", "Expired", detail))
        return expired

    def next_due(self) -> int | None:
        """When ``tick`` or ``expire`` has something to do next (ns); 0: at once."""
        if any(item.stage is Stage.WAITING for item in self._overdue.values()):
            return 0
        later, leases, joined = self._later, self._leases, self._joined
        while later and not later[0][3].stage.open:
            heapq.heappop(later)
        while leases and not any(_under(item, leases[0][0]) for item in leases[0][2]):
            heapq.heappop(leases)
        while joined and not joined[0].stage.open:
            joined.popleft()
        times = [heap[0][0] for heap in (later, leases) if heap]
        if joined:
            times.append(joined[0].joins_at + self.queue.retention)
        return min(times, default=None)

    # -- counting -------------------------------------------------------------------------------------------------

    def oldest(self) -> int | None:
        """When the oldest in line, or in flight, joined (ns)."""
        while self._joined and not self._joined[0].stage.open:
            self._joined.popleft()
        joined = [item.joins_at for item in self._overdue.values()]
        if self._joined:
            joined.append(self._joined[0].joins_at)
        return min(joined, default=None)

    def census(self, now: int) -> Census:
        """How many messages are where."""
        delayed = sum(item.stage is Stage.DELAYED for _, _, _, item in self._later if item.stage.open)
        resting = sum(self._rests(item, now) for item in list(self._resting.values()))
        available = len(self.open) - self.in_flight - delayed - resting
        return Census(available, self._blocked(now), delayed + resting, self.in_flight)

    def _blocked(self, now: int) -> int:
        blocked = 0
        for group in self._groups.values():
            first = group.head
            if first is None or not (group.out or self._rests(first, now)):
                continue
            item: Item | None = first
            while item is not None:
                blocked += item.stage is Stage.WAITING and not self._rests(item, now)
                item = item.next
        return blocked


def _rank(item: Item) -> tuple[int, int, int]:
    return item.rank


def _under(item: Item, until: int) -> bool:
    """Is it in flight under the lease that ends then?"""
    return item.stage is Stage.IN_FLIGHT and item.lease_until == until and item.lease > 0
