"""Schedules, breakers, approvals and views, by their operations."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.service.operations.calling import HERE, Calls, Cost, Ping, failure, law, owned
from tickwork.errors import Forbidden, InvalidInput, NotFound
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.api.there import Remote
from tickwork.service.approvals import approval_page
from tickwork.service.operations.paging import cursor_of, place_of
from tickwork.service.views import state_page

ANN, BOB = owned("ann"), owned("bob")

# ---------------------------------------------------------------------------------------------------------- schedules


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_schedules(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        (line,) = (await call("schedules.list"))["items"]
        assert (line["name"], line["workflow"], line["paused"]) == ("report", "reports", False)
        assert (await call("schedules.pause", schedule="report"))["paused"]
        assert not (await call("schedules.resume", schedule="report"))["paused"]
        assert (await call("schedules.skip_next", schedule="report"))["skipNext"]
        times = await call("schedules.next", schedule="report", count=3)
        assert [one["schedule"] for one in times] == ["report"] * 3
        assert times[0]["due"] < times[1]["due"]
        assert len(await call("schedules.next")) == 1
        for name in ("run_now", "pause", "resume", "skip_next"):
            await failure(call(f"schedules.{name}", schedule="none"), NotFound)
        await failure(call("schedules.next", schedule="none"), NotFound)
        await failure(call("schedules.list", ANN), Forbidden)

    law(check, tmp_path / "t.db")


def test_with_a_key_a_schedule_is_run_once(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        found = await calls("schedules.run_now", HERE, "k", schedule="report")
        assert await calls("schedules.run_now", HERE, "k", schedule="report") == found
        assert found["run"] is not None
        await calls.engine.idle()
        await calls("schedules.run_now", schedule="report")
        assert len((await calls("runs.list", workflow="reports"))["items"]) == 2
        assert CATALOGUE["schedules.run_now"].again == "look"

    law(check, tmp_path / "t.db")


def test_next_times_of_a_tape_that_nobody_owns(tmp_path: Path) -> None:
    async def nothing(calls: Calls) -> None:
        await calls("schedules.list")

    law(nothing, tmp_path / "t.db")

    async def check() -> None:
        remote = Remote(str(tmp_path / "t.db"))
        found = (await remote.call("schedules.next", {"schedule": "report", "count": 2}, HERE)).value
        assert [one["schedule"] for one in found] == ["report", "report"]
        await failure(remote.call("schedules.next", {"schedule": "none"}, HERE), NotFound)
        remote.close()

    asyncio.run(check())


# -------------------------------------------------------------------------------------------------- breakers, by hand


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_breakers(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        assert await call("breakers.list") == {"items": [], "next": None}
        await failure(call("breakers.reset", breaker="news"), NotFound)
        await calls("runs.start", workflow="guarded", input={})
        await calls.engine.idle()
        tripped = await call("breakers.trip", breaker="news", reason="maintenance", openFor="10 minutes")
        assert (tripped["state"], "maintenance" in tripped["why"]) == ("open", True)
        assert [one["name"] for one in await calls.pages("breakers.list", limit=1)] == ["news", "zebra"]
        assert (await call("breakers.reset", breaker="news"))["state"] == "closed"
        await failure(call("breakers.trip", breaker="news", openFor="long"), InvalidInput)

    law(check, tmp_path / "t.db")


# ---------------------------------------------------------------------------------------------------------- approvals


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_an_answer_is_heard_and_says_whose_it_is(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        await calls("runs.start", workflow="waits", input={}, id="w")
        await calls("runs.start", workflow="waits", input={}, id="v")
        await calls.engine.idle()
        lines = {one["run"]: one for one in (await call("approvals.list"))["items"]}
        assert lines["w"]["question"] == "go on after 1?"
        told = await call("approvals.answer", approval=lines["w"]["id"], yes=True)
        assert told["done"] == "answered yes"
        await call("approvals.answer", approval=lines["v"]["id"], yes=False)
        await calls.engine.idle()
        assert [(await calls("runs.show", run=run))["result"] for run in ("w", "v")] == [True, False]
        await failure(call("approvals.answer", approval=lines["w"]["id"], yes=True), NotFound)
        answers = [one for one in calls.engine.queries.tape() if one.get("name", "").startswith("tickwork/approval")]
        assert {one["key"] for one in answers} == {"http"}

    law(check, tmp_path / "t.db")


def test_each_answers_its_own_questions(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for who in (ANN, BOB):
            await calls("runs.start", who, workflow="waits", input={}, id="w")
        await calls.engine.idle()
        (mine,) = (await calls("approvals.list", ANN))["items"]
        assert mine["owner"] == "ann"
        assert len((await calls("approvals.list"))["items"]) == 2
        await failure(calls("approvals.answer", BOB, approval=mine["id"], yes=True), NotFound)
        await failure(calls("approvals.answer", BOB, approval="nothing", yes=True), NotFound)
        await calls("approvals.answer", ANN, approval=mine["id"], yes=True)

    law(check, tmp_path / "t.db")


def test_pages_of_questions_are_the_whole(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for n in range(7):
            await calls("runs.start", (ANN, BOB)[n % 2], workflow="waits", input={}, id=f"w{n}")
        await calls.engine.idle()
        whole = (await calls("approvals.list", limit=100))["items"]
        assert len(whole) == 7
        for limit in (1, 3, 7):
            assert await calls.pages("approvals.list", limit=limit) == whole
            assert await calls.pages("approvals.list", ANN, limit=limit) == [
                one for one in whole if one["owner"] == "ann"
            ]
        found, _ = approval_page(calls.engine.queries, None, None, 3)
        assert [one.id for one in found] == [one["id"] for one in whole[:3]]

    law(check, tmp_path / "t.db")


# -------------------------------------------------------------------------------------------------------------- views


def test_views_and_their_states(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for n in range(15):
            await calls.engine.emit(Ping(n=n))
        (line,) = (await calls("views.list"))["items"]
        assert (line["name"], line["keys"], line["more"], line["stale"]) == ("ops-last", 10, False, False)
        states = await calls.pages("views.show", view="ops-last", limit=3)
        expected = [(f"key/{n}", n + 10 if n < 5 else n) for n in range(10)]
        assert [(one["key"], one["state"]) for one in states] == expected
        given = {"view": "ops-last", "key": "key/3"}
        assert (await calls.remote.call("views.state", given, HERE)).value == {**given, "state": 13}
        await failure(calls.service.call("views.state", {**given, "key": "none"}, HERE), NotFound)
        await failure(calls("views.show", view="none"), NotFound)
        await failure(calls("views.show", view="ops-last", cursor="?"), InvalidInput)
        await failure(calls("views.list", ANN), Forbidden)

    law(check, tmp_path / "t.db")


def test_a_page_of_a_view_costs_the_same_however_many_keys_there_are(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    async def check(calls: Calls) -> None:
        cost = Cost(path)

        def fill(low: int, high: int) -> None:
            for n in range(low, high):
                calls.engine._log.batch.put("views", ("ops-last", f"k{n:05}"), (b"1",))

        fill(0, 500)
        await calls.engine.durable()
        small = cost.of(lambda queries: state_page(queries, "ops-last", "k00100", 20))
        fill(500, 5_000)
        await calls.engine.durable()
        assert len(calls.engine.queries.reader.rows("SELECT 1 FROM views")) == 5_000
        assert cost.of(lambda queries: state_page(queries, "ops-last", "k03000", 20)) <= small * 1.3
        cost.close()

    law(check, path)


@pytest.mark.parametrize("place", ["a", "ключ/1 ?", [1, 2], [12, "r1:x"]])
def test_a_cursor_comes_back_as_it_was(place: Any) -> None:
    kind = str if isinstance(place, str) else list[Any]
    assert place_of(cursor_of(place), kind) == place
    assert place_of(None, kind) is None
    with pytest.raises(InvalidInput):
        place_of(cursor_of({"no": "place"}), kind)
