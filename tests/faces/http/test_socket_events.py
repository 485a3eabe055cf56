"""The plain stream of a run's events, for programs outside, over real sockets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.service.awaiting import awaited
from tests.service.desk_of_documents import LIBRARY, STEPS, Desk
from tests.service.stream.serving import Connected, connected, served
from tests.service.stream.streaming import EVERYBODY, Asked, Noted, asks, engine, steps
from tickwork.service.stream.entities import encode


async def all_of(connection: Connected) -> list[dict[str, Any]]:
    """Everything until the server hangs up, which it does when there is nothing more to come."""
    found = []
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            found.append(await connection.hear())
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000
    return found


@awaited
async def test_a_run_is_told_as_it_goes_with_the_names_that_graphs_know() -> None:
    async with engine() as world, served(world) as (url, _):
        await world.start(steps, Noted(n=6), id="mine")
        async with connected(f"{url}/ws/events?run=mine") as client:
            first = await client.hear()
            assert (first["type"], first["execution_id"], first["sequence"]) == ("workflow_started", "mine", 1)
            await world.settled()
            told = [first, *await all_of(client)]
    assert [one["sequence"] for one in told] == list(range(1, len(told) + 1))
    assert [one["seq"] for one in told] == sorted(one["seq"] for one in told)
    look = [(one["type"], one["status"]) for one in told if one.get("node_name") == "look"]
    assert look == [
        ("node_started", "running"), ("node_error", "retrying"), ("node_completed", "success"),
    ]  # fmt: skip
    done = next(one for one in told if one["type"] == "node_completed" and one["node_name"] == "look")
    assert done["output"] == done["outputs"] == {"n": 6, "size": 6_000}
    large = next(one for one in told if one["type"] == "node_completed" and one["node_name"] == "large")
    assert large["output"]["size"] == 8_002 if isinstance(large["output"], dict) else len(str(large["output"])) == 8_000
    assert (told[-1]["type"], told[-1]["status"]) == ("workflow_completed", "completed")


@awaited
async def test_it_goes_on_after_a_position_and_in_camel_case() -> None:
    async with engine() as world, served(world) as (url, _):
        await world.start(steps, Noted(n=5), id="mine")
        await world.settled()
        async with connected(f"{url}/ws/events?run=mine") as client:
            whole = await all_of(client)
        middle = whole[len(whole) // 2]["seq"]
        async with connected(f"{url}/ws/events?run=mine&after={middle}&case=camel") as client:
            rest = await all_of(client)
    assert rest
    assert [one["sequence"] for one in rest] == [one["sequence"] for one in whole if one["seq"] > middle]
    assert rest[-1]["executionId"] == "mine"
    assert rest[-1]["status"] == "failed"
    assert "never 5" in str(rest[-1]["error"])
    assert all("_" not in name for one in rest for name in one)


@awaited
async def test_the_answer_to_a_question_is_a_node() -> None:
    async with engine() as world, served(world) as (url, _):
        await world.start(asks, Asked(n=1), id="mine")
        async with connected(f"{url}/ws/events?run=mine") as client:
            await client.hear()
            await world.approve((await world.approvals())[0].id, True, "me")
            asked, answered = await client.hear(), await client.hear()
            assert (asked["type"], asked["node_category"]) == ("node_started", "approval")
            assert answered["output"] is True


@pytest.mark.parametrize(
    "query", ["", "run=nobody", "run=a&workflow=b", "execution=a", "workflow=nobody", "workflow=b&execution=c",
              "run=mine&case=x", "run=mine&after=-3"],
)  # fmt: skip
@awaited
async def test_what_cannot_be_streamed_is_told(query: str) -> None:
    async with engine() as world, served(world) as (url, _):
        await world.start(steps, Noted(n=1), id="mine")
        async with connected(f"{url}/ws/events?{query}") as client:
            told = await client.hear()
            assert told["t"] == "err"
            assert told["code"] in ("invalid-input", "not-found")
            with pytest.raises(ConnectionClosed):
                await client.hear()


@awaited
async def test_executions_of_documents_are_told_as_their_own_events_are() -> None:
    desk = Desk()
    async with (
        desk.open() as documents,
        served(documents._engine, library=LIBRARY) as (url, live),
        connected(f"{url}/ws/events?workflow=trades") as everything,
    ):
        made = await documents.create("trades", STEPS)
        known = (await documents.execute("trades", {"symbols": ["AAPL"]}, execution_id="mine"))["execution_id"]
        told = (await documents.events(known))["events"]
        assert {"workflow_started", "node_completed", "workflow_completed"} <= {one["type"] for one in told}
        async with connected(f"{url}/ws/events?workflow={made['workflow_id']}&execution={known}") as client:
            assert await all_of(client) == [json.loads(encode(one)) for one in told]
        nodes = (await live.snapshot("run:mine", EVERYBODY))["data"]["node"]
        assert {node["name"]: node["status"] for node in nodes.values()} == dict.fromkeys(
            ("analyze_news", "generate_signals", "execute_trades"), "completed"
        )
        assert (await everything.hear())["code"] == "not-found", "there was none of this name yet"
        async with (
            connected(f"{url}/ws/events?workflow=trades") as from_now,
            connected(f"{url}/ws/events?workflow=trades&after=0") as from_the_first,
        ):
            assert [await from_the_first.hear() for _ in told] == [json.loads(encode(one)) for one in told]
            await documents.execute("trades", {"symbols": ["AAPL"]}, execution_id="other")
            for client in (from_now, from_the_first):
                first = await client.hear()
                assert (first["type"], first["execution_id"]) == ("workflow_started", "other")
