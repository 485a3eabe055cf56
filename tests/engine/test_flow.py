"""Flow control: who may begin, when, and what becomes of the rest."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.engine.support import count, crash, live, park, records
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Event
from tickwork.core.flow import Batch, Concurrency, Debounce, Idempotency, RateLimit, Throttle
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, Refused, RunCancelled, Stale
from tickwork.values import from_ns

SECOND = 1_000_000_000


class Order(Event, name="flow/order"):
    """What starts runs here."""

    symbol: str = "BTC"
    n: int = 0
    urgency: int = 0


class News(Event, name="flow/news"):
    """Something that became known some seconds after the start."""

    at_s: int

    @property
    def happened_at(self) -> Any:
        return from_ns(VirtualClock().now()) + timedelta(seconds=self.at_s)


class Log:
    """What runs did, and when (seconds since the start)."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int, float]] = []
        self.ended: list[tuple[str, int, float]] = []
        self.start = VirtualClock().now()

    def begin(self, symbol: str, n: int, now: int) -> None:
        self.began.append((symbol, n, (now - self.start) / SECOND))

    def end(self, symbol: str, n: int, now: int) -> None:
        self.ended.append((symbol, n, (now - self.start) / SECOND))

    @property
    def order(self) -> list[int]:
        return [n for _, n, _ in self.began]


def working(log: Log, seconds: int = 1, **options: Any) -> Workflow:
    """A workflow that takes some seconds for each order."""

    @workflow("work", on=Order, **options)
    async def work(run: Run, order: Order) -> int:
        log.begin(order.symbol, order.n, _ns(run))
        await run.sleep(f"{seconds} s")
        log.end(order.symbol, order.n, _ns(run))
        return order.n

    return work


def _ns(run: Run) -> int:
    return run._drive.now


def by_symbol(order: Order) -> str:
    return order.symbol


async def emit(engine: Engine, *orders: tuple[str, int]) -> None:
    for symbol, n in orders:
        await engine.emit(Order(symbol=symbol, n=n))


@live
async def test_runs_of_one_key_take_turns_and_others_do_not_wait() -> None:
    log = Log()
    async with Engine("memory:", workflows=[working(log, key=by_symbol)]) as engine:
        await emit(engine, ("BTC", 1), ("BTC", 2), ("ETH", 3), ("BTC", 4))
        assert [info.status for info in await engine.runs()] == ["queued", "waiting", "queued", "waiting"]
        await engine.settled()
        assert log.began == [("BTC", 1, 0), ("ETH", 3, 0), ("BTC", 2, 1), ("BTC", 4, 2)]
        assert count(engine, "flow") == 0
        assert {info.status for info in await engine.runs()} == {"done"}


@live
async def test_what_waits_survives_a_crash_in_its_order() -> None:
    log = Log()
    flow = working(log, key=by_symbol)
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    await emit(engine, *(("BTC", n) for n in range(5)))
    memory = crash(engine)
    async with Engine(memory, workflows=[flow]) as again:
        assert [s.waiting for s in again.flow.status()] == [4]
        await again.settled()
    assert [n for _, n, _ in log.ended] == [0, 1, 2, 3, 4]
    assert [at for _, _, at in log.ended] == [1, 2, 3, 4, 5]


@live
async def test_concurrency_in_all_and_per_key() -> None:
    log = Log()
    flow = working(log, key=by_symbol, concurrency=Concurrency(total=3, per_key=2))
    async with Engine("memory:", workflows=[flow]) as engine:
        await emit(engine, *(("BTC", n) for n in range(4)), *(("ETH", n) for n in range(10, 13)))
        await engine.settled()
    assert [(n, at) for _, n, at in log.began] == [(0, 0), (1, 0), (10, 0), (2, 1), (3, 1), (11, 1), (12, 2)]


@live
async def test_of_those_that_wait_the_most_urgent_goes_first_but_never_past_its_own_key() -> None:
    log = Log()
    flow = working(log, key=by_symbol, concurrency=Concurrency(total=1, per_key=1), priority=lambda o: o.urgency)
    async with Engine("memory:", workflows=[flow]) as engine:
        for symbol, n, urgency in (("A", 1, 0), ("B", 2, 0), ("C", 3, 5), ("B", 4, 9), ("C", 5, 0)):
            await engine.emit(Order(symbol=symbol, n=n, urgency=urgency))
        await engine.settled()
    assert log.order == [1, 3, 2, 4, 5]


