"""The paper venue passes every numbered case, in memory and on disk."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from tests.trading.support import SPOT, bar
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Ack, ApprovedOrder
from tickwork.trading.venue import VenuePort
from tickwork.venues.conformance import CASES
from tickwork.venues.paper import PaperVenue

RULES = TradingRules(symbol=SPOT, price_tick=Decimal("0.01"), quantity_step=Decimal("0.0001"), min_notional=Decimal(5))


class PaperStage:
    """A paper venue whose market trades one bar at a time."""

    venue: VenuePort

    def __init__(self, path: Path) -> None:
        self.account = "main"
        self.rules = RULES
        self.price = Decimal(100)
        self._path = path
        self._paper = self._open()
        self.venue = self._paper
        self._index = 0

    def _open(self) -> PaperVenue:
        return PaperVenue(self._path, rules=[RULES], cash={"USDT": Decimal(10000)})

    async def trade_at(self, price: Decimal) -> None:
        self.price = price
        self._paper.on_bar(bar(price, index=self._index), self._index)
        self._index += 1

    async def reopen(self) -> None:
        self._paper.shut()
        self.venue = self._paper = self._open()

    def close(self) -> None:
        self._paper.shut()


@pytest.mark.parametrize("number", sorted(CASES))
def test_case(number: str, tmp_path: Path) -> None:
    async def play() -> None:
        stage = PaperStage(tmp_path / "paper.db")
        try:
            await CASES[number](stage)
        finally:
            stage.close()

    asyncio.run(play())


def test_the_cases_are_numbered_without_gaps() -> None:
    assert sorted(CASES) == [f"V{number:02}" for number in range(1, len(CASES) + 1)]
    assert all(case.__doc__ for case in CASES.values())


def test_a_venue_that_forgets_client_ids_fails(tmp_path: Path) -> None:
    """The suite is able to fail: a venue that takes a second order under one client id is caught."""

    class Forgetful(PaperVenue):
        taken = 0

        async def submit(self, order: ApprovedOrder, key: str) -> Ack:
            self.taken += 1
            return await super().submit(order, f"{self.taken:032x}")

    async def play() -> None:
        stage = PaperStage(tmp_path / "paper.db")
        stage.close()
        stage.venue = stage._paper = Forgetful(tmp_path / "paper.db", rules=[RULES], cash={})
        try:
            await CASES["V02"](stage)
        finally:
            stage.close()

    with pytest.raises(AssertionError, match="three submissions"):
        asyncio.run(play())
