"""Events: published once per key, and read back in order; the tape as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.operations.calling import HERE, Calls, Cost, Ping, Told, failure, law, owned
from tickwork.engines.embedded.queries import Queries
from tickwork.errors import Forbidden, InvalidInput, NotFound
from tickwork.service import happened
from tickwork.service.api.caller import SCOPES, Caller
from tickwork.service.api.commanded import CommandAsked
from tickwork.service.api.problems import KeyReused
from tickwork.service.happened import event_lines

ANN, BOB = owned("ann"), owned("bob")


def count(calls: Calls, name: str) -> int:
    return len(calls.engine.queries.events(name))


@pytest.mark.parametrize("way", ["here", "elsewhere"])
def test_with_a_key_it_is_published_once(tmp_path: Path, way: str) -> None:
    async def check(calls: Calls) -> None:
        call = calls if way == "here" else calls.from_elsewhere
        given: dict[str, Any] = {"name": "ops/ping", "payload": {"n": 3}}
        many = await asyncio.gather(*(call("events.publish", HERE, "k", **given) for _ in range(10)))
        assert len({one["seq"] for one in many}) == 1
        assert sum(not one["repeated"] for one in many) == 1
        await failure(call("events.publish", HERE, "k", name="ops/ping", payload={"n": 4}), KeyReused)
        await failure(call("events.publish", HERE, "k", name="ops/told", payload={"n": 3}), KeyReused)
        other = Caller(name="other", face="http", scopes=frozenset(SCOPES))
        assert not (await call("events.publish", other, "k", **given))["repeated"]
        await call("events.publish", **given)
        await call("events.publish", **given)
        await calls.engine.idle()
        assert (count(calls, "ops/ping"), count(calls, "ops/told")) == (4, 4)
        assert count(calls, CommandAsked.event_name) == 0, "the event is its own record"

    law(check, tmp_path / "t.db")


def test_a_key_outlives_the_process(tmp_path: Path) -> None:
    seqs: list[int] = []

    async def publish(calls: Calls) -> None:
        found = await calls("events.publish", HERE, "k", name="ops/ping", payload={"n": 3}, delay="1 hour")
        seqs.append(found["seq"])
        calls.engine.kill() if len(seqs) == 1 else None

    law(publish, tmp_path / "t.db")
    law(publish, tmp_path / "t.db")
    assert seqs[0] == seqs[1]


def test_an_event_of_a_newer_version_is_kept_once(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        given: dict[str, Any] = {"name": "ops/ping", "payload": {"n": 3, "new": 1}, "version": 2}
        first = await calls("events.publish", HERE, "k", **given)
        again = await calls.from_elsewhere("events.publish", HERE, "k", **given)
        assert (first["letter"], first["repeated"]) == (True, False)
        assert again == {**first, "repeated": True}
        await failure(calls("events.publish", HERE, "k", **{**given, "payload": {"n": 4}}), KeyReused)
        await calls("events.publish", **given)
        assert [one["kind"] for one in (await calls("letters.list"))["items"]] == ["event", "event"]

    law(check, tmp_path / "t.db")


def test_a_delayed_event_is_published_later(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        seq = (await calls("events.publish", HERE, "k", name="ops/ping", payload={"n": 1}, delay="20 ms"))["seq"]
        assert count(calls, "ops/ping") == 0
        await calls.engine.settled()
        (line,) = (await calls("events.list", type="ops/ping"))["items"]
        assert line["delayedFrom"] == seq
        assert (await calls("events.show", seq=seq))["event"]["due"] is not None

    law(check, tmp_path / "t.db")


def test_what_only_tickwork_may_say(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        for name in (
            "trading/halt.cleared",
            "tickwork/command.answered",
            "tickwork/document.published",
            "exits/placed",
        ):
            await failure(calls("events.publish", name=name, payload={}), Forbidden)
            await failure(calls.from_elsewhere("events.publish", name=name, payload={}), Forbidden)
        await calls("events.publish", name="tickwork/alert", payload={"run": "", "what": "w", "detail": "d"})
        await failure(calls("events.publish", ANN, name="ops/ping", payload={}), Forbidden)
        wrong: list[dict[str, Any]] = [
            {"name": "ops/ping", "payload": {"n": "many"}},
            {"name": "ops/ping", "payload": [1]},
            {"name": "ops/ping", "payload": {"m": 1}},
            {"name": "ops/ping", "payload": {}, "delay": "soon"},
            {"name": "ops/unknown", "payload": {}},
            {"name": "", "payload": {}},
        ]
        for fields in wrong:
            await failure(calls("events.publish", **fields), InvalidInput)

    law(check, tmp_path / "t.db")


# ------------------------------------------------------------------------------------------------------------ history


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["ping", "told"]), max_size=8), st.integers(1, 5), st.integers(0, 12))
def test_pages_are_the_whole_in_order(tmp_path: Path, kinds: list[str], limit: int, after: int) -> None:
    async def check(calls: Calls) -> None:
        for n, kind in enumerate(kinds):
            await calls.engine.emit(Ping(n=n) if kind == "ping" else Told(n=n))
        await calls.engine.idle()
        tape = calls.engine.queries.tape()
        happened = [one["seq"] for one in tape if one["kind"] in ("event", "emit") and one["seq"] > after]
        assert [one["seq"] for one in await calls.pages("events.list", limit=limit)] == sorted(
            one["seq"] for one in tape if one["kind"] in ("event", "emit")
        )
        assert [one["seq"] for one in (await calls("events.list", after=after, limit=100))["items"]] == happened
        for name in ("ops/ping", "ops/told"):
            mine = [one["seq"] for one in tape if one["kind"] in ("event", "emit") and one["name"] == name]
            assert [one["seq"] for one in await calls.pages("events.list", limit=limit, type=name)] == mine
        assert await calls.pages("tape.list", limit=limit) == tape

    law(check, tmp_path / f"{'-'.join(kinds)}-{limit}-{after}.db")


def test_an_event_and_what_came_of_it(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        seq = (await calls("events.publish", name="ops/ping", payload={"n": 2, "text": "y" * 9_000}))["seq"]
        await calls.engine.idle()
        shown = await calls("events.show", seq=seq)
        assert shown == await calls.from_elsewhere("events.show", seq=seq)
        (started,) = shown["started"]
        assert (started["workflow"], started["status"], shown["complete"]) == ("hears", "done", True)
        assert shown["event"]["payload"]["text"] == "y" * 9_000
        (line,) = (await calls("events.list", type="ops/ping"))["items"]
        assert line["payload"]["href"] == f"/api/v1/events/{seq}"
        told = await calls("events.list", run=started["run"])
        assert [one["type"] for one in told["items"]] == ["ops/ping", "ops/told"]
        assert [one["run"] for one in told["items"]] == [None, started["run"]]
        only = await calls("events.list", run=started["run"], type="ops/told")
        assert [one["payload"] for one in only["items"]] == [{"n": 4}]
        await failure(calls("events.show", seq=seq + 1), NotFound)  # a record, and no event
        await failure(calls("events.show", seq=10_000), NotFound)
        (record,) = (await calls("tape.list", after=seq - 1, limit=1))["items"]
        whole = await calls("tape.list", after=seq - 1, limit=1, whole=True)
        assert record["value"]["href"] == f"/api/v1/tape?limit=1&whole=true&after={seq - 1}"
        assert whole["items"][0]["value"]["text"] == "y" * 9_000

    law(check, tmp_path / "t.db")


def test_a_page_costs_the_same_however_many_events_there_are(tmp_path: Path) -> None:
    path = tmp_path / "t.db"

    async def check(calls: Calls) -> None:
        cost = Cost(path)

        def page(after: int, of: str | None) -> Callable[[Queries], Any]:
            return lambda queries: event_lines(queries, after, 20, of)

        async def more(number: int) -> None:
            for n in range(number):
                calls.engine.post(Told(n=n))
                if n % 10 == 0:
                    calls.engine.post(Ping(n=n))
            await calls.engine.idle()

        await more(500)
        small = [cost.of(page(100, of)) for of in (None, "ops/ping")]
        records = cost.of(lambda queries: queries.entries(100, 20))
        await more(4_500)
        for index, of in enumerate((None, "ops/ping")):
            assert cost.of(page(4_000, of)) <= small[index] * 1.3
        assert cost.of(lambda queries: queries.entries(4_000, 20)) <= records * 1.3
        cost.close()

    law(check, path)


def test_runs_are_looked_for_only_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happened, "LOOKED", 5)

    async def check(calls: Calls) -> None:
        seq = (await calls("events.publish", name="ops/ping", payload={"n": 2}))["seq"]
        assert (await calls("events.show", seq=seq))["complete"]
        for n in range(5):
            await calls.engine.emit(Ping(n=n))
        shown = await calls("events.show", seq=seq)
        assert (len(shown["started"]), shown["complete"]) == (1, False)

    law(check, tmp_path / "t.db")


def test_somebody_elses_events(tmp_path: Path) -> None:
    async def check(calls: Calls) -> None:
        run = (await calls("runs.start", ANN, workflow="hears", input={"n": 1}))["run"]
        await calls.engine.idle()
        (line,) = (await calls("events.list", ANN, run=run))["items"]
        assert (await calls("events.show", ANN, seq=line["seq"]))["event"]["payload"] == {"n": 2}
        await failure(calls("events.list", BOB, run=run), NotFound)
        await failure(calls("events.list", ANN), InvalidInput)
        await failure(calls("events.show", BOB, seq=line["seq"]), NotFound)
        outside = await calls("events.publish", name="ops/ping", payload={})
        await failure(calls("events.show", ANN, seq=outside["seq"]), NotFound)
        await failure(calls("tape.list", ANN), Forbidden)

    law(check, tmp_path / "t.db")
