"""Schedules on the embedded engine: what starts when, what is skipped and said so, over crashes and outages."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from tests.engine.support import count, live, park
from tests.laws.probe import Probe, records_of
from tickwork.core.clock import VirtualClock
from tickwork.core.event import Alert, Event
from tickwork.core.flow import Batch, RateLimit
from tickwork.core.run import Run
from tickwork.core.schedule import Schedule, ScheduleFired
from tickwork.core.trigger import When
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded.schedules import QUEUE_MAX
from tickwork.engines.embedded.timers import Recurring
from tickwork.errors import InvalidInput, RunCancelled
from tickwork.market.sessions import MarketClose
from tickwork.values import from_ns, timestamp_ns

MIDNIGHT = datetime(2020, 1, 1, tzinfo=UTC)
"""Where a virtual clock begins."""
SECOND, HOUR = 1_000_000_000, 3_600_000_000_000


def at(text: str) -> datetime:
    """A time of the first day."""
    hour, minute = text.split(":")
    return MIDNIGHT + timedelta(hours=int(hour), minutes=int(minute))


class World:
    """One tape and one clock, over several lives of an engine."""

    def __init__(self, *workflows: Workflow) -> None:
        self.memory, self.clock = Memory(), VirtualClock()
        self.workflows: Sequence[Workflow] = workflows

    @asynccontextmanager
    async def life(self, *, crash: bool = False) -> AsyncIterator[Engine]:
        """An engine, until it is closed or dies."""
        engine = Engine(self.memory, workflows=self.workflows, clock=self.clock, seed=1)
        await engine.open()
        yield engine
        if crash:
            engine.kill()
        else:
            await engine.close()

    def pass_time(self, until: str) -> None:
        """With nobody there."""
        self.clock.jump(timestamp_ns(at(until)))

    def fired(self, name: str | None = None) -> list[ScheduleFired]:
        """What was published, in order."""
        found = [
            ScheduleFired.from_wire(bytes(entry.record.value))
            for _, entry in records_of(self.memory)
            if (entry.record.kind, entry.record.name) == ("event", ScheduleFired.event_name)
        ]
        return [one for one in found if name in (None, one.schedule)]

    def times(self, name: str | None = None) -> list[str]:
        """When what fired was due; with when that was and what it stands for, where that says something."""
        told = []
        for one in self.fired(name):
            late = "" if one.fired_at - one.due < timedelta(minutes=1) else f" at {one.fired_at:%H:%M}"
            told.append(f"{one.due:%H:%M}{late}{f' for {one.missed} more' if one.missed else ''}")
        return told

    def skipped(self) -> list[str]:
        """What was skipped, and why."""
        told = []
        for _, entry in records_of(self.memory):
            if entry.record.kind == "skipped":
                value = msgspec.json.decode(entry.record.value)
                until = f"-{from_ns(value['until']):%H:%M} ({value['number']})" if "until" in value else ""
                told.append(f"{from_ns(entry.record.due):%H:%M}{until} {value['why']}")
        return told

    def changes(self, *what: str) -> list[str]:
        """What was recorded of the schedules themselves."""
        return [
            f"{entry.record.name} {entry.record.key}"
            for _, entry in records_of(self.memory)
            if entry.record.kind == "schedule" and (not what or entry.record.key in what)
        ]


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    logging.getLogger("tickwork.engine").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tickwork.engine").setLevel(logging.NOTSET)


def lasting(minutes: int, times: Any = "*/10 * * * *", **options: Any) -> Workflow:
    """A scheduled workflow whose runs last so long."""

    @workflow("work", on=Schedule(times, **options))
    async def work(run: Run, fired: ScheduleFired) -> str:
        if minutes:
            await run.sleep(f"{minutes} min")
        return f"{fired.due:%H:%M}"

    return work


async def info(engine: Engine, name: str = "work") -> Any:
    return next(one for one in await engine.schedules.list() if one.name == name)


# ------------------------------------------------------------------------------------------------------------ starts


@live
async def test_a_run_for_each_due_time() -> None:
    world = World(lasting(0, "0 9 * * *", zone="America/New_York"))
    async with world.life() as engine:
        await engine.until(MIDNIGHT + timedelta(days=3))
        assert [f"{one.due}" for one in world.fired()] == [f"2020-01-0{day} 14:00:00+00:00" for day in (1, 2, 3)]
        runs = await engine.runs()
        assert [(one.workflow, one.status) for one in runs] == [("work", "done")] * 3
        detail = await engine.show(runs[0].id)
        (caused_by,) = [e for _, e in records_of(world.memory) if e.seq == detail.records[0]["ref"]]
        assert caused_by.record.name == ScheduleFired.event_name
        assert detail.input["schedule"] == "work"
        now = await info(engine)
        assert now.next_due == datetime(2020, 1, 4, 14, tzinfo=UTC)
        assert (now.last_due, now.last_run) == (datetime(2020, 1, 3, 14, tzinfo=UTC), runs[0].id)
        assert (now.spec, now.zone, now.missed, now.overlap, now.grace) == (
            "0 9 * * *", "America/New_York", "skip", "skip", "1m",
        )  # fmt: skip


class Order(Event, name="schedules/order"):
    """What a run may be about."""

    symbol: str


@live
async def test_names_and_inputs() -> None:
    seen: list[Any] = []

    @workflow("first", on=[Schedule("0 1 * * *", input={"n": 1}), Schedule("0 2 * * *", input={"n": 2}),
                           Schedule("0 3 * * *", name="third", input={"n": 3})])  # fmt: skip
    async def first(run: Run, given: dict[str, int]) -> None:
        seen.append(given)

    @workflow("second", on=[Order, Schedule("0 4 * * *", input=Order(symbol="BTC/USDT"))])
    async def second(run: Run, order: Order) -> None:
        seen.append(order)

    @workflow("none", on=Schedule("0 5 * * *"))
    async def none(run: Run) -> None:
        seen.append("nothing")

    world = World(first, second, none)
    async with world.life() as engine:
        await engine.until(at("6:00"))
        assert [one.name for one in await engine.schedules.list()] == ["first", "first/2", "none", "second", "third"]
        assert seen == [{"n": 1}, {"n": 2}, {"n": 3}, Order(symbol="BTC/USDT"), "nothing"]
        await engine.emit(Order(symbol="ETH/USDT"))
        assert seen[-1] == Order(symbol="ETH/USDT")
    async with world.life():  # an input of an event is read back as that event
        assert len(world.fired()) == 5


@live
async def test_what_fired_is_an_event_like_any_other() -> None:
    told: list[str] = []

    @workflow("listens", on=When(ScheduleFired, {"schedule": "work"}))
    async def listens(run: Run, fired: ScheduleFired) -> None:
        told.append(fired.schedule)

    @workflow("waits")
    async def waits(run: Run) -> str:
        fired = await run.wait_for(ScheduleFired, where={"schedule": "work"})
        assert fired is not None
        return f"{fired.due:%H:%M}"

    @workflow("any", on=ScheduleFired)
    async def any_(run: Run, fired: ScheduleFired) -> None:
        told.append("any")

    world = World(lasting(0), waits, any_, listens)
    async with world.life() as engine:
        handle = await engine.start(waits)
        assert await handle.result() == "00:10"
        await engine.idle()
        assert sorted(told) == ["any", "work"]
        assert count(engine, "runs") == 4


@live
async def test_a_run_of_the_newest_version_only() -> None:
    def version(number: int) -> Workflow:
        @workflow("work", version=number, on=Schedule("*/10 * * * *"))
        async def work(run: Run) -> None: ...

        return work

    world = World(version(2), version(1))
    async with world.life() as engine:
        await engine.until(at("0:15"))
        assert [run.version for run in await engine.runs()] == [2]


@live
async def test_many_at_one_instant_in_order_of_their_names() -> None:
    def made(number: int) -> Workflow:
        @workflow(f"w{number:03}", on=Schedule("0 1 * * *"))
        async def work(run: Run) -> None: ...

        return work

    world = World(*(made(number) for number in reversed(range(250))))
    async with world.life() as engine:
        await engine.until(at("1:00"))
        assert [one.schedule for one in world.fired()] == [f"w{number:03}" for number in range(250)]
        assert engine.queries.counts() == {"done": 250}


@live
async def test_before_the_close_of_the_market() -> None:
    world = World(lasting(0, MarketClose("NYSE", minus="30 minutes")))
    world.clock.jump(timestamp_ns(datetime(2026, 11, 25, tzinfo=UTC)))
    async with world.life() as engine:
        await engine.until(datetime(2026, 12, 1, tzinfo=UTC))
        assert [f"{one.due:%d %H:%M}" for one in world.fired()] == ["25 20:30", "27 17:30", "30 20:30"]


# ---------------------------------------------------------------------------------------------- missed and overlapping

POLICIES: dict[tuple[str, str], tuple[list[str], list[str]]] = {
    # what fired after the outage, and what was skipped in the whole time
    ("skip", "skip"): (["01:30"], ["00:20-01:00 (5) missed", "01:10 overlap", "01:20 overlap"]),
    ("skip", "queue"): (["01:10 at 01:25"], ["00:20-01:00 (5) missed"]),
    ("skip", "allow"): (["01:10", "01:20", "01:30"], ["00:20-01:00 (5) missed"]),
    ("once", "skip"): (["01:30"], ["01:00 overlap", "01:10 overlap", "01:20 overlap"]),
    ("once", "queue"): (["01:00 at 01:25 for 4 more"], []),
    ("once", "allow"): (["01:00 at 01:05 for 4 more", "01:10", "01:20", "01:30"], []),
    ("all", "skip"): (
        ["01:30"],
        [f"{due} overlap" for due in ("00:20", "00:30", "00:40", "00:50", "01:00", "01:10", "01:20")],
    ),
    ("all", "queue"): (["00:20 at 01:25"], []),
    ("all", "allow"): (
        [f"{due} at 01:05" for due in ("00:20", "00:30", "00:40", "00:50", "01:00")] + ["01:10", "01:20", "01:30"],
        [],
    ),
}


@pytest.mark.parametrize(
    ("missed", "overlap"), list(itertools.product(("skip", "once", "all"), ("skip", "queue", "allow")))
)
@pytest.mark.parametrize("crash", [False, True])
def test_every_policy_after_an_outage(missed: str, overlap: str, crash: bool) -> None:
    """Every ten minutes, a run of 75 minutes; nobody is there from 0:12 to 1:05."""

    @live
    async def scenario() -> None:
        world = World(lasting(75, missed=missed, overlap=overlap))
        async with world.life(crash=crash) as engine:
            await engine.until(at("0:12"))
        world.pass_time("1:05")
        async with world.life() as engine:
            await engine.until(at("1:35"))
        fired, skipped = POLICIES[missed, overlap]
        assert world.times() == ["00:10", *fired]
        assert world.skipped() == skipped

    scenario()


@live
async def test_late_is_not_missed() -> None:
    world = World(lasting(0, grace="25 min", overlap="queue"))
    async with world.life(crash=True) as engine:
        await engine.until(at("0:12"))
    world.pass_time("0:45")
    async with world.life() as engine:
        await engine.until(at("0:51"))
    assert world.times() == ["00:10", "00:20 at 00:45", "00:30 at 00:45", "00:40 at 00:45", "00:50"]
    assert world.skipped() == []


@live
async def test_a_year_of_minutes() -> None:
    world = World(lasting(0, "* * * * *", missed="all", overlap="allow"))
    async with world.life(crash=True) as engine:
        await engine.until(at("0:01"))
    world.clock.jump(timestamp_ns(datetime(2021, 1, 1, tzinfo=UTC)))
    async with world.life() as engine:
        await engine.until(datetime(2021, 1, 1, 0, 2, tzinfo=UTC))
        assert (await info(engine)).next_due == datetime(2021, 1, 1, 0, 3, tzinfo=UTC)
    fired = world.fired()
    assert len(fired) == 1 + 100 + 2
    assert [one.due - other.due for other, one in itertools.pairwise(fired[1:])] == [timedelta(minutes=1)] * 101
    assert world.skipped() == ["00:02-22:20 (None) missed"]


@live
async def test_a_full_queue() -> None:
    world = World(lasting(600, "* * * * *", overlap="queue"))
    async with world.life() as engine:
        await engine.until(at("1:45"))
        assert (await info(engine)).queued == QUEUE_MAX == 100
    assert world.skipped() == [f"01:{minute} queue is full" for minute in range(42, 46)]


# --------------------------------------------------------------------------------------- following the run it started


@live
async def test_what_was_queued_outlives_a_crash_and_starts_with_the_end() -> None:
    world = World(lasting(15, overlap="queue"))
    async with world.life(crash=True) as engine:
        await engine.until(at("0:21"))
        assert (await info(engine)).queued == 1
        park(engine)
    async with world.life(crash=True) as engine:
        await engine.until(at("0:24"))
    async with world.life() as engine:
        await engine.until(at("0:26"))
        now = await info(engine)
        assert (now.queued, len(now.running)) == (0, 1)
    assert world.times() == ["00:10", "00:20 at 00:25"]


@live
async def test_a_run_that_continues_is_still_the_same_work() -> None:
    @workflow("work", on=Schedule("*/10 * * * *"))
    async def work(run: Run, fired: ScheduleFired) -> None:
        await run.sleep("8 min")
        if not run.id.endswith("+2"):
            await run.again(fired)

    world = World(work)
    async with world.life(crash=True) as engine:
        await engine.until(at("0:19"))
        assert [id.partition("+")[2] for id in (await info(engine)).running] == ["1"]
    async with world.life() as engine:
        await engine.until(at("0:41"))
    assert world.times() == ["00:10", "00:40"]
    assert world.skipped() == ["00:20 overlap", "00:30 overlap"]


@live
async def test_cancelled_and_dead_runs_have_ended() -> None:
    @workflow("work", on=Schedule("*/10 * * * *"))
    async def work(run: Run, fired: ScheduleFired) -> None:
        await run.sleep("35 min" if fired.due.minute == 10 else "2 min")
        if fired.due.minute == 20:
            raise ValueError("no")

    world = World(work)
    async with world.life() as engine:
        await engine.until(at("0:11"))
        await engine.cancel((await info(engine)).running[0])
        await engine.until(at("0:31"))
    assert world.times() == ["00:10", "00:20", "00:30"]


@live
async def test_a_run_that_is_too_old_to_begin_has_ended() -> None:
    @workflow("work", on=Schedule("*/10 * * * *", overlap="queue"), valid_for="4 min")
    async def work(run: Run, fired: ScheduleFired) -> None:
        await run.sleep("23 min")

    world = World(work)
    async with world.life() as engine:
        await engine.until(at("0:45"))
        assert engine.queries.counts() == {"done": 1, "stale": 1, "waiting": 1}
    assert world.times() == ["00:10", "00:20 at 00:33", "00:30 at 00:33"]
    assert world.skipped() == []


@live
async def test_a_redriven_run_is_under_way_again() -> None:
    tries = itertools.count()

    @workflow("work", on=Schedule("*/10 * * * *"))
    async def work(run: Run, fired: ScheduleFired) -> None:
        if next(tries) == 0:
            raise ValueError("no")
        await run.sleep("13 min")

    world = World(work)
    async with world.life() as engine:
        await engine.until(at("0:15"))
        await engine.redrive((await engine.runs())[0].id)
        await engine.until(at("0:31"))
    assert world.times() == ["00:10", "00:30"]
    assert world.skipped() == ["00:20 overlap"]


# ------------------------------------------------------------------------------------------------------ what people do


@live
async def test_pause_and_resume() -> None:
    world = World(lasting(0))
    async with world.life(crash=True) as engine:
        await engine.until(at("0:11"))
        paused = await engine.schedules.pause("work", by="ada")
        assert (paused.paused, paused.next_due) == (True, None)
        assert await engine.schedules.pause("work") == paused
        await engine.until(at("0:25"))
    async with world.life(crash=True) as engine:
        await engine.until(at("0:41"))
        resumed = await engine.schedules.resume("work")
        assert (resumed.paused, resumed.next_due) == (False, at("0:50"))
        await engine.schedules.resume("work")
    async with world.life() as engine:
        await engine.until(at("1:05"))
    assert world.times() == ["00:10", "00:50", "01:00"]
    assert world.skipped() == ["00:20-00:40 (3) paused"]
    assert world.changes("paused", "resumed") == ["work paused", "work resumed"]


@live
async def test_resumed_before_anything_was_due() -> None:
    world = World(lasting(0))
    async with world.life() as engine:
        await engine.schedules.pause("work")
        await engine.until(at("0:05"))
        await engine.schedules.resume("work")
        await engine.until(at("0:15"))
    assert (world.times(), world.skipped()) == (["00:10"], [])


@live
async def test_one_alarm_is_enough() -> None:
    @workflow("often", on=Schedule("*/10 * * * *"))
    async def often(run: Run) -> None: ...

    @workflow("seldom", on=Schedule("0 * * * *"))
    async def seldom(run: Run) -> None: ...

    world = World(often, seldom)
    async with world.life() as engine:
        for _ in range(30):  # an alarm for the rare one is set, then an earlier one
            await engine.schedules.pause("often")
            await engine.until(from_ns(engine.clock.now()) + timedelta(minutes=15))
            await engine.schedules.resume("often")
            await engine.until(from_ns(engine.clock.now()) + timedelta(minutes=12))
        alarms = [what for _, _, what in engine._timers._heap if isinstance(what, Recurring)]
        assert len(alarms) < 5


@live
async def test_what_waits_in_the_queue_waits_for_the_resumption_too() -> None:
    world = World(lasting(15, overlap="queue"))
    async with world.life() as engine:
        await engine.until(at("0:21"))
        await engine.schedules.pause("work")
        await engine.until(at("0:45"))
        assert (world.times(), (await info(engine)).queued) == (["00:10"], 1)
        await engine.schedules.resume("work")
        assert world.times() == ["00:10", "00:20 at 00:45"]


@live
async def test_skip_next() -> None:
    world = World(lasting(0))
    async with world.life(crash=True) as engine:
        assert (await engine.schedules.skip_next("work")).skip_next
        await engine.schedules.skip_next("work")
    async with world.life() as engine:
        await engine.until(at("0:25"))
        assert not (await info(engine)).skip_next
    assert (world.times(), world.skipped()) == (["00:20"], ["00:10 skip-next"])
    assert world.changes("skip-next") == ["work skip-next"]


@live
async def test_run_now() -> None:
    world = World(lasting(15))
    async with world.life(crash=True) as engine:
        await engine.until(at("0:03"))
        id = await engine.schedules.run_now("work")
        with pytest.raises(InvalidInput, match=f"work, whose run {id} has not ended"):
            await engine.schedules.run_now("work")
    async with world.life() as engine:
        assert (await info(engine)).running == (id,)
        await engine.until(at("0:19"))
        await engine.schedules.pause("work")
        other = await engine.schedules.run_now("work")
        assert [run.id for run in await engine.runs()] == [other, id]
    assert (world.times(), world.skipped()) == (["00:03", "00:19"], ["00:10 overlap"])


@live
async def test_run_now_waits_in_the_queue() -> None:
    world = World(lasting(15, overlap="queue"))
    async with world.life() as engine:
        await engine.schedules.run_now("work")
        assert await engine.schedules.run_now("work") is None
        await engine.until(at("0:16"))
    assert world.times() == ["00:00", "00:00 at 00:15"]


@live
async def test_next_times() -> None:
    world = World(lasting(0))
    async with world.life() as engine:
        assert await engine.schedules.next("work", 3) == [at("0:10"), at("0:20"), at("0:30")]
        await engine.schedules.pause("work")
        await engine.until(at("0:31"))
        assert await engine.schedules.next("work", 1) == [at("0:40")]
        for wrong in (0, 1_001, True):
            with pytest.raises(InvalidInput, match="count"):
                await engine.schedules.next("work", wrong)


@live
async def test_a_name_that_is_not_there() -> None:
    world = World(lasting(0))
    async with world.life() as engine:
        for verb in (engine.schedules.run_now, engine.schedules.skip_next, engine.schedules.pause,
                     engine.schedules.resume, engine.schedules.next):  # fmt: skip
            with pytest.raises(InvalidInput, match="the name of a schedule: work"):
                await verb("wrok")


# ------------------------------------------------------------------------------------------------------------ opening


class Every:
    """Every so many seconds; counts how often it was asked."""

    asked = 0

    def __init__(self, seconds: int, last: str = "", mood: Exception | None = None) -> None:
        self.step, self.last, self.mood = seconds * SECOND, timestamp_ns(at(last)) if last else 0, mood

    def next(self, after_ns: int) -> int | None:
        """The next multiple."""
        Every.asked += 1
        found = (after_ns // self.step + 1) * self.step
        if self.last and found > self.last:
            if self.mood is not None:
                raise self.mood
            return None
        return found

    def __str__(self) -> str:
        return f"every {self.step // SECOND} s"


@live
async def test_opening_again_asks_for_no_times() -> None:
    def made(number: int) -> Workflow:
        @workflow(f"w{number}", on=Schedule(Every(86_400)))
        async def work(run: Run) -> None: ...

        return work

    world = World(*(made(number) for number in range(1_000)))
    async with world.life():
        pass
    assert len(world.changes("declared")) == 1_000
    Every.asked = 0
    async with world.life() as engine:
        assert Every.asked == 0
        await engine.until(MIDNIGHT + timedelta(hours=30))
        assert Every.asked == 1_000
    assert len(world.fired()) == 1_000
    assert len(world.changes()) == 1_000


@live
async def test_changed_times_begin_anew() -> None:
    world = World(lasting(0, "*/10 * * * *"))
    async with world.life() as engine:
        await engine.until(at("0:11"))
    world.workflows = [lasting(0, "*/15 * * * *", missed="all")]
    world.pass_time("0:50")
    async with world.life() as engine:
        await engine.until(at("1:05"))
    assert (world.times(), world.skipped()) == (["00:10", "01:00"], [])
    assert world.changes() == ["work declared", "work changed"]


@live
async def test_changed_policies_keep_the_times() -> None:
    world = World(lasting(0))
    async with world.life() as engine:
        await engine.until(at("0:11"))
        await engine.schedules.skip_next("work")
    world.workflows = [lasting(0, missed="all", overlap="allow")]
    world.pass_time("0:50")
    async with world.life() as engine:
        await engine.until(at("0:51"))
    assert world.times() == ["00:10", "00:30 at 00:50", "00:40 at 00:50", "00:50"]
    assert world.skipped() == ["00:20 skip-next"]


@live
async def test_a_schedule_that_nobody_declares_is_kept_and_shown() -> None:
    work = lasting(15, overlap="queue")

    @workflow("other", on=Schedule("0 1 * * *"))
    async def other(run: Run) -> None: ...

    world = World(work, other)
    async with world.life() as engine:
        await engine.until(at("0:21"))
    world.workflows = [other]
    async with world.life() as engine:
        await engine.until(at("0:50"))
        found = await info(engine)
        assert (found.stranded, found.next_due, found.queued) == (True, None, 1)
        with pytest.raises(InvalidInput, match="work, which no workflow declares"):
            await engine.schedules.run_now("work")
    world.workflows = [work]
    async with world.life() as engine:
        await engine.until(at("0:51"))
        assert not (await info(engine)).stranded
        assert (await info(engine, "other")).stranded
    assert world.times() == ["00:10", "00:20 at 00:50"]
    assert world.skipped() == ["00:30-00:40 (2) missed"]


@live
async def test_times_that_end() -> None:
    world = World(lasting(0, Every(600, "0:20")))
    async with world.life() as engine:
        await engine.until(at("1:00"))
        found = await info(engine)
        assert (found.next_due, found.problem, found.last_due) == (None, None, at("0:20"))
        with pytest.raises(InvalidInput, match="never due again"):
            await engine.schedules.skip_next("work")
        assert await engine.schedules.next("work") == []


@live
async def test_times_that_nobody_knows_are_told_and_looked_for_again() -> None:
    alerts: list[str] = []

    @workflow("listen", on=Alert)
    async def listen(run: Run, alert: Alert) -> None:
        alerts.append(alert.what)

    ends = InvalidInput("sessions of X", "2020-01-01", "a day that the table covers")
    world = World(lasting(0, Every(600, "0:20", ends), missed="once"), listen)
    async with world.life() as engine:
        await engine.until(at("1:00"))
        found = await info(engine)
        assert (found.next_due, found.problem, found.last_due) == (None, str(ends), at("0:20"))
        assert alerts == ["schedule 'work' has no next time"]
        with pytest.raises(InvalidInput, match="sessions of X"):
            await engine.schedules.next("work")
    world.workflows = [lasting(0, Every(600), missed="once"), listen]
    async with world.life() as engine:
        await engine.until(at("1:05"))
        assert (await info(engine)).problem is None
    assert world.times() == ["00:10", "00:20", "01:00 for 3 more"]


@live
async def test_an_engine_opens_with_a_schedule_that_nobody_can_tell() -> None:
    world = World(lasting(0, Every(600, "0:00", ZeroDivisionError("mine"))))
    async with world.life() as engine:
        assert (await info(engine)).problem == "mine"


@pytest.mark.parametrize(
    ("schedules", "why"),
    [
        ([Schedule("@daily", name="x"), Schedule("@hourly", name="x")], "another name: it is a schedule of 'work'"),
        ([Schedule("@daily"), Schedule("@hourly", name="work")], "another name"),
        ([Schedule("@daily", input={"n": "many"})], "int"),
    ],
)
def test_what_does_not_go_together_is_refused_when_it_is_opened(schedules: list[Schedule], why: str) -> None:
    @workflow("work", on=schedules)
    async def work(run: Run, given: dict[str, int]) -> None: ...

    @live
    async def scenario() -> None:
        with pytest.raises(InvalidInput, match=why):
            await Engine("memory:", workflows=[work]).open()

    scenario()


@live
async def test_inputs_that_no_body_takes() -> None:
    @workflow("none", on=Schedule("@daily", input=5))
    async def none(run: Run) -> None: ...

    @workflow("gathers", on=Schedule("@daily", input=Order(symbol="A")), batch=Batch(2, "1 hour"))
    async def gathers(run: Run, orders: list[Order]) -> None: ...

    for wrong, why in ((none, "takes none"), (gathers, "gathers its inputs")):
        with pytest.raises(InvalidInput, match=why):
            await Engine("memory:", workflows=[wrong]).open()


# ---------------------------------------------------------------------------------------------------------- with flow


@live
async def test_with_a_rate_limit() -> None:
    @workflow("work", on=Schedule("*/10 * * * *"), rate_limit=RateLimit(2, "1 hour"))
    async def work(run: Run, fired: ScheduleFired) -> None:
        await run.sleep("1 min")

    world = World(work)
    async with world.life() as engine:
        await engine.until(at("0:35"))
        assert engine.queries.counts() == {"done": 2}
    assert world.times() == ["00:10", "00:20", "00:30"]
    assert [e.record.name for _, e in records_of(world.memory) if e.record.kind == "declined"] == ["work"]


@live
async def test_gathered_in_a_batch_over_a_crash() -> None:
    seen: list[list[str]] = []

    @workflow("work", on=Schedule("*/10 * * * *"), batch=Batch(3, "2 hours"))
    async def work(run: Run, fired: list[ScheduleFired]) -> None:
        seen.append([f"{one.due:%H:%M}" for one in fired])

    world = World(work)
    async with world.life(crash=True) as engine:
        await engine.until(at("0:21"))
    async with world.life() as engine:
        await engine.until(at("0:31"))
    assert seen == [["00:10", "00:20", "00:30"]]


@live
async def test_plain_inputs_with_a_concurrency() -> None:
    seen: list[int] = []

    @workflow(
        "work", on=[Schedule("*/10 * * * *", input=1), Schedule("*/10 * * * *", input=2, name="b")], concurrency=1
    )
    async def work(run: Run, number: int) -> None:
        await run.sleep("4 min")
        seen.append(number)

    world = World(work)
    async with world.life() as engine:
        await engine.until(at("0:19"))
    assert seen == [2, 1]


# --------------------------------------------------------------------------------------------------------------- time


@live
async def test_settled_does_not_wait_for_what_never_ends() -> None:
    world = World(lasting(25, overlap="allow", times="0 * * * *"))
    async with world.life() as engine:
        await engine.settled()
        assert engine.clock.now() == timestamp_ns(MIDNIGHT)
        await engine.schedules.run_now("work")
        await engine.settled()
        assert engine.clock.now() == timestamp_ns(at("0:25"))
        await engine.until(at("0:59"))
        await engine.until(at("0:30"))
        assert world.times() == ["00:00"]


@live
async def test_a_deadline_in_virtual_time() -> None:
    @workflow("waits")
    async def waits(run: Run) -> None:
        await run.wait_for(Order)

    world = World(lasting(0), waits)
    async with world.life() as engine:
        handle = await engine.start(waits)
        with pytest.raises(Exception, match="did not finish within"):
            await handle.result(timeout="25 min")
        assert world.times() == ["00:10", "00:20"]
        await engine.cancel(handle.id)
        with pytest.raises(RunCancelled):
            await handle.result()


@pytest.mark.slow
def test_the_wall_clock_is_set_back_and_forward(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each second once: none twice when it is set back; those that it leaps over are missed, and said to be."""
    import time

    real, ahead = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: real() + ahead[0])

    @workflow("work", on=Schedule("* * * * * *", overlap="allow", grace="20 s"))
    async def work(run: Run) -> None: ...

    fired: list[ScheduleFired] = []
    skipped: list[Any] = []

    @live
    async def scenario() -> None:
        async with Engine(f"sqlite:///{tmp_path}/tape.db", workflows=[work]) as engine:
            for leap in (-HOUR, HOUR + 60 * SECOND, 0):
                await asyncio.sleep(1.05)
                ahead[0] += leap
            await engine.durable()
            for _, entry in engine._reader.tape():
                if entry.record.name == ScheduleFired.event_name:
                    fired.append(ScheduleFired.from_wire(bytes(entry.record.value)))
                elif entry.record.kind == "skipped":
                    skipped.append((entry.record.due, msgspec.json.decode(entry.record.value)))

    scenario()
    due = [timestamp_ns(one.due) // SECOND for one in fired]
    assert len(due) == len(set(due)) > 20
    assert due == sorted(due)
    assert len(skipped) == 1
    gone = range(skipped[0][0] // SECOND, skipped[0][1]["until"] // SECOND + 1)
    assert skipped[0][1]["number"] == len(gone)
    assert sorted([*due, *gone]) == list(range(due[0], due[-1] + 1))


# ------------------------------------------------------------------------------------------------------------ crashes


def busy_day(overlap: str) -> list[Workflow]:
    """Two schedules whose runs overlap, and work that they cause."""

    @workflow("work", on=[Schedule("*/10 * * * *", overlap=overlap), Schedule("5-59/15 * * * *", missed="all")])  # type: ignore[arg-type]
    async def work(run: Run, fired: ScheduleFired) -> None:
        await run.sleep("7 min")
        await run.emit(Order(symbol="AAPL"))
        await run.sleep("9 min")

    @workflow("buy", on=Order)
    async def buy(run: Run, order: Order) -> None: ...

    return [work, buy]


@pytest.mark.parametrize("overlap", ["skip", "queue", "allow"])
def test_a_crash_after_any_batch_changes_nothing(overlap: str) -> None:
    """Killed after each batch in turn and opened again at once: every due time starts its one run, as without."""

    async def lived(engine: Engine) -> None:
        await engine.open()
        await engine.until(at("1:12"))

    async def played(*deaths: int) -> tuple[list[str], Counter[str], list[str], int]:
        world, batches = World(*busy_day(overlap)), 0
        for dies_after in (*deaths, None):
            engine = Probe(world.memory, list(world.workflows), clock=world.clock, finely=True, dies_after=dies_after)
            life = asyncio.ensure_future(lived(engine))
            died = asyncio.ensure_future(engine.died.wait())
            await asyncio.wait([life, died], return_when=asyncio.FIRST_COMPLETED)
            if engine.died.is_set():
                life.cancel()
                engine.kill()
                await asyncio.gather(life, return_exceptions=True)
            else:
                died.cancel()
                await life
                batches = engine._log.committed
                await engine.close()
        runs = Counter(e.record.name for _, e in records_of(world.memory) if e.record.kind == "started")
        return [f"{one.schedule} {one.due} {one.fired_at}" for one in world.fired()], runs, world.skipped(), batches

    @live
    async def scenario() -> None:
        fired, runs, skipped, batches = await played()
        assert (len(fired), batches > 10) == (runs["work"], True)
        assert len(set(fired)) == len(fired) >= 7
        for dies_after in range(batches):
            again, runs_again, skipped_again, _ = await played(dies_after)
            assert sorted(again) == sorted(fired), dies_after
            assert (runs_again, skipped_again) == (runs, skipped), dies_after

    scenario()


def test_an_opening_is_one_transaction(tmp_path: Any) -> None:
    world = World(lasting(0))

    @live
    async def scenario() -> None:
        engine = Probe(world.memory, list(world.workflows), clock=world.clock, dies_after=0)
        opening = asyncio.ensure_future(engine.open())
        await engine.died.wait()
        opening.cancel()
        engine.kill()
        await asyncio.gather(opening, return_exceptions=True)
        assert world.changes() == []
        async with world.life() as second:
            assert (await info(second)).next_due == at("0:10")
        assert world.changes() == ["work declared"]

    scenario()
