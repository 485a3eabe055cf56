"""The paper venue passes every numbered case, on bars, on quotes and behind a wire that fails; broken ones do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.venues.stages import BarStage, QuoteStage, Wired, WiredStage
from tests.venues.test_paper import approved, key
from tickwork.errors import NotSent, Rejected
from tickwork.market.bars import Bar
from tickwork.outcome import Found, NotFound
from tickwork.trading.orders import Ack, ApprovedOrder, Fill, Order, require_approved
from tickwork.trading.venue import Balance, Capabilities, VenueReport
from tickwork.values import rounded_down
from tickwork.venues.conformance import CASES, Skipped, table
from tickwork.venues.conformance.stage import REGISTER
from tickwork.venues.paper import PaperVenue
from tickwork.venues.paper_trading import Draft

WIRE = {f"V{number}" for number in range(43, 54)}
STREAM = {"V54"}
SKIPPED: dict[type[BarStage], set[str]] = {
    BarStage: WIRE | STREAM,
    QuoteStage: WIRE | STREAM | {"V24", "V25"},
    WiredStage: STREAM,
}
"""What is not played on a stage; everything else is."""


async def played(stage: BarStage, number: str) -> Skipped | None:
    try:
        return await CASES[number](stage)
    finally:
        stage.close()


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize("stage", SKIPPED)
def test_case(stage: type[BarStage], number: str, tmp_path: Path) -> None:
    skipped = asyncio.run(played(stage(tmp_path / "paper.db"), number))
    assert (skipped is not None) == (number in SKIPPED[stage]), skipped


def test_the_cases_are_numbered_without_gaps() -> None:
    assert list(CASES) == [f"V{number:02}" for number in range(1, len(CASES) + 1)]


def test_what_is_skipped_says_why(tmp_path: Path) -> None:
    skipped = asyncio.run(played(BarStage(tmp_path / "paper.db"), "V44"))
    assert skipped == Skipped("V44", "needs a stage that can make `lost_answer`")


def test_the_table_has_every_case_in_words() -> None:
    head, rule, *rows = table().splitlines()
    assert (head, rule) == ("| Case | A venue does this | Needs |", "|---|---|---|")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == list(CASES)
    assert all(row[1].endswith(".") and len(row[1]) > 30 for row in cells)
    assert len({row[1] for row in cells}) == len(cells)
    needs = {row[0] for row in cells if row[2]}
    assert needs == {number for number, entry in REGISTER.items() if entry.needs}
    assert {"V02", "V35", "V44"} <= needs


# ------------------------------------------------------------------------------------------------- broken on purpose


class ForgetsClientIds(PaperVenue):
    taken = 0

    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        self.taken += 1
        return await super().submit(order, f"{self.taken:032x}")


class LosesTheEdgeOfSince(PaperVenue):
    async def fills(self, symbol: str, since: int) -> list[Fill]:
        return [fill for fill in await super().fills(symbol, since) if fill.time > since]


class TellsFillsTwice(PaperVenue):
    async def fills(self, symbol: str, since: int) -> list[Fill]:
        return [fill for fill in await super().fills(symbol, since) for _ in range(2)]


class TellsNoClientIds(PaperVenue):
    async def fills(self, symbol: str, since: int) -> list[Fill]:
        return [replace(fill, client_order_id="") for fill in await super().fills(symbol, since)]


class RoundsFees(PaperVenue):
    async def fills(self, symbol: str, since: int) -> list[Fill]:
        found = await super().fills(symbol, since)
        return [replace(fill, fee=rounded_down(fill.fee, Decimal("0.01"))) for fill in found]


class TakesAnything(PaperVenue):
    def __init__(self, path: Path, **given: Any) -> None:
        given["rules"] = [
            replace(rule, min_notional=Decimal(0), min_quantity=Decimal(0), max_quantity=None)
            for rule in given["rules"]
        ]
        super().__init__(path, **given)


class HidesAnOpenOrder(PaperVenue):
    async def open_orders(self) -> list[Order]:
        return (await super().open_orders())[:-1]


class ShowsItsOwnOnly(PaperVenue):
    async def open_orders(self) -> list[Order]:
        return [order for order in await super().open_orders() if order.client_order_id != "f" * 32]


class CancelsOnce(PaperVenue):
    async def cancel(self, key: str, symbol: str = "") -> Order:
        found = await self.find(key)
        if isinstance(found, Found) and found.value.remaining == 0:
            raise Rejected(self.name, "no such order")
        return await super().cancel(key, symbol)


class NeedsTheSymbol(PaperVenue):
    async def find(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        return await super().find(key, symbol) if symbol else NotFound()


class MendsQuantities(PaperVenue):
    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        step = self._rules[order.symbol].quantity_step
        object.__setattr__(order, "approval", replace(order.approval, quantity=rounded_down(order.quantity, step)))
        return await super().submit(order, key)


class LetsImmediateOrdersRest(PaperVenue):
    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        wanted = replace(require_approved(order).approval.intent, time_in_force="gtc")
        object.__setattr__(order, "approval", replace(order.approval, intent=wanted))
        return await super().submit(order, key)


class HoldsNothing(PaperVenue):
    async def balances(self) -> dict[str, Balance]:
        return {asset: replace(one, held=Decimal(0)) for asset, one in (await super().balances()).items()}


class ForgetsEverything(PaperVenue):
    def __init__(self, path: Path, **given: Any) -> None:
        super().__init__(":memory:", **given)


class SellsToLook(PaperVenue):
    async def examine(self) -> VenueReport:
        await super().submit(approved("buy", "10", limit_price=Decimal(1)), key(77))
        return await super().examine()


class PromisesAStream(PaperVenue):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, streams=True)


class TalksWithoutAStream(PaperVenue):
    async def updates(self) -> AsyncIterator[Order | Fill]:
        for order in await self.open_orders():
            yield order
        await asyncio.sleep(0)
        yield (await approved_order(self))


async def approved_order(venue: PaperVenue) -> Order:
    await venue.submit(approved("buy", "10", limit_price=Decimal(1)), key(78))
    found = await venue.find(key(78))
    assert isinstance(found, Found)
    return found.value


class TakesALostAnswerForANo(Wired):
    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        try:
            return await super().submit(order, key)
        except TimeoutError:
            raise NotSent("no answer") from None


class SendsAgain(Wired):
    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        try:
            return await super().submit(order, key)
        except TimeoutError:
            self.trouble = None
            await super().submit(order, f"{int(key, 16) + 99:032x}")
            raise


class TakesTroubleForARejection(Wired):
    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        try:
            return await super().submit(order, key)
        except ConnectionResetError:
            raise Rejected(self.name, "the wire was cut") from None


class FindsNothingInTheDark(Wired):
    async def find(self, key: str, symbol: str = "") -> Found[Order] | NotFound:
        try:
            return await super().find(key, symbol)
        except ConnectionResetError:
            return NotFound()


class ReadsNonsenseAsNothing(Wired):
    async def fills(self, symbol: str, since: int) -> list[Fill]:
        return [] if self.trouble == "nonsense" else await super().fills(symbol, since)


class SaysNeverForNotYet(Wired):
    async def submit(self, order: ApprovedOrder, key: str) -> Ack:
        if self.trouble == "not_yet":
            raise Rejected(self.name, "it does not trade")
        return await super().submit(order, key)


class LagsInSecret(Wired):
    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, deduplicates=False)


BROKEN: list[tuple[type[PaperVenue], str]] = [
    (ForgetsClientIds, "V02"),
    (LosesTheEdgeOfSince, "V11"),
    (TellsFillsTwice, "V11"),
    (TellsNoClientIds, "V29"),
    (RoundsFees, "V13"),
    (TakesAnything, "V18"),
    (TakesAnything, "V24"),
    (TakesAnything, "V25"),
    (HidesAnOpenOrder, "V07"),
    (ShowsItsOwnOnly, "V31"),
    (CancelsOnce, "V08"),
    (CancelsOnce, "V09"),
    (NeedsTheSymbol, "V30"),
    (MendsQuantities, "V23"),
    (LetsImmediateOrdersRest, "V39"),
    (LetsImmediateOrdersRest, "V42"),
    (HoldsNothing, "V14"),
    (HoldsNothing, "V36"),
    (ForgetsEverything, "V06"),
    (ForgetsEverything, "V34"),
    (SellsToLook, "V32"),
    (TalksWithoutAStream, "V33"),
    (TakesALostAnswerForANo, "V44"),
    (SendsAgain, "V44"),
    (TakesTroubleForARejection, "V43"),
    (FindsNothingInTheDark, "V50"),
    (ReadsNonsenseAsNothing, "V51"),
    (SaysNeverForNotYet, "V47"),
    (LagsInSecret, "V49"),
]


@pytest.mark.parametrize(("broken", "number"), BROKEN)
def test_a_broken_venue_fails(broken: type[PaperVenue], number: str, tmp_path: Path) -> None:
    stage = WiredStage(tmp_path / "paper.db", broken)
    with pytest.raises((AssertionError, Rejected)):
        asyncio.run(played(stage, number))


@pytest.mark.parametrize("number", ["V19", "V38"])
def test_a_venue_that_turns_a_position_fails(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Draft, "_capacity", lambda self, order, at, spare=Decimal(0): order.remaining)
    with pytest.raises(AssertionError, match="two reductions of"):
        asyncio.run(played(BarStage(tmp_path / "paper.db"), number))


def test_a_venue_that_fills_the_whole_at_once_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BarStage, "_given", lambda self: {})
    with pytest.raises(AssertionError, match="expected half of it"):
        asyncio.run(played(BarStage(tmp_path / "paper.db"), "V35"))


class Streams(PromisesAStream):
    """Tells of fills and orders as the market moves."""

    def __init__(self, path: Path, **given: Any) -> None:
        super().__init__(path, **given)
        self.news: asyncio.Queue[Order | Fill] = asyncio.Queue()

    def on_bar(self, bar: Bar, offset: int) -> list[Fill]:
        fills = super().on_bar(bar, offset)
        for fill in fills:
            self.news.put_nowait(fill)
            order = self._book.order(fill.client_order_id)
            assert order is not None
            self.news.put_nowait(order)
        return fills

    async def updates(self) -> AsyncIterator[Order | Fill]:
        while True:
            yield await self.news.get()


@pytest.mark.parametrize("number", ["V33", "V54"])
def test_a_stream_is_heard(number: str, tmp_path: Path) -> None:
    assert asyncio.run(played(BarStage(tmp_path / "paper.db", Streams), number)) is None


@pytest.mark.slow
def test_a_stream_that_tells_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no news"):
        asyncio.run(played(BarStage(tmp_path / "paper.db", PromisesAStream), "V54"))
