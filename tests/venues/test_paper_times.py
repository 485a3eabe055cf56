"""The paper venue with a clock: what an order may trade on, when one ended, and books of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.awaiting import awaited
from tests.trading.support import SPOT, START, D, bar
from tests.venues.test_paper import approved, key, paper
from tickwork.errors import InvalidInput
from tickwork.outcome import Found
from tickwork.venues.paper import PaperVenue

BAR = bar("100").interval_ns


class Clock:
    time = START

    def now(self) -> int:
        return self.time


async def accept(venue: PaperVenue, number: int, **changes: Any) -> None:
    await venue.submit(approved(**changes), key(number))


@given(late=st.floats(0, 3, exclude_max=True))
@settings(max_examples=40, deadline=None)
@awaited
async def test_an_order_trades_on_the_first_bar_that_begins_after_it(late: float) -> None:
    clock = Clock()
    with paper(clock=clock.now) as venue:
        clock.time = START + round(late * BAR)
        await accept(venue, 1)
        filled = [fill for offset in range(5) for fill in venue.on_bar(bar("100", index=offset), offset)]
        (fill,) = filled
        assert fill.time >= clock.time
        assert fill.time - clock.time < BAR


@awaited
async def test_without_a_clock_the_next_bar_is_traded_on() -> None:
    with paper() as venue:
        await accept(venue, 1)
        assert len(venue.on_bar(bar("100", index=0), 0)) == 1


@awaited
async def test_it_is_remembered_by_the_book(tmp_path: Path) -> None:
    clock = Clock()
    with paper(tmp_path / "book.db", clock=clock.now, inline=True) as venue:
        clock.time = START + BAR // 2
        await accept(venue, 1)
    with paper(tmp_path / "book.db", clock=clock.now, inline=True) as venue:
        assert venue.on_bar(bar("100", index=0), 0) == []
        assert venue.ended_at(key(1)) is None
        assert len(venue.on_bar(bar("100", index=1), 1)) == 1
        assert venue.ended_at(key(1)) == bar("100", index=1).end_ns
        assert venue.ended_at(key(9)) is None


@awaited
async def test_when_it_was_cancelled(tmp_path: Path) -> None:
    clock = Clock()
    with paper(tmp_path / "book.db", clock=clock.now, inline=True) as venue:
        await accept(venue, 1, price="100", limit_price=D(50))
        clock.time += 7
        await venue.cancel(key(1))
        assert venue.ended_at(key(1)) == START + 7
        clock.time += 7
        await venue.cancel(key(1))
        assert venue.ended_at(key(1)) == START + 7


@awaited
async def test_what_is_free_is_what_no_order_has_locked() -> None:
    with paper() as venue:
        assert venue.free("USDT") == D(10_000)
        await accept(venue, 1)
        held = (await venue.balances())["USDT"].held
        assert held > 0
        assert venue.free("USDT") == D(10_000) - held


@awaited
async def test_a_book_of_before_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    with paper(path, inline=True) as venue:
        await accept(venue, 1)
        venue.on_bar(bar("100", index=0), 0)
        await accept(venue, 2)
    with apsw.Connection(str(path)) as db:
        db.execute("DROP INDEX open_orders")
        db.execute("ALTER TABLE orders DROP COLUMN not_before")
        db.execute("ALTER TABLE orders DROP COLUMN ended_at")
        db.execute("UPDATE orders SET status = 'open' WHERE status = 'acknowledged'")
        db.execute("CREATE INDEX open_orders ON orders (id) WHERE status = 'open'")
        db.pragma("user_version", 1)
    with paper(path, inline=True) as venue:
        assert (venue.ended_at(key(1)), venue.ended_at(key(2))) == (0, None)
        assert len(venue.on_bar(bar("100", index=1), 1)) == 1
        found = await venue.find(key(2))
        assert isinstance(found, Found)
        assert found.value.status == "filled"
        assert found.value.symbol == SPOT


@awaited
async def test_a_book_of_later_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    with paper(path, inline=True):
        pass
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 9)
    with pytest.raises(InvalidInput, match="version 9"):
        paper(path)
