"""The live stream over real sockets: its protocol, clients that come and go, clients that do not read, nonsense."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.service.awaiting import awaited
from tests.service.stream.serving import Connected, connected, served
from tests.service.stream.streaming import (
    EVERYBODY,
    Asked,
    Boxed,
    Client,
    Noted,
    Quick,
    asks,
    bound_to,
    engine,
    flat,
    steps,
)
from tickwork.errors import TapeError
from tickwork.service import run_shown
from tickwork.service.api.caller import Caller
from tickwork.service.stream import session
from tickwork.service.stream.events import REACH
from tickwork.service.stream.live import Live


async def snapshot(live: Live, view: str) -> tuple[int, dict[tuple[str, str], Any]]:
    found = await live.snapshot(view, EVERYBODY)
    return found["seq"], flat(found["data"])


async def changed(live: Live) -> None:
    """Until the stream has something new."""
    news = asyncio.Event()
    live.listen(news.set)
    await news.wait()
    live.unlisten(news.set)


async def follow_to(client: Client, connection: Connected, end: int) -> None:
    """Until a client has been told of a position."""
    await connection.follow(client, lambda: client.seq is not None and client.seq >= end)


# -------------------------------------------------------------------------------------------------------- protocol


@awaited
async def test_a_client_is_greeted_and_told_a_snapshot_and_what_follows() -> None:
    async with (
        engine() as world,
        served(world, ui="build-7", halt=lambda: {"level": "halt"}) as (url, live),
        connected(f"{url}/ws?v=1") as client,
    ):
        hello = await client.hear()
        assert hello["t"] == "hello"
        assert hello["epoch"] == live.epoch
        assert hello["mode"] == "paper"
        assert hello["halt"] == {"level": "halt"}
        assert hello["ui"] == "build-7"
        assert hello["version"] == "0"
        assert hello["seq"] == live.seq > 0
        await client.say(t="sub", id=1, view="now")
        kept = Client()
        kept.take(await client.hear())
        await world.emit(Noted(n=1))
        await client.follow(kept, lambda: ("run", "r3") in kept.state)
        await world.settled()
        await world.durable()
        await client.follow(kept, lambda: kept.seq == world.status()["seq"])
        assert (kept.seq, kept.state) == await snapshot(live, "now")


@awaited
async def test_several_views_on_one_connection_each_with_its_id() -> None:
    async with engine() as world, served(world) as (url, _), connected(f"{url}/ws") as client:
        await client.hear()
        await world.start(steps, Noted(n=1), id="mine")
        for id, view in enumerate(("run:mine", "queues", "events")):
            await client.say(t="sub", id=id, view=view)
        told = {frame["id"]: frame for frame in [await client.hear() for _ in range(3)]}
        assert all(frame["t"] == "snap" for frame in told.values())
        assert told[0]["data"]["run"]["mine"]["workflow"] == "steps"
        assert told[1]["data"]["queue"]["box"]["waiting"] == 0
        await client.say(t="unsub", id=0)
        await client.say(t="unsub", id=1)
        await world.emit(Asked(n=1))
        while True:
            frame = await client.hear_of("d")
            if frame["id"] == 2 and any(kind == "event" for kind, _, _ in frame["set"]):
                break


@awaited
async def test_a_view_that_is_opened_later_is_told_whole_though_the_client_has_come_back() -> None:
    async with engine() as world, served(world) as (url, live):
        await live.snapshot("runs", EVERYBODY)
        seq = live.seq
        await world.emit(Asked(n=1))
        await live.look()
        async with connected(f"{url}/ws?since={seq}&epoch={live.epoch}") as client:
            await client.hear()
            await client.say(t="sub", id=1, view="runs")
            resumed = await client.hear()
            assert (resumed["t"], resumed["f"]) == ("d", seq + 1)
            await client.say(t="sub", id=2, view="runs")
            assert (await client.hear())["t"] == "snap"
            await client.say(t="sub", id=3, view="runs", since=seq)
            again = await client.hear()
            assert again["set"] == resumed["set"]


@awaited
async def test_large_values_are_told_by_their_beginning_size_and_place() -> None:
    async with engine() as world, served(world) as (_, live):
        await world.start(steps, Noted(n=3), id="mine")
        await world.settled()
        data = (await live.snapshot("run:mine", EVERYBODY))["data"]
        by_name = {step["name"]: step for step in data["step"].values()}
        large = by_name["large"]
        assert large["output"]["size"] == 12_002
        assert len(large["output"]["preview"]) == 1_000
        assert large["output"]["href"] == f"/api/v1/runs/mine/steps/{large['id']}/io"
        assert run_shown.whole(world.queries, world.queries.row("mine"), large["id"]).output == "x" * 12_000
        assert by_name["look"]["output"] == {"n": 3, "size": 3_000}
        assert data["step"][f"mine/{large['id']}"] == large


@awaited
async def test_a_silent_connection_hears_that_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "HEARTBEAT_S", 0.05)
    async with engine() as world, served(world) as (url, live), connected(f"{url}/ws") as client:
        await client.hear()
        assert await client.hear() == {"t": "hb", "seq": live.seq}


@awaited
async def test_a_server_that_goes_says_so() -> None:
    async with engine() as world, served(world) as (url, live), connected(f"{url}/ws") as client:
        await client.hear()
        await live.close()
        assert await client.hear() == {"t": "bye", "reason": "restart", "retry_ms": 500}
        with pytest.raises(ConnectionClosed) as closed:
            await client.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012


@awaited
async def test_a_slower_rate_makes_fewer_and_larger_messages() -> None:
    async with engine() as world, served(world) as (url, live), connected(f"{url}/ws") as client:
        await client.hear()
        await client.say(t="rate", ms=500)
        await client.say(t="sub", id=1, view="events")
        kept, deltas = Client(), 0
        kept.take(await client.hear())
        began = live.turn
        for n in range(8):
            await world.emit(Asked(n=n))
            await changed(live)
        while kept.seq != live.seq:
            kept.take(await client.hear_of("d"))
            deltas += 1
        assert deltas < live.turn - began, "the stream moved more often than the client was told"


# --------------------------------------------------------------------------------------------------- come and go


@awaited
async def test_a_client_that_is_cut_off_fifty_times_ends_equal_to_the_server(tmp_path: Path) -> None:
    chance = random.Random(7)
    views = ["now", "runs", "events", "queues"]
    clients = {view: Client() for view in views}
    cuts = 0

    async def load() -> None:
        while cuts < 50:
            for n in range(100):
                world.post(Quick(n=n) if n % 10 == 0 else Boxed(n=n))
            await asyncio.sleep(0.05)

    async with engine(f"sqlite:///{tmp_path}/tape.db") as world, served(world) as (url, live):
        loading = asyncio.ensure_future(load())
        while cuts < 50:
            view = views[cuts % 4]
            client = clients[view]
            since = "" if client.seq is None else f"&since={client.seq}&epoch={live.epoch}&opening={live.opening}"
            async with connected(f"{url}/ws?v=1{since}") as connection:
                await connection.hear()
                await connection.say(t="sub", id=1, view=view)
                for _ in range(chance.randrange(1, 4)):
                    client.take(await connection.hear_of("snap", "d"))
                cuts += 1
                if chance.random() < 0.5:
                    connection.connection.transport.abort()
        await loading
        await world.idle()
        resumed = {view: client.snaps for view, client in clients.items()}
        for view, client in clients.items():
            end = world.status()["seq"]
            async with connected(f"{url}/ws?since={client.seq}&epoch={live.epoch}") as connection:
                await connection.say(t="sub", id=1, view=view)
                await follow_to(client, connection, end)
        for view, client in clients.items():
            seq, state = await snapshot(live, view)
            assert client.seq == seq
            assert client.state == state, view
    assert sum(client.events for client in clients.values()) > 2_000
    assert cuts >= 50
    assert sum(resumed.values()) < 30, "mostly it went on from where it was"


@awaited
async def test_who_is_too_far_behind_is_told_all_anew() -> None:
    async with engine() as world, served(world) as (url, live):
        start = live.seq
        async with connected(f"{url}/ws") as client:
            await client.hear()
            await client.say(t="sub", id=1, view="events")
            await client.hear()
            for n in range(REACH + 10):
                world.post(Boxed(n=n))
            await world.durable()
            frame = await client.hear_of("d", "snap")
            assert frame["t"] == "snap"
            near = frame["seq"] - 100
            for since, epoch, told in ((start, live.epoch, "snap"), (near, "other", "snap"), (near, None, "snap")):
                await client.say(t="unsub", id=1)
                async with connected(f"{url}/ws?since={since}" + (f"&epoch={epoch}" if epoch else "")) as other:
                    await other.hear()
                    await other.say(t="sub", id=5, view="events")
                    assert (await other.hear())["t"] == told
                await client.say(t="sub", id=1, view="events")


@awaited
async def test_a_run_goes_on_from_the_tape_after_a_restart(tmp_path: Path) -> None:
    url_of_tape = f"sqlite:///{tmp_path}/tape.db"
    kept = Client()
    async with engine(url_of_tape) as world:
        await world.start(steps, Noted(n=1), id="mine")
        async with served(world) as (url, live), connected(f"{url}/ws") as client:
            hello = await client.hear()
            await client.say(t="sub", id=1, view="run:mine")
            kept.take(await client.hear())
    async with engine(url_of_tape) as world, served(world) as (url, live):
        assert live.epoch == hello["epoch"]
        assert live.opening != hello["opening"]
        since = f"since={kept.seq}&epoch={hello['epoch']}&opening={hello['opening']}"
        async with connected(f"{url}/ws?{since}") as client:
            await client.hear()
            await client.say(t="sub", id=1, view="run:mine")
            await world.handle("mine").result(timeout="30 s")
            await world.durable()
            await client.follow(kept, lambda: kept.seq == world.status()["seq"])
        assert kept.snaps == 1
        assert (kept.seq, kept.state) == await snapshot(live, "run:mine")
        assert kept.state["run", "mine"]["status"] == "done"


@awaited
async def test_a_question_answered_while_a_client_was_away_is_gone_after_a_restart(tmp_path: Path) -> None:
    url_of_tape = f"sqlite:///{tmp_path}/tape.db"
    kept = Client()
    async with engine(url_of_tape) as world:
        await world.start(asks, Asked(n=1), id="mine")
        async with served(world) as (url, live), connected(f"{url}/ws") as client:
            since = f"epoch={live.epoch}&opening={live.opening}"
            await client.say(t="sub", id=1, view="run:mine")
            kept.take(await client.hear_of("snap"))
    assert ("approval", "mine:0") in kept.state
    async with engine(url_of_tape) as world:
        await world.approve("mine:0", True, "me")
        await world.idle()
        async with served(world) as (url, live), connected(f"{url}/ws?since={kept.seq}&{since}") as client:
            await client.say(t="sub", id=1, view="run:mine")
            kept.take(await client.hear_of("snap", "d"))
            assert kept.snaps == 1
            assert (kept.seq, kept.state) == await snapshot(live, "run:mine")
            assert kept.state["run", "mine"]["result"] is True


@awaited
async def test_a_tape_made_anew_or_restored_is_told_anew(tmp_path: Path) -> None:
    tape, copy = tmp_path / "tape.db", tmp_path / "copy.db"
    async with engine(f"sqlite:///{tape}") as world:
        await world.start(asks, Asked(n=1), id="mine")
    shutil.copy(tape, copy)
    async with engine(f"sqlite:///{tape}", seed=2) as world:
        await world.emit(Asked(n=2))
        async with served(world) as (_, live):
            epoch, opening, seq = live.epoch, live.opening, live.seq
    # restored: the tape of then, which went another way
    async with engine(f"sqlite:///{copy}", seed=3) as world:
        for n in range(20):
            await world.emit(Asked(n=n + 100))
        async with served(world) as (url, live):
            assert live.epoch == epoch
            assert live.seq > seq
            # what a client saw of a position, under which opening, and whether this tape goes on from there
            first = epoch  # the first opening of a tape is what names it
            for since, under, told in (
                (seq, opening, "snap"),
                (live.seq - 3, first, "snap"),
                (live.seq + 5, live.opening, "snap"),
                (live.seq - 3, live.opening, "d"),
                (2, first, "d"),
            ):
                async with connected(f"{url}/ws?since={since}&epoch={epoch}&opening={under}") as client:
                    await client.say(t="sub", id=1, view="run:mine")
                    assert (await client.hear_of("snap", "d"))["t"] == told
    async with engine(f"sqlite:///{tmp_path}/other.db", seed=4) as world, served(world) as (_, live):
        assert live.epoch != epoch


# --------------------------------------------------------------------------------------------------- slow readers


@awaited
async def test_who_does_not_read_slows_nobody_and_costs_nothing(tmp_path: Path) -> None:
    async with (
        engine(f"sqlite:///{tmp_path}/tape.db") as world,
        served(world) as (url, _live),
        connect(f"{url}/ws", max_size=None, max_queue=1, close_timeout=0.5, proxy=None) as deaf,
        connected(f"{url}/ws") as client,
    ):
        for connection in (Connected(deaf), client):
            for id, view in enumerate(("now", "events", "runs")):
                await connection.say(t="sub", id=id, view=view)
        deaf.transport.pause_reading()
        kept = Client()
        sizes = []
        tracemalloc.start()
        for burst in range(12):
            for n in range(1_000):
                world.post(Asked(n=burst * 1_000 + n) if n % 20 == 0 else Boxed(n=n))
            await world.durable()
            end = world.status()["seq"]
            while kept.seq is None or kept.seq < end:  # who reads is told all the same
                frame = await client.hear_of("snap", "d")
                if frame["id"] == 1:
                    kept.take(frame)
            sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert kept.snaps == 1
        assert sizes[-1] - sizes[5] < 6_000_000, "memory does not follow what the deaf one has not read"
        deaf.transport.resume_reading()
        late = Client()
        end = world.status()["seq"]
        while late.seq is None or late.seq < end:
            frame = json.loads(await deaf.recv())
            if frame["t"] in ("snap", "d") and frame["id"] == 1:
                late.take(frame)
        assert late.state == kept.state


# ------------------------------------------------------------------------------------------------------- nonsense

texts = st.one_of(
    st.text(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        max_leaves=12,
    ).map(json.dumps),
    st.fixed_dictionaries(
        {"t": st.sampled_from(["sub", "unsub", "rate", "hello", "d", ""])},
        optional={
            "id": st.integers(-1, 3) | st.text(max_size=3) | st.floats() | st.none() | st.booleans(),
            "view": st.sampled_from(["now", "runs", "run:", "run:nobody", "queue:x", "queue:box", "events", ""])
            | st.text(max_size=400)
            | st.integers(),
            "since": st.integers() | st.text(max_size=4) | st.none(),
            "ms": st.integers() | st.floats() | st.none() | st.text(max_size=4),
        },
    ).map(json.dumps),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(texts | st.binary(max_size=100), max_size=30))
def test_nonsense_is_answered_and_the_conversation_goes_on(frames: list[str | bytes]) -> None:
    async def law() -> None:
        async with engine() as world, served(world) as (url, live), connected(f"{url}/ws") as client:
            assert (await client.hear())["t"] == "hello"
            for frame in frames:
                await client.connection.send(frame)
            await client.say(t="sub", id=9_999, view="schedules")
            while True:
                told = await client.hear()
                assert told["t"] in ("snap", "d", "err")
                if told["t"] == "err":
                    assert told["code"] in ("invalid-input", "not-found", "forbidden")
                    assert told["detail"]
                if told.get("id") == 9_999:
                    assert told["t"] == "snap"
                    break
            assert live.fault is None
            assert live._task is not None
            assert not live._task.done()

    asyncio.run(law())


@awaited
async def test_too_much_is_hung_up_on() -> None:
    async with engine() as world, served(world) as (url, live):
        for frame, code in (("x" * 5_000, 1009), ("é" * 3_000, 1009)):
            async with connected(f"{url}/ws") as client:
                await client.connection.send(frame)
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        await client.hear()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == code
        async with connected(f"{url}/ws") as client:
            with pytest.raises(ConnectionClosed) as closed:
                for _ in range(session.MISTAKES + 10):
                    await client.say(t="what")
                while True:
                    await client.hear()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
        async with connected(f"{url}/ws") as client:
            for id in range(session.SUBSCRIPTIONS + 1):
                await client.say(t="sub", id=id, view="schedules")
            refused = await client.hear_of("err")
            assert refused["id"] == session.SUBSCRIPTIONS
        live.connections = 2  # of which one caller gets half
        async with connected(f"{url}/ws") as client:
            assert (await client.hear())["t"] == "hello"
            async with connected(f"{url}/ws") as other:
                with pytest.raises(ConnectionClosed) as closed:
                    await other.hear()
                assert closed.value.rcvd is not None
                assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1013, "this caller has too many sockets")


@pytest.mark.parametrize("query", ["since=x", "since=-1", "since=99999999999999999999", "v=2", "since=\u0661"])
@awaited
async def test_a_wrong_address_is_told_what_is_wrong(query: str) -> None:
    async with engine() as world, served(world) as (url, _), connected(f"{url}/ws?{query}") as client:
        told = await client.hear()
        assert (told["t"], told["code"]) == ("err", "invalid-input")
        with pytest.raises(ConnectionClosed):
            await client.hear()


@awaited
async def test_a_tape_that_cannot_be_read_is_an_error_and_never_an_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    async with engine() as world, served(world) as (url, live):
        async with connected(f"{url}/ws") as client:
            await client.say(t="sub", id=1, view="runs")
            await client.hear_of("snap")
            with monkeypatch.context() as broken:
                broken.setattr(live._follower, "look", _unreadable)
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        await client.hear_of("d")
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1011
                assert "the disk is gone" in closed.value.rcvd.reason
                async with connected(f"{url}/ws") as other:
                    with pytest.raises(ConnectionClosed):
                        await other.hear()
        async with connected(f"{url}/ws") as client:
            await client.say(t="sub", id=1, view="runs")
            assert (await client.hear_of("snap"))["data"]["count"]["runs"]["done"] == 0


def _unreadable(*_: object) -> None:
    raise TapeError("the disk is gone")


# --------------------------------------------------------------------------------------------------------- owners


@awaited
async def test_who_is_bound_to_an_owner_sees_that_owners_runs_and_nothing_else() -> None:
    async def ann(_: WebSocket) -> Caller | None:
        return bound_to("ann")

    async with engine() as world, served(world, ann) as (url, _live), connected(f"{url}/ws") as client:
        for name in ("ann", "bob"):
            await world.start(steps, Noted(n=1), id=f"of-{name}", owner=name)
        await client.hear()
        for id, view in enumerate(("now", "queues", "trading", "events", "schedules", "queue:box", "run:of-bob")):
            await client.say(t="sub", id=id, view=view)
            refused = await client.hear_of("err", "snap")
            assert refused["t"] == "err", view
            assert refused["code"] == ("not-found" if view == "run:of-bob" else "forbidden")
        await client.say(t="sub", id=20, view="run:nobody")
        nobody = await client.hear()
        assert nobody["code"] == "not-found", "another's run looks like none"
        await client.say(t="sub", id=30, view="runs")
        await client.say(t="sub", id=31, view="run:of-ann")
        everything = [await client.hear(), await client.hear()]
        await world.start(steps, Noted(n=2), id="more-of-bob", owner="bob")
        await world.start(steps, Noted(n=3), id="more-of-ann", owner="ann")
        while not any("more-of-ann" in json.dumps(frame) for frame in everything):
            everything.append(await client.hear_of("d"))
        assert "bob" not in json.dumps(everything)
        async with connected(f"{url}/ws/events?run=of-bob") as other:
            assert (await other.hear())["code"] == "not-found"
        async with connected(f"{url}/ws/events?run=of-ann") as other:
            assert (await other.hear())["execution_id"] == "of-ann"


@awaited
async def test_who_is_refused_hears_nothing() -> None:
    async def nobody(socket: WebSocket) -> Caller | None:
        await socket.close(1008)
        return None

    async with engine() as world, served(world, nobody) as (url, _):
        for path in ("/ws", "/ws/events?run=r1"):
            with pytest.raises(Exception, match="403"):
                async with connect(f"{url}{path}", proxy=None):
                    pass


@awaited
async def test_nothing_is_watched_for_those_who_have_gone() -> None:
    async with engine() as world, served(world) as (url, live):
        await world.start(steps, Noted(n=1), id="mine")
        for _ in range(3):
            async with connected(f"{url}/ws") as client, connected(f"{url}/ws/events?run=mine") as other:
                await client.hear()
                await other.hear()
                await client.say(t="sub", id=1, view="now")
                await client.hear()
        while live._watched or live._listeners:  # noqa: ASYNC110 - the server hears of it a moment later
            await asyncio.sleep(0.01)
