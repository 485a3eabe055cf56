"""``--speed``: a recording takes the time it should, however short its steps are."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tickwork.service.playback import Pace

HOUR = 3_600_000_000_000
DAY = 24 * HOUR


def paced(speed: float, instants: list[int]) -> float:
    """Seconds that it takes to reach all of them."""

    async def reach() -> float:
        time = asyncio.get_running_loop().time
        began = time()
        pace = Pace(speed)
        for at in instants:
            await pace.reach(at)
        return time() - began

    return uvloop.run(reach())


@pytest.mark.parametrize("each_s", [0.0001, 0.0009, 0.0011, 0.0049, 0.0151])
def test_short_waits_neither_add_up_nor_vanish(each_s: float) -> None:
    count = round(0.4 / each_s)
    took = paced(3_600 / each_s, [DAY + HOUR * n for n in range(count + 1)])
    assert took == pytest.approx(0.4, abs=0.06)


def test_a_gap_is_a_day_at_most() -> None:
    assert paced(86_400 / 0.05, [DAY, DAY * 1_000]) == pytest.approx(0.05, abs=0.04)


def test_after_a_standstill_it_goes_on_from_where_it_is() -> None:
    async def late() -> float:
        time = asyncio.get_running_loop().time
        pace = Pace(3_600 / 0.1)
        await pace.reach(DAY)
        pace._due_s -= 100  # the machine has slept
        await pace.reach(DAY + HOUR)
        began = time()
        await pace.reach(DAY + 2 * HOUR)
        return time() - began

    assert asyncio.run(late()) == pytest.approx(0.1, abs=0.05)
