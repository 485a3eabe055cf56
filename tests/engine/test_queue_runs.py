"""Workflows and queues: a message starts a run, and how the run ends is what becomes of the message."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.engine.queueing import (
    SECOND,
    Order,
    Other,
    batch_consumer,
    batches,
    bodies,
    consumer,
    counts,
    done,
    engine,
    producer,
    same_on_disk,
    wait,
)
from tests.engine.support import crash, live, records
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Alert, Event
from tickwork.core.flow import Throttle
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.queue import Draft, Queue
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.engines.embedded.reader import started
from tickwork.errors import BreakerOpen, InvalidInput


@pytest.fixture(autouse=True)
def _start_over() -> None:
    done.clear()


@live
async def test_a_message_starts_a_run_and_the_run_completes_it() -> None:
    queue = Queue("q")
    async with engine(workflows=[consumer(queue)]) as it:
        seq = await it.queues.send(queue, {"n": 1}, owner="me")
        assert counts(await same_on_disk(it)) == (0, 0, 1, 0)
        (info,) = await it.runs()
        assert (info.workflow, info.owner) == ("consumer", "me")
        message = await it.queues.message(seq)
        assert (message.status, message.run) == ("in_flight", info.id)
        shown = await it.show(info.id)
        assert shown.records[0]["ref"] == seq
        assert (shown.records[1]["kind"], shown.records[1]["value"]) == ("delivered", [seq])
        memory = crash(it)
    async with engine(workflows=[consumer(queue)], memory=memory) as it:
        assert await it.handle(info.id).result() == {"n": 1}
        told = await same_on_disk(it)
        assert (told.completed_today, told.average_processing_time) == (1, timedelta(seconds=1))
        message = await it.queues.message(seq)
        assert (message.status, message.run) == ("completed", info.id)
        assert done == [{"n": 1}]


@live
async def test_a_run_that_fails_is_a_failed_delivery() -> None:
    queue = Queue("q", max_retries=2, retry=Retry(delay="10s", backoff="fixed"))
    async with engine(workflows=[consumer(queue)]) as it:
        await it.queues.send_all(
            queue, [Draft({"fail": 2}, group="a"), Draft("next", group="a"), Draft("b", group="b")]
        )
        await wait(it, 1.5)
        assert done == [{"fail": 2}, "b"]
        assert counts(await same_on_disk(it)) == (1, 1, 0, 0)
        (failed,) = await it.runs(status="failed")
        with pytest.raises(ValueError, match="not today"):
            await it.handle(failed.id).result()
        await wait(it, 12)
        assert done == [{"fail": 2}, "b", {"fail": 2}]
        await wait(it, 13)
        assert done[3:] == [{"fail": 2}, "next"]
        assert await it.dead_letters() == []
        assert (await same_on_disk(it)).failed_today == 2
        assert [info.status for info in await it.runs()] == ["done", "done", "failed", "done", "failed"]


@live
async def test_a_message_whose_runs_all_fail_is_a_dead_letter_with_the_run_to_open() -> None:
    queue = Queue("q", max_retries=1)
    async with engine(workflows=[consumer(queue)]) as it:
        seq = await it.queues.send(queue, {"fail": 9})
        await wait(it, 10)
        (letter,) = await it.queues.letters()
        assert (letter.seq, letter.code, letter.error, letter.attempts) == (
            seq,
            "value_error",
            "ValueError: not today",
            2,
        )
        runs = [info.id for info in await it.runs(status="failed")]
        assert letter.run == runs[0]
        assert [attempt.run for attempt in letter.failures] == runs[::-1]
        assert await it.runs(status="dead") == []
        (alert,) = [e for e in records(it, "event") if e.record.name == Alert.event_name]
        assert f"message {seq}".encode() in bytes(alert.record.value)
        assert runs[0].encode() in bytes(alert.record.value)
        assert await it.queues.redrive(queue, body="ok") == [seq]
        await wait(it, 2)
        assert done[-1] == "ok"
        assert (await it.queues.message(seq)).status == "completed"


@live
async def test_what_cannot_be_helped_is_not_tried_again() -> None:
    queue = Queue("q", max_retries=5)
    async with engine(workflows=[consumer(queue)]) as it:
        await it.queues.send(queue, {"fatal": True})
        await wait(it, 100)
        assert len(done) == 1
        assert [letter.code for letter in await it.queues.letters()] == ["rejected"]


@live
async def test_an_attempt_of_the_workflow_is_not_a_delivery() -> None:
    queue = Queue("q", max_retries=0)
    async with engine(workflows=[consumer(queue, retry=Retry(limit=3, delay="1s"))]) as it:
        await it.queues.send(queue, {"fail": 2})
        await wait(it, 20)
        (info,) = await it.runs()
        assert (info.status, info.attempt) == ("done", 3)
        assert (await same_on_disk(it)).failed_today == 0


@live
async def test_the_handler_of_a_failure_runs_before_the_next_delivery() -> None:
    queue, handled = Queue("q", max_retries=0), []

    async def on_failure(run: Run, message: Any, error: BaseException) -> None:
        handled.append((message, str(error)))

    async with engine(workflows=[consumer(queue, on_failure=on_failure)]) as it:
        await it.queues.send(queue, {"fail": 1})
        await wait(it, 5)
        assert handled == [({"fail": 1}, "not today")]
        assert len(await it.queues.letters()) == 1


@live
async def test_as_many_runs_as_the_queue_has_consumers_and_one_for_a_group() -> None:
    queue = Queue("q", consumers=2)
    async with engine(workflows=[consumer(queue)]) as it:
        await it.queues.send_all(queue, [Draft(f"{g}{n}", group=g) for g in "abc" for n in (1, 2)])
        assert counts(await same_on_disk(it)) == (4, 0, 2, 0)
        memory = crash(it)
    async with engine(workflows=[consumer(queue)], memory=memory) as it:
        assert counts(await same_on_disk(it)) == (4, 0, 2, 0)
        await wait(it, 1)
        assert sorted(done) == ["a1", "b1"]
        await wait(it, 10)
        for group in "abc":
            assert [message for message in done if message[0] == group] == [f"{group}1", f"{group}2"]


@live
async def test_a_list_takes_a_batch_and_poison_takes_no_neighbour_along() -> None:
    batches.clear()
    queue = Queue("q", batch_size=4, max_retries=1, retry=Retry(delay="1s", backoff="fixed"), consumers=1)
    async with engine(workflows=[batch_consumer(queue)]) as it:
        await it.queues.send_all(queue, ["a", "b", "poison", "c", "d"])
        await wait(it, 2)
        assert batches == [["a", "b", "poison", "c"]]
        assert (await same_on_disk(it)).failed_today == 4
        memory = crash(it)
    async with engine(workflows=[batch_consumer(queue)], memory=memory) as it:
        await wait(it, 20)
        assert batches[1:] == [["a"], ["b"], ["poison"], ["poison"], ["c"], ["d"]]
        told = await same_on_disk(it)
        assert (told.completed_today, told.dead) == (4, 1)
        (letter,) = await it.queues.letters()
        assert letter.body == "poison"


@live
async def test_what_is_too_large_together_goes_one_by_one() -> None:
    batches.clear()
    queue = Queue("q", consumers=1)
    async with engine(workflows=[batch_consumer(queue)]) as it:
        await it.queues.send_all(queue, ["x" * 600_000, "y" * 600_000, "z"])
        await wait(it, 5)
        assert [[text[0] for text in batch] for batch in batches] == [["x"], ["y", "z"]]
        told = await same_on_disk(it)
        assert (told.completed_today, told.failed_today, told.dead_today) == (3, 0, 0)


@live
async def test_a_rule_may_redrive_what_cannot_be_read() -> None:
    policy = DeadLetterPolicy(Rule("invalid_input", "retry", after="10s", times=2))
    queue = Queue("q", policy=policy)

    @workflow("orders", on=queue)
    async def orders(run: Run, order: Order) -> str:
        return order.symbol

    async with engine(workflows=[orders]) as it:
        await it.queues.send_all(queue, [5, Order(symbol="A")])
        assert counts(await same_on_disk(it)) == (0, 1, 0, 0)
        await wait(it, 10)
        assert counts(await same_on_disk(it)) == (0, 1, 0, 0)
        await wait(it, 10)
        told = await same_on_disk(it)
        assert (counts(told), told.completed_today, told.dead_today) == ((0, 0, 0, 1), 1, 3)


@live
async def test_a_batch_of_events_is_a_list_of_events() -> None:
    queue, seen = Queue("q", message=Order, consumers=1), []

    @workflow("orders", on=queue)
    async def orders(run: Run, found: list[Order]) -> None:
        await run.sleep("1s")
        seen.append(found)

    async with engine(workflows=[orders]) as it:
        await it.queues.send_all(queue, [Order(symbol="A"), Order(symbol="B")])
        memory = crash(it)
    async with engine(workflows=[orders], memory=memory) as it:
        await wait(it, 2)
        assert seen == [[Order(symbol="A"), Order(symbol="B")]]


@live
async def test_a_body_that_the_workflow_does_not_take_is_a_dead_letter() -> None:
    queue = Queue("q")

    @workflow("orders", on=queue)
    async def orders(run: Run, order: Order) -> str:
        return order.symbol

    async with engine(workflows=[orders]) as it:
        await it.queues.send_all(queue, [Other(n=1), {"symbol": 5}, Order(symbol="A"), {"symbol": "B"}, "x"])
        await wait(it, 1)
        assert [letter.body for letter in await it.queues.letters()] == ["x", {"symbol": 5}, {"n": 1}]
        assert {letter.code for letter in await it.queues.letters()} == {"invalid_input"}
        assert (await same_on_disk(it)).completed_today == 2


@live
async def test_without_an_annotation_an_event_is_an_event() -> None:
    queue, seen = Queue("q"), []

    @workflow("any", on=queue)
    async def anything(run: Run, message):  # type: ignore[no-untyped-def]
        await run.sleep("1s")
        seen.append(message)

    async with engine(workflows=[anything]) as it:
        await it.queues.send_all(queue, [Draft(Order(symbol="A")), Draft({"symbol": "B"}), Draft(3)])
        memory = crash(it)
    async with engine(workflows=[anything], memory=memory) as it:
        await wait(it, 5)
        assert seen == [Order(symbol="A"), {"symbol": "B"}, 3]


@live
async def test_a_cancelled_run_gives_its_message_up() -> None:
    queue = Queue("q")
    async with engine(workflows=[consumer(queue)]) as it:
        await it.queues.send_all(queue, [1, 2])
        (info,) = await it.runs()
        await it.cancel(info.id, "no more")
        (letter,) = await it.queues.letters()
        assert (letter.body, letter.code, letter.run) == (1, "cancelled", info.id)
        await wait(it, 2)
        assert done == [2]


@live
async def test_a_run_that_goes_on_as_another_hands_its_message_on() -> None:
    queue = Queue("q")

    @workflow("chain", on=queue)
    async def chain(run: Run, n: int) -> str | None:
        await run.sleep("1s")
        if n:
            await run.again(n - 1)
        return "end"

    async with engine(workflows=[chain]) as it:
        seq = await it.queues.send(queue, 2)
        await wait(it, 1.5)
        message = await it.queues.message(seq)
        assert message.status == "in_flight"
        assert message.run.endswith("+1")
        memory = crash(it)
    async with engine(workflows=[chain], memory=memory) as it:
        await wait(it, 3)
        message = await it.queues.message(seq)
        assert (message.status, message.run[-2:], message.attempts) == ("completed", "+2", 1)


@live
async def test_a_run_too_old_to_begin_gives_its_message_up() -> None:
    class Stamped(Event, name="queues/stamped"):
        at: datetime

        @property
        def happened_at(self) -> datetime:
            return self.at

    queue = Queue("q", max_retries=5)

    @workflow("fresh", on=queue, valid_for="10s")
    async def fresh(run: Run, stamped: Stamped) -> None:
        done.append(stamped)

    async with engine(workflows=[fresh]) as it:
        await it.queues.send(queue, Stamped(at=datetime(2019, 12, 31, tzinfo=UTC)))
        await wait(it, 30)
        assert [letter.code for letter in await it.queues.letters()] == ["stale"]
        assert done == []


@live
async def test_an_open_breaker_says_how_long_a_message_rests() -> None:
    queue, tries = Queue("q"), []

    @workflow("guarded", on=queue)
    async def guarded(run: Run, message: int) -> None:
        tries.append(run.now())
        if len(tries) == 1:
            raise BreakerOpen("venue", it.clock.now() + 500 * SECOND)

    async with engine(workflows=[guarded]) as it:
        await it.queues.send(queue, 1)
        await wait(it, 600)
        assert tries[1] - tries[0] == timedelta(seconds=500)


@live
async def test_flow_control_makes_the_runs_of_messages_wait() -> None:
    queue = Queue("q")
    flow = {"concurrency": 1, "throttle": Throttle(1, "10s")}
    async with engine(workflows=[consumer(queue, **flow)]) as it:
        await it.queues.send_all(queue, [Draft(n, group=str(n)) for n in range(3)])
        assert counts(await same_on_disk(it)) == (0, 0, 3, 0)
        assert [info.status for info in await it.runs()] == ["queued", "queued", "waiting"]
        memory = crash(it)
    async with engine(workflows=[consumer(queue, **flow)], memory=memory) as it:
        await wait(it, 15)
        assert done == [0, 1]
        queued = await it.runs(status="queued")
        await it.cancel(queued[0].id)
        assert [letter.code for letter in await it.queues.letters()] == ["cancelled"]
        assert (await same_on_disk(it)).completed_today == 2


@live
async def test_a_paused_run_keeps_its_message() -> None:
    queue = Queue("q")
    async with engine(workflows=[consumer(queue)]) as it:
        await it.queues.send(queue, 1)
        (info,) = await it.runs()
        await it.pause(info.id)
        await wait(it, 100)
        assert counts(await same_on_disk(it)) == (0, 0, 1, 0)
        await it.resume(info.id)
        await wait(it, 2)
        assert (await same_on_disk(it)).completed_today == 1


@live
async def test_a_workflow_sends_once() -> None:
    queue = Queue("q", capacity=2)
    async with engine(queue, workflows=[producer]) as it:
        handle = await it.start(producer, [1, 2, 1, 3], id="p", owner="me")
        memory = crash(it)
    async with engine(queue, memory=memory, workflows=[producer]) as it:
        handle = it.handle("p")
        one, two, again, full = await handle.result()
        assert (again, full) == (one, "2")
        sent = records(it, "send")
        assert [entry.seq for entry in sent][:2] == [one, two]
        assert len(sent) == 4
        found = await it.queues.messages(queue)
        assert sorted((m.body, m.group, m.id, m.priority) for m in found) == [(1, "g", "1", 2), (2, "g", "2", 2)]


@live
async def test_a_workflow_sends_to_a_typed_queue_by_name_and_hears_what_is_wrong() -> None:
    @workflow("sender")
    async def sender(run: Run, queue: str) -> str:
        try:
            await run.send(queue, {"symbol": "A"}, delay="5s")
        except InvalidInput as error:
            return error.expected
        return "sent"

    queue = Queue("q", message=Order)
    async with engine(queue, Queue("o", message=Other), workflows=[sender]) as it:
        assert await (await it.start(sender, "q")).result() == "sent"
        told = await (await it.start(sender, "nope")).result()
        assert "o, q" in told
        assert "one of its fields" in await (await it.start(sender, "o")).result()
        assert counts(await same_on_disk(it))[1] == 1
        await wait(it, 5)
        assert await bodies(it) == [Order(symbol="A")]


@live
async def test_a_workflow_feeds_another_in_the_same_transaction() -> None:
    queue = Queue("q")
    async with engine(workflows=[producer, consumer(queue)]) as it:
        await it.start(producer, [1, 2])
        await wait(it, 5)
        assert done == [1, 2]
        assert Counter(info.workflow for info in await it.runs()) == {"consumer": 2, "producer": 1}


@live
async def test_a_batch_of_runs_finds_its_messages_in_its_records() -> None:
    queue = Queue("q")
    async with engine(workflows=[batch_consumer(queue)]) as it:
        seqs = await it.queues.send_all(queue, ["a", "b"])
        await wait(it, 2)
        (info,) = await it.runs()
        first, delivered, *_ = (await it.show(info.id)).records
        assert delivered["value"] == seqs
        assert started(records(it, "started")[0]).input
        assert first["ref"] == seqs[0]
        assert {(await it.queues.message(seq)).run for seq in seqs} == {info.id}


def test_virtual_time_passes_alike() -> None:
    """The same seed, the same tape: queues add nothing that depends on anything else."""

    async def play() -> list[Any]:
        clock = VirtualClock()
        queue = Queue("q", max_retries=2, retry=Retry(delay="1s", jitter=0.5))
        async with Engine("memory:", workflows=[consumer(queue), producer], clock=clock, seed=7) as it:
            await it.start(producer, [1, {"fail": 2}, 3])
            await wait(it, 100)
            return [(entry.seq, entry.record) for entry in records(it)]

    first = asyncio.run(play())
    done.clear()
    assert asyncio.run(play()) == first
