"""Owners on one engine: nothing of another is seen, used, blocked or named, and no one takes the engine for himself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support import live
from tickwork.core.queue import queue_name
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import ServiceError
from tickwork.graph.library import library
from tickwork.graph.nodes.views import DEPTH_MAX, Emitted
from tickwork.graph.nodes.views import VIEWS as NODE_VIEWS
from tickwork.graph.sources import Sources
from tickwork.graph.tenants import OWNER_MAX, bare, own, prefix
from tickwork.market.alert_events import AlertSet
from tickwork.market.news import NewsItem
from tickwork.service.documents import VIEWS, Documents, recovered
from tickwork.service.documents.calls import CALLS_MAX

Node = dict[str, Any]
ODD = 'o\'neil "x" \\ é'
SAY: Node = {"id": "say", "type": "log", "params": {"message": "{{event.data.secret}}"}}
DO: Node = {"id": "do", "type": "log", "params": {"message": "done"}}


@asynccontextmanager
async def desk(tape: Memory | None = None, **options: Any) -> AsyncIterator[tuple[Documents, Engine]]:
    memory, sources = tape or Memory(), Sources()
    found = recovered(memory, library=library(), sources=sources)
    async with Engine(memory, workflows=found.workflows, views=(*VIEWS, *NODE_VIEWS), seed=1) as engine:
        sources.put("breakers", engine.breakers)
        documents = Documents(engine, found, **options)
        await documents.open()
        yield documents, engine
        engine.kill()


async def create(documents: Documents, owner: str, name: str, *nodes: Node, **told: Any) -> str:
    made = await documents.create(document={"name": name, "nodes": list(nodes), **told}, owner=owner)
    return str(made["workflow_id"])


async def executions(documents: Documents, name: str, owner: str) -> int:
    page = await documents.list(owner=owner)
    return int(next(line["executions_count"] for line in page["workflows"] if line["name"] == name))


def on(**spec: Any) -> dict[str, Any]:
    return {"triggers": [spec]}


def emits(id: str = "tell", **params: Any) -> Node:
    return {"id": id, "type": "emit_event", "params": {"name": "told", **params}}


def queues(queue: str = "execution") -> Node:
    return {"id": "put", "type": "queue_for_execution", "params": {"queue": queue}, "inputs": {"symbol": "X"}}


def calls(*ids: str, **node: Any) -> list[Node]:
    return [{"id": id, "type": "subprocess", "params": {"workflow_id": "{{event.w}}"}, **node} for id in ids]


async def refused(documents: Documents, owner: str, name: str, *nodes: Node, **told: Any) -> str:
    with pytest.raises(ServiceError) as error:
        await create(documents, owner, name, *nodes, **told)
    return str(error.value)


# --------------------------------------------------------------------------------------------------------------- names


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_names_of_different_owners_never_meet(one: str, other: str, name: str, further: str) -> None:
    if one and other and one != other:
        assert own(one, name) != own(other, further)
        assert bare(other, own(one, name)) is None
    assert bare(one, own(one, name)) == name
    assert len(prefix(one)) <= OWNER_MAX + 1
    if one:
        assert queue_name("name", own(one, "execution"))
    assert own("", name) == name


# -------------------------------------------------------------------------------------------------------------- events


@pytest.mark.parametrize(
    "event", ["tickwork/document.published", "tickwork/webhook.received", "tickwork/notify", "tickwork/agent.assigned",
              "tickwork/schedule.fired", "graph/order.placed", AlertSet.event_name],
)  # fmt: skip
@live
async def test_events_of_others_start_nothing(event: str) -> None:
    async with desk() as (documents, _):
        told = await refused(documents, "eve", "spy", SAY, **on(type="event", event=event))
        assert event in told
        assert "market/" in told
        assert "graph/event.emitted" in told
        await create(documents, "", "house", DO, **on(type="event", event=event))


@live
async def test_documents_hear_what_their_owners_documents_emit() -> None:
    async with desk() as (documents, engine):
        for owner in ("eve", "bob", ""):
            await create(documents, owner, "hears", DO, **on(type="event", event="graph/event.emitted"))
            await create(
                documents, owner, "hears some", DO,
                **on(type="event", event="graph/event.emitted", where="name == 'told' or true"),
            )  # fmt: skip
            await create(
                documents, owner, "hears one", DO,
                **on(type="event", event="graph/event.emitted", where={"name": "told"}),
            )  # fmt: skip
        await create(documents, "bob", "says", emits(fields={"secret": "bob's"}))
        await documents.execute("says", owner="bob")
        await engine.settled()
        for name in ("hears", "hears some", "hears one"):
            heard = [await executions(documents, name, owner) for owner in ("eve", "bob", "")]
            assert heard == [0, 1, 1]


@live
async def test_the_market_is_everybodys() -> None:
    async with desk() as (documents, engine):
        await create(documents, "eve", "reads", DO, **on(type="event", event="market/news"))
        now = datetime(2026, 1, 5, tzinfo=UTC)
        await engine.emit(NewsItem(id="1", source="wire", title="up", published_at=now, known_at=now, symbols=()))
        await engine.settled()
        assert await executions(documents, "reads", "eve") == 1


@pytest.mark.parametrize("where", ["", "true) or (true"])
@live
async def test_nobody_waits_for_what_others_emit(where: str) -> None:
    async with desk() as (documents, engine):
        waits = {"id": "wait", "type": "wait_for_event", "params": {"event": "told", "where": where}}
        if where:
            assert "where" in await refused(documents, "eve", "waits", waits)
            return
        for owner in ("eve", ODD):
            await create(documents, owner, "waits", waits)
            await create(documents, owner, "says", emits())
        eve = await documents.execute("waits", async_=True, owner="eve")
        other = await documents.execute("waits", async_=True, owner=ODD)
        await documents.execute("says", owner=ODD)
        await engine.settled()
        assert (await documents.status(execution_id=other["execution_id"], owner=ODD))["progress"] == 100
        assert (await documents.status(execution_id=eve["execution_id"], owner="eve"))["progress"] == 0


@live
async def test_waiting_for_an_event_of_the_house_fails_with_words() -> None:
    async with desk() as (documents, _):
        waits = {"id": "wait", "type": "wait_for_event", "params": {"event": "tickwork/document.published"}}
        await create(documents, "eve", "waits", waits)
        report = await documents.execute("waits", owner="eve")
        assert report["status"] == "failed"
        assert "market/" in str(report["error"])


# -------------------------------------------------------------------------------------------------------------- queues


@live
async def test_queues_are_their_owners() -> None:
    async with desk() as (documents, engine):
        for owner in ("eve", "bob", ""):
            await create(documents, owner, "takes", DO, **on(type="queue", name="execution"))
            await create(documents, owner, "puts", queues())
        await documents.execute("puts", owner="bob")
        await engine.idle()
        assert [await executions(documents, "takes", owner) for owner in ("eve", "bob", "")] == [0, 1, 0]

        def completed(report: Mapping[str, Any]) -> dict[str, int]:
            return {one["name"]: one["completed_today"] for one in report["queues"]}

        assert completed(await documents.queue_status(owner="eve")) == {"execution": 0}
        assert completed(await documents.queue_status("execution", True, owner="bob")) == {"execution": 1}
        assert completed(await documents.queue_status()) == {"execution": 0, "bob:execution": 1, "eve:execution": 0}
        with pytest.raises(ServiceError) as error:
            await documents.queue_status("bob:execution", owner="eve")
        assert "execution" in str(error.value)
        assert "puts" not in str(error.value)


@live
async def test_a_queue_that_is_not_there_names_none_of_others() -> None:
    async with desk() as (documents, _):
        await create(documents, "bob", "takes", DO, **on(type="queue", name="bobs-secret"))
        await create(documents, "eve", "puts", queues("anything"))
        report = await documents.execute("puts", owner="eve")
        assert report["status"] == "failed"
        assert "anything" in str(report)
        assert "bob" not in str(report)


# --------------------------------------------------------------------------------------------- other names of documents


@live
async def test_schedules_are_their_owners() -> None:
    memory = Memory()
    async with desk(memory) as (documents, engine):
        for owner in ("eve", "bob", ""):
            await create(documents, owner, "opens", DO, **on(type="schedule", cron="0 9 * * *", name="open"))
        assert sorted(one.name for one in await engine.schedules.list()) == ["bob:open", "eve:open", "open"]
        await engine.durable()
    async with desk(memory) as (documents, _):
        assert documents.problems == []
        triggers = (await documents.status("opens", owner="bob"))["triggers"]
        assert [(one["status"], one["next_firing"] is not None) for one in triggers] == [("active", True)]


@live
async def test_breakers_are_their_owners() -> None:
    async with desk() as (documents, engine):
        rests = {"id": "f", "type": "formula", "params": {"formula": "1"}, "breaker": {"name": "venue", "threshold": 1}}
        await create(documents, "eve", "rests", rests)
        assert (await documents.execute("rests", owner="eve"))["status"] == "completed"
        await engine.breakers.trip("eve:venue")
        report = await documents.execute("rests", owner="eve")
        assert report["status"] == "failed"
        assert "venue" in str(report["error"])
        looks = {"id": "look", "type": "circuit_breaker", "params": {"name": "venue"}}
        works = {"id": "g", "type": "formula", "params": {"formula": "1"}, "breaker": {"name": "venue", "threshold": 9}}
        for owner in ("bob", ""):
            await create(documents, owner, "works", works)
            assert (await documents.execute("works", owner=owner))["status"] == "completed"
        stands = {}
        for owner in ("eve", "bob", ""):
            await create(documents, owner, "looks", looks)
            report = await documents.execute("looks", owner=owner)
            stands[owner] = report["steps"][0]["result"]["circuit_status"]
        assert stands == {"eve": "open", "bob": "closed", "": "closed"}


@live
async def test_webhooks_are_the_installations() -> None:
    async with desk() as (documents, _):
        hook = on(type="webhook", name="tv", secret_file="/etc/hostname")
        assert "secret of the host" in await refused(documents, "eve", "posts", DO, **hook)
        await create(documents, "", "posts", DO, **hook)


# ---------------------------------------------------------------------------------------- runs that come of each other


@live
async def test_calls_do_not_nest_without_end() -> None:
    async with desk() as (documents, _):
        await create(documents, "eve", "deep", *calls("c"))
        report = await documents.execute("deep", {"w": "deep"}, owner="eve")
        assert report["status"] == "failed"
        assert f"at most {CALLS_MAX} calls" in str(report["error"])
        assert await executions(documents, "deep", "eve") == CALLS_MAX + 1


@pytest.mark.parametrize("stop", [{}, {"onError": "continue"}])
@live
async def test_a_workflow_with_many_unfinished_executions_is_not_called(stop: dict[str, str]) -> None:
    async with desk(capacity=30) as (documents, engine):
        await create(documents, "eve", "bomb", *calls("a", "b", "c", **stop))
        await create(documents, "eve", "waits", {"id": "w", "type": "wait", "params": {"duration": "1 day"}})
        report = await documents.execute("bomb", {"w": "waits"}, async_=True, owner="eve")
        await engine.idle()
        assert await executions(documents, "waits", "eve") == 3
        for _ in range(11):
            report = await documents.execute("bomb", {"w": "waits"}, async_=True, owner="eve")
        await engine.idle()
        assert await executions(documents, "waits", "eve") == 30
        assert "30 unfinished" in str(
            (await documents.status(execution_id=report["execution_id"], owner="eve"))["steps"]
        )
        await engine.settled()
        report = await documents.execute("bomb", {"w": "waits"}, async_=True, owner="eve")
        await engine.settled()
        assert await executions(documents, "waits", "eve") == 33, "there is room again"


@live
async def test_calls_are_counted_over_a_crash() -> None:
    memory = Memory()
    async with desk(memory, capacity=2) as (documents, engine):
        for name in ("calls", "calls too"):
            await create(documents, "eve", name, *calls("a"))
        await create(documents, "eve", "waits", {"id": "w", "type": "wait", "params": {"duration": "1 day"}})
        for id in ("one", "two"):
            await documents.execute("calls", {"w": "waits"}, async_=True, execution_id=id, owner="eve")
        await engine.idle()
        await engine.durable()
    async with desk(memory, capacity=2) as (documents, engine):
        await documents.execute("calls too", {"w": "waits"}, async_=True, execution_id="three", owner="eve")
        await engine.settled()
        ends = [(await documents.status(execution_id=id, owner="eve"))["status"] for id in ("one", "two", "three")]
        assert ends == ["completed", "completed", "failed"]
        assert await executions(documents, "waits", "eve") == 2


@live
async def test_calls_do_not_multiply_without_end() -> None:
    most = 0
    async with desk(capacity=30) as (documents, engine):
        await create(documents, "eve", "bomb", *calls("a", "b", "c"))
        await documents.execute("bomb", {"w": "bomb"}, async_=True, owner="eve")
        over = asyncio.ensure_future(engine.settled())
        while not over.done():
            most = max(most, await unfinished(engine))
            await asyncio.sleep(0)
        assert most <= 30
        assert await executions(documents, "bomb", "eve") < 30 * CALLS_MAX


async def unfinished(engine: Engine) -> int:
    await engine.durable()
    found: int = engine.queries.reader.one("SELECT count(*) FROM runs WHERE status < 10")
    return found


@live
async def test_events_do_not_start_each_other_without_end() -> None:
    async with desk() as (documents, engine):
        await create(documents, "eve", "storm", emits(), **on(type="event", event="graph/event.emitted"))
        await documents.execute("storm", owner="eve")
        await engine.settled()
        assert await executions(documents, "storm", "eve") == DEPTH_MAX + 1
        report = await documents.status("storm", owner="eve")
        assert report["execution_status"] == "failed"
        assert f"at most {DEPTH_MAX} of them" in str(report["error"])


@live
async def test_a_call_between_two_events_hides_none() -> None:
    async with desk() as (documents, engine):
        await create(documents, "eve", "says", emits())
        one = {"id": "c", "type": "subprocess", "params": {"workflow_id": "says", "input": {"depth": 0}}}
        await create(documents, "eve", "storm", one, **on(type="event", event="graph/event.emitted"))
        await documents.execute("says", owner="eve")
        await engine.settled()
        assert await executions(documents, "says", "eve") == DEPTH_MAX + 1
        events = engine.queries.events(Emitted.event_name)
        depths = [Emitted.read(one.record.version, bytes(one.record.value)).depth for one in events]
        assert depths == list(range(1, DEPTH_MAX + 1))


# ---------------------------------------------------------------------------------------------------------------- keys


@live
async def test_a_key_that_cannot_be_told_fails_the_execution() -> None:
    async with desk() as (documents, _):
        await create(documents, "eve", "keyed", DO, limits={"key": "event.zz", "concurrency": 1})
        report = await documents.execute("keyed", {"a": 1}, owner="eve")
        assert report["status"] == "failed"
        assert "limits.key" in str(report["error"])
        assert "zz" in str(report["error"])
        assert [step["status"] for step in report["steps"]] == ["pending"]
        assert (await documents.execute("keyed", {"zz": 1}, owner="eve"))["status"] == "completed"
