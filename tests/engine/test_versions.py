"""Events whose form has changed: what is on the tape in the old form goes on, what is too new is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.engine.support import crash, live, park, records
from tickwork.core import event as events
from tickwork.core.event import Event, read_event
from tickwork.core.flow import Batch
from tickwork.core.run import Run
from tickwork.core.view import view
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, NewerEvent


class Old(Event, name="versions/watch", version=1):
    """As it was."""

    vcoin_id: str
    attempt: int = 1


class New(Event, name="versions/watch", version=2):
    """As it is."""

    symbol: str
    tries: int = 1

    @classmethod
    def upcast(cls, version: int, fields: dict[str, Any]) -> dict[str, Any]:
        assert version == 1
        return {"symbol": fields["vcoinId"].upper(), "tries": fields.get("attempt", 1)}


class Go(Event, name="versions/go"):
    """Something else."""


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    before = dict(events._known)
    yield
    events._known.clear()
    events._known.update(before)


def code_knows(*classes: type[Event]) -> None:
    """The process has declared these versions only."""
    events._known.pop((Old.event_name, 1), None)
    events._known.pop((New.event_name, 2), None)
    for known in classes:
        events._known[known.event_name, known.event_version] = known


def test_reading() -> None:
    code_knows(New)
    old = Old(vcoin_id="abc", attempt=3).to_wire()
    assert read_event("versions/watch", 1, old) == New(symbol="ABC", tries=3)
    assert read_event("versions/watch", 2, b'{"symbol":"X"}') == New(symbol="X")
    with pytest.raises(NewerEvent, match="version 3, this code knows it up to version 2"):
        read_event("versions/watch", 3, b"{}")
    assert read_event("versions/nobody", 1, b"{}") is None
    code_knows(Old, New)
    assert read_event("versions/watch", 1, old) == Old(vcoin_id="abc", attempt=3)


def test_without_a_way_from_the_old_form_it_says_what_to_write() -> None:
    class Changed(Event, name="versions/changed", version=2):
        n: int

    with pytest.raises(InvalidInput, match="a classmethod `upcast` on Changed"):
        read_event("versions/changed", 1, b'{"m":1}')


@workflow("watch", on=Old, version=1)
async def watch_old(run: Run, watch: Old) -> str:
    await run.wait_for(Go)
    return watch.vcoin_id


@workflow("watch", on=New, version=1)
async def watch_new(run: Run, watch: New) -> str:
    await run.wait_for(Go)
    return watch.symbol


async def _with_old(*flows: Any) -> Engine:
    code_knows(Old)
    engine = Engine("memory:", workflows=flows)
    await engine.open()
    return engine


@live
async def test_a_run_under_way_gets_its_input_in_the_new_form() -> None:
    engine = await _with_old(watch_old)
    await engine.emit(Old(vcoin_id="abc"))
    await engine.idle()
    memory = crash(engine)
    code_knows(New)
    async with Engine(memory, workflows=[watch_new]) as again:
        await again.emit(Go())
        (info,) = await again.runs()
        assert await again.handle(info.id).result() == "ABC"


@live
async def test_a_delayed_event_comes_in_the_new_form() -> None:
    engine = await _with_old(watch_old)
    await engine.emit(Old(vcoin_id="abc", attempt=7), delay="1 hour")
    memory = crash(engine)
    code_knows(New)
    async with Engine(memory, workflows=[watch_new]) as again:
        await again.settled()
        (published,) = [e.record for e in records(again, "event") if not e.record.due]
        assert (published.version, bytes(published.value)) == (2, b'{"symbol":"ABC","tries":7}')
        await again.emit(Go())
        (info,) = await again.runs()
        assert await again.handle(info.id).result() == "ABC"


@live
async def test_a_newer_event_is_kept_until_the_code_knows_it() -> None:
    code_knows(New)
    engine = Engine("memory:", workflows=[watch_new])
    await engine.open()
    await engine.emit(New(symbol="abc", tries=4), delay="1 hour")
    memory, clock = crash(engine), engine.clock
    code_knows(Old)
    engine = Engine(memory, workflows=[watch_old], clock=clock)
    await engine.open()
    await engine.settled()
    (letter,) = await engine.dead_letters()
    assert (letter.kind, letter.source, letter.code) == ("event", "versions/watch", "newer_event")
    assert letter.body == {"symbol": "abc", "tries": 4}
    assert "up to version 1" in letter.error
    with pytest.raises(NewerEvent):
        await engine.letters.redrive([letter.id])
    assert [x.id for x in await engine.dead_letters()] == [letter.id]
    memory = crash(engine)
    code_knows(New)
    async with Engine(memory, workflows=[watch_new], clock=clock) as again:
        await again.letters.redrive([letter.id])
        assert await again.dead_letters() == []
        await again.emit(Go())
        (info,) = await again.runs()
        assert await again.handle(info.id).result() == "abc"


@live
async def test_a_wait_is_answered_by_an_old_event_and_replayed_from_it() -> None:
    @workflow("waiter")
    async def waiter(run: Run) -> str:
        await run.wait_for(Go)
        found = await run.wait_for(New, since=0)
        await run.wait_for(Go)
        assert found is not None
        return found.symbol

    engine = await _with_old(watch_old)
    await engine.emit(Old(vcoin_id="abc"))
    memory = crash(engine)
    code_knows(New)
    async with Engine(memory, workflows=[waiter]) as again:
        handle = await again.start(waiter)
        await again.emit(Go())
        await again.idle()
        park(again)
        await again.emit(Go())
        assert await handle.result() == "ABC"


@live
async def test_a_view_folds_old_events_in_the_new_form() -> None:
    @view("symbols", on=New, key=lambda event: event.symbol)
    def symbols(state: int | None, event: New) -> int:
        return (state or 0) + event.tries

    engine = await _with_old(watch_old)
    await engine.emit(Old(vcoin_id="abc", attempt=2))
    memory = crash(engine)
    code_knows(New)
    async with Engine(memory, workflows=[watch_new], views=[symbols]) as again:
        await again.emit(New(symbol="ABC", tries=5))
        assert again.read(symbols, "ABC") == 7


@live
async def test_a_batch_gathered_in_the_old_form() -> None:
    code_knows(Old)
    engine = Engine("memory:", workflows=[_gather_old()])
    await engine.open()
    await engine.emit(Old(vcoin_id="a"))
    await engine.emit(Old(vcoin_id="b"))
    memory, clock = crash(engine), engine.clock
    code_knows(New)
    async with Engine(memory, workflows=[_gather_new()], clock=clock) as again:
        await again.emit(New(symbol="c"))
        await again.settled()
        (info,) = await again.runs()
        assert await again.handle(info.id).result() == ["A", "B", "c"]


def _gather_old() -> Any:
    @workflow("gather", on=Old, batch=Batch(10, "1 minute"))
    async def gather(run: Run, watches: list[Old]) -> list[str]:
        return [watch.vcoin_id for watch in watches]

    return gather


def _gather_new() -> Any:
    @workflow("gather", on=New, batch=Batch(10, "1 minute"))
    async def gather(run: Run, watches: list[New]) -> list[str]:
        return [watch.symbol for watch in watches]

    return gather


@live
async def test_what_was_gathered_in_a_newer_form_is_kept_and_gathered_again() -> None:
    code_knows(New)
    engine = Engine("memory:", workflows=[_gather_new()])
    await engine.open()
    await engine.emit(New(symbol="a"))
    await engine.emit(New(symbol="b"))
    memory, clock = crash(engine), engine.clock
    code_knows(Old)  # rolled back
    engine = Engine(memory, workflows=[_gather_old()], clock=clock)
    await engine.open()
    await engine.emit(Old(vcoin_id="old"))
    await engine.settled()
    assert [letter.code for letter in await engine.dead_letters()] == ["newer_event", "newer_event"]
    (info,) = await engine.runs()
    assert await engine.handle(info.id).result() == ["old"]
    memory = crash(engine)
    code_knows(New)
    async with Engine(memory, workflows=[_gather_new()], clock=clock) as again:
        await again.letters.redrive(code="newer_event")
        await again.settled()
        newest = (await again.runs())[0]
        assert sorted(await again.handle(newest.id).result()) == ["a", "b"]