@live
async def test_a_throttle_lets_so_many_begin_in_any_period() -> None:
    log = Log()
    flow = working(log, seconds=0, throttle=Throttle(2, "10 s"))
    async with Engine("memory:", workflows=[flow]) as engine:
        await emit(engine, *(("BTC", n) for n in range(5)))
        await engine.settled()
    assert [(n, at) for _, n, at in log.began] == [(0, 0), (1, 0), (2, 10), (3, 10), (4, 20)]


@live
async def test_a_throttle_of_each_key_and_a_crash_between() -> None:
    log = Log()
    flow = working(log, seconds=0, key=by_symbol, throttle=Throttle(1, "10 s", per_key=True))
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    await emit(engine, ("BTC", 1), ("BTC", 2), ("ETH", 3))
    await engine.idle()
    memory = crash(engine)
    async with Engine(memory, workflows=[flow]) as again:
        await again.settled()
    assert log.began == [("BTC", 1, 0), ("ETH", 3, 0), ("BTC", 2, 10)]


@live
async def test_a_rate_limit_declines_what_is_too_much_with_a_record() -> None:
    log = Log()
    flow = working(log, rate_limit=RateLimit(2, "1 minute"))
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    await emit(engine, ("BTC", 1), ("BTC", 2), ("BTC", 3))
    with pytest.raises(Refused, match="rate_limit"):
        await engine.start(flow, Order(n=4))
    await engine.settled()
    memory, clock = crash(engine), engine.clock
    async with Engine(memory, workflows=[flow], clock=clock) as again:
        await emit(again, ("BTC", 5))  # it still remembers
        clock.jump(clock.now() + 60 * SECOND)
        await emit(again, ("BTC", 6))
        await again.settled()
        (first, second) = records(again, "declined")
        assert (first.record.name, bytes(first.record.value)) == ("work", b'{"why":"rate_limit"}')
        assert b'"n":3' in bytes(again._reader.record(first.record.ref).record.value)  # type: ignore[union-attr]
        assert b'"n":5' in bytes(again._reader.record(second.record.ref).record.value)  # type: ignore[union-attr]
    assert log.order == [1, 2, 6]


@live
async def test_a_rate_limit_refuses_a_child_in_the_parents_body() -> None:
    log = Log()
    flow = working(log, rate_limit=RateLimit(1, "1 minute"))

    @workflow("parent")
    async def parent(run: Run) -> list[str]:
        await run.start(flow, Order(n=1))
        try:
            await run.call(flow, Order(n=2))
        except Refused as refused:
            return [refused.rule]
        return []

    async with Engine("memory:", workflows=[flow, parent]) as engine:
        assert await (await engine.start(parent)).result() == ["rate_limit"]


@live
async def test_debounce_takes_the_last_once_it_is_quiet() -> None:
    log = Log()
    flow = working(log, seconds=0, key=by_symbol, debounce=Debounce("5 s", at_most="12 s"))
    async with Engine("memory:", workflows=[flow]) as engine:
        for n in range(3):
            await emit(engine, ("BTC", n))
            engine.clock.jump(engine.clock.now() + 2 * SECOND)
        await emit(engine, ("ETH", 100))
        await engine.settled()
        assert count(engine, "gathers") == 0
    assert log.began == [("BTC", 2, 9), ("ETH", 100, 11)]


@live
async def test_debounce_does_not_wait_for_ever() -> None:
    log = Log()
    flow = working(log, seconds=0, debounce=Debounce("5 s", at_most="12 s"))

    @workflow("source")
    async def source(run: Run) -> None:
        for n in range(10):
            await run.emit(Order(n=n))
            await run.sleep("3 s")

    async with Engine("memory:", workflows=[flow, source]) as engine:
        await engine.start(source)
        await engine.settled()
    assert log.began == [("BTC", 3, 12), ("BTC", 7, 24), ("BTC", 9, 32)]


@live
async def test_a_batch_is_one_run_with_all_its_events_and_survives_a_crash() -> None:
    got: list[tuple[float, list[int]]] = []
    start = VirtualClock().now()

    @workflow("batch", on=Order, batch=Batch(3, "10 s"))
    async def batch(run: Run, orders: list[Order]) -> int:
        got.append(((_ns(run) - start) / SECOND, [order.n for order in orders]))
        return len(orders)

    engine = Engine("memory:", workflows=[batch])
    await engine.open()
    await emit(engine, *(("BTC", n) for n in range(5)))
    await engine.idle()
    memory = crash(engine)
    async with Engine(memory, workflows=[batch]) as again:
        await again.settled()
        assert [info.status for info in await again.runs()] == ["done", "done"]
        assert await again.handle((await again.runs())[0].id).result() == 2
    assert got == [(0, [0, 1, 2]), (10, [3, 4])]


