"""Children, races, approvals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engine.support import Ping, count, crash, live, park, records
from tickwork.core.clock import VirtualClock
from tickwork.core.retry import Retry
from tickwork.core.run import Run
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import Cancelled, InvalidInput, RunCancelled


@workflow("child")
async def child(run: Run, what: str) -> str:
    try:
        if what == "sleeps":
            await run.sleep("1 h")
        if what == "fails":
            raise ConnectionError("child")
        if what == "again":
            await run.again("sleeps")
        if what == "waits":
            await run.wait_for(Ping)
        return f"{what} {run.owner}"
    except Cancelled:
        await run.step("cleaned", lambda: None)
        raise


@workflow("parent")
async def parent(run: Run, what: str) -> Any:
    return await run.call(child, what)


@pytest.mark.parametrize("parked", [False, True])
@pytest.mark.parametrize("what", ["sleeps", "again", "returns"])
def test_a_parent_hears_its_child(what: str, parked: bool) -> None:
    @live
    async def main() -> None:
        async with Engine("memory:", workflows=[parent, child]) as engine:
            handle = await engine.start(parent, what, id="it", owner="me")
            await engine.idle()
            if parked:
                park(engine)
            assert await handle.result() == f"{'sleeps' if what == 'again' else what} me"

    main()


@live
async def test_a_childs_failure_is_raised_in_its_parent() -> None:
    @workflow("careful")
    async def careful(run: Run) -> str:
        try:
            await run.call(child, "fails")
        except ConnectionError as error:
            return f"caught {error}"
        return "not raised"

    async with Engine("memory:", workflows=[careful, child]) as engine:
        assert await (await engine.start(careful)).result() == "caught child"


@live
async def test_a_child_that_ended_while_its_parent_was_away() -> None:
    clock = VirtualClock()
    for batches in range(1, 12):
        engine = Engine("memory:", workflows=[parent, child], clock=clock, seed=1)
        await engine.open()
        await engine.start(parent, "sleeps", id="it")
        await engine.idle()
        if batches % 2:
            park(engine)
        engine.clock.jump(clock.now() + 3600 * 10**9)
        engine._timers.fire_due()
        for _ in range(batches):
            await asyncio.sleep(0)
        async with Engine(crash(engine), workflows=[parent, child], clock=clock) as second:
            assert await second.handle("it").result() == "sleeps "


@pytest.mark.parametrize("parked", [False, True])
def test_cancellation_reaches_children_that_are_awaited(parked: bool) -> None:
    @workflow("starts")
    async def starts(run: Run) -> None:
        await run.start(child, "waits", id="free")
        await run.call(child, "waits", id="awaited")

    @live
    async def main() -> None:
        async with Engine("memory:", workflows=[starts, child]) as engine:
            handle = await engine.start(starts, id="it")
            await engine.idle()
            if parked:
                park(engine)
            await handle.cancel("enough")
            with pytest.raises(RunCancelled):
                await handle.result()
            with pytest.raises(RunCancelled):
                await engine.handle("awaited").result()
            assert [entry.record.name for entry in records(engine, "step")] == ["cleaned"]
            await engine.emit(Ping())
            assert await engine.handle("free").result() == "waits "

    main()


@live
async def test_a_cancelled_child_raises_in_its_parent() -> None:
    async with Engine("memory:", workflows=[parent, child]) as engine:
        handle = await engine.start(parent, "waits", id="it")
        await engine.idle()
        await engine.cancel("it.child.0")
        with pytest.raises(RunCancelled):
            await handle.result()


@live
async def test_children_of_one_workflow_have_ids_of_their_own() -> None:
    @workflow("many")
    async def many(run: Run) -> list[Any]:
        started = await run.start(child, "one")
        called = await run.call(child, "two")
        more = await run.all(run.call(child, "three"), run.call(child, "four"))
        return [called, more, started]

    async with Engine("memory:", workflows=[many, child]) as engine:
        called, more, started = await (await engine.start(many, id="it")).result()
        assert (called, more) == ("two ", ["three ", "four "])
        assert await engine.handle(started).result() == "one "
        assert len(await engine.runs(workflow="child")) == 4


@live
async def test_a_given_id_is_idempotent_and_odd_ones_are_fine() -> None:
    @workflow("same")
    async def same(run: Run) -> list[Any]:
        one = await run.start(child, "x", id='odd"\\id')
        two = await run.start(child, "x", id='odd"\\id')
        try:
            await run.call(child, "y", id='odd"\\id')
        except InvalidInput:
            return [one, two]
        return []

    async with Engine("memory:", workflows=[same, child]) as engine:
        assert await (await engine.start(same)).result() == ['odd"\\id'] * 2
        assert len(await engine.runs(workflow="child")) == 1


@live
async def test_a_new_attempt_has_new_children_for_those_that_failed() -> None:
    @workflow("tries", retry=Retry(limit=1, delay="1 s"))
    async def tries(run: Run) -> list[Any]:
        kept = await run.call(child, "kept")
        if run.attempt == 1:
            await run.call(child, "fails")
        return [kept, await run.call(child, "fine")]

    async with Engine("memory:", workflows=[tries, child]) as engine:
        assert await (await engine.start(tries)).result() == ["kept ", "fine "]
        assert len(await engine.runs(workflow="child")) == 3


@live
async def test_a_workflow_the_engine_does_not_know() -> None:
    @workflow("stranger")
    async def stranger(run: Run) -> None: ...

    @workflow("asks")
    async def asks(run: Run) -> str:
        try:
            await run.call(stranger)
        except InvalidInput as error:
            await run.sleep("1 s")
            return error.path
        return "found"

    engine = Engine("memory:", workflows=[asks])
    await engine.open()
    await engine.start(asks, id="it")
    async with Engine(crash(engine), workflows=[asks]) as second:
        assert await second.handle("it").result() == "workflow"


# ------------------------------------------------------------------------------------------------------------ approvals


@workflow("asks")
async def asks(run: Run, timeout: str | None) -> list[bool]:
    return [await run.approval("really?", timeout=timeout)]


@pytest.mark.parametrize("yes", [True, False])
@pytest.mark.parametrize("how", ["hot", "parked", "restarted", "crashed"])
def test_an_answer_arrives(yes: bool, how: str) -> None:
    @live
    async def main() -> None:
        engine = Engine("memory:", workflows=[asks])
        await engine.open()
        await engine.start(asks, None, id="it")
        await engine.idle()
        if how == "parked":
            park(engine)
        elif how == "restarted":
            engine = Engine(crash(engine), workflows=[asks])
            await engine.open()
            await engine.idle()
        (question,) = await engine.approvals()
        assert (question.run, question.question) == ("it", "really?")
        if how == "crashed":
            engine._family.approve(question.id, yes, "me")
            engine._log.flush_now()
            engine = Engine(crash(engine), workflows=[asks])
            await engine.open()
        else:
            await engine.approve(question.id, yes, by="me")
        assert await engine.handle("it").result() == [yes]
        assert await engine.approvals() == []
        with pytest.raises(InvalidInput):
            await engine.approve(question.id, yes)
        await engine.close()

    main()


@pytest.mark.parametrize("restarted", [False, True])
def test_silence_is_a_no(restarted: bool) -> None:
    @live
    async def main() -> None:
        clock = VirtualClock()
        engine = Engine("memory:", workflows=[asks], clock=clock)
        await engine.open()
        await engine.start(asks, "1 h", id="it")
        await engine.idle()
        if restarted:
            clock.jump(clock.now() + 7200 * 10**9)
            engine = Engine(crash(engine), workflows=[asks], clock=clock)
            await engine.open()
        assert await engine.handle("it").result() == [False]
        assert await engine.approvals() == []
        await engine.close()

    main()


@live
async def test_an_answer_for_one_attempt_is_not_for_the_next() -> None:
    @workflow("insists", retry=Retry(limit=1, delay="1 s"))
    async def insists(run: Run) -> bool:
        sure = await run.approval(f"sure? {run.attempt}", timeout="1 h")
        if run.attempt == 1:
            raise ConnectionError
        return sure

    clock = VirtualClock()
    async with Engine("memory:", workflows=[insists], clock=clock) as engine:
        handle = await engine.start(insists, id="it")
        await engine.idle()
        (question,) = await engine.approvals()
        await engine.approve(question.id, True)
        waiting = asyncio.ensure_future(handle.result())
        for _ in range(100):
            if await engine.approvals():
                break
        park(engine)
        assert await waiting is False


@live
async def test_a_question_nobody_waits_for_is_withdrawn() -> None:
    @workflow("gives-up")
    async def gives_up(run: Run) -> Any:
        return list(await run.race(run.approval("sure?"), run.sleep("1 s")))

    async with Engine("memory:", workflows=[gives_up, asks]) as engine:
        assert await (await engine.start(gives_up)).result() == [1, None]
        handle = await engine.start(asks, None)
        await engine.idle()
        await handle.cancel()
        assert await engine.approvals() == []
        assert count(engine, "approvals") == 0


@live
async def test_an_answer_while_paused_waits() -> None:
    async with Engine("memory:", workflows=[asks]) as engine:
        handle = await engine.start(asks, None, id="it")
        await engine.idle()
        await engine.pause("it")
        (question,) = await engine.approvals()
        await engine.approve(question.id, True)
        await engine.idle()
        assert await handle.status() == "paused"
        await engine.resume("it")
        assert await handle.result() == [True]


@live
async def test_a_childs_result_that_cannot_be_read_is_raised_in_its_parent() -> None:
    @workflow("typed")
    async def before(run: Run) -> str:
        return "text"

    @workflow("typed")
    async def after(run: Run) -> int:
        return 1

    def parent_of(typed: Any) -> Any:
        @workflow("typing")
        async def typing(run: Run) -> str:
            await run.sleep("1 s")
            try:
                await run.call(typed, id="one")
            except InvalidInput:
                await run.sleep("1 s")
                return "caught"
            return "read"

        return typing

    engine = Engine("memory:", workflows=[before, old := parent_of(before)])
    await engine.open()
    await (await engine.start(before, id="one")).result()
    await engine.start(old, id="it")
    async with Engine(crash(engine), workflows=[after, parent_of(after)]) as second:
        assert await second.handle("it").result() == "caught"
