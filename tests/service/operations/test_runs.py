"""Runs: found by page at a bounded cost, shown step by step, started once per key, and each owner's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.operations.calling import FAILING, HERE, Calls, Cost, Ping, calls, failure, hears, law, owned, waits
from tickwork import Run, workflow
from tickwork.engines.embedded import run_pages
from tickwork.engines.embedded.run_pages import Wanted
from tickwork.engines.embedded.status import Status
from tickwork.errors import Conflict, Forbidden, InvalidInput, NotFound
from tickwork.service.api.caller import Caller
from tickwork.service.api.operation import CATALOGUE
from tickwork.service.runs import run_page

ANN, BOB = owned("ann"), owned("bob")


async def _some(calls: Calls) -> None:
    """Runs of two owners in three states."""
    FAILING.add("bad")
    for n in range(6):
        owner = ("", "ann", "bob")[n % 3]
        await calls.engine.start(calls.engine.workflows[1], {"n": n}, id=f"w{n}", owner=owner)
        await calls.engine.start(calls.engine.workflows[2], {"name": "bad"}, id=f"f{n}", owner=owner)
        await calls.engine.emit(Ping(n=n))
    await calls.engine.idle()


def test_pages_are_the_whole_in_order(tmp_path: Path) -> None:
    """Whatever is wanted, in pages of whatever size: newest first, each once, none left out."""

    async def check(calls: Calls) -> None:
        await _some(calls)
        everything = (await calls("runs.list", limit=1_000))["items"]
        assert [one["seq"] for one in everything] == sorted((one["seq"] for one in everything), reverse=True)
        assert len(everything) == 18
        for wanted in (
            {},
            {"status": ["dead"]},
            {"status": ["dead", "waiting"]},
            {"workflow": "hears"},
            {"owner": "ann"},
        ):
            expected = [
                one["id"]
                for one in everything
                if one["status"] in wanted.get("status", [one["status"]])
                and one["workflow"] == wanted.get("workflow", one["workflow"])
                and one["owner"] == wanted.get("owner", one["owner"])
            ]
            for limit in (1, 2, 5, 100):
                assert [one["id"] for one in await calls.pages("runs.list", limit=limit, **wanted)] == expected

    law(check, tmp_path / "t.db")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 20), max_size=12), st.integers(-1, 21), st.integers(-1, 21))
def test_since_and_until_find_what_was_started_between(tmp_path: Path, gaps: list[int], low: int, high: int) -> None:
    async def check(calls: Calls) -> None:
        found = await calls("runs.list", limit=1_000)
        times = [datetime.fromisoformat(one["startedAt"]) for one in found["items"]]
        base = min(times, default=datetime.now(UTC))
        since, until = base + timedelta(milliseconds=low), base + timedelta(milliseconds=high)
        told = await calls("runs.list", limit=1_000, since=since.isoformat(), until=until.isoformat())
        assert len(told["items"]) == sum(since <= one < until for one in times)

    async def fill(calls: Calls) -> None:
        for gap in gaps:
            await calls.engine.start(hears, Ping(n=gap))
        await check(calls)

    law(fill, tmp_path / f"{len(gaps)}-{low}-{high}.db")


def test_a_page_costs_the_same_however_many_runs_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.db"

    async def check(calls: Calls) -> None:
        cost = Cost(path)
        for n in range(500):
            calls.engine.start_soon(hears, Ping(n=n))
        await calls.engine.idle()
        monkeypatch.setattr(run_pages, "WINDOW", 100)
        newest, rare = Wanted(), Wanted(owner="ann")
        small = cost.of(lambda queries: run_page(queries, newest, None, 20))
        small_rare = cost.of(lambda queries: run_page(queries, rare, None, 20))
        for n in range(4_500):
            calls.engine.start_soon(hears, Ping(n=n), owner="ann" if n == 0 else "")
        await calls.engine.idle()
        assert len(calls.engine.queries.reader.rows("SELECT 1 FROM runs")) == 5_000
        large = cost.of(lambda queries: run_page(queries, newest, None, 20))
        middle = cost.of(lambda queries: run_page(queries, newest, 2_500, 20))
        assert max(large, middle) <= small * 1.3
        # what is rare costs its window, and not the table
        assert cost.of(lambda queries: run_page(queries, rare, None, 20)) <= small_rare * 1.3
        found = await calls.pages("runs.list", owner="ann", limit=20)
        assert [one["owner"] for one in found] == ["ann"]
        cost.close()

    law(check, path)


def test_a_run_is_shown_step_by_step(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        started = await calls("runs.start", workflow="much", input=20_000, id="one")
        assert started == {"id": "one", "run": "one", "done": "started"}
        await calls.engine.handle("one").result(timeout="30 s")
        shown = await calls("runs.show", run="one")
        assert shown == await calls.from_elsewhere("runs.show", run="one")
        steps = {step["name"]: step for step in shown["steps"]}
        names = [step["name"] for step in shown["steps"]]
        assert (names[0], {*names[1:3]}, names[3:]) == ("flaky", {"left", "adds"}, ["pay", "undo pay", "large"])
        tries = steps["flaky"]["attempts"]
        assert [one["error"] for one in tries] == ["ValueError: not yet", "ValueError: not yet", None]
        assert (steps["pay"]["input"], steps["pay"]["output"]["paid"]) == ([5], 5)
        assert steps["pay"]["undoneBy"] == steps["undo pay"]["id"]
        assert steps["undo pay"]["undoes"] == steps["pay"]["id"]
        assert shown["children"] == [(await calls("runs.list", parent="one"))["items"][0]["id"]]
        assert (shown["counts"], shown["stepsTotal"], shown["nextStep"]) == ({"done": 6}, 6, None)
        await _large(calls, shown, steps["large"])
        for limit in (1, 4, 6):
            assert await calls.pages("runs.steps", run="one", limit=limit) == shown["steps"]

    law(check, tmp_path / "t.db")


async def _large(calls: Calls, shown: dict[str, Any], step: dict[str, Any]) -> None:
    """What is large is a preview that leads to the whole."""
    whole = "x" * 20_000
    assert set(shown["result"]) == set(step["output"]) == {"preview", "size", "href"}
    assert step["output"]["size"] == 20_002
    assert step["output"]["href"] == f"/api/v1/runs/one/steps/{step['id']}/io"
    assert (await calls("runs.io", run="one", step=step["id"]))["output"] == whole
    told = await calls("runs.io", run="one", step="run")
    assert (told["input"], told["output"], told["error"]) == (20_000, whole, None)
    assert (await calls("runs.list"))["items"][-1]["result"]["href"] == shown["result"]["href"]
    records = await calls.pages("runs.records", run="one", limit=3)
    assert [one["kind"] for one in records][-1] == "done"
    assert records[-1]["value"]["size"] == 20_002
    alone = await calls("runs.records", run="one", after=records[-1]["seq"] - 1, limit=1, whole=True)
    assert alone["items"][0]["value"] == whole
    assert (await calls("runs.show", run=shown["children"][0]))["parent"] == "one"


def test_what_a_run_waits_for_and_what_started_it(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        seq = (await calls("events.publish", name="ops/ping", payload={"n": 4}))["seq"]
        await calls.engine.idle()
        shown = await calls("runs.show", run=(await calls("runs.list"))["items"][0]["id"])
        assert (shown["event"], shown["result"], shown["waitingFor"]) == (seq, {"doubled": 8}, [])
        await calls("runs.start", workflow="waits", input={}, id="w")
        await calls.engine.idle()
        waiting = await calls("runs.show", run="w")
        assert any("go on after 1?" in one for one in waiting["waitingFor"])
        assert waiting["status"] == "waiting"

    law(check, tmp_path / "t.db")


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_commands_do_what_they_say(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        FAILING.add("bad")
        await call("runs.start", workflow="waits", input={"a": 1}, id="w")
        assert await call("runs.pause", run="w") == {"id": "w", "done": "paused"}
        assert await _status(calls, "w") == "paused"
        await call("runs.resume", run="w")
        assert await _status(calls, "w") == "waiting"
        await call("runs.cancel", run="w", reason="enough")
        assert await _status(calls, "w") == "cancelled"
        await failure(call("runs.cancel", run="w"), Conflict)
        again = (await call("runs.rerun", run="w"))["run"]
        shown = await calls("runs.show", run=again)
        assert (shown["input"], shown["rerunOf"]) == ({"a": 1}, "w")
        other = (await call("runs.rerun", run="w", input={"a": 2}))["run"]
        assert (await calls("runs.show", run=other))["input"] == {"a": 2}
        await call("runs.start", workflow="fails", input={"name": "bad"}, id="f")
        assert await _status(calls, "f") == "dead"
        FAILING.clear()
        await call("runs.redrive", run="f")
        assert await _status(calls, "f") == "done"
        forked = (await call("runs.fork", run="f", fromStep="work", live=True))["run"]
        assert await _status(calls, forked) == "done"
        shown = await calls("runs.show", run=forked)
        assert (shown["forkedFrom"], [step["copied"] for step in shown["steps"]]) == ("f", [True, False])

    law(check, tmp_path / "t.db")


async def _status(calls: Calls, run: str) -> str:
    await calls.engine.idle()
    return str((await calls("runs.show", run=run))["status"])


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("runs.start", {"workflow": "waits", "input": {"a": 1}}),
        ("runs.rerun", {"run": "w"}),
        ("runs.fork", {"run": "w", "fromStep": "first", "live": True}),
    ],
)
def test_a_key_makes_one_run_also_where_the_answer_was_lost(tmp_path: Path, name: str, given: dict[str, Any]) -> None:
    async def check(calls: Calls) -> None:
        await calls("runs.start", workflow="waits", input={"a": 0}, id="w")
        await calls.engine.idle()
        run = (await calls(name, HERE, "k", **given))["run"]
        assert (await calls(name, HERE, "k", **given))["run"] == run
        # as if the process had died before it answered: the operation itself is asked once more
        operation = CATALOGUE[name]
        asked = calls.service
        direct = await asked._answered(operation, operation.parse(given), HERE, "k")
        assert direct["run"] == run
        assert len((await calls("runs.list"))["items"]) == 2
        other = await calls(name, HERE, "another", **given)
        assert other["run"] != run

    law(check, tmp_path / "t.db")


def test_what_cannot_be(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        await calls("runs.start", workflow="waits", input={"a": 1}, id="w")
        wrong: list[tuple[str, dict[str, Any], type[Exception]]] = [
            ("runs.show", {"run": "none"}, NotFound),
            ("runs.io", {"run": "w", "step": "9999"}, NotFound),
            ("runs.list", {"status": ["nowhere"]}, InvalidInput),
            ("runs.list", {"cursor": "here"}, InvalidInput),
            ("runs.list", {"limit": 0}, InvalidInput),
            ("runs.list", {"since": "2026-01-05T00:00:00"}, InvalidInput),
            ("runs.start", {"workflow": "nothing"}, NotFound),
            ("runs.start", {"workflow": "waits", "version": 7}, NotFound),
            ("runs.start", {"workflow": "waits", "id": "r12"}, InvalidInput),
            ("runs.start", {"workflow": "waits", "input": {"a": 2}, "id": "w"}, InvalidInput),
            ("runs.start", {"workflow": "tickwork/order"}, Forbidden),
            ("runs.start", {"workflow": "flatten"}, Forbidden),
            ("runs.fork", {"run": "w", "fromStep": "first"}, InvalidInput),
            ("runs.fork", {"run": "w", "fromStep": "first", "live": False}, InvalidInput),
            ("runs.fork", {"run": "w", "fromStep": "nowhere", "live": True}, InvalidInput),
            ("runs.redrive", {"run": "w"}, Conflict),
            ("runs.resume", {"run": "gone"}, NotFound),
        ]
        before = len((await calls("runs.list"))["items"])
        for name, fields, kind in wrong:
            for call in (calls, calls.from_elsewhere):
                await failure(call(name, **fields), kind)
        assert len((await calls("runs.list"))["items"]) == before

    law(check, tmp_path / "t.db")


@workflow("tickwork/order")
async def ordering(run: Run, order: dict[str, Any]) -> str:
    """Stands for what places orders."""
    return await run.step("place", lambda: "placed")


def test_what_trades_is_not_started_anew_either(tmp_path: Path) -> None:
    async def check() -> None:
        async with calls(tmp_path / "t.db", [ordering]) as call:
            await call.engine.start(ordering, {}, id="o")
            await call.engine.idle()
            for asked in (call, call.from_elsewhere):
                await failure(asked("runs.rerun", run="o"), Forbidden)
                await failure(asked("runs.fork", run="o", fromStep="place", live=True), Forbidden)
            assert len((await call("runs.list"))["items"]) == 1

    asyncio.run(check())


# ---------------------------------------------------------------------------------------------------------- isolation

OF_A_RUN = sorted(
    name for name, one in CATALOGUE.items() if name.startswith("runs.") and "run" in one.args.model_fields
)
MORE: dict[str, dict[str, Any]] = {"runs.io": {"step": "run"}, "runs.fork": {"fromStep": "first", "live": True}}


def test_every_operation_of_a_run_is_here() -> None:
    assert {"runs.show", "runs.io", "runs.cancel", "runs.fork", "runs.rerun", "runs.records"} <= set(OF_A_RUN)


@pytest.mark.parametrize("name", OF_A_RUN)
def test_somebody_elses_run_is_one_that_is_not_there(tmp_path: Path, name: str) -> None:
    async def check(calls: Calls) -> None:
        await calls("runs.start", ANN, workflow="waits", input={}, id="w")
        run = (await calls("runs.list", ANN))["items"][0]["id"]
        await calls.engine.idle()
        before = await calls("runs.show", run=run)
        words = []
        for asked in (run, "nothing"):
            for call in (calls, calls.from_elsewhere):
                error = await failure(call(name, BOB, run=asked, **MORE.get(name, {})), NotFound)
                words.append(str(error).replace(asked, "it"))
        assert len(set(words)) == 1, "nothing tells the one from the other"
        assert await calls("runs.show", run=run) == before
        if name not in ("runs.resume", "runs.redrive"):
            await calls(name, ANN, run=run, **MORE.get(name, {}))

    law(check, tmp_path / "t.db")


def test_each_sees_and_starts_its_own(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for who in (ANN, BOB, HERE):
            await calls("runs.start", who, workflow="waits", input={}, id="same")
        for who, owner in ((ANN, "ann"), (BOB, "bob")):
            found = (await calls("runs.list", who))["items"]
            assert [one["owner"] for one in found] == [owner]
            assert found == (await calls.from_elsewhere("runs.list", who))["items"]
            await failure(calls("runs.list", who, owner="other"), Forbidden)
        assert len((await calls("runs.list"))["items"]) == 3
        assert [one["owner"] for one in (await calls("runs.list", owner="ann"))["items"]] == ["ann"]
        await failure(calls("runs.start", ANN, workflow="doc/bob/secret", input={}), NotFound)
        reader = Caller(name="r", face="http", scopes=frozenset({"read", "operate"}), owner="ann")
        run = (await calls("runs.list", ANN))["items"][0]["id"]
        await failure(calls("runs.fork", reader, run=run, fromStep="first", live=True), Forbidden)

    law(check, tmp_path / "t.db")


def test_wanted_statuses_are_all_known() -> None:
    assert {status.name.lower() for status in Status} >= {"running", "waiting", "done", "dead"}
    assert waits.name == "waits"