@live
async def test_a_singleton_skips_or_takes_the_place() -> None:
    log = Log()
    skip = working(log, singleton="skip", key=by_symbol)
    async with Engine("memory:", workflows=[skip]) as engine:
        first = await engine.start(skip, Order(n=1))
        again = await engine.start(skip, Order(n=2))
        assert again.id == first.id
        assert await again.result() == 1
        await emit(engine, ("BTC", 3), ("BTC", 4))
        await engine.settled()
        assert [bytes(entry.record.value)[:17] for entry in records(engine, "declined")] == [b'{"why":"singleton']
    assert log.order == [1, 3]
    log = Log()
    cancel = working(log, singleton="cancel", key=by_symbol)
    async with Engine("memory:", workflows=[cancel]) as engine:
        first = await engine.start(cancel, Order(n=1))
        await engine.idle()
        second = await engine.start(cancel, Order(n=2))
        assert await second.result() == 2
        with pytest.raises(RunCancelled):
            await first.result()
    assert [n for _, n, _ in log.ended] == [2]


@live
async def test_an_idempotency_key_counts_for_its_window_also_after_a_crash() -> None:
    log = Log()
    flow = working(log, idempotency=Idempotency(lambda order: f"{order.symbol}-{order.n}", "1 hour"))
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    first = await engine.start(flow, Order(n=1))
    assert (await engine.start(flow, Order(n=1))).id == first.id
    await emit(engine, ("BTC", 1), ("BTC", 2))
    await engine.settled()
    memory, clock = crash(engine), engine.clock
    async with Engine(memory, workflows=[flow], clock=clock) as again:
        assert (await again.start(flow, Order(n=1))).id == first.id
        clock.jump(clock.now() + 3_600 * SECOND)
        assert (await again.start(flow, Order(n=1))).id != first.id
        await again.settled()
        assert count(again, "once") <= 2
    assert sorted(log.order) == [1, 1, 2]


@live
async def test_a_retrying_run_blocks_its_own_key_and_a_dead_one_does_not() -> None:
    log = Log()

    @workflow("work", on=Order, key=by_symbol, retry=Retry(limit=2, delay="10 s", backoff="fixed"))
    async def work(run: Run, order: Order) -> None:
        log.begin(order.symbol, order.n, _ns(run))
        if order.n == 1 and run.attempt < 4:
            raise ConnectionError("no")

    async with Engine("memory:", workflows=[work]) as engine:
        await emit(engine, ("BTC", 1), ("BTC", 2), ("ETH", 3), ("BTC", 4))
        await engine.settled()
        assert log.began == [
            ("BTC", 1, 0), ("ETH", 3, 0), ("BTC", 1, 10), ("BTC", 1, 20), ("BTC", 2, 20), ("BTC", 4, 20)
        ]  # fmt: skip
        (letter,) = await engine.dead_letters()
        assert (letter.source, letter.code, letter.attempts) == ("work", "connection_error", 3)


@live
async def test_a_redriven_run_joins_at_the_tail() -> None:
    log = Log()

    @workflow("work", on=Order, key=by_symbol)
    async def work(run: Run, order: Order) -> None:
        log.begin(order.symbol, order.n, _ns(run))
        if order.n == 1 and run.attempt == 1:
            raise ConnectionError("no")
        await run.sleep("1 s")

    async with Engine("memory:", workflows=[work]) as engine:
        await emit(engine, ("BTC", 1), ("BTC", 2), ("BTC", 3))
        (letter,) = await engine.dead_letters()
        assert await engine.letters.redrive([letter.id]) == [letter.id]
        await engine.settled()
        assert await engine.dead_letters() == []
        assert log.order == [1, 2, 3, 1]


