"""A workflow that may not take what is new is added all the same: it rests, as if it had retired."""

from __future__ import annotations

from tests.engine.support import Ping, live
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded import Engine


def pinged(name: str, version: int = 1) -> Workflow:
    @workflow(name, on=Ping, version=version)
    async def body(run: Run, ping: Ping) -> int:
        return ping.n

    return body


@live
async def test_what_may_not_take_what_is_new_rests() -> None:
    ours, theirs = pinged("ours"), pinged("theirs")
    async with Engine("memory:") as engine:
        engine.registry.admits = lambda name: name == "ours"
        await engine.add(ours)
        await engine.add(theirs)
        await engine.add(pinged("theirs", 2))
        await engine.emit(Ping(n=1))
        await engine.settled()
        assert [run.workflow for run in engine.queries.runs()] == ["ours"]
        assert await (await engine.start(theirs, Ping(n=2))).result() == 2, "by hand it runs"
        engine.registry.admits = lambda name: True
        await engine.add(pinged("theirs", 3))
        await engine.emit(Ping(n=3))
        await engine.settled()
        assert sorted(run.workflow for run in engine.queries.runs()) == ["ours", "ours", "theirs", "theirs"]
