"""What a paper session came to: trading apart from what was paid in, and the same figures read from its tape."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.service.papering import BTC, ETH, START, Played, clockwork, everything, options, whole
from tickwork.app import open_paper
from tickwork.core.run import Run
from tickwork.core.workflow import Workflow, workflow
from tickwork.engines.embedded.queries import Queries
from tickwork.graph.sources import Sources
from tickwork.service.positions import last_marks, positions


def idle(sources: Sources) -> list[Workflow]:
    @workflow("idle")
    async def body(run: Run) -> None: ...

    return [body]


def test_coins_that_were_paid_in_are_no_result(tmp_path: Path) -> None:
    given = options(tmp_path, 60, stock=Decimal("0.3"))
    found = Played(given, idle).summary
    gained = Decimal(0)
    session = open_paper(given, idle)
    for name, desk in session.trader.desks.items():
        last = {one.header.symbol: one[-1].close for one in given.data if one.header.venue == name}  # type: ignore[union-attr]
        for symbol, coin in ((BTC, "BTC"), (ETH, "ETH")):
            gained += desk.cash[coin] * (last[symbol] - desk.marks[symbol])
    asyncio.run(session.close())
    assert gained
    assert Decimal(found["stockPnl"]) == gained
    assert Decimal(found["pnl"]) == 0
    assert Decimal(found["equity"]) == Decimal(found["capital"]) + gained


@pytest.mark.parametrize("stock", ["0", "0.5"])
def test_the_parts_make_the_equity(stock: str, tmp_path: Path) -> None:
    found = Played(options(tmp_path, 240, stock=Decimal(stock))).summary
    parts = sum(Decimal(found[name]) for name in ("capital", "stockPnl", "pnl"))
    assert parts == Decimal(found["equity"])
    assert Decimal(found["pnl"]) != 0
    assert (Decimal(found["stockPnl"]) == 0) is (stock == "0")


@pytest.mark.parametrize("make", [idle, everything])
def test_the_tape_tells_the_same_equity(make: Any, tmp_path: Path) -> None:
    played = Played(whole(tmp_path, 240) if make is everything else options(tmp_path, 30), make)
    held = positions(played.queries, last_marks(played.queries))
    assert held.equity == played.summary["equity"]
    assert held.currency == "USDT"
    assert set(held.coins) == {"BTC", "ETH"}
    assert held.fees == played.summary["fees"]
    assert held.priced_at == START + timedelta(minutes=240 if make is everything else 30)
    assert len({(line.venue, line.symbol) for line in held.positions}) == len(held.positions)


def test_before_the_end_the_newest_prices_on_the_tape_count(tmp_path: Path) -> None:
    given = options(tmp_path, 240, stock=Decimal(0))

    async def halfway() -> None:
        session = open_paper(given, everything)
        playing = asyncio.ensure_future(session.run())
        while session.progress.fills < 3:  # noqa: ASYNC110 - turn by turn
            await asyncio.sleep(0)
        await session.engine.durable()
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        await session.close()

    asyncio.run(halfway())
    queries = Queries.open(str(tmp_path / "paper.db"))
    marks = last_marks(queries)
    held = positions(queries, marks)
    assert held.positions
    assert held.priced_at == marks.at
    assert all(line.price is not None for line in held.positions)


def test_what_schedules_start_is_counted(tmp_path: Path) -> None:
    found = Played(options(tmp_path, 60), lambda sources: [clockwork(sources)]).summary
    assert found["events"] == found["runs"]["done"] == 9 + 12, "every seven minutes and on the hour; every five"
