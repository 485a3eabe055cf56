"""Messages that give up: what rules and people make of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.queueing import Known, Order, bodies, consumer, counts, done, engine, same_on_disk, wait
from tests.engine.support import crash, live, records
from tickwork.core.event import Alert, Event
from tickwork.core.letters import DeadLetterPolicy, Rule
from tickwork.core.queue import Draft, Queue
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, NewerEvent, QueueFull


@pytest.fixture(autouse=True)
def _start_over() -> None:
    done.clear()


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


@live
async def test_what_came_due_between_two_readings_of_the_clock_stays_before_what_is_redriven() -> None:
    queue = Queue("q", max_retries=0)
    async with Engine("memory:", queues=[queue]) as engine:
        dead = await engine.queues.send(queue, "dead", group="g")
        (message,) = await engine.queues.lease(queue)
        assert await engine.queues.reject(message.lease) == "dead"
        await engine.queues.send(queue, "due before", group="g", delay="1 ms")
        due = engine.clock.now() + 1_000_000
        times = iter([due - 1])
        engine.queues._lines.now = lambda: next(times, due + 1)
        await engine.queues.redrive([dead])
        assert [message.body for message in await engine.queues.lease(queue, max=10)] == ["due before", "dead"]


async def _dead(it: Engine, count: int) -> list[int]:
    seqs = await it.queues.send_all("q", [Draft(n, group=str(n)) for n in range(count)])
    for message in await it.queues.lease("q", max=count):
        assert await it.queues.reject(message.lease, "no") == "dead"
    return seqs


@pytest.mark.parametrize("first", ["redrive", "discard"])
@pytest.mark.parametrize("second", ["redrive", "discard"])
@pytest.mark.parametrize("through", ["queues", "letters"])
def test_of_two_who_want_the_same_dead_letter_at_once_one_gets_it(first: str, second: str, through: str) -> None:
    @live
    async def check() -> None:
        async with engine(Queue("q", max_retries=0)) as it:
            (seq,) = await _dead(it, 1)
            desk: Any = getattr(it, through)
            wanted = [seq] if through == "queues" else [str(seq)]
            await it.queues.send("q", "so that there is something to wait for")
            found = await asyncio.gather(
                *[getattr(desk, verb)(wanted) for verb in (first, second)], return_exceptions=True
            )
            assert [isinstance(one, InvalidInput) for one in found] == [False, True]
            told = counts(await same_on_disk(it))
            assert told == ((2, 0, 0, 0) if first == "redrive" else (1, 0, 0, 0))
            assert len(records(it, "redriven", "discarded")) == 1
            # those that fit a wish are only those that nobody else has taken
            assert await it.queues.redrive("q") == []

    check()


@live
async def test_two_wishes_for_all_at_once_share_them_out() -> None:
    async with engine(Queue("q", max_retries=0)) as it:
        seqs = await _dead(it, 20)
        found = await asyncio.gather(it.queues.redrive("q"), it.letters.redrive(every=True), it.queues.discard("q"))
        assert sorted([*found[0], *map(int, found[1]), *found[2]]) == seqs
        assert counts(await same_on_disk(it)) == (20, 0, 0, 0)


@live
async def test_a_position_beyond_all_numbers_is_no_message() -> None:
    async with engine(Queue("q")) as it:
        for wrong in (2**63, 2**80, 0, -1):
            with pytest.raises(InvalidInput):
                await it.queues.redrive([wrong])
        for id in ("9" * 25, "9" * 5_000, "²", "-1"):
            with pytest.raises(InvalidInput):
                await it.letters.redrive([id])


@live
async def test_letters_of_many_chunks_show_their_own_bodies() -> None:
    async with engine(Queue("q", max_retries=0)) as it:
        for first in (0, 10, 20):
            await it.queues.send_all("q", [Draft(first + n, group=str(first + n)) for n in range(10)])
        for message in await it.queues.lease("q", max=30):
            await it.queues.reject(message.lease, "even" if message.body % 2 == 0 else "odd")
        assert sorted(letter.body for letter in await it.queues.letters()) == list(range(30))
        chosen = await it.letters.redrive(code="odd")
        assert len(chosen) == 15
        assert sorted(letter.body for letter in await it.queues.letters()) == list(range(0, 30, 2))
