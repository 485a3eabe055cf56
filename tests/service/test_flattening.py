"""Flattening on the real engine: what is closed, what is not and why, and a death at every turn."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.support import live
from tests.service.guarding import NAME, World, order
from tests.trading.support import SPOT, SWAP, D
from tickwork.errors import InvalidInput, Rejected
from tickwork.service.flattening import FLATTEN, FlattenAsked, FlattenDone, closable, dust_of, parts_of
from tickwork.service.halting import HaltRaised
from tickwork.service.trading import OrderAccepted, holdings
from tickwork.trading.ledger import Ledger
from tickwork.trading.matching import TradingRules
from tickwork.trading.orders import Fill, Order

ASKED = FlattenAsked(account=NAME, reason="test", by="ada")


async def flattened(world: World, asked: FlattenAsked = ASKED, id: str | None = None) -> Any:
    started = await world.flattening.start(asked, id=id)
    return await world.engine.handle(started.run).result()


def looking(world: World) -> None:
    """The orders are listed as open until a bar has come: then the account's loop would ask what became of them."""

    def meanwhile(method: str) -> None:
        if method == "open_orders" and world.wire.calls.count("submit") > world.sent:
            world.bar(100, symbol=SPOT)
            world.bar(100, symbol=SWAP)

    world.wire.meanwhile = meanwhile


async def having(world: World, *, swap: bool = True) -> None:
    """A long position in coins, a short contract, and two resting orders."""
    await world.hold("2")
    if swap:
        assert await world.trade(order("sell", "1", symbol=SWAP)) == "accepted"
        assert world.bar(100, symbol=SWAP)
        await world.pull()
    await world.trade(order("buy", "1", limit_price="90"))
    await world.trade(order("sell", "1", limit_price="150", reduce_only=True))
    world.sent = world.wire.calls.count("submit")


@live
async def test_everything_is_closed() -> None:
    world = World()
    await world.open()
    await having(world)
    looking(world)
    done = await flattened(world)
    assert done.complete
    assert [(one.symbol, one.before, one.left, one.why) for one in done.lines] == [
        (SPOT, D(2), D(0), ""),
        (SWAP, D(-1), D(0), ""),
    ]
    assert not await world.paper.open_orders()
    assert world.desk.ledger.positions() == {}
    held = {asset: one.total for asset, one in (await world.paper.balances()).items()}
    assert {asset for asset, total in held.items() if total} == {"USDT"}
    assert held["USDT"] == world.desk.ledger.cash("USDT")
    (raised,) = world.told(HaltRaised)
    assert (raised.level, raised.account, raised.owner) == ("halt", NAME, "ann")
    closing = [one for one in world.told(OrderAccepted) if one.agent == "flatten"]
    assert all(one.reduce_only and one.type == "market" for one in closing)
    assert sorted((one.symbol, one.side, one.quantity) for one in closing) == [
        (SPOT, "sell", D(2)), (SWAP, "buy", D(1)),
    ]  # fmt: skip
    assert {one.workflow for one in closing} == {"trader"}
    assert {held.quantity for held in world.engine.items(holdings).values()} == {D(0)}, "whose it was knows"
    assert world.told(FlattenDone) == [done]
    assert world.desk._halt.stops_new_exposure
    await world.close()


@live
async def test_without_a_halt_and_only_one_symbol() -> None:
    world = World()
    await world.open()
    await having(world)
    looking(world)
    done = await flattened(world, ASKED.replace(halt=False, symbols=(SWAP,)))
    assert [one.symbol for one in done.lines] == [SWAP]
    assert set(world.desk.ledger.positions()) == {SPOT}
    assert not world.told(HaltRaised)
    await world.close()


@live
async def test_idempotent_by_id_and_two_at_once_take_turns() -> None:
    world = World()
    await world.open()
    await having(world, swap=False)
    looking(world)
    one, same, other = await asyncio.gather(
        flattened(world, id="f"), flattened(world, id="f"), flattened(world, id="g")
    )
    assert one == same
    assert one.complete
    assert other.complete
    assert len([one for one in world.told(OrderAccepted) if one.agent == "flatten"]) == 1
    with pytest.raises(InvalidInput):
        await flattened(world, ASKED.replace(reason="another"), id="f")
    await world.close()


@live
async def test_an_order_that_fills_in_parts_is_followed_by_one_for_the_rest() -> None:
    world = World()
    await world.open()
    await having(world, swap=False)
    real = world.paper._accept
    parts = 0

    def accept(approved: Any, key: str) -> Any:
        """The venue takes only a part of a large order, fills it and cancels the rest."""
        nonlocal parts
        ack = real(approved, key)
        parts += 1
        if parts == 1:
            draft = world.paper._state.open[SPOT][key]
            world.paper._state.open[SPOT][key] = replace(draft, quantity=D("0.5"))
        return ack

    world.paper._accept = accept  # type: ignore[method-assign]
    looking(world)
    done = await flattened(world)
    assert done.complete
    (line,) = done.lines
    assert len(line.orders) == 2
    closing = [one for one in world.told(OrderAccepted) if one.agent == "flatten"]
    assert [one.quantity for one in closing] == [D(2), D("1.5")]
    await world.close()


@live
async def test_what_cannot_be_closed_is_said() -> None:
    world = World()
    await world.open()
    await having(world)
    real = world.paper.submit

    async def submit(approved: Any, key: str) -> Any:
        if approved.symbol == SPOT:
            raise Rejected("paper", "trading is paused")
        return await real(approved, key)

    world.paper.submit = submit  # type: ignore[assignment, method-assign]
    looking(world)
    done = await flattened(world)
    assert not done.complete
    spot, swap = done.lines
    assert (spot.left, swap.left) == (D(2), D(0))
    assert "trading is paused" in spot.why
    await world.close()


