"""The line of a queue against a naive one: what may be taken, in which order, and that nothing is ever lost."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tickwork.core.line import Line
from tickwork.core.message import MOVES, Failure, Item, Stage
from tickwork.core.queue import Queue
from tickwork.errors import InvalidInput

S = 1_000_000_000
START = 1_600_000_000 * S
FAILURE = Failure(0, "rejected", "code")
EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "60"))


def failing(items: list[Item]) -> list[Item]:
    return [item for item in items if item.failures]


class LineMachine(RuleBasedStateMachine):
    """Everything that can happen to a line, with a naive recount beside it."""

    @initialize(fifo=st.booleans(), max_retries=st.integers(0, 2))
    def begin(self, fifo: bool, max_retries: int) -> None:
        self.fifo = fifo
        self.now, self.seq = START, 0
        self.line = Line(
            Queue("q", max_retries, "30s", "300s", ordering="FIFO" if fifo else "standard", capacity=10_000)
        )
        self.sent: dict[int, Item] = {}
        """The latest life of each message."""
        self.hands: list[list[Item]] = []
        """What was taken together."""
        self.runs: list[list[Item]] = []
        self.done: dict[int, int] = {}
        self.deliveries: dict[int, int] = {}
        self.holder: dict[int, int] = {}
        """Which hand a message is, or was last, in."""
        self.taken = 0

    # -- a naive line ---------------------------------------------------------------------------------------------

    def joined(self) -> list[Item]:
        found = [item for item in self.line.open.values() if item.joins_at <= self.now]
        return sorted(found, key=lambda item: item.rank)

    def ahead(self, item: Item) -> list[Item]:
        """Of its group, before it."""
        if not self.fifo:
            return []
        return [other for other in self.joined() if other.group == item.group and other.rank < item.rank]

    def expected(self, limit: int, together: bool) -> list[int]:
        taken: list[Item] = []
        while len(taken) < limit:
            free = [
                item
                for item in self.joined()
                if item.stage is Stage.WAITING
                and item not in taken
                and item.visible_at <= self.now
                and all(other in taken for other in self.ahead(item))
                and not (self.fifo and any(o.stage is Stage.IN_FLIGHT and o.group == item.group for o in self.joined()))
            ]
            if not free:
                break
            best = min(free, key=lambda item: (-item.priority, *item.rank))
            if together and best.failures and taken:
                break
            taken.append(best)
            if together and best.failures:
                break
        return [item.seq for item in taken]

    # -- rules ----------------------------------------------------------------------------------------------------

    @rule(group=st.sampled_from("abc"), delay=st.sampled_from([0, 0, 0, 5, 40]), priority=st.sampled_from([0, 0, 1, 2]))
    def send(self, group: str, delay: int, priority: int) -> None:
        self.tick()
        self.seq += 1
        item = Item(self.seq, self.now, group=group, priority=priority, joins_at=self.now + delay * S)
        self.sent[item.seq] = item
        self.line.add(item, self.now)

    @rule(limit=st.integers(1, 5), seconds=st.sampled_from([10, 30]))
    def lease(self, limit: int, seconds: int) -> None:
        self.tick()
        wanted = self.expected(limit, together=False)
        taken = self.line.take(self.now, limit)
        assert [item.seq for item in taken] == wanted
        if taken:
            self.seq += 1
            self.line.lease(taken, self.now, self.seq, self.now + seconds * S, "outside")
            self.count(taken)
            self.hands.append(taken)

    @rule(limit=st.integers(1, 5))
    def start(self, limit: int) -> None:
        self.tick()
        wanted = self.expected(limit, together=True)
        taken = self.line.take(self.now, limit, together=True)
        assert [item.seq for item in taken] == wanted
        assert len(taken) <= 1 or not failing(taken)
        if taken:
            self.seq += 1
            self.line.work(taken, self.now, self.seq)
            self.count(taken)
            self.runs.append(taken)

    def count(self, taken: list[Item]) -> None:
        for item in taken:
            assert all(other in taken for other in self.ahead(item)), "out of order"
            self.deliveries[item.seq] = self.deliveries.get(item.seq, 0) + 1
            self.holder[item.seq] = self.taken
        self.taken += 1

    def held(self) -> list[list[Item]]:
        return [
            hand
            for hand in ([i for i in hand if i.stage is Stage.IN_FLIGHT and i.lease] for hand in self.hands)
            if hand
        ]

    @precondition(lambda self: self.held())
    @rule(data=st.data())
    def ack(self, data: Any) -> None:
        self.tick()
        if not self.held():
            return
        hand = data.draw(st.sampled_from(self.held()))
        chosen = data.draw(st.lists(st.sampled_from(hand), min_size=1, unique=True))
        in_order = not self.fifo or all(
            set(self.ahead(item)) <= set(chosen[:index]) for index, item in enumerate(chosen)
        )
        if not in_order:
            with pytest.raises(InvalidInput):
                self.line.check_order(chosen, "ack")
            return
        self.line.check_order(chosen, "ack")
        self.complete(chosen)

    def complete(self, items: list[Item]) -> None:
        self.line.complete(items, self.now)
        for item in items:
            self.done[item.seq] = self.done.get(item.seq, 0) + 1

    @precondition(lambda self: self.held())
    @rule(data=st.data(), rest=st.sampled_from([0, 0, 7, 60]), final=st.booleans())
    def reject(self, data: Any, rest: int, final: bool) -> None:
        self.tick()
        if not self.held():
            return
        hand = data.draw(st.sampled_from(self.held()))
        item = data.draw(st.sampled_from(hand))
        behind = [o for o in self.joined() if self.fifo and o.group == item.group and o.rank > item.rank]
        flying = [o for o in behind if o.stage is Stage.IN_FLIGHT]
        dead, released = self.line.fail(item, self.now, FAILURE, rest * S, final=final)
        assert dead == (item.stage is Stage.DEAD) == (final or item.attempts > self.line.queue.max_retries)
        assert released == flying
        assert all(other.stage is Stage.WAITING for other in flying)

    @precondition(lambda self: self.held())
    @rule(data=st.data(), seconds=st.sampled_from([20, 100]))
    def extend(self, data: Any, seconds: int) -> None:
        self.tick()
        if self.held():
            item = data.draw(st.sampled_from(data.draw(st.sampled_from(self.held()))))
            self.line.extend(item, self.now + seconds * S)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), how=st.sampled_from(["done", "done", "failed", "killed", "released"]))
    def end(self, data: Any, how: str) -> None:
        self.tick()
        run = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))
        if how == "done":
            self.line.check_order(run, "run")
            self.complete(run)
        elif how == "released":
            self.line.release(run)
            for item in run:
                self.deliveries[item.seq] -= 1
        elif how == "killed":
            for item in run:
                if item.stage is Stage.IN_FLIGHT:
                    self.line.kill(item, self.now, FAILURE)
        elif len(run) == 1:
            self.line.fail(run[0], self.now, FAILURE, 3 * S)
        else:
            self.line.fail_together(run, self.now, FAILURE, 3 * S)

    @precondition(lambda self: any(item.stage is Stage.DEAD for item in self.sent.values()))
    @rule(data=st.data(), delay=st.sampled_from([0, 10]))
    def redrive(self, data: Any, delay: int) -> None:
        self.tick()
        dead = [item for item in self.sent.values() if item.stage is Stage.DEAD]
        if not dead:
            return
        old = data.draw(st.sampled_from(dead))
        self.seq += 1
        item = Item(old.seq, old.at, group=old.group, priority=old.priority, joins_at=self.now + delay * S,
                    place=self.seq, failures=old.failures)  # fmt: skip
        self.sent[item.seq] = item
        self.deliveries[item.seq] = 0
        self.line.add(item, self.now)
        if not delay and self.fifo:
            assert all(other.rank < item.rank for other in self.joined() if other is not item)

    @rule(seconds=st.sampled_from([1, 5, 29, 31, 150, 301]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    @rule()
    def restart(self) -> None:
        """The same messages, read back from rows."""
        self.tick()
        copies = {item.seq: _copy(item) for item in self.line.open.values()}
        for item in copies.values():
            if item.stage is Stage.WAITING and item.joins_at > item.at and not self.deliveries.get(item.seq):
                item.stage = Stage.DELAYED  # as its row was written
        tally, self.line = self.line.tally, Line(self.line.queue)
        self.line.tally = tally
        self.line.restore(copies.values(), self.now)
        self.sent |= copies
        for hands in (self.hands, self.runs):
            hands[:] = [[copies.get(item.seq, item) if item.stage.open else item for item in hand] for hand in hands]
        self.tick()

    def tick(self) -> None:
        before = {item.seq: (item.stage, item.lease_until, item.joins_at) for item in self.line.open.values()}
        due = self.line.next_due()
        ticked = self.line.tick(self.now)
        for item in ticked.lapsed:
            assert before[item.seq][0] is Stage.IN_FLIGHT
            assert item.lease > 0
            assert item.failures[-1].why == "lapsed"
            assert before[item.seq][1] <= self.now
        expired = self.line.expire(self.now)
        for item in expired:
            assert before[item.seq][2] + self.line.queue.retention <= self.now
            assert item.failures[-1].why == "expired"
        if ticked.lapsed or expired:
            assert due is not None
            assert due <= self.now
        assert (left := self.line.next_due()) is None or left > self.now

    # -- laws -----------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_nothing_done_twice(self) -> None:
        if not hasattr(self, "line"):
            return
        for seq, item in self.sent.items():
            assert (seq in self.line.open) == item.stage.open
            assert self.done.get(seq, 0) == (item.stage is Stage.COMPLETED)
            if item.stage is Stage.DEAD:
                assert item.failures

    @invariant()
    def attempts_are_bounded(self) -> None:
        if hasattr(self, "line"):
            for item in self.line.open.values():
                assert 0 <= item.attempts <= self.line.queue.max_retries + 1
                assert item.attempts <= self.deliveries.get(item.seq, 0)

    @invariant()
    def one_holder_a_group(self) -> None:
        if not hasattr(self, "line") or not self.fifo:
            return
        holders: dict[str, set[int]] = {}
        for item in self.line.open.values():
            if item.stage is Stage.IN_FLIGHT:
                holders.setdefault(item.group, set()).add(self.holder[item.seq])
        assert all(len(numbers) == 1 for numbers in holders.values())

    @invariant()
    def the_census_is_a_recount(self) -> None:
        if not hasattr(self, "line"):
            return
        self.tick()
        items = list(self.line.open.values())
        census = self.line.census(self.now)
        waiting = [i for i in items if i.stage is Stage.WAITING and i.visible_at <= self.now]
        assert census.in_flight == sum(i.stage is Stage.IN_FLIGHT for i in items)
        assert census.available == len(waiting)
        assert census.delayed == sum(i.stage is not Stage.IN_FLIGHT and i.visible_at > self.now for i in items)
        stuck = [
            i for i in waiting
            if any(o.stage is Stage.IN_FLIGHT or o.visible_at > self.now for o in self._first_of(i))
        ]  # fmt: skip
        assert census.blocked == len(stuck)
        joined = [item.joins_at for item in self.joined()]
        assert self.line.oldest() == min(joined, default=None)

    def _first_of(self, item: Item) -> list[Item]:
        """What can hold its group back: those in flight, and its head."""
        if not self.fifo:
            return []
        group = [other for other in self.joined() if other.group == item.group]
        return [other for other in group if other.stage is Stage.IN_FLIGHT or other is group[0]]


def _copy(item: Item) -> Item:
    copy = Item(item.seq, item.at)
    for name in Item.__slots__:
        if name != "next":
            setattr(copy, name, getattr(item, name))
    return copy


TestLine = LineMachine.TestCase
TestLine.settings = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)


def test_an_illegal_move_changes_nothing() -> None:
    line = Line(Queue("q"))
    item = Item(1, START)
    line.add(item, START)
    with pytest.raises(RuntimeError, match="WAITING and cannot become COMPLETED"):
        line.complete([item], START)
    assert item.stage is Stage.WAITING
    assert set(MOVES) == set(Stage)


def test_heaps_are_cleaned_of_what_has_left() -> None:
    line = Line(Queue("q", ordering="standard"))
    for seq in range(1, 20_001):
        line.add(Item(seq, START + seq), START + seq)
        items = line.take(START + seq, 1)
        line.lease(items, START + seq, seq, START + seq + 30 * S)
        line.complete(items, START + seq)
    assert len(line._joined) < 2_100
    assert len(line._leases) < 2_100
    assert len(line._ready) < 2_100
