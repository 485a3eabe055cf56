"""Parts: started in order, stopped in reverse, whatever one of them does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.service.awaiting import awaited
from tickwork.errors import InvalidInput, TickworkError
from tickwork.service.running import parts as module
from tickwork.service.running.parts import Look, Part, Parts


def part(name: str, told: list[str], **fields: Any) -> Part:
    async def start() -> None:
        told.append(f"+{name}")

    async def stop() -> None:
        told.append(f"-{name}")

    return Part(**{"name": name, "look": Look, "start": start, "stop": stop, **fields})


@awaited
async def test_in_order_and_back() -> None:
    told: list[str] = []
    parts = Parts(lambda: 1_000_000_000)
    parts.add([part("a", told), part("b", told, address=lambda: "http://127.0.0.1:1")])
    await parts.start()
    assert [one.since is not None for one in parts.status()] == [True, True]
    assert parts.addresses == ["http://127.0.0.1:1"]
    assert await parts.stop() == [] and await parts.stop() == []
    assert told == ["+a", "+b", "-b", "-a"]


@awaited
async def test_one_that_does_not_start_takes_the_others_down() -> None:
    told: list[str] = []

    async def taken() -> None:
        raise TickworkError("port 8080 is taken")

    parts = Parts(lambda: 0)
    parts.add([part("a", told), part("b", told, start=taken), part("c", told)])
    with pytest.raises(TickworkError, match="taken"):
        await parts.start()
    assert told == ["+a", "-a"]


@awaited
async def test_one_that_does_not_stop_keeps_no_other_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(module, "STOP_PART_S", 0.01)

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    async def fail() -> None:
        raise RuntimeError("no")

    parts = Parts(lambda: 0)
    parts.add([part("a", told), part("b", told, stop=hang), part("c", told, stop=fail)])
    await parts.start()
    complaints = await parts.stop()
    assert told[-1] == "-a" and len(complaints) == 2
    assert "b has not stopped" in complaints[1] and "RuntimeError: no" in complaints[0]


@awaited
async def test_one_that_ends_by_itself_is_heard_of() -> None:
    async def ended() -> None:
        raise TickworkError("the server is gone")

    parts = Parts(lambda: 0)
    parts.add([part("a", []), part("b", [], ended=ended)])
    with pytest.raises(TickworkError, match="gone"):
        await parts.ended()


@awaited
async def test_no_two_of_one_name() -> None:
    parts = Parts(lambda: 0)
    parts.add([part("a", [])])
    with pytest.raises(InvalidInput, match="a name that no other part has"):
        parts.add([part("a", [])])