@live
async def test_an_order_that_does_not_trade_is_said_to_be_under_way_and_not_doubled() -> None:
    world = World()
    await world.open()
    await having(world, swap=False)
    done = await flattened(world)  # no bar comes
    (line,) = done.lines
    assert (done.complete, line.left, len(line.orders)) == (False, D(2), 1)
    assert "has not ended" in line.why
    assert len([one for one in world.told(OrderAccepted) if one.agent == "flatten"]) == 1
    await world.close()


@live
async def test_what_is_wrong_is_said() -> None:
    world = World()
    await world.open()
    for wrong in ({"account": "mian"}, {"reason": ""}, {"by": " "}):
        with pytest.raises(InvalidInput):
            await world.flattening.start(ASKED.replace(**wrong))
    with pytest.raises(InvalidInput, match=f"{SPOT}.*BTC/USTD"):
        await world.flattening.start(ASKED.replace(symbols=(SPOT, "BTC/USTD")))
    for more in ({"symbols": ["BTC/USTD"]}, {"account": "mian"}):
        with pytest.raises(InvalidInput):
            await world.flattening.verbs()["flatten"](reason="all", by="ada", **more)
    await world.engine.settled()
    assert not world.told(HaltRaised), "before anything"
    started = await world.flattening.verbs()["flatten"](reason="all", by="ada", symbols=[SPOT])
    assert [one.account for one in started] == [NAME]
    await world.close()


@live
async def test_orders_that_rest_all_the_same_are_named_with_the_reason() -> None:
    world = World()
    await world.open()
    world.wire.foreign = [
        Order(
            venue="paper", client_order_id="", venue_order_id="x9", account=NAME, symbol=SPOT, side="buy",
            type="limit", quantity=D(1), limit_price=D(10),
        )
    ]  # fmt: skip
    done = await flattened(world, ASKED.replace(foreign=True))
    assert not done.complete
    (why,) = done.orders
    assert why.startswith("order x9 still rests: it bears no client id")
    assert (await flattened(world)).orders == ()
    await world.close()


@pytest.mark.parametrize("flushed", [True, False])
def test_a_death_at_any_turn_closes_everything_once(flushed: bool) -> None:
    async def law(lives: int) -> bool:
        world = World()
        await world.open()
        await having(world)
        looking(world)
        world.wire.faults = {"submit": ["after"], "cancel": ["after"], "find": ["", "before"]}
        await world.flattening.start(ASKED, id="f")
        over = await world.live(lives, flushed=flushed)
        await world.open()
        done = await world.engine.handle("f").result()
        assert done.complete, done
        assert not await world.paper.open_orders()
        balances = {asset: one.total for asset, one in (await world.paper.balances()).items() if one.total}
        assert balances == {"USDT": world.desk.ledger.cash("USDT")}
        fills = [fill for symbol in (SPOT, SWAP) for fill in await world.paper.fills(symbol, 0)]
        sold = sum(
            fill.quantity for fill in fills if fill.client_order_id in {key for one in done.lines for key in one.orders}
        )
        assert sold == D(3)  # once, if perhaps in parts
        assert len(world.told(HaltRaised)) == 1
        assert world.desk._halt.stops_new_exposure
        await world.close()
        return over

    @live
    async def main() -> None:
        for lives in range(0, 500, 2):
            if await law(lives):
                return
        raise AssertionError("it never ended")

    main()


def test_dust() -> None:
    rules = TradingRules(
        symbol=SPOT, price_tick=D("0.01"), quantity_step=D("0.001"), min_notional=D(5), min_quantity=D("0.002")
    )
    assert "least quantity" in dust_of(D("0.0019"), rules, D(100))
    assert "least notional" in dust_of(D("-0.01"), rules, D(100))
    assert dust_of(D("0.05"), rules, D(100)) == ""
    assert dust_of(D("0.01"), rules, None) == ""  # nobody can tell: it is tried
    assert dust_of(D("0.01"), rules, D("NaN")) == ""
    assert dust_of(D("0.00001"), None, D(100)) == ""


def test_coins_that_a_fee_was_taken_in_are_not_sold() -> None:
    ledger = Ledger({"USDT": D(1000)})
    bought = Fill(
        venue="test", fill_id="1", client_order_id="a", venue_order_id="1", account=NAME, symbol=SPOT, side="buy",
        price=D(100), quantity=D(1), fee=D("0.001"), fee_currency="BTC", time=1,
    )  # fmt: skip
    ledger.apply(bought)
    assert closable(ledger, SPOT) == D("0.999") == ledger.holding("BTC")


RULES_OF_PARTS = TradingRules(symbol=SPOT, price_tick=D("0.01"), quantity_step=D("0.1"), min_notional=D(20))
sizes = st.integers(1, 50).map(lambda n: D(n) / 10)


@given(sizes, st.dictionaries(st.sampled_from("abcd"), st.integers(1, 400).map(lambda n: D(n) / 100)))
def test_law_the_parts_of_an_order_sum_to_it_and_none_is_too_small_for_the_venue(size: Any, holders: Any) -> None:
    parts = parts_of(size, holders, RULES_OF_PARTS, D(100))
    assert sum(parts.values()) == size
    assert set(parts) <= {*holders, FLATTEN}
    if len(parts) > 1:
        assert all(part * 100 >= 20 and part % D("0.1") == 0 for part in parts.values())
