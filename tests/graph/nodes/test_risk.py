"""Risk nodes: sizes, exits, counts, limits."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support import live
from tests.graph.support import RecordedProvider, RecordedProviders, context, done
from tests.graph.trading import CASH, World
from tickwork.core.run import Run
from tickwork.errors import InvalidInput
from tickwork.graph.declare import Context
from tickwork.graph.nodes.orders import buy
from tickwork.graph.nodes.risk import check_limit, exposure, max_trades, position_size, stop_loss, take_profit
from tickwork.graph.nodes.views import Orders, placed_in
from tickwork.market.recording import Recording

BTC, ETH = "BTC/USD", "ETH/USD"
D = Decimal
HOUR = 3_600_000_000_000
PRICES = st.decimals("0.01", "100000", places=2)
PERCENTS = st.decimals("0.1", "99", places=1)


def sized(*inputs: Any, **settings: Any) -> Any:
    return done(position_size(*inputs, context=context(event={"symbol": BTC}), **settings))


# -------------------------------------------------------------------------------------------------------------- sizing


def test_a_position_is_sized_by_what_it_may_lose() -> None:
    with_stop = sized(D(10_000), D(100), D(95), risk_pct=D(1))
    assert (with_stop.size, with_stop.notional, with_stop.risk) == (20, 2000, 100)
    bare = sized(D(10_000), D(100), risk_pct=D(1))
    assert (bare.size, bare.risk) == (1, 100)
    short = sized(D(10_000), D(100), D(105))
    assert short.size == 20


def test_the_price_is_the_recordings_and_the_capital_the_accounts() -> None:
    found = []
    for at in (200, 400):
        provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)
        world = World(provider)
        one = sized(trader=world.trader, providers=RecordedProviders(provider))
        assert one.risk == CASH / 100
        step = world.trader.rules(BTC).quantity_step
        ask = provider.latest(BTC).close + D("0.01")
        assert one.size == (CASH / 100 / ask) // step * step
        found.append(one.size)
    assert found[0] != found[1]


def test_what_a_size_cannot_be_made_of() -> None:
    for inputs in ((None, D(1)), (D(1),), (D(0), D(1)), (D("NaN"), D(1)), (D(1), D(0)), (D(1), D(5), D(5))):
        with pytest.raises(InvalidInput):
            sized(*inputs)


@given(st.decimals("1", "1000000", places=2), PRICES, PRICES, PERCENTS)
def test_at_the_stop_no_more_is_lost_than_the_risk(
    capital: Decimal, entry: Decimal, stop: Decimal, percent: Decimal
) -> None:
    if entry != stop:
        one = sized(capital, entry, stop, risk_pct=percent)
        assert one.size * abs(entry - stop) <= one.risk <= capital * percent / 100


# --------------------------------------------------------------------------------------------------------------- exits


@given(PRICES, PERCENTS)
def test_levels_lie_on_the_right_sides(entry: Decimal, percent: Decimal) -> None:
    def level(node: Any, side: Any) -> Any:
        found = node(entry, entry, percentage=percent, side=side, context=context())
        assert found.trigger is False
        at = node(found.level, entry, percentage=percent, side=side, context=context())
        assert at.trigger is True
        return found.level

    assert level(stop_loss, "long") < entry < level(take_profit, "long")
    assert level(take_profit, "short") < entry < level(stop_loss, "short")


@live
async def test_exits_are_measured_from_the_accounts_own_entry() -> None:
    async with World().open() as world:
        here = context(event={"symbol": BTC})
        now = world.sides[0].latest(BTC).close
        nothing = stop_loss(now, trader=world.trader, context=here)
        assert (nothing.trigger, nothing.level, nothing.entry) == (False, None, None)
        await bought(world, BTC)
        entry = world.trader.positions()[0].average_price
        found = stop_loss(now, trader=world.trader, percentage=D(10), context=here)
        assert (found.entry, found.level) == (entry, entry * D("0.9"))
        assert stop_loss(entry / 2, trader=world.trader, context=here).trigger
        assert take_profit(entry * 2, trader=world.trader, context=here).trigger
        assert not take_profit(entry, trader=world.trader, context=here).trigger
        other_way = stop_loss(entry * 2, trader=world.trader, side="short", context=here)
        assert (other_way.trigger, other_way.level) == (False, None)


def test_a_price_that_is_none_triggers_nothing() -> None:
    for wrong in (D(0), D(-1), D("NaN"), D("Infinity")):
        with pytest.raises(InvalidInput):
            stop_loss(wrong, D(100), context=context())
        with pytest.raises(InvalidInput):
            take_profit(D(100), wrong, context=context())
    with pytest.raises(InvalidInput, match="percentage"):
        take_profit(D(1), D(1), side="short", percentage=D(100), context=context())


# -------------------------------------------------------------------------------------------------------------- limits


async def bought(world: World, symbol: str, notional: str = "1000") -> None:
    async def body(run: Run, context: Context) -> Any:
        return await buy(run, symbol=symbol, notional=D(notional), context=context, **world.sources)

    await world.do(body)
    await world.trade()


@live
async def test_trades_are_those_that_a_venue_has_taken() -> None:
    hourly = Recording.open("coinbase-btc-usd-1h")
    at = next(at for at in range(100, 200) if hourly[at].end.hour == 1)
    async with World(RecordedProvider("coinbase", "coinbase-btc-usd-1h", at=at)).open() as world:

        async def ask(run: Run, context: Context) -> Any:
            return await max_trades(run, limit=2, context=context)

        counts = []
        for _ in range(3):
            found = await world.do(ask)
            counts.append((found.count, found.allowed))
            await bought(world, BTC)
        assert counts == [(0, True), (1, True), (2, False)]
        world.clock.jump(world.clock.now() + 24 * HOUR)
        assert (await world.do(ask)).count == 0


def test_periods_begin_where_the_calendar_says() -> None:
    thursday = 20 * 24 * HOUR + 5 * HOUR  # 1970-01-21 was a Wednesday: day 20 after a Thursday
    hour = thursday // HOUR
    orders = Orders([], {hour: 1, hour - 1: 2, hour - 6: 4, hour - 30: 8, hour - 24 * 4: 16})
    assert placed_in(orders, "hour", thursday) == 1
    assert placed_in(orders, "day", thursday) == 3
    assert placed_in(orders, "week", thursday) == 15
    assert placed_in(None, "day", thursday) == 0


@live
async def test_exposure_is_what_the_positions_are_worth() -> None:
    async with World().open() as world:
        none = exposure(trader=world.trader, context=context())
        assert none.exposure == none.gross == 0
        assert not none.shares
        await bought(world, BTC, "1000")
        await bought(world, ETH, "2000")
        found = exposure(trader=world.trader, context=context())
        worth = {one.symbol: one.quantity * one.price for one in world.trader.positions()}
        assert found.gross == found.net == sum(worth.values())
        assert found.exposure == pytest.approx(found.gross / world.trader.equity(), abs=D("1e-6"))
        assert set(found.shares) == {BTC, ETH}
        only = exposure(symbols=[BTC], trader=world.trader, context=context())
        assert only.gross == worth[BTC]
        await world.trade()
        assert exposure(trader=world.trader, context=context()).gross != found.gross


@pytest.mark.parametrize(
    ("type", "limit", "current", "exceeded", "warning", "used"),
    [
        ("daily_loss", "-500", "-600", True, True, "1.2"),
        ("daily_loss", "-500", "-500", False, True, "1"),
        ("daily_loss", "-500", "-400", False, True, "0.8"),
        ("daily_loss", "-500", "-399", False, False, "0.798"),
        ("daily_loss", "-500", "100", False, False, "0"),
        ("position", "10000", "10001", True, True, "1.0001"),
        ("position", "10000", "10000", False, True, "1"),
        ("position", "10000", "7999", False, False, "0.7999"),
        ("position", "0", "0", False, False, None),
        ("position", "0", "1", True, True, None),
    ],
)
def test_limits(type: str, limit: str, current: str, exceeded: bool, warning: bool, used: str | None) -> None:
    found = check_limit(D(current), type=type, limit=D(limit), context=context())
    assert (found.exceeded, found.warning) == (exceeded, warning)
    assert found.utilisation == (None if used is None else D(used))


def test_a_limit_of_the_wrong_sign_or_a_figure_that_is_none() -> None:
    for type, limit, current in (("daily_loss", "500", "0"), ("position", "-1", "0"), ("position", "1", "NaN")):
        with pytest.raises(InvalidInput):
            check_limit(D(current), type=type, limit=D(limit), context=context())