@live
async def test_cancelling_a_run_that_waits() -> None:
    log = Log()
    flow = working(log, key=by_symbol)
    async with Engine("memory:", workflows=[flow]) as engine:
        await engine.start(flow, Order(n=1), id="one")
        two = await engine.start(flow, Order(n=2), id="two")
        await engine.start(flow, Order(n=3), id="three")
        await engine.idle()
        with pytest.raises(InvalidInput, match="which is queued"):
            await engine.pause("two")
        await engine.cancel("two")
        with pytest.raises(RunCancelled):
            await two.result()
        await engine.settled()
        assert log.order == [1, 3]
        assert count(engine, "flow") == 0


@live
async def test_a_run_that_continues_keeps_its_turn() -> None:
    seen: list[int] = []

    @workflow("loop", key=lambda n: "one")
    async def loop(run: Run, n: int) -> None:
        seen.append(n)
        await run.sleep("1 s")
        if n in (1, 2):
            await run.again(n + 1)

    async with Engine("memory:", workflows=[loop]) as engine:
        await engine.start(loop, 1)
        await engine.start(loop, 10)
        await engine.settled()
        assert count(engine, "flow") == 0
    assert seen == [1, 2, 3, 10]


@live
async def test_a_child_does_not_wait_for_the_turn_of_the_parent_that_awaits_it() -> None:
    @workflow("deep", key=lambda n: "one")
    async def deep(run: Run, n: int) -> int:
        return n + (await run.call(deep, n - 1) if n else 0)

    async with Engine("memory:", workflows=[deep]) as engine:
        assert await (await engine.start(deep, 4)).result(timeout="10 s") == 10


@live
async def test_a_parked_run_keeps_its_turn() -> None:
    log = Log()
    flow = working(log, seconds=100, key=by_symbol)
    async with Engine("memory:", workflows=[flow]) as engine:
        await emit(engine, ("BTC", 1), ("BTC", 2))
        await engine.idle()
        park(engine)
        assert log.order == [1]
        await engine.settled()
    assert [(n, at) for _, n, at in log.ended] == [(1, 100), (2, 200)]


@live
async def test_flow_control_that_is_declared_no_more_lets_go() -> None:
    log = Log()
    engine = Engine("memory:", workflows=[working(log, key=by_symbol)])
    await engine.open()
    await emit(engine, ("BTC", 1), ("BTC", 2), ("BTC", 3))
    await engine.idle()
    memory = crash(engine)
    async with Engine(memory, workflows=[working(log)]) as again:
        await again.settled()
        assert count(again, "flow") == 0
    assert sorted(n for _, n, _ in log.ended) == [1, 2, 3]


@live
async def test_what_is_too_old_to_begin_is_dropped_with_a_record() -> None:
    log: list[int] = []

    @workflow("trade", on=News, valid_for="30 s")
    async def trade(run: Run, news: News) -> int:
        log.append(news.at_s)
        await run.sleep("1 hour")  # once it has begun it goes on
        return news.at_s

    engine = Engine("memory:", workflows=[trade])
    await engine.open()
    engine.clock.jump(engine.clock.now() + 100 * SECOND)
    await engine.emit(News(at_s=69))
    await engine.emit(News(at_s=70))
    old = await engine.start(trade, News(at_s=1))
    with pytest.raises(Stale, match="99s old and was valid for 30s"):
        await old.result()
    assert [info.status for info in await engine.runs()] == ["stale", "waiting", "stale"]
    memory = crash(engine)
    async with Engine(memory, workflows=[trade]) as again:
        await again.settled()
        assert [info.status for info in await again.runs()] == ["stale", "done", "stale"]
    assert set(log) == {70}


