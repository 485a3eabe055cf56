"""Killed at any turn or record: a claim has one order, a position is sold once and whole, no plan is forgotten."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.exiting import BTC, START, Bought, House, Moody
from tickwork.market.bars import Quote
from tickwork.service.exits import Exits
from tickwork.service.exits_events import ExitClaimed, ExitFilled, ExitPlaced, ExitPlanClosed, ExitPlanOpened
from tickwork.trading.exits import Claim, ExitPlan

RULES: dict[str, Any] = {
    "stopLoss": "0.1",
    "takeProfit": [{"profit": "0.05", "share": "0.3"}, {"profit": "0.1", "share": "0.3"}],
    "trailing": {"distance": "0.06", "activation": "0.08"},
}
PRICES = (100, 100, 105, 105, 109, 111, 110, 112, 107, 104, 103, 103)
Death = tuple[int, bool]
"""After how many turns of the loop, and whether the tape gets all of what had been written by then."""


class Script:
    """A position that is taken, protected and sold in parts; goes on where it was when the process died."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.at = 0

    async def play(self, prices: Sequence[int] = PRICES) -> None:
        house = self.house
        if not house.events(Bought):
            house.quote = Quote(BTC, "test", START, Decimal(100), Decimal(100))
            await house.engine.emit(Bought(quantity="1", rules=RULES))
        while self.at < len(prices):
            await house.price(prices[self.at], number=self.at)
            self.at += 1

    async def die(self, turns: int, *, flushed: bool) -> None:
        """Play for so many turns."""
        playing = asyncio.ensure_future(self.play())
        for _ in range(turns):
            if playing.done():
                break
            await asyncio.sleep(0)
        await self._die(playing, flushed=flushed)

    async def die_after(self, batches: int) -> bool:
        """Play until so many batches of records have reached the disk; False if it was over before."""
        engine = self.house.engine
        engine.die_after(batches)
        playing, died = asyncio.ensure_future(self.play()), asyncio.ensure_future(engine.died.wait())
        await asyncio.wait((playing, died), return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        await self._die(playing, flushed=False)
        return engine.died.is_set()

    async def _die(self, playing: asyncio.Future[None], *, flushed: bool) -> None:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        self.house.kill(flushed=flushed)
        await self.house.open()


async def lived(deaths: Sequence[Death], *moods: str) -> House:
    """A life with these deaths in it, then to its end, at a venue of such moods."""
    house = House(lambda paper: Moody(paper, *moods))
    await house.open()
    script = Script(house)
    for turns, flushed in deaths:
        await script.die(turns, flushed=flushed)
    await script.play([*PRICES, *[80] * (12 + 12 * len(moods))])
    return house


async def problems(house: House) -> list[str]:
    """What must not be."""
    found = []
    fills = await house.paper.numbered(0)
    bought = sum((fill.quantity for fill in fills if fill.side == "buy"), Decimal(0))
    sold = sum((fill.quantity for fill in fills if fill.side == "sell"), Decimal(0))
    if not bought == sold == 1:
        found.append(f"bought {bought}, sold {sold}")
    claims = [event.claim for event in house.events(ExitClaimed)]
    placed = Counter(event.claim_id for event in house.events(ExitPlaced))
    orders = {fill.client_order_id for fill in fills if fill.side == "sell"}
    if set(placed.values()) - {1} or len(orders) > len(placed):
        found.append(f"orders {len(orders)} of claims {placed}")
    if [claim.number for claim in claims] != list(range(1, len(claims) + 1)):
        found.append(f"claims {[claim.id for claim in claims]}")
    told = sum((event.quantity for event in house.events(ExitFilled)), Decimal(0))
    if told != sold:
        found.append(f"told {told} of {sold}")
    if len(house.events(ExitPlanOpened)) != 1 or len(house.events(ExitPlanClosed)) != 1 or house.exits.plans():
        found.append(f"plans {house.exits.plans()}")
    if house.account.desk.ledger.quantity(BTC) != 0:
        found.append("the ledger")
    return found


async def life(deaths: Sequence[Death], *moods: str) -> list[str]:
    house = await lived(deaths, *moods)
    return await problems(house)


async def length() -> int:
    """Turns of a life without a death."""
    house = House()
    await house.open()
    script = Script(house)
    turns = 0
    playing = asyncio.ensure_future(script.play())
    while not playing.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


@pytest.mark.parametrize("flushed", [True, False])
def test_killed_at_every_turn(flushed: bool) -> None:
    for turns in range(1, asyncio.run(length()), 3):
        assert asyncio.run(life([(turns, flushed)])) == [], turns


def test_killed_at_every_record() -> None:
    async def dies(batches: int) -> bool:
        house = House()
        await house.open()
        script = Script(house)
        died = await script.die_after(batches)
        await script.play([*PRICES, *[80] * 12])
        assert await problems(house) == [], batches
        return died

    batches = 0
    while asyncio.run(dies(batches)):
        batches += 1
    assert batches > 20


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(1, 80), st.booleans()), max_size=6),
    st.lists(st.sampled_from(["", "lost", "unsent", "reject"]), max_size=4),
)
def test_killed_again_and_again_at_a_moody_venue(deaths: list[Death], moods: list[str]) -> None:
    assert asyncio.run(life(deaths, *moods)) == []


def _anew(self: Exits, plan: ExitPlan, claim: Claim) -> None:
    from tickwork.service.exits_run import ExitOrder

    self._engine.start_soon(self._runs.exit, ExitOrder(plan=plan, claim=claim), owner=plan.owner)


@pytest.mark.parametrize(
    ("name", "mistake"),
    [
        ("_start", _anew),
        ("_sync", lambda self, plan_id: asyncio.sleep(0)),
    ],
)
def test_the_law_would_see_a_run_that_is_not_named_by_its_claim_and_a_book_that_is_not_told(
    name: str, mistake: Any
) -> None:
    with patch.object(Exits, name, mistake):
        found = [asyncio.run(life([(turns, True)])) for turns in range(10, 75, 5)]
    assert any(found)
