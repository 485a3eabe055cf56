"""Consumers outside: leases, what is done, what is given back, in which order, and that a crash changes none of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.engine.queueing import bodies, counts, engine, same_on_disk, wait
from tests.engine.support import crash, live
from tickwork.core.queue import Draft, Queue
from tickwork.errors import InvalidInput, LeaseExpired


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
