"""Workflows that are added and retired while the engine is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.engine.adding import MIDNIGHT, at, noting, started, statuses, waiting
from tests.engine.support import Ping, Pong, crash, live, park
from tickwork.core.clock import VirtualClock
from tickwork.core.conditions import Where
from tickwork.core.event import Event
from tickwork.core.flow import RateLimit
from tickwork.core.queue import Queue
from tickwork.core.schedule import Missed, Schedule
from tickwork.core.trigger import Trigger, When
from tickwork.core.workflow import Workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.engines.embedded import listeners as listeners_module
from tickwork.errors import InvalidInput, TapeError
from tickwork.market.triggers.price_change import PriceChange, PriceChanged


@pytest.fixture(autouse=True)
def _quietly() -> Iterator[None]:
    logging.getLogger("tickwork.engine").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("tickwork.engine").setLevel(logging.NOTSET)


# -- adding -----------------------------------------------------------------------------------------------------------


@live
async def test_an_added_workflow_is_started_by_events_and_by_hand() -> None:
    async with Engine("memory:") as engine:
        await engine.emit(Ping())
        await engine.add(noting("late"))
        await engine.emit(Ping())
        await engine.idle()
        assert started(engine) == [("late", 1)]
        assert [w.name for w in engine.workflows] == [w.name for w in engine.registry.starting] == ["late"]
        assert await (await engine.start(engine.workflows[0], {})).result() == "late 1"


@live
async def test_what_cannot_be_added() -> None:
    one = noting("one")
    async with Engine("memory:", workflows=[one]) as engine:
        await engine.add(one)
        assert engine.workflows == [one]
        with pytest.raises(InvalidInput, match="'one' version 1 once more"):
            await engine.add(noting("one"))
        with pytest.raises(InvalidInput, match="decorated with @workflow"):
            await engine.add("one")  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="the name of a registered workflow: one"):
            await engine.retire("two")
        await engine.emit(Ping())
        await engine.idle()
        assert started(engine) == [("one", 1)]


@live
async def test_before_the_engine_is_open() -> None:
    engine = Engine("memory:")
    with pytest.raises(TapeError, match="not open"):
        await engine.add(noting("one"))
    with pytest.raises(TapeError, match="not open"):
        await engine.retire("one")
    async with engine:
        assert engine.workflows == []


@live
async def test_what_does_not_fit_changes_nothing() -> None:
    class Twin(Event, name="engine/ping"):
        name: str = "a"

    first = noting("first", on=[Schedule("0 * * * *", name="hourly"), Queue("orders"), Ping])
    async with Engine("memory:", workflows=[first]) as engine:
        for wrong, message in (
            (noting("second", on=[Pong, Schedule("0 * * * *", name="hourly")]), "it is a schedule of 'first'"),
            (noting("second", on=[Pong, Schedule("0 9 * * *"), Queue("orders")]), "'first' works on it already"),
            (noting("second", on=[Pong, Schedule("0 9 * * *"), Queue("other")], rate_limit=RateLimit(1, "1s")), "drop"),
            (noting("second", on=[Pong, Queue("other"), Twin]), "one class; it is also declared by .*Ping"),
        ):
            with pytest.raises(InvalidInput, match=message):
                await engine.add(wrong)
        await engine.emit(Pong())
        await engine.idle()
        assert engine.workflows == [first]
        assert engine.queues.names == ["orders"]
        assert [info.name for info in await engine.schedules.list()] == ["hourly"]
        assert started(engine) == []
        await engine.add(noting("second", on=Pong))
        await engine.emit(Pong())
        await engine.idle()
        assert started(engine) == [("second", 1)]


# -- versions ---------------------------------------------------------------------------------------------------------


@live
async def test_a_newer_version_takes_over_and_runs_in_flight_keep_theirs() -> None:
    async with Engine("memory:", workflows=[waiting("watch")]) as engine:
        await engine.emit(Ping())
        await engine.idle()
        park(engine)
        await engine.emit(Ping())
        await engine.add(waiting("watch", 2, on=When(Ping, {"name": "b"})))
        await engine.emit(Ping(name="a"))
        await engine.emit(Ping(name="b"))
        await engine.idle()
        assert started(engine) == [("watch", 1), ("watch", 1), ("watch", 2)]
        await engine.emit(Pong())
        assert [await engine.handle(info.id).result() for info in reversed(await engine.runs())] == [
            "watch 1", "watch 1", "watch 2",
        ]  # fmt: skip


@live
async def test_an_older_version_takes_nothing_over() -> None:
    memory = Memory()
    old, new = waiting("watch"), waiting("watch", 2)
    engine = Engine(memory, workflows=[old])
    await engine.open()
    await engine.emit(Ping())
    await engine.idle()
    crash(engine)
    async with Engine(memory, workflows=[new]) as engine:
        await engine.emit(Pong())
        assert await statuses(engine) == ["stranded"]
        await engine.add(old)
        assert await statuses(engine) == ["done"]
        await engine.emit(Ping())
        await engine.idle()
        assert started(engine)[1:] == [("watch", 2)]
        assert await (await engine.start(old, {}, id="by-hand")).status() == "waiting"


@live
async def test_the_order_of_those_that_one_event_starts_is_that_of_an_engine_opened_with_them() -> None:
    a1, a2, b2, b1, c2 = noting("a", 1), noting("a", 2), noting("b", 2), noting("b", 1), noting("c", 2)
    given = [b2, c2, a2, b1, a1]
    for conditions in (False, True):
        extra = [noting("z", 9, on=When(Ping, {"name": "a"}))] if conditions else []
        orders = []
        for at_opening in ([*extra, *given], extra):
            async with Engine("memory:", workflows=at_opening) as engine:
                for late in () if at_opening is not extra else given:
                    await engine.emit(Ping(name="-"))
                    await engine.add(late)
                before = len(started(engine))
                await engine.emit(Ping())
                await engine.idle()
                orders.append(started(engine)[before:])
        assert orders[0] == orders[1]
        assert orders[0][:3] == [("b", 2), ("a", 2), ("c", 2)]


# -- triggers ---------------------------------------------------------------------------------------------------------


class Judged(Trigger):
    """A trigger that decides by itself."""

    kind = "judged"

    @property
    def event(self) -> type[Event]:
        return Ping

    def matches(self, event: Event) -> bool:
        return isinstance(event, Ping) and event.n % 2 == 0


@live
async def test_conditions() -> None:
    async with Engine("memory:") as engine:
        await engine.add(noting("fields", on=When(Ping, {"name": "a"})))
        await engine.add(noting("text", on=When(Ping, "n > 5")))
        await engine.add(noting("own", on=Judged()))
        await engine.add(noting("both", on=[When(Ping, {"n": 7}), When(Ping, {"name": "a"})]))
        for ping, names in (
            (Ping(name="a", n=1), ["fields", "both"]),
            (Ping(name="b", n=7), ["text", "both"]),
            (Ping(name="a", n=8), ["fields", "text", "own", "both"]),
            (Ping(name="b", n=1), []),
        ):
            before = len(started(engine))
            await engine.emit(ping)
            await engine.idle()
            assert [name for name, _ in started(engine)[before:]] == names
        for name in ("fields", "text", "own", "both"):
            await engine.retire(name)
        before = len(started(engine))
        await engine.emit(Ping(name="a", n=8))
        await engine.idle()
        assert len(started(engine)) == before
        assert engine._events._starts == {}


@live
async def test_price_triggers() -> None:
    up = PriceChange("BTC/USDT", "0.02", direction="up")
    async with Engine("memory:") as engine:
        await engine.add(noting("momentum", on=up))
        fields: dict[str, Any] = {
            "symbol": "BTC/USDT", "venue": "x", "bar_time": MIDNIGHT, "known_at": MIDNIGHT, "price": Decimal(103),
            "reference": Decimal(100), "change": Decimal("0.03"), "direction": "up", "threshold": Decimal("0.02"),
            "window": "1 bars", "recording": "r", "offset": 0,
        }  # fmt: skip
        await engine.emit(PriceChanged(**fields, trigger=str(up)))
        await engine.emit(PriceChanged(**fields, trigger="another"))
        await engine.idle()
        assert started(engine) == [("momentum", 1)]


@live
async def test_a_thousand_triggers_on_equal_fields_cost_one_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    matched: list[Event] = []
    key_of = listeners_module.key_of

    def looked_up(event: Event, fields: tuple[str, ...]) -> int:
        asked.append(fields)
        return key_of(event, fields)

    monkeypatch.setattr(listeners_module, "key_of", looked_up)
    monkeypatch.setattr(Where, "matches", lambda _, event: matched.append(event))
    async with Engine("memory:", workflows=[noting("w0", on=When(Ping, {"name": "0"}))]) as engine:
        for number in range(1, 1_000):
            await engine.add(noting(f"w{number}", on=When(Ping, {"name": str(number)})))
        await engine.emit(Ping(name="417"))
        await engine.idle()
        assert started(engine) == [("w417", 1)]
        assert (asked, matched) == ([("name",)], [])


@live
async def test_adding_one_looks_at_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    triggers = [When(Ping, {"name": "0"}), Schedule("0 * * * *"), Queue("q0")]
    others = [noting(f"w{n}", on=[Ping, Schedule("0 * * * *"), Queue(f"q{n}")]) for n in range(50)]
    async with Engine("memory:", workflows=others) as engine:
        for other in others:
            monkeypatch.setattr(other, "__class__", _watched(looked))
        added = noting("one-more", on=[Ping, *triggers[1:2], Queue("q-one-more")])
        await engine.add(added)
        assert looked == []
        await engine.emit(Ping())
        assert looked
        await engine.idle()


def _watched(looked: list[str]) -> type[Workflow]:
    class Watched(Workflow):
        def __getattribute__(self, name: str) -> Any:
            looked.append(name)
            return super().__getattribute__(name)

    return Watched


# -- schedules --------------------------------------------------------------------------------------------------------


@live
async def test_schedules() -> None:
    async with Engine("memory:") as engine:
        await engine.until(at("0:05"))
        await engine.add(noting("report", on=Schedule("*/10 * * * *")))
        await engine.until(at("0:25"))
        assert started(engine) == [("report", 1)] * 2
        await engine.add(noting("report", 2, on=Schedule("*/20 * * * *")))
        await engine.until(at("1:05"))
        assert started(engine)[2:] == [("report", 2)] * 2
        await engine.add(noting("report", 3, on=Ping))
        await engine.until(at("2:05"))
        assert len(started(engine)) == 4
        (info,) = await engine.schedules.list()
        assert info.stranded
        with pytest.raises(InvalidInput, match="which no workflow declares"):
            await engine.schedules.run_now("report")


@live
async def test_a_retired_schedule_comes_back_and_missed_decides() -> None:
    ways: tuple[tuple[Missed, int], ...] = (("skip", 0), ("once", 1), ("all", 5))
    for missed, number in ways:
        report = noting("report", on=Schedule("0 * * * *", missed=missed, overlap="allow"))
        async with Engine("memory:", workflows=[report]) as engine:
            await engine.retire("report")
            await engine.retire("report")
            await engine.until(at("5:30"))
            assert started(engine) == []
            await engine.add(report)
            await engine.until(at("5:31"))
            assert len(started(engine)) == number
            await engine.until(at("6:30"))
            assert len(started(engine)) == number + 1


@live
async def test_an_added_schedule_outlives_a_crash() -> None:
    memory, clock = Memory(), VirtualClock()
    report = noting("report", on=Schedule("0 * * * *", missed="once"))
    engine = Engine(memory, clock=clock)
    await engine.open()
    await engine.add(report)
    crash(engine)
    async with Engine(memory, clock=clock) as engine:
        (info,) = await engine.schedules.list()
        assert (info.name, info.stranded) == ("report", True)
        await engine.until(at("3:30"))
        await engine.add(report)
        await engine.until(at("3:31"))
        assert started(engine) == [("report", 1)]


# -- stranded runs ----------------------------------------------------------------------------------------------------


@live
async def test_stranded_runs_wake_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'tape.db'}"
    one = waiting("watch")
    async with Engine(url, workflows=[one, waiting("other")]) as engine:
        for _ in range(3):
            await engine.emit(Ping())
        await engine.idle()
    async with Engine(url) as engine:
        await engine.emit(Pong())
        await engine.idle()
        assert len(await engine.stranded()) == 6
        with pytest.raises(InvalidInput, match="not registered"):
            await engine.handle((await engine.stranded())[0].id).result()
        await engine.add(one)
        await engine.idle()
        assert {info.workflow for info in await engine.stranded()} == {"other"}
        for info in await engine.runs(workflow="watch"):
            assert await engine.handle(info.id).result() == "watch 1"


@live
async def test_a_run_that_is_just_being_stranded_wakes_up_too() -> None:
    memory, one = Memory(), waiting("watch")
    engine = Engine(memory, workflows=[one])
    await engine.open()
    handle = await engine.start(one, {})
    await engine.idle()
    crash(engine)
    async with Engine(memory) as engine:
        engine.post(Pong())  # it is found to be stranded in this batch, which is not on disk
        await engine.add(one)
        assert await engine.handle(handle.id).result() == "watch 1"


# -- a crash ----------------------------------------------------------------------------------------------------------


@live
async def test_a_crash_right_after_add() -> None:
    one, two = waiting("watch", concurrency=1), waiting("watch", 2, concurrency=2)
    late = waiting("late", on=[Queue("orders"), Schedule("0 * * * *")])
    engine = Engine("memory:", workflows=[one])
    await engine.open()
    for _ in range(3):
        await engine.emit(Ping())
    await engine.add(two)
    await engine.add(late)
    await engine.queues.send("orders", {"n": 1})
    memory = crash(engine)
    async with Engine(memory, workflows=[one]) as again:
        assert await statuses(again) == ["waiting", "waiting", "queued", "waiting"]
        assert engine.workflows == [one, two, late]
        await again.add(two)
        await again.add(late)
        await again.emit(Ping())
        assert await statuses(again) == ["waiting", "waiting", "queued", "waiting", "queued"]
        await again.emit(Pong())
        assert await statuses(again) == ["done"] * 5
        assert (await again.queues.status("orders")).completed_today == 1
        assert started(again)[4:] == [("watch", 2)]


# -- retiring ---------------------------------------------------------------------------------------------------------


@live
async def test_retire() -> None:
    one = waiting("watch")
    async with Engine("memory:", workflows=[one]) as engine:
        await engine.emit(Ping(), delay="1 hour")
        await engine.emit(Ping())
        await engine.retire("watch")
        assert engine.registry.starting == []
        await engine.emit(Ping())
        await engine.until(at("2:00"))
        assert started(engine) == [("watch", 1)]
        handle = await engine.start(one, {})
        await engine.emit(Pong())
        assert await statuses(engine) == ["done", "done"]
        assert await handle.result() == "watch 1"
        await engine.add(one)
        await engine.emit(Ping())
        await engine.retire("watch")
        await engine.add(waiting("watch", 2))
        await engine.emit(Ping())
        await engine.idle()
        assert started(engine)[2:] == [("watch", 1), ("watch", 2)]
        await engine.retire("watch")
        await engine.add(one)  # not the newest: nothing happens
        await engine.emit(Ping())
        await engine.idle()
        assert len(started(engine)) == 4


@live
async def test_one_that_came_instead_keeps_a_retired_one_from_coming_back() -> None:
    one, two = noting("one", on=Queue("orders")), noting("two", on=Queue("orders"))
    async with Engine("memory:", workflows=[one]) as engine:
        await engine.retire("one")
        await engine.add(two)
        with pytest.raises(InvalidInput, match="'two' works on it already"):
            await engine.add(one)
        await engine.queues.send("orders", {})
        await engine.idle()
        assert started(engine) == [("two", 1)]


@live
async def test_many_at_once() -> None:
    async with Engine("memory:") as engine:
        await asyncio.gather(*(engine.add(noting(f"w{n}")) for n in range(20)))
        await engine.emit(Ping())
        await engine.idle()
        assert started(engine) == [(f"w{n}", 1) for n in range(20)]
