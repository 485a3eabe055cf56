"""Queues of an engine: what is sent is there, until it is done and its retention is over; and how the queues stand."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.engine.queueing import SECOND, Order, Other, bodies, consumer, counts, done, engine, same_on_disk, wait
from tests.engine.support import crash, live, records
from tickwork.core.queue import Draft, Queue
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.engines.embedded.control import ask_owner
from tickwork.engines.embedded.queue_tables import QueueTables
from tickwork.errors import InvalidInput, LeaseExpired, QueueFull, TapeError


@pytest.fixture(autouse=True)
def _start_over() -> None:
    done.clear()


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
