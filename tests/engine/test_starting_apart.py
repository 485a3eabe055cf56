"""What one workflow's key, or one event, does wrong is its own matter: others are started, and the engine goes on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.support import Ping, crash, live, records
from tickwork.core.codec import MAX_VALUE
from tickwork.core.event import Alert, Event
from tickwork.core.flow import Concurrency, Idempotency, RateLimit
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine, Memory
from tickwork.errors import InvalidInput

HALF = "\ud800"


class Whatever(Event, name="apart/whatever"):
    """Holds anything."""

    what: Any = None


class Sick:
    """Cannot be put into words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def keyed(name: str, key: Any, **options: Any) -> Workflow:
    @workflow(name, on=[Ping], key=lambda ping: key, **options)
    async def body(run: Run, ping: Ping) -> str:
        return "done"

    return body


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"concurrency": Concurrency(per_key=1)},
        {"singleton": "skip"},
        {"rate_limit": RateLimit(9, "1 h", per_key=True)},
    ],
)
@pytest.mark.parametrize("key", [HALF, Sick()])
@live
async def test_a_key_that_cannot_be_kept_is_left_out(
    caplog: pytest.LogCaptureFixture, key: Any, options: dict[str, Any]
) -> None:
    bad, good = keyed("bad", key, **options), keyed("good", "k")
    async with Engine("memory:", workflows=[bad, good], seed=1) as engine:
        await engine.emit(Ping())
        handle = await engine.start(bad, Ping(), id="by-hand")
        assert await handle.result() == "done"
        await engine.idle()
        assert sorted(run.workflow for run in await engine.runs() if run.status == "done") == ["bad", "bad", "good"]
        assert {run.key for run in await engine.runs(workflow="bad")} == {""}
    assert "the key of a run of workflow 'bad' cannot be told" in caplog.text
    assert "It is started without" in caplog.text


@live
async def test_an_idempotency_key_that_cannot_be_kept_is_taken_as_new() -> None:
    bad = keyed("bad", "k", idempotency=Idempotency(lambda ping: HALF))
    async with Engine("memory:", workflows=[bad], seed=1) as engine:
        for _ in range(2):
            await engine.emit(Ping())
        await engine.idle()
        assert len(await engine.runs(status="done")) == 2


@live
async def test_one_that_cannot_be_started_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[str] = []

    @workflow("alerts", on=[Alert])
    async def alerts(run: Run, alert: Alert) -> None:
        heard.append(f"{alert.what}: {alert.detail}")

    @workflow("waits")
    async def waits(run: Run) -> str:
        ping = await run.wait_for(Ping)
        return "none" if ping is None else ping.name

    before, sick, after = keyed("before", "k"), keyed("sick", "k"), keyed("zz-after", "k")
    async with Engine("memory:", workflows=[before, sick, after, alerts, waits], seed=1) as engine:
        start = engine._runs.start

        def refuse(workflow: Workflow, *args: Any, **options: Any) -> Any:
            if workflow is sick:
                raise KeyError("nobody foresaw this")
            return start(workflow, *args, **options)

        monkeypatch.setattr(engine._runs, "start", refuse)
        waiting = await engine.start(waits)
        await engine.emit(Ping(name="x"))
        assert await waiting.result() == "x"
        await engine.idle()
        started = sorted(run.workflow for run in await engine.runs())
        assert started == ["alerts", "before", "waits", "zz-after"]
        assert "could not start workflow 'sick': KeyError: 'nobody foresaw this'" in heard[0]


# -- events that are too large, or no JSON


@pytest.mark.parametrize("what", ["x" * MAX_VALUE, HALF, object()], ids=["large", "half", "object"])
@live
async def test_an_event_that_cannot_be_kept_is_refused_where_it_enters(what: Any) -> None:
    @workflow("emits")
    async def emits(run: Run) -> str:
        try:
            await run.emit(Whatever(what=what))
        except InvalidInput as error:
            await run.sleep("1 s")
            return str(error)
        return "emitted"

    memory = Memory()
    engine = Engine(memory, workflows=[emits], seed=1)
    await engine.open()
    for enter in (engine.emit, lambda event: engine.emit(event, delay="1 h")):
        with pytest.raises(InvalidInput, match="event 'apart/whatever'"):
            await enter(Whatever(what=what))
    with pytest.raises(InvalidInput, match="event 'apart/whatever'"):
        await engine.arrivals.publish(Whatever(what=what), source="s", id="i")
    handle = await engine.start(emits, id="e")
    await engine.idle()
    assert not [entry for entry in records(engine) if entry.record.name == "apart/whatever" and not entry.record.error]
    async with Engine(crash(engine), workflows=[emits], seed=1) as engine:
        answer = await engine.handle(handle.id).result()
        assert "event 'apart/whatever'" in answer
        assert ("1,048,587 bytes" in answer) is (what == "x" * MAX_VALUE)
        assert await engine.emit(Whatever(what="x"))
