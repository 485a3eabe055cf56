"""The paper venue on live quotes: delays, staleness, depth, orders with one chance, and what is left of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import force_setattr

from tests.service.awaiting import awaited
from tests.trading.support import SPOT, START, SWAP, D, bar, quote
from tests.venues.test_paper import approved, found, key, paper
from tickwork.market.bars import Quote
from tickwork.trading.ledger import fold
from tickwork.trading.matching import LIVE_LIKE, Depth, FillModel, Level
from tickwork.venues.paper import PaperVenue

SECOND = 1_000_000_000


class Live:
    """A venue on live quotes, and the clock of both."""

    def __init__(self, path: str | Path = ":memory:", **given: Any) -> None:
        self.time = START
        self.venue: PaperVenue = paper(path, clock=lambda: self.time, inline=True, **given)

    async def sends(self, number: int, *terms: Any, **changes: Any) -> None:
        await self.venue.submit(approved(*terms, **changes), key(number))

    def quoted(self, price: str = "100", *, size: str = "", after: int = SECOND, age: int = 0) -> list[Any]:
        """The fills of a quote at ``price``, said ``after`` the last one, ``age`` ago."""
        self.time += after
        level = (Level(D(price), D(size)),) if size else ()
        depth = Depth(bids=level, asks=level) if size else None
        return self.venue.on_quote(quote(price, time_ns=self.time - age), depth)


@given(late=st.integers(0, 3 * SECOND), number=st.integers(1, 10**9))
@settings(max_examples=60, deadline=None)
@awaited
async def test_no_quote_is_traded_on_before_acceptance_and_delay(late: int, number: int) -> None:
    live = Live(fills=LIVE_LIKE)
    await live.sends(number)
    fills = live.quoted(after=late)
    assert bool(fills) == (late >= LIVE_LIKE.delay_ns(key(number)))
    assert late >= SECOND // 2 or not fills
    assert late < 3 * SECOND // 2 or fills


@awaited
async def test_a_quote_from_before_the_order_does_not_fill_it() -> None:
    live = Live()
    live.time += SECOND
    await live.sends(1)
    assert live.quoted(after=0, age=1) == []
    (fill,) = live.quoted(after=0)
    assert (fill.time, fill.offset, fill.price) == (live.time, None, D("100.05"))
    assert live.venue.ended_at(key(1)) == live.time


@awaited
async def test_quotes_that_cannot_be_trade_nothing_and_cost_no_chance() -> None:
    live = Live(max_quote_age="5s")
    await live.sends(1, limit_price=D(101), time_in_force="ioc")
    live.time += 60 * SECOND
    assert live.quoted(age=6 * SECOND) == []
    assert live.quoted(age=-6 * SECOND) == []
    for field, wrong in (("bid", D("NaN")), ("ask", D("NaN")), ("bid", D(102)), ("bid", D(0)), ("ask", D("Infinity"))):
        live.time += 1
        broken = quote("100", time_ns=live.time)
        force_setattr(broken, field, wrong)
        assert live.venue.on_quote(broken) == []
    assert found(live.venue, 1).status == "acknowledged"
    assert len(live.quoted(age=4 * SECOND)) == 1


@awaited
async def test_quotes_come_in_order_of_time_also_after_a_restart(tmp_path: Path) -> None:
    live = Live(tmp_path / "book.db")
    await live.sends(1, limit_price=D(95))
    assert live.quoted("100") == []
    assert live.quoted("90", after=0) == []  # of the same instant
    assert len(live.quoted("94")) == 1
    await live.sends(2, limit_price=D(95))
    live.venue.shut()
    again = Live(tmp_path / "book.db")
    again.time = live.time
    assert again.quoted("90", after=0) == []
    assert len(again.quoted("90", after=1)) == 1
    again.venue.shut()


@awaited
async def test_what_is_visible_is_shared_by_side_and_in_order() -> None:
    live = Live()
    await live.sends(1, "buy", "3")
    live.quoted()
    for number, side, amount in ((2, "buy", "2"), (3, "buy", "2"), (4, "sell", "3")):
        await live.sends(number, side, amount, limit_price=D(100))
    fills = live.quoted(size="2.5")
    assert [(one.client_order_id, one.quantity) for one in fills] == [
        (key(2), D(2)),
        (key(3), D("0.5")),
        (key(4), D("2.5")),
    ]
    assert [found(live.venue, number).status for number in (2, 3, 4)] == ["filled", *["partially_filled"] * 2]
    assert [one.quantity for one in live.quoted(size="2.5")] == [D("1.5"), D("0.5")]


@awaited
async def test_what_is_left_of_an_order_locks_less() -> None:
    live = Live()
    await live.sends(1, "buy", "10", limit_price=D(100))
    assert live.venue.free("USDT") == D(10_000) - D(1_001)
    live.quoted("99", size="4")
    paid = D(4) * 99 + D("0.396")
    assert live.venue.free("USDT") == D(10_000) - paid - D("600.6")
    order = await live.venue.cancel(key(1))
    assert (order.status, order.filled, order.remaining) == ("partially_cancelled", D(4), D(0))
    assert live.venue.free("USDT") == D(10_000) - paid
    assert live.quoted("90") == []


@awaited
async def test_a_market_order_goes_on_until_it_is_filled() -> None:
    live = Live()
    await live.sends(1, "buy", "5")
    assert [one.price for one in live.quoted("100", size="2")] == [D("100.05")]
    assert [one.price for one in live.quoted("110", size="2")] == [D("110.06")]  # 110.055, up to the tick
    assert found(live.venue, 1).status == "partially_filled"
    assert [one.quantity for one in live.quoted("100", size="2")] == [D(1)]
    assert found(live.venue, 1).status == "filled"
    assert live.venue.totals().differences(fold(await live.venue.numbered(0), {"USDT": D(10_000)})) == []


@pytest.mark.parametrize(
    ("force", "size", "status", "filled"),
    [("ioc", "4", "expired", "4"), ("ioc", "10", "filled", "10"), ("fok", "4", "expired", "0"),
     ("fok", "10", "filled", "10")],
)  # fmt: skip
@awaited
async def test_orders_with_one_chance(force: str, size: str, status: str, filled: str) -> None:
    live = Live()
    await live.sends(1, "buy", "10", limit_price=D(100), time_in_force=force)
    live.quoted(size=size)
    order = found(live.venue, 1)
    assert (order.status, order.filled) == (status, D(filled))
    assert live.venue.ended_at(key(1)) == live.time
    assert live.quoted(size="100") == []
    assert (await live.venue.balances())["USDT"].held == 0


@awaited
async def test_all_or_nothing_is_nothing_where_the_account_cannot_carry_it() -> None:
    live = Live()
    await live.sends(1, "sell", "50", symbol=SWAP)
    await live.sends(2, "buy", "40", limit_price=D(100), time_in_force="fok")
    live.time += SECOND
    live.venue.on_quote(quote("100", symbol=SWAP, time_ns=live.time))
    live.time += SECOND
    live.venue.on_quote(quote("140", symbol=SWAP, time_ns=live.time))  # the short needs what was free
    live.quoted()
    order = found(live.venue, 2)
    assert (order.status, order.filled) == ("expired", D(0))


@awaited
async def test_other_terms_of_time_under_a_used_client_id_are_rejected() -> None:
    live = Live()
    await live.sends(1, limit_price=D(50))
    with pytest.raises(Exception, match="used for another order"):
        await live.sends(1, limit_price=D(50), time_in_force="ioc")


@awaited
async def test_the_rest_of_an_order_is_remembered(tmp_path: Path) -> None:
    live = Live(tmp_path / "book.db", fills=FillModel(volume_share=D("0.5")))
    await live.sends(1, "buy", "2", limit_price=D(100), time_in_force="gtc")
    before = (found(live.venue, 1), await live.venue.balances())
    live.time += 1
    (fill,) = live.venue.on_bar(bar("99", index=1), 0)
    assert fill.quantity == D("0.5")
    partly = (found(live.venue, 1), await live.venue.balances())
    assert partly != before
    live.venue.shut()
    with paper(tmp_path / "book.db", inline=True) as again:
        assert (found(again, 1), await again.balances()) == partly
        assert await again.open_orders() == [partly[0]]


@awaited
async def test_it_declares_what_it_does() -> None:
    with paper() as both, paper(rules=[(await both.rules([SPOT]))[SPOT]]) as spot:
        assert both.capabilities.times_in_force == {"gtc", "ioc", "fok"}
        assert (both.capabilities.shorts, spot.capabilities.shorts) == (True, False)
        assert sorted(await both.rules()) == [SPOT, SWAP]


def test_a_mid_price_loses_no_digit() -> None:
    with paper() as venue:
        venue.on_quote(
            Quote(symbol=SPOT, venue="live", time_ns=1, bid=D("0." + "1" * 30), ask=D("12345678901234567890"))
        )
        exact = Decimal("6172839450617283945." + "0" + "5" * 30)
        assert venue._state.last_prices[SPOT] == exact
