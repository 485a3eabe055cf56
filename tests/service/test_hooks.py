"""Webhooks taken in: verified, published once, acknowledged when on disk."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import count, live, records
from tests.laws.probe import Probe, check_tape, records_of
from tickwork.core.clock import VirtualClock
from tickwork.core.run import Run
from tickwork.core.webhook import Webhook, WebhookReceived
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput, Refused, TapeError
from tickwork.service.hooks import Hooks
from tickwork.service.secrets import Secrets
from tickwork.values import from_ns

SECRET = "correct horse battery staple"
SECOND = 1_000_000_000
ENVIRONMENT = Secrets({"SECRET": SECRET})
ORDERS = Webhook("orders", secret_env="SECRET", window="1 hour")


def headers(body: bytes, id: str) -> dict[str, str]:
    return {"x-signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), "x-delivery-id": id}


def stripe(body: bytes, at: int) -> dict[str, str]:
    signed = hmac.new(SECRET.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={at},v1={signed}"}


def taking(*hooks: Webhook) -> tuple[Workflow, list[Any]]:
    bodies: list[Any] = []

    @workflow("takes", on=list(hooks))
    async def takes(run: Run, hook: WebhookReceived) -> None:
        await run.step("take", lambda: bodies.append(hook.body))

    return takes, bodies


def published(engine: Engine) -> list[int]:
    return [entry.seq for entry in records(engine, "event") if entry.record.name == WebhookReceived.event_name]


@live
async def test_a_delivery_starts_its_runs_and_is_on_disk_when_it_is_acknowledged() -> None:
    flow, bodies = taking(ORDERS, Webhook("other", secret_env="SECRET"))
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        assert hooks.names == ["orders", "other"]
        body = b'{"price": "1.10"}'
        seq = await hooks.receive("orders", headers(body, "d1"), body)
        (entry,) = records(engine, "event")
        assert entry.seq == seq
        assert entry.record.key == "d1"
        assert json.loads(bytes(entry.record.value))["body"] == {"price": "1.10"}
        await engine.settled()
        assert bodies == [{"price": "1.10"}]


@live
async def test_the_same_delivery_again_is_answered_and_not_published() -> None:
    flow, bodies = taking(ORDERS)
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        first = await hooks.receive("orders", headers(b"1", "d1"), b"1")
        assert await hooks.receive("orders", headers(b"1", "d1"), b"1") == first
        assert await hooks.receive("orders", headers(b"1", "d2"), b"1") != first
        engine.clock.jump(engine.clock.now() + 3600 * SECOND)
        assert await hooks.receive("orders", headers(b"1", "d1"), b"1") == first
        engine.clock.jump(engine.clock.now() + 1)
        later = await hooks.receive("orders", headers(b"1", "d1"), b"1")
        assert later > first
        assert await hooks.receive("orders", headers(b"1", "d1"), b"1") == later
        await engine.settled()
        assert len(bodies) == len(published(engine)) == 3


@pytest.mark.parametrize("kept", ["memory:", "sqlite"])
@live
async def test_ten_at_once_are_one(tmp_path: Path, kept: str) -> None:
    flow, bodies = taking(ORDERS)
    url = kept if kept == "memory:" else f"sqlite:///{tmp_path}/tape.db"  # there the disk takes its time
    async with Engine(url, workflows=[flow]) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        positions = await asyncio.gather(*(hooks.receive("orders", headers(b"1", "d1"), b"1") for _ in range(10)))
        assert len(set(positions)) == 1
        await engine.settled()
        assert bodies == [1]


@live
async def test_ids_are_of_their_hook() -> None:
    flow, bodies = taking(ORDERS, Webhook("other", secret_env="SECRET"))
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        for name in ("orders", "other", "orders"):
            await hooks.receive(name, headers(b"1", "d1"), b"1")
        await engine.settled()
        assert bodies == [1, 1]


@live
async def test_what_is_over_is_forgotten() -> None:
    flow, _ = taking(ORDERS)
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        for number in range(20):
            await hooks.receive("orders", headers(b"1", f"d{number}"), b"1")
        assert count(engine, "arrivals") == 20
        assert engine.arrivals._fresh == {}
        engine.clock.jump(engine.clock.now() + 3600 * SECOND + 1)
        await hooks.receive("orders", headers(b"1", "d3"), b"1")
        assert count(engine, "arrivals") == 1
        await engine.settled()  # no timer is left for it


@live
async def test_a_captured_request_is_never_published_again() -> None:
    """A signed time, and an id that is signed with it: sent again at any time, it is the first one or refused."""
    hook = Webhook("money", secret_env="SECRET", scheme="stripe", tolerance="5 minutes", window="10 minutes")
    flow, bodies = taking(hook)
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        began = engine.clock.now()
        body = b'{"id": "evt_1"}'
        ahead = stripe(body, began // SECOND + 300)  # the sender's clock is as far ahead as it may be
        first = await hooks.receive("money", ahead, body)
        for seconds in range(0, 1_300, 50):
            engine.clock.jump(began + seconds * SECOND)
            if seconds <= 600:
                assert await hooks.receive("money", ahead, body) == first
            else:
                with pytest.raises(Refused, match="webhook time"):
                    await hooks.receive("money", ahead, body)
        await engine.settled()
        assert len(bodies) == 1


@live
async def test_a_restart_remembers(tmp_path: Path) -> None:
    flow, bodies = taking(ORDERS)
    url = f"sqlite:///{tmp_path}/tape.db"
    positions = []
    for _ in range(3):
        async with Engine(url, workflows=[flow]) as engine:
            positions.append(await Hooks(engine, ENVIRONMENT).receive("orders", headers(b"1", "d1"), b"1"))
            await engine.settled()
    assert len(set(positions)) == 1
    assert bodies == [1]


Sending = Callable[[Probe], Coroutine[Any, Any, None]]


async def _lives(sending: Sending, memory: Memory, flow: Workflow, deaths: list[int]) -> int:
    """Engines that die after so many batches, and a last one that does not; returns its batches."""
    clock = VirtualClock()
    for left in [*deaths, None]:
        engine = Probe(memory, [flow], clock=clock, finely=True, dies_after=left)

        async def life(engine: Probe = engine) -> None:
            await engine.open()
            await sending(engine)
            await engine.settled()

        living, dying = asyncio.ensure_future(life()), asyncio.ensure_future(engine.died.wait())
        await asyncio.wait({living, dying}, return_when=asyncio.FIRST_COMPLETED)
        dying.cancel()
        if not engine.died.is_set():
            await living
            await engine.close()
            return engine._log.committed
        living.cancel()
        engine.kill()
        await asyncio.gather(living, return_exceptions=True)
    raise AssertionError("the last engine does not die")


def test_a_sender_that_insists_is_heard_once_whatever_dies() -> None:
    """It sends each delivery until it is acknowledged; we die after every batch."""

    def play(deaths: list[int]) -> int:
        memory, acknowledged = Memory(), dict[str, int]()
        flow, bodies = taking(ORDERS)

        async def sending(engine: Probe) -> None:
            hooks = Hooks(engine, ENVIRONMENT)
            for id in ("d1", "d2", "d3"):
                seq = await hooks.receive("orders", headers(id[1:].encode(), id), id[1:].encode())
                assert acknowledged.setdefault(id, seq) == seq

        batches = asyncio.run(_lives(sending, memory, flow, deaths))
        check_tape(memory)
        found = {
            entry.record.key: entry.seq
            for _, entry in records_of(memory)
            if entry.record.name == WebhookReceived.event_name
        }
        assert found == acknowledged
        assert set(bodies) == {1, 2, 3}
        runs = [entry for _, entry in records_of(memory) if entry.record.kind == "started"]
        assert len(runs) == 3
        return batches

    batches = play([])
    assert batches > 3
    for death in range(1, batches + 1):
        play([death])
        play([death, 1, 2])


@live
async def test_what_is_refused_leaves_nothing() -> None:
    flow, bodies = taking(ORDERS)
    async with Engine("memory:", workflows=[flow], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        with pytest.raises(Refused, match="webhook signature"):
            await hooks.receive("orders", {**headers(b"1", "d1"), "x-signature": "0" * 64}, b"1")
        with pytest.raises(InvalidInput, match="webhook: expected the name of one: orders"):
            await hooks.receive("none", headers(b"1", "d1"), b"1")
        with pytest.raises(InvalidInput, match="environment variable SECRET"):
            await Hooks(engine, Secrets({})).receive("orders", headers(b"1", "d1"), b"1")
        await engine.settled()
        assert published(engine) == []
        assert count(engine, "arrivals") == 0
        # the id was not used up by what was refused
        await hooks.receive("orders", headers(b"1", "d1"), b"1")
        await engine.settled()
        assert bodies == [1]


@live
async def test_no_secret_is_on_the_tape_or_in_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    flow, _ = taking(Webhook("orders", secret_env="SECRET", headers=["X-Topic"]))
    path = tmp_path / "tape.db"
    async with Engine(f"sqlite:///{path}", workflows=[flow]) as engine:
        hooks = Hooks(engine, ENVIRONMENT)
        given = {**headers(b"1", "d1"), "X-Topic": "t", "Authorization": SECRET}
        await hooks.receive("orders", given, b"1")
        with pytest.raises(Refused) as refused:
            await hooks.receive("orders", {**given, "x-signature": "0" * 64}, b"1")
        await engine.settled()
    told = repr([hooks, ENVIRONMENT, flow.triggers, refused.value]) + caplog.text
    for place in (told.encode(), _bytes_of(tmp_path)):
        assert SECRET.encode() not in place
        assert given["x-signature"].encode() not in place


def _bytes_of(folder: Path) -> bytes:
    found = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    assert b"delivery" in found
    return found


@live
async def test_one_name_is_declared_one_way() -> None:
    first, _ = taking(ORDERS)

    @workflow("also", on=Webhook("orders", secret_env="SECRET", window="1 hour", where="body == 2"))
    async def also(run: Run, hook: WebhookReceived) -> None: ...

    @workflow("otherwise", on=Webhook("orders", secret_env="OTHER", window="1 hour"))
    async def otherwise(run: Run, hook: WebhookReceived) -> None: ...

    async with Engine("memory:", workflows=[first, also, otherwise], seed=1) as engine:
        seen = Webhook("seen", secret_env="SECRET")
        hooks = Hooks(engine, ENVIRONMENT, more=[seen])
        (problem,) = hooks.problems
        assert "webhook 'orders'" in problem
        assert "OTHER" in problem
        assert hooks.names == ["orders", "seen"], "the others are served"
        await hooks.receive("orders", headers(b"1", "d1"), b"1")
        await hooks.receive("seen", headers(b"1", "d1"), b"1")
    async with Engine("memory:", workflows=[first, also], seed=1) as engine:
        hooks = Hooks(engine, ENVIRONMENT, more=[Webhook("seen", secret_env="SECRET")])
        assert hooks.problems == []
        assert hooks.names == ["orders", "seen"]
        await hooks.receive("orders", headers(b"1", "d1"), b"1")
        await hooks.receive("orders", headers(b"2", "d2"), b"2")
        await hooks.receive("seen", headers(b"2", "d2"), b"2")  # nobody starts on it; a run may wait for it
        await engine.settled()
        assert sorted(info.workflow for info in await engine.runs()) == ["also", "takes", "takes"]


@live
async def test_an_arrival_is_an_event_with_an_id() -> None:
    async with Engine("memory:", seed=1) as engine:
        event = WebhookReceived(hook="a", delivery_id="1", body=1, headers={}, received_at=from_ns(engine.clock.now()))
        arrival = await engine.arrivals.publish(event, source="news", id="guid-1")
        assert not arrival.repeated
        assert await engine.arrivals.publish(event, source="news", id="guid-1") == (arrival.seq, True)
        for wrong in ({"source": "", "id": "1"}, {"source": "a", "id": ""}, {"source": "a", "id": "1", "window": "x"}):
            with pytest.raises(InvalidInput):
                await engine.arrivals.publish(event, **wrong)
        with pytest.raises(InvalidInput, match="event"):
            await engine.arrivals.publish("event", source="a", id="1")  # type: ignore[arg-type]
        engine.kill()
        with pytest.raises(TapeError):
            await engine.arrivals.publish(event, source="news", id="guid-2")


def test_secrets_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"from a file\r\n")
    secrets = Secrets({"NAME": "from the environment"})
    assert secrets.read("it", env="NAME") == b"from the environment"
    assert secrets.read("it", file=str(file)) == b"from a file"
    file.write_bytes(b"\n")
    with pytest.raises(InvalidInput, match="secret of it"):
        secrets.read("it", file=str(file))
    file.write_bytes(b"x" * 100_000)
    with pytest.raises(InvalidInput, match="secret of it"):
        secrets.read("it", file=str(file))
    with pytest.raises(InvalidInput, match="No such file"):
        secrets.read("it", file=str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="variable OTHER"):
        secrets.read("it", env="OTHER")
    with pytest.raises(InvalidInput, match="secret of it"):
        secrets.read("it")
    assert "from the environment" not in repr(secrets)


def test_the_environment_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "later")  # read when it is needed, not when it is declared
    assert Secrets().read("it", env="HOOK_SECRET") == b"later"
