"""Queues of an engine: what is sent, leased, done, given up and redriven, and that a crash changes none of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import crash, live, records
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Alert, Event
from tickwork.core.flow import Throttle
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.queue import Draft, Queue
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.queue_tables import QueueStatus, QueueTables
from tickwork.engines.embedded.reader import started
from tickwork.errors import BreakerOpen, InvalidInput, LeaseExpired, NewerEvent, QueueFull, Rejected, TapeError

SECOND = 1_000_000_000


class Order(Event, name="queues/order"):
    symbol: str
    n: int = 0


class Other(Event, name="queues/other"):
    n: int = 0


class Known(Event, name="queues/known", version=1):
    n: int


def engine(*queues: Queue, memory: Memory | None = None, workflows: list[Workflow] | None = None) -> Engine:
    return Engine(memory or "memory:", queues=queues, workflows=workflows or [], seed=1)


async def wait(engine: Engine, seconds: float) -> None:
    """Let so much time pass, and what is due in it happen."""
    await engine.idle()
    until = engine.clock.now() + int(seconds * SECOND)
    while (due := engine._timers.next_due()) is not None and due <= until:
        engine.clock.jump(due)
        engine._timers.fire_due()
        await engine.idle()
    engine.clock.jump(until)
    engine._timers.fire_due()
    await engine.idle()


def counts(status: QueueStatus) -> tuple[int, int, int, int]:
    assert status.total == status.available + status.in_flight
    return status.available, status.delayed, status.in_flight, status.dead


async def same_on_disk(engine: Engine, name: str = "q") -> QueueStatus:
    """The status, which must be what the rows come to."""
    told = await engine.queues.status(name)
    assert QueueTables(engine._reader).status(name, engine.clock.now()) == told
    return told


async def bodies(engine: Engine, name: str = "q", max: int = 10) -> list[Any]:
    return [message.body for message in await engine.queues.lease(name, max=max)]


# ------------------------------------------------------------------------------------------------------------- sending


@live
async def test_a_message_is_sent_leased_and_done() -> None:
    async with engine(Queue("q")) as it:
        seq = await it.queues.send("q", {"n": 1}, group="a", id="one")
        assert counts(await same_on_disk(it)) == (1, 0, 0, 0)
        (message,) = await it.queues.lease("q", consumer="me")
        assert (message.seq, message.id, message.group, message.body) == (seq, "one", "a", {"n": 1})
        assert (message.attempts, message.queue) == (1, "q")
        assert message.lease_until - message.sent_at == timedelta(seconds=30)
        assert counts(await same_on_disk(it)) == (0, 0, 1, 0)
        assert await it.queues.lease("q") == []
        it.clock.jump(it.clock.now() + 2 * SECOND)
        await it.queues.ack(message.lease)
        told = await same_on_disk(it)
        assert counts(told) == (0, 0, 0, 0)
        assert (told.completed_today, told.rate_per_minute) == (1, 1)
        assert told.average_processing_time == timedelta(seconds=2)
        (done,) = await it.queues.messages("q", status="completed")
        assert (done.seq, done.body, done.consumer) == (seq, {"n": 1}, "me")
        assert [entry.record.kind for entry in records(it)] == ["opened", "message", "leased", "acked"]


@live
async def test_what_a_caller_is_told_is_on_disk() -> None:
    async with engine(Queue("q")) as it:
        it.queues.post("q", 1)
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        assert await it.queues.lease("q") == []
        await it.queues.send("q", 2)
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        (message,) = await it.queues.lease("q")
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        assert await it.queues.lease("q") == []
        await it.queues.ack(message.lease)
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        assert counts(await same_on_disk(it)) == (0, 0, 0, 0)
        assert [m.body for m in await it.queues.messages("q")] == [2]


@live
async def test_a_closed_engine_takes_nothing() -> None:
    async with engine(Queue("q")) as it:
        await it.queues.send("q", 1)
        (message,) = await it.queues.lease("q")
    with pytest.raises(TapeError):
        it.queues.post("q", 2)
    for late in (it.queues.send("q", 2), it.queues.lease("q"), it.queues.ack(message.lease), it.queues.status("q")):
        with pytest.raises(TapeError):
            await late


@live
async def test_an_id_is_one_message_within_the_window() -> None:
    queue = Queue("q", retention="1h", dedupe_window="10s")
    async with engine(queue) as it:
        first = await it.queues.send(queue, 1, id="x")
        assert await it.queues.send(queue, 2, id="x") == first
        assert await it.queues.send_all(queue, [Draft(3, id="y"), Draft(4, id="y"), Draft(5, id="x")]) == [
            first + 1, first + 1, first,
        ]  # fmt: skip
        await it.queues.ack(*[message.lease for message in await it.queues.lease(queue)])
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        it.clock.jump(it.clock.now() + 10 * SECOND - 1)
        assert await it.queues.send(queue, 6, id="x") == first
        it.clock.jump(it.clock.now() + 1)
        assert await it.queues.send(queue, 7, id="x") > first + 1
        assert [m.body for m in await it.queues.messages(queue)] == [7, 3, 1]


@live
async def test_an_id_is_forgotten_while_the_engine_runs_too() -> None:
    async with engine(Queue("q", dedupe_window="10s")) as it:
        seqs = []
        for n in range(3):  # none of it is on disk yet
            seqs.append(it.queues.post("q", n, id="x"))
            assert it.queues.post("q", n, id="x") == seqs[-1]
            it.clock.jump(it.clock.now() + 10 * SECOND)
        await it.queues.send("q", 4, id="y")
        assert await it.queues.send("q", 5, id="x") not in seqs
        assert len(set(seqs)) == 3


@live
async def test_ids_are_only_labels_without_deduplication() -> None:
    async with engine(Queue("q", deduplication=False)) as it:
        seqs = await it.queues.send_all("q", [Draft(1, id="x"), Draft(2, id="x")])
        assert len(set(seqs)) == 2


@live
async def test_a_full_queue_takes_nothing() -> None:
    async with engine(Queue("q", capacity=2, dedupe_window="1s")) as it:
        await it.queues.send("q", 1, id="x")
        with pytest.raises(QueueFull) as full:
            await it.queues.send_all("q", [2, 3])
        assert (full.value.queue, full.value.capacity, full.value.code) == ("q", 2, "QUEUE_FULL")
        await it.queues.send("q", 4, delay="1h")
        with pytest.raises(QueueFull):
            await it.queues.send("q", 5)
        assert await it.queues.send("q", 6, id="x") == 2
        (message,) = await it.queues.lease("q")
        await it.queues.ack(message.lease)
        await it.queues.send("q", 7)
        assert sorted(m.body for m in await it.queues.messages("q")) == [1, 4, 7]


@live
async def test_a_delayed_message_joins_the_tail_when_its_time_comes() -> None:
    async with engine(Queue("q")) as it:
        await it.queues.send("q", "late", delay="10s")
        await it.queues.send("q", "now")
        assert counts(await same_on_disk(it)) == (1, 1, 0, 0)
        await wait(it, 9)
        await it.queues.send("q", "before")
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        await wait(it, 1)
        await it.queues.send("q", "after")
        assert await bodies(it) == ["now", "before", "late", "after"]


@live
async def test_bodies_are_what_the_queue_takes() -> None:
    typed, free = Queue("typed", message=Order), Queue("free")
    async with engine(typed, free) as it:
        await it.queues.send(typed, Order(symbol="A"))
        await it.queues.send(typed, {"symbol": "B", "n": 2})
        assert await bodies(it, "typed") == [Order(symbol="A"), Order(symbol="B", n=2)]
        await it.queues.send_all(free, [Other(n=1), [1, "x"], None])
        assert await bodies(it, "free") == [Other(n=1), [1, "x"], None]
        for wrong in (Other(), {"symbol": 5}, {"nope": 1}, 5):
            with pytest.raises(InvalidInput):
                await it.queues.send(typed, wrong)
        for unfit in (object(), float("nan"), "x" * (1 << 20)):
            with pytest.raises(InvalidInput):
                await it.queues.send(free, unfit)
        assert (await it.queues.status(typed)).in_flight == 2


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"group": 5}, "group"),
        ({"group": "a\nb"}, "group"),
        ({"group": "x" * 201}, "group"),
        ({"group": None}, "group"),
        ({"id": ""}, "id"),
        ({"id": 5}, "id"),
        ({"priority": "high"}, "priority"),
        ({"priority": True}, "priority"),
        ({"priority": 10**9}, "priority"),
        ({"delay": 5}, "delay"),
        ({"delay": "-1s"}, "delay"),
    ],
)
def test_wrong_arguments_of_send_are_named(arguments: dict[str, Any], path: str) -> None:
    @live
    async def check() -> None:
        async with engine(Queue("q")) as it:
            with pytest.raises(InvalidInput) as refused:
                await it.queues.send("q", 1, **arguments)
            assert path in refused.value.path
            assert records(it, "message") == []

    check()


@live
async def test_an_unknown_queue_names_the_known() -> None:
    async with engine(Queue("alerts"), Queue("signals")) as it:
        for act in (it.queues.send("nope", 1), it.queues.lease("nope"), it.queues.status("nope")):
            with pytest.raises(InvalidInput, match="alerts, signals"):
                await act


# ---------------------------------------------------------------------------------------------------------- consumers


@live
async def test_a_lease_that_runs_out_is_redelivered_and_at_last_dead() -> None:
    queue = Queue("q", max_retries=1, visibility_timeout="5s")
    async with engine(queue) as it:
        await it.queues.send(queue, 1)
        (first,) = await it.queues.lease(queue, consumer="sleepy")
        await wait(it, 5)
        for late in (it.queues.ack(first.lease), it.queues.extend(first.lease, "5s"), it.queues.reject(first.lease)):
            with pytest.raises(LeaseExpired):
                await late
        assert counts(await same_on_disk(it)) == (1, 0, 0, 0)
        (second,) = await it.queues.lease(queue)
        assert (second.seq, second.attempts, second.body) == (first.seq, 2, 1)
        assert second.lease != first.lease
        for late in (it.queues.ack(first.lease), it.queues.extend(first.lease, "5s"), it.queues.reject(first.lease)):
            with pytest.raises(LeaseExpired):
                await late
        assert counts(await same_on_disk(it)) == (0, 0, 1, 0)
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        await wait(it, 5)
        assert counts(await same_on_disk(it)) == (0, 0, 0, 1)
        (letter,) = await it.queues.letters()
        assert (letter.code, letter.attempts, letter.body, letter.run) == ("lease_expired", 2, 1, "")
        assert [attempt.why for attempt in letter.failures] == ["lapsed", "lapsed"]
        assert letter.failures[0].consumer == "sleepy"
        assert (await it.queues.status(queue)).failed_today == 2


@live
async def test_a_lease_can_be_extended_and_never_gets_shorter() -> None:
    async with engine(Queue("q", visibility_timeout="5s")) as it:
        await it.queues.send("q", 1)
        (message,) = await it.queues.lease("q")
        await wait(it, 4)
        until = await it.queues.extend(message.lease, "10s")
        assert until - message.sent_at == timedelta(seconds=14)
        assert await it.queues.extend(message.lease, "1s") == until
        await wait(it, 9.5)
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        await it.queues.ack(message.lease)
        assert counts(await same_on_disk(it)) == (0, 0, 0, 0)


@live
async def test_an_acknowledgement_may_be_repeated() -> None:
    async with engine(Queue("q")) as it:
        await it.queues.send_all("q", [1, 2])
        one, two = await it.queues.lease("q")
        await it.queues.ack(one.lease)
        await it.queues.ack(one.lease, two.lease, two.lease)
        await asyncio.gather(it.queues.ack(one.lease), it.queues.ack(one.lease))
        assert (await same_on_disk(it)).completed_today == 2
        with pytest.raises(LeaseExpired):
            await it.queues.reject(one.lease)


@live
async def test_foreign_and_forged_leases_do_nothing() -> None:
    async with engine(Queue("q"), Queue("p")) as it:
        await it.queues.send("q", 1)
        (message,) = await it.queues.lease("q")
        body, nonce = message.lease.rsplit(".", 1)
        for forged in (f"{body}.00000000", message.lease.replace("q:", "p:"), f"q:{message.seq}.0.{nonce}"):
            with pytest.raises(LeaseExpired):
                await it.queues.ack(forged)
        for nonsense in ("", "x", "q:1", "q:1.2", "q:a.b.c", 5, "q:1.2.3.4", f"nope:{message.seq}.3.{nonce}"):
            with pytest.raises(InvalidInput):
                await it.queues.ack(nonsense)  # type: ignore[arg-type]
        assert counts(await same_on_disk(it)) == (0, 0, 1, 0)


@pytest.mark.parametrize(
    "arguments",
    [{"max": 0}, {"max": True}, {"max": 10_001}, {"max": "5"}, {"consumer": 5}, {"consumer": "a\nb"},
     {"visibility": "0s"}, {"visibility": 5}],
)  # fmt: skip
def test_wrong_leases_are_refused(arguments: dict[str, Any]) -> None:
    @live
    async def check() -> None:
        async with engine(Queue("q")) as it:
            await it.queues.send("q", 1)
            with pytest.raises(InvalidInput):
                await it.queues.lease("q", **arguments)
            (message,) = await it.queues.lease("q")
            for wrong in (
                it.queues.extend(message.lease, "0s"),
                it.queues.reject(message.lease, error=""),
                it.queues.reject(message.lease, detail=5),  # type: ignore[arg-type]
                it.queues.reject(message.lease, retry_in="-1s"),
            ):
                with pytest.raises(InvalidInput):
                    await wrong
            assert (await it.queues.status("q")).in_flight == 1

    check()


@live
async def test_a_group_is_finished_in_order() -> None:
    async with engine(Queue("q")) as it:
        await it.queues.send_all("q", [Draft(n, group="a") for n in range(4)] + [Draft("b", group="b")])
        zero, one, two, three, _ = await it.queues.lease("q")
        with pytest.raises(InvalidInput, match=f"message {one.seq} before message {zero.seq}"):
            await it.queues.ack(one.lease)
        with pytest.raises(InvalidInput):
            await it.queues.ack(one.lease, zero.lease)
        await it.queues.ack(zero.lease)
        assert await it.queues.reject(one.lease, "busy", retry_in="5s") == "waiting"
        for over in (two, three):
            with pytest.raises(LeaseExpired):
                await it.queues.ack(over.lease)
        assert await it.queues.lease("q") == []
        told = await same_on_disk(it)
        assert counts(told) == (2, 1, 1, 0)
        assert told.blocked == 2
        await wait(it, 5)
        again = await it.queues.lease("q")
        assert [(message.body, message.attempts) for message in again] == [(1, 2), (2, 1), (3, 1)]


@live
async def test_a_standard_queue_knows_no_order() -> None:
    async with engine(Queue("q", ordering="standard")) as it:
        await it.queues.send_all("q", [1, 2, 3])
        one, two, three = await it.queues.lease("q")
        await it.queues.ack(three.lease, one.lease)
        assert await it.queues.reject(two.lease, retry_in="0s") == "waiting"
        assert await bodies(it) == [2]


@live
async def test_a_dead_letter_unblocks_its_group_and_is_redriven_at_the_tail() -> None:
    queue = Queue("q", max_retries=0)
    async with engine(queue) as it:
        await it.queues.send_all(queue, [Draft(n, group="a") for n in range(3)])
        (first,) = await it.queues.lease(queue, max=1)
        assert await it.queues.reject(first.lease, "invalid_symbol", "no such thing") == "dead"
        (letter,) = await it.queues.letters(queue)
        assert (letter.code, letter.error, letter.body) == ("invalid_symbol", "invalid_symbol: no such thing", 0)
        assert letter.first_seen == first.sent_at
        assert await it.queues.redrive([first.seq]) == [first.seq]
        assert await it.queues.letters() == []
        found = await it.queues.lease(queue)
        assert [(message.body, message.attempts) for message in found] == [(1, 1), (2, 1), (0, 1)]
        info = await it.queues.message(first.seq)
        assert [attempt.code for attempt in info.failures] == ["invalid_symbol"]


@live
async def test_priority_acts_between_groups_and_never_inside_one() -> None:
    async with engine(Queue("q")) as it:
        await it.queues.send_all(
            "q",
            [
                Draft("a1", group="a"),
                Draft("a2", group="a", priority=9),
                Draft("b1", group="b", priority=5),
                Draft("b2", group="b"),
                Draft("c1", group="c", priority=-1),
            ],
        )
        assert await bodies(it) == ["b1", "a1", "a2", "b2", "c1"]


# ----------------------------------------------------------------------------------------------------------- retention


@live
async def test_what_is_not_done_in_time_is_a_dead_letter() -> None:
    queue = Queue("q", retention="60s", visibility_timeout="90s")
    async with engine(queue) as it:
        await it.queues.send(queue, "forgotten", group="a")
        await it.queues.send(queue, "later", group="b", delay="30s")
        await it.queues.send(queue, "held", group="c", priority=1)
        (held,) = await it.queues.lease(queue, max=1)
        await wait(it, 60)
        assert counts(await same_on_disk(it)) == (1, 0, 1, 1)
        (letter,) = await it.queues.letters()
        assert (letter.body, letter.code, letter.error) == ("forgotten", "expired", "Expired: not done within 1m")
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        assert await it.queues.reject(held.lease) == "waiting"
        letters = await it.queues.letters()
        assert [letter.body for letter in letters] == ["held", "forgotten"]
        assert [failure.why for failure in letters[0].failures] == ["rejected", "expired"]
        await wait(it, 30)
        assert counts(await same_on_disk(it)) == (0, 0, 0, 3)


@live
async def test_what_is_done_is_forgotten_after_the_retention_and_dead_letters_are_not() -> None:
    queue = Queue("q", retention="60s", max_retries=0)
    async with engine(queue) as it:
        await it.queues.send_all(queue, [Draft(n, group=str(n)) for n in range(1_500)])
        found = await it.queues.lease(queue, max=1_500, visibility="1h")
        await it.queues.reject(found[0].lease)
        await it.queues.reject(found[1].lease)
        await it.queues.discard([found[1].seq])
        await it.queues.ack(*[message.lease for message in found[2:1_400]])
        await wait(it, 59)
        assert len(await it.queues.messages(queue, status="completed", limit=2_000)) == 1_398
        await wait(it, 2)
        assert await it.queues.messages(queue, status="completed") == []
        assert await it.queues.messages(queue, status="discarded") == []
        assert [letter.seq for letter in await it.queues.letters()] == [found[0].seq]
        assert (await same_on_disk(it)).completed_today == 1_398
        await it.queues.ack(*[message.lease for message in found[1_400:]])
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        await wait(it, 61)
        assert await it.queues.messages(queue, status="completed") == []
        assert (await same_on_disk(it)).completed_today == 1_498


# ----------------------------------------------------------------------------------------------------------- workflows

done: list[Any] = []


@pytest.fixture(autouse=True)
def _start_over() -> None:
    done.clear()


def consumer(queue: Queue, **options: Any) -> Workflow:
    """Works on any JSON; a body ``{"fail": n}`` fails n times."""

    @workflow("consumer", on=queue, **options)
    async def body(run: Run, message: Any) -> Any:
        await run.sleep("1s")
        tries = sum(one == message for one in done)
        done.append(message)
        if isinstance(message, dict) and tries < message.get("fail", 0):
            raise ValueError("not today")
        if isinstance(message, dict) and message.get("fatal"):
            raise Rejected("venue", "no")
        return message

    return body


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


batches: list[list[Any]] = []


def batch_consumer(queue: Queue) -> Workflow:
    @workflow("batches", on=queue)
    async def body(run: Run, messages: list[Any]) -> int:
        await run.sleep("1s")
        batches.append(messages)
        if any(message == "poison" for message in messages):
            raise ValueError("poisoned")
        return len(messages)

    return body


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


# --------------------------------------------------------------------------------------------------- sent by workflows


@workflow("producer")
async def producer(run: Run, bodies: list[Any]) -> list[Any]:
    told: list[Any] = []
    for body in bodies:
        try:
            told.append(await run.send("q", body, group="g", id=f"{body}", priority=2))
        except QueueFull as full:
            told.append(str(full.capacity))
        except InvalidInput as error:
            told.append(error.path)
    await run.sleep("1s")
    return told


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


# --------------------------------------------------------------------------------------------------------- dead letters


@live
async def test_policies() -> None:
    policy = DeadLetterPolicy(
        Rule("rate_limit", "retry", after="60s", times=2), Rule("invalid_symbol", "discard"), Rule("*", "alert")
    )
    queue = Queue("q", max_retries=0, policy=policy)
    async with engine(queue) as it:
        await it.queues.send_all(queue, ["slow", "wrong", "odd"])
        for code in ("rate_limit", "invalid_symbol", "strange"):
            (message,) = await it.queues.lease(queue, max=1)
            await it.queues.reject(message.lease, code)
        assert counts(await same_on_disk(it)) == (0, 1, 0, 1)
        assert [m.body for m in await it.queues.messages(queue, status="discarded")] == ["wrong"]
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        for attempt in range(2):
            assert await bodies(it) == []
            await wait(it, 60)
            (message,) = await it.queues.lease(queue)
            assert message.body == "slow"
            assert await it.queues.reject(message.lease, "rate_limit") == "dead"
            assert len(await it.queues.letters()) == 1 + attempt
        alerts = [bytes(e.record.value) for e in records(it, "event") if e.record.name == Alert.event_name]
        assert [b"strange" in alerts[0], b"rate_limit" in alerts[1]] == [True, True]
        assert len(alerts) == 2
        await wait(it, 1_000)
        assert counts(await same_on_disk(it)) == (0, 0, 0, 2)


@live
async def test_a_dead_alert_does_not_alert() -> None:
    queue = Queue("q", max_retries=0)
    async with engine(queue) as it:
        await it.queues.send(queue, Alert(run="", what="x", detail="y"))
        (message,) = await it.queues.lease(queue)
        await it.queues.reject(message.lease)
        assert len(await it.queues.letters()) == 1
        assert records(it, "event") == []


@live
async def test_many_dead_letters_of_one_thing_are_one_alert() -> None:
    async with engine(Queue("q", retention="10s")) as it:
        await it.queues.send_all("q", list(range(50)))
        await wait(it, 10)
        (alert,) = records(it, "event")
        assert b"50 messages" in bytes(alert.record.value)


@live
async def test_letters_are_redriven_at_a_pace_that_a_crash_does_not_change() -> None:
    queue = Queue("q", max_retries=0)
    async with engine(queue) as it:
        await it.queues.send_all(queue, list(range(4)))
        for _ in range(4):
            (message,) = await it.queues.lease(queue, max=1)
            await it.queues.reject(message.lease)
        await it.queues.redrive(queue, rate="1/10s", by="me")
        assert counts(await same_on_disk(it)) == (1, 3, 0, 0)
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        for n in range(4):
            (message,) = await it.queues.lease(queue)
            assert message.body == n
            await it.queues.ack(message.lease)
            await wait(it, 10)
        assert [entry.record.key for entry in records(it, "redriven")] == ["me"] * 4


@live
async def test_only_dead_letters_are_redriven_and_one_body_is_for_one() -> None:
    queue = Queue("q", max_retries=0, capacity=3, message=Order)
    async with engine(queue) as it:
        seqs = await it.queues.send_all(queue, [Order(symbol=s) for s in "ABC"])
        for _ in "AB":
            (message,) = await it.queues.lease(queue, max=1)
            await it.queues.reject(message.lease)
        for wrong in ([seqs[2]], [999], ["x"], [seqs[0], seqs[2]]):
            with pytest.raises(InvalidInput):
                await it.queues.redrive(wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidInput):
                await it.queues.discard(wrong)  # type: ignore[arg-type]
        for options in ({"body": {"symbol": "X"}}, {"rate": "fast"}, {"rate": "0/s"}):
            with pytest.raises(InvalidInput):
                await it.queues.redrive(queue, **options)
        with pytest.raises(InvalidInput):
            await it.queues.redrive(seqs[:1], body={"symbol": 5})
        await it.queues.send(queue, Order(symbol="D"))
        with pytest.raises(QueueFull):
            await it.queues.redrive(queue)
        assert counts(await same_on_disk(it)) == (2, 0, 0, 2)
        await it.queues.redrive(seqs[:1], body={"symbol": "X"})
        memory = crash(it)
    async with engine(queue, memory=memory) as it:
        assert [order.symbol for order in await bodies(it)] == ["C", "D", "X"]
        await it.queues.discard(queue, by="me")
        assert await it.queues.letters() == []


@live
async def test_an_event_of_a_newer_version_waits_for_an_upgrade_and_blocks_nobody() -> None:
    class Old(Event, name="queues/versioned", version=1):
        n: int

    queue = Queue("q")
    async with engine(queue) as it:

        class New(Event, name="queues/versioned", version=2):
            number: int

            @classmethod
            def upcast(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
                return {"number": fields["n"]}

        seqs = await it.queues.send_all(queue, [Old(n=1), New(number=2), New(number=3), "plain"])
        memory = crash(it)

    import tickwork.core.event as events

    known = events._known.pop(("queues/versioned", 2))
    async with engine(queue, memory=memory) as it:
        assert await bodies(it) == [Old(n=1), "plain"]
        letters = await it.queues.letters()
        assert [letter.seq for letter in letters] == [seqs[2], seqs[1]]
        assert {letter.code for letter in letters} == {"newer_event"}
        assert "version 2" in letters[0].error
        assert letters[0].body == {"number": 3}
        memory = crash(it)
    events._known["queues/versioned", 2] = known
    del events._known["queues/versioned", 1]
    async with engine(queue, memory=memory) as it:
        await it.queues.redrive(queue)
        await wait(it, 30)
        assert await bodies(it) == [New(number=1), "plain", New(number=2), New(number=3)]


@live
async def test_an_upcast_that_fails_makes_a_dead_letter() -> None:
    class Changed(Event, name="queues/changed", version=2):
        symbol: str

        @classmethod
        def upcast(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
            return {"symbol": fields["coin"]}

    class Before(Event, name="queues/changed", version=1):
        other: int

    import tickwork.core.event as events

    held, worked = Queue("held"), Queue("worked")
    async with engine(held, worked) as it:
        for queue in (held, worked):
            await it.queues.send_all(queue, [Before(other=1), "fine"])
        memory = crash(it)
    del events._known["queues/changed", 1]
    async with engine(held, workflows=[consumer(worked)], memory=memory) as it:
        assert await bodies(it, "held") == ["fine"]
        await wait(it, 2)
        assert done == ["fine"]
        assert [letter.code for letter in await it.queues.letters()] == ["key_error", "key_error"]
    assert Changed.event_version == 2


@live
async def test_newer_events_for_a_workflow_are_dead_letters_too() -> None:
    queue = Queue("q")

    class Newer(Event, name="queues/known", version=2):
        n: int

    @workflow("reads", on=queue)
    async def reads(run: Run, message: list[Known]) -> int:
        done.extend(message)
        return len(message)

    async with engine(queue) as it:
        await it.queues.send_all(queue, [Known(n=1), Newer(n=2), Known(n=3), Newer(n=4), Known(n=5)])
        memory = crash(it)

    import tickwork.core.event as events

    del events._known["queues/known", 2]
    async with engine(workflows=[reads], memory=memory) as it:
        await wait(it, 1)
        assert [event.n for event in done] == [1, 3, 5]
        assert {letter.code for letter in await it.queues.letters()} == {"newer_event"}
        told = await same_on_disk(it)
        assert (told.completed_today, told.dead, told.failed_today) == (3, 2, 0)
    with pytest.raises(NewerEvent):
        Known.read(2, b'{"n":1}')


# ------------------------------------------------------------------------------------------------------- declarations


def test_what_an_engine_refuses_to_open() -> None:
    queue, other = Queue("q"), Queue("q", max_retries=5)

    @workflow("second", on=queue)
    async def second(run: Run, message: Any) -> None: ...

    @workflow("takes-nothing", on=queue)
    async def takes_nothing(run: Run) -> None: ...

    @workflow("wrong", on=Queue("typed", message=Order))
    async def wrong(run: Run, message: Other) -> None: ...

    @workflow("picky", on=queue, singleton="skip", key=lambda m: "k")
    async def picky(run: Run, message: Any) -> None: ...

    for options in (
        {"queues": [queue, other]},
        {"queues": [other], "workflows": [consumer(queue)]},
        {"queues": ["q"]},
        {"workflows": [consumer(queue), second]},
        {"workflows": [takes_nothing]},
        {"workflows": [wrong]},
        {"workflows": [picky]},
    ):

        @live
        async def check(options: Any = options) -> None:
            with pytest.raises(InvalidInput):
                async with Engine("memory:", **options):
                    pass

        check()


@live
async def test_equal_declarations_are_one_and_a_newer_version_takes_over() -> None:
    @workflow("consumer", on=Queue("q"), version=2)
    async def newer(run: Run, message: Any) -> str:
        done.append("newer")
        return "newer"

    async with engine(Queue("q"), workflows=[consumer(Queue("q")), newer]) as it:
        await it.queues.send("q", 1)
        await wait(it, 2)
        assert done == ["newer"]


@live
async def test_messages_of_a_queue_that_nobody_declares_are_kept() -> None:
    queue = Queue("q", retention="60s")
    async with engine(workflows=[consumer(queue)]) as it:
        await it.queues.send_all(queue, [1, 2])
        memory = crash(it)
    async with engine(memory=memory) as it:
        with pytest.raises(InvalidInput):
            await it.queues.send("q", 3)
        (told,) = await it.queues.statuses()
        assert (told.name, told.capacity, told.total) == ("q", None, 2)
        await wait(it, 50)
        memory = crash(it)
    async with engine(Queue("q"), memory=memory, workflows=[consumer(Queue("q"))]) as it:
        await wait(it, 5)
        assert done == [1, 2]


@live
async def test_a_queue_may_be_declared_anew() -> None:
    async with engine(Queue("q", ordering="standard")) as it:
        await it.queues.send_all("q", ["a", "b", "c"])
        a, b, _ = await it.queues.lease("q")
        await it.queues.reject(a.lease, retry_in="0s")
        memory = crash(it)
    async with engine(Queue("q", batch_size=2), memory=memory) as it:
        with pytest.raises(InvalidInput, match="before"):
            held = await it.queues.lease("q")
            assert held == []
            (third,) = [m for m in await it.queues.messages("q", status="in_flight") if m.body == "c"]
            await it.queues.ack(b.lease.replace(str(b.seq), str(third.seq), 1))
        await wait(it, 30)
        assert await bodies(it) == ["b", "c", "a"]  # what was in flight is first in its group
        assert QueueTables(it._reader).settings("q")["batchSize"] == 2


@live
async def test_counters_survive_and_begin_anew_at_midnight() -> None:
    async with engine(Queue("q")) as it:
        await it.queues.send_all("q", [Draft(n, group=str(n)) for n in range(4)])
        one, two, _, _ = await it.queues.lease("q")
        await it.queues.ack(one.lease)
        await it.queues.reject(two.lease, retry_in="0s")
        told = await same_on_disk(it)
        memory = crash(it)
    async with engine(Queue("q"), memory=memory) as it:
        assert await same_on_disk(it) == told
        assert (told.completed_today, told.failed_today, told.rate_per_minute) == (1, 1, 1)
        await wait(it, 61)
        assert (await same_on_disk(it)).rate_per_minute == 0
        await wait(it, 86_400)
        told = await same_on_disk(it)
        assert (told.completed_today, told.failed_today, told.dead_today) == (0, 0, 3)


@live
async def test_messages_by_status() -> None:
    queue = Queue("q", max_retries=1)
    async with engine(queue) as it:
        await it.queues.send_all(queue, [Draft(n, group=str(n)) for n in range(5)])
        await it.queues.send(queue, "later", delay="1h")
        found = await it.queues.lease(queue, max=3)
        await it.queues.ack(found[0].lease)
        await it.queues.reject(found[1].lease, "code", "words", retry_in="10s")

        async def of(status: str | None) -> list[Any]:
            return [message.body for message in await it.queues.messages(queue, status=status)]

        assert await of("completed") == [0]
        assert await of("failed") == [1]
        assert await of("in_flight") == [2]
        assert await of("available") == [3, 4]
        assert await of("delayed") == [1, "later"]
        assert await of("dead") == []
        assert await of(None) == ["later", 4, 3, 2, 1, 0]
        (failed,) = await it.queues.messages(queue, status="failed")
        (attempt,) = failed.failures
        assert (attempt.why, attempt.code, attempt.error) == ("rejected", "code", "code: words")
        for wrong in ({"status": "nope"}, {"limit": 0}):
            with pytest.raises(InvalidInput):
                await it.queues.messages(queue, **wrong)
        with pytest.raises(InvalidInput):
            await it.queues.message(1)
        with pytest.raises(InvalidInput):
            await it.queues.letters(limit=0)
        with pytest.raises(InvalidInput):
            await it.queues.letters("nope")


# ------------------------------------------------------------------------------------------------------ other processes


def test_other_processes_lease_over_the_control_socket(tmp_path: Path) -> None:
    tape = str(tmp_path / "tape.db")

    @live
    async def check() -> None:
        queue = Queue("q", message=Order, capacity=1)
        async with Engine(f"sqlite:///{tape}", queues=[queue]) as it:

            async def ask(verb: str, **arguments: Any) -> Any:
                return await asyncio.to_thread(ask_owner, tape, f"queues.{verb}", **arguments)

            seq = await ask("send", queue="q", body={"symbol": "A"}, group="g", id="x")
            assert await ask("send", queue="q", body={"symbol": "A"}, id="x") == seq
            with pytest.raises(QueueFull):
                await ask("send", queue="q", body={"symbol": "B"})
            (message,) = await ask("lease", queue="q", max=5, consumer="cli")
            assert message["body"] == {"symbol": "A", "n": 0}
            assert await ask("extend", lease=message["lease"], by="60s") > message["lease_until"]
            assert (await ask("status", queue="q"))["in_flight"] == 1
            assert await ask("reject", lease=message["lease"], error="busy", retry_in="0s") == "waiting"
            with pytest.raises(LeaseExpired):
                await ask("ack", leases=[message["lease"]])
            (message,) = await ask("lease", queue="q")
            await ask("ack", leases=[message["lease"]])
            (done,) = await ask("messages", queue="q")
            assert (done["seq"], done["status"]) == (seq, "completed")
            assert await ask("letters") == []
            assert [told["completed_today"] for told in await ask("statuses")] == [1]
            await it.queues.send(queue, {"symbol": "C"})
            (message,) = await ask("lease", queue="q")
            await asyncio.gather(*[it.queues.ack(message["lease"]) for _ in range(5)])  # before the first is on disk
            with pytest.raises(InvalidInput):
                await ask("lease", queue="nope")

    check()


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
