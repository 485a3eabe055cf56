"""Orders: through a real gate, desk and paper venue, at the prices of recordings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.engine.support import live
from tests.graph.support import RecordedProvider
from tests.graph.trading import World
from tickwork.core.run import Run
from tickwork.errors import InvalidInput, Refused, Rejected, Stale
from tickwork.graph.declare import DECLARED, Context
from tickwork.graph.nodes.arbitrage import ArbitrageBroken
from tickwork.graph.nodes.orders import Ordered, buy, cancel_order, place_order, sell, trade_execution
from tickwork.graph.nodes.placing import wants
from tickwork.graph.nodes.positions import close_position, immediate_hedge
from tickwork.graph.nodes.signals import SymbolSignal
from tickwork.graph.nodes.views import document_orders, owned
from tickwork.graph.sources import Sources

BTC, ETH = "BTC/USD", "ETH/USD"
D = Decimal


def ordering(world: World, node: Any, *inputs: Any, **settings: Any) -> Any:
    """A body that calls an order node."""

    async def body(run: Run, context: Context) -> Ordered:
        found: Ordered = await node(run, *inputs, context=context, **world.sources, **settings)
        return found

    return body


# ------------------------------------------------------------------------------------------------------------- placing


@live
async def test_an_order_is_decided_by_the_recorded_price() -> None:
    amounts = []
    for at in (200, 400):
        provider = RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=at)
        async with World(provider).open() as world:
            found = await world.do(ordering(world, place_order, symbol=BTC, side="buy", notional=D(1000)))
            book = await provider.orderbook(BTC, 1)
            intent = world.trader.sent[0]
            assert (intent.reference_price, intent.reference_time) == (book.asks[0].price, book.time)
            assert (intent.reference_source, intent.reference_offset) == (book.recording, at)
            assert (intent.workflow, intent.owner, intent.account) == ("doc", "me", "main")
            assert found.status == "acknowledged"
            assert found.order_id
            assert 0 <= 1000 - found.quantity * book.asks[0].price < book.asks[0].price * D("0.0001") + D(1)
            amounts.append(found.quantity)
            await world.trade()
            assert world.branches[0].ledger.quantity(BTC) == found.quantity
    assert amounts[0] != amounts[1]


@live
async def test_every_way_to_say_how_much() -> None:
    async with World().open() as world:
        exact = await world.do(ordering(world, buy, True, D("0.5"), symbol=BTC))
        assert exact.quantity == D("0.5")
        part = await world.do(ordering(world, buy, symbol=BTC, fraction=D("0.02")))
        ask = world.sides[0].latest(BTC).close + D("0.01")
        assert part.quantity * ask == pytest.approx(D(2000), rel=D("0.01"))
        world.event = {"symbol": ETH, "side": "BUY", "quantity": "3"}
        asked = await world.do(ordering(world, place_order))
        assert (asked.symbol, asked.side, asked.quantity) == (ETH, "buy", 3)
        for wrong in ("NaN", "much", True):
            world.event = {"symbol": ETH, "side": "SELL", "notional": wrong}
            with pytest.raises(InvalidInput, match=r"event\.notional"):
                await world.do(ordering(world, place_order))


@live
async def test_what_was_not_said_or_said_twice_places_nothing() -> None:
    async with World().open() as world:
        wrong: list[tuple[Any, dict[str, Any]]] = [
            (buy, {"symbol": BTC}),
            (buy, {"symbol": BTC, "quantity": D(1), "notional": D(1)}),
            (buy, {"quantity": D(1)}),
            (place_order, {"symbol": BTC, "quantity": D(1)}),
            (buy, {"symbol": BTC, "quantity": D(1), "type": "limit"}),
            (buy, {"symbol": BTC, "quantity": D(1), "limit_price": D(1)}),
            (buy, {"symbol": "XRP/USD", "quantity": D(1)}),
        ]
        for node, settings in wrong:
            with pytest.raises(InvalidInput):
                await world.do(ordering(world, node, **settings))
        assert not world.trader.sent


@live
async def test_a_signal_that_says_no_places_nothing() -> None:
    async with World().open() as world:
        for node, signal in ((buy, False), (buy, "SELL"), (sell, "buy"), (place_order, "HOLD"), (sell, "HOLD")):
            found = await world.do(ordering(world, node, signal, symbol=BTC, quantity=D(1)))
            assert (found.status, found.orders) == ("none", [])
        found = await world.do(ordering(world, place_order, "SELL", symbol=BTC, side="buy", quantity=D(1)))
        assert found.status == "none"
        with pytest.raises(InvalidInput, match="signal"):
            await world.do(ordering(world, buy, None, symbol=BTC, quantity=D(1)))
        assert not world.trader.sent


def test_a_missing_signal_decides_nothing() -> None:
    assert [wants(one) for one in (True, False, "BUY", "sell", "Hold", "exit")] == [
        "go", "nothing", "buy", "sell", "nothing", "exit",
    ]  # fmt: skip
    for nothing in (None, 1, 0.0, "", "maybe"):
        with pytest.raises(InvalidInput):
            wants(nothing)


@live
async def test_a_refusal_fails_unless_it_is_to_be_reported() -> None:
    async with World().open() as world:
        world.halt.raise_to("halt", "test")
        with pytest.raises(Refused, match="halt"):
            await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.01")))
        found = await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.01"), on_refusal="report"))
        assert (found.status, found.order_id) == ("refused", "")
        assert found.reason.startswith("halt")


@live
async def test_a_stale_price_stops_a_buy_and_not_a_reduction() -> None:
    async with World().open() as world:
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        await world.trade()

        async def stale(symbol: str, depth: int) -> Any:
            raise Stale(symbol, "2h", "30m")

        world.sides[0].orderbook = stale  # type: ignore[method-assign]
        with pytest.raises(Stale):
            await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        found = await world.do(ordering(world, close_position, symbol=BTC))
        assert (found.status, found.quantity) == ("acknowledged", D("0.5"))
        assert world.trader.sent[-1].reference_price is None


@live
async def test_a_spot_sell_only_reduces() -> None:
    async with World().open() as world:
        with pytest.raises(Refused, match="reduce_only"):
            await world.do(ordering(world, sell, symbol=BTC, quantity=D(1)))
        nothing = await world.do(ordering(world, sell, symbol=BTC))
        assert nothing.status == "none"
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        await world.trade()
        part = await world.do(ordering(world, sell, symbol=BTC, notional=D(100)))
        assert part.quantity < D("0.5")
        await world.trade()
        rest = await world.do(ordering(world, sell, symbol=BTC))
        assert rest.quantity == D("0.5") - part.quantity
        await world.trade()
        assert world.branches[0].ledger.quantity(BTC) == 0


@live
async def test_a_limit_order_waits_for_its_price() -> None:
    async with World().open() as world:
        close = world.sides[0].latest(BTC).close
        low = (close / 2).quantize(D("0.01"))
        found = await world.do(ordering(world, buy, True, D(1), low, symbol=BTC, type="limit"))
        assert found.status == "acknowledged"
        await world.trade()
        assert world.branches[0].ledger.quantity(BTC) == 0
        done = await world.do(ordering(world, cancel_order))
        assert done.cancelled == [found.client_order_id]
        assert await world.trader.open_orders() == []


def test_what_cannot_be_traded_is_found_when_the_document_is_checked() -> None:
    world = World()
    sources = Sources({"trader": world.trader})
    check = DECLARED["buy"].check
    assert check is not None
    assert check({"symbol": BTC, "quantity": D(1)}, sources) is None
    assert "XRP/USD" in (check({"symbol": "XRP/USD"}, sources) or "")
    assert "kraken" in (check({"symbol": BTC, "venue": "kraken"}, sources) or "")


# ----------------------------------------------------------------------------------------------------- two legs at once


def two_venues() -> World:
    return World(
        RecordedProvider("bitstamp", "bitstamp-btc-usd-1d", at=500),
        RecordedProvider("coinbase", "coinbase-btc-usd-1h", at=500),
    )


def opportunity(world: World, quantity: str = "0.1") -> dict[str, Any]:
    here, there = world.sides
    return {
        "profit": "0.02",
        "buy": {"venue": here.name, "symbol": BTC, "price": str(here.latest(BTC).close), "quantity": quantity},
        "sell": {"venue": there.name, "symbol": BTC, "price": str(there.latest(BTC).close), "quantity": quantity},
    }


@live
async def test_an_opportunity_is_bought_here_and_sold_there() -> None:
    async with two_venues().open() as world:
        here, there = world.branches
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.2"), venue="coinbase"))
        await world.trade()
        found = await world.do(ordering(world, place_order, True, opportunity(world)))
        assert [(one.side, one.venue, one.quantity) for one in found.orders] == [
            ("buy", "bitstamp", D("0.1")), ("sell", "coinbase", D("0.1")),
        ]  # fmt: skip
        await world.trade()
        assert (here.ledger.quantity(BTC), there.ledger.quantity(BTC)) == (D("0.1"), D("0.1"))


@live
async def test_a_second_leg_that_fails_takes_the_first_one_back() -> None:
    async with two_venues().open() as world:
        with pytest.raises(ArbitrageBroken, match=r"the buy of 0\.1.* was cancelled"):
            await world.do(ordering(world, place_order, True, opportunity(world)))
        assert await world.trader.open_orders() == []
        await world.trade()
        assert not world.trader.positions()


@live
async def test_where_one_venue_can_be_traded_that_leg_is() -> None:
    async with World(RecordedProvider("bitstamp", "bitstamp-btc-usd-1d")).open() as world:
        legs = {
            "buy": {"venue": "bitstamp", "symbol": BTC, "price": "1", "quantity": "2"},
            "sell": {"venue": "elsewhere", "symbol": BTC, "price": "2", "quantity": "0.5"},
        }
        found = await world.do(ordering(world, place_order, True, legs))
        assert [(one.side, one.quantity) for one in found.orders] == [("buy", D("0.5"))]
        capped = await world.do(ordering(world, place_order, True, legs, D("0.25")))
        assert capped.quantity == D("0.25")
        for nothing in ({"profit": 1}, {**legs, "buy": {**legs["buy"], "venue": "x"}}, 7):
            with pytest.raises(InvalidInput):
                await world.do(ordering(world, place_order, True, nothing))


# ---------------------------------------------------------------------------------------------------------- cancelling


@live
async def test_as_an_undo_it_cancels_what_is_left_and_closes_what_has_filled_once() -> None:
    async with World().open() as world:
        filled = await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        await world.trade()
        open_ = await world.do(ordering(world, buy, symbol=ETH, quantity=D(1)))

        async def undo(run: Run, context: Context) -> Any:
            inside = world.context(run, undoing="buy")
            orders = [*filled.orders, *open_.orders]
            return await cancel_order(run, "HOLD", "", "", orders, context=inside, **world.sources)

        found = await world.do(undo)
        assert [(one.symbol, one.side, one.quantity, one.reduce_only) for one in found.closed] == [
            (BTC, "sell", D("0.5"), True)
        ]
        await world.trade()
        assert not world.trader.positions()
        again = await world.do(undo)
        assert again.closed == []
        await world.trade()
        assert not world.trader.positions()
        assert await world.trader.open_orders() == []


@live
async def test_an_undo_waits_for_a_fill_that_the_venue_knows_first() -> None:
    async with World().open() as world:
        bought = await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        branch = world.branches[0]
        branch.venue.on_bar(world.sides[0]._recording(BTC)[201], 201)

        async def undo(run: Run, context: Context) -> Any:
            inside = world.context(run, undoing="buy")
            taken = cancel_order(run, True, "", "", bought.orders, context=inside, **world.sources)
            (found, _) = await run.all(taken, late(run))
            return found

        async def late(run: Run) -> None:
            await run.sleep("3 seconds")
            await run.step("told", tell)

        async def tell() -> None:
            for fill in (await branch.desk.news()).fills:
                branch.desk.apply(fill)

        found = await world.do(undo)
        assert [one.quantity for one in found.closed] == [D("0.5")]
        refused = [one for one in world.events("trading/order.refused") if getattr(one, "rule", "") == "reduce_only"]
        assert refused


@live
async def test_a_reduction_is_not_taken_back() -> None:
    async with World().open() as world:
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        await world.trade()
        sold = await world.do(ordering(world, sell, symbol=BTC, quantity=D("0.2")))
        await world.trade()

        async def undo(run: Run, context: Context) -> Any:
            inside = world.context(run, undoing="sell")
            return await cancel_order(run, True, "", "", sold.orders, context=inside, **world.sources)

        found = await world.do(undo)
        assert [one.status for one in found.closed] == ["kept"]
        assert world.trader.positions()[0].quantity == D("0.3")


@live
async def test_cancelling_by_the_venues_id_and_what_is_unknown() -> None:
    async with World().open() as world:
        one = await world.do(ordering(world, buy, True, D(1), D(50), symbol=BTC, type="limit"))
        two = await world.do(ordering(world, buy, True, D(20), D("0.5"), symbol=ETH, type="limit"))
        assert (await world.do(ordering(world, cancel_order, False))).done is False
        by_id = await world.do(ordering(world, cancel_order, True, "", one.order_id))
        assert by_id.cancelled == [one.client_order_id]
        with pytest.raises(Rejected, match="no open order"):
            await world.do(ordering(world, cancel_order, True, "", one.order_id))
        with pytest.raises(Rejected):
            await world.do(ordering(world, cancel_order, True, "f" * 32))
        assert (await world.do(ordering(world, cancel_order, symbol=BTC))).cancelled == []
        assert (await world.do(ordering(world, cancel_order))).cancelled == [two.client_order_id]


@live
@pytest.mark.parametrize("node", [close_position, immediate_hedge])
async def test_as_an_undo_closing_takes_back_the_orders_of_the_node_and_nothing_else(node: Any) -> None:
    async with World().open() as world:
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.2")))
        await world.trade()
        filled = await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))
        await world.trade()
        open_ = await world.do(ordering(world, buy, symbol=ETH, quantity=D(1)))

        async def undo(run: Run, context: Context) -> Any:
            inside = world.context(run, undoing="buy")
            return await node(run, "BUY", [*filled.orders, *open_.orders], context=inside, **world.sources)

        found = await world.do(undo)
        assert [(one.symbol, one.side, one.quantity, one.reduce_only) for one in found.orders] == [
            (BTC, "sell", D("0.5"), True)
        ]
        await world.trade()
        again = await world.do(undo)
        assert (again.status, again.reason) == ("none", "nothing had filled")
        await world.trade()
        assert await world.trader.open_orders() == []
        assert [(one.symbol, one.quantity) for one in world.trader.positions()] == [(BTC, D("0.2"))]


@live
async def test_an_undo_closes_the_part_and_the_symbols_that_it_is_told() -> None:
    async with World().open() as world:
        orders = [
            *(await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.5")))).orders,
            *(await world.do(ordering(world, buy, symbol=ETH, quantity=D(1)))).orders,
        ]
        await world.trade()

        def undoing(**settings: Any) -> Any:
            async def body(run: Run, context: Context) -> Any:
                inside = world.context(run, undoing="buy")
                return await close_position(run, True, orders, context=inside, **settings, **world.sources)

            return body

        found = await world.do(undoing(symbol=BTC, fraction=D("0.5")))
        assert [(one.symbol, one.quantity) for one in found.orders] == [(BTC, D("0.25"))]
        with pytest.raises(InvalidInput, match="a symbol of the orders that it takes back: BTC/USD, ETH/USD"):
            await world.do(undoing(symbol="LTC/USD"))


@live
@pytest.mark.parametrize("node", [close_position, immediate_hedge])
async def test_closing_is_no_undo_of_what_places_no_orders(node: Any) -> None:
    async with World().open() as world:
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.2")))
        await world.trade()

        async def undo(run: Run, context: Context) -> Any:
            return await node(run, symbols=[BTC], context=world.context(run, undoing="say"), **world.sources)

        with pytest.raises(InvalidInput, match="the undo of a node that places orders"):
            await world.do(undo)

        async def hedged(run: Run, context: Context) -> Any:
            inside = world.context(run, undoing="say")
            return await immediate_hedge(run, True, [], instrument=ETH, context=inside, **world.sources)

        with pytest.raises(InvalidInput, match="instrument"):
            await world.do(hedged)
        assert await world.trader.open_orders() == []


# ------------------------------------------------------------------------------------------------ trading on a signal


@live
async def test_a_signal_is_traded_within_the_risk_limit_and_only_once() -> None:
    async with World().open() as world:
        found = await world.do(ordering(world, trade_execution, "BUY", 0.8, BTC))
        ask = world.sides[0].latest(BTC).close + D("0.01")
        assert found.quantity * ask == pytest.approx(D(2000), rel=D("0.01"))
        again = await world.do(ordering(world, trade_execution, "BUY", 0.8, BTC))
        assert (again.status, "on its way" in again.reason) == ("none", True)
        await world.trade()
        held = await world.do(ordering(world, trade_execution, "BUY", 0.8, BTC))
        assert (held.status, "held already" in held.reason) == ("none", True)
        sold = await world.do(ordering(world, trade_execution, "SELL", 0.8, BTC))
        assert (sold.side, sold.quantity) == ("sell", found.quantity)
        await world.trade()
        nothing = await world.do(ordering(world, trade_execution, "EXIT", 0.8, BTC))
        assert "nothing is held" in nothing.reason
        assert (await world.do(ordering(world, trade_execution, "HOLD", 0.5, BTC))).status == "none"
        with pytest.raises(InvalidInput):
            await world.do(ordering(world, trade_execution, True, None, BTC))
        with pytest.raises(InvalidInput, match="signal"):
            await world.do(ordering(world, trade_execution, None, None, BTC))


@live
async def test_several_symbols_are_traded_each_by_its_signal() -> None:
    async with World().open() as world:
        signals = {BTC: SymbolSignal("BUY", 0.9), ETH: SymbolSignal("HOLD", 0.5)}
        found = await world.do(ordering(world, trade_execution, "HOLD", 0.5, ETH, signals, risk_limit=D("0.01")))
        assert [(one.symbol, one.status) for one in found.orders] == [(BTC, "acknowledged"), (ETH, "none")]
        assert found.symbol == BTC


# ----------------------------------------------------------------------------------------------------------- positions


@live
async def test_a_hedge_takes_away_what_the_event_is_about_or_everything() -> None:
    async with World().open() as world:
        assert (await world.do(ordering(world, immediate_hedge))).status == "none"
        for symbol in (BTC, ETH):
            await world.do(ordering(world, buy, symbol=symbol, notional=D(1000)))
        await world.trade()
        world.event = {"symbol": BTC}
        one = await world.do(ordering(world, immediate_hedge, fraction=D("0.5")))
        assert [(order.symbol, order.side) for order in one.orders] == [(BTC, "sell")]
        await world.trade()
        world.halt.raise_to("halt", "a halt does not trap a position")
        world.event = {"symbol": "^VIX"}
        every = await world.do(ordering(world, immediate_hedge))
        assert sorted(order.symbol for order in every.orders) == [BTC, ETH]
        await world.trade()
        assert not world.trader.positions()


@live
async def test_a_hedge_by_an_instrument_buys_it_for_what_is_held() -> None:
    async with World().open() as world:
        await world.do(ordering(world, buy, symbol=BTC, notional=D(1000)))
        await world.trade()
        worth = sum(one.quantity * one.price for one in world.trader.positions())
        found = await world.do(ordering(world, immediate_hedge, symbols=[BTC], instrument=ETH, fraction=D("0.5")))
        ask = world.sides[0].latest(ETH).close
        assert (found.symbol, found.side) == (ETH, "buy")
        assert found.quantity * ask == pytest.approx(worth / 2, rel=D("0.01"))


@live
async def test_a_document_closes_its_own_and_an_account_everything() -> None:
    async with World().open() as world:
        await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.4")))
        await world.trade()

        async def other(run: Run, context: Context) -> Any:
            inside = Context("another", "here", run.id, run.owner, {}, "manual", context.now)
            return await close_position(run, symbol=BTC, context=inside, **world.sources)

        assert (await world.do(other)).status == "none"
        assert (await world.do(ordering(world, close_position, "BUY", symbol=BTC))).status == "none"
        half = await world.do(ordering(world, close_position, symbol=BTC, fraction=D("0.5")))
        assert half.quantity == D("0.2")
        await world.trade()
        rest = await world.do(ordering(world, close_position, symbol=BTC, scope="account"))
        assert rest.quantity == D("0.2")


@live
async def test_what_a_document_has_placed_is_noted() -> None:
    async with World().open() as world:
        found = await world.do(ordering(world, buy, symbol=BTC, quantity=D("0.1")))

        async def read(run: Run, context: Context) -> Any:
            return await document_orders.get(owned("me", "doc"))

        noted = await world.do(read)
        assert noted.latest == [found.client_order_id]
        assert sum(noted.hours.values()) == 1


@live
async def test_an_empty_list_of_orders_is_not_all_of_them() -> None:
    async with World().open() as world:
        one = await world.do(ordering(world, buy, True, D(1), D(50), symbol=BTC, type="limit"))
        assert (await world.do(ordering(world, cancel_order, True, "", "", []))).cancelled == []
        two = await world.do(ordering(world, buy, True, D(1), D(60), symbol=BTC, type="limit"))
        named = await world.do(ordering(world, cancel_order, True, two.client_order_id, "", one.orders))
        assert named.cancelled == [two.client_order_id]
        told = await world.do(ordering(world, cancel_order, True, one.client_order_id, one.order_id, one.orders))
        assert told.cancelled == [one.client_order_id]
