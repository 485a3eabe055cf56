"""Views: folded, claimed, rebuilt, broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import Ping, Pong, crash, live
from tickwork.core.run import Run
from tickwork.core.view import View, view
from tickwork.core.workflow import workflow
from tickwork.engines.embedded import Engine
from tickwork.errors import InvalidInput, StepFailed


def totals(version: int = 1, factor: int = 1) -> View:
    @view("totals", on=Ping, key=lambda ping: ping.name, version=version)
    def fold(state: int | None, ping: Ping) -> int | None:
        if ping.n < 0:
            return None
        return (state or 0) + ping.n * factor

    return fold


@live
async def test_a_view_is_a_fold_of_events(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    folded = totals()
    async with Engine(url, views=[folded]) as engine:
        for name, n in (("a", 1), ("a", 2), ("b", 5), ("c", 1), ("c", -1)):
            await engine.emit(Ping(name=name, n=n))
        assert dict(engine.items(folded)) == {"a": 3, "b": 5}
        assert engine.read(folded, "c") is None
    async with Engine(url, views=[folded]) as engine:
        assert dict(engine.items(folded)) == {"a": 3, "b": 5}
    newer = totals(version=2, factor=10)
    async with Engine(url, views=[newer]) as engine:
        assert dict(engine.items(newer)) == {"a": 30, "b": 50}


@live
async def test_events_of_runs_and_delayed_ones_are_folded_once() -> None:
    folded = totals()

    @workflow("emits")
    async def emits(run: Run) -> None:
        await run.emit(Ping(n=1))
        await run.emit(Ping(n=2), delay="1 h")
        await run.emit(Pong())

    engine = Engine("memory:", workflows=[emits], views=[folded])
    await engine.open()
    await (await engine.start(emits)).result()
    await engine.settled()
    assert engine.read(folded, "a") == 3
    newer = totals(version=2)
    async with Engine(crash(engine), workflows=[emits], views=[newer]) as second:
        assert second.read(newer, "a") == 3


@live
async def test_claims_compare_and_set() -> None:
    folded = totals()

    @workflow("claims")
    async def claims(run: Run) -> list[Any]:
        seen = [await folded.get("x"), await folded.claim("x", None, 1), await folded.claim("x", None, 2)]
        await run.sleep("1 s")
        return [*seen, await folded.get("x"), await folded.claim("x", 1, None), await folded.get("x")]

    engine = Engine("memory:", workflows=[claims], views=[folded])
    await engine.open()
    await engine.start(claims, id="it")
    assert await engine.claim(folded, "y", None, 7)
    assert not await engine.claim(folded, "y", None, 8)
    async with Engine(crash(engine), workflows=[claims], views=[folded]) as second:
        assert await second.handle("it").result() == [None, True, False, 1, True, None]
        assert dict(second.items(folded)) == {"y": 7}
        tape = crash(second)
    newer = totals(version=2)
    async with Engine(tape, workflows=[claims], views=[newer]) as third:
        assert dict(third.items(newer)) == {"y": 7}


@live
async def test_a_view_left_out_for_a_while_has_missed_nothing() -> None:
    folded = totals()
    engine = Engine("memory:", views=[folded])
    await engine.open()
    await engine.emit(Ping(n=1))
    without = Engine(crash(engine))
    await without.open()
    await without.emit(Ping(n=2))
    async with Engine(crash(without), views=[folded]) as second:
        assert second.read(folded, "a") == 3


@live
async def test_a_view_that_listens_to_more_is_folded_anew() -> None:
    engine = Engine("memory:", views=[totals()])
    await engine.open()
    await engine.emit(Ping(n=1))
    await engine.emit(Pong(n=5))

    @view("totals", on=[Ping, Pong], key=lambda event: "all")
    def everything(state: int | None, event: Ping | Pong) -> int:
        return (state or 0) + event.n

    async with Engine(crash(engine), views=[everything]) as second:
        assert second.read(everything, "all") == 6


def broken(mended: bool) -> View:
    @view("fragile", on=Ping, key=lambda ping: ping.name)
    def fold(state: int | None, ping: Ping) -> int:
        if ping.n == 13 and not mended:
            raise ZeroDivisionError
        return (state or 0) + ping.n

    return fold


@live
async def test_a_broken_fold_closes_the_view_and_nothing_else() -> None:
    fragile, folded = broken(False), totals()

    @workflow("reads")
    async def reads(run: Run) -> str:
        try:
            await fragile.get("a")
        except StepFailed:
            await run.sleep("1 s")
            return "closed"
        return "open"

    engine = Engine("memory:", workflows=[reads], views=[fragile, folded])
    await engine.open()
    for n in (1, 13, 2):
        await engine.emit(Ping(n=n))
    assert engine.read(folded, "a") == 16
    with pytest.raises(StepFailed):
        engine.read(fragile, "a")
    await engine.start(reads, id="it")
    engine = Engine(crash(engine), workflows=[reads], views=[fragile])
    await engine.open()
    assert await engine.handle("it").result() == "closed"
    with pytest.raises(StepFailed):
        engine.read(fragile, "a")  # still: it is not mended
    mended = broken(True)
    async with Engine(crash(engine), workflows=[reads], views=[mended]) as second:
        assert second.read(mended, "a") == 16


@pytest.mark.parametrize("key", [lambda ping: 5, lambda ping: None])
def test_keys_are_texts(key: Any) -> None:
    @view("numbers", on=Ping, key=key)
    def fold(state: int | None, ping: Ping) -> int:
        return 1

    @live
    async def main() -> None:
        async with Engine("memory:", views=[fold]) as engine:
            await engine.emit(Ping())
            with pytest.raises(StepFailed):
                engine.read(fold, "a")
            await engine.emit(Ping())

    main()


@live
async def test_wrong_use() -> None:
    folded = totals()
    async with Engine("memory:", views=[folded]) as engine:
        with pytest.raises(InvalidInput):
            engine.read(totals(), "a")
        with pytest.raises(InvalidInput):
            await engine.claim(folded, 5, None, 1)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput):
            await engine.claim(folded, "a", None, "text")
    with pytest.raises(InvalidInput):
        async with Engine("memory:", views=[folded, totals()]):
            pass