@live
async def test_after_an_outage_decisions_do_not_fire_in_a_burst() -> None:
    log = Log()
    flow = working(log, seconds=0, key=by_symbol, throttle=Throttle(1, "10 s"), valid_for="25 s")
    engine = Engine("memory:", workflows=[flow])
    await engine.open()
    for n in range(5):
        engine.post(Order(n=n))
    await engine.durable()
    clock = engine.clock
    memory = crash(engine)
    clock.jump(clock.now() + 3_600 * SECOND)
    async with Engine(memory, workflows=[flow], clock=clock) as again:
        await again.settled()
        statuses = [info.status for info in await again.runs()]
        assert statuses == ["stale"] * 4 + ["done"]
        assert count(again, "flow") == 0


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"concurrency": 0}, "concurrency.total"),
        ({"concurrency": Concurrency}, "concurrency"),
        ({"throttle": RateLimit(1, "1 s")}, "throttle"),
        ({"priority": "high"}, "priority"),
        ({"singleton": "maybe"}, "singleton"),
        ({"valid_for": 5}, "valid_for"),
        ({"debounce": "0 s"}, "debounce.quiet"),
        ({"batch": Batch(2, "1 s"), "debounce": "1 s"}, "debounce"),
        ({"batch": Batch(2, "1 s")}, "input"),
        ({"concurrency": Concurrency(per_key=2)}, "concurrency.per_key"),
        ({"rate_limit": RateLimit(1, "1 s", per_key=True)}, "rate_limit"),
        ({"rate_limit": RateLimit(1, "1 s"), "debounce": "1 s"}, "rate_limit"),
        ({"retry": 3}, "retry"),
        ({"key": "symbol"}, "key"),
        ({"policy": "alert"}, "policy"),
        ({"valid_for": "0s"}, "valid_for"),
    ],
)
def test_wrong_options_are_refused_where_they_are_declared(options: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        working(Log(), **options)
    assert caught.value.path == f"@workflow('work') {path}"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Concurrency(),
        lambda: Concurrency(total=-1),
        lambda: Concurrency(per_key=True),
        lambda: RateLimit(0, "1 s"),
        lambda: RateLimit(10**6, "1 s"),
        lambda: RateLimit(1, "0 s"),
        lambda: Throttle(1, "-1 s"),
        lambda: Debounce("5 s", at_most="1 s"),
        lambda: Batch(0, "1 s"),
        lambda: Batch(1, 5),  # type: ignore[arg-type]
        lambda: Idempotency("key"),  # type: ignore[arg-type]
        lambda: Idempotency(str, "0 s"),
    ],
)
def test_wrong_numbers_are_refused(make: Any) -> None:
    with pytest.raises(InvalidInput):
        make()


@live
async def test_what_a_throttle_lets_through_is_exact_by_the_times_on_the_tape() -> None:
    class Drifting(VirtualClock):
        """Every look takes a microsecond, as on a real machine."""

        def now(self) -> int:
            self._now += 1_000
            return self._now

    log = Log()
    flow = working(log, seconds=0, throttle=Throttle(5, "1 s"))
    async with Engine("memory:", workflows=[flow], clock=Drifting()) as engine:
        for n in range(30):
            engine.post(Order(n=n))
        await engine.settled()
        begun = sorted(
            entry.record.at for entry in records(engine, "started", "admitted") if entry.record.kind == "admitted"
        )
    assert len(begun) >= 25
    assert all(later - first >= SECOND for first, later in zip(begun, begun[5:], strict=False))


@live
async def test_an_idempotency_key_of_something_gathered_is_refused_then_stands_for_its_run() -> None:
    log = Log()
    flow = working(log, seconds=0, debounce="5 s", idempotency=lambda order: str(order.n))
    async with Engine("memory:", workflows=[flow]) as engine:
        await emit(engine, ("BTC", 1))
        with pytest.raises(Refused, match="is being gathered"):
            await engine.start(flow, Order(n=1))
        await engine.settled()
        assert await (await engine.start(flow, Order(n=1))).result() == 1
    assert log.order == [1]


@live
async def test_a_priority_from_outside_may_be_any_number() -> None:
    log = Log()
    flow = working(log, concurrency=1, priority=lambda order: order.urgency)
    async with Engine("memory:", workflows=[flow]) as engine:
        for n, urgency in ((1, 0), (2, -(10**30)), (3, 10**30), (4, 0)):
            await engine.emit(Order(n=n, urgency=urgency))
        await engine.settled()
    assert log.order == [1, 3, 4, 2]


@live
async def test_a_call_of_a_timer_that_fails_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    flow = working(log, seconds=5)

    def broken() -> None:
        raise KeyError("broken")

    async with Engine("memory:", workflows=[flow]) as engine:
        await emit(engine, ("BTC", 1))
        engine._timers.call(engine.clock.now() + SECOND, broken)
        await engine.settled()
    assert [n for _, n, _ in log.ended] == [1]
    assert "the other timers go on" in caplog.text


@live
async def test_a_length_of_time_that_no_column_holds_is_refused_where_it_is_said() -> None:
    log = Log()
    flow = working(log)
    async with Engine("memory:", workflows=[flow]) as engine:
        with pytest.raises(InvalidInput, match="at most 100 years"):
            await engine.emit(Order(n=1), delay="100000 days")
        await engine.emit(Order(n=2))
        await engine.settled()
    assert log.order == [2]
