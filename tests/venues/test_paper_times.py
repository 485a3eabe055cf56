"""The paper venue with a clock: what an order may trade on, when one ended, and books of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.awaiting import awaited
from tests.trading.support import SPOT, START, D, bar, quote
from tests.venues.test_paper import approved, key, paper
from tickwork.errors import InvalidInput
from tickwork.outcome import Found
from tickwork.trading.ledger import fold
from tickwork.venues.paper import PaperVenue
from tickwork.venues.paper_schema import UPGRADES

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


ORDERS_1 = """id INTEGER PRIMARY KEY, client_order_id TEXT NOT NULL UNIQUE, symbol TEXT NOT NULL, side TEXT NOT NULL,
type TEXT NOT NULL, quantity TEXT NOT NULL, limit_price TEXT, reduce_only INTEGER NOT NULL, status TEXT NOT NULL,
filled TEXT NOT NULL, filled_notional TEXT NOT NULL, fee TEXT NOT NULL, fee_currency TEXT NOT NULL,
reason TEXT NOT NULL, held_asset TEXT NOT NULL, held_amount TEXT NOT NULL"""
ORDERS_2 = f"{ORDERS_1}, not_before INTEGER NOT NULL DEFAULT 0, ended_at INTEGER"
SCHEMA_1 = """
CREATE TABLE identity (venue TEXT NOT NULL, account TEXT NOT NULL) STRICT;
CREATE TABLE deposits (asset TEXT PRIMARY KEY, amount TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE orders ({orders}) STRICT;
CREATE INDEX open_orders ON orders (id) WHERE {open};
CREATE TABLE fills (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), price TEXT NOT NULL,
    quantity TEXT NOT NULL, fee TEXT NOT NULL, fee_currency TEXT NOT NULL, time INTEGER NOT NULL,
    bar_offset INTEGER NOT NULL) STRICT;
CREATE TABLE balances (asset TEXT PRIMARY KEY, total TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cursors (symbol TEXT PRIMARY KEY, bar_offset INTEGER NOT NULL, last_price TEXT NOT NULL)
    STRICT, WITHOUT ROWID;
INSERT INTO identity VALUES ('paper', 'main');
INSERT INTO deposits VALUES ('USDT', '10000');
INSERT INTO balances VALUES ('USDT', '9899.84995'), ('BTC', '1.0000');
INSERT INTO fills VALUES (1, 1, '100.05', '1.0000', '0.10005', 'USDT', {start}, 0);
INSERT INTO cursors VALUES ('BTC/USDT', 0, '100');
"""
"""The tables as version 1 had them, and as 2 and 3 had them but for those of orders: the same throughout."""

WORDS = {1: ("open", "canceled"), 2: ("open", "canceled"), 3: ("acknowledged", "cancelled")}


def old_book(path: Path, version: int) -> None:
    """A book of an older version: an order that was filled, one that was cancelled, and one that is open."""
    is_open, cancelled = WORDS[version]
    orders, condition = (ORDERS_1, "status = 'open'") if version == 1 else (ORDERS_2, "ended_at IS NULL")
    if version == 2:
        condition = "status = 'open'"
    rest = ["", "", ""] if version == 1 else [f", {START}, {START}", f", {START}, {START + 9}", f", {START + 1}, NULL"]
    with apsw.Connection(str(path)) as db:
        db.execute(SCHEMA_1.format(orders=orders, open=condition, start=START))
        filled = f"'filled', '1.0000', '100.05', '0.10005', 'USDT', '', 'USDT', '100.15'{rest[0]}"
        ended = f"'{cancelled}', '0', '0', '0', '', 'cancelled by the account', 'USDT', '50.05'{rest[1]}"
        waits = f"'{is_open}', '0', '0', '0', '', '', 'USDT', '90.09'{rest[2]}"
        rows = (
            f"1, '{key(1)}', 'BTC/USDT', 'buy', 'market', '1.0000', NULL, 0, {filled}",
            f"2, '{key(2)}', 'BTC/USDT', 'buy', 'limit', '1.0000', '50', 0, {ended}",
            f"3, '{key(3)}', 'BTC/USDT', 'buy', 'limit', '1.0000', '90', 0, {waits}",
        )
        for row in rows:
            db.execute(f"INSERT INTO orders VALUES ({row})")
        db.pragma("user_version", version)


@pytest.mark.parametrize("version", [1, 2, 3])
@awaited
async def test_a_book_of_before_goes_on(version: int, tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    old_book(path, version)
    for _ in range(2):  # brought up, and then as one of this version
        with paper(path, inline=True) as venue:
            assert venue.totals().differences(fold(await venue.numbered(0), {"USDT": D(10_000)})) == []
            states = [found.value for n in (1, 2, 3) if isinstance(found := await venue.find(key(n)), Found)]
            assert [order.status for order in states] == ["filled", "cancelled", "acknowledged"]
            assert {order.time_in_force for order in states} == {"gtc"}
            assert [order.time for order in states] == ([0, 0, 0] if version == 1 else [START, START, START + 1])
            ended = (0, 0, None) if version == 1 else (START, START + 9, None)
            assert tuple(venue.ended_at(key(n)) for n in (1, 2, 3)) == ended
            assert (await venue.balances())["USDT"].held == D("90.09")
            assert venue.cursor(SPOT) == 0
            assert venue.on_bar(bar("50", index=0), 0) == []
    with paper(path, inline=True) as venue:
        (on_bar,) = venue.on_bar(bar("89", index=1), 1)
        assert (on_bar.fill_id, on_bar.client_order_id, on_bar.offset) == ("2", key(3), 1)
        await accept(venue, 4)
        (on_quote,) = venue.on_quote(quote("80"))
        assert (on_quote.fill_id, on_quote.offset) == ("3", None)
    with paper(path, inline=True) as venue:
        assert await venue.numbered(1) == [on_bar, on_quote]
        assert venue.totals().differences(fold(await venue.numbered(0), {"USDT": D(10_000)})) == []


@awaited
async def test_a_book_is_brought_up_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "book.db"
    old_book(path, 2)
    monkeypatch.setitem(UPGRADES, 3, UPGRADES[3] + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        paper(path)
    monkeypatch.undo()
    with paper(path, inline=True) as venue:
        assert venue.totals().orders == 3


@awaited
async def test_a_book_of_later_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    with paper(path, inline=True):
        pass
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", 9)
    with pytest.raises(InvalidInput, match="version 9"):
        paper(path)
