"""Laws of queues, over the engine: whoever sends, works, fails, comes late, dies or is killed, in whatever order.

Nothing is lost, nothing is done twice, groups keep their order, an id is one message, dead letters are complete, and
rows and counters are what the records come to. ``TICKWORK_EXAMPLES=1000 pytest tests/laws/test_queues.py`` looks
longer.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.laws.probe import Probe, records_of
from tests.laws.queue_fold import Fold
from tickwork.core.clock import VirtualClock
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.message import Stage
from tickwork.core.queue import Draft, Queue
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Memory
from tickwork.engines.embedded.leases import Message
from tickwork.engines.embedded.queue_tables import QueueTables
from tickwork.errors import InvalidInput, LeaseExpired, QueueFull, Rejected, TapeError

EXAMPLES = int(os.environ.get("TICKWORK_EXAMPLES", "30"))
S = 1_000_000_000
POLICY = DeadLetterPolicy(Rule("again", "retry", after="20s", times=1), Rule("away", "discard"))
SIZES = (("held", 1, 4), ("held-any", 2, 4), ("run", 1, 3), ("lot", 1, 3), ("lot-any", 0, 3))
"""Name, retries, size of a batch."""
QUEUES = {
    name: Queue(
        name, retries, "10s", "200s", batch_size, "standard" if "any" in name else "FIFO", dedupe_window="50s",
        capacity=14, consumers=2, retry=Retry(delay="3s", jitter=0.5), policy=POLICY,
    )
    for name, retries, batch_size in SIZES
}  # fmt: skip
OUTSIDE, WORKED = ("held", "held-any"), ("run", "lot", "lot-any")
tries: Counter[str] = Counter()


def work(what: dict[str, Any]) -> str:
    """What a run does about a message; it counts outside, where no crash undoes it."""
    tries[what["n"]] += 1
    if what["do"] == "fail" or (what["do"] == "flaky" and tries[what["n"]] <= 1):
        raise ConnectionError(what["n"])
    if what["do"] == "fatal":
        raise Rejected("world", what["n"])
    return str(what["n"])


@workflow("one", on=QUEUES["run"])
async def one(run: Run, message: dict[str, Any]) -> str | None:
    await run.sleep("2s")
    if message["do"] == "chain" and run.id.count("+") == 0:
        await run.again(message)
    return await run.step("work", work, message)


def batch_workflow(name: str) -> Workflow:
    @workflow(f"{name}-worker", on=QUEUES[name])
    async def many(run: Run, messages: list[dict[str, Any]]) -> list[str]:
        await run.sleep("1s")
        return [await run.step("work", work, message) for message in messages]

    return many


@workflow("producer")
async def producer(run: Run, given: list[Any]) -> int:
    """Sends what it was given, sleeps, and sends it once more under the same ids."""
    sent = 0
    for _ in range(2):
        for queue, body, group, id in given:
            try:
                await run.send(queue, body, group, id)
            except QueueFull:
                continue
            sent += 1
        await run.sleep("4s")
    return sent


WORKFLOWS = [one, batch_workflow("lot"), batch_workflow("lot-any"), producer]


ACTS = ["send", "produce", "lease", "ack", "reject", "redrive", "wait", "cancel"]


class Died(Exception):
    """The engine died before it answered; another one has been opened."""


class QueueMachine(RuleBasedStateMachine):
    """An engine on a tape in memory, producers and consumers outside, and what they were told."""

    @initialize()
    def begin(self) -> None:
        logging.disable(logging.CRITICAL)
        tries.clear()
        self.loop = asyncio.new_event_loop()
        self.memory, self.clock = Memory(), VirtualClock()
        self.number = 0
        self.told: dict[int, tuple[str, bytes]] = {}
        """Messages whose sender was told their position: queue and body."""
        self.leases: list[Message] = []
        self.acked: set[int] = set()
        self.open()

    def open(self) -> None:
        self.engine = Probe(self.memory, WORKFLOWS, clock=self.clock, queues=list(QUEUES.values()))
        self.loop.run_until_complete(self.engine.open())
        self.loop.run_until_complete(self.engine.idle())

    def crash(self) -> None:
        self.engine.kill()
        self.open()

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.drain()
        finally:
            self.engine.kill()
            self.loop.close()
            logging.disable(logging.NOTSET)

    def do(self, doing: Coroutine[Any, Any, Any]) -> Any:
        """Ask the engine; if it dies meanwhile, open another."""

        async def ask() -> Any:
            task, dying = asyncio.ensure_future(doing), asyncio.ensure_future(self.engine.died.wait())
            await asyncio.wait({task, dying}, return_when=asyncio.FIRST_COMPLETED)
            answered = task.done() and not (task.exception() and isinstance(task.exception(), TapeError))
            for future in (task, dying):
                future.cancel()
            await asyncio.gather(task, dying, return_exceptions=True)
            if not answered:
                raise Died
            return task.result()

        try:
            return self.loop.run_until_complete(ask())
        except Died:
            self.crash()
            raise

    # -- what is done -----------------------------------------------------------------------------------------------

    def body(self, how: str) -> Any:
        self.number += 1
        return {"n": f"m{self.number}", "do": how} if how != "unfit" else f"m{self.number}"

    def send(self, data: Any) -> None:
        drafts = data.draw(st.lists(st.tuples(HOW, GROUPS, IDS, DELAYS, st.integers(0, 1)), min_size=1, max_size=3))
        name = data.draw(st.sampled_from(list(QUEUES)))
        made = [Draft(self.body(how), group, id, delay, priority) for how, group, id, delay, priority in drafts]
        try:
            seqs = self.do(self.engine.queues.send_all(name, made))
        except QueueFull:
            assert self.fold().count_open(name) + len(made) > QUEUES[name].capacity
            return
        for seq, draft in zip(seqs, made, strict=True):
            item = self.fold().items[seq]
            assert (item.queue, item.id) == (name, draft.id or "")
            if draft.id is None:  # else it may be one that somebody else sent
                self.told[seq] = (name, msgspec.json.encode(draft.body))

    def produce(self, data: Any) -> None:
        parts = data.draw(st.lists(st.tuples(st.sampled_from(list(QUEUES)), HOW, GROUPS, IDS), min_size=1, max_size=3))
        self.do(self.engine.start(producer, [[name, self.body(how), group, id] for name, how, group, id in parts]))

    def lease(self, data: Any) -> None:
        name, most = data.draw(st.sampled_from(OUTSIDE)), data.draw(st.integers(1, 4))
        found = self.do(self.engine.queues.lease(name, max=most, consumer="outside"))
        self.leases += found
        for message in found:
            assert message.lease_until.timestamp() * S >= self.clock.now()

    def valid(self, message: Message) -> bool:
        item = self.fold().items[message.seq]
        return item.stage is Stage.IN_FLIGHT and self.its(message) and item.lease_until > self.clock.now()

    def its(self, message: Message) -> bool:
        """Is, or was, the message last had under this lease?"""
        return self.fold().items[message.seq].lease == int(message.lease.rpartition(":")[2].split(".")[1])

    def ack(self, data: Any) -> None:
        if not self.leases:
            return
        chosen = data.draw(st.lists(st.sampled_from(self.leases), min_size=1, max_size=3, unique_by=id))
        if data.draw(st.booleans()):
            chosen.sort(key=lambda message: message.seq)
        fold = self.fold()
        open_ones = [message for message in chosen if message.seq not in self.acked]
        good = all(self.valid(message) for message in open_ones) and fold.in_order([m.seq for m in open_ones])
        try:
            self.do(self.engine.queues.ack(*[message.lease for message in chosen]))
        except (LeaseExpired, InvalidInput):
            assert not good or len(open_ones) < len(chosen)
            return
        assert all(self.its(message) for message in chosen)
        self.acked |= {message.seq for message in chosen}

    def reject(self, data: Any) -> None:
        if not self.leases:
            return
        message = data.draw(st.sampled_from(self.leases))
        error, rest = (
            data.draw(st.sampled_from(["again", "away", "odd"])),
            data.draw(st.sampled_from([None, "0s", "9s"])),
        )
        good = self.valid(message)
        try:
            self.do(self.engine.queues.reject(message.lease, error, "words", retry_in=rest))
        except LeaseExpired:
            assert not good
        else:
            assert good

    def extend(self, data: Any) -> None:
        if not self.leases:
            return
        message = data.draw(st.sampled_from(self.leases))
        good = self.valid(message)
        try:
            self.do(self.engine.queues.extend(message.lease, data.draw(st.sampled_from(["5s", "30s"]))))
        except LeaseExpired:
            assert not good
        else:
            assert good

    def redrive(self, data: Any) -> None:
        dead = [item for item in self.fold().items.values() if item.stage is Stage.DEAD]
        if not dead:
            return
        chosen = data.draw(st.lists(st.sampled_from(dead), min_size=1, max_size=2, unique_by=id))
        how = data.draw(st.sampled_from(["as it was", "at a pace", "edited", "put away"]))
        seqs, queues = [item.seq for item in chosen], self.engine.queues
        try:
            if how == "put away":
                self.do(queues.discard(seqs))
            elif how == "edited":
                self.do(queues.redrive(seqs[:1], body=self.body("ok")))
            else:
                self.do(queues.redrive(seqs, rate="1/7s" if how == "at a pace" else None))
        except QueueFull:
            return

    def cancel(self, data: Any) -> None:
        unfinished = [info.id for info in self.engine.queries.runs(["running", "waiting"])]
        if unfinished:
            self.do(self.engine.cancel(data.draw(st.sampled_from(unfinished))))

    def wait(self, data: Any) -> None:
        self.do(self.passing(data.draw(st.sampled_from([1, 3, 11, 60, 201]))))

    async def passing(self, seconds: int) -> None:
        engine, until = self.engine, self.clock.now() + seconds * S
        await engine.idle()
        while (due := engine._timers.next_due()) is not None and due <= until:
            self.clock.jump(due)
            engine._timers.fire_due()
            await engine.idle()
        self.clock.jump(until)
        engine._timers.fire_due()
        await engine.idle()

    @rule(data=st.data(), act=st.sampled_from([*ACTS, "send", "lease", "ack", "wait", "extend"]))
    def act(self, data: Any, act: str) -> None:
        getattr(self, act)(data)

    @rule(data=st.data(), act=st.sampled_from(ACTS), batches=st.integers(0, 4))
    def die_while(self, data: Any, act: str, batches: int) -> None:
        self.engine.die_after(batches)
        try:
            getattr(self, act)(data)
        except Died:
            return
        self.crash()

    # -- laws -------------------------------------------------------------------------------------------------------

    def fold(self) -> Fold:
        return Fold(QUEUES, records_of(self.memory))

    @invariant()
    def rows_and_counters_are_what_the_records_come_to(self) -> None:
        if not hasattr(self, "loop"):
            return
        self.do(self.engine.idle())
        for name in QUEUES:
            self.do(self.engine.queues.status(name))  # does what is due just now
        fold, now = self.fold(), self.clock.now()
        rows = {row["seq"]: row for row in self.rows("messages")}
        for seq, item in fold.items.items():
            if seq in rows:
                fold.same(item, rows[seq])
            else:
                assert item.stage in (Stage.COMPLETED, Stage.DISCARDED)
                assert item.ended_at + QUEUES[item.queue].retention <= now
        assert set(rows) <= set(fold.items)
        for row in self.rows("queue_days"):
            counted = fold.days.get((row["queue"], row["day"]), Counter())
            assert {what: row[what] for what in ("sent", "completed", "failed", "dead", "busy")} == {
                what: counted[what] for what in ("sent", "completed", "failed", "dead", "busy")
            }
        self.questions(fold, now)

    def rows(self, table: str) -> list[dict[str, Any]]:
        cursor = self.memory.connection.execute(f"SELECT * FROM {table}")
        names = None
        found = []
        for row in cursor:
            names = names or [column[0] for column in cursor.get_description()]
            found.append(dict(zip(names, row, strict=True)))
        return found

    def questions(self, fold: Fold, now: int) -> None:
        queues = self.engine.queues
        for name in QUEUES:
            told = self.do(queues.status(name))
            on_disk = QueueTables(self.engine._reader).status(name, now)
            assert on_disk == told, (on_disk, told)
            items = [item for item in fold.items.values() if item.queue == name]
            waiting = [item for item in items if item.stage is Stage.WAITING and item.visible_at <= now]
            assert told.in_flight == sum(item.stage is Stage.IN_FLIGHT for item in items)
            assert told.available == len(waiting)
            assert told.total == told.available + told.in_flight
            assert told.total + told.delayed == fold.count_open(name)
            assert told.dead == sum(item.stage is Stage.DEAD for item in items)
            assert (told.oldest_age or timedelta()) >= timedelta()
            letters = self.do(queues.letters(name, limit=1_000))
            assert {letter.seq for letter in letters} == {item.seq for item in items if item.stage is Stage.DEAD}
            for letter in letters:
                item = fold.items[letter.seq]
                assert msgspec.json.encode(letter.body) == item.bodies[-1]
                assert len(letter.failures) == item.failures > 0

    @invariant()
    def what_was_told_is_so(self) -> None:
        if not hasattr(self, "loop"):
            return
        fold = self.fold()
        for seq, (name, body) in self.told.items():
            assert (fold.items[seq].queue, fold.items[seq].bodies[0]) == (name, body)
        for seq in self.acked:
            assert fold.items[seq].stage is Stage.COMPLETED

    def drain(self) -> None:
        """Everything comes to an end, and nothing is left anywhere."""
        for _ in range(400):
            fold = self.fold()
            if not any(item.stage.open for item in fold.items.values()) and not fold.runs:
                break
            for name in OUTSIDE:
                self.do(self.engine.queues.ack(*[m.lease for m in self.do(self.engine.queues.lease(name, max=10))]))
            self.do(self.passing(3))
        else:
            raise AssertionError("some messages are never done")
        self.rows_and_counters_are_what_the_records_come_to()
        assert self.engine.queues.consumers._at_work == {}
        for desk in self.engine.queues._lines.desks.values():
            assert (desk.working, desk.line.open, desk.line.in_flight, desk.line._groups) == (0, {}, 0, {})
        done = [s for item in fold.items.values() for s in [item.stage] if item.queue in WORKED]
        assert all(not stage.open for stage in done)


HOW = st.sampled_from(["ok", "ok", "fail", "flaky", "fatal", "chain", "unfit"])
GROUPS = st.sampled_from(["", "a", "b"])
IDS = st.sampled_from([None, None, "x", "y"])
DELAYS = st.sampled_from([None, None, None, "5s"])

TestQueues = QueueMachine.TestCase
TestQueues.settings = settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
